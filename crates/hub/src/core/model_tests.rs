//! Shards against a naive model: a log that keeps everything ever said, and rooms that are lists of members.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ROOMS: usize = 4;
const SESSIONS: u64 = 5;
const LIMITS: ShardLimits = ShardLimits {
    ring_entries: 6,
    ring_bytes: 8 * 1024,
    shard_bytes: 9 * 1024,
    listed_users: 2,
    empty_room_ttl: Duration::from_secs(10),
    empty_room_grace: Duration::from_secs(3),
    away_after: Duration::from_secs(2),
    left_after: Duration::from_secs(5),
    crowd_pause: Duration::ZERO,
};

#[derive(Debug, Clone)]
enum Op {
    Join {
        session: u64,
        room: usize,
        backlog: usize,
        /// Events that are said after the room was read from the log, before it is filled.
        late: usize,
    },
    Leave {
        session: u64,
        room: usize,
        is_lost: bool,
    },
    Rename {
        session: u64,
        room: usize,
        name: u8,
    },
    Publish {
        room: usize,
        len: usize,
    },
    /// A message is deleted, counted from the newest.
    Delete {
        room: usize,
        back: usize,
    },
    /// It is in the log, where others read it, and not handed on yet.
    Store {
        room: usize,
        len: usize,
    },
    /// What the log has not handed on is handed on.
    HandOn,
    Read {
        session: u64,
        room: usize,
        max: usize,
    },
    /// What is due is taken; it may be given later.
    Begin {
        room: usize,
        max: usize,
    },
    /// What was taken first is given to all it is for, but to those of whom `absent` has the bit.
    End {
        absent: u8,
    },
    FlushPresence,
    Sweep {
        seconds: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (session, room) = (0..SESSIONS, 0..ROOMS);
    prop_oneof![
        2 => (session.clone(), room.clone(), 0..9usize, 0..9usize)
            .prop_map(|(session, room, backlog, late)| {
                Op::Join { session, room, backlog, late: late.saturating_sub(5) }
            }),
        1 => (session.clone(), room.clone(), any::<bool>())
            .prop_map(|(session, room, is_lost)| Op::Leave { session, room, is_lost }),
        1 => (session.clone(), room.clone(), 0..3u8)
            .prop_map(|(session, room, name)| Op::Rename { session, room, name }),
        6 => (room.clone(), 0..900usize).prop_map(|(room, len)| Op::Publish { room, len }),
        1 => (room.clone(), 0..8usize).prop_map(|(room, back)| Op::Delete { room, back }),
        2 => (room.clone(), 0..900usize).prop_map(|(room, len)| Op::Store { room, len }),
        2 => Just(Op::HandOn),
        4 => (session, room.clone(), 1..5usize)
            .prop_map(|(session, room, max)| Op::Read { session, room, max }),
        4 => (room, 1..5usize).prop_map(|(room, max)| Op::Begin { room, max }),
        4 => prop_oneof![Just(0), any::<u8>()].prop_map(|absent| Op::End { absent }),
        1 => Just(Op::FlushPresence),
        1 => (0..8u64).prop_map(|seconds| Op::Sweep { seconds }),
    ]
}

/// Woken rooms of one session.
#[derive(Debug, Clone, Default)]
struct Woken(Arc<Mutex<Vec<Slot>>>);

impl Wake for Woken {
    fn wake(&self, room: Slot) {
        self.0.lock().unwrap().push(room);
    }
}

/// What the model knows of one session in one room.
#[derive(Debug)]
struct Membership {
    slot: Slot,
    cursor: u64,
    notices: u64,
    user: Option<Arc<User>>,
    woken: Woken,
    /// It has not read to the end of what it joined or began to read.
    is_reading: bool,
}

#[derive(Debug, Default)]
struct ModelRoom {
    members: BTreeMap<u64, Membership>,
    /// Users whose last connection was lost, and when.
    lost: BTreeMap<Arc<str>, Duration>,
    empty_since: Option<Duration>,
}

impl ModelRoom {
    fn connected(&self) -> impl Iterator<Item = &str> {
        let users = self.members.values();
        users.filter_map(|member| Some(&*member.user.as_ref()?.id))
    }

