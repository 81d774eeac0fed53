//! What must be done: events to hand out, bytes to write, deadlines to keep.

use std::{collections::VecDeque, time::Instant};

use super::{
    Connection,
    batch::Batch,
    event::{Event, Step},
    framed::Room,
    timer::earlier,
};
use crate::{mask::MaskingKey, message::Message};

impl Connection {
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
}
