//! What the application wants: messages, pings and the end.

use std::time::Instant;

use bytes::Bytes;

use super::{
    Connection,
    closing::Closing,
    error::{PingError, SendError, SendErrorKind},
    outcome::{Cause, Initiator},
    outgoing::Outgoing,
};
use crate::{
    close::{CloseCode, CloseFrame},
    frame::MAX_CONTROL_PAYLOAD,
    message::MessageKind,
    role::Role,
};

impl Connection {
    /// Queues a message; [`poll_transmit`](Self::poll_transmit) will frame it.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the message back: the connection is closing, or the queue is full.
    pub fn send(&mut self, now: Instant, outgoing: impl Into<Outgoing>) -> Result<(), SendError> {
        let outgoing = outgoing.into();
        if let Err(kind) = self.admit(outgoing.len()) {
            return Err(SendError { outgoing, kind });
        }
        self.send_reserved(now, outgoing)
    }

    /// Queues a small message of a server as [`send`](Self::send) does, in less time; false if it has to be sent by that. It is for
    /// drivers that collect what is sent: the write deadline does not count before [`write_begins`](Self::write_begins).
    #[inline]
    pub fn send_small(&mut self, outgoing: &Outgoing) -> bool {
        let limits = &self.config.limits;
        self.refusal().is_none()
            && self.transmit.queued() < limits.hard_queue.saturating_sub(outgoing.len())
            && self
                .transmit
                .push_small(outgoing, self.role, limits.fragment)
    }

    /// What was collected is about to be written.
    pub fn write_begins(&mut self, now: Instant) {
        if !self.transmit.is_empty() {
            self.timers.write_begins(now);
        }
    }

    /// Queues a message for which room was found earlier, when fewer than
    /// [`Limits::soft_queue`](crate::Limits::soft_queue) bytes were queued: it is not looked for again.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the message back: the connection is closing, or a message in parts is not complete.
    pub fn send_reserved(
        &mut self,
        now: Instant,
        outgoing: impl Into<Outgoing>,
    ) -> Result<(), SendError> {
        let outgoing = outgoing.into();
        if let Some(kind) = self.refusal() {
            return Err(SendError { outgoing, kind });
        }
        self.push(now, outgoing);
        Ok(())
    }

    /// Queues a message as [`send_reserved`](Self::send_reserved) does, for a driver that accepted it before the end began: it
    /// leaves before our Close.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the message back: our Close has begun to leave, the connection failed, or a message in parts is not
    /// complete.
    pub fn send_accepted(
        &mut self,
        now: Instant,
        outgoing: impl Into<Outgoing>,
    ) -> Result<(), SendError> {
        let outgoing = outgoing.into();
        let kind = match &self.closing {
            Some(closing) if closing.failed || closing.over => SendErrorKind::Closed,
            _ if self.transmit.close_begun() => SendErrorKind::Closed,
            _ if self.transmit.in_parts() => SendErrorKind::InParts,
            _ => {
                self.push(now, outgoing);
                return Ok(());
            }
        };
        Err(SendError { outgoing, kind })
    }

    /// Queues a message, for which older ones are dropped, the oldest first, until fewer than `below` bytes are queued; says
    /// how many were. What has begun to leave stays, and so does what the peer needs to understand later messages.
    ///
    /// # Errors
    ///
    /// [`SendError`] gives the message back, and nothing was dropped: the connection is closing, a message in parts is not
    /// complete, or the queue is full of what has to stay.
    pub fn send_displacing(
        &mut self,
        now: Instant,
        outgoing: impl Into<Outgoing>,
        below: usize,
    ) -> Result<usize, SendError> {
        let outgoing = outgoing.into();
        if let Some(kind) = self.refusal() {
            return Err(SendError { outgoing, kind });
        }
        // Where dropping does not help, nothing is dropped.
        let kind = SendErrorKind::Full;
        let Some(dropped) = self.transmit.drop_oldest_until(below) else {
            return Err(SendError { outgoing, kind });
        };
        self.send_reserved(now, outgoing)?;
        Ok(dropped)
    }

