//! Nothing is seen that did not come back from the log: with a log that takes its time.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use fullduplex_hub::{
    Config, Hub,
    log::{
        Answer, Append, AppendError, Appended, Bounds, Chk, Committed, Draft, Log, Mark, PageSize,
        ReadError, Sought, Start, Tail,
    },
};
use serde_json::json;
use support::{Running, within};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

type Held = (Draft, oneshot::Sender<Result<Appended, AppendError>>);

/// Keeps what it gets until it is told to commit, as one that waits for a disk does.
struct HeldBack {
    held: Mutex<VecDeque<Held>>,
    arrived: mpsc::UnboundedSender<()>,
    committed: Arc<dyn Committed>,
    last: Mutex<u64>,
}

impl Log for HeldBack {
    fn append(&self, draft: Draft) -> Append {
        let (decide, append) = Append::later();
        self.held.lock().unwrap().push_back((draft, decide));
        self.arrived.send(()).unwrap();
        append
    }

    fn bounds(&self, _room: &Arc<str>) -> Answer<Bounds, ReadError> {
        Answer::given(Ok(Bounds::empty("test".into())))
    }

    fn seek(&self, _room: &Arc<str>, _seq: u64) -> Answer<Sought, ReadError> {
        Answer::given(Ok(Sought {
            bounds: Bounds::empty("test".into()),
            chk: Some(Chk::NONE),
            following: 0,
        }))
    }

    fn tail(&self, _room: &Arc<str>, _start: Start, _max: PageSize) -> Answer<Tail, ReadError> {
        Answer::given(Ok(Tail {
            bounds: Bounds::empty("test".into()),
            events: Vec::new(),
        }))
    }
}

impl HeldBack {
    /// Decides about the oldest: stored if `is_well`, else not.
    fn decide(&self, is_well: bool) {
        let (draft, decide) = self.held.lock().unwrap().pop_front().unwrap();
        if !is_well {
            decide.send(Err(AppendError::Unavailable)).unwrap();
            return;
        }
        let mut last = self.last.lock().unwrap();
        *last += 10;
        let appended = Appended {
            seq: *last,
            id: "id".into(),
            ts: 5,
            duplicate: false,
        };
        let event = draft.into_event(&appended, *last - 10);
        self.committed.committed(event, Mark::START);
        decide.send(Ok(appended)).unwrap();
    }
}

async fn start() -> (Running, Arc<HeldBack>, mpsc::UnboundedReceiver<()>) {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let mut log = None;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hub = Hub::with_log(Config::default(), listener, |committed| {
        let held = HeldBack {
            held: Mutex::default(),
            arrived,
            committed,
            last: Mutex::default(),
        };
        Ok(log.insert(Arc::new(held)).clone())
    });
    let hub = Running::run(hub.await.unwrap());
    (hub, log.unwrap(), arrivals)
}

#[tokio::test]
async fn a_message_is_seen_and_answered_only_after_the_log_has_it() {
    let (hub, log, mut arrivals) = start().await;
    let mut ana = hub.member("Ana", "general").await;
    let mut bo = hub.connect("/ws?mode=text").await;
    for n in 1..=3 {
        let body = n.to_string();
        ana.send(&json!({"op": "send", "id": n, "room": "general", "cid": body, "body": body}))
            .await;
        within(arrivals.recv()).await.unwrap();
    }
    // The session goes on meanwhile, and what it says comes before any message.
    let reply = ana.ok(json!({"op": "join", "room": "general"})).await;
    assert_eq!(reply["head"], 0);
    for is_well in [true, false, true] {
        log.decide(is_well);
    }
    let mut replies = Vec::new();
    let mut seen = Vec::new();
    while replies.len() < 3 || seen.len() < 2 {
        let text = support::text(&mut ana.ws).await;
        let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
        if frame["ev"] == "msg" {
            seen.push((
                frame["body"].clone(),
                frame["seq"].clone(),
                frame["prev"].clone(),
            ));
        } else if frame["ev"].is_null() {
            replies.push((
                frame["re"].clone(),
                frame["ok"]["seq"].clone(),
                frame["err"]["code"].clone(),
            ));
        }
    }
    let null = serde_json::Value::Null;
    assert_eq!(
        replies,
        [
            (json!(1), json!(10), null.clone()),
            (json!(2), null.clone(), json!("unavailable")),
            (json!(3), json!(20), null)
        ]
    );
    assert_eq!(
        seen,
        [
            (json!("1"), json!(10), json!(0)),
            (json!("3"), json!(20), json!(10))
        ]
    );
    assert_eq!(support::text(&mut bo).await, "Ana: 1\nAna: 3");
}

#[tokio::test]
async fn a_log_that_does_not_answer_stops_the_reading_of_commands() {
    let (hub, log, mut arrivals) = start().await;
    let mut ana = hub.member("Ana", "general").await;
    for n in 0..100 {
        let cid = n.to_string();
        ana.send(&json!({"op": "send", "room": "general", "cid": cid, "body": "x"}))
            .await;
    }
    for _ in 0..64 {
        within(arrivals.recv()).await.unwrap();
    }
    // One place is freed, one command is read: no 66th comes with the 65th.
    log.decide(true);
    within(arrivals.recv()).await.unwrap();
    assert_eq!(log.held.lock().unwrap().len(), 64);
    assert!(arrivals.try_recv().is_err());
    for _ in 0..99 {
        if log.held.lock().unwrap().is_empty() {
            within(arrivals.recv()).await.unwrap();
        }
        log.decide(true);
    }
    for _ in 0..100 {
        ana.msg().await;
    }
}
