//! Replies that wait for their connection.

use std::collections::VecDeque;

use fullduplex::Outgoing;

use super::HIGH_WATER;

/// Replies, and messages on their way into the log, that one session may have waiting. Enough for
/// every command of one read of a busy client.
const MAX_REPLIES: usize = 64;
/// Bytes of replies that one session may have waiting: as much as one write takes. A reply that
/// lists a full room has about as many.
const MAX_BYTES: usize = HIGH_WATER;

/// The replies a session has not handed to its connection yet. None is ever dropped: above the
/// bounds no further command is read, so they are passed by what one command causes, at most.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    replies: VecDeque<Outgoing>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, reply: impl Into<Outgoing>) {
        let reply = reply.into();
        self.bytes += reply.len();
        self.replies.push_back(reply);
    }

    pub(super) fn extend(&mut self, reply: Option<impl Into<Outgoing>>) {
        if let Some(reply) = reply {
            self.push(reply);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Outgoing> {
        let reply = self.replies.pop_front()?;
        self.bytes -= reply.len();
        Some(reply)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.replies.is_empty()
    }

    /// Whether another command may be read while the replies to `coming` are still to come.
    pub(super) fn has_room(&self, coming: usize) -> bool {
        self.replies.len() + coming < MAX_REPLIES && self.bytes < MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_full_by_number_or_by_bytes_and_room_comes_back() {
        let mut outbox = Outbox::default();
        outbox.push("x".repeat(MAX_BYTES - 1));
        assert!(outbox.has_room(MAX_REPLIES - 2));
        assert!(!outbox.has_room(MAX_REPLIES - 1));
        outbox.push("x");
        assert!(!outbox.has_room(0));
        assert_eq!(outbox.pop().map(|reply| reply.len()), Some(MAX_BYTES - 1));
        assert!(outbox.has_room(0));
    }
}
