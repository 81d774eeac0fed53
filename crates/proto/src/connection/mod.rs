//! One WebSocket connection after its handshake: bytes in, events out, bytes out, deadlines.
//!
//! | family | methods | rule |
//! | --- | --- | --- |
//! | what happened | [`handle_input`](Connection::handle_input), [`handle_payload`](Connection::handle_payload), [`handle_eof`](Connection::handle_eof), [`handle_error`](Connection::handle_error), [`handle_timeout`](Connection::handle_timeout), [`transmitted`](Connection::transmitted) | never fail, whatever the peer did |
//! | what the application wants | [`send`](Connection::send), [`ping`](Connection::ping), [`close`](Connection::close) | give back what they refuse |
//! | what must be done | [`poll_event`](Connection::poll_event), [`poll_transmit`](Connection::poll_transmit), [`poll_timeout`](Connection::poll_timeout), [`step`](Connection::step) | asked after any of the above |
//! | what is | [`state`](Connection::state), [`outcome`](Connection::outcome), [`queued`](Connection::queued), … | cheap |
//!
//! A driver reads into a buffer of its own, hands over what was read, takes one event at a time until there is none, writes
//! what `poll_transmit` frames, and only then reads again. So nothing queues up: a slow application stops the
//! reading, and TCP stops the peer.

mod assembly;
mod closing;
mod elapsed;
mod event;
mod framed;
mod outcome;
mod receive;
mod timer;
mod transmit;
mod usual;

use std::{
    collections::VecDeque,
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut, buf::Limit};

pub(crate) use self::transmit::QUEUE_COST;
use self::{
    assembly::Delivery,
    closing::Closing,
    receive::{Incoming, Receive},
    timer::{Due, Timers, earlier},
    transmit::Transmit,
};
pub use self::{
    event::{Event, Step},
    framed::Room,
    outcome::{Cause, Deadline, Initiator, Outcome},
    transmit::{Batch, Outgoing},
};
use crate::{
    close::{CloseCode, CloseFrame},
    config::Config,
    deflate::{DeflateParams, Deflater, Inflater},
    frame::MAX_CONTROL_PAYLOAD,
    mask::MaskingKey,
    message::{Message, MessageKind},
    role::Role,
    violation::Violation,
};

/// Where a connection stands. CONNECTING is the handshake's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// The end has begun: nothing more can be sent.
    Closing,
    /// The transport can be dropped.
    Closed,
}

/// The state of one connection, without I/O, clock or randomness.
pub struct Connection {
    role: Role,
    config: Arc<Config>,
    receive: Receive,
    transmit: Transmit,
    timers: Timers,
    probes: u32,
    /// That the peer's sign of life is late is to be told.
    late: bool,
    closing: Option<Box<Closing>>,
}

impl Connection {
    /// A connection whose opening handshake has just succeeded.
    pub fn new(role: Role, config: Arc<Config>, now: Instant) -> Self {
        Self {
            role,
            config,
            receive: Receive::default(),
            transmit: Transmit::default(),
            timers: Timers::new(now),
            probes: 0,
            late: false,
            closing: None,
        }
    }

    /// With messages compressed as the handshake agreed. To be called before anything is received or sent.
    #[must_use]
    pub fn with_deflate(mut self, params: &DeflateParams) -> Self {
        self.receive = Receive::with_inflater(Inflater::new(self.role, params));
        self.transmit = Transmit::with_deflater(Deflater::new(self.role, params));
        self
    }

    // What happened.

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

    /// Our direction of the transport has been ended, as [`Step::Shutdown`] asked.
    pub fn shutdown_done(&mut self) {
        if let Some(closing) = &mut self.closing {
            closing.shut = true;
        }
    }

    // What the application wants.

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

