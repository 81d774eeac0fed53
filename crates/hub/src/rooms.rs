//! The rooms of a hub, in shards with a short lock each.
//!
//! A room belongs to one shard. A lock is held to append, to read or to change a membership, and
//! never across an await or a write. What a lock protects is [`core`](crate::core).

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use fullduplex::Prepared;
use tokio::sync::Notify;

use crate::{
    config::{Limits, Timeouts},
    core::{
        Batch, Begin, Birth, Bounds, Census, Cursor, DEFAULT_ROOM, Event, JoinRefused, Joined,
        Mark, Member, Opened, Quota, Reset, RoomState, Round, SessionId, Shard, ShardLimits, Slot,
        User, Wake,
    },
    delivery::DueRoom,
    lane::Lanes,
    log::Committed,
    session::Seat,
    traffic::Client,
};

/// How many shards there are: enough that threads seldom meet at one, few enough that each has a
/// useful share of the memory.
pub(crate) const SHARDS: usize = 16;

/// Where a room is. Valid while the holder is in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RoomRef {
    pub(crate) shard: usize,
    slot: Slot,
}

/// A session's seat, as one shard knows it.
#[derive(Debug, Clone)]
pub(crate) struct ShardSeat {
    shard: usize,
    pub(crate) seat: Arc<Seat>,
}

impl Wake for ShardSeat {
    fn wake(&self, slot: Slot) {
        self.seat.tell(RoomRef {
            shard: self.shard,
            slot,
        });
    }
}

/// What is the same in all rooms a session joins.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) session: SessionId,
    pub(crate) seat: Arc<Seat>,
    /// Where it comes from.
    pub(crate) client: Client,
}

type RoomShard = Shard<Prepared, ShardSeat>;

/// The shards, as what is due in them knows them.
#[derive(Debug)]
pub(crate) struct Shards(Box<[Mutex<RoomShard>]>);

impl Shards {
    /// What a room that is due has for all; see [`Shard::round`].
    pub(crate) fn round(
        &self,
        room: RoomRef,
        max_entries: usize,
        max_bytes: usize,
    ) -> Option<(Round<Prepared, ShardSeat>, bool)> {
        self.lock(room.shard)
            .round(room.slot, max_entries, max_bytes)
    }

    /// Wakes these members of a room.
    pub(crate) fn rouse(&self, room: RoomRef, sessions: &[SessionId]) {
        let mut rooms = self.lock(room.shard);
        for &session in sessions {
            rooms.rouse(room.slot, session);
        }
    }

