//! What the application gives to be sent, and how it waits for room.

use std::{
    collections::VecDeque,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use fullduplex_proto::{
    CloseCode, CloseFrame, MessageKind, Outgoing, PingError, SendErrorKind, State,
};
use tokio::sync::oneshot;

use super::{Driver, clock::Clock, now};
use crate::{
    error::Error,
    room::{self, Key},
    round::Owed,
};

impl Driver {
    /// Bytes accepted and not yet written, with a fixed cost for each message.
    pub(crate) fn queued(&self) -> usize {
        let room = room::with(Key::of(self), |room| room.queued());
        self.connection.queued() + self.owed.as_ref().map_or(0, Owed::cost) + room.unwrap_or(0)
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
    pub(super) fn poll_send_any(
        &mut self,
        cx: &mut Context<'_>,
        slot: &mut Option<Outgoing>,
    ) -> Poll<Result<(), Error>> {
        ready!(self.poll_feed(cx, slot))?;
        self.poll_flush_unless_corked(cx)
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

    pub(super) fn poll_send_each(
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
    pub(super) fn write_begins(&mut self) {
        if !self.is_corked() && self.connection.wants_write() {
            self.connection.write_begins(now());
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

    pub(super) fn refused(&self, error: PingError) -> Error {
        match error {
            PingError::Closed => self.closed(),
            refused => Error::Ping(refused),
        }
    }
}
