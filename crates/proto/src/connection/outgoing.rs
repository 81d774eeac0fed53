//! What can be sent, and what it counts for while it waits.

use crate::{message::Message, prepared::Prepared};

/// Bytes that a queued message counts for beside its payload: its place in the queue and its header.
pub(crate) const QUEUE_COST: usize = 64;

/// Something to send.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outgoing {
    /// A message of this connection alone.
    Message(Message),
    /// A message that goes as it is where others are compressed: see [`Message::uncompressed`].
    Uncompressed(Message),
    /// A frame that other connections send as well.
    Prepared(Prepared),
}

impl Outgoing {
    /// Bytes of payload.
    pub fn len(&self) -> usize {
        match self {
            Self::Message(message) | Self::Uncompressed(message) => message.len(),
            Self::Prepared(prepared) => prepared.payload_len(),
        }
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it counts for at most in [`Connection::queued`](crate::Connection::queued), unless compressing makes it longer.
    pub fn queue_cost(&self) -> usize {
        match self {
            Self::Message(message) | Self::Uncompressed(message) => message.len() + QUEUE_COST,
            Self::Prepared(prepared) => prepared.queue_cost(),
        }
    }
}

impl<T: Into<Message>> From<T> for Outgoing {
    fn from(message: T) -> Self {
        Self::Message(message.into())
    }
}

impl From<Prepared> for Outgoing {
    fn from(prepared: Prepared) -> Self {
        Self::Prepared(prepared)
    }
}
