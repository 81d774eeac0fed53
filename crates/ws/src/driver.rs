//! The only loop that touches bytes: it moves them between a transport and the protocol's state.
//!
//! Everything here is a poll function under one short lock (see `shared.rs`), so dropping a future between two polls
//! loses nothing: whatever was read is in the [`Connection`], whatever was accepted is in its queue.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fullduplex_proto::{
    Batch, CloseCode, CloseFrame, Connection, Event, MaskingKey, Message, MessageKind, Outcome,
    Outgoing, PingError, Room, SendErrorKind, State, Step,
};
use tokio::{io::AsyncWrite, sync::oneshot};
use tokio_util::io::poll_read_buf;

use crate::{
    alarm::Alarm,
    bundle::{Bundle, Forwarded},
    error::Error,
    ping::Pings,
    rate::{Limiter, RateLimit, Verdict},
    reader::Part,
    room::{self, Key},
    round::{MAX_ROUND, Owed, Round},
    scratch,
    transport::Transport,
};

/// Slices of one vectored write. A batch rarely has more, and if it has, the rest leaves with the next.
const MAX_SLICES: usize = 64;

/// A connection with its transport and its timer.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, in any combination"
)]
#[derive(Debug)]
pub(crate) struct Driver {
    connection: Connection,
    /// `None` once it has been dropped, which closes it.
    transport: Option<Transport>,
    /// Fires at or before the connection's next deadline.
    alarm: Option<Alarm>,
    /// Since when the transport may hold bytes back until it is flushed.
    unflushed: Option<Instant>,
    /// Whether messages are handed out in parts.
    in_parts: bool,
    /// Who waits for a pong.
    pings: Pings,
    /// What the peer may send in a time; boxed, as few have one.
    rate: Option<Box<Limiter>>,
    /// What the handler does, if a helper runs one (see `cork.rs`).
    pub(crate) handler: Handler,
    clock: Clock,
    /// More than one task may wait for it: halves, or a helper beside the handler.
    pub(crate) several: bool,
    /// The task that polls has waited before, and nobody else has since: it is known whom to wake.
    pub(crate) waits_as_before: bool,
    /// A stream has yielded the error that it ended with.
    told: bool,
    /// Handles that share it (see `shared.rs`).
    pub(crate) owners: usize,
    /// What a group is about to write to all its members, this one among them (see `round.rs`).
    owed: Option<Owed>,
    /// Where the room of the thread is by which the handler is polled.
    pub(crate) room: RoomState,
}

/// A handler, whose helper is one of the connection's owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handler {
    /// There is none, or it is done.
    None,
    /// It is being polled: writes wait for the end of that.
    Runs,
    /// It waits to be polled.
    Waits,
}

/// What is known of the room (see `room.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RoomState {
    /// No handler is polled.
    Nowhere,
    /// Nothing is in it.
    Shut,
    /// There may be messages in it.
    Open,
    /// There may be, and the connection was used elsewhere since.
    Spoilt,
}

