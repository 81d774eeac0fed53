//! What happened: bytes, the end of the transport, deadlines, and what was written.

use std::{io, time::Instant};

use bytes::{Bytes, BytesMut, buf::Limit};

use super::{
    Connection,
    assembly::Delivery,
    batch::Batch,
    closing::Closing,
    event::Event,
    outcome::{Cause, Deadline, Initiator},
    receive::Incoming,
    timer::Due,
};
use crate::{message::Message, violation::Violation};

impl Connection {
    /// Takes bytes that arrived, unmasking them in place, and returns the first thing they complete.
    ///
    /// They may end anywhere. What is behind that first thing is copied and waits for [`poll_event`](Self::poll_event),
    /// which has to be asked until it has no more before the next read. After the connection failed, or after the
    /// peer's Close, the bytes are thrown away.
    pub fn handle_input(&mut self, now: Instant, input: &mut [u8]) -> Option<Event> {
        if self.closing.is_none()
            && let Some(message) = self.receive.message(input, self.role, &self.config)
        {
            return Some(self.usual(now, message));
        }
        self.heard(now);
        if self.is_deaf() {
            self.drain(input.len());
            self.end_overdue(now);
            return None;
        }
        let incoming = self.receive.input(input, self.role, &self.config);
        let event = self
            .take_incoming(now, incoming)
            .or_else(|| self.poll_event(now));
        self.end_overdue(now);
        event
    }

    /// The same with a buffer that the driver lends to one connection after the other: a message that fills at least half of it is
    /// taken out of it instead of copied, so that whoever keeps the message keeps at most twice its size.
    ///
    /// What the buffer holds afterwards means nothing. [`BytesMut::try_reclaim`] gets its room back once nobody has the message
    /// any more.
    pub fn handle_buffer(&mut self, now: Instant, buffer: &mut BytesMut) -> Option<Event> {
        if self.closing.is_none()
            && let Some(message) = self.receive.split(buffer, self.role, &self.config)
        {
            return Some(self.usual(now, message));
        }
        self.handle_input(now, buffer)
    }

    /// Bytes have arrived.
    fn heard(&mut self, now: Instant) {
        self.late = false;
        self.timers.bytes_received(now, &self.config);
    }

    /// A message of the usual kind has arrived, by which nothing else changes.
    fn usual(&mut self, now: Instant, message: Message) -> Event {
        self.heard(now);
        self.timers.data_received(now, &self.config);
        Event::Message(message)
    }

    /// Keeps bytes that came along with the opening handshake for [`poll_event`](Self::poll_event).
    pub fn hold_input(&mut self, input: &[u8]) {
        self.receive.hold(input);
    }

    /// Hands messages out as [parts](Event::Part) from now on, or whole again.
    ///
    /// Parts are at most as long as one input, or 64 KiB and a little if they came compressed (the first also has what had
    /// arrived of a message that had begun before), and a message in parts may have any
    /// size, any number of fragments, and take any time: who asks for parts decides when enough is enough. Whole again,
    /// what is left of a message in parts is thrown away, up to [`max_message`](crate::Limits::max_message).
    pub fn receive_parts(&mut self, now: Instant, on: bool) {
        self.receive
            .set_delivery(if on { Delivery::Parts } else { Delivery::Whole });
        self.timers
            .mid_message(now, self.receive.is_mid_message(), on);
    }

    /// Room to read the payload of a big message straight into its buffer; `None` if the bytes should come by
    /// [`handle_input`](Self::handle_input). Report what was read with [`handle_payload`](Self::handle_payload).
    ///
    /// There is never more room than the peer has yet to send of the current frame.
    pub fn payload_space(&mut self) -> Option<Limit<&mut BytesMut>> {
        if self.is_deaf() {
            None
        } else {
            self.receive.payload_space()
        }
    }

    /// Takes note of `n` bytes that were appended to [`payload_space`](Self::payload_space).
    pub fn handle_payload(&mut self, now: Instant, n: usize) -> Option<Event> {
        self.heard(now);
        let incoming = self.receive.payload_received(n);
        let event = self.take_incoming(now, incoming);
        self.end_overdue(now);
        event
    }

    /// The peer's direction of the transport has ended.
    pub fn handle_eof(&mut self, now: Instant) {
        let closing = self.closing.get_or_insert_with(|| {
            let mut closing = Closing::new(Initiator::Peer, Cause::Eof, now);
            // RFC 6455 §7.1.7: there is nobody left to say anything to.
            closing.failed = true;
            Box::new(closing)
        });
        // If our Close is under way, it may still leave: the peer has ended only its own direction.
        closing.eof = true;
    }

    /// The transport failed. After both Closes were exchanged that is no fault.
    pub fn handle_error(&mut self, now: Instant, kind: io::ErrorKind) {
        let closing = self.closing.get_or_insert_with(|| {
            let mut closing = Closing::new(Initiator::Peer, Cause::Io(kind), now);
            closing.failed = true;
            Box::new(closing)
        });
        closing.over = true;
    }

