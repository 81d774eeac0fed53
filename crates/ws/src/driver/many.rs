//! What many connections get: written as it is, from one memory, where nothing waits before it (see `round.rs` and `bundle.rs`).

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{Driver, now};
use crate::{
    bundle::{Bundle, Forwarded},
    round::{MAX_ROUND, Owed, Round},
};

impl Driver {
    /// Takes part in a round, if nothing is to be written before it and it can be written as it is.
    pub(crate) fn follow(&mut self, round: &Arc<Round>, place: usize) -> bool {
        let follows = self.transport.is_some()
            && self.connection.forwards(MAX_ROUND)
            && self.connection.config().limits.soft_queue >= MAX_ROUND;
        if follows {
            self.owed = Some(Owed::new(round, place));
        }
        follows
    }

    /// Queues what it is owed, so that what comes next is behind it. Only a connection with senders is ever owed anything, so
    /// only what they do, and the end, has to begin with this.
    pub(crate) fn queue_owed(&mut self) {
        if let Some(owed) = self.owed.take() {
            // There was room for it when it took part, and it is refused only when nothing can leave any more.
            owed.part(|frame| drop(self.connection.send_accepted(now(), frame)));
        }
    }

    /// Writes a round that it takes part in, all of which `bytes` is, and says whether that has gone. If not, what is left is
    /// queued, or to be flushed.
    pub(crate) fn write_round(&mut self, round: &Arc<Round>, bytes: &[u8]) -> bool {
        let Some(owed) = self.owed.take_if(|owed| owed.is_of(round)) else {
            return false;
        };
        if bytes.is_empty() {
            // The round was opened for a message that others queued.
            return true;
        }
        let written = self.write_before_queueing(bytes, bytes.len());
        if matches!(written, Poll::Ready(Ok(n)) if n == bytes.len()) {
            return self.is_flushed();
        }
        self.owed = Some(owed);
        self.queue_owed();
        self.queued_after_writing(written);
        false
    }

    /// Writes messages that many get, if they can leave as they are and the transport takes some of them.
    pub(crate) fn forward(&mut self, bundle: &Bundle) -> Forwarded {
        let bytes = bundle.bytes(&self.connection);
        let Some(bytes) = bytes.filter(|_| self.owed.is_none()) else {
            return Forwarded::Refused;
        };
        let written = self.write_before_queueing(bytes, bytes.len());
        match written {
            Poll::Ready(Ok(n)) if n == bytes.len() => {}
            Poll::Pending => return Forwarded::Refused,
            Poll::Ready(_) => {
                for frame in bundle.frames() {
                    // Refused only when nothing can leave any more.
                    drop(self.connection.send_accepted(now(), frame.clone()));
                }
                self.queued_after_writing(written);
                return Forwarded::Queued;
            }
        }
        // Who has to wait for a flush does so with another waker, and sets the timer: there need be no runtime here.
        let cx = &mut Context::from_waker(Waker::noop());
        match self.poll_flush_once(cx) {
            Poll::Ready(()) => Forwarded::Written,
            Poll::Pending => Forwarded::Queued,
        }
    }
}
