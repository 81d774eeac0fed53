//! What a room has for all its members, on its way to them.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use fullduplex::{Bundle, Prepared};

use super::{RoomRef, ShardSeat, Shards};
use crate::{
    core::{Form, History, Need, Round, SessionId},
    session::{Encoder, Followed, HIGH_WATER, MAX_BATCH},
};

/// Bytes of messages in one round: half of what a connection takes in one go, for what a dialect adds.
const MAX_BYTES: usize = HIGH_WATER / 2;

/// A room with events that no round had yet.
#[derive(Debug)]
pub(crate) struct DueRoom {
    shards: Arc<Shards>,
    room: RoomRef,
}

impl DueRoom {
    pub(crate) fn new(shards: &Arc<Shards>, room: RoomRef) -> Self {
        Self {
            shards: Arc::clone(shards),
            room,
        }
    }

    /// The next round, if there is something; and whether there is more.
    pub(crate) fn next(&self) -> Option<(Arc<Delivery>, bool)> {
        let (round, is_due) = self.shards.round(self.room, MAX_BATCH, MAX_BYTES)?;
        let delivery = Delivery {
            shards: Arc::clone(&self.shards),
            room: self.room,
            round,
            bundles: Default::default(),
            next: AtomicUsize::new(0),
        };
        Some((Arc::new(delivery), is_due))
    }

    /// Gives up its rounds so far; see [`Shards::read_alone`].
    pub(crate) fn read_alone(&self) {
        self.shards.read_alone(self.room);
    }
}

/// A round, encoded once for each dialect and written to each listener by whoever gets there first.
#[derive(Debug)]
pub(crate) struct Delivery {
    shards: Arc<Shards>,
    pub(crate) room: RoomRef,
    round: Round<Prepared, ShardSeat>,
    bundles: [OnceLock<Bundle>; 3],
    /// The listener that is written to next.
    next: AtomicUsize,
}

impl Delivery {
    /// How many it is for.
    pub(crate) fn len(&self) -> usize {
        self.round.listeners.len()
    }

    /// Writes to the next ones, at most so many; says to how many. Who can't take it so is told to read it.
    pub(crate) fn write(&self, most: usize) -> usize {
        let from = self.next.fetch_add(most, Ordering::Relaxed);
        let listeners = self.round.listeners.iter().skip(from).take(most);
        let count = listeners.len();
        let mut apart: Vec<SessionId> = Vec::new();
        let mut written = 0;
        for listener in listeners {
            match listener.wake.seat.follow(self) {
                Followed::Written => written += 1,
                Followed::Known => {}
                Followed::Apart => apart.push(listener.session),
            }
        }
        self.shards.delivered(written * self.round.entries.len());
        if !apart.is_empty() {
            self.shards.rouse(self.room, &apart);
        }
        count
    }

    /// Gives it up; see [`Shards::read_alone`].
    pub(crate) fn read_alone(&self) {
        self.shards.read_alone(self.room);
    }

    /// What a session at `cursor` in `history` needs of it.
    pub(crate) const fn need(&self, history: History, cursor: u64) -> Need {
        self.round.need(history, cursor)
    }

    /// The cursor of a session that has got it.
    pub(crate) const fn next_cursor(&self) -> u64 {
        self.round.next()
    }

    pub(crate) fn bundle(&self, form: Form, encoder: &Encoder) -> &Bundle {
        self.bundles[form as usize].get_or_init(|| encoder.bundle(&self.round.entries, form))
    }
}