impl Driver {
    pub(crate) fn new(connection: Connection, transport: Transport) -> Self {
        Self {
            connection,
            transport: Some(transport),
            alarm: None,
            unflushed: None,
            in_parts: false,
            pings: Pings::default(),
            rate: None,
            handler: Handler::None,
            clock: Clock::Runs,
            several: false,
            waits_as_before: false,
            told: false,
            owners: 1,
            owed: None,
            room: RoomState::Nowhere,
        }
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Bytes accepted and not yet written, with a fixed cost for each message.
    pub(crate) fn queued(&self) -> usize {
        let room = room::with(Key::of(self), |room| room.queued());
        self.connection.queued() + self.owed.as_ref().map_or(0, Owed::cost) + room.unwrap_or(0)
    }

    /// From now on the peer may send no more than this.
    pub(crate) fn limit_rate(&mut self, limit: RateLimit) {
        self.rate = Some(Box::new(Limiter::new(limit, now())));
    }

    /// How often the limit was met.
    pub(crate) fn rate_limited(&self) -> u64 {
        self.rate.as_ref().map_or(0, |rate| rate.met)
    }

    /// A handler is about to be polled: from now on writes wait for the end of that.
    ///
    /// Says whether it has the room: one that is polled within another one of this connection, or beside it, has not.
    pub(crate) fn cork(&mut self) -> bool {
        // It comes behind what that has sent.
        self.collect();
        self.handler = Handler::Runs;
        self.clock = Clock::Stands(None);
        let free = self.room == RoomState::Nowhere;
        if free {
            self.room = RoomState::Shut;
        }
        free
    }

    /// Opens the room, if what is sent now may go there.
    pub(crate) fn open_room(&mut self) {
        if matches!(self.room, RoomState::Shut | RoomState::Open)
            && room::with(Key::of(self), |room| self.connection.open_room(room)) == Some(true)
        {
            self.room = RoomState::Open;
        }
    }

    /// Queues what is in the room, and shuts it. False if that can be done only by the thread that polls the handler, at the end of that.
    pub(crate) fn collect(&mut self) -> bool {
        if self.room == RoomState::Nowhere {
            return true;
        }
        let here = room::with(Key::of(self), |room| self.connection.hand_over(room)).is_some();
        if self.room == RoomState::Open {
            self.room = if here {
                RoomState::Shut
            } else {
                RoomState::Spoilt
            };
        }
        here || self.room == RoomState::Shut
    }

    /// It has been polled. Writes what it sent; false if the transport did not take all.
    pub(crate) fn uncork(&mut self, handler: Handler, mut room: Option<&mut Room>) -> bool {
        self.handler = handler;
        if let Some(room) = &mut room {
            self.room = RoomState::Nowhere;
            self.write_room(room);
        }
        let written = !self.wants_write()
            || self
                .poll_write(&mut Context::from_waker(Waker::noop()))
                .is_ready();
        self.clock = Clock::Runs;
        if !written {
            self.connection.write_begins(now());
        }
        if let Some(room) = room {
            self.connection.reclaim(room);
        }
        written
    }

    /// Writes what is in the room from where it is. What does not go is queued.
    fn write_room(&mut self, room: &mut Room) {
        let frames = room.as_bytes();
        if frames.is_empty() {
            return;
        }
        // Each of them goes as it is, or it would not be here.
        let written = self.write_before_queueing(frames, 0);
        if matches!(written, Poll::Ready(Ok(n)) if n == frames.len()) {
            room.clear();
        } else {
            self.connection.hand_over(room);
            self.queued_after_writing(written);
        }
    }

    /// Waits until the rate limit lets more be read. What is queued leaves meanwhile; deadlines are not looked at, since what
    /// would have kept them may not have been read.
    fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.connection.state() == State::Open
            && let Some(until) = self.rate.as_mut().and_then(|rate| rate.hold_until(now()))
        {
            self.settle(cx);
            if self.connection.state() == State::Open {
                ready!(self.poll_deadline(cx, Some(until)));
            }
        }
        Poll::Ready(())
    }

    /// Whether an event is within the rate limit. If not, it is thrown away, and perhaps the connection closed.
    fn admits(&mut self, event: &Event) -> bool {
        let Some(rate) = &mut self.rate else {
            return true;
        };
        let verdict = match event {
            Event::Message(message) => rate.message(now(), message.len()),
            Event::Part { payload, fin, .. } => rate.part(now(), payload.len(), *fin),
            _ => return true,
        };
        if verdict == Verdict::Close
            && let Ok(frame) = CloseFrame::new(CloseCode::POLICY_VIOLATION, "rate limit")
        {
            self.close(frame);
        }
        verdict == Verdict::Take
    }

