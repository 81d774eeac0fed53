//! What a ring is filled with from the log, and what leaves it again.

use super::*;

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
