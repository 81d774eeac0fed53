//! The rooms of a hub, in shards with a short lock each.
//!
//! A room belongs to one shard. A lock is held to append, to read or to change a membership, and
//! never across an await or a write. What a lock protects is [`core`](crate::core).

pub(crate) mod delivery;
pub(crate) mod entrance;
pub(crate) mod follower;
pub(crate) mod lane;
pub(crate) mod opening;

use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fullduplex::Prepared;
use siphasher::sip::SipHasher13;
use tokio::{sync::Notify, time::Instant};

use self::{delivery::DueRoom, lane::Lanes};
use crate::{
    auth::Names,
    config::Config,
    core::{
        Batch, Begin, Birth, Bounds, Census, Cursor, DEFAULT_ROOM, Departure, Event, Forked, Gap,
        History, JoinRefused, Joined, Mark, Member, Newest, Opened, Person, Quota, Reset,
        RoomState, Round, SessionId, Shard, ShardLimits, Slot, User, Wake, Watch,
    },
    identity::random,
    log::Committed,
    metrics::Spread,
    session::Seat,
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

/// How far somebody has read in a room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) history: History,
    /// The position of the next event that is needed.
    pub(crate) cursor: u64,
    /// The number of the newest notice that was read.
    pub(crate) notices: u64,
}

/// What is the same in all rooms a session joins.
#[derive(Debug)]
pub(crate) struct Visitor {
    pub(crate) session: SessionId,
    pub(crate) seat: Arc<Seat>,
}

type RoomShard = Shard<Prepared, ShardSeat>;