    /// Goes on until there is an event of which `pick` makes something; `None` once the connection is over and its outcome known.
    ///
    /// Everything that is received comes by here. An event is large, so it is handed to `pick` instead of up, layer by layer.
    #[inline]
    fn poll_for<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut pick: impl FnMut(Event) -> Option<T>,
    ) -> Poll<Option<T>> {
        loop {
            if self.rate.is_some() {
                ready!(self.poll_hold(cx));
            }
            let came = ready!(self.poll_once(cx));
            if let Break(picked) = self.pick(cx, came, &mut pick) {
                return Poll::Ready(picked);
            }
        }
    }

    /// What `pick` makes of an event, if there is one, or the end.
    #[inline]
    fn pick<T>(
        &mut self,
        cx: &mut Context<'_>,
        came: Option<Event>,
        pick: impl FnOnce(Event) -> Option<T>,
    ) -> ControlFlow<Option<T>> {
        match came {
            Some(event) => {
                self.notice(&event, cx);
                if self.admits(&event)
                    && let Some(picked) = pick(event)
                {
                    return Break(Some(picked));
                }
            }
            None if self.is_over() => return Break(None),
            None => {}
        }
        Continue(())
    }

    /// One step: an event that is here already, or a read, or a deadline.
    #[inline]
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.connection.has_events() {
            let now = self.clock.tick();
            if let Some(event) = self.connection.poll_event(now) {
                return Poll::Ready(Some(event));
            }
        }
        let nothing_due = self.is_corked() && self.connection.state() == State::Open;
        if !nothing_due && !self.settle(cx) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(event) = self.poll_read(cx) {
            return Poll::Ready(event);
        }
        ready!(self.poll_timeout(cx));
        self.connection.handle_timeout(now());
        Poll::Ready(None)
    }

    /// Something is to be written, or to be flushed out of the transport.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write() || (self.unflushed.is_some() && self.transport.is_some())
    }

    /// The next event, or the end: clean, or an error.
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Event>, Error>> {
        self.deliver_parts(false);
        let event = ready!(self.poll_for(cx, Some));
        self.or_end(event)
    }

    /// The next message, or the end.
    #[inline]
    pub(crate) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        if let Some(message) = self.next_message() {
            return Poll::Ready(Ok(Some(message)));
        }
        if !self.only_reads() {
            return self.poll_message_after(cx, None);
        }
        let came = match self.poll_read(cx) {
            Poll::Ready(came) => came,
            Poll::Pending => {
                ready!(self.poll_timeout(cx));
                self.connection.handle_timeout(now());
                None
            }
        };
        match came {
            Some(Event::Message(message)) => Poll::Ready(Ok(Some(message))),
            came => self.poll_message_after(cx, came),
        }
    }

    /// Nothing is here that an earlier read brought, and nothing is to be done but to read whole messages.
    fn only_reads(&self) -> bool {
        self.is_corked()
            && self.connection.state() == State::Open
            && !self.connection.has_events()
            && self.rate.is_none()
            && !self.in_parts
    }

    // Apart, so that what is usual stays small enough to become part of what calls it.
    #[inline(never)]
    fn poll_message_after(
        &mut self,
        cx: &mut Context<'_>,
        came: Option<Event>,
    ) -> Poll<Result<Option<Message>, Error>> {
        self.deliver_parts(false);
        let message_of = |event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        };
        let message = match self.pick(cx, came, message_of) {
            Break(picked) => picked,
            Continue(()) => ready!(self.poll_for(cx, message_of)),
        };
        self.or_end(message)
    }

    /// What came, or that nothing more will: because of a clean end, or because of another.
    fn or_end<T>(&self, came: Option<T>) -> Poll<Result<Option<T>, Error>> {
        let is_clean = || self.connection.outcome().is_some_and(|end| end.clean);
        Poll::Ready(if came.is_some() || is_clean() {
            Ok(came)
        } else {
            Err(self.closed())
        })
    }

    /// The next message, if it is here and nothing else has to be looked at.
    #[inline]
    fn next_message(&mut self) -> Option<Message> {
        if !self.has_messages() {
            return None;
        }
        self.connection.poll_message(self.clock.now())
    }

    /// There may be more messages here, and nothing else has to be looked at.
    #[inline]
    pub(crate) fn has_messages(&self) -> bool {
        self.connection.has_events()
            && self.rate.is_none()
            && !self.in_parts
            && !self.connection.wants_control_write()
    }

    /// Takes messages that are here, if there [are](Self::has_messages) such.
    pub(crate) fn take_messages(
        &mut self,
        messages: &mut VecDeque<Message>,
        max: usize,
        enough: usize,
    ) {
        let now = self.clock.now();
        self.connection.poll_messages(now, messages, max, enough);
    }

    /// The next part of a message, or the end. A clean one, too, if no message has begun.
    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        begun: bool,
    ) -> Poll<Result<Option<Part>, Error>> {
        self.deliver_parts(true);
        let part = ready!(self.poll_for(cx, |event| match event {
            Event::Part { kind, payload, fin } => Some(Part { kind, payload, fin }),
            _ => None,
        }));
        if part.is_none() && begun {
            return Poll::Ready(Err(self.closed()));
        }
        self.or_end(part)
    }

    /// Whether messages are handed out in parts, or whole again: then what is left of one in parts is thrown away.
    pub(crate) fn deliver_parts(&mut self, on: bool) {
        if self.in_parts != on {
            self.in_parts = on;
            self.connection.receive_parts(now(), on);
        }
    }

    /// Takes the next part of a message into the queue, waiting while the queue is over its soft limit.
    pub(crate) fn poll_send_part(
        &mut self,
        cx: &mut Context<'_>,
        kind: MessageKind,
        slot: &mut Option<Bytes>,
        fin: bool,
    ) -> Poll<Result<(), Error>> {
        self.collect();
        let soft = self.connection.config().limits.soft_queue.max(1);
        while let Some(payload) = slot.take() {
            let sent = if self.connection.queued() < soft {
                self.connection.send_part(now(), kind, payload.clone(), fin)
            } else {
                Err(SendErrorKind::Full)
            };
            match sent {
                Ok(()) => break,
                Err(SendErrorKind::Full) => *slot = Some(payload),
                Err(SendErrorKind::NotUtf8) => return Poll::Ready(Err(Error::NotUtf8)),
                Err(_) => return Poll::Ready(Err(self.closed())),
            }
            ready!(self.poll_write_some(cx));
            if self.connection.state() != State::Open {
                return Poll::Ready(Err(self.closed()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the connection if a message in parts was begun and will not be completed: the peer must not take what it has for
    /// a message, or wait for the rest.
    pub(crate) fn abandon_parts(&mut self) {
        if self.connection.is_sending_parts()
            && let Ok(frame) = CloseFrame::new(CloseCode::INTERNAL_ERROR, "message abandoned")
        {
            self.close(frame);
        }
    }

    /// Whether a stream has yielded the error that the connection ended with; from now on it has.
    pub(crate) fn was_told(&mut self) -> bool {
        std::mem::replace(&mut self.told, true)
    }

    /// Waits until the queue is below its soft limit.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let soft = self.connection.config().limits.soft_queue.max(1);
        while self.connection.state() == State::Open {
            if self.connection.queued() < soft {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_write_some(cx));
        }
        Poll::Ready(Err(self.closed()))
    }

    /// Takes a message into the queue, in which there was room.
    pub(crate) fn push(&mut self, outgoing: Outgoing) -> Result<(), Error> {
        self.collect();
        let sent = self.connection.send_reserved(now(), outgoing);
        sent.map_err(|_| self.closed())
    }

    /// Takes a message into the queue, waiting while the queue is over its soft limit.
    pub(crate) fn poll_feed(
        &mut self,
        cx: &mut Context<'_>,
        slot: &mut Option<Outgoing>,
    ) -> Poll<Result<(), Error>> {
        self.collect();
        let soft = self.connection.config().limits.soft_queue.max(1);
        while let Some(outgoing) = slot.take() {
            if self.connection.queued() < soft {
                match self.connection.send(now(), outgoing) {
                    Ok(()) => break,
                    Err(refused) if refused.kind == SendErrorKind::Full => {
                        *slot = Some(refused.outgoing);
                    }
                    Err(_) => return Poll::Ready(Err(self.closed())),
                }
            } else {
                *slot = Some(outgoing);
            }
            ready!(self.poll_write_some(cx));
            if self.connection.state() != State::Open {
                return Poll::Ready(Err(self.closed()));
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes messages and writes them together, in room that the thread lends.
    pub(crate) fn poll_send_many(
        &mut self,
        cx: &mut Context<'_>,
        messages: &mut VecDeque<Outgoing>,
    ) -> Poll<Result<(), Error>> {
        if self.is_corked() {
            self.collect();
            return self.poll_send_each(cx, messages);
        }
        self.clock = Clock::Stands(None);
        let sent = room::with_memory(|room| {
            self.connection.hand_over(room);
            let sent = self.poll_send_each(cx, messages);
            self.connection.reclaim(room);
            sent
        });
        self.clock = Clock::Runs;
        sent
    }

    fn poll_send_each(
        &mut self,
        cx: &mut Context<'_>,
        messages: &mut VecDeque<Outgoing>,
    ) -> Poll<Result<(), Error>> {
        let soft = self.connection.config().limits.soft_queue.max(1);
        while let Some(next) = messages.pop_front() {
            if self.connection.queued() < soft && self.connection.send_small(&next) {
                continue;
            }
            let mut slot = Some(next);
            self.write_begins();
            let fed = self.poll_feed(cx, &mut slot);
            if let Some(refused) = slot {
                messages.push_front(refused);
            }
            ready!(fed)?;
        }
        self.write_begins();
        self.poll_flush_unless_corked(cx)
    }

    /// What was taken is about to be written: from now on its deadline counts. Corked, it is not yet.
    fn write_begins(&mut self) {
        if !self.is_corked() && self.connection.wants_write() {
            self.connection.write_begins(now());
        }
    }

    /// Takes a message and writes it; while corked it is only taken, unless the queue is over its soft limit.
    #[inline]
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        slot: &mut Option<Outgoing>,
    ) -> Poll<Result<(), Error>> {
        self.collect();
        if let Some(outgoing) = slot
            && self.leaves_later()
            && self.connection.send_small(outgoing)
        {
            *slot = None;
            if self.leaves_later() {
                return Poll::Ready(Ok(()));
            }
        }
        self.poll_send_any(cx, slot)
    }

    // Apart, as `poll_message_after`.
    #[inline(never)]
    fn poll_send_any(
        &mut self,
        cx: &mut Context<'_>,
        slot: &mut Option<Outgoing>,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_feed(cx, slot))?;
        self.poll_flush_unless_corked(cx)
    }

    /// Writes all, or leaves it to the end of the poll while little is queued.
    pub(crate) fn poll_flush_unless_corked(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if self.leaves_later() {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(cx)
    }

    /// What is queued leaves at the end of the handler's poll.
    pub(crate) fn leaves_later(&self) -> bool {
        self.is_corked() && self.connection.queued() < self.connection.config().limits.soft_queue
    }

    /// The transport has passed on all that it took.
    pub(crate) fn is_flushed(&self) -> bool {
        self.unflushed.is_none()
    }

    /// Writes until nothing is left to write.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(self.poll_write(cx));
        // What was accepted after the last flush may not have left.
        let unsent = self.connection.queued() > 0 || self.unflushed.is_some();
        let lost = self.connection.state() == State::Closed && unsent;
        Poll::Ready(if lost { Err(self.closed()) } else { Ok(()) })
    }

    /// Queues a ping and writes it. What is returned gets its round trip once the pong has come.
    pub(crate) fn poll_ping(
        &mut self,
        cx: &mut Context<'_>,
        slot: &mut Option<Bytes>,
        waiting: &mut Option<oneshot::Receiver<Duration>>,
    ) -> Poll<Result<(), Error>> {
        if let Some(payload) = slot.take() {
            *waiting = Some(self.ping(payload)?);
        }
        self.poll_flush_unless_corked(cx)
    }

    /// Queues a ping.
    pub(crate) fn ping(&mut self, payload: Bytes) -> Result<oneshot::Receiver<Duration>, Error> {
        self.connection
            .ping(now(), payload.clone())
            .map_err(|error| self.refused(error))?;
        Ok(self.pings.wait_for(payload))
    }

    /// Queues a pong that nobody asked for and writes it.
    pub(crate) fn poll_pong(
        &mut self,
        cx: &mut Context<'_>,
        slot: &mut Option<Bytes>,
    ) -> Poll<Result<(), Error>> {
        if let Some(payload) = slot.take() {
            self.connection
                .pong(now(), payload)
                .map_err(|error| self.refused(error))?;
        }
        self.poll_flush_unless_corked(cx)
    }

    fn refused(&self, error: PingError) -> Error {
        match error {
            PingError::Closed => self.closed(),
            refused => Error::Ping(refused),
        }
    }

    /// Begins the closing handshake, or does nothing if it has begun.
    pub(crate) fn close(&mut self, frame: CloseFrame) {
        if self.connection.state() == State::Open {
            self.queue_owed();
            self.connection.close(now(), frame);
        }
    }

    /// Closes, and goes through the closing handshake to its end. Messages that still arrive are thrown away.
    pub(crate) fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        slot: &mut Option<CloseFrame>,
    ) -> Poll<Outcome> {
        if let Some(frame) = slot.take() {
            self.close(frame);
        }
        loop {
            ready!(self.poll_end(cx));
            if let Some(outcome) = self.connection.outcome() {
                return Poll::Ready(outcome);
            }
        }
    }

    /// The same, and an error unless it was clean.
    pub(crate) fn poll_close_cleanly(
        &mut self,
        cx: &mut Context<'_>,
        frame: CloseFrame,
    ) -> Poll<Result<(), Error>> {
        let outcome = ready!(self.poll_close(cx, &mut Some(frame)));
        Poll::Ready(if outcome.clean {
            Ok(())
        } else {
            Err(Error::Ended(Box::new(outcome)))
        })
    }

    /// Writes all; if the end has begun, goes through it to its end.
    pub(crate) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.connection.state() == State::Open {
            ready!(self.poll_write(cx));
        }
        if self.connection.state() != State::Open {
            ready!(self.poll_end(cx));
        }
        Poll::Ready(())
    }

    /// Goes through the closing handshake, or on until there is one. Messages that arrive are thrown away.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_for(cx, |_| None::<()>).map(|_| ())
    }

    /// Lets go of the transport at once.
    pub(crate) fn abandon(&mut self) {
        if !self.is_over() {
            self.connection.abandon(now());
            self.drop_transport();
        }
    }

    /// What the application is told when it uses a connection that has ended or is about to.
    pub(crate) fn closed(&self) -> Error {
        match self.connection.outcome() {
            Some(outcome) => Error::Ended(Box::new(outcome)),
            None => Error::Closing,
        }
    }

    /// Lets go of the transport if nobody is left who could use it. A handler that runs may yet be done, and then its helper has
    /// things to do.
    pub(crate) fn abandon_if_deserted(&mut self) {
        if self.owners == 0 || (self.owners == 1 && self.handler == Handler::Waits) {
            self.abandon();
        }
    }

    fn is_corked(&self) -> bool {
        self.handler == Handler::Runs
    }

    /// The transport has been dropped.
    pub(crate) fn is_over(&self) -> bool {
        self.transport.is_none()
    }

    /// Does what an event asks for before the application gets it, or does not.
    fn notice(&mut self, event: &Event, cx: &mut Context<'_>) {
        match event {
            Event::Pong {
                latency: Some(latency),
                ..
            } => {
                let connection = &self.connection;
                let is_awaited = |ping: &[u8]| connection.awaits_pong(ping);
                self.pings.answered(*latency, is_awaited);
            }
            Event::Message(_) | Event::Part { .. }
                if !self.is_corked() && self.connection.wants_control_write() =>
            {
                // A pong must not wait until the application comes back. If the transport is full, it leaves later.
                let _ = self.poll_write(cx).is_ready();
            }
            _ => {}
        }
    }

    /// Writes what is due before more is read, and ends what is to be ended; false when all is over.
    fn settle(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let open = self.connection.state() == State::Open;
            let written = (open && self.is_corked()) || self.poll_write(cx).is_ready();
            match self.connection.step() {
                Step::Run => return true,
                Step::Drop => {
                    self.drop_transport();
                    return false;
                }
                Step::Shutdown if !written => return true,
                Step::Shutdown => {
                    let Some(transport) = &mut self.transport else {
                        return false;
                    };
                    match Pin::new(transport).poll_shutdown(cx) {
                        // Reading goes on meanwhile: the peer may have to be drained before it reads.
                        Poll::Pending => return true,
                        Poll::Ready(Ok(())) => self.connection.shutdown_done(),
                        Poll::Ready(Err(error)) => {
                            self.connection.handle_error(now(), error.kind());
                        }
                    }
                }
            }
        }
    }

    /// Reads once. `Ready(None)`: something was read, or the transport has ended, and no event came of it.
    #[inline]
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let Self {
            connection, clock, ..
        } = self;
        let transport = match &mut self.transport {
            Some(transport) if connection.wants_read() => Pin::new(transport),
            // Only the deadline, or room to write, can bring this to its end.
            _ => return Poll::Pending,
        };
        if let Some(mut space) = connection.payload_space() {
            let read = ready!(poll_read_buf(transport, cx, &mut space));
            return Poll::Ready(match read {
                Ok(0) => none(|| connection.handle_eof(now())),
                Ok(n) => connection.handle_payload(clock.tick(), n),
                Err(error) => none(|| connection.handle_error(now(), error.kind())),
            });
        }
        scratch::with_read(|buffer| {
            Poll::Ready(match ready!(poll_read_buf(transport, cx, buffer)) {
                Ok(0) => none(|| connection.handle_eof(now())),
                Ok(_) => connection.handle_buffer(clock.tick(), buffer),
                Err(error) => none(|| connection.handle_error(now(), error.kind())),
            })
        })
    }

    /// Writes all there is to write. `Pending` once the transport takes no more, or its deadline is not over.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.collect() {
            return Poll::Pending;
        }
        if self.owed.is_some() && self.connection.state() != State::Open {
            // It was sent before the end began, so it goes before our Close.
            self.queue_owed();
        }
        while self.connection.wants_write() && self.transport.is_some() {
            match self.poll_write_once(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => break,
                Poll::Pending => return self.poll_write_deadline(cx),
            }
        }
        self.poll_flush_transport(cx)
    }

    /// Writes until the queue has become shorter.
    fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.collect() {
            return Poll::Pending;
        }
        match self.poll_write_once(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.poll_write_deadline(cx),
        }
    }

    /// One write; false if there is nothing to write.
    fn poll_write_once(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(transport) = &mut self.transport else {
            return Poll::Ready(false);
        };
        let Self {
            connection, clock, ..
        } = self;
        let written = if let Some(frames) = connection.small_to_transmit() {
            let written = ready!(poll_write_some(transport, cx, frames));
            // When all has gone, no deadline counts from it.
            let rest = written.as_ref().is_ok_and(|n| *n < frames.len());
            let at = if rest { clock.tick() } else { clock.now() };
            written.inspect(|n| connection.small_transmitted(at, *n))
        } else {
            ready!(scratch::with_batch(|batch| {
                if !connection.poll_transmit(batch, masking_key) {
                    return Poll::Ready(Ok(0));
                }
                let written = ready!(poll_write_batch(transport, cx, batch));
                Poll::Ready(written.inspect(|n| connection.transmitted(clock.tick(), batch, *n)))
            }))
        };
        match written {
            Ok(n) => {
                if n > 0 {
                    self.taken();
                }
                Poll::Ready(n > 0)
            }
            Err(error) => {
                connection.handle_error(now(), error.kind());
                Poll::Ready(false)
            }
        }
    }

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
        let Some(bytes) = bundle.bytes().filter(|_| self.owed.is_none()) else {
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

    /// Writes whole frames that are in no queue, none longer than `longest`, if nothing waits before them. What the transport does not
    /// take is to be queued at once, and [`queued_after_writing`](Self::queued_after_writing) told.
    fn write_before_queueing(&mut self, bytes: &[u8], longest: usize) -> Poll<io::Result<usize>> {
        // Who waits for a flush would not be woken any more.
        let free = !self.is_corked()
            && matches!(self.room, RoomState::Nowhere | RoomState::Shut)
            && self.is_flushed()
            && self.connection.forwards(longest);
        let Some(transport) = self.transport.as_mut().filter(|_| free) else {
            return Poll::Pending;
        };
        // Who then waits for a transport that is full does so with another waker.
        let cx = &mut Context::from_waker(Waker::noop());
        let written = Pin::new(transport).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(n)) if n == bytes.len()) {
            self.taken();
        }
        written
    }

    /// Frames are queued of which this has been written already.
    #[cold]
    fn queued_after_writing(&mut self, written: Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(0)) => self
                .connection
                .handle_error(now(), io::ErrorKind::WriteZero),
            Poll::Ready(Ok(n)) => {
                scratch::with_batch(|batch| {
                    self.connection.poll_transmit(batch, masking_key);
                    self.connection.transmitted(now(), batch, n);
                });
                self.taken();
            }
            Poll::Ready(Err(error)) => self.connection.handle_error(now(), error.kind()),
            Poll::Pending => {}
        }
    }

    /// The transport has taken something.
    fn taken(&mut self) {
        if self
            .transport
            .as_ref()
            .is_some_and(Transport::buffers_writes)
        {
            self.unflushed = Some(now());
        }
    }

    fn poll_flush_transport(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match (self.poll_flush_once(cx), self.unflushed) {
            (Poll::Pending, Some(since)) => self.poll_stalled(cx, since),
            _ => Poll::Ready(()),
        }
    }

    /// The same without a deadline.
    fn poll_flush_once(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(transport) = self.transport.as_mut().filter(|_| self.unflushed.is_some()) else {
            return Poll::Ready(());
        };
        if let Err(error) = ready!(Pin::new(transport).poll_flush(cx)) {
            self.connection.handle_error(now(), error.kind());
        }
        self.unflushed = None;
        Poll::Ready(())
    }

    /// The transport has taken all and passes nothing on: waits for it, but not for ever.
    fn poll_stalled(&mut self, cx: &mut Context<'_>, since: Instant) -> Poll<()> {
        if self.connection.state() == State::Open {
            let limit = self.connection.config().write_timeout;
            ready!(self.poll_deadline(cx, since.checked_add(limit)));
            self.connection.handle_write_stalled(now());
        } else {
            ready!(self.poll_deadline(cx, self.connection.poll_timeout()));
            self.connection.handle_timeout(now());
        }
        Poll::Ready(())
    }

    /// The transport is full: waits for it, but not for ever. `Ready` when the connection was given up.
    fn poll_write_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.connection.state() == State::Open {
            ready!(self.poll_deadline(cx, self.connection.poll_write_timeout()));
            self.connection.handle_write_timeout(now());
        } else {
            ready!(self.poll_deadline(cx, self.connection.poll_timeout()));
            self.connection.handle_timeout(now());
        }
        Poll::Ready(())
    }

    /// `Ready` when the connection has something to do that nothing but time brings.
    fn poll_timeout(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let lasts = self.connection.is_quiet();
        if lasts
            && self
                .alarm
                .as_ref()
                .is_some_and(|alarm| alarm.is_set_for(cx.waker()))
        {
            self.waits_as_before = true;
            return Poll::Pending;
        }
        let deadline = self.connection.poll_timeout();
        let polled = self.poll_deadline(cx, deadline);
        if let Some(alarm) = &mut self.alarm {
            // Where there is no deadline, nobody was noted.
            alarm.set_lasts(lasts && deadline.is_some());
        }
        polled
    }

    /// `Ready` when `deadline` has passed.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        let alarm = self.alarm.get_or_insert_with(|| Alarm::new(deadline));
        alarm.poll(cx, deadline)
    }

    fn drop_transport(&mut self) {
        self.queue_owed();
        self.transport = None;
        self.alarm = None;
        self.pings = Pings::default();
    }
}

