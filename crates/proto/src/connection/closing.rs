//! The end of a connection: the closing handshake, failing, and who ends the transport (RFC 6455 §7).

use std::time::Instant;

use super::{
    Connection, State,
    outcome::{Cause, Deadline, Initiator, Outcome},
    receive::Receive,
};
use crate::{
    close::{CloseCode, CloseFrame},
    role::Role,
    violation::Violation,
};

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

impl Connection {
    pub(super) fn begin_close(
        &mut self,
        now: Instant,
        initiator: Initiator,
        cause: Cause,
        frame: CloseFrame,
    ) {
        self.late = false;
        self.transmit.push_close(frame.clone());
        let mut closing = Closing::new(initiator, cause, now);
        closing.sent = Some(frame);
        self.closing = Some(Box::new(closing));
    }

    pub(super) fn peer_closes(&mut self, now: Instant, frame: CloseFrame) {
        // Whatever else has arrived is behind a Close, and ignored (RFC 6455 §5.5.1).
        self.receive = Receive::default();
        if self.closing.is_none() {
            self.begin_close(
                now,
                Initiator::Peer,
                Cause::Close,
                CloseFrame::answer_to(&frame),
            );
        }
        if let Some(closing) = &mut self.closing {
            closing.received = Some(frame);
        }
    }

    /// Fails the connection (RFC 6455 §7.1.7): says why, and listens no more.
    fn fail(&mut self, now: Instant, cause: Cause, code: CloseCode, reason: &str) {
        self.receive = Receive::default();
        if self.closing.is_none() {
            self.begin_close(
                now,
                Initiator::Local,
                cause,
                CloseFrame::known(code, reason),
            );
        }
        if let Some(closing) = &mut self.closing {
            closing.cause = cause;
            closing.failed = true;
        }
    }

    #[cold]
    pub(super) fn fail_for(&mut self, violation: Violation, now: Instant) {
        let cause = Cause::Violation(violation);
        self.fail(now, cause, violation.code(), &violation.to_string());
    }

    pub(super) fn fail_on(&mut self, deadline: Deadline, now: Instant) {
        let cause = Cause::Timeout(deadline);
        let reason = deadline.to_string();
        match deadline {
            // Not a fault of the peer: the closing handshake takes its course.
            Deadline::Idle => {
                self.begin_close(
                    now,
                    Initiator::Local,
                    cause,
                    CloseFrame::known(CloseCode::GOING_AWAY, reason),
                );
            }
            Deadline::Keepalive => self.fail(now, cause, CloseCode::INTERNAL_ERROR, &reason),
            Deadline::Message => self.fail(now, cause, CloseCode::POLICY_VIOLATION, &reason),
            // A transport that takes nothing takes no Close either.
            Deadline::Write | Deadline::Close => {
                let mut closing = Closing::new(Initiator::Local, cause, now);
                closing.over = true;
                self.closing = Some(Box::new(closing));
            }
        }
    }

    pub(super) fn close_deadline(&self) -> Option<Instant> {
        self.closing
            .as_ref()?
            .begun
            .checked_add(self.config.close_timeout)
    }
}
