//! While a handler is polled, what it sends is kept, and leaves in one write at the end (see `cork.rs` and `room.rs`).

use std::task::{Context, Poll, Waker};

use fullduplex_proto::Room;

use super::{Driver, Handler, RoomState, clock::Clock, now};
use crate::room::{self, Key};

impl Driver {
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
    pub(super) fn write_room(&mut self, room: &mut Room) {
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

    pub(super) fn is_corked(&self) -> bool {
        self.handler == Handler::Runs
    }
}
