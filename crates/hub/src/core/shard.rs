//! A share of the rooms, behind one lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use super::{
    attendance::Departure,
    census::Census,
    cursor::{Cursor, Reset},
    event::{Author, Entry, Event, User, What},
    fork::History,
    members::{Member, SessionId, Wake},
    notice::{Notice, Watch},
    position::{Bounds, Mark},
    quota::{JoinRefused, Quota},
    ring::Gap,
    room::{Birth, Room, RoomState, some_of},
    round::Round,
};

/// Where a room is within its shard. Valid while somebody is in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub(super) usize);

/// What a shard may keep.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShardLimits {
    /// Events kept per room.
    pub(crate) ring_entries: usize,
    /// Bytes kept per room.
    pub(crate) ring_bytes: usize,
    /// How often each frame of these may be there: plain, and perhaps compressed.
    pub(crate) copies: usize,
    /// Bytes kept by all rooms of this shard together.
    pub(crate) shard_bytes: usize,
    /// Users above which a room is counted and not listed.
    pub(crate) listed_users: usize,
    /// How long an empty room is remembered.
    pub(crate) empty_room_ttl: Duration,
    /// How long an empty room is remembered at least, however many others are wanted.
    pub(crate) empty_room_grace: Duration,
    /// How long a user whose connection was lost seems to be here.
    pub(crate) away_after: Duration,
    /// How long such a user is waited for in all.
    pub(crate) left_after: Duration,
    /// In a room with more than are listed, the time between two notices of who is here.
    pub(crate) crowd_pause: Duration,
}

/// Rooms, found by name or slot.
///
/// `F` is an encoded frame, `W` wakes a session.
#[derive(Debug)]
pub(crate) struct Shard<F, W> {
    pub(super) limits: ShardLimits,
    /// Counts the rooms of all shards.
    rooms_total: Arc<Quota>,
    pub(super) slots: Vec<Option<Room<F, W>>>,
    free: Vec<Slot>,
    /// Rooms ever made.
    births: u64,
    by_name: HashMap<Arc<str>, Slot>,
    /// The same in the order of their names, to be listed in pages.
    in_order: BTreeMap<Arc<str>, Slot>,
    /// Rooms with something in their ring by the position of their newest event, so that the one
    /// that has been quiet for longest gives up its ring first.
    by_head: BTreeSet<(u64, Slot)>,
    /// Bytes of all rings.
    bytes: usize,
    /// How often what was said was changed: erased, or replaced by another history.
    rewrites: u64,
    /// Empty rooms, longest empty first.
    empty: BTreeSet<(Duration, Slot)>,
    /// Rooms with something to tell that is not in the log: they do so together.
    pub(super) news_due: Vec<Slot>,
    /// Rooms where somebody types.
    pub(super) typing: Vec<Slot>,
    /// Users who are waited for, by when that is over.
    pub(super) waits: BTreeSet<(Duration, Slot, Arc<str>)>,
}

/// What a session learns when it joins.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) slot: Slot,
    /// The room's, which all its members share.
    pub(crate) name: Arc<str>,
    pub(crate) state: RoomState,
    /// From where this member reads: its cursor in the room's events.
    pub(crate) cursor: u64,
    /// Which of the room's histories that is in.
    pub(crate) history: History,
}

/// A room that was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It has the newest events wanted, from this position on.
    From(u64),
    /// It lacks some of them.
    Lacks(Birth),
}

/// A room's newest events, as they were read from the log.
#[derive(Debug)]
pub(crate) struct Newest {
    /// What the log had of the room.
    pub(crate) bounds: Bounds,
    /// They, oldest first.
    pub(crate) events: Vec<Event>,
    /// Whether there are fewer than were asked for, as they are too long.
    pub(crate) is_cut: bool,
}

#[cfg(test)]
impl Newest {
    /// All that there are.
    pub(super) fn whole(bounds: &Bounds, events: Vec<Event>) -> Self {
        Self {
            bounds: bounds.clone(),
            events,
            is_cut: false,
        }
    }
}

/// Where a member begins to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With so many of the newest events, which the log has from this position on when the ring does not have them all.
    Newest { count: usize, from: u64 },
    /// After this cursor, which was found to be one that it can go on from.
    After(Cursor),
}