    /// Everybody here, and whether they are away.
    fn users(&self, now: Duration) -> BTreeMap<&str, bool> {
        let is_away = |since: &Duration| now >= *since + LIMITS.away_after;
        let lost = self.lost.iter().map(|(id, since)| (&**id, is_away(since)));
        lost.chain(self.connected().map(|id| (id, false))).collect()
    }
}

fn room_name(room: usize) -> String {
    format!("room {room}")
}

/// Sessions 0 and 1 are one user; session 4 never gets a name.
fn user(session: u64, name: u8) -> Option<Arc<User>> {
    (session != 4).then(|| {
        let id = format!("u{}", session.max(1)).into();
        Arc::new(User {
            id,
            name: format!("n{name}").into(),
            avatar: "".into(),
        })
    })
}

struct World {
    shard: Shard<(), Woken>,
    /// Rooms to be asked for a round.
    due: BTreeSet<Slot>,
    /// Rounds that were taken and not given yet.
    begun: VecDeque<(Slot, Round<(), Woken>)>,
    quota: Arc<Quota>,
    rooms: BTreeMap<usize, ModelRoom>,
    /// Everything ever said, by room.
    log: [Vec<Event>; ROOMS],
    seq: u64,
    /// What is in the log and was not handed on.
    stored: VecDeque<Event>,
    now: Duration,
    /// When it was last looked who and what may be forgotten.
    swept: Duration,
}

impl World {
    fn new(max_rooms: usize) -> Self {
        let quota = Arc::new(Quota::new(max_rooms, usize::MAX));
        let shard = Shard::new(LIMITS, Arc::clone(&quota));
        Self {
            shard,
            due: BTreeSet::new(),
            begun: VecDeque::new(),
            quota,
            rooms: BTreeMap::new(),
            log: Default::default(),
            seq: 0,
            stored: VecDeque::new(),
            now: Duration::ZERO,
            swept: Duration::ZERO,
        }
    }

    fn apply(&mut self, op: &Op, max_rooms: usize) {
        match *op {
            Op::Join {
                session,
                room,
                backlog,
                late,
            } => self.join(session, room, backlog, late, max_rooms),
            Op::Leave {
                session,
                room,
                is_lost,
            } => self.leave(session, room, is_lost),
            Op::Rename {
                session,
                room,
                name,
            } => {
                let Some(user) = user(session, name) else {
                    return;
                };
                let Some(member) = self.member(session, room) else {
                    return;
                };
                let slot = member.slot;
                member.user = Some(Arc::clone(&user));
                self.shard.rename(slot, SessionId(session), &user, self.now);
            }
            Op::Publish { room, len } => self.publish(room, len),
            Op::Delete { room, back } => self.delete(room, back),
            Op::Store { room, len } => {
                self.store(room, What::message("x".repeat(len)));
                self.check();
            }
            Op::HandOn => self.hand_on(),
            Op::Read { session, room, max } => self.read(session, room, max),
            Op::Begin { room, max } => self.begin(room, max),
            Op::End { absent } => self.end(absent),
            Op::FlushPresence => {
                self.shard.tell_news(self.now);
                assert!(!self.shard.is_news_due());
            }
            Op::Sweep { seconds } => {
                self.now += Duration::from_secs(seconds);
                self.shard.sweep(self.now);
                self.swept = self.now;
                let now = self.now;
                self.rooms.retain(|_, room| {
                    room.empty_since
                        .is_none_or(|since| now.abs_diff(since) < LIMITS.empty_room_ttl)
                });
                for room in self.rooms.values_mut() {
                    room.lost
                        .retain(|_, since| now < *since + LIMITS.left_after);
                }
                let waited: usize = self.rooms.values().map(|room| room.lost.len()).sum();
                assert_eq!(self.shard.waits.len(), waited);
            }
        }
        assert_eq!(self.quota.used(), self.rooms.len());
    }

    fn member(&mut self, session: u64, room: usize) -> Option<&mut Membership> {
        self.rooms.get_mut(&room)?.members.get_mut(&session)
    }

    /// Opens a room as the hub does. Says from where the newest events wanted are, if it could.
    fn open(&mut self, room: usize, backlog: usize, late: usize, max_rooms: usize) -> Option<u64> {
        let name = room_name(room);
        let is_full = !self.rooms.contains_key(&room) && self.rooms.len() == max_rooms;
        let opened = self.shard.open(&name, Some(ADDRESS), backlog);
        assert_eq!(opened.is_err(), is_full);
        let opened = opened.ok()?;
        self.rooms.entry(room).or_default();
        let birth = match opened {
            Opened::From(from) => return Some(from),
            Opened::Lacks(birth) => birth,
        };
        let (bounds, said) = (self.bounds(room), &self.log[room]);
        let wanted = backlog.min(LIMITS.ring_entries);
        let first = said.len().saturating_sub(wanted + 1);
        let events = said[first..].to_vec();
        let first = events.get(events.len().saturating_sub(wanted));
        let from = first.map_or(bounds.head.seq + 1, |e| e.seq);
        if late > 0 {
            self.delete(room, 0);
        }
        for _ in 1..late {
            self.publish(room, 10);
        }
        let newest = Newest::whole(&bounds, events);
        assert!(!self.shard.fill(&name, birth, newest, 0, self.now));
        Some(from)
    }

    fn bounds(&self, room: usize) -> Bounds {
        Bounds {
            head: self.log[room].last().map_or(Mark::START, Event::mark),
            ..Bounds::empty("epoch".into())
        }
    }

