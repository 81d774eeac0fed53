//! The log in memory: it keeps the newest events, and begins a new history with each process.

mod marks;
mod projection;
mod reacting;
mod search;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use siphasher::sip::SipHasher13;

use self::{marks::Marks, search::Searches};
use super::{
    Answer, Append, AppendError, Appended, Bounds, Chk, Committed, Draft, Log, MAX_EDITS,
    MAX_MISSED, Mark, PageSize, ReadError, Sought, Start, Tail,
    draft::{Key, may_change, position_after},
    stamp::{Stamps, new_epoch},
};
use crate::{
    core::{Event, OwnNumberMap, What},
    identity::random,
};

/// Enough that threads seldom meet at one.
const SHARDS: usize = 16;

/// Rooms of a shard of which nothing is kept but where they ended, so that who has read all of one can go on. Some 100 bytes each.
const MAX_HOLLOW: usize = 1_024;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct MemoryLimits {
    /// Events of one room; for a while up to a sixteenth more, as they are dropped together.
    pub room_events: usize,
    /// Events of all rooms.
    pub events: usize,
    /// Bytes of all rooms.
    pub bytes: usize,
}

/// A log whose events last as long as the process, and no longer than its limits let them.
pub struct MemoryLog {
    shards: Arc<Shards>,
    searches: Searches,
    /// Those of one shard.
    limits: MemoryLimits,
    epoch: Arc<str>,
    marks: Mutex<Marks>,
    committed: Arc<dyn Committed>,
}

/// All rooms.
struct Shards {
    all: Box<[Mutex<Shard>]>,
    hasher: SipHasher13,
}

impl Shards {
    /// The shard that a room is in.
    fn of(&self, room: &str) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash(room.as_bytes()) % SHARDS as u64;
        self.all[usize::try_from(at).unwrap_or(0)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rooms that share an order.
struct Shard {
    last_seq: u64,
    stamps: Stamps,
    rooms: HashMap<Arc<str>, Room>,
    /// Rooms with events by the oldest of them.
    by_oldest: BTreeMap<u64, Arc<str>>,
    /// Events of all of them.
    events: usize,
    bytes: usize,
    /// Rooms without events by their head.
    hollow: BTreeMap<u64, Arc<str>>,
    /// Where the events are that clients gave ids.
    by_cid: HashMap<Key, u64>,
}

struct Room {
    floor: Mark,
    head: Mark,
    events: VecDeque<Event>,
    /// The edits of messages that have some, by their positions.
    edits: OwnNumberMap<u64, Edited>,
}

/// What became of a message.
#[derive(Default)]
struct Edited {
    times: usize,
    /// The position of the last edit.
    last: u64,
}

impl MemoryLog {
    /// An empty log that hands events to `committed`.
    pub fn new(limits: MemoryLimits, committed: Arc<dyn Committed>) -> Self {
        let shard = || {
            Mutex::new(Shard {
                last_seq: 0,
                stamps: Stamps::after(0),
                rooms: HashMap::new(),
                by_oldest: BTreeMap::new(),
                events: 0,
                bytes: 0,
                hollow: BTreeMap::new(),
                by_cid: HashMap::new(),
            })
        };
        Self {
            shards: Arc::new(Shards {
                all: std::iter::repeat_with(shard).take(SHARDS).collect(),
                hasher: SipHasher13::new_with_keys(random(), random()),
            }),
            searches: Searches::new(),
            limits: MemoryLimits {
                events: limits.events / SHARDS,
                bytes: limits.bytes / SHARDS,
                ..limits
            },
            epoch: new_epoch(),
            marks: Mutex::default(),
            committed,
        }
    }

    fn shard(&self, room: &str) -> MutexGuard<'_, Shard> {
        self.shards.of(room)
    }

    fn try_append(&self, draft: Draft) -> Result<Appended, AppendError> {
        let key = draft.key();
        let mut shard = self.shard(&draft.room);
        if let Some(first) = key.as_ref().and_then(|key| shard.find(key)) {
            return if draft.repeats(&first.what) {
                Ok(Appended::again(first))
            } else {
                Err(AppendError::Conflict)
            };
        }
        if let Some(before) = shard.check(&draft)? {
            return Ok(before);
        }
        let seq = position_after(shard.last_seq).ok_or(AppendError::Unavailable)?;
        let (ts, id) = shard
            .stamps
            .next(draft.now)
            .ok_or(AppendError::Unavailable)?;
        shard.last_seq = seq;
        let appended = Appended {
            seq,
            id,
            ts,
            duplicate: false,
        };
        let (event, kept) = shard.push(draft, key, &appended);
        let trimmed = shard.drop_oldest(&event.room, kept, &self.limits);
        shard.forget_hollow(|room| self.committed.follows(room));
        // Under the lock, so that events reach the rings in the order of the log.
        self.committed.committed(event);
        for (room, floor) in trimmed {
            self.committed.trimmed(&room, floor);
        }
        Ok(appended)
    }
}

impl Log for MemoryLog {
    fn append(&self, draft: Draft) -> Append {
        Answer::given(self.try_append(draft))
    }

