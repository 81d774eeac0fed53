//! `/echo`: everything comes back as it went.

use std::{collections::VecDeque, pin::pin, sync::Arc, time::Duration};

use fullduplex::{CloseCode, CloseFrame, WebSocket};
use serde::Deserialize;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, sleep_until},
};

use crate::{
    metrics::{Kind, Metrics},
    session::{Alarm, Stop, token_expired},
    visits::Visit,
};

/// The longest a message is kept before it goes back, in milliseconds: longer than clients wait for an answer.
const MAX_DELAY_MS: u64 = 60_000;
/// As many messages are kept at once, and no more once they pass so many bytes: then nothing is read until one has gone.
const MAX_KEPT: usize = 64;
const MAX_KEPT_BYTES: usize = 64 << 10;

/// What a client asks for to try itself, in the query.
#[derive(Debug, Deserialize)]
pub(crate) struct EchoQuery {
    /// Milliseconds that each message is kept before it goes back.
    delay: Option<u64>,
    /// The code that the connection is closed with behind the first message.
    close: Option<u16>,
}

/// How messages are sent back, where it is not at once and for ever.
#[derive(Debug)]
pub(crate) struct Trial {
    delay: Duration,
    close: Option<CloseFrame>,
}

impl EchoQuery {
    /// What was asked for, if anything was. Boxed, as few ask.
    pub(crate) fn trial(&self) -> Result<Option<Box<Trial>>, String> {
        if self.delay.is_some_and(|delay| delay > MAX_DELAY_MS) {
            return Err(format!("delay is 0 to {MAX_DELAY_MS} milliseconds."));
        }
        let frame = |code| CloseFrame::new(CloseCode::new(code), "as you asked");
        let Ok(close) = self.close.map(frame).transpose() else {
            return Err("close is a code that a Close may have.".to_owned());
        };
        let delay = Duration::from_millis(self.delay.unwrap_or(0));
        let is_asked = !delay.is_zero() || close.is_some();
        Ok(is_asked.then(|| Box::new(Trial { delay, close })))
    }
}

/// Sends every message back, until the client goes or has to, or its token expires at `end`. It keeps its place as long.
pub(crate) async fn echo(
    mut ws: WebSocket,
    visit: Visit,
    _place: OwnedSemaphorePermit,
    trial: Option<Box<Trial>>,
    end: Option<Instant>,
    metrics: Arc<Metrics>,
) {
    let mut expiry = Alarm::default();
    expiry.set(end);
    // Also while a message waits for a client that does not read.
    let stop = {
        let sending = pin!(send_back(&mut ws, trial, &metrics));
        tokio::select! {
            biased;
            ended = visit.until(sending) => ended.unwrap_or_else(|why| Some(why.into())),
            () = expiry.rings() => Some(token_expired()),
        }
    };
    if let Some(stop) = stop {
        ws.close(stop.frame()).await;
    }
}

/// Sends every message back, until the client goes, or has what it asked for.
async fn send_back(
    ws: &mut WebSocket,
    trial: Option<Box<Trial>>,
    metrics: &Metrics,
) -> Option<Stop> {
    if let Some(trial) = trial {
        // Boxed, so that a connection that asks for nothing keeps no room for it.
        return Box::pin(send_back_late(ws, &trial, metrics)).await;
    }
    while let Ok(Some(message)) = ws.recv().await {
        metrics.received(Kind::Echo);
        ws.send(message).await.ok()?;
    }
    None
}

/// The same as was asked for. It goes on reading meanwhile, which is how pings are answered.
async fn send_back_late(ws: &mut WebSocket, trial: &Trial, metrics: &Metrics) -> Option<Stop> {
    let (mut kept, mut bytes) = (VecDeque::new(), 0);
    loop {
        let due = kept.front().map(|(due, _)| *due);
        tokio::select! {
            message = ws.recv(), if kept.len() < MAX_KEPT && bytes < MAX_KEPT_BYTES => {
                let message = message.ok()??;
                metrics.received(Kind::Echo);
                bytes += message.len();
                kept.push_back((Instant::now() + trial.delay, message));
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let (_, message) = kept.pop_front()?;
                bytes -= message.len();
                ws.send(message).await.ok()?;
                if let Some(close) = &trial.close {
                    return Some(Stop::Close(close.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fullduplex::Acceptor;
    use fullduplex_testkit::{Fault, Peer, wire};
    use tokio::{sync::Semaphore, task::yield_now};

    use super::*;
    use crate::visits::{Visitor, Visits};

    fn place() -> OwnedSemaphorePermit {
        Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    #[tokio::test]
    async fn it_stops_even_while_the_client_takes_nothing() {
        let (io, peer) = Peer::client();
        let ws = Acceptor::new().accept(io).await.unwrap();
        peer.script
            .fault_writes_at(peer.script.written().len(), Fault::Stall);
        peer.push([wire::text("taken"), wire::text("not taken")]);
        let visits = Arc::<Visits>::default();
        let visitor = Visitor::new("echo", None, [127, 0, 0, 1].into(), None);
        let visit = visits.enter(1, visitor);
        let task = tokio::spawn(echo(ws, visit, place(), None, None, Arc::default()));
        yield_now().await;
        visits.stop_all(Duration::ZERO).await;
        yield_now().await;
        peer.script.heal();
        peer.push([wire::close_empty()]);
        peer.script.push_end();
        task.await.unwrap();
        let stops = wire::close(1001, "the server stops");
        assert_eq!(peer.frames(), [wire::text("taken"), stops]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_kept_as_long_as_was_asked_and_then_the_end_comes() {
        let (io, peer) = Peer::client();
        let ws = Acceptor::new().accept(io).await.unwrap();
        peer.push([wire::text("first"), wire::text("second")]);
        let visits = Arc::<Visits>::default();
        let visitor = Visitor::new("echo", None, [127, 0, 0, 1].into(), None);
        let query = EchoQuery {
            delay: Some(10_000),
            close: Some(4000),
        };
        let trial = query.trial().unwrap();
        let task = tokio::spawn(echo(
            ws,
            visits.enter(1, visitor),
            place(),
            trial,
            None,
            Arc::default(),
        ));
        tokio::time::sleep(Duration::from_millis(9_999)).await;
        assert_eq!(peer.frames(), []);
        tokio::time::sleep(Duration::from_millis(2)).await;
        let closed = wire::close(4000, "as you asked");
        assert_eq!(peer.frames(), [wire::text("first"), closed]);
        peer.push([wire::close_empty()]);
        peer.script.push_end();
        task.await.unwrap();
    }
}
