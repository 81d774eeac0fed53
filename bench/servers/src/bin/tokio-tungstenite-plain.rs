//! tokio-tungstenite with its default buffers and one task for both directions of a connection, as the baseline had it for fan-out: whatever
//! was said in the room is fed, then flushed once.

use std::io;

use bench_servers::{Mode, batched, serve, start};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Sender;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::{Error, Message};

fn main() -> io::Result<()> {
    let (_, listener) = start(&[Mode::Broadcast]);
    let room = Sender::new(batched::ROOM);
    serve(listener, move |stream| {
        let room = room.clone();
        async move {
            // A connection that breaks is the generator's to report.
            let _ = chat(stream, room).await;
        }
    })
}

async fn chat(stream: TcpStream, room: Sender<Message>) -> Result<(), Error> {
    let mut ws = accept_async(stream).await?;
    let mut said = room.subscribe();
    loop {
        tokio::select! {
            message = ws.next() => match message.transpose()? {
                // At least this connection listens.
                Some(message) if message.is_binary() || message.is_text() => drop(room.send(message)),
                Some(_) => {}
                None => return Ok(()),
            },
            message = said.recv() => {
                // An error: it lags too far behind.
                let Ok(message) = message else { return Ok(()) };
                ws.feed(message).await?;
                while let Ok(message) = said.try_recv() {
                    ws.feed(message).await?;
                }
                ws.flush().await?;
            }
        }
    }
}
