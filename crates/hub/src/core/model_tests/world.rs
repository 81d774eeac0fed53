//! What happens to shard and model alike, and what has to hold then.

use super::*;

impl World {
    pub(super) fn new(max_rooms: usize) -> Self {
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

    pub(super) fn apply(&mut self, op: &Op, max_rooms: usize) {
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

    pub(super) fn member(&mut self, session: u64, room: usize) -> Option<&mut Membership> {
        self.rooms.get_mut(&room)?.members.get_mut(&session)
    }

    /// Opens a room as the hub does. Says from where the newest events wanted are, if it could.
    pub(super) fn open(
        &mut self,
        room: usize,
        backlog: usize,
        late: usize,
        max_rooms: usize,
    ) -> Option<u64> {
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

    pub(super) fn bounds(&self, room: usize) -> Bounds {
        Bounds {
            head: self.log[room].last().map_or(Mark::START, Event::mark),
            ..Bounds::empty("epoch".into())
        }
    }

    pub(super) fn join(
        &mut self,
        session: u64,
        room: usize,
        backlog: usize,
        late: usize,
        max_rooms: usize,
    ) {
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
    pub(super) fn judge(&self, room: usize) {
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

    pub(super) fn leave(&mut self, session: u64, room: usize, is_lost: bool) {
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

    pub(super) fn publish(&mut self, room: usize, len: usize) {
        let due = self.say(room, len);
        // It may be there for an earlier room of that slot.
        self.due.extend(due);
        self.check();
    }

    /// Says whether the room has become due.
    pub(super) fn say(&mut self, room: usize, len: usize) -> Option<Slot> {
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

    pub(super) fn store(&mut self, room: usize, what: What) {
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

    pub(super) fn hand_on(&mut self) {
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

    pub(super) fn begin(&mut self, room: usize, max: usize) {
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

    pub(super) fn end(&mut self, absent: u8) {
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

    pub(super) fn read(&mut self, session: u64, room: usize, max: usize) {
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
