//! Sending on one connection from any number of tasks: the handles. What they share is in `outbox.rs`.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use fullduplex_proto::{
    CloseFrame, Connection, Outcome, Outgoing, SendError, SendErrorKind, State,
};

use crate::{error::Error, outbox::Outbox, ping::Pong, split::WriteHalf};

/// What becomes of a message when the queue holds [`soft_queue`](fullduplex_proto::Limits::soft_queue) bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// [`send`](Sender::send) waits for room, in turn; [`try_send`](Sender::try_send) gives the message back.
    #[default]
    Wait,
    /// The message is dropped.
    DropNewest,
    /// The oldest messages of the queue are dropped for it, except what has begun to leave. For what is soon out of date.
    DropOldest,
    /// The connection is closed with 1013 "too slow" (RFC 6455 §7.4.1): a client that connects again starts afresh.
    Close,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is in the queue.
    Queued,
    /// It is in the queue, for which so many older ones were dropped: [`Overflow::DropOldest`].
    Displaced(usize),
    /// The queue was full and it was dropped: [`Overflow::DropNewest`], or [`Overflow::DropOldest`] when nothing in the
    /// queue could be dropped for it.
    Dropped,
}

/// Sends on one connection, from any task or thread; all clones share the connection's queue.
///
/// Made by [`WriteHalf::into_sender`]. Sending waits until a message is in the queue, never until it is
/// written; that goes on by itself. [`flush`](Self::flush) waits for it. The connection lives as long as a part of it is
/// left: this, a clone or the [`ReadHalf`](crate::ReadHalf), or accepted messages that the peer still takes. Somebody has to
/// receive meanwhile, for pings are answered, and the end is noticed, by the one that does.
#[derive(Clone, Debug)]
pub struct Sender {
    pub(crate) outbox: Arc<Outbox>,
}

/// A [`Sender`] that keeps no connection open.
#[derive(Clone, Debug)]
pub struct WeakSender {
    pub(crate) outbox: Weak<Outbox>,
}

impl WriteHalf {
    /// Makes a handle of this half that can be cloned and used by any task; `overflow` says what becomes of messages when
    /// the queue is full.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. The handle itself can be used outside.
    pub fn into_sender(self, overflow: Overflow) -> Sender {
        Sender {
            outbox: Arc::new(Outbox::new(self.handle, overflow)),
        }
    }
}

impl Sender {
    /// Sends a message: waits for its place in the queue, if [`Overflow::Wait`] was chosen, and begins to write. Those that
    /// wait get their places in the order in which they came.
    ///
    /// # Errors
    ///
    /// [`Error::Closing`] or [`Error::Ended`] if nothing can be sent any more, also when this message's overflow closed
    /// the connection.
    ///
    /// # Cancel safety
    ///
    /// All or nothing: dropped while it waits, the message is dropped with it; use [`reserve`](Self::reserve) to
    /// keep it. Otherwise it is queued and leaves.
    pub fn send(
        &self,
        message: impl Into<Outgoing>,
    ) -> impl Future<Output = Result<Sent, Error>> + Send {
        let outgoing = message.into();
        async move {
            let sent = self.outbox.accept(outgoing).await;
            self.outbox.write();
            sent
        }
    }