    /// Acts on every deadline that has passed by `now`. Ask [`poll_transmit`](Self::poll_transmit) and
    /// [`poll_timeout`](Self::poll_timeout) afterwards.
    ///
    /// Call it only when the transport has no bytes to read: they may be the sign of life that is waited for.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.close_deadline().is_some_and(|at| at <= now) {
            if let Some(closing) = &mut self.closing {
                closing.over = true;
                if !closing.is_clean() && closing.cause == Cause::Close {
                    closing.cause = Cause::Timeout(Deadline::Close);
                }
            }
            return;
        }
        if self.closing.is_some() {
            return;
        }
        self.transmit.release_idle(now);
        match self.timers.due(now, &self.config) {
            Some(Due::Ping) => self.probe(now),
            Some(Due::Late) => {
                self.timers.late_said();
                self.late = true;
                // After a long sleep of the machine more than this may be due.
                self.handle_timeout(now);
            }
            Some(Due::Fail(deadline)) => self.fail_on(deadline, now),
            None => {}
        }
    }

    /// Acts on the write deadline alone, for a driver that writes and does not read: other deadlines may have been
    /// met by bytes that wait in the transport.
    pub fn handle_write_timeout(&mut self, now: Instant) {
        if self.closing.is_none() && self.poll_write_timeout().is_some_and(|at| at <= now) {
            self.fail_on(Deadline::Write, now);
        }
    }

    /// The transport holds back what it took, for longer than [`Config::write_timeout`](crate::Config::write_timeout): the connection is given up, for a
    /// driver whose transport has a buffer of its own.
    pub fn handle_write_stalled(&mut self, now: Instant) {
        if self.closing.is_none() {
            self.fail_on(Deadline::Write, now);
        }
    }

    /// All that is to be written, if it is small messages of a server and nothing else: to be written as it is, without
    /// [`poll_transmit`](Self::poll_transmit), and reported with [`small_transmitted`](Self::small_transmitted).
    pub fn small_to_transmit(&self) -> Option<&[u8]> {
        if self.closing.is_some() {
            return None;
        }
        self.transmit.only_framed()
    }

    /// The transport took the first `n` bytes of [`small_to_transmit`](Self::small_to_transmit).
    pub fn small_transmitted(&mut self, now: Instant, n: usize) {
        self.transmit.framed_written(n);
        self.timers.write_progress(now, !self.transmit.is_empty());
    }

    /// The transport took the first `n` bytes of the batch that the last [`poll_transmit`](Self::poll_transmit) filled.
    /// Nothing may have been queued or received in between.
    pub fn transmitted(&mut self, now: Instant, batch: &Batch, n: usize) {
        self.transmit.written(batch, n);
        if n > 0 {
            self.timers.write_progress(now, !self.transmit.is_empty());
        }
        if let Some(closing) = &mut self.closing {
            closing.written = self.transmit.close_written();
        }
    }

    /// Our direction of the transport has been ended, as [`Step::Shutdown`](super::Step::Shutdown) asked.
    pub fn shutdown_done(&mut self) {
        if let Some(closing) = &mut self.closing {
            closing.shut = true;
        }
    }

    /// Keeps the deadlines that bytes do not extend, also while bytes come without end.
    fn end_overdue(&mut self, now: Instant) {
        let deadline = match &self.closing {
            Some(_) => self.close_deadline(),
            None => self.timers.message(&self.config),
        };
        if deadline.is_some_and(|at| at <= now) {
            self.handle_timeout(now);
        }
    }

    fn drain(&mut self, n: usize) {
        let max = self.config.limits.max_drain;
        if let Some(closing) = &mut self.closing {
            closing.drained = closing.drained.saturating_add(n as u64);
            closing.over |= closing.drained > max;
        }
    }

    #[inline]
    pub(super) fn take_incoming(
        &mut self,
        now: Instant,
        incoming: Result<Option<Incoming>, Violation>,
    ) -> Option<Event> {
        let event = match incoming {
            Ok(Some(incoming)) => self.incoming(now, incoming),
            Ok(None) => None,
            Err(violation) => {
                self.fail_for(violation, now);
                None
            }
        };
        if self.receive.take_data_seen() {
            self.timers.data_received(now, &self.config);
        }
        self.timers
            .mid_message(now, self.receive.is_mid_message(), self.receive.in_parts());
        event
    }

    #[inline]
    fn incoming(&mut self, now: Instant, incoming: Incoming) -> Option<Event> {
        match incoming {
            // Ours is said: what comes before the peer's Close is thrown away.
            Incoming::Message(_) | Incoming::Part { .. } if self.closing.is_some() => None,
            Incoming::Message(message) => Some(Event::Message(message)),
            Incoming::Part { kind, payload, fin } => Some(Event::Part { kind, payload, fin }),
            Incoming::Ping(payload) => {
                // RFC 6455 §5.5.2: answered with the same data, unless a Close was sent or received.
                if self.closing.is_none() {
                    self.transmit
                        .push_pong(payload.clone(), self.config.limits.max_pongs);
                    self.timers.write_begins(now);
                }
                Some(Event::Ping(payload))
            }
            Incoming::Pong(payload) => {
                let latency = self.timers.pong_received(&payload, now);
                Some(Event::Pong { payload, latency })
            }
            Incoming::Close(frame) => {
                self.peer_closes(now, frame.clone());
                Some(Event::Close(frame))
            }
        }
    }

    /// Sends a keepalive ping. Its payload counts up, so that a late pong is not taken for a fresh one.
    fn probe(&mut self, now: Instant) {
        // Nothing has come for a while: what is not in use goes.
        self.receive.release_idle();
        self.probes = self.probes.wrapping_add(1);
        let payload = Bytes::copy_from_slice(&self.probes.to_be_bytes());
        if self.timers.outstanding_pings() >= self.config.limits.max_pings {
            // A peer that shows life but never answers: the oldest ping is not waited for any longer, and need not leave.
            if let Some(oldest) = self.timers.forget_oldest_ping() {
                self.transmit.drop_ping(&oldest);
            }
        }
        self.timers.ping_sent(payload.clone(), now);
        self.timers.probe_sent(now);
        self.transmit.push_ping(payload);
        self.timers.write_begins(now);
    }
}