/// What a member has to read next.
#[derive(Debug)]
pub(crate) struct Batch<F> {
    /// Positions this member needs and the ring no longer has.
    pub(crate) gap: Option<Gap>,
    pub(crate) entries: Vec<Arc<Entry<F>>>,
    pub(crate) notices: Vec<Arc<Notice<F>>>,
    /// The newest notice's number.
    pub(crate) notices_read: u64,
    /// How many events the member was behind, this batch included.
    pub(crate) behind: usize,
}

impl<F> Batch<F> {
    const fn empty() -> Self {
        Self {
            gap: None,
            entries: Vec::new(),
            notices: Vec::new(),
            notices_read: 0,
            behind: 0,
        }
    }

    /// Whether nothing follows this batch.
    pub(crate) fn reaches_head(&self) -> bool {
        self.gap.is_none() && self.behind == self.entries.len()
    }
}

impl<F, W: Wake + Clone> Shard<F, W> {
    pub(crate) fn new(limits: ShardLimits, rooms_total: Arc<Quota>) -> Self {
        Self {
            limits,
            rooms_total,
            slots: Vec::new(),
            free: Vec::new(),
            births: 0,
            by_name: HashMap::new(),
            in_order: BTreeMap::new(),
            by_head: BTreeSet::new(),
            bytes: 0,
            rewrites: 0,
            empty: BTreeSet::new(),
            news_due: Vec::new(),
            typing: Vec::new(),
            waits: BTreeSet::new(),
        }
    }

    /// Makes a room that is there for good and is not counted.
    pub(crate) fn keep(&mut self, name: &str) {
        let slot = self.add(name, None);
        if let Some(room) = self.room_mut(slot) {
            room.is_kept = true;
        }
    }

    /// Makes a room if need be, at the cost of `payer` if of anybody. If it lacks some of the newest `wanted` events, its ring has to be
    /// filled from the log; until that was done once nobody can join.
    pub(crate) fn open(
        &mut self,
        name: &str,
        payer: Option<IpAddr>,
        wanted: usize,
    ) -> Result<Opened, JoinRefused> {
        let slot = if let Some(&slot) = self.by_name.get(name) {
            slot
        } else {
            self.rooms_total.take(payer)?;
            self.add(name, payer)
        };
        let wanted = wanted.min(self.limits.ring_entries);
        Ok(match &self.slots[slot.0] {
            Some(room) if room.lacks(wanted) => Opened::Lacks(room.birth),
            Some(room) => Opened::From(room.ring.cursor_of_newest(wanted)),
            None => Opened::From(0),
        })
    }

    /// How often what was said was changed: what is read from the log after this has it.
    pub(crate) const fn rewrites(&self) -> u64 {
        self.rewrites
    }

    /// What was said is changed: what was read from the log before is not to be used.
    pub(super) const fn rewritten(&mut self) {
        self.rewrites += 1;
    }

    /// Fills a room's ring with its newest events, read after it was opened. Says whether they are to be read again, as
    /// something was changed after there were so many `rewrites`.
    #[must_use]
    pub(crate) fn fill(
        &mut self,
        name: &str,
        birth: Birth,
        read: Newest,
        rewrites: u64,
        now: Duration,
    ) -> bool {
        if self.rewrites != rewrites {
            return true;
        }
        let Some(slot) = self.born(name, birth) else {
            return false;
        };
        let limits = self.limits;
        let Some(room) = self.slots[slot.0].as_mut() else {
            return false;
        };
        let (old_head, old_bytes) = (room.ring.head().seq, room.ring.bytes());
        let (max_entries, max_bytes) = (limits.ring_entries, limits.ring_bytes);
        room.fill(
            &read.bounds,
            read.events,
            read.is_cut,
            max_entries,
            max_bytes,
        );
        if room.members.is_empty() && !room.is_kept && room.empty_since.is_none() {
            room.empty_since = Some(now);
            self.empty.insert((now, slot));
        }
        self.ring_changed(slot, old_head, old_bytes);
        false
    }

    /// Forgets a room that could not be filled.
    pub(crate) fn give_up(&mut self, name: &str, birth: Birth) {
        if let Some(slot) = self.born(name, birth)
            && self
                .room(slot)
                .is_some_and(|room| room.epoch.is_none() && !room.is_kept)
        {
            self.forget(slot);
        }
    }

