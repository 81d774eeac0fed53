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
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fullduplex::CloseCode;
use fullduplex_hub::{
    Config, Hub,
    log::{
        Answer, Append, AppendError, Appended, Bounds, Chk, Committed, Draft, Health, Log,
        MemoryLimits, MemoryLog, PageSize, ReadError, Sought, Start, Store, Tail,
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
    /// Whether reading panics.
    is_broken: AtomicBool,
    is_full: AtomicBool,
}

impl Log for HeldBack {
    fn append(&self, draft: Draft) -> Append {
        let (decide, append) = Append::later();
        self.held.lock().unwrap().push_back((draft, decide));
        self.arrived.send(()).unwrap();
        append
    }

    fn health(&self) -> Health {
        if self.is_full.load(Ordering::Relaxed) {
            Health::ReadOnly {
                why: "it is full".into(),
                retry: Duration::from_secs(1),
            }
        } else {
            Health::Well
        }
    }

    fn erase(&self, _user: &Arc<str>) -> Answer<u64, AppendError> {
        Answer::given(Ok(0))
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
        assert!(!self.is_broken.load(Ordering::Relaxed), "a bug");
        Answer::given(Ok(Tail {
            bounds: Bounds::empty("test".into()),
            events: Vec::new(),
        }))
    }
}

impl HeldBack {
    /// Decides about the oldest: stored, or this is why not.
    fn decide(&self, result: Result<(), AppendError>) {
        let (draft, decide) = self.held.lock().unwrap().pop_front().unwrap();
        if let Err(error) = result {
            decide.send(Err(error)).unwrap();
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
        self.committed.committed(event);
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
            committed: Arc::clone(&committed),
            last: Mutex::default(),
            is_broken: AtomicBool::new(false),
            is_full: AtomicBool::new(false),
        };
        let limits = MemoryLimits {
            room_events: 1,
            events: 1,
            bytes: 1,
        };
        Ok(Store {
            log: log.insert(Arc::new(held)).clone(),
            projection: Arc::new(MemoryLog::new(limits, committed)),
        })
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
    for result in [Ok(()), Err(AppendError::Unavailable), Ok(())] {
        log.decide(result);
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
    log.decide(Ok(()));
    within(arrivals.recv()).await.unwrap();
    assert_eq!(log.held.lock().unwrap().len(), 64);
    assert!(arrivals.try_recv().is_err());
    for _ in 0..99 {
        if log.held.lock().unwrap().is_empty() {
            within(arrivals.recv()).await.unwrap();
        }
        log.decide(Ok(()));
    }
    for _ in 0..100 {
        ana.msg().await;
    }
}

/// What comes to a plain client of as many messages as the log decides about, and how its connection ends.
async fn parted(mode: &str, results: &[Result<(), AppendError>]) -> (Vec<String>, String) {
    let (hub, log, mut arrivals) = start().await;
    let mut plain = hub.connect(&format!("/ws?mode={mode}")).await;
    for n in 1..=results.len() {
        let text = match mode {
            "text" => n.to_string(),
            _ => json!({"message": n.to_string()}).to_string(),
        };
        within(plain.send(text)).await.unwrap();
        within(arrivals.recv()).await.unwrap();
    }
    let (last, others) = results.split_last().unwrap();
    for result in others {
        log.decide(*result);
    }
    let mut got = vec![support::text(&mut plain).await];
    // It is not over before the log has decided about the last, but no more is taken: what somebody else says later arrives.
    if others.iter().any(Result::is_err) {
        within(plain.send(r#"{"message":"late"}"#)).await.unwrap();
        let mut other = hub.connect("/ws?room=other").await;
        within(other.send(r#"{"message":"later"}"#)).await.unwrap();
        within(arrivals.recv()).await.unwrap();
        assert_eq!(&*log.held.lock().unwrap().back().unwrap().0.room, "other");
    }
    log.decide(*last);
    while let Some(message) = within(plain.recv()).await.unwrap() {
        got.push(message.as_text().unwrap().to_owned());
    }
    assert!(arrivals.try_recv().is_err(), "it is taken");
    let (code, reason) = support::closed(&mut plain).await;
    assert_eq!(code, CloseCode::TRY_AGAIN_LATER);
    (got, reason)
}

#[tokio::test]
async fn a_plain_client_whose_message_is_not_stored_gets_the_others_and_is_closed_with_1013() {
    const NOT: &str = "a message is not stored; send it again later";
    const MAYBE: &str = "a message may not be stored";
    let json = |n| format!(r#"{{"email":"","username":"","message":"{n}"}}"#);
    for (results, stored, reason) in [
        (
            &[Ok(()), Err(AppendError::Busy), Ok(())][..],
            &["1", "3"][..],
            NOT,
        ),
        (&[Ok(()), Err(AppendError::Unavailable)], &["1"], NOT),
        (
            &[Ok(()), Err(AppendError::Timeout), Ok(())],
            &["1", "3"],
            MAYBE,
        ),
        (
            &[Ok(()), Err(AppendError::Busy), Err(AppendError::Timeout)],
            &["1"],
            MAYBE,
        ),
        (
            &[Ok(()), Err(AppendError::Timeout), Err(AppendError::Busy)],
            &["1"],
            MAYBE,
        ),
    ] {
        let lines: Vec<_> = stored.iter().copied().map(str::to_owned).collect();
        let reason = reason.to_owned();
        assert_eq!(parted("text", results).await, (lines, reason.clone()));
        let objects = stored.iter().map(json).collect();
        assert_eq!(parted("json", results).await, (objects, reason));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_comes_back_before_the_close_whichever_thread_is_faster() {
    let (hub, log, mut arrivals) = start().await;
    for _ in 0..100 {
        let mut plain = hub.connect("/ws?mode=text").await;
        for line in ["refused", "stored"] {
            within(plain.send(line)).await.unwrap();
            within(arrivals.recv()).await.unwrap();
        }
        log.decide(Err(AppendError::Busy));
        log.decide(Ok(()));
        assert_eq!(support::text(&mut plain).await, "stored");
        let (code, _) = support::closed(&mut plain).await;
        assert_eq!(code, CloseCode::TRY_AGAIN_LATER);
    }
}

#[tokio::test]
async fn what_is_being_stored_is_answered_before_the_goodbye_and_nothing_is_taken_after_it() {
    let (hub, log, mut arrivals) = start().await;
    let mut ana = hub.member("Ana", "general").await;
    for n in 0..3 {
        let send =
            json!({"op": "send", "id": n, "room": "general", "cid": n.to_string(), "body": "hi"});
        ana.send(&send).await;
        within(arrivals.recv()).await.unwrap();
    }
    let stopped = hub.begin_stop();
    // It was told to stop before this comes.
    tokio::task::yield_now().await;
    ana.send(&json!({"op": "send", "id": 3, "room": "general", "cid": "3", "body": "late"}))
        .await;
    for result in [Ok(()), Err(AppendError::Unavailable), Ok(())] {
        log.decide(result);
    }
    let mut frames = Vec::new();
    loop {
        let frame = ana.frame().await;
        if frame["ev"] == "bye" {
            break;
        }
        frames.push(frame);
    }
    let replies: Vec<_> = frames
        .iter()
        .filter(|frame| frame["ev"].is_null())
        .collect();
    assert_eq!(replies.len(), 3);
    assert_eq!(replies[0]["ok"]["seq"], 10);
    assert_eq!(replies[1]["err"]["code"], "unavailable");
    assert_eq!(replies[2]["ok"]["seq"], 20);
    assert_eq!(ana.closed().await.0, CloseCode::SERVICE_RESTART);
    within(stopped).await.unwrap();
    assert!(arrivals.try_recv().is_err());
}

#[tokio::test]
async fn s38_a_panic_while_a_room_is_opened_is_an_error_and_the_next_who_comes_opens_it() {
    let (hub, log, _arrivals) = start().await;
    let mut ana = hub.member("Ana", "general").await;
    log.is_broken.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        let refused = ana.err(json!({"op": "join", "room": "other"})).await;
        assert_eq!(refused, "unavailable");
    }
    log.is_broken.store(false, Ordering::Relaxed);
    ana.ok(json!({"op": "join", "room": "other"})).await;
}

#[tokio::test]
async fn s33_clients_are_told_that_nothing_is_stored_and_that_it_is_again() {
    let (hub, log, _arrivals) = start().await;
    let mut ana = hub.member("Ana", "general").await;
    let mut waits = hub.v1().await;
    log.is_full.store(true, Ordering::Relaxed);
    let status = |status| json!({"ev": "status", "status": status});
    assert_eq!(ana.event("status").await, status("readonly"));
    // Who has not said hello hears nothing before the reply.
    waits.send(&json!({"op": "hello", "id": 1})).await;
    assert_eq!(waits.frame().await["re"], 1);
    assert_eq!(waits.frame().await, status("readonly"));
    log.is_full.store(false, Ordering::Relaxed);
    for client in [&mut ana, &mut waits] {
        assert_eq!(client.event("status").await, status("ok"));
    }
    // Who comes when all is well is told nothing.
    let mut late = hub.v1().await;
    late.send(&json!({"op": "hello", "id": 1})).await;
    late.send(&json!({"op": "ping", "id": 2})).await;
    for id in [1, 2] {
        assert_eq!(late.frame().await["re"], id);
    }
}
