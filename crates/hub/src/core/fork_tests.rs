//! Goal: nobody in a room is given anything of a history that it has left, nor goes on in a new one unasked.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::*;

const LIMITS: ShardLimits = ShardLimits {
    ring_entries: 6,
    ring_bytes: 1 << 20,
    copies: 1,
    shard_bytes: 1 << 20,
    listed_users: 2,
    empty_room_ttl: Duration::from_secs(10),
    empty_room_grace: Duration::from_secs(3),
    away_after: Duration::from_secs(2),
    left_after: Duration::from_secs(5),
    crowd_pause: Duration::ZERO,
};

#[derive(Debug, Clone, Default)]
struct Woken(Arc<Mutex<u32>>);

impl Wake for Woken {
    fn wake(&self, _room: Slot) {
        *self.0.lock().unwrap() += 1;
    }
}

fn bounds(epoch: &str, head: u64) -> Bounds {
    Bounds {
        head: mark(head),
        ..Bounds::empty(epoch.into())
    }
}

fn mark(seq: u64) -> Mark {
    let chk = Chk::of_id(&format!("{seq:06}"));
    if seq == 0 {
        Mark::START
    } else {
        Mark { seq, chk }
    }
}

/// A room's event; positions leave no number out.
fn event(seq: u64) -> Event {
    Event {
        room: "room".into(),
        seq,
        prev: seq - 1,
        id: format!("{seq:06}").into(),
        ts: 0,
        from: Author::PlainText,
        what: What::message("x"),
        cid: None,
    }
}

/// A shard with one room, of the history `old`, in which nothing was said.
fn shard() -> (Shard<(), Woken>, Birth) {
    let mut shard = Shard::new(LIMITS, Arc::new(Quota::new(9, 9)));
    let opened = shard.open("room", Some(Ipv4Addr::LOCALHOST.into()), 6);
    let Ok(Opened::Lacks(birth)) = opened else {
        panic!("{opened:?}");
    };
    let is_old = shard.fill(
        "room",
        birth,
        Newest::whole(&bounds("old", 0), vec![]),
        0,
        Duration::ZERO,
    );
    assert!(!is_old);
    (shard, birth)
}

/// A member that has read all there is.
fn join(shard: &mut Shard<(), Woken>, session: u64) -> (Joined, Woken) {
    let woken = Woken::default();
    let member = Member::new(SessionId(session), woken.clone(), None, Watch::List);
    let begin = Begin::Newest { count: 0, from: 0 };
    (shard.join("room", member, begin).unwrap(), woken)
}

fn commit(shard: &mut Shard<(), Woken>, seqs: impl IntoIterator<Item = u64>) -> Option<Slot> {
    seqs.into_iter()
        .fold(None, |due, seq| shard.commit(event(seq)).or(due))
}

#[test]
fn who_is_here_is_told_and_goes_on_behind_where_the_new_history_was() {
    let (mut shard, _) = shard();
    let (joined, woken) = join(&mut shard, 1);
    let (slot, old) = (joined.slot, joined.history);
    assert_eq!(shard.forked(slot, old, 1), None);
    commit(&mut shard, 1..=5);
    let floor = mark(1);
    shard.fork(
        "room",
        &Bounds {
            floor,
            ..bounds("new", 3)
        },
    );
    assert_eq!(*woken.0.lock().unwrap(), 1);
    let told = |shard: &Shard<(), Woken>, cursor| shard.forked(slot, old, cursor).unwrap();
    let forked = told(&shard, 6);
    assert_eq!(forked.cursor().to_string(), "new.3.000003");
    assert_eq!((forked.floor, forked.had_all), (floor, true));
    assert!(!told(&shard, 5).had_all);
    commit(&mut shard, 4..=4);
    // Also who looks only now misses nothing.
    assert_eq!(told(&shard, 6), forked);
    assert_eq!(shard.forked(slot, forked.history, 4), None);
    let batch = shard.read(slot, SessionId(1), 4, 0, 9, usize::MAX);
    let seqs: Vec<_> = batch.entries.iter().map(|entry| entry.event.seq).collect();
    assert_eq!((seqs, batch.gap), (vec![4], None));
    // What the ring had before is not in it.
    let batch = shard.read(slot, SessionId(1), 3, 0, 9, usize::MAX);
    assert_eq!(batch.gap, Some(Gap { from: 3, to: 3 }));
    let state = shard.state(slot, Watch::Nothing).unwrap();
    assert_eq!((&*state.bounds.epoch, state.bounds.head.seq), ("new", 4));
    // Of two at once nobody can have had all.
    shard.fork("room", &bounds("newer", 0));
    assert!(!told(&shard, 9).had_all);
    assert!(shard.forked(slot, forked.history, 5).unwrap().had_all);
}