    fn join(&mut self, session: u64, room: usize, backlog: usize, late: usize, max_rooms: usize) {
        if self.member(session, room).is_some() {
            return;
        }
        let stored = self.stored.len();
        let Some(from) = self.open(room, backlog, late, max_rooms) else {
            return;
        };
        // Others may speak meanwhile, and take its ring away.
        for other in (room + 1..ROOMS).take(late) {
            self.publish(other, 850);
        }
        let (woken, user) = (Woken::default(), user(session, 0));
        let id = SessionId(session);
        let member = Member::new(id, woken.clone(), user.clone(), Watch::List);
        let joined = self
            .shard
            .join(
                &room_name(room),
                member,
                Begin::Newest {
                    count: backlog,
                    from,
                },
            )
            .unwrap();
        let model = self.rooms.get_mut(&room).unwrap();
        model.empty_since = None;
        if let Some(user) = &user {
            model.lost.remove(&user.id);
        }
        let member = Membership {
            slot: joined.slot,
            cursor: joined.cursor,
            notices: joined.state.notices,
            user,
            woken,
            is_reading: backlog > 0,
        };
        model.members.insert(session, member);
        let state = joined.state;
        let users = model.users(self.swept);
        assert_eq!(state.count, users.len());
        let people = state.people.iter();
        let listed: BTreeMap<_, _> = people.map(|one| (&*one.user.id, one.is_away)).collect();
        let expected = if state.count <= 2 {
            users
        } else {
            BTreeMap::new()
        };
        assert_eq!(listed, expected);
        let known = self.known(room);
        assert!(self.handed_on(room) <= known && known <= self.bounds(room).head.seq);
        // The page asked for, also when the rings are too big together.
        let said: Vec<_> = self.log[room].iter().filter(|e| e.seq <= known).collect();
        let page = said.iter().filter(|e| e.seq >= joined.cursor).count();
        let said = &self.log[room];
        let comes = said.iter().filter(|e| e.seq >= joined.cursor).count();
        assert!(comes >= backlog.min(LIMITS.ring_entries).min(said.len()));
        // And what came since they were read.
        assert!(page <= backlog + late + stored);
        self.judge(room);
    }

    /// What is said about cursors is true, of all there were and of some there were not.
    fn judge(&self, room: usize) {
        let known = self.known(room);
        let said: Vec<_> = self.log[room].iter().filter(|e| e.seq <= known).collect();
        let bounds = Bounds {
            head: said.last().map_or(Mark::START, |event| event.mark()),
            ..self.bounds(room)
        };
        let marks = said.iter().map(|event| event.mark());
        for mark in marks.chain([
            Mark::START,
            Mark {
                seq: self.seq + 1,
                chk: Chk::NONE,
            },
            Mark {
                seq: u64::MAX,
                chk: Chk::NONE,
            },
        ]) {
            for chk in [mark.chk, Chk::of_id("wrong!")] {
                let cursor = Cursor {
                    epoch: "epoch".into(),
                    mark: Mark { chk, ..mark },
                };
                let there = said.iter().find(|event| event.seq == mark.seq);
                let chk = there.map_or(Chk::NONE, |event| event.mark().chk);
                let following = said.iter().filter(|event| event.seq > mark.seq).count();
                let truth = judge(&cursor, &bounds, Some(chk), following);
                let judged = self.shard.judge(&room_name(room), &cursor);
                assert!(judged.is_none_or(|judged| judged == truth), "{cursor}");
            }
        }
    }

    fn leave(&mut self, session: u64, room: usize, is_lost: bool) {
        let now = self.now;
        let Some(model) = self.rooms.get_mut(&room) else {
            return;
        };
        let Some(member) = model.members.remove(&session) else {
            return;
        };
        if model.members.is_empty() {
            model.empty_since = Some(now);
        }
        let departure = if is_lost {
            Departure::Lost
        } else {
            Departure::Left
        };
        if let Some(user) = &member.user
            && is_lost
            && model.connected().all(|id| *id != *user.id)
        {
            model.lost.insert(Arc::clone(&user.id), now);
        }
        self.shard
            .leave(member.slot, SessionId(session), departure, now);
    }

    fn publish(&mut self, room: usize, len: usize) {
        let due = self.say(room, len);
        // It may be there for an earlier room of that slot.
        self.due.extend(due);
        self.check();
    }

    /// Says whether the room has become due.
    fn say(&mut self, room: usize, len: usize) -> Option<Slot> {
        self.hand_on();
        self.store(room, What::message("x".repeat(len)));
        let event = self.stored.pop_front()?;
        self.shard.commit(event)
    }

    fn delete(&mut self, room: usize, back: usize) {
        let is_message = |event: &&Event| event.what.target().is_none();
        let Some(message) = self.log[room].iter().rev().filter(is_message).nth(back) else {
            return;
        };
        let target = message.seq;
        self.store(room, What::Delete { target });
        self.hand_on();
    }

