//! What an application writes that knows how to use a library of `Stream` and `Sink`: whatever is there already is fed, then
//! flushed once.

use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use tokio::sync::broadcast::{Receiver, Sender};

/// Messages between two flushes, at most.
const BATCH: usize = 32;

/// Messages that a member of a room may lag behind: more than the generator has outstanding.
pub const ROOM: usize = 1024;

/// Echoes what `is_data`.
///
/// # Errors
///
/// The library's.
pub async fn echo<W, M, E>(mut ws: W, is_data: fn(&M) -> bool) -> Result<(), E>
where
    W: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Unpin,
{
    while let Some(first) = ws.next().await {
        let mut waiting = Some(first);
        let mut seen = 0;
        while let Some(message) = waiting {
            let message = message?;
            if is_data(&message) {
                ws.feed(message).await?;
            }
            seen += 1;
            waiting = if seen < BATCH {
                ws.next().now_or_never().flatten()
            } else {
                None
            };
        }
        ws.flush().await?;
    }
    Ok(())
}

/// Tells the room what comes, and the peer what is said in the room. Each direction is a task, so that what is said wakes no reader.
///
/// # Errors
///
/// The library's.
pub async fn chat<W, M, E>(ws: W, room: Sender<M>, is_data: fn(&M) -> bool) -> Result<(), E>
where
    W: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Send + 'static,
    M: Clone + Send + 'static,
    E: Send + 'static,
{
    let (sink, mut stream) = ws.split();
    let listening = tokio::spawn(tokio::task::unconstrained(listen(sink, room.subscribe())));
    while let Some(Ok(message)) = stream.next().await {
        if is_data(&message) {
            // At least this connection listens.
            let _ = room.send(message);
        }
    }
    listening.abort();
    Ok(())
}

/// Ends when the member lags too far behind.
async fn listen<W, M>(mut sink: W, mut room: Receiver<M>) -> Result<(), W::Error>
where
    W: Sink<M> + Unpin,
    M: Clone,
{
    while let Ok(message) = room.recv().await {
        sink.feed(message).await?;
        while let Ok(message) = room.try_recv() {
            sink.feed(message).await?;
        }
        sink.flush().await?;
    }
    Ok(())
}
