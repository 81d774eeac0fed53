//! A log that goes back in time while its rooms are full.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicBool, Ordering},
};

use fullduplex_hub::{
    Config, Event, Hub,
    log::{
        Answer, Append, AppendError, Bounds, Committed, Draft, Log, Mark, MemoryLimits, MemoryLog,
        PageSize, ReadError, Sought, Start, Store, Tail,
    },
};
use serde_json::{Value, json};
use support::{Running, bodies, within};
use tokio::net::TcpListener;

const LIMITS: MemoryLimits = MemoryLimits {
    room_events: 100,
    events: 1_600,
    bytes: 1 << 24,
};

/// Hands on what is committed once it is open.
struct Gate {
    committed: Arc<dyn Committed>,
    is_open: AtomicBool,
}

impl Committed for Gate {
    fn committed(&self, event: Event) {
        if self.is_open.load(Ordering::Relaxed) {
            self.committed.committed(event);
        }
    }

    fn trimmed(&self, room: &str, floor: Mark) {
        self.committed.trimmed(room, floor);
    }

    fn follows(&self, room: &str) -> bool {
        self.committed.follows(room)
    }

    fn erased(&self, user: &str) {
        self.committed.erased(user);
    }

    fn forked(&self, room: &str, bounds: &Bounds) {
        self.committed.forked(room, bounds);
    }
}

/// A log in place of which another one can be put that has less.
struct Forking {
    log: RwLock<Arc<MemoryLog>>,
    committed: Arc<dyn Committed>,
}

/// An empty log whose events nobody sees until the gate is opened.
fn another(committed: &Arc<dyn Committed>) -> (Arc<MemoryLog>, Arc<Gate>) {
    let gate = Arc::new(Gate {
        committed: Arc::clone(committed),
        is_open: AtomicBool::new(false),
    });
    let log = MemoryLog::new(LIMITS, Arc::clone(&gate) as _);
    (Arc::new(log), gate)
}

impl Forking {
    fn now(&self) -> Arc<MemoryLog> {
        Arc::clone(&self.log.read().unwrap())
    }

    /// Loses all that was said in a room but the first `kept`.
    async fn fork(&self, room: &str, kept: usize) {
        let room = Arc::from(room);
        let all = PageSize {
            events: kept,
            bytes: usize::MAX,
        };
        let before = self.now().tail(&room, Start::At(0), all).await.unwrap();
        let (log, gate) = another(&self.committed);
        for event in before.events {
            let draft = Draft {
                room: Arc::clone(&room),
                from: event.from,
                what: event.what,
                cid: event.cid,
                now: event.ts,
                moderates: false,
            };
            log.append(draft).await.unwrap();
        }
        gate.is_open.store(true, Ordering::Relaxed);
        let bounds = log.bounds(&room).await.unwrap();
        let mut now = self.log.write().unwrap();
        self.committed.forked(&room, &bounds);
        *now = log;
    }
}

impl Log for Forking {
    fn append(&self, draft: Draft) -> Append {
        self.log.read().unwrap().append(draft)
    }

    fn bounds(&self, room: &Arc<str>) -> Answer<Bounds, ReadError> {
        self.log.read().unwrap().bounds(room)
    }

    fn seek(&self, room: &Arc<str>, seq: u64) -> Answer<Sought, ReadError> {
        self.log.read().unwrap().seek(room, seq)
    }

    fn tail(&self, room: &Arc<str>, start: Start, max: PageSize) -> Answer<Tail, ReadError> {
        self.log.read().unwrap().tail(room, start, max)
    }

    fn erase(&self, user: &Arc<str>) -> Answer<u64, AppendError> {
        self.log.read().unwrap().erase(user)
    }
}

async fn start() -> (Running, Arc<Forking>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut forking = None;
    let hub = Hub::with_log(Config::default(), listener, |committed| {
        let (first, gate) = another(&committed);
        gate.is_open.store(true, Ordering::Relaxed);
        let log = Arc::new(Forking {
            log: RwLock::new(first),
            committed: Arc::clone(&committed),
        });
        Ok(Store {
            log: forking.insert(log).clone(),
            projection: Arc::new(MemoryLog::new(LIMITS, committed)),
        })
    });
    let hub = Running::run(hub.await.unwrap());
    (hub, forking.unwrap())
}