    /// Takes a lock. The state behind it is whole between two calls, also after a panic elsewhere.
    fn lock(&self, shard: usize) -> MutexGuard<'_, RoomShard> {
        self.0[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Rooms {
    shards: Arc<Shards>,
    lanes: Lanes,
    hasher: RandomState,
    started: Instant,
    /// Notified when presence changes wait to be told.
    presence_due: Notify,
}

impl Rooms {
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(crate) fn new(limits: &Limits, timeouts: &Timeouts) -> Self {
        let fair_part = limits.total_ring_bytes / SHARDS;
        let shard_limits = ShardLimits {
            ring_entries: limits.ring_events,
            ring_bytes: limits.ring_bytes.min(fair_part),
            shard_bytes: fair_part,
            listed_users: limits.listed_users,
            empty_room_ttl: timeouts.empty_room,
            empty_room_grace: timeouts.empty_room_grace,
        };
        let total = Arc::new(Quota::new(limits.rooms, limits.rooms_per_address));
        let shard = || Mutex::new(Shard::new(shard_limits, Arc::clone(&total)));
        let rooms = Self {
            shards: Arc::new(Shards(std::iter::repeat_with(shard).take(SHARDS).collect())),
            lanes: Lanes::new(),
            hasher: RandomState::new(),
            started: Instant::now(),
            presence_due: Notify::new(),
        };
        rooms.lock(rooms.shard_of(DEFAULT_ROOM)).keep(DEFAULT_ROOM);
        rooms
    }

    /// Who writes what rooms have.
    pub(crate) const fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// The shard a room belongs to.
    pub(crate) fn shard_of(&self, name: &str) -> usize {
        // The remainder is below the number of shards, a small constant.
        usize::try_from(self.hasher.hash_one(name) % SHARDS as u64).unwrap_or(0)
    }

    /// Makes a room if need be; see [`Shard::open`].
    pub(crate) fn open(
        &self,
        name: &str,
        address: IpAddr,
        wanted: usize,
    ) -> Result<Opened, JoinRefused> {
        let shard = self.shard_of(name);
        let open = || self.lock(shard).open(name, address, wanted);
        // With all places taken, an empty room anywhere makes place.
        match open() {
            Err(JoinRefused::Full) if self.reclaim() => open(),
            decided => decided,
        }
    }

    /// Fills a room from the log; see [`Shard::fill`].
    pub(crate) fn fill(
        &self,
        name: &str,
        birth: Birth,
        bounds: &Bounds,
        events: Vec<Event>,
        erasures: u64,
    ) -> bool {
        let now = self.started.elapsed();
        let mut rooms = self.lock(self.shard_of(name));
        rooms.fill(name, birth, bounds, events, erasures, now)
    }

    /// See [`Shard::erasures`].
    pub(crate) fn erasures(&self, name: &str) -> u64 {
        self.lock(self.shard_of(name)).erasures()
    }

    /// Forgets a room that could not be filled.
    pub(crate) fn give_up(&self, name: &str, birth: Birth) {
        self.lock(self.shard_of(name)).give_up(name, birth);
    }

    /// Whether all that follows a cursor can be had; see [`Shard::judge`].
    pub(crate) fn judge(&self, name: &str, cursor: &Cursor) -> Option<Result<(), Reset>> {
        self.lock(self.shard_of(name)).judge(name, cursor)
    }

    /// Puts a session into a room; see [`Shard::join`].
    pub(crate) fn join(
        &self,
        name: &str,
        visitor: &Visitor,
        user: Option<&Arc<User>>,
        wants_presence: bool,
        begin: Begin,
    ) -> Option<(RoomRef, Joined)> {
        let shard = self.shard_of(name);
        let wake = ShardSeat {
            shard,
            seat: Arc::clone(&visitor.seat),
        };
        let member = Member::new(visitor.session, wake, user.cloned(), wants_presence);
        let joined = self.lock(shard).join(name, member, begin)?;
        self.tell_presence(shard);
        let slot = joined.slot;
        Some((RoomRef { shard, slot }, joined))
    }

    pub(crate) fn leave(&self, room: RoomRef, session: SessionId) {
        let now = self.started.elapsed();
        self.lock(room.shard).leave(room.slot, session, now);
        self.tell_presence(room.shard);
    }

    pub(crate) fn rename(&self, room: RoomRef, session: SessionId, user: &Arc<User>) {
        self.lock(room.shard).rename(room.slot, session, user);
        self.tell_presence(room.shard);
    }

    pub(crate) fn state(&self, room: RoomRef) -> Option<RoomState> {
        self.lock(room.shard).state(room.slot)
    }

    /// What follows the cursors; see [`Shard::read`].
    pub(crate) fn read(
        &self,
        room: RoomRef,
        session: SessionId,
        cursor: u64,
        notices: u64,
        max_entries: usize,
        max_bytes: usize,
    ) -> Batch<Prepared> {
        let mut rooms = self.lock(room.shard);
        rooms.read(room.slot, session, cursor, notices, max_entries, max_bytes)
    }

    /// How far behind a cursor is; see [`Shard::lag`].
    pub(crate) fn lag(&self, room: RoomRef, cursor: u64) -> Option<usize> {
        self.lock(room.shard).lag(room.slot, cursor)
    }

    /// Waits until presence changes wait to be told. Cancel safe.
    pub(crate) async fn presence_due(&self) {
        self.presence_due.notified().await;
    }

    /// Tells all presence changes so far, one event per room.
    pub(crate) fn flush_presence(&self) {
        for shard in 0..SHARDS {
            self.lock(shard).flush_presence();
        }
    }

    /// Forgets rooms that have been empty for long enough.
    pub(crate) fn sweep(&self) {
        let now = self.started.elapsed();
        for shard in 0..SHARDS {
            self.lock(shard).sweep(now);
        }
    }

    /// What there is, in numbers. Each shard is locked for a glance at its rooms.
    pub(crate) fn census(&self) -> Census {
        let shards = (0..SHARDS).map(|shard| self.lock(shard).census());
        shards.fold(Census::default(), |sum, census| sum + census)
    }

    /// The first `max` rooms named behind `after` by which `may_see` is true, each with how many users are there.
    pub(crate) fn list(
        &self,
        after: Option<&str>,
        max: usize,
        may_see: impl Fn(&str) -> bool,
    ) -> Vec<(Arc<str>, usize)> {
        let mut found = Vec::new();
        for shard in 0..SHARDS {
            found.extend(self.lock(shard).list(after));
        }
        found.retain(|(name, _)| may_see(name));
        found.sort_unstable();
        found.truncate(max);
        found
    }

    /// A room that has something for all its members.
    pub(crate) fn due(&self, room: RoomRef) -> DueRoom {
        DueRoom::new(&self.shards, room)
    }

    fn reclaim(&self) -> bool {
        let now = self.started.elapsed();
        (0..SHARDS).any(|shard| self.lock(shard).reclaim(now))
    }

    fn tell_presence(&self, shard: usize) {
        if self.lock(shard).is_presence_due() {
            self.presence_due.notify_one();
        }
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, RoomShard> {
        self.shards.lock(shard)
    }
}

impl Committed for Rooms {
    fn committed(&self, event: Event) {
        let shard = self.shard_of(&event.room);
        let due = self.lock(shard).commit(event);
        if let Some(slot) = due {
            let room = RoomRef { shard, slot };
            self.lanes.of(shard as u64).push_room(self.due(room));
        }
    }

    fn erased(&self, user: &str) {
        for shard in 0..SHARDS {
            self.lock(shard).erase(user);
        }
    }

    fn trimmed(&self, room: &str, floor: Mark) {
        self.lock(self.shard_of(room)).trim(room, floor);
    }
}
