//! Pings that are waited for.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::{error::Error, shared::Shared};

/// The answer to a [ping](crate::WebSocket::ping): the time of the round trip, once the pong was received.
///
/// It comes while somebody receives: on the other half, in another branch of a `select!`. It may be dropped; the ping has gone.
///
/// # Errors
///
/// As [`send`](crate::WebSocket::send): the connection has ended, or is about to, without the pong.
///
/// # Cancel safety
///
/// Cancel-safe, by reference.
#[derive(Debug)]
pub struct Pong {
    pub(crate) receiver: oneshot::Receiver<Duration>,
    pub(crate) connection: Weak<Shared>,
}

impl Future for Pong {
    type Output = Result<Duration, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.receiver).poll(cx)) {
            Ok(latency) => Ok(latency),
            Err(_) => Err(match self.connection.upgrade() {
                Some(connection) => connection.lock().closed(),
                None => Error::Closing,
            }),
        })
    }
}

/// Who waits for which pong, in the order of the pings. No more than pings may be unanswered.
#[derive(Debug, Default)]
pub(crate) struct Pings {
    /// Boxed, as there are none most of the time.
    #[expect(clippy::box_collection, reason = "the place of an empty one counts")]
    waiting: Option<Box<VecDeque<Waiting>>>,
}

type Waiting = (Bytes, oneshot::Sender<Duration>);

impl Pings {
    pub(crate) fn wait_for(&mut self, payload: Bytes) -> oneshot::Receiver<Duration> {
        let waiting = self.waiting.get_or_insert_default();
        waiting.retain(|(_, waiting)| !waiting.is_closed());
        let (sender, receiver) = oneshot::channel();
        waiting.push_back((payload, sender));
        receiver
    }

    /// A pong has come. It answers earlier pings, too (RFC 6455 §5.5.3), so it may be one to a keepalive's that followed them.
    pub(crate) fn answered(&mut self, latency: Duration, is_awaited: impl Fn(&[u8]) -> bool) {
        let Some(waiting) = &mut self.waiting else {
            return;
        };
        let answered = waiting.iter().rposition(|(sent, _)| !is_awaited(sent));
        for (_, waiting) in waiting.drain(..answered.map_or(0, |at| at + 1)) {
            // Whoever asked may have gone.
            let _ = waiting.send(latency);
        }
        if waiting.is_empty() {
            self.waiting = None;
        }
    }
}