#[tokio::test]
async fn s09_who_is_in_a_room_whose_log_forks_is_told_and_goes_on_exactly() {
    let (hub, log) = start().await;
    let mut ana = hub.member("Ana", "general").await;
    let mut channel = hub.v1().await;
    channel.hello("Cy").await;
    channel.ok(json!({"op": "sub", "room": "general"})).await;
    let mut plain = hub.connect("/ws?mode=text").await;
    let mut stream = hub.sse("/sse/general", "").await;
    let begin = stream.event("ok").await;
    for n in 1..=4 {
        let body = n.to_string();
        ana.say("general", &body, &body).await;
        for client in [&mut ana, &mut channel] {
            assert_eq!(client.msg().await["body"], body);
        }
        assert_eq!(support::text(&mut plain).await, format!("Ana: {n}"));
    }
    let old = stream.bodies(4).await.len();
    assert_eq!(old, 4);
    let page = hub.poll("general", "limit=10").await;
    let cursor = page["cursor"].as_str().unwrap().to_owned();
    let query = format!("wait=20&limit=10&after={cursor}");
    let ((), polled) = tokio::join!(log.fork("general", 2), hub.poll("general", &query));

    // Whether it waited or came later, a poll is told with the newest.
    assert_eq!(polled["reset"], "epoch");
    assert_eq!(bodies(&polled["events"]), ["1", "2"]);

    let bounds = log.now().bounds(&"general".into()).await.unwrap();
    let head = bounds.head.seq;
    let cursor = format!("{}.{head}.{}", bounds.epoch, bounds.head.chk.as_str());
    assert_ne!(begin.data["epoch"], *bounds.epoch);
    let expected = json!({"ev": "reset", "room": "general", "reason": "epoch", "epoch": &*bounds.epoch,
        "head": head, "floor": 1, "cursor": cursor});
    for client in [&mut ana, &mut channel] {
        assert_eq!(client.event("reset").await, expected);
    }
    let reset = stream.event("reset").await;
    assert_eq!(
        (reset.id.as_deref(), &reset.data),
        (Some(&*cursor), &expected)
    );

    // All go on, in one order, from there.
    let mut prev = json!(head);
    for n in 5..=7 {
        let body = n.to_string();
        ana.say("general", &body, &body).await;
        let msg = ana.msg().await;
        assert_eq!((&msg["body"], &msg["prev"]), (&json!(body), &prev));
        prev = msg["seq"].clone();
        assert_eq!(channel.msg().await, msg);
        assert_eq!(stream.event("msg").await.data, msg);
        assert_eq!(support::text(&mut plain).await, format!("Ana: {n}"));
    }

    // The cursor that was told is as good as any; one of before is not.
    let mut back = hub.v1().await;
    back.hello("Di").await;
    let joined = back
        .ok(json!({"op": "join", "room": "general", "since": cursor}))
        .await;
    assert_eq!(joined["resume"], "ok");
    for n in 5..=7 {
        assert_eq!(back.msg().await["body"], n.to_string());
    }
    let mut late = hub.v1().await;
    late.hello("Ed").await;
    let joined = late
        .ok(json!({"op": "join", "room": "general", "since": page["cursor"], "backlog": 2}))
        .await;
    assert_eq!(
        (&joined["resume"], &joined["reason"]),
        (&json!("reset"), &json!("epoch"))
    );
    assert_eq!(late.msg().await["body"], "6");
}

/// What a member got, in order: bodies, and the epochs of resets.
fn told(frames: &[Value]) -> Vec<String> {
    let known = |frame: &Value| {
        let is_reset = frame["ev"] == "reset";
        let key = if is_reset { "epoch" } else { "body" };
        frame[key].as_str().map(str::to_owned)
    };
    frames.iter().filter_map(known).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s09_a_room_that_forks_while_many_talk_mixes_no_histories() {
    const FORKS: usize = 10;
    let (hub, log) = start().await;
    let mut listeners = Vec::new();
    for n in 0..8 {
        listeners.push(hub.member(&format!("n{n}"), "general").await);
    }
    let mut author = hub.member("Ana", "general").await;
    let talking = tokio::spawn(async move {
        for n in 0..400 {
            let body = n.to_string();
            // It is lost where its log is replaced meanwhile, but answered.
            author.say("general", &body, &body).await;
        }
        author
    });
    let mut epochs = Vec::new();
    for _ in 0..FORKS {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        log.fork("general", 3).await;
        let bounds = log.now().bounds(&"general".into()).await.unwrap();
        epochs.push(bounds.epoch.to_string());
    }
    let mut author = talking.await.unwrap();
    author.say("general", "last", "last").await;
    for listener in &mut listeners {
        let mut frames = Vec::new();
        loop {
            let frame = within(listener.frame()).await;
            let is_last = frame["body"] == "last";
            frames.push(frame);
            if is_last {
                break;
            }
        }
        // Within a history each event follows the one before it, and the last history is the log's.
        let mut prev = None;
        let mut epoch = None;
        for frame in &frames {
            if frame["ev"] == "reset" {
                prev = Some(frame["head"].clone());
                epoch = Some(frame["epoch"].clone());
            } else if frame["ev"] == "msg" {
                assert!(
                    prev.is_none_or(|prev| prev == frame["prev"]),
                    "{:?}",
                    told(&frames)
                );
                prev = Some(frame["seq"].clone());
            }
        }
        assert_eq!(epoch, Some(json!(epochs[FORKS - 1])));
        let said = told(&frames);
        let resets = said.iter().filter(|said| epochs.contains(said));
        assert!(resets.count() <= FORKS);
    }
}