#[test]
fn a_round_is_for_nobody_in_another_history() {
    let (mut shard, _) = shard();
    let (joined, _) = join(&mut shard, 1);
    let (slot, old) = (joined.slot, joined.history);
    assert_eq!(commit(&mut shard, 1..=5), Some(slot));
    let (before, _) = shard.round(slot, 9, usize::MAX).unwrap();
    shard.fork("room", &bounds("new", 0));
    let new = shard.forked(slot, old, 6).unwrap().history;
    assert_eq!(commit(&mut shard, 1..=2), Some(slot));
    let (after, _) = shard.round(slot, 9, usize::MAX).unwrap();
    let seqs: Vec<_> = after.entries.iter().map(|entry| entry.event.seq).collect();
    assert_eq!(seqs, [1, 2]);
    let needs = [
        before.need(old, 1),
        before.need(new, 1),
        after.need(old, 1),
        after.need(new, 1),
        after.need(new, 3),
    ];
    let expected = [
        Need::All,
        Need::Nothing,
        Need::Other,
        Need::All,
        Need::Nothing,
    ];
    assert_eq!(needs, expected);
}

#[test]
fn what_is_due_at_a_fork_is_not_due_any_more() {
    let (mut shard, _) = shard();
    let (joined, _) = join(&mut shard, 1);
    commit(&mut shard, 1..=5);
    shard.fork("room", &bounds("new", 9));
    assert!(shard.round(joined.slot, 9, usize::MAX).is_none());
    assert_eq!(commit(&mut shard, 10..=10), Some(joined.slot));
}

#[test]
fn nobody_goes_on_in_a_history_that_was_left_since_its_cursor_was_judged() {
    let (mut shard, _) = shard();
    commit(&mut shard, 1..=5);
    let cursor = |epoch: &str| Cursor {
        epoch: epoch.into(),
        mark: mark(2),
    };
    assert_eq!(shard.judge("room", &cursor("old")), Some(Ok(())));
    shard.fork("room", &bounds("new", 2));
    let mut come = |epoch| {
        let member = Member::new(SessionId(1), Woken::default(), None, Watch::List);
        shard.join("room", member, Begin::After(cursor(epoch)))
    };
    assert!(come("old").is_none());
    let joined = come("new").unwrap();
    assert_eq!(joined.cursor, 3);
    assert_eq!(shard.forked(joined.slot, joined.history, 3), None);
    assert_eq!(shard.judge("room", &cursor("old")), Some(Err(Reset::Epoch)));
}

#[test]
fn a_ring_is_not_filled_with_a_history_that_was_left_meanwhile() {
    let mut shard = Shard::<(), Woken>::new(LIMITS, Arc::new(Quota::new(9, 9)));
    let opened = shard.open("room", Some(Ipv4Addr::LOCALHOST.into()), 6);
    let Ok(Opened::Lacks(birth)) = opened else {
        panic!("{opened:?}");
    };
    let rewrites = shard.rewrites();
    commit(&mut shard, 5..=5);
    shard.fork("room", &bounds("new", 2));
    commit(&mut shard, 3..=3);
    let events = (1..=4).map(event).collect();
    let now = Duration::ZERO;
    assert!(shard.fill(
        "room",
        birth,
        Newest::whole(&bounds("old", 4), events),
        rewrites,
        now
    ));
    let events = (1..=3).map(event).collect();
    let rewrites = shard.rewrites();
    assert!(!shard.fill(
        "room",
        birth,
        Newest::whole(&bounds("new", 3), events),
        rewrites,
        now
    ));
    let (joined, _) = join(&mut shard, 1);
    assert_eq!(&*joined.state.bounds.epoch, "new");
    let batch = shard.read(joined.slot, SessionId(1), 1, 0, 9, usize::MAX);
    let seqs: Vec<_> = batch.entries.iter().map(|entry| entry.event.seq).collect();
    assert_eq!(seqs, [1, 2, 3]);
}