    /// Whether all that follows a cursor can be had. None if only the log can tell.
    pub(crate) fn judge(&self, name: &str, cursor: &Cursor) -> Option<Result<(), Reset>> {
        self.room(*self.by_name.get(name)?)?.judge(cursor)
    }

    /// Puts a member into a room. None if that has not been opened and filled, or if since its cursor was judged some of what follows was
    /// dropped, or the room has another history.
    ///
    /// The caller sees to it that no session joins a room twice.
    pub(crate) fn join(&mut self, name: &str, member: Member<W>, begin: Begin) -> Option<Joined> {
        let slot = *self.by_name.get(name)?;
        let room = self.slots[slot.0].as_mut()?;
        let epoch = room.epoch.as_ref()?;
        let is_past = |cursor: &Cursor| cursor.epoch != *epoch || cursor.mark.seq < room.floor.seq;
        if matches!(&begin, Begin::After(cursor) if is_past(cursor)) {
            return None;
        }
        if let Some(since) = room.empty_since.take() {
            self.empty.remove(&(since, slot));
        }
        let (user, watch) = (member.user.clone(), member.watch);
        room.members.insert(member);
        if let Some(user) = &user {
            self.enter(slot, user);
        }
        let room = self.room(slot)?;
        let joined = Joined {
            slot,
            name: Arc::clone(&room.name),
            cursor: match begin {
                Begin::Newest { count, from } => {
                    room.cursor_of_newest(count.min(self.limits.ring_entries), from)
                }
                Begin::After(cursor) => cursor.mark.seq.saturating_add(1),
            },
            history: room.history(),
            state: room.state(watch, self.limits.listed_users),
        };
        Some(joined)
    }

    /// What the room is like now, for who watches it so.
    pub(crate) fn state(&self, slot: Slot, watch: Watch) -> Option<RoomState> {
        Some(self.room(slot)?.state(watch, self.limits.listed_users))
    }

    /// Takes a session out of a room.
    pub(crate) fn leave(
        &mut self,
        slot: Slot,
        session: SessionId,
        departure: Departure,
        now: Duration,
    ) {
        let Some(room) = self.room_mut(slot) else {
            return;
        };
        let Some(member) = room.members.remove(session) else {
            return;
        };
        if let Some(user) = member.user {
            self.exit(slot, &user, departure, now);
        }
        let Some(room) = self.slots[slot.0].as_mut() else {
            return;
        };
        if room.members.is_empty() && !room.is_kept {
            room.empty_since = Some(now);
            self.empty.insert((now, slot));
        }
    }

    /// Shows a session's user differently from now on.
    pub(crate) fn rename(
        &mut self,
        slot: Slot,
        session: SessionId,
        user: &Arc<User>,
        now: Duration,
    ) {
        let Some(room) = self.room_mut(slot) else {
            return;
        };
        let Some(member) = room.members.get_mut(session) else {
            return;
        };
        let old = member.user.replace(Arc::clone(user));
        // First in, then out: the same user under a new name never seems to leave.
        self.enter(slot, user);
        if let Some(old) = old {
            self.exit(slot, &old, Departure::Left, now);
        }
    }

    /// Appends an event that came back from the log to its room. If the room has become due by that, the caller sees to it that
    /// [`round`](Self::round) is called.
    ///
    /// An event for a room that has been forgotten since stays in the log only. One that the ring was filled with has been
    /// appended already, and is yet to be told to those who were here.
    #[must_use]
    pub(crate) fn commit(&mut self, event: Event) -> Option<Slot> {
        let &slot = self.by_name.get(&event.room)?;
        let limits = self.limits;
        let room = self.slots[slot.0].as_mut()?;
        let (old_head, old_bytes) = (room.ring.head().seq, room.ring.bytes());
        if event.seq <= old_head {
            return room.becomes_due(event.seq).then_some(slot);
        }
        if let (What::Message { .. }, Author::User(user)) = (&event.what, &event.from) {
            room.typing.end(&user.id);
        }
        let is_due = room.append(event, limits.ring_entries, limits.ring_bytes);
        self.ring_changed(slot, old_head, old_bytes);
        self.news_changed(slot);
        is_due.then_some(slot)
    }

    /// Takes away what the log no longer keeps of a room.
    pub(crate) fn trim(&mut self, name: &str, floor: Mark) {
        self.change_ring(name, |room, _| room.trim(floor));
    }

