//! Several messages that leave together, encoded once for many connections.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use fullduplex_proto::{Connection, Prepared};

use crate::round::MAX_ROUND;

/// Messages one behind the other, as the bytes that servers send.
///
/// For a group of one's own, whose members get the same messages in one turn; [`Broadcast`](crate::Broadcast) does it so. See
/// [`WebSocket::forward`](crate::WebSocket::forward).
#[derive(Debug)]
pub struct Bundle {
    frames: Vec<Prepared>,
    /// A connection can queue it when it does not leave.
    forwardable: bool,
    /// Of those that may be compressed, the lengths of the shortest and the longest.
    compressible: Option<(usize, usize)>,
    /// The frames one behind the other, when they are first needed.
    plain: OnceLock<Bytes>,
    /// The same with all compressed that may be.
    compressed: OnceLock<Bytes>,
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
    /// over 64 KiB, on a client, where only some of the messages that may be compressed are long enough for this connection, and inside
    /// [`corked`](crate::corked). For all that there is [`send_many`](crate::WebSocket::send_many).
    Refused,
}

impl Bundle {
    /// These messages, the first one first.
    pub fn new(frames: impl IntoIterator<Item = Prepared>) -> Self {
        let frames: Vec<_> = frames.into_iter().collect();
        let cost: usize = frames.iter().map(Prepared::queue_cost).sum();
        let compressible = frames.iter().filter(|frame| frame.may_be_compressed());
        let lengths = compressible.map(|frame| frame.payload().len());
        let shortest = lengths.clone().min();
        Self {
            forwardable: cost <= MAX_ROUND && !frames.is_empty(),
            compressible: shortest.zip(lengths.max()),
            frames,
            plain: OnceLock::new(),
            compressed: OnceLock::new(),
        }
    }

    /// The messages.
    pub fn frames(&self) -> &[Prepared] {
        &self.frames
    }

    /// All in one, as this connection would send it, if that can be forwarded at all.
    pub(crate) fn bytes(&self, connection: &Connection) -> Option<&Bytes> {
        if !self.forwardable {
            return None;
        }
        let compresses = |len| connection.compresses_prepared(len);
        match self.compressible {
            Some((shortest, _)) if compresses(shortest) => {
                let join = || join(&self.frames, Prepared::compressed_frame);
                Some(self.compressed.get_or_init(join))
            }
            // Some are compressed and some are not, by a threshold that is the connection's own.
            Some((_, longest)) if compresses(longest) => None,
            Some(_) | None => Some(
                self.plain
                    .get_or_init(|| join(&self.frames, Prepared::frame)),
            ),
        }
    }
}

/// Frames one behind the other. One is not copied.
pub(crate) fn join(frames: &[Prepared], bytes_of: impl Fn(&Prepared) -> Bytes) -> Bytes {
    if let [one] = frames {
        return bytes_of(one);
    }
    let mut bytes = BytesMut::with_capacity(frames.iter().map(Prepared::len).sum());
    for frame in frames {
        bytes.extend_from_slice(&bytes_of(frame));
    }
    bytes.freeze()
}