    /// As [`send`](Self::send), but begins no writing: the message leaves with the next [`flush`](Self::flush) or
    /// [`send`](Self::send), or when somebody receives.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub fn feed(
        &self,
        message: impl Into<Outgoing>,
    ) -> impl Future<Output = Result<Sent, Error>> + Send {
        let outgoing = message.into();
        async move {
            let sent = self.outbox.accept(outgoing).await;
            if sent.is_err() {
                // It may be this message that closed the connection, and that waits for no flush.
                self.outbox.write();
            }
            sent
        }
    }

    /// Sends a message without ever waiting.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] gives the message back.
    pub fn try_send(&self, message: impl Into<Outgoing>) -> Result<Sent, TrySendError> {
        let sent = self.outbox.queue(message.into());
        self.outbox.write();
        sent
    }

    /// Sends a ping with up to 125 bytes, ahead of what is queued and without waiting, and returns what waits for its
    /// [pong](Pong).
    ///
    /// # Errors
    ///
    /// [`Error::Ping`] if the payload is too long or too many pings are unanswered; else as [`send`](Self::send).
    pub fn ping(&self, payload: impl Into<Bytes>) -> Result<Pong, Error> {
        let pong = self.outbox.ping(payload.into());
        self.outbox.write();
        pong
    }

    /// Waits for room in the queue, whatever the policy, and keeps it for one message of any size.
    ///
    /// Until it is used, a permit counts as 4 KiB of the queue.
    ///
    /// # Errors
    ///
    /// [`Error::Closing`] or [`Error::Ended`] if nothing can be sent any more.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: only its place among those that wait is lost.
    pub async fn reserve(&self) -> Result<Permit, Error> {
        self.outbox.reserve().await?;
        Ok(Permit {
            outbox: Arc::clone(&self.outbox),
        })
    }

    /// Waits until all that was queued before has been written, or dropped by [`Overflow::DropOldest`].
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] if the connection ended before.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the writing goes on.
    pub async fn flush(&self) -> Result<(), Error> {
        self.outbox.flush().await
    }

    /// Closes: what is queued leaves, then a Close, then the peer's is awaited, for at most
    /// [`close_timeout`](fullduplex_proto::Config::close_timeout), whether somebody receives or not. Messages that
    /// still arrive are thrown away. If the end has begun already, only waits for it.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the Close is queued at the first poll, and all goes its way.
    pub async fn close(&self, frame: CloseFrame) -> Outcome {
        self.outbox.close(frame);
        self.closed().await
    }

    /// Nothing can be sent any more: the connection is closing or has ended.
    pub fn is_closed(&self) -> bool {
        self.outbox.look(Connection::state) != State::Open
    }

    /// Waits for the end of the connection. It is noticed by the one that receives.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn closed(&self) -> Outcome {
        self.outbox.closed().await
    }

    /// A handle that does not keep the connection open.
    pub fn downgrade(&self) -> WeakSender {
        WeakSender {
            outbox: Arc::downgrade(&self.outbox),
        }
    }
}

impl WeakSender {
    /// The handle, if a [`Sender`] of this connection is left.
    pub fn upgrade(&self) -> Option<Sender> {
        let outbox = self.outbox.upgrade()?;
        Some(Sender { outbox })
    }
}

/// Room for one message, whatever else is sent meanwhile. Dropping it gives the room back.
#[derive(Debug)]
#[must_use = "it holds room that others wait for"]
pub struct Permit {
    outbox: Arc<Outbox>,
}

impl Permit {
    /// Sends a message; it never waits, and the queue is never too full for it.
    ///
    /// # Errors
    ///
    /// [`TrySendError`] gives the message back: the connection is closing.
    pub fn send(self, message: impl Into<Outgoing>) -> Result<(), TrySendError> {
        let sent = self.outbox.queue_reserved(message.into());
        self.outbox.write();
        sent
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.outbox.give_back();
    }
}

/// A message that was not sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TrySendError {
    /// The message, given back.
    pub outgoing: Outgoing,
    /// Why.
    pub kind: TrySendErrorKind,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrySendErrorKind {
    /// The queue is full, or others wait for room: [`Overflow::Wait`].
    Full,
    /// The queue is full, and for that the connection is being closed: [`Overflow::Close`].
    TooSlow,
    /// Nothing can be sent any more.
    Closed,
}

impl From<SendError> for TrySendError {
    fn from(refused: SendError) -> Self {
        Self {
            outgoing: refused.outgoing,
            kind: match refused.kind {
                SendErrorKind::Full => TrySendErrorKind::Full,
                _ => TrySendErrorKind::Closed,
            },
        }
    }
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TrySendErrorKind::Full => "the queue is full",
            TrySendErrorKind::TooSlow => "the queue is full, and the connection is closed for it",
            TrySendErrorKind::Closed => "the connection is closing",
        })
    }
}

impl std::error::Error for TrySendError {}