    fn store(&mut self, room: usize, what: What) {
        if let What::Delete { target } = what {
            let mut said = self.log[room].iter_mut();
            if let Some(message) = said.find(|event| event.seq == target) {
                message.erase();
            }
        }
        self.seq += 1;
        let event = Event {
            room: room_name(room).into(),
            seq: self.seq,
            prev: self.bounds(room).head.seq,
            id: format!("{:06}", self.seq).into(),
            ts: 0,
            from: Author::PlainText,
            what,
            cid: None,
        };
        self.stored.push_back(event.clone());
        self.log[room].push(event);
    }

    fn hand_on(&mut self) {
        while let Some(event) = self.stored.pop_front() {
            self.due.extend(self.shard.commit(event));
            self.check();
        }
    }

    /// The newest event of a room that was handed on.
    fn handed_on(&self, room: usize) -> u64 {
        let next = self.stored.front().map_or(u64::MAX, |event| event.seq);
        let mut said = self.log[room].iter().rev();
        said.find(|event| event.seq < next)
            .map_or(0, |event| event.seq)
    }

    /// The newest event of a room that the shard knows of: handed on, or read from the log.
    fn known(&self, room: usize) -> u64 {
        let mut members = self.rooms[&room].members.values();
        let state = members
            .next()
            .and_then(|one| self.shard.state(one.slot, Watch::List));
        state.map_or(0, |state| state.bounds.head.seq)
    }

    fn begin(&mut self, room: usize, max: usize) {
        let Some(&slot) = self.due.iter().nth(room) else {
            return;
        };
        self.due.remove(&slot);
        if let Some((round, is_due)) = self.shard.round(slot, max, usize::MAX) {
            assert!(!round.entries.is_empty() && round.entries.len() <= max);
            let listeners = round.listeners.iter().map(|one| one.session.0);
            let members = self.rooms.values().flat_map(|room| &room.members);
            let here = members.filter(|(_, member)| member.slot == slot);
            assert_eq!(
                listeners.collect::<BTreeSet<_>>(),
                here.map(|(&session, _)| session).collect()
            );
            if is_due {
                self.due.insert(slot);
            }
            self.begun.push_back((slot, round));
        }
        self.check();
    }

    fn end(&mut self, absent: u8) {
        let Some((slot, round)) = self.begun.pop_front() else {
            return;
        };
        let seqs: Vec<_> = round.entries.iter().map(|entry| entry.event.seq).collect();
        for listener in round.listeners.iter() {
            let SessionId(session) = listener.session;
            // Who has left meanwhile is in another room of that slot, or in none.
            let mut rooms = self.rooms.iter_mut();
            let here = rooms.find_map(|(&at, room)| {
                let member = room.members.get_mut(&session)?;
                (member.slot == slot).then_some((&self.log[at], member))
            });
            let Some((said, member)) = here else {
                self.shard.rouse(slot, listener.session);
                continue;
            };
            match round.need(History::default(), member.cursor) {
                Need::All if absent & (1 << session) == 0 => {
                    let owed = said.iter().map(|event| event.seq);
                    let owed = owed.filter(|&seq| seq >= member.cursor);
                    let owed: Vec<_> = owed.take(seqs.len()).collect();
                    assert_eq!(seqs, owed, "what comes next");
                    member.cursor = round.next();
                }
                Need::Nothing => assert!(seqs.iter().all(|&seq| seq < member.cursor)),
                Need::All | Need::Other => self.shard.rouse(slot, listener.session),
            }
        }
        self.check();
    }

    /// Where the newest events begin that a room knows of.
    fn check_places(&self, at: usize) {
        let slot = self.shard.find(&room_name(at)).unwrap();
        let ring = &self.shard.room(slot).unwrap().ring;
        let said = self.log[at].iter().map(|event| event.seq);
        let said: Vec<_> = said.take_while(|seq| *seq <= ring.head().seq).collect();
        for n in 1..=said.len() {
            if !ring.lacks(n, Mark::START.seq) {
                let cursor = ring.cursor_of_newest(n);
                let from = said.iter().filter(|seq| **seq >= cursor);
                assert_eq!(from.count(), n, "the newest {n}");
            }
        }
    }

    /// Nobody is told twice, and nobody is forgotten: who needs something is told, or in a round that is to come.
    fn check(&self) {
        for (&at, room) in &self.rooms {
            self.check_places(at);
            for (&session, member) in &room.members {
                let woken = member.woken.0.lock().unwrap().len();
                assert!(woken <= 1, "woken once until it reads to the end");
                let newest = self.handed_on(at);
                let comes = self.due.contains(&member.slot)
                    || self.begun.iter().any(|(slot, round)| {
                        let mut listeners = round.listeners.iter();
                        *slot == member.slot
                            && round.next() > newest
                            && listeners.any(|one| one.session.0 == session)
                    });
                assert!(newest < member.cursor || woken == 1 || comes || member.is_reading);
            }
        }
    }

