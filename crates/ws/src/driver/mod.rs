//! The only loop that touches bytes: it moves them between a transport and the protocol's state.
//!
//! Everything here is a poll function under one short lock (see `shared.rs`), so dropping a future between two polls
//! loses nothing: whatever was read is in the [`Connection`], whatever was accepted is in its queue.

mod clock;
mod closing;
mod corking;
mod many;
mod receiving;
mod sending;
mod writing;

use std::{
    ops::ControlFlow::{self, Break, Continue},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use fullduplex_proto::{Connection, Event, State, Step};
use tokio::io::AsyncWrite;
use tokio_util::io::poll_read_buf;

use crate::{alarm::Alarm, ping::Pings, rate::Limiter, round::Owed, scratch, transport::Transport};
use clock::Clock;

pub(crate) use clock::now;

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

fn none(f: impl FnOnce()) -> Option<Event> {
    f();
    None
}
