//! A log that went back in time, or has another history of a room than before: what that is to who is there.

use std::sync::Arc;

use super::{
    cursor::Cursor,
    members::Wake,
    position::{Bounds, Mark},
    room::Room,
    shard::{Shard, Slot},
};

/// Which of a room's histories something is of, counted from when the room was made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct History(u32);

/// Where a room's present history took over from the one before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fork {
    history: History,
    /// The newest event before.
    left: u64,
    /// The newest event that the present history had then: who was here goes on behind it.
    joined: Mark,
}

/// What a reader of an earlier history has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forked {
    pub(crate) history: History,
    pub(crate) epoch: Arc<str>,
    /// The newest event that is no longer kept.
    pub(crate) floor: Mark,
    /// It goes on behind this event.
    pub(crate) head: Mark,
    /// Whether it had read all there was before.
    pub(crate) had_all: bool,
}

impl Forked {
    /// What a reader has that goes on from there.
    pub(crate) fn cursor(&self) -> Cursor {
        Cursor {
            epoch: Arc::clone(&self.epoch),
            mark: self.head,
        }
    }
}

impl History {
    pub(crate) const fn is_older_than(self, other: Self) -> bool {
        self.0 < other.0
    }
}

impl<F, W: Wake + Clone> Room<F, W> {
    /// Which history it is of.
    pub(crate) fn history(&self) -> History {
        self.fork.map_or_else(History::default, |fork| fork.history)
    }

    /// Begins another history, which the log has with these bounds.
    fn fork(&mut self, bounds: &Bounds, slot: Slot) {
        self.fork = Some(Fork {
            history: History(self.history().0 + 1),
            left: self.ring.head().seq,
            joined: bounds.head,
        });
        // Else it is to be filled, and nobody is here.
        if self.epoch.is_some() {
            self.epoch = Some(Arc::clone(&bounds.epoch));
        }
        self.floor = bounds.floor;
        self.ring.begin_at(bounds.head);
        self.read_alone(slot);
    }

    /// What a reader has to know that is in `history` and needs what is at `cursor` next, if the room has another by now.
    fn forked(&self, history: History, cursor: u64) -> Option<Forked> {
        let fork = self.fork.filter(|fork| fork.history != history)?;
        let is_last = fork.history.0 == history.0 + 1;
        Some(Forked {
            history: fork.history,
            epoch: self.epoch.clone().unwrap_or_default(),
            floor: self.floor,
            head: fork.joined,
            had_all: is_last && cursor > fork.left,
        })
    }
}

impl<F, W: Wake + Clone> Shard<F, W> {
    /// Forgets what was known of a room's events: the log has another history of it, with these bounds. Who is there is told to
    /// [find out](Self::forked).
    pub(crate) fn fork(&mut self, name: &str, bounds: &Bounds) {
        self.rewritten();
        self.change_ring(name, |room, slot| room.fork(bounds, slot));
    }

    /// What a reader in `history` has to know before it reads on at `cursor`; nothing if that is the room's.
    pub(crate) fn forked(&self, slot: Slot, history: History, cursor: u64) -> Option<Forked> {
        self.room(slot)?.forked(history, cursor)
    }
}