    fn read(&mut self, session: u64, room: usize, max: usize) {
        let Some(model) = self.rooms.get_mut(&room) else {
            return;
        };
        let Some(member) = model.members.get_mut(&session) else {
            return;
        };
        let lag = self.shard.lag(member.slot, member.cursor);
        let read = |member: &Membership, shard: &mut Shard<(), Woken>| {
            let id = SessionId(session);
            let (cursor, notices) = (member.cursor, member.notices);
            shard.read(member.slot, id, cursor, notices, max, usize::MAX)
        };
        let mut batch = read(member, &mut self.shard);
        assert_eq!(lag.is_none(), batch.gap.is_some());
        if let Some(gap) = batch.gap {
            assert_eq!(gap.from, member.cursor);
            assert!(!batch.reaches_head());
            // The log has it.
            member.cursor = gap.to + 1;
            batch = read(member, &mut self.shard);
        }
        member.notices = batch.notices_read;
        let known = self
            .shard
            .state(member.slot, Watch::List)
            .unwrap()
            .bounds
            .head
            .seq;
        let owed: Vec<_> = self.log[room]
            .iter()
            .filter(|event| event.seq >= member.cursor && event.seq <= known)
            .collect();
        assert_eq!(owed.len(), batch.behind, "what is not in the gap is owed");
        let got: Vec<_> = batch.entries.iter().map(|entry| &entry.event).collect();
        assert_eq!(got, owed[..got.len()]);
        assert!(got.len() == max || got.len() == owed.len());
        if let Some(last) = got.last() {
            member.cursor = last.seq + 1;
        }
        // Else it is expected to call again, and not woken before it did.
        member.is_reading = !batch.reaches_head();
        if batch.reaches_head() {
            member.woken.0.lock().unwrap().clear();
        }
    }
}

proptest! {
    #[test]
    fn every_member_reads_everything_once_and_in_order_or_is_told_what_it_missed(
        ops in prop::collection::vec(op(), 1..120),
        max_rooms in 2..=ROOMS,
    ) {
        let mut world = World::new(max_rooms);
        for op in &ops {
            world.apply(op, max_rooms);
        }
        // Nobody is left behind: who gets what is due, or is told and reads to the end, has everything.
        world.hand_on();
        while !world.due.is_empty() || !world.begun.is_empty() {
            world.begin(0, 3);
            world.end(0);
        }
        for room in 0..ROOMS {
            for session in 0..SESSIONS {
                let Some(member) = world.member(session, room) else {
                    continue;
                };
                if member.is_reading || !member.woken.0.lock().unwrap().is_empty() {
                    world.read(session, room, usize::MAX);
                }
            }
        }
        for (&at, room) in &world.rooms {
            let next = world.bounds(at).head.seq + 1;
            assert!(room.members.values().all(|member| member.cursor >= next));
        }
        // And who reads although nobody said so gets nothing twice.
        for room in 0..ROOMS {
            for session in 0..SESSIONS {
                world.read(session, room, usize::MAX);
            }
        }
    }
}

#[test]
fn who_is_here_is_told_of_an_event_that_the_ring_was_filled_with_before_it_was_handed_on() {
    let mut world = World::new(2);
    world.join(0, 0, 0, 0, 2);
    world.join(0, 1, 0, 0, 2);
    // Together they are too big: the quiet room has no ring any more.
    for room in [0, 0, 0, 1, 1, 1] {
        world.publish(room, 300);
        world.begin(0, 9);
        world.end(0);
    }
    world.store(0, What::message("x"));
    world.join(1, 0, 3, 0, 2);
    assert!(world.due.is_empty());
    world.hand_on();
    world.begin(0, 9);
    world.end(0);
    assert_eq!(world.rooms[&0].members[&0].cursor, world.seq + 1);
    world.hand_on();
    assert!(world.due.is_empty(), "told once");
}

#[test]
fn what_is_deleted_while_a_ring_is_filled_is_not_in_it() {
    let mut world = World::new(1);
    world.say(0, 5);
    world.join(0, 0, 3, 1, 1);
    let slot = world.rooms[&0].members[&0].slot;
    let batch = world.shard.read(slot, SessionId(0), 1, 0, 9, usize::MAX);
    let texts: Vec<_> = batch.entries.iter().map(|e| e.event.what.text()).collect();
    assert_eq!(texts, ["", ""]);
}

#[test]
fn what_the_log_drops_leaves_the_ring_with_all_that_was_made_of_it() {
    let mut world = World::new(1);
    world.join(0, 0, 0, 0, 1);
    let slot = world.rooms[&0].members[&0].slot;
    for _ in 0..3 {
        world.publish(0, 1);
    }
    let body = Some("edited".into());
    world.store(0, What::Edit { target: 1, body });
    world.hand_on();
    let floor = world.log[0][1].mark();
    world.shard.trim("room 0", floor);
    assert_eq!(
        world.shard.state(slot, Watch::List).unwrap().bounds.floor,
        floor
    );
    let batch = world.shard.read(slot, SessionId(0), 3, 0, 9, usize::MAX);
    let texts: Vec<_> = batch.entries.iter().map(|e| e.event.what.text()).collect();
    assert_eq!(texts, ["x", ""]);
    let before = world.shard.read(slot, SessionId(0), 2, 0, 9, usize::MAX);
    assert_eq!(before.gap, Some(Gap { from: 2, to: 2 }));
    // One that was read from the log before that is not older.
    let birth = Birth(1);
    let (bounds, events) = (world.bounds(0), world.log[0].clone());
    let now = Duration::ZERO;
    let is_old = world
        .shard
        .fill("room 0", birth, Newest::whole(&bounds, events), 0, now);
    assert!(!is_old);
    assert_eq!(
        world.shard.state(slot, Watch::List).unwrap().bounds.floor,
        floor
    );
    assert_eq!(world.shard.lag(slot, 2), None);
}

#[test]
fn of_what_a_ring_was_not_filled_with_only_the_log_can_judge() {
    let mut world = World::new(1);
    for _ in 0..3 {
        world.say(0, 1);
    }
    let cursor = Cursor {
        epoch: "epoch".into(),
        mark: world.log[0][1].mark(),
    };
    assert!(world.shard.open("room 0", Some(ADDRESS), 3).is_ok());
    assert_eq!(world.shard.judge("room 0", &cursor), None);
    world.join(0, 0, 3, 0, 1);
    assert_eq!(world.shard.judge("room 0", &cursor), Some(Ok(())));
    // Nor of a place that the ring has not come to.
    world.store(0, What::message("x"));
    let cursor = Cursor {
        mark: world.log[0][3].mark(),
        ..cursor
    };
    assert_eq!(world.shard.judge("room 0", &cursor), None);
}

#[test]
fn a_ring_has_no_hole_where_more_was_said_than_is_in_it_since_the_log_was_read() {
    let mut world = World::new(2);
    world.join(0, 1, 0, 0, 2);
    for _ in 0..3 {
        world.say(0, 1);
    }
    assert!(world.shard.open("room 0", Some(ADDRESS), 3).is_ok());
    let (bounds, events) = (world.bounds(0), world.log[0].clone());
    // The other room takes its ring away.
    for (room, len) in [(0, 300), (0, 300), (1, 300), (1, 300), (1, 300), (0, 1)] {
        world.say(room, len);
    }
    let [.., third, _, missing, last] = &world.log[0][..] else {
        panic!("six events");
    };
    let begin = Begin::After(Cursor {
        epoch: "epoch".into(),
        mark: third.mark(),
    });
    let (third, missing, last) = (third.seq, missing.seq, last.seq);
    let is_old = world.shard.fill(
        "room 0",
        Birth(2),
        Newest::whole(&bounds, events),
        0,
        world.now,
    );
    assert!(!is_old);
    let member = Member::new(SessionId(1), Woken::default(), None, Watch::List);
    let slot = world.shard.join("room 0", member, begin).unwrap().slot;
    let mut read = |cursor| {
        world
            .shard
            .read(slot, SessionId(1), cursor, 0, 9, usize::MAX)
    };
    let gap = Gap {
        from: third + 1,
        to: missing,
    };
    assert_eq!(read(third + 1).gap, Some(gap));
    let seqs = read(missing + 1).entries.into_iter().map(|e| e.event.seq);
    assert_eq!(seqs.collect::<Vec<_>>(), [last]);
}

#[test]
fn nobody_goes_on_from_where_the_log_dropped_what_follows_since_it_was_judged() {
    let mut world = World::new(1);
    for _ in 0..3 {
        world.say(0, 1);
    }
    world.join(0, 0, 3, 0, 1);
    let [first, second] = [0, 1].map(|at| world.log[0][at].mark());
    let cursor = Cursor {
        epoch: "epoch".into(),
        mark: first,
    };
    assert_eq!(world.shard.judge("room 0", &cursor), Some(Ok(())));
    world.shard.trim("room 0", second);
    let mut join = |session, mark| {
        let cursor = Cursor {
            mark,
            ..cursor.clone()
        };
        let member = Member::new(SessionId(session), Woken::default(), None, Watch::List);
        let joined = world.shard.join("room 0", member, Begin::After(cursor));
        joined.map(|joined| joined.cursor)
    };
    assert_eq!(join(1, first), None);
    assert_eq!(join(2, second), Some(second.seq + 1));
    assert_eq!(
        world.shard.judge("room 0", &cursor),
        Some(Err(Reset::Truncated))
    );
}

#[test]
fn of_a_plain_message_that_is_deleted_the_address_leaves_the_ring_too() {
    let mut world = World::new(1);
    world.join(0, 0, 0, 0, 1);
    let slot = world.rooms[&0].members[&0].slot;
    let claim = |email: &str| {
        Author::PlainJson(Arc::new(Claim {
            email: email.into(),
            username: "Ana".into(),
            avatar: "".into(),
        }))
    };
    world.store(0, What::message("hi"));
    let mut event = world.stored.pop_front().unwrap();
    event.from = claim("ana@example.com");
    let target = event.seq;
    world.due.extend(world.shard.commit(event));
    world.store(0, What::Delete { target });
    world.hand_on();
    let batch = world.shard.read(slot, SessionId(0), 1, 0, 9, usize::MAX);
    assert_eq!(batch.entries[0].event.from, claim(""));
}

#[test]
fn s26_what_is_erased_leaves_the_ring_and_does_not_come_back_from_an_earlier_read() {
    let mut world = World::new(1);
    world.join(0, 0, 0, 0, 1);
    let slot = world.rooms[&0].members[&0].slot;
    for (user, _) in [("u1", 0), ("u2", 0)] {
        world.store(0, What::message(user));
        let mut event = world.stored.pop_front().unwrap();
        event.from = Author::User(Arc::new(User {
            id: user.into(),
            name: "Ana".into(),
            avatar: "".into(),
        }));
        *world.log[0].last_mut().unwrap() = event.clone();
        world.due.extend(world.shard.commit(event));
    }
    let (bounds, events) = (world.bounds(0), world.log[0].clone());
    let rewrites = world.shard.rewrites();
    world.shard.erase("u1");
    let read = |shard: &mut Shard<(), Woken>| {
        let batch = shard.read(slot, SessionId(0), 1, 0, 9, usize::MAX);
        let whats = batch.entries.iter().map(|entry| entry.event.what.clone());
        whats.collect::<Vec<_>>()
    };
    let gone = What::Message {
        body: None,
        reply_to: None,
        meta: None,
    };
    assert_eq!(read(&mut world.shard), [gone.clone(), What::message("u2")]);
    let now = Duration::ZERO;
    let is_old = world.shard.fill(
        "room 0",
        Birth(1),
        Newest::whole(&bounds, events),
        rewrites,
        now,
    );
    assert!(is_old, "it is read again");
    assert_eq!(read(&mut world.shard), [gone, What::message("u2")]);
}

#[test]
fn a_room_is_due_once_until_it_is_asked_and_again_while_there_is_more() {
    let mut world = World::new(1);
    world.join(0, 0, 0, 0, 1);
    let slot = world.say(0, 1).unwrap();
    assert_eq!([world.say(0, 1), world.say(0, 1)], [None; 2]);
    let (first, is_due) = world.shard.round(slot, 2, usize::MAX).unwrap();
    assert_eq!((first.entries.len(), is_due), (2, true));
    assert_eq!(world.say(0, 1), None);
    let (second, is_due) = world.shard.round(slot, 2, usize::MAX).unwrap();
    assert_eq!((second.entries.len(), is_due), (2, false));
    assert!(world.shard.round(slot, 2, usize::MAX).is_none());
    assert_eq!(world.say(0, 1), Some(slot));
}

#[test]
fn a_room_whose_round_was_lost_is_read_by_each_alone_and_due_again_with_the_next_event() {
    let mut world = World::new(1);
    world.join(0, 0, 0, 0, 1);
    let slot = world.say(0, 1).unwrap();
    world.shard.read_alone(slot);
    let woken = world.rooms[&0].members[&0].woken.0.lock().unwrap().len();
    assert_eq!(woken, 1);
    assert_eq!(world.say(0, 1), Some(slot));
    let (round, is_due) = world.shard.round(slot, 9, usize::MAX).unwrap();
    assert_eq!((round.entries.len(), is_due), (1, false));
}

#[test]
fn a_round_is_for_who_is_where_it_begins() {
    use Need::{All, Nothing, Other};
    let mut world = World::new(1);
    world.join(0, 0, 0, 0, 1);
    for _ in 0..6 {
        world.publish(0, 1);
    }
    let slot = world.due.pop_first().unwrap();
    let rounds = [(); 3].map(|()| world.shard.round(slot, 2, usize::MAX).unwrap().0);
    let needs = |cursor| {
        rounds
            .each_ref()
            .map(|round| round.need(History::default(), cursor))
    };

    assert_eq!(needs(1), [All, Other, Other]);
    assert_eq!(needs(2), [Other, Other, Other]);
    assert_eq!(needs(3), [Nothing, All, Other]);
    assert_eq!(needs(7), [Nothing; 3]);
    assert_eq!(rounds.each_ref().map(Round::next), [3, 5, 7]);
}

#[test]
fn the_quietest_room_gives_up_its_ring_when_all_together_are_too_big() {
    let mut world = World::new(4);
    for room in 0..4 {
        world.join(0, room, 0, 0, 4);
        for _ in 0..3 {
            world.publish(room, 300);
        }
    }
    let kept: Vec<_> = (0..4)
        .map(|room| {
            let slot = world.member(0, room).unwrap().slot;
            let head = world.bounds(room).head.seq;
            world.shard.lag(slot, head).is_some()
        })
        .collect();
    // 3 events of 300 bytes weigh 5 KiB, the shard may keep 9 KiB.
    assert_eq!(kept, [false, false, false, true]);
}

#[test]
fn an_empty_room_makes_place_for_a_new_one() {
    let mut world = World::new(2);
    world.join(0, 0, 0, 0, 2);
    world.join(0, 1, 0, 0, 2);
    world.join(1, 2, 0, 0, 2);
    assert!(!world.shard.reclaim(world.now));
    world.leave(0, 0, false);
    assert!(!world.shard.reclaim(world.now), "it may be come back to");
    world.now += LIMITS.empty_room_grace;
    assert!(world.shard.reclaim(world.now));
    world.rooms.remove(&0);
    world.join(1, 2, 0, 0, 2);
    assert!(world.member(1, 2).is_some());
}

#[test]
fn a_room_that_was_opened_and_nobody_joined_is_forgotten() {
    let mut world = World::new(1);
    let open = |world: &mut World| match world.shard.open("room 0", Some(ADDRESS), 3) {
        Ok(Opened::Lacks(birth)) => birth,
        opened => panic!("{opened:?}"),
    };
    let birth = open(&mut world);
    assert_eq!(world.quota.used(), 1);
    let bounds = world.bounds(0);
    let fill = world.shard.fill(
        "room 0",
        birth,
        Newest::whole(&bounds, Vec::new()),
        0,
        world.now,
    );
    assert!(!fill);
    world.shard.sweep(LIMITS.empty_room_ttl);
    assert_eq!(world.quota.used(), 0);
    // Nor is one kept that could not be filled.
    let birth = open(&mut world);
    world.shard.give_up("room 0", birth);
    assert_eq!(world.quota.used(), 0);
}

#[test]
fn rooms_are_listed_by_their_names_while_they_are_there() {
    let mut world = World::new(4);
    let open = |world: &mut World, name: &str| {
        let Ok(Opened::Lacks(birth)) = world.shard.open(name, Some(ADDRESS), 0) else {
            panic!("it has to be filled");
        };
        let bounds = Bounds::empty("epoch".into());
        let now = world.now;
        let is_old = world
            .shard
            .fill(name, birth, Newest::whole(&bounds, Vec::new()), 0, now);
        assert!(!is_old);
    };
    let listed = |world: &World, first: &str, after: Option<&str>| {
        let rooms = world.shard.list(first, after);
        let names: Vec<_> = rooms.map(|(name, _)| name.to_string()).collect();
        names.join(" ")
    };
    for name in ["b", "a", "c"] {
        open(&mut world, name);
    }
    world.shard.open("not filled", Some(ADDRESS), 0).unwrap();
    assert_eq!(listed(&world, "", None), "a b c");
    assert_eq!(listed(&world, "b", None), "b c");
    assert_eq!(listed(&world, "a", Some("b")), "c");
    assert_eq!(listed(&world, "b", Some("a")), "b c");
    world.shard.sweep(LIMITS.empty_room_ttl);
    open(&mut world, "d");
    assert_eq!(
        listed(&world, "", None),
        "d",
        "in the place of one that is gone"
    );
}

#[test]
fn a_room_that_is_kept_costs_nobody_a_place_and_outlives_its_members() {
    let mut world = World::new(1);
    world.shard.keep("general");
    let member = |id| Member::new(SessionId(id), Woken::default(), None, Watch::Nothing);
    let birth = world.shard.open("general", Some(ADDRESS), 0).unwrap();
    let Opened::Lacks(birth) = birth else {
        panic!("it has to be filled")
    };
    let bounds = Bounds::empty("epoch".into());
    let fill = |shard: &mut Shard<(), Woken>| {
        let is_old = shard.fill(
            "general",
            birth,
            Newest::whole(&bounds, Vec::new()),
            0,
            Duration::ZERO,
        );
        assert!(!is_old);
    };
    assert!(
        world
            .shard
            .join("general", member(0), Begin::Newest { count: 0, from: 0 })
            .is_none()
    );
    world.shard.give_up("general", birth);
    fill(&mut world.shard);
    let slot = world
        .shard
        .join("general", member(0), Begin::Newest { count: 0, from: 0 })
        .unwrap()
        .slot;
    world.join(0, 0, 0, 0, 1);
    world
        .shard
        .leave(slot, SessionId(0), Departure::Left, Duration::ZERO);
    assert!(!world.shard.reclaim(Duration::MAX));
    world.shard.sweep(Duration::MAX);
    let begin = Begin::Newest { count: 0, from: 0 };
    assert!(world.shard.join("general", member(0), begin).is_some());
}
