//! One room: its newest events, its members, and who they are.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    event::{Entry, Event, User},
    members::{Members, Wake},
    presence::Presence,
    ring::Ring,
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
}

impl<F, W: Wake> Room<F, W> {
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

    /// Appends what came back from the log.
    pub(crate) fn append(&mut self, event: Event, max_entries: usize, max_bytes: usize) {
        let prev = self.ring.head();
        self.ring
            .push(Entry::new(event, prev), max_entries, max_bytes);
    }
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
