//! One room: its newest events, its members, and who they are.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    cursor::{Cursor, Reset, judge},
    event::{Entry, Event, What},
    fork::Fork,
    members::{Members, Wake},
    notice::{Notices, Watch},
    position::{Bounds, Mark},
    presence::{Person, Presence},
    ring::Ring,
    round::Round,
    shard::Slot,
    typing::Typing,
};

#[derive(Debug)]
pub(crate) struct Room<F, W> {
    pub(crate) name: Arc<str>,
    /// Tells it from other rooms that have had this name.
    pub(crate) birth: Birth,
    /// It is there for good, and not counted.
    pub(crate) is_kept: bool,
    /// Whose share of the rooms this is, if anybody's.
    pub(crate) made_from: Option<IpAddr>,
    /// The log's history that the ring is of; none until the ring was filled from there.
    pub(crate) epoch: Option<Arc<str>>,
    /// How that took over from an earlier one, if the room was there then.
    pub(super) fork: Option<Fork>,
    /// The newest event that the log no longer keeps.
    pub(crate) floor: Mark,
    pub(crate) ring: Ring<F>,
    pub(crate) members: Members<W>,
    pub(crate) presence: Presence,
    /// When its changes were told last.
    pub(super) presence_told: Option<Duration>,
    pub(super) typing: Typing,
    pub(crate) notices: Notices<F>,
    /// Since when nobody is here.
    pub(crate) empty_since: Option<Duration>,
    /// Whether this room has something to tell that waits for others.
    pub(super) news_due: bool,
    /// Whether it has events that were in no round.
    pub(crate) is_due: bool,
    /// The newest position that was in one.
    told: u64,
}

/// Names a room for as long as the process runs: which one of its shard it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Birth(pub(super) u64);

impl<F, W: Wake + Clone> Room<F, W> {
    pub(crate) fn new(
        name: Arc<str>,
        birth: Birth,
        made_from: Option<IpAddr>,
        copies: usize,
    ) -> Self {
        Self {
            name,
            birth,
            is_kept: false,
            made_from,
            epoch: None,
            fork: None,
            floor: Mark::START,
            ring: Ring::new(copies),
            members: Members::new(),
            presence: Presence::default(),
            presence_told: None,
            typing: Typing::default(),
            notices: Notices::new(),
            empty_since: None,
            news_due: false,
            is_due: false,
            told: 0,
        }
    }

    /// What the room is like now, for who watches it so; more than `max_listed` users are not listed.
    pub(crate) fn state(&self, watch: Watch, max_listed: usize) -> RoomState {
        RoomState {
            bounds: self.bounds(),
            count: self.presence.count(),
            people: match watch {
                Watch::List => self.presence.list(max_listed),
                Watch::Count | Watch::Nothing => Vec::new(),
            },
            notices: self.notices.number(),
        }
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            epoch: self.epoch.clone().unwrap_or_default(),
            floor: self.floor,
            head: self.ring.head(),
        }
    }

    /// Whether the log has some of the newest `wanted` events that the ring has not.
    pub(crate) fn lacks(&self, wanted: usize) -> bool {
        self.epoch.is_none() || self.ring.lacks(wanted, self.floor.seq)
    }

    /// The cursor from which the newest `n` events are read; of those that the ring lacks, the log has them `from` there.
    pub(crate) fn cursor_of_newest(&self, n: usize, from: u64) -> u64 {
        let in_ring = self.ring.cursor_of_newest(n);
        if self.lacks(n) {
            in_ring.min(from)
        } else {
            in_ring
        }
    }

    /// Whether all that follows a cursor can be had. None if only the log can tell.
    pub(crate) fn judge(&self, cursor: &Cursor) -> Option<Result<(), Reset>> {
        self.epoch.as_ref()?;
        let seq = cursor.mark.seq;
        let chk = self.ring.chk_at(seq);
        let following = self.ring.from(seq.saturating_add(1)).len();
        let judged = judge(cursor, &self.bounds(), chk, following);
        let may_be_in_log =
            seq <= self.ring.dropped() && (chk.is_none() || seq < self.ring.dropped());
        match judged {
            Err(Reset::Mismatch) | Ok(()) if may_be_in_log => None,
            // Others may write to the log, and the client may have been with them.
            Err(Reset::Ahead) => None,
            judged => Some(judged),
        }
    }

    /// Puts before its events what the log has before them; see [`Ring::fill`].
    pub(crate) fn fill(
        &mut self,
        bounds: &Bounds,
        events: Vec<Event>,
        is_cut: bool,
        max_entries: usize,
        max_bytes: usize,
    ) {
        self.epoch = Some(Arc::clone(&bounds.epoch));
        let ring = &mut self.ring;
        ring.fill(bounds, events, is_cut, max_entries, max_bytes);
        self.trim(bounds.floor);
        if self.members.is_empty() && !self.is_due {
            self.told = self.ring.head().seq;
        }
    }

    /// Forgets what the log no longer keeps: everything up to `floor`, and what was known of before.
    pub(crate) fn trim(&mut self, floor: Mark) {
        if self.floor.seq < floor.seq {
            self.floor = floor;
        }
        self.ring.trim(self.floor.seq);
    }

    /// Appends what came back from the log. Says whether the room has become due by that.
    pub(crate) fn append(&mut self, event: Event, max_entries: usize, max_bytes: usize) -> bool {
        if let What::Delete { target } = event.what {
            self.ring.scrub(target);
        }
        let seq = event.seq;
        self.ring.push(Entry::new(event), max_entries, max_bytes);
        self.becomes_due(seq)
    }

    /// Whether the room becomes due by an event of its ring that came back from the log.
    pub(crate) fn becomes_due(&mut self, seq: u64) -> bool {
        if self.members.is_empty() && !self.is_due {
            self.told = self.ring.head().seq;
        }
        seq > self.told && !std::mem::replace(&mut self.is_due, true)
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
        } else if self.told < self.ring.head().seq {
            // They are no longer kept, which each has to find out.
            self.read_alone(slot);
        }
        let history = self.history();
        Round::new(history, entries, || self.members.listeners())
    }

    /// Has each member find out by itself what it has not read.
    pub(crate) fn read_alone(&mut self, slot: Slot) {
        self.is_due = false;
        self.told = self.ring.head().seq;
        self.members.rouse_all(slot);
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
        bytes += entry.event.what.bytes().max(1);
        fits
    };
    entries.take(max_entries).take_while(fits).map(Arc::clone)
}

/// What a room is like right now.
#[derive(Debug)]
pub(crate) struct RoomState {
    /// Which events the log has.
    pub(crate) bounds: Bounds,
    /// How many named users are here.
    pub(crate) count: usize,
    /// They, if they were asked for and are not too many to list.
    pub(crate) people: Vec<Person>,
    /// The number of the newest notice, which says no more than this.
    pub(crate) notices: u64,
}
