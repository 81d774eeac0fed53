//! One room: its newest events, its members, and who they are.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    event::{Entry, Event, User},
    members::{Members, Wake},
    presence::Presence,
    ring::Ring,
    round::Round,
    shard::Slot,
};

#[derive(Debug)]
pub(crate) struct Room<F, W> {
    pub(crate) name: Arc<str>,
    /// Whose share of the rooms this is; nobody's if it is kept for good.
    pub(crate) made_from: Option<IpAddr>,
    /// The position after which its events come. An earlier room of this name may have had earlier
    /// ones: they are forgotten, but positions go on.
    pub(crate) since: u64,
    pub(crate) ring: Ring<F>,
    pub(crate) members: Members<W>,
    pub(crate) presence: Presence<F>,
    /// Since when nobody is here.
    pub(crate) empty_since: Option<Duration>,
    /// Whether this room waits for its presence changes to be told.
    pub(crate) presence_due: bool,
    /// Whether it has events that were in no round.
    pub(crate) is_due: bool,
    /// The newest position that was in one.
    told: u64,
}

impl<F, W: Wake + Clone> Room<F, W> {
    pub(crate) fn new(name: Arc<str>, made_from: Option<IpAddr>, since: u64) -> Self {
        Self {
            name,
            made_from,
            since,
            ring: Ring::new(since),
            members: Members::new(),
            presence: Presence::new(),
            empty_since: None,
            presence_due: false,
            is_due: false,
            told: since,
        }
    }

    /// What the room is like now; more than `max_listed` users are not listed.
    pub(crate) fn state(&self, max_listed: usize) -> RoomState {
        RoomState {
            head: self.ring.head(),
            floor: self.ring.floor(),
            head_id: self.ring.head_id().map(Arc::clone),
            count: self.presence.count(),
            users: self.presence.list(max_listed),
        }
    }

    /// Appends what came back from the log. Says whether the room has become due by that.
    pub(crate) fn append(&mut self, event: Event, max_entries: usize, max_bytes: usize) -> bool {
        let prev = self.ring.head();
        self.ring
            .push(Entry::new(event, prev), max_entries, max_bytes);
        if self.members.is_empty() && !self.is_due {
            self.told = self.ring.head();
            return false;
        }
        !std::mem::replace(&mut self.is_due, true)
    }

    /// The first events that were in no round, at most so many. Unless there are more, the room is due no longer.
    pub(crate) fn next_round(
        &mut self,
        max_entries: usize,
        max_bytes: usize,
        slot: Slot,
    ) -> Option<Round<F, W>> {
        let untold = self.ring.from(self.told + 1);
        let behind = untold.len();
        let entries: Vec<_> = some_of(untold, max_entries, max_bytes).collect();
        self.is_due = entries.len() < behind;
        if let Some(last) = entries.last() {
            self.told = last.event.seq;
        } else if self.told < self.ring.head() {
            // They are no longer kept, which each has to find out.
            self.told = self.ring.head();
            self.members.rouse_all(slot);
        }
        Round::new(entries, || self.members.listeners())
    }
}

/// At most `max_entries` of these, and no more once their bodies pass `max_bytes`.
pub(super) fn some_of<'a, F: 'a>(
    entries: impl Iterator<Item = &'a Arc<Entry<F>>>,
    max_entries: usize,
    max_bytes: usize,
) -> impl Iterator<Item = Arc<Entry<F>>> {
    let mut bytes = 0;
    let fits = move |entry: &&Arc<Entry<F>>| {
        let fits = bytes == 0 || bytes < max_bytes;
        bytes += entry.event.body.len().max(1);
        fits
    };
    entries.take(max_entries).take_while(fits).map(Arc::clone)
}

/// What a room is like right now.
#[derive(Debug)]
pub(crate) struct RoomState {
    /// The newest position; where the room starts if nothing was said yet.
    pub(crate) head: u64,
    /// The oldest position kept.
    pub(crate) floor: u64,
    /// The id of the event at `head`.
    pub(crate) head_id: Option<Arc<str>>,
    /// How many named users are here.
    pub(crate) count: usize,
    /// They, unless they are too many to list.
    pub(crate) users: Vec<Arc<User>>,
}