    /// Why no message can be taken at all, however much room there is.
    fn refusal(&self) -> Option<SendErrorKind> {
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

    /// Queues a ping. Its pong comes as [`Event::Pong`].
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

    // What must be done.

    /// The next thing that bytes already taken complete. The answer changes with
    /// [`handle_input`](Self::handle_input) and with each call.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        if std::mem::take(&mut self.late) {
            return Some(Event::Late);
        }
        if let Some(message) = self.poll_message(now) {
            return Some(Event::Message(message));
        }
        // A message that comes after our Close is complete and yet no event: what is behind it may be one.
        while self.has_pending_input() {
            let incoming = self.receive.resume(self.role, &self.config);
            if let Some(event) = self.take_incoming(now, incoming) {
                return Some(event);
            }
        }
        None
    }

    /// The message that [`poll_event`](Self::poll_event) would return next, in less time; `None` says nothing about other events,
    /// nor about messages that are not of the usual kind: whole, in one frame and not compressed.
    #[inline]
    pub fn poll_message(&mut self, now: Instant) -> Option<Message> {
        if self.closing.is_some() || self.late {
            return None;
        }
        let message = self.receive.next_message(self.role, &self.config)?;
        self.timers.data_received(now, &self.config);
        Some(message)
    }

    /// Appends to `messages` what [`poll_message`](Self::poll_message) would return, one after the other, until there are `max` of them,
    /// or `enough` bytes of payload.
    pub fn poll_messages(
        &mut self,
        now: Instant,
        messages: &mut VecDeque<Message>,
        max: usize,
        enough: usize,
    ) {
        if self.closing.is_some() || self.late {
            return;
        }
        let (before, mut bytes) = (messages.len(), 0);
        while messages.len() < max
            && bytes < enough
            && let Some(message) = self.receive.next_message(self.role, &self.config)
        {
            bytes += message.len();
            messages.push_back(message);
        }
        if messages.len() > before {
            self.timers.data_received(now, &self.config);
        }
    }

    /// Whether [`poll_event`](Self::poll_event) is worth asking.
    pub fn has_events(&self) -> bool {
        self.late || self.has_pending_input()
    }

    /// Frames what one write can take into `batch`; false if there is nothing to write.
    ///
    /// `key` draws a masking key for each frame; it must be unpredictable (RFC 6455 §10.3), and is not called on a
    /// server. Write the batch and report with [`transmitted`](Self::transmitted), until there is no more.
    pub fn poll_transmit(&self, batch: &mut Batch, mut key: impl FnMut() -> MaskingKey) -> bool {
        if self.is_mute() {
            batch.clear();
            return false;
        }
        self.transmit
            .fill(batch, self.role, &self.config.limits, &mut key);
        !batch.is_empty()
    }

    /// Lets `room` take such messages as could leave next and as they are: those of a server that are small and not compressed, as long as they count
    /// for less than [`soft_queue`](crate::Limits::soft_queue). False if it takes none. It is for drivers that collect what is sent for one write, and
    /// have a shorter way to a room than to the connection.
    ///
    /// It holds until something else is sent, before which what is in the room has to be [handed over](Self::hand_over).
    pub fn open_room(&self, room: &mut Room) -> bool {
        let limits = &self.config.limits;
        let most = limits.soft_queue.min(limits.hard_queue);
        room.max_cost = most.saturating_sub(self.transmit.queued());
        room.max_len = match self.refusal() {
            Some(_) => 0,
            None => self.transmit.small_len(self.role, limits.fragment),
        };
        room.max_len > 0
    }

    /// Queues what `room` has, before all other messages, and shuts the room, whose memory is lent to messages to come. They were accepted before
    /// the end began, so they leave before our Close, if anything still leaves. The write deadline does not count before
    /// [`write_begins`](Self::write_begins).
    pub fn hand_over(&mut self, room: &mut Room) {
        if self.transmit.close_begun() {
            room.clear();
        }
        room.shut();
        self.transmit.hand_over(room);
    }

    /// Gives a room's memory back, if it was lent. Messages that wait in it move into memory of the connection's own.
    pub fn reclaim(&mut self, room: &mut Room) {
        self.transmit.reclaim(room);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do. The answer changes with every other call; it
    /// is enough to look again when the moment has come, and whenever it may have become earlier.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.closing {
            None => earlier(self.timers.next(&self.config), self.transmit.idle_at()),
            Some(closing) if closing.is_over() => None,
            Some(_) => self.close_deadline(),
        }
    }

    /// Whether [`poll_timeout`](Self::poll_timeout) has moved only away, if at all, since it was last asked: nothing is under
    /// way that has a deadline of its own. A timer that was set by it may stay as it is.
    pub fn is_quiet(&self) -> bool {
        self.closing.is_none() && self.timers.are_quiet() && self.transmit.idle_at().is_none()
    }

    /// When [`handle_write_timeout`](Self::handle_write_timeout) has something to do.
    pub fn poll_write_timeout(&self) -> Option<Instant> {
        self.timers.write(&self.config)
    }

    /// What the driver does when nothing is left to write.
    pub fn step(&self) -> Step {
        match &self.closing {
            Some(closing) if closing.is_over() => Step::Drop,
            Some(closing) if closing.wants_shutdown(self.role) => Step::Shutdown,
            Some(_) | None => Step::Run,
        }
    }

    // What is.

    /// Where the connection stands.
    #[inline]
    pub fn state(&self) -> State {
        match &self.closing {
            None => State::Open,
            Some(closing) => closing.state(),
        }
    }

    /// When it began.
    pub fn opened(&self) -> Instant {
        self.timers.begun()
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How the connection ended; `None` until it is closed.
    pub fn outcome(&self) -> Option<Outcome> {
        self.closing
            .as_ref()
            .filter(|closing| closing.is_over())
            .map(|closing| closing.outcome())
    }

    /// Bytes accepted and not yet written, with a fixed cost for each message.
    pub fn queued(&self) -> usize {
        self.transmit.queued()
    }

    /// Something is to be written.
    pub fn wants_write(&self) -> bool {
        !self.is_mute() && !self.transmit.is_empty()
    }

    /// A pong, ping or Close is to be written, or the rest of a frame that the transport took in part. None of them
    /// should wait for the application.
    pub fn wants_control_write(&self) -> bool {
        !self.is_mute() && self.transmit.has_control()
    }

    /// The transport holds back what it took, for longer than [`Config::write_timeout`]: the connection is given up, for a
    /// driver whose transport has a buffer of its own.
    pub fn handle_write_stalled(&mut self, now: Instant) {
        if self.closing.is_none() {
            self.fail_on(Deadline::Write, now);
        }
    }

    /// Whether a [frame](crate::Prepared::frame) of so many bytes, sent now, would leave at once and as it is, unless it [may be
    /// compressed](crate::Prepared::may_be_compressed). Then a driver may write it without queueing it here.
    pub fn forwards(&self, len: usize) -> bool {
        self.closing.is_none()
            && self.role == Role::Server
            && len <= self.config.limits.fragment
            && self.transmit.is_empty()
            && !self.transmit.in_parts()
    }

    /// Whether the transport is to be read: until its end was reported.
    pub fn wants_read(&self) -> bool {
        self.closing
            .as_ref()
            .is_none_or(|closing| !closing.eof && !closing.over)
    }

    /// Bytes already taken may complete more events.
    pub fn has_pending_input(&self) -> bool {
        !self.is_deaf() && self.receive.has_pending()
    }

    /// The round trip of the last ping that was answered.
    pub fn latency(&self) -> Option<Duration> {
        self.timers.latency()
    }

    /// Whether a ping with this payload was sent and no pong has answered it, or a later one.
    pub fn awaits_pong(&self, payload: &[u8]) -> bool {
        self.timers.awaits_pong(payload)
    }

    /// Bytes of heap held for unfinished input and output: zero when idle.
    pub fn buffered(&self) -> usize {
        self.receive.held() + self.transmit.held()
    }

    // Helpers.

    fn push(&mut self, now: Instant, outgoing: Outgoing) {
        self.transmit
            .push_data(now, outgoing, self.role, self.config.limits.fragment);
        self.timers.write_begins(now);
    }

    /// Nothing that arrives is looked at: the connection failed, or the peer has said its last.
    fn is_deaf(&self) -> bool {
        self.closing
            .as_ref()
            .is_some_and(|closing| closing.failed || closing.over || closing.received.is_some())
    }

    /// Nothing leaves any more: our direction of the transport has been ended, or all is over.
    fn is_mute(&self) -> bool {
        self.closing
            .as_ref()
            .is_some_and(|closing| closing.shut || closing.is_over())
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
    fn take_incoming(
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

    fn peer_closes(&mut self, now: Instant, frame: CloseFrame) {
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

    fn begin_close(&mut self, now: Instant, initiator: Initiator, cause: Cause, frame: CloseFrame) {
        self.late = false;
        self.transmit.push_close(frame.clone());
        let mut closing = Closing::new(initiator, cause, now);
        closing.sent = Some(frame);
        self.closing = Some(Box::new(closing));
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
    fn fail_for(&mut self, violation: Violation, now: Instant) {
        let cause = Cause::Violation(violation);
        self.fail(now, cause, violation.code(), &violation.to_string());
    }

    fn fail_on(&mut self, deadline: Deadline, now: Instant) {
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

    fn close_deadline(&self) -> Option<Instant> {
        self.closing
            .as_ref()?
            .begun
            .checked_add(self.config.close_timeout)
    }
}

/// Where it stands, not what it carries: payloads do not belong into logs.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("state", &self.state())
            .field("queued", &self.queued())
            .field("outcome", &self.outcome())
            .finish_non_exhaustive()
    }
}

/// A message that was not accepted.
#[derive(Debug)]
#[non_exhaustive]
pub struct SendError {
    /// The message, given back.
    pub outgoing: Outgoing,
    /// Why.
    pub kind: SendErrorKind,
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// A Close was sent or received.
    Closed,
    /// With it the queue would be over [`Limits::hard_queue`](crate::Limits::hard_queue).
    Full,
    /// A message in parts was begun and is not complete: the frames of two messages cannot be mixed (RFC 6455 §5.4).
    InParts,
    /// A part of a text message, or its end, makes it one that is not UTF-8.
    NotUtf8,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Display for SendErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the connection is closing",
            Self::Full => "the queue is full",
            Self::InParts => "a message in parts is not complete",
            Self::NotUtf8 => "the text is not UTF-8",
        })
    }
}

impl std::error::Error for SendError {}

impl std::error::Error for SendErrorKind {}

/// A ping that was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PingError {
    /// The payload has this many bytes, more than 125.
    TooLong(usize),
    /// [`Limits::max_pings`](crate::Limits::max_pings) are unanswered, or as many pongs as are allowed wait to be written.
    TooMany,
    /// A Close was sent or received.
    Closed,
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(len) => write!(f, "ping of {len} bytes is over {MAX_CONTROL_PAYLOAD}"),
            Self::TooMany => f.write_str("too many pings or pongs are under way"),
            Self::Closed => f.write_str("the connection is closing"),
        }
    }
}

impl std::error::Error for PingError {}