    fn bounds(&self, room: &Arc<str>) -> Answer<Bounds, ReadError> {
        Answer::given(Ok(self.shard(room).bounds(room, &self.epoch)))
    }

    fn seek(&self, room: &Arc<str>, seq: u64) -> Answer<Sought, ReadError> {
        let shard = self.shard(room);
        let bounds = shard.bounds(room, &self.epoch);
        let kept = shard.rooms.get(room).map(|room| &room.events);
        let at =
            kept.and_then(|events| events.get(events.binary_search_by_key(&seq, |e| e.seq).ok()?));
        let following = kept.map_or(0, |events| {
            events.len() - events.partition_point(|event| event.seq <= seq)
        });
        Answer::given(Ok(Sought {
            chk: bounds
                .chk_at(seq)
                .or_else(|| at.map(|event| Chk::of_id(&event.id))),
            following: following.min(MAX_MISSED + 1),
            bounds,
        }))
    }

    fn erase(&self, user: &Arc<str>) -> Answer<u64, AppendError> {
        let mut erased = 0;
        for shard in &self.shards.all {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let Shard { rooms, bytes, .. } = &mut *shard;
            for room in rooms.values_mut() {
                let (events, freed) = room.erase(user);
                erased += events;
                *bytes -= freed;
            }
        }
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.forget(user);
        drop(marks);
        self.committed.erased(user);
        Answer::given(Ok(erased))
    }

