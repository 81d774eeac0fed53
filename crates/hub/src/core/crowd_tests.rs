//! Goal: that many come to a room at once costs what they are, and not the square of it.
//! Method: the pure core at full size, its wake-ups and notices counted, with the clock of a busy minute.

use std::{
    cell::Cell,
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use super::*;

const CROWD: u64 = 20_000;
const MINUTE: Duration = Duration::from_secs(60);
/// As a hub calls for news, and for users to be waited for no longer.
const TICK: Duration = Duration::from_millis(100);
const LISTED: usize = 200;

const LIMITS: ShardLimits = ShardLimits {
    ring_entries: 16,
    ring_bytes: 1 << 20,
    shard_bytes: 1 << 20,
    listed_users: LISTED,
    empty_room_ttl: MINUTE,
    empty_room_grace: MINUTE,
    away_after: Duration::from_secs(3),
    left_after: Duration::from_secs(15),
    crowd_pause: Duration::from_secs(1),
};

/// Counts how often somebody is woken.
#[derive(Clone, Default)]
struct Counted(Rc<Cell<u64>>);

impl Wake for Counted {
    fn wake(&self, _room: Slot) {
        self.0.set(self.0.get() + 1);
    }
}

struct Crowd {
    shard: Shard<(), Counted>,
    slot: Slot,
    /// What each one has read.
    notices: Vec<u64>,
    wakes: Counted,
    /// People named to somebody.
    named: usize,
}

impl Crowd {
    fn new() -> Self {
        let mut shard = Shard::new(LIMITS, Arc::new(Quota::new(1, 1)));
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let Ok(Opened::Lacks(birth)) = shard.open("r", address, 0) else {
            panic!("it is new")
        };
        let bounds = Bounds::empty("e".into());
        assert!(!shard.fill("r", birth, &bounds, Vec::new(), 0, Duration::ZERO));
        let mut crowd = Self {
            shard,
            slot: Slot(0),
            notices: Vec::new(),
            wakes: Counted::default(),
            named: 0,
        };
        crowd.join(0);
        crowd
    }

    fn join(&mut self, n: u64) {
        let user = Arc::new(User {
            id: format!("u_{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into(),
            name: format!("n{n}").into(),
            avatar: "00".into(),
        });
        let member = Member::new(SessionId(n), self.wakes.clone(), Some(user), Watch::List);
        let begin = Begin::Newest { count: 0, from: 0 };
        let joined = self.shard.join("r", member, begin).unwrap();
        self.slot = joined.slot;
        self.named += joined.state.people.len();
        self.notices.push(joined.state.notices);
    }

    /// A hub's turn: news are told, and everybody reads them.
    fn tick(&mut self, now: Duration) {
        let before = self.wakes.0.get();
        self.shard.sweep(now);
        self.shard.tell_news(now);
        if self.wakes.0.get() == before {
            return;
        }
        for (n, seen) in (0..).zip(&mut self.notices) {
            let batch = self.shard.read(self.slot, SessionId(n), 1, *seen, 1, 1);
            *seen = batch.notices_read;
            for notice in batch.notices {
                if let News::Presence(changes) = &notice.news {
                    self.named += changes.came.len() + changes.left.len() + changes.away.len();
                }
            }
        }
    }
}

#[test]
fn s28_twenty_thousand_who_join_within_a_minute_are_told_of_once_a_second() {
    let mut crowd = Crowd::new();
    let ticks = u32::try_from(MINUTE.as_millis() / TICK.as_millis()).unwrap();
    let each = CROWD / u64::from(ticks);
    for tick in 0..ticks {
        for n in 0..each {
            crowd.join(1 + u64::from(tick) * each + n);
        }
        crowd.tick(TICK * tick);
    }
    let woken = crowd.wakes.0.get();
    // On average half of them are there, for sixty seconds; and while they can be listed, ten times a second.
    let by_the_second = CROWD / 2 * 62;
    let listed = (LISTED as u64).pow(2);
    assert!(woken <= by_the_second + listed, "{woken}");
    assert!(woken >= CROWD, "everybody is told something: {woken}");
    assert!(crowd.named <= 2 * LISTED * LISTED, "{}", crowd.named);

    // All at once gone, and gone for good.
    for n in 1..=each * u64::from(ticks) {
        crowd
            .shard
            .leave(crowd.slot, SessionId(n), Departure::Lost, MINUTE);
    }
    crowd.notices.truncate(1);
    for tick in 0..200 {
        crowd.tick(MINUTE + TICK * tick);
    }
    assert!(crowd.wakes.0.get() - woken <= 20);
    assert_eq!(crowd.shard.state(crowd.slot, Watch::List).unwrap().count, 1);
    assert!(!crowd.shard.is_news_due());
}