    /// Changes what is known of a room's events, if the room is there.
    pub(super) fn change_ring(&mut self, name: &str, change: impl FnOnce(&mut Room<F, W>, Slot)) {
        let Some(&slot) = self.by_name.get(name) else {
            return;
        };
        let Some(room) = self.slots[slot.0].as_mut() else {
            return;
        };
        let (old_head, old_bytes) = (room.ring.head().seq, room.ring.bytes());
        change(room, slot);
        self.ring_changed(slot, old_head, old_bytes);
    }

    /// Takes away what a user said.
    pub(crate) fn erase(&mut self, user: &str) {
        self.rewritten();
        for at in 0..self.slots.len() {
            let Some(room) = self.slots[at].as_mut() else {
                continue;
            };
            let (old_head, old_bytes) = (room.ring.head().seq, room.ring.bytes());
            room.ring.erase(user);
            self.ring_changed(Slot(at), old_head, old_bytes);
        }
    }

    /// What a room that is due has for all its members, bounded as in [`read`](Self::read); and whether it is still due, for more.
    ///
    /// Each listener of whom the round is not [all it needs](super::Need::All) next, or who can't have it now, is to be
    /// [roused](Self::rouse).
    pub(crate) fn round(
        &mut self,
        slot: Slot,
        max_entries: usize,
        max_bytes: usize,
    ) -> Option<(Round<F, W>, bool)> {
        let room = self.room_mut(slot)?;
        let round = room.next_round(max_entries, max_bytes, slot)?;
        Some((round, room.is_due))
    }

    /// Wakes a member, if it is still here and not awake.
    pub(crate) fn rouse(&mut self, slot: Slot, session: SessionId) {
        if let Some(room) = self.room_mut(slot) {
            room.members.rouse(session, slot);
        }
    }

    /// Has each member read by itself what it did not get in a round.
    pub(crate) fn read_alone(&mut self, slot: Slot) {
        if let Some(room) = self.room_mut(slot) {
            room.read_alone(slot);
        }
    }

    /// What follows `cursor` and `notices` for this member, or what the ring lacks of it, and then nothing else: at most `max_entries`, and no more
    /// once their bodies pass `max_bytes`. A member that has then read everything can be woken again;
    /// any other is expected to call again.
    pub(crate) fn read(
        &mut self,
        slot: Slot,
        session: SessionId,
        cursor: u64,
        notices: u64,
        max_entries: usize,
        max_bytes: usize,
    ) -> Batch<F> {
        let Some(room) = self.room_mut(slot) else {
            return Batch::empty();
        };
        let Some(member) = room.members.get_mut(session) else {
            return Batch::empty();
        };
        if let Some(gap) = room.ring.gap(cursor) {
            return Batch {
                gap: Some(gap),
                notices_read: notices,
                ..Batch::empty()
            };
        }
        let unread = room.ring.from(cursor);
        let behind = unread.len();
        let entries = some_of(unread, max_entries, max_bytes).collect();
        let batch = Batch {
            gap: None,
            entries,
            notices: room.notices.after(notices, member.watch),
            notices_read: room.notices.number(),
            behind,
        };
        if batch.reaches_head() {
            member.sleep();
        }
        batch
    }

    /// What a room's ring lacks of what follows a cursor.
    pub(crate) fn gap(&self, slot: Slot, cursor: u64) -> Option<Gap> {
        self.room(slot)?.ring.gap(cursor)
    }

    /// How far behind a cursor is: the events after it that are still kept, or none if some that
    /// it needs are not.
    pub(crate) fn lag(&self, slot: Slot, cursor: u64) -> Option<usize> {
        let Some(room) = self.room(slot) else {
            return Some(0);
        };
        room.ring
            .gap(cursor)
            .is_none()
            .then(|| room.ring.from(cursor).len())
    }

    /// Forgets users and rooms that nobody came back to for long enough.
    pub(crate) fn sweep(&mut self, now: Duration) {
        self.sweep_people(now);
        while let Some(&(since, slot)) = self.empty.first() {
            if now.saturating_sub(since) < self.limits.empty_room_ttl {
                break;
            }
            self.forget(slot);
        }
    }