    fn tail(&self, room: &Arc<str>, start: Start, max: PageSize) -> Answer<Tail, ReadError> {
        let shard = self.shard(room);
        let bounds = shard.bounds(room, &self.epoch);
        let events = shard.rooms.get(room).map(|room| room.page(start, max));
        Answer::given(Ok(Tail {
            bounds,
            events: events.unwrap_or_default(),
        }))
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Shard {
    fn find(&self, key: &Key) -> Option<&Event> {
        let seq = self.by_cid.get(key)?;
        self.rooms.get(&key.1)?.get(*seq)
    }

    fn bounds(&self, room: &str, epoch: &Arc<str>) -> Bounds {
        let bounds = Bounds::empty(Arc::clone(epoch));
        match self.rooms.get(room) {
            Some(Room { floor, head, .. }) => Bounds {
                floor: *floor,
                head: *head,
                ..bounds
            },
            None => bounds,
        }
    }

    /// Whether what the draft is about is there and may be changed. Answers one that would change nothing.
    fn check(&self, draft: &Draft) -> Result<Option<Appended>, AppendError> {
        let Some(target) = draft.what.target() else {
            return Ok(None);
        };
        let room = self.rooms.get(&draft.room).ok_or(AppendError::NotFound)?;
        let target = room.get(target).ok_or(AppendError::NotFound)?;
        may_change(draft, &target.what, &target.from)?;
        let edited = room.edits.get(&target.seq);
        if matches!(draft.what, What::Edit { .. })
            && edited.is_some_and(|edited| edited.times >= MAX_EDITS)
        {
            return Err(AppendError::TooManyEdits);
        }
        room.answered(draft, target)
    }

    /// Keeps the event that a draft becomes. Returns it, and how many of its room are kept now.
    fn push(&mut self, mut draft: Draft, key: Option<Key>, appended: &Appended) -> (Event, usize) {
        if let Some(key) = key {
            self.by_cid.insert(key, appended.seq);
        }
        let entry = self.rooms.entry(Arc::clone(&draft.room));
        // One copy of the name for all events of a room.
        draft.room = Arc::clone(entry.key());
        let room = entry.or_insert_with(Room::new);
        let event = draft.into_event(appended, room.head.seq);
        if room.events.is_empty() {
            self.hollow.remove(&room.head.seq);
            self.by_oldest.insert(event.seq, Arc::clone(&event.room));
        }
        self.events += 1;
        self.bytes += weight(&event);
        room.head = event.mark();
        match event.what {
            What::Edit { target, .. } => {
                let edited = room.edits.entry(target).or_default();
                edited.times += 1;
                edited.last = event.seq;
            }
            What::Delete { target } => self.bytes -= room.scrub(target),
            _ => {}
        }
        room.events.push_back(event.clone());
        (event, room.events.len())
    }

    /// Drops what is over the limits: of the room that has just grown to so many events, then of all. Returns the new floors,
    /// of each room the last one last.
    fn drop_oldest(
        &mut self,
        grown: &Arc<str>,
        kept: usize,
        limits: &MemoryLimits,
    ) -> Vec<(Arc<str>, Mark)> {
        let mut trimmed: Vec<(Arc<str>, Mark)> = Vec::new();
        let mut add = |(room, floor): (Arc<str>, Mark)| match trimmed.last_mut() {
            Some((last, newer)) if *last == room => *newer = floor,
            _ => trimmed.push((room, floor)),
        };
        let most = limits.room_events.max(1);
        // Several at once: rings are told of each time.
        if kept > most.saturating_add(most / 16)
            && let Some(floor) = self.drop_first_of(grown, kept - most)
        {
            add(floor);
        }
        while self.events > 1 && (self.events > limits.events || self.bytes > limits.bytes) {
            let Some(room) = self.by_oldest.values().next().map(Arc::clone) else {
                break;
            };
            if let Some(floor) = self.drop_first_of(&room, 1) {
                add(floor);
            }
        }
        trimmed
    }

    /// Forgets the rooms without events that were the first to have none, up to those that somebody goes on from.
    fn forget_hollow(&mut self, is_followed: impl Fn(&str) -> bool) {
        while self.hollow.len() > MAX_HOLLOW {
            let mut rooms = self.hollow.iter();
            let Some((&head, _)) = rooms.find(|(_, name)| !is_followed(name)) else {
                break;
            };
            if let Some(name) = self.hollow.remove(&head) {
                self.rooms.remove(&name);
            }
        }
    }

    /// Drops so many of a room's events.
    fn drop_first_of(&mut self, name: &Arc<str>, count: usize) -> Option<(Arc<str>, Mark)> {
        let room = self.rooms.get_mut(name)?;
        self.by_oldest.remove(&room.events.front()?.seq);
        let count = count.min(room.events.len());
        self.events -= count;
        for _ in 0..count {
            let event = room.events.pop_front()?;
            room.floor = event.mark();
            if room.edits.contains_key(&event.seq) {
                // What was made of a message goes with it.
                self.bytes -= room.scrub(event.seq);
            }
            self.bytes -= weight(&event);
            if let Some(key) = event.key() {
                self.by_cid.remove(&key);
            }
        }
        match room.events.front() {
            Some(oldest) => self.by_oldest.insert(oldest.seq, Arc::clone(name)),
            None => self.hollow.insert(room.head.seq, Arc::clone(name)),
        };
        Some((Arc::clone(name), room.floor))
    }
}

impl Room {
    fn new() -> Self {
        Self {
            floor: Mark::START,
            head: Mark::START,
            events: VecDeque::new(),
            edits: OwnNumberMap::default(),
        }
    }

    fn get(&self, seq: u64) -> Option<&Event> {
        self.events.get(self.position(seq)?)
    }

    fn position(&self, seq: u64) -> Option<usize> {
        let at = self.events.binary_search_by_key(&seq, |event| event.seq);
        at.ok()
    }

    /// Forgets what a message said. Returns the bytes that this frees.
    fn scrub(&mut self, message: u64) -> usize {
        self.edits.remove(&message);
        let first = self.events.partition_point(|event| event.seq < message);
        let about = self.events.range_mut(first..);
        about
            .filter(|event| event.what.is_about(event.seq, message))
            .map(|event| erase(event).1)
            .sum()
    }

    /// Forgets what a user said. Returns in how many events, and the bytes that this frees.
    fn erase(&mut self, user: &str) -> (u64, usize) {
        let (mut erased, mut freed) = (0, 0);
        for event in self.events.iter_mut().filter(|event| event.from.is(user)) {
            let (was_anything, bytes) = erase(event);
            erased += u64::from(was_anything);
            freed += bytes;
        }
        (erased, freed)
    }

    fn page(&self, start: Start, max: PageSize) -> Vec<Event> {
        match start {
            Start::At(seq) => {
                let first = self.events.partition_point(|event| event.seq < seq);
                max.take(self.events.range(first..)).cloned().collect()
            }
            Start::Newest => {
                let mut page: Vec<_> = max.take(self.events.iter().rev()).cloned().collect();
                page.reverse();
                page
            }
        }
    }
}

/// Forgets what an event said. Returns whether that was anything, and the bytes that this frees.
fn erase(event: &mut Event) -> (bool, usize) {
    let before = weight(event);
    (event.erase(), before - weight(event))
}

/// The bytes an event is charged with: itself, its places in the maps, and its texts.
fn weight(event: &Event) -> usize {
    const OVERHEAD: usize = 512;
    OVERHEAD
        + event.what.bytes()
        + event.from.texts().map(str::len).iter().sum::<usize>()
        + size_of::<Event>()
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::log::{
        conformance::{Seen, Subject, conformance, says},
        projection_conformance::{a_message_is_edited_so_often, projection_conformance},
    };

    fn start(limits: MemoryLimits) -> Subject {
        let seen = Arc::new(Seen::default());
        Subject {
            store: Arc::new(MemoryLog::new(limits, Arc::clone(&seen) as _)).into(),
            seen,
            _held: Box::new(()),
        }
    }

    fn keeps(room_events: usize) -> Subject {
        start(MemoryLimits {
            room_events,
            events: 10_000,
            bytes: 1 << 20,
        })
    }

    conformance!(keeps);
    projection_conformance!(keeps);

    #[tokio::test]
    async fn a_message_is_not_edited_without_an_end() {
        let limits = MemoryLimits {
            room_events: 2 * MAX_EDITS,
            events: 2 * MAX_EDITS * SHARDS,
            bytes: usize::MAX,
        };
        a_message_is_edited_so_often(start(limits)).await;
    }

    #[tokio::test]
    async fn all_rooms_together_stay_within_the_limits_and_the_oldest_event_goes_first() {
        let log = MemoryLog::new(
            MemoryLimits {
                room_events: 100,
                events: 3 * SHARDS,
                bytes: usize::MAX,
            },
            Arc::new(Seen::default()),
        );
        let mut rooms = Vec::new();
        for n in 0..600 {
            let room: Arc<str> = format!("room {n}").into();
            let draft = Draft {
                room: Arc::clone(&room),
                ..says("u1", "c1", "hi")
            };
            log.append(draft).await.unwrap();
            rooms.push(room);
        }
        for shard in &log.shards.all {
            let shard = shard.lock().unwrap();
            assert_eq!((shard.events, shard.by_cid.len()), (3, 3));
        }
        // Whoever has read all of a room goes on, even if nothing of it is kept.
        for room in rooms {
            let bounds = log.bounds(&room).await.unwrap();
            assert!(bounds.head.seq > 0);
            assert_eq!(
                log.seek(&room, bounds.head.seq).await.unwrap().chk,
                Some(bounds.head.chk)
            );
        }
    }

    #[tokio::test]
    async fn of_rooms_without_events_the_oldest_are_forgotten_that_nobody_is_in() {
        let limits = MemoryLimits {
            room_events: 100,
            events: SHARDS,
            bytes: usize::MAX,
        };
        let seen = Arc::new(Seen::default());
        let log = MemoryLog::new(limits, Arc::clone(&seen) as _);
        let shard = || log.shard("general");
        let address = |room: &str| ptr::from_ref(&*log.shard(room));
        let names = (0..).map(|n| format!("room {n}"));
        let here: Vec<_> = names
            .filter(|name| address(name) == address("general"))
            .take(MAX_HOLLOW + 3)
            .collect();
        seen.followed.lock().unwrap().push(here[0].clone());
        for name in &here {
            let draft = Draft {
                room: name.as_str().into(),
                ..says("u1", "c1", "hi")
            };
            log.append(draft).await.unwrap();
        }
        assert_eq!(shard().hollow.len(), MAX_HOLLOW);
        let is_known = |name: &str| shard().rooms.contains_key(name);
        assert_eq!(
            [is_known(&here[0]), is_known(&here[1]), is_known(&here[3])],
            [true, false, true]
        );
    }

    #[tokio::test]
    async fn s19_no_position_is_given_out_that_javascript_could_not_tell_from_others() {
        let limits = MemoryLimits {
            room_events: 10,
            events: 10_000,
            bytes: 1 << 20,
        };
        let log = MemoryLog::new(limits, Arc::new(Seen::default()));
        log.shard("general").last_seq = (1 << 53) - 2;
        assert_eq!(
            log.append(says("u1", "c1", "hi")).await.unwrap().seq,
            (1 << 53) - 1
        );
        let more = log.append(says("u1", "c2", "hi")).await;
        assert_eq!(more, Err(AppendError::Unavailable));
    }

    #[tokio::test]
    async fn long_texts_are_counted_and_what_was_deleted_is_not() {
        let log = MemoryLog::new(
            MemoryLimits {
                room_events: 100,
                events: usize::MAX,
                bytes: SHARDS * 100_000,
            },
            Arc::new(Seen::default()),
        );
        let body = "x".repeat(16_384);
        for n in 0..100 {
            log.append(says("u1", &n.to_string(), &body)).await.unwrap();
            let target = log.bounds(&"general".into()).await.unwrap().head.seq;
            if n % 2 == 0 {
                let delete = Draft {
                    what: What::Delete { target },
                    ..says("u1", &format!("d{n}"), "")
                };
                log.append(delete).await.unwrap();
            }
            let shard = log.shard("general");
            assert!(shard.bytes <= 100_000);
            let weighed: usize = shard.rooms["general"].events.iter().map(weight).sum();
            assert_eq!(shard.bytes, weighed);
        }
    }
}