/// The shards, as what is due in them knows them.
#[derive(Debug)]
pub(crate) struct Shards {
    all: Box<[Mutex<RoomShard>]>,
    /// Events written for somebody, each time for each.
    delivered: Spread,
}

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

    /// Has all in a room read by themselves; see [`Shard::read_alone`].
    pub(crate) fn read_alone(&self, room: RoomRef) {
        self.lock(room.shard).read_alone(room.slot);
    }

    /// Counts events that were written for somebody.
    pub(crate) fn delivered(&self, events: usize) {
        self.delivered.add(events as u64);
    }

    /// Takes a lock. The state behind it is whole between two calls, also after a panic elsewhere.
    fn lock(&self, shard: usize) -> MutexGuard<'_, RoomShard> {
        self.all[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct Rooms {
    shards: Arc<Shards>,
    lanes: Lanes,
    hasher: SipHasher13,
    started: Instant,
    /// Notified when some room has news to tell.
    news_due: Notify,
}

impl Rooms {
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(crate) fn new(config: &Config) -> Self {
        let Config {
            limits, timeouts, ..
        } = config;
        let fair_part = limits.total_ring_bytes / SHARDS;
        let shard_limits = ShardLimits {
            ring_entries: limits.ring_events,
            ring_bytes: limits.ring_bytes.min(fair_part),
            copies: if config.deflate { 2 } else { 1 },
            shard_bytes: fair_part,
            listed_users: limits.listed_users,
            empty_room_ttl: timeouts.empty_room,
            empty_room_grace: timeouts.empty_room_grace,
            away_after: timeouts.presence_away,
            left_after: timeouts.presence_left,
            crowd_pause: timeouts.presence_crowd,
        };
        let total = Arc::new(Quota::new(limits.rooms, limits.rooms_per_address));
        let shard = || Mutex::new(Shard::new(shard_limits, Arc::clone(&total)));
        let rooms = Self {
            shards: Arc::new(Shards {
                all: std::iter::repeat_with(shard).take(SHARDS).collect(),
                delivered: Spread::default(),
            }),
            lanes: Lanes::new(),
            hasher: SipHasher13::new_with_keys(random(), random()),
            started: Instant::now(),
            news_due: Notify::new(),
        };
        rooms.lock(rooms.shard_of(DEFAULT_ROOM)).keep(DEFAULT_ROOM);
        rooms
    }

    /// Who writes what rooms have.
    pub(crate) const fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// See [`Shards::delivered`].
    pub(crate) fn delivered(&self, events: usize) {
        self.shards.delivered(events);
    }

    /// How many were.
    pub(crate) fn deliveries(&self) -> u64 {
        self.shards.delivered.get()
    }

    /// The shard a room belongs to.
    pub(crate) fn shard_of(&self, name: &str) -> usize {
        // The remainder is below the number of shards, a small constant.
        usize::try_from(self.hasher.hash(name.as_bytes()) % SHARDS as u64).unwrap_or(0)
    }

    /// Makes a room if need be; see [`Shard::open`].
    pub(crate) fn open(
        &self,
        name: &str,
        payer: Option<IpAddr>,
        wanted: usize,
    ) -> Result<Opened, JoinRefused> {
        let shard = self.shard_of(name);
        let open = || self.lock(shard).open(name, payer, wanted);
        // With all places taken, an empty room anywhere makes place.
        match open() {
            Err(JoinRefused::Full) if self.reclaim() => open(),
            decided => decided,
        }
    }

    /// Fills a room from the log; see [`Shard::fill`].
    pub(crate) fn fill(&self, name: &str, birth: Birth, read: Newest, rewrites: u64) -> bool {
        let now = self.now();
        let mut rooms = self.lock(self.shard_of(name));
        rooms.fill(name, birth, read, rewrites, now)
    }

    /// See [`Shard::rewrites`].
    pub(crate) fn rewrites(&self, shard: usize) -> u64 {
        self.lock(shard).rewrites()
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
        watch: Watch,
        begin: Begin,
    ) -> Option<(RoomRef, Joined)> {
        let shard = self.shard_of(name);
        let wake = ShardSeat {
            shard,
            seat: Arc::clone(&visitor.seat),
        };
        let member = Member::new(visitor.session, wake, user.cloned(), watch);
        let joined = self.change(shard, |rooms| rooms.join(name, member, begin))?;
        let slot = joined.slot;
        Some((RoomRef { shard, slot }, joined))
    }

    pub(crate) fn leave(&self, room: RoomRef, session: SessionId, departure: Departure) {
        let now = self.now();
        self.change(room.shard, |rooms| {
            rooms.leave(room.slot, session, departure, now);
        });
    }

    pub(crate) fn rename(&self, room: RoomRef, session: SessionId, user: &Arc<User>) {
        let now = self.now();
        self.change(room.shard, |rooms| {
            rooms.rename(room.slot, session, user, now);
        });
    }

    /// A member types, or types no more; see [`Shard::typing`].
    pub(crate) fn typing(&self, room: RoomRef, session: SessionId, is_on: bool) {
        let now = self.now();
        self.change(room.shard, |rooms| {
            rooms.typing(room.slot, session, is_on, now);
        });
    }

    /// What a room is like now, for a member that watches it so from now on.
    pub(crate) fn state(
        &self,
        room: RoomRef,
        session: SessionId,
        watch: Watch,
    ) -> Option<RoomState> {
        let mut rooms = self.lock(room.shard);
        rooms.watch(room.slot, session, watch);
        rooms.state(room.slot, watch)
    }

    /// Some of the people in a room; see [`Shard::page`].
    pub(crate) fn page(
        &self,
        room: RoomRef,
        after: Option<&str>,
        max: usize,
    ) -> Option<(Vec<Person>, bool, usize)> {
        self.lock(room.shard).page(room.slot, after, max)
    }

    /// As [`page`](Self::page), of a room by its name; nobody if it is not in memory.
    pub(crate) fn members(
        &self,
        name: &str,
        after: Option<&str>,
        max: usize,
    ) -> (Vec<Person>, bool, usize) {
        let rooms = self.lock(self.shard_of(name));
        let slot = rooms.find(name);
        let page = slot.and_then(|slot| rooms.page(slot, after, max));
        page.unwrap_or_default()
    }

    /// What follows a place; see [`Shard::read`].
    ///
    /// # Errors
    ///
    /// The room has another history by now.
    pub(crate) fn read(
        &self,
        room: RoomRef,
        session: SessionId,
        at: Place,
        max_entries: usize,
        max_bytes: usize,
    ) -> Result<Batch<Prepared>, Forked> {
        let Place {
            history,
            cursor,
            notices,
        } = at;
        let (slot, mut rooms) = (room.slot, self.lock(room.shard));
        match rooms.forked(slot, history, cursor) {
            Some(forked) => Err(forked),
            None => Ok(rooms.read(slot, session, cursor, notices, max_entries, max_bytes)),
        }
    }

    /// Whether a room has another history by now.
    pub(crate) fn has_forked(&self, room: RoomRef, history: History) -> bool {
        let rooms = self.lock(room.shard);
        rooms.forked(room.slot, history, 0).is_some()
    }

    /// What a room's ring lacks of what follows a cursor.
    pub(crate) fn gap(&self, room: RoomRef, cursor: u64) -> Option<Gap> {
        self.lock(room.shard).gap(room.slot, cursor)
    }

    /// How far behind a cursor is; see [`Shard::lag`].
    pub(crate) fn lag(&self, room: RoomRef, cursor: u64) -> Option<usize> {
        self.lock(room.shard).lag(room.slot, cursor)
    }

    /// Waits until some room has news to tell. Cancel safe.
    pub(crate) async fn news_due(&self) {
        self.news_due.notified().await;
    }

    /// Tells what happened in all rooms so far; what has to wait makes [`news_due`](Self::news_due) ready again.
    pub(crate) fn tell_news(&self) {
        let now = self.now();
        for shard in 0..SHARDS {
            self.change(shard, |rooms| rooms.tell_news(now));
        }
    }

    /// Forgets users and rooms that nobody came back to for long enough.
    pub(crate) fn sweep(&self) {
        let now = self.now();
        for shard in 0..SHARDS {
            self.change(shard, |rooms| rooms.sweep(now));
        }
    }

    /// What there is, in numbers. Each shard is locked for a glance at its rooms.
    pub(crate) fn census(&self) -> Census {
        let shards = (0..SHARDS).map(|shard| self.lock(shard).census());
        shards.fold(Census::default(), |sum, census| sum + census)
    }

    /// The first `max` rooms named behind `after` that are among `names` and not `hidden`, each with how many users are there. However
    /// many rooms there are, for each of `names` no more than `max` of each shard are looked at, and those that are hidden.
    pub(crate) fn list<'a>(
        &self,
        after: Option<&str>,
        max: usize,
        names: impl Iterator<Item = &'a Names>,
        hidden: &HashSet<Arc<str>>,
    ) -> Vec<(Arc<str>, usize)> {
        let mut found = Vec::new();
        for names in names {
            for shard in 0..SHARDS {
                let rooms = self.lock(shard);
                let listed = rooms.list(names.first(), after);
                let listed = listed.take_while(|(room, _)| names.have(room));
                let listed = listed.filter(|(room, _)| !hidden.contains(room));
                found.extend(listed.take(max));
            }
            found.sort_unstable();
            found.dedup_by(|a, b| a.0 == b.0);
            found.truncate(max);
        }
        found
    }

    /// A room that has something for all its members.
    pub(crate) fn due(&self, room: RoomRef) -> DueRoom {
        DueRoom::new(&self.shards, room)
    }

    fn reclaim(&self) -> bool {
        let now = self.now();
        (0..SHARDS).any(|shard| self.lock(shard).reclaim(now))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Changes rooms in a way that may be news to somebody.
    fn change<T>(&self, shard: usize, change: impl FnOnce(&mut RoomShard) -> T) -> T {
        let mut rooms = self.lock(shard);
        let result = change(&mut rooms);
        if rooms.is_news_due() {
            self.news_due.notify_one();
        }
        result
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, RoomShard> {
        self.shards.lock(shard)
    }
}

impl Committed for Rooms {
    fn committed(&self, event: Event) {
        let shard = self.shard_of(&event.room);
        let due = self.change(shard, |rooms| rooms.commit(event));
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

    fn follows(&self, room: &str) -> bool {
        self.lock(self.shard_of(room)).find(room).is_some()
    }

    fn forked(&self, room: &str, bounds: &Bounds) {
        tracing::warn!(room, epoch = &*bounds.epoch, "the log has another history");
        self.lock(self.shard_of(room)).fork(room, bounds);
    }
}
