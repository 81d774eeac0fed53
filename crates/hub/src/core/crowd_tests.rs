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
/// Who comes back at once, and what they missed.
const HERD: u64 = 50_000;
const MISSED: u64 = 100;
const MINUTE: Duration = Duration::from_secs(60);
/// As a hub calls for news, and for users to be waited for no longer.
const TICK: Duration = Duration::from_millis(100);
const LISTED: usize = 200;

const LIMITS: ShardLimits = ShardLimits {
    ring_entries: 16,
    ring_bytes: 1 << 20,
    copies: 1,
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
    fn new(limits: ShardLimits) -> Self {
        let mut shard = Shard::new(limits, Arc::new(Quota::new(1, 1)));
        let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let Ok(Opened::Lacks(birth)) = shard.open("r", Some(address), 0) else {
            panic!("it is new")
        };
        let read = Newest::whole(&Bounds::empty("e".into()), Vec::new());
        assert!(!shard.fill("r", birth, read, 0, Duration::ZERO));
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
        self.join_from(n, Begin::Newest { count: 0, from: 0 });
    }

    fn join_from(&mut self, n: u64, begin: Begin) {
        let user = Arc::new(User {
            id: format!("u_{:016x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).into(),
            name: format!("n{n}").into(),
            avatar: "00".into(),
        });
        let member = Member::new(SessionId(n), self.wakes.clone(), Some(user), Watch::List);
        let joined = self.shard.join("r", member, begin).unwrap();
        self.slot = joined.slot;
        self.named += joined.state.people.len();
        self.notices.push(joined.state.notices);
    }

    /// Something is said, and came back from the log. Returns for how many the round is that tells it.
    fn commit(&mut self, seq: u64) -> usize {
        let event = Event {
            room: "r".into(),
            seq,
            prev: seq - 1,
            id: format!("{seq:026}").into(),
            ts: seq,
            from: Author::PlainText,
            what: What::message("hello"),
            cid: None,
        };
        assert_eq!(self.shard.commit(event), Some(self.slot));
        let (round, is_still_due) = self.shard.round(self.slot, 64, usize::MAX).unwrap();
        assert!(round.entries.len() == 1 && !is_still_due);
        round.listeners.len()
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
    let mut crowd = Crowd::new(LIMITS);
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

#[test]
fn s30_s47_fifty_thousand_who_are_sent_away_come_back_at_once_and_read_all_they_missed() {
    let mut crowd = Crowd::new(ShardLimits {
        ring_entries: 1024,
        ..LIMITS
    });
    for n in 1..=HERD {
        crowd.join(n);
    }
    crowd.tick(TICK);
    crowd.commit(1);
    let cursor = Cursor {
        epoch: "e".into(),
        mark: Mark {
            seq: 1,
            chk: Chk::of_id(&format!("{:026}", 1)),
        },
    };

    // A server that goes says goodbye to all; who is left is told of it together.
    let woken = crowd.wakes.0.get();
    for n in 1..=HERD {
        crowd
            .shard
            .leave(crowd.slot, SessionId(n), Departure::Left, MINUTE);
    }
    crowd.notices.truncate(1);
    crowd.tick(MINUTE);
    assert!(crowd.wakes.0.get() - woken <= 2);
    assert_eq!(crowd.shard.state(crowd.slot, Watch::List).unwrap().count, 1);
    for seq in 2..=1 + MISSED {
        assert_eq!(crowd.commit(seq), 1);
    }

    // All are back at once: the ring knows that they can go on, nothing is asked of the log.
    let named = crowd.named;
    let encoded = Cell::new(0);
    for n in 1..=HERD {
        assert_eq!(crowd.shard.judge("r", &cursor), Some(Ok(())));
        crowd.join_from(n, Begin::After(cursor.clone()));
        let (mut next, mut pages) = (2, 0);
        while next <= 1 + MISSED {
            let batch = crowd
                .shard
                .read(crowd.slot, SessionId(n), next, 0, 64, usize::MAX);
            assert!(batch.gap.is_none());
            for entry in &batch.entries {
                assert_eq!((entry.event.seq, entry.event.prev), (next, next - 1));
                entry.frame(Form::V1, |_| encoded.set(encoded.get() + 1));
                next += 1;
            }
            pages += 1;
        }
        assert_eq!(pages, MISSED.div_ceil(64));
    }
    assert_eq!(encoded.get(), MISSED, "each is encoded once for all");
    assert!(crowd.named - named <= LISTED * LISTED, "{}", crowd.named);
    let woken = crowd.wakes.0.get();
    crowd.tick(MINUTE * 2);
    assert!(crowd.wakes.0.get() - woken <= HERD + 1, "told together");
    assert_eq!(crowd.commit(2 + MISSED), usize::try_from(HERD).unwrap() + 1);
}
