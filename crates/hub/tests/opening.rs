//! Goal: a room that comes out of the log costs what is asked of it, and once.
//! Method: a log that was filled before the hub began, and notes what is read of it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::sync::{Arc, Mutex};

use fullduplex_hub::{
    Author, Config, Hub, Limits, User, What,
    log::{
        Answer, Append, AppendError, Bounds, Committed, Draft, Log, MemoryLimits, MemoryLog,
        PageSize, ReadError, Sought, Start, Store, Tail,
    },
};
use serde_json::json;
use support::Running;
use tokio::net::TcpListener;

struct Noted {
    log: Arc<MemoryLog>,
    /// How many events were asked for when a room was opened.
    opened: Mutex<Vec<usize>>,
}

impl Log for Noted {
    fn append(&self, draft: Draft) -> Append {
        self.log.append(draft)
    }

    fn bounds(&self, room: &Arc<str>) -> Answer<Bounds, ReadError> {
        self.log.bounds(room)
    }

    fn seek(&self, room: &Arc<str>, seq: u64) -> Answer<Sought, ReadError> {
        self.log.seek(room, seq)
    }

    fn tail(&self, room: &Arc<str>, start: Start, max: PageSize) -> Answer<Tail, ReadError> {
        if start == Start::Newest {
            self.opened.lock().unwrap().push(max.events);
        }
        self.log.tail(room, start, max)
    }

    fn erase(&self, user: &Arc<str>) -> Answer<u64, AppendError> {
        self.log.erase(user)
    }
}

impl Noted {
    fn opened(&self) -> Vec<usize> {
        std::mem::take(&mut *self.opened.lock().unwrap())
    }
}

/// A hub with a ring of 100 events or 256 KiB, and so many messages in a room.
async fn start(count: usize, body: &str) -> (Running, Arc<Noted>) {
    let limits = Limits {
        ring_events: 100,
        ring_bytes: 256 << 10,
        ..Limits::default()
    };
    let config = Config {
        limits,
        ..Config::default()
    };
    let fill = |committed: Arc<dyn Committed>| {
        let limits = MemoryLimits {
            room_events: 10_000,
            events: 1 << 20,
            bytes: 1 << 30,
        };
        let log = Arc::new(MemoryLog::new(limits, committed));
        for n in 0..count {
            drop(log.append(Draft {
                room: "room".into(),
                from: Author::User(Arc::new(User {
                    id: "u".into(),
                    name: "Ana".into(),
                    avatar: "0".into(),
                })),
                what: What::message(format!("{n} {body}")),
                cid: None,
                moderates: false,
                now: 1,
            }));
        }
        log
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut noted = None;
    let hub = Hub::with_log(config, listener, |committed| {
        let log = fill(committed);
        let outer = noted.insert(Arc::new(Noted {
            log: Arc::clone(&log),
            opened: Mutex::default(),
        }));
        Ok(Store {
            log: Arc::clone(outer) as _,
            projection: log,
        })
    });
    (Running::run(hub.await.unwrap()), noted.unwrap())
}

/// Joins with so much backlog, and says with what that begins.
async fn join(hub: &Running, backlog: usize) -> usize {
    let mut client = hub.v1().await;
    client.hello("Bo").await;
    client
        .ok(json!({"op": "join", "room": "room", "backlog": backlog}))
        .await;
    let first = client.msg().await["body"].clone();
    for _ in 1..backlog {
        client.msg().await;
    }
    let number = first.as_str().unwrap().split(' ').next().unwrap();
    number.parse().unwrap()
}

#[tokio::test]
async fn a_room_is_read_as_far_as_somebody_wants_it_and_once() {
    let (hub, log) = start(300, "x").await;
    assert_eq!(join(&hub, 5).await, 295);
    assert_eq!(log.opened(), [6], "with the one before them");
    assert_eq!((join(&hub, 5).await, join(&hub, 3).await), (295, 297));
    assert_eq!(log.opened(), <[usize; 0]>::default());
    assert_eq!(join(&hub, 50).await, 250);
    assert_eq!(log.opened(), [51]);
    // Who comes back needs all that there may be; and others after that nothing.
    let back = hub.poll("room", "wait=0&after=zz.1.000000").await;
    assert_eq!(back["reset"], "epoch");
    assert_eq!(log.opened(), [101]);
    assert_eq!(join(&hub, 100).await, 200);
    let again = hub.poll("room", "wait=0&after=zz.1.000000").await;
    assert_eq!(again["reset"], "epoch");
    assert_eq!(log.opened(), <[usize; 0]>::default());
}

#[tokio::test]
async fn a_ring_that_is_full_of_long_messages_is_not_read_for_each_who_joins() {
    let (hub, log) = start(60, &"x".repeat(16_000)).await;
    assert_eq!(join(&hub, 12).await, 48);
    assert_eq!(log.opened(), [13]);
    // It holds some of them, and knows where the others are.
    assert_eq!(join(&hub, 12).await, 48);
    for n in 60..65 {
        hub.say("room", &format!("{n} {}", "y".repeat(16_000)))
            .await;
    }
    assert_eq!(join(&hub, 12).await, 53);
    assert_eq!(join(&hub, 17).await, 48);
    assert_eq!(log.opened(), <[usize; 0]>::default());
    // All of it is too much to be read at once, which is found out once.
    for opened in [vec![101], vec![]] {
        let back = hub.poll("room", "wait=0&after=zz.1.000000").await;
        assert_eq!(back["reset"], "epoch");
        assert_eq!(log.opened(), opened);
    }
    assert_eq!(join(&hub, 18).await, 47, "what it knew it still does");
}
