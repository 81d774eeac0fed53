//! Several messages that leave together, encoded once for many connections.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use fullduplex_proto::Prepared;

use crate::round::MAX_ROUND;

/// Messages one behind the other, as the bytes that servers send.
///
/// For a group of one's own, whose members get the same messages in one turn; [`Broadcast`](crate::Broadcast) does it so. See
/// [`WebSocket::forward`](crate::WebSocket::forward).
#[derive(Debug)]
pub struct Bundle {
    frames: Vec<Prepared>,
    /// One connection can send it like another, and queue it when it does not leave.
    forwardable: bool,
    /// The frames one behind the other, when they are first needed.
    bytes: OnceLock<Bytes>,
}

/// What became of a [`Bundle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it may not have been sent, or not be written"]
pub enum Forwarded {
    /// All of it has been written.
    Written,
    /// It is sent, and leaves with the next operation as far as the transport has not taken it.
    Queued,
    /// It is not sent: something waits before it, or the transport takes nothing, or it is more than copying. That it is with
    /// over 64 KiB, with messages that may be compressed, on a client, and inside [`corked`](crate::corked). For all that there is
    /// [`send_many`](crate::WebSocket::send_many).
    Refused,
}

impl Bundle {
    /// These messages, the first one first.
    pub fn new(frames: impl IntoIterator<Item = Prepared>) -> Self {
        let frames: Vec<_> = frames.into_iter().collect();
        let cost: usize = frames.iter().map(Prepared::queue_cost).sum();
        Self {
            forwardable: cost <= MAX_ROUND && !frames.iter().any(Prepared::may_be_compressed),
            frames,
            bytes: OnceLock::new(),
        }
    }

    /// The messages.
    pub fn frames(&self) -> &[Prepared] {
        &self.frames
    }

    /// All in one, if it can be forwarded at all.
    pub(crate) fn bytes(&self) -> Option<&Bytes> {
        let join = || join(&self.frames);
        (self.forwardable && !self.frames.is_empty()).then(|| self.bytes.get_or_init(join))
    }
}

/// Frames one behind the other. One is not copied.
pub(crate) fn join(frames: &[Prepared]) -> Bytes {
    if let [one] = frames {
        return one.frame();
    }
    let len = frames.iter().map(Prepared::len).sum();
    let mut bytes = BytesMut::with_capacity(len);
    for prepared in frames {
        bytes.extend_from_slice(&prepared.frame());
    }
    bytes.freeze()
}
