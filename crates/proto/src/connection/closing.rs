//! The end of a connection: the closing handshake, failing, and who ends the transport (RFC 6455 §7).

use std::time::Instant;

use super::{
    State,
    outcome::{Cause, Initiator, Outcome},
};
use crate::{close::CloseFrame, role::Role};

/// What is known about the end once it has begun.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, in any combination and order"
)]
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) initiator: Initiator,
    pub(super) cause: Cause,
    pub(super) begun: Instant,
    /// Our Close, queued or written.
    pub(super) sent: Option<CloseFrame>,
    pub(super) received: Option<CloseFrame>,
    /// Our Close has been handed to the transport.
    pub(super) written: bool,
    /// The connection was failed: whatever arrives is thrown away (RFC 6455 §7.1.7).
    pub(super) failed: bool,
    /// Our direction of the transport has been ended.
    pub(super) shut: bool,
    /// The peer's direction has ended.
    pub(super) eof: bool,
    /// Nothing more will happen.
    pub(super) over: bool,
    /// Bytes thrown away.
    pub(super) drained: u64,
}

impl Closing {
    pub(super) fn new(initiator: Initiator, cause: Cause, now: Instant) -> Self {
        Self {
            initiator,
            cause,
            begun: now,
            sent: None,
            received: None,
            written: false,
            failed: false,
            shut: false,
            eof: false,
            over: false,
            drained: 0,
        }
    }

    /// Where the connection stands.
    #[cold]
    pub(super) fn state(&self) -> State {
        if self.is_over() {
            State::Closed
        } else {
            State::Closing
        }
    }

    /// Both Closes have been exchanged.
    pub(super) fn is_clean(&self) -> bool {
        !self.failed && self.written && self.received.is_some()
    }

    /// The write side has to be ended now: we have said all, and either the peer has too and this is the server, which
    /// ends TCP first (RFC 6455 §7.1.1), or the connection failed and the peer shall notice.
    pub(super) fn wants_shutdown(&self, role: Role) -> bool {
        let said_all = self.written && !self.shut && !self.over;
        said_all && (self.failed || (self.received.is_some() && role == Role::Server))
    }

    /// Whether all is done that can be: then the transport is dropped.
    ///
    /// A server that has ended its direction waits for the peer to end the other, too: dropping the transport while
    /// something is unread would make the system discard what the peer has not read yet.
    pub(super) fn is_over(&self) -> bool {
        self.over || (self.eof && (self.written || self.sent.is_none()))
    }

    pub(super) fn outcome(&self) -> Outcome {
        Outcome {
            received: self.received.clone(),
            sent: self.sent.clone().filter(|_| self.written),
            initiator: self.initiator,
            cause: self.cause,
            clean: self.is_clean(),
        }
    }
}