    /// Queues the next part of a message, or the first one; `fin` says that it is the last. Until then only parts
    /// of this message can be sent, whose `kind` is that of the first, and control frames go in between.
    ///
    /// # Errors
    ///
    /// The part was not queued, and the message goes on without it: the connection is closing, the queue is full, or
    /// the text is not UTF-8. A character may be spread over parts.
    pub fn send_part(
        &mut self,
        now: Instant,
        kind: MessageKind,
        payload: Bytes,
        fin: bool,
    ) -> Result<(), SendErrorKind> {
        self.admit(payload.len())?;
        self.transmit.push_part(now, kind, payload, fin)?;
        // A part of nothing is not queued, and there may be nothing else to write.
        if !self.transmit.is_empty() {
            self.timers.write_begins(now);
        }
        Ok(())
    }

    /// Whether a message in parts was begun and is not complete.
    pub fn is_sending_parts(&self) -> bool {
        self.transmit.in_parts()
    }

    /// Queues a pong that no ping asked for (RFC 6455 §5.5.3): a sign of life that wants no answer.
    ///
    /// # Errors
    ///
    /// The payload is over 125 bytes, [`max_pongs`](crate::Limits::max_pongs) wait to be written, or the connection is closing.
    pub fn pong(&mut self, now: Instant, payload: Bytes) -> Result<(), PingError> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(PingError::TooLong(payload.len()));
        }
        if self.closing.is_some() {
            return Err(PingError::Closed);
        }
        if self.transmit.pongs() >= self.config.limits.max_pongs {
            return Err(PingError::TooMany);
        }
        self.transmit
            .push_pong(payload, self.config.limits.max_pongs);
        self.timers.write_begins(now);
        Ok(())
    }

    /// Queues a ping. Its pong comes as [`Event::Pong`](super::Event::Pong).
    ///
    /// # Errors
    ///
    /// The payload is over 125 bytes, too many pings are unanswered, or the connection is closing.
    pub fn ping(&mut self, now: Instant, payload: Bytes) -> Result<(), PingError> {
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(PingError::TooLong(payload.len()));
        }
        if self.closing.is_some() {
            return Err(PingError::Closed);
        }
        if self.timers.outstanding_pings() >= self.config.limits.max_pings {
            return Err(PingError::TooMany);
        }
        self.timers.ping_sent(payload.clone(), now);
        self.transmit.push_ping(payload);
        self.timers.write_begins(now);
        Ok(())
    }

    /// Begins the closing handshake: messages accepted so far leave, then a Close. From then on messages that arrive
    /// are thrown away, as browsers do. Does nothing if the end has begun already.
    ///
    /// A server may not say 1010, that an extension is missing: it says 1011 in its place (RFC 6455 §7.4.1).
    pub fn close(&mut self, now: Instant, frame: CloseFrame) {
        if self.closing.is_none() {
            let frame = match (self.role, frame.code()) {
                (Role::Server, CloseCode::MANDATORY_EXTENSION) => {
                    CloseFrame::known(CloseCode::INTERNAL_ERROR, frame.reason().to_owned())
                }
                _ => frame,
            };
            self.begin_close(now, Initiator::Local, Cause::Close, frame);
        }
    }

    /// Gives the connection up without a closing handshake.
    pub fn abandon(&mut self, now: Instant) {
        let closing = self
            .closing
            .get_or_insert_with(|| Box::new(Closing::new(Initiator::Local, Cause::Abandoned, now)));
        closing.over = true;
    }

    /// Why no message can be taken at all, however much room there is.
    pub(super) fn refusal(&self) -> Option<SendErrorKind> {
        match self.closing {
            Some(_) => Some(SendErrorKind::Closed),
            None => self.transmit.in_parts().then_some(SendErrorKind::InParts),
        }
    }

    /// There is room for so much more, and somebody to send it to.
    fn admit(&self, len: usize) -> Result<(), SendErrorKind> {
        if self.closing.is_some() {
            return Err(SendErrorKind::Closed);
        }
        let queued = self.transmit.queued();
        if queued > 0 && queued.saturating_add(len) > self.config.limits.hard_queue {
            return Err(SendErrorKind::Full);
        }
        Ok(())
    }

    fn push(&mut self, now: Instant, outgoing: Outgoing) {
        self.transmit
            .push_data(now, outgoing, self.role, self.config.limits.fragment);
        self.timers.write_begins(now);
    }
}