/// What time it is for a connection.
#[derive(Clone, Copy, Debug)]
enum Clock {
    Runs,
    /// While a handler is polled, which looks often: at what it saw last when something came or went.
    Stands(Option<Instant>),
}

impl Clock {
    fn now(&mut self) -> Instant {
        match self {
            Self::Runs => now(),
            Self::Stands(at) => *at.get_or_insert_with(now),
        }
    }

    /// The same, looked at anew: something has come, or is about to leave, from which a deadline counts.
    fn tick(&mut self) -> Instant {
        let now = now();
        if let Self::Stands(at) = self {
            *at = Some(now);
        }
        now
    }
}

fn poll_write_batch(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    batch: &Batch,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let used = batch.slices(&mut slices);
    match slices.get(..used).unwrap_or_default() {
        [one] => poll_write_some(transport, cx, one),
        many => some(ready!(Pin::new(transport).poll_write_vectored(cx, many))),
    }
}

fn poll_write_some(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    some(ready!(Pin::new(transport).poll_write(cx, bytes)))
}

/// A transport that takes nothing is not asked for ever.
fn some(written: io::Result<usize>) -> Poll<io::Result<usize>> {
    Poll::Ready(match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        written => written,
    })
}

/// RFC 6455 §10.3: derived from a strong source of entropy, so that nobody can foresee it.
fn masking_key() -> MaskingKey {
    rand::random()
}

/// By tokio's clock, so that tests can hold it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn none(f: impl FnOnce()) -> Option<Event> {
    f();
    None
}