    /// Counts what there is: a glance at each room.
    pub(crate) fn census(&self) -> Census {
        let rooms = self.slots.iter().flatten();
        Census {
            rooms: self.by_name.len(),
            users: rooms.map(|room| room.presence.count()).sum(),
            ring_bytes: self.bytes,
        }
    }

    /// Where a room is.
    pub(crate) fn find(&self, name: &str) -> Option<Slot> {
        self.by_name.get(name).copied()
    }

    /// The rooms that have been filled, by their names, from `first` on and behind `after`, each with how many users are there.
    pub(crate) fn list(
        &self,
        first: &str,
        after: Option<&str>,
    ) -> impl Iterator<Item = (Arc<str>, usize)> {
        let begin = match after {
            Some(after) if after >= first => Bound::Excluded(after),
            _ => Bound::Included(first),
        };
        let names = self.in_order.range::<str, _>((begin, Bound::Unbounded));
        let rooms = names.filter_map(|(_, slot)| self.room(*slot));
        let rooms = rooms.filter(|room| room.epoch.is_some());
        rooms.map(|room| (Arc::clone(&room.name), room.presence.count()))
    }

    /// Forgets the room that has been empty for longest, if that is long enough. Says whether
    /// there was one.
    pub(crate) fn reclaim(&mut self, now: Duration) -> bool {
        let longest = self.empty.first().copied();
        let Some((_, slot)) =
            longest.filter(|&(since, _)| now.saturating_sub(since) >= self.limits.empty_room_grace)
        else {
            return false;
        };
        self.forget(slot);
        true
    }

    fn add(&mut self, name: &str, made_from: Option<IpAddr>) -> Slot {
        let name: Arc<str> = name.into();
        self.births += 1;
        let birth = Birth(self.births);
        let room = Some(Room::new(
            Arc::clone(&name),
            birth,
            made_from,
            self.limits.copies,
        ));
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot.0] = room;
            slot
        } else {
            self.slots.push(room);
            Slot(self.slots.len() - 1)
        };
        self.by_name.insert(Arc::clone(&name), slot);
        self.in_order.insert(name, slot);
        slot
    }

    fn forget(&mut self, slot: Slot) {
        let Some(room) = self.slots[slot.0].take() else {
            return;
        };
        if let Some(since) = room.empty_since {
            self.empty.remove(&(since, slot));
        }
        for (due, id) in room.presence.waited_for() {
            self.waits.remove(&(due, slot, Arc::clone(id)));
        }
        self.by_name.remove(&room.name);
        self.in_order.remove(&room.name);
        self.by_head.remove(&(room.ring.head().seq, slot));
        self.bytes -= room.ring.bytes();
        self.free.push(slot);
        self.rooms_total.give_back(room.made_from);
    }

    fn ring_changed(&mut self, slot: Slot, old_head: u64, old_bytes: usize) {
        let Some(ring) = self.room(slot).map(|room| &room.ring) else {
            return;
        };
        let (head, bytes) = (ring.head().seq, ring.bytes());
        self.by_head.remove(&(old_head, slot));
        if bytes > 0 {
            self.by_head.insert((head, slot));
        }
        self.bytes = self.bytes - old_bytes + bytes;
        self.shed(slot);
    }

    /// Takes rings away, quietest room first, until the rest fits. The one that has just spoken or was filled keeps its own, which
    /// is bounded by itself.
    fn shed(&mut self, spared: Slot) {
        while self.bytes > self.limits.shard_bytes {
            let mut others = self.by_head.iter().filter(|(_, slot)| *slot != spared);
            let Some(&(head, slot)) = others.next() else {
                return;
            };
            self.by_head.remove(&(head, slot));
            let Some(room) = self.slots[slot.0].as_mut() else {
                continue;
            };
            self.bytes -= room.ring.bytes();
            room.ring.clear();
        }
    }

    fn born(&self, name: &str, birth: Birth) -> Option<Slot> {
        let slot = *self.by_name.get(name)?;
        (self.room(slot)?.birth == birth).then_some(slot)
    }

    pub(super) fn room(&self, slot: Slot) -> Option<&Room<F, W>> {
        self.slots.get(slot.0)?.as_ref()
    }

    pub(super) fn room_mut(&mut self, slot: Slot) -> Option<&mut Room<F, W>> {
        self.slots.get_mut(slot.0)?.as_mut()
    }
}
