//! Goal: who lives is kept and who does not is found, however long that takes; nobody is told more of it than need be.
//! Method: sessions over transports that a test moves, by a clock that it moves too.

use std::{sync::Arc, time::Duration};

use fullduplex::Acceptor;
use fullduplex_testkit::{Fault, Peer, wire};
use serde_json::{Value, json};
use tokio::{
    task::yield_now,
    time::{Instant, advance},
};

use super::{
    Session,
    seat_tests::{CLIENT, JOIN, PING, V1, hub, json},
};
use crate::{http::chat_rules, hub::Shared};

const SECOND: Duration = Duration::from_secs(1);

/// A client in virtual time.
struct Client {
    peer: Peer,
    /// Frames of the server that were looked at.
    seen: usize,
}

/// What a client does by itself with what comes.
#[derive(Clone, Copy, PartialEq)]
enum Answers {
    /// What a browser and its page do.
    All,
    /// What a browser does while its page is busy.
    Pings,
    Nothing,
}

impl Client {
    async fn connect(hub: &Arc<Shared>, hello: &Value) -> Self {
        let (io, peer) = Peer::client();
        let rules = chat_rules(&hub.config);
        let ws = Acceptor::new().config(rules).accept(io).await.unwrap();
        let session = Session::new(hub, V1, CLIENT);
        hub.spawn(session.run(ws));
        peer.push([wire::text(hello.to_string()), wire::text(JOIN)]);
        settle().await;
        Self { peer, seen: 2 }
    }

    /// Under this name, with a guest secret made of it.
    async fn named(hub: &Arc<Shared>, name: &str) -> Self {
        Self::connect(hub, &hello(name)).await
    }

    /// The frames that came since the last time.
    fn news(&mut self) -> Vec<wire::Frame> {
        let frames = self.peer.frames();
        let news = frames[self.seen..].to_vec();
        self.seen = frames.len();
        news
    }

    /// The same, but presence alone: who came, left, and is away.
    fn presence(&mut self) -> Vec<[Value; 3]> {
        let news = self.news();
        let texts = news.iter().filter(|frame| frame.opcode == 1).map(json);
        let presence = texts.filter(|event| event["ev"] == "pres");
        presence
            .map(|event| ["in", "out", "away"].map(|key| ids(&event[key])))
            .collect()
    }

    /// Answers what came; the events among it.
    fn answer(&mut self, answers: Answers) -> Vec<Value> {
        let mut events = Vec::new();
        for frame in self.news() {
            match frame.opcode {
                9 if answers != Answers::Nothing => {
                    self.peer.push([wire::pong(&frame.payload)]);
                }
                1 => {
                    let event = json(&frame);
                    if event["ev"] == "hb" && answers == Answers::All {
                        self.peer.push([wire::text(r#"{"op":"hb"}"#)]);
                    }
                    events.push(event);
                }
                _ => {}
            }
        }
        events
    }

    /// The Close that it got, if it did.
    fn close_code(&self) -> Option<u16> {
        let close = self.peer.frames().into_iter().find(|f| f.opcode == 8)?;
        Some(u16::from_be_bytes([close.payload[0], close.payload[1]]))
    }
}

fn hello(name: &str) -> Value {
    json!({"op": "hello", "id": 0, "name": name, "guest": format!("secret of {name:>9}"), "hb_ms": 20_000})
}

/// Users by their ids, as the numbers of an array.
fn ids(users: &Value) -> Value {
    let ids = users.as_array().into_iter().flatten();
    ids.map(|user| user.get("id").unwrap_or(user).clone())
        .collect()
}

/// Lets everything happen that needs no time.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// Time goes by, as a hub that runs sees it.
async fn pass(hub: &Arc<Shared>, time: Duration) {
    settle().await;
    advance(time).await;
    settle().await;
    hub.rooms.sweep();
    hub.rooms.tell_news();
    settle().await;
}

/// The seconds after which it was closed, which it was with this code.
async fn closed_after(hub: &Arc<Shared>, client: &mut Client, answers: Answers) -> (u64, u16) {
    for seconds in 0..600 {
        if let Some(code) = client.close_code() {
            return (seconds, code);
        }
        client.answer(answers);
        pass(hub, SECOND).await;
    }
    panic!("it is still open");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_heartbeats_unanswered_is_given_up() {
    let hub = hub().await;
    let mut client = Client::named(&hub, "Ana").await;
    let end = closed_after(&hub, &mut client, Answers::Pings).await;
    assert_eq!(end, (50, 4201));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drives_needs_no_heartbeat_and_is_given_up_when_it_stops() {
    let hub = hub().await;
    let mut client = Client::named(&hub, "Ana").await;
    client.answer(Answers::Pings);
    for _ in 0..40 {
        client.peer.push([wire::text(PING)]);
        for _ in 0..15 {
            pass(&hub, SECOND).await;
            let events = client.answer(Answers::Pings);
            assert!(events.iter().all(|event| event["ev"] != "hb"), "{events:?}");
        }
    }
    let end = closed_after(&hub, &mut client, Answers::Pings).await;
    assert_eq!(end, (35, 4201));
}

#[tokio::test(start_paused = true)]
async fn s01_a_client_that_vanishes_is_found_is_away_and_has_left() {
    let hub = hub().await;
    let mut bo = Client::named(&hub, "Bo").await;
    let ana = Client::named(&hub, "Ana").await;
    pass(&hub, SECOND).await;
    bo.news();
    let vanished = Instant::now();
    let mut told = Vec::new();
    while told.len() < 2 {
        pass(&hub, SECOND).await;
        let events = bo.answer(Answers::All);
        let presence = events.iter().filter(|event| event["ev"] == "pres");
        told.extend(presence.map(|event| (vanished.elapsed().as_secs(), event.clone())));
        assert!(vanished.elapsed() < 100 * SECOND);
    }
    let found = ana.close_code();
    assert_eq!(found, Some(1011), "no pong comes, and that is seen first");
    let [(away_at, away), (left_at, left)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(away["away"], left["out"]);
    assert_eq!((&away["count"], &left["count"]), (&json!(2), &json!(1)));
    assert_eq!((&away["out"], &left["away"]), (&json!([]), &Value::Null));
    assert!(*away_at <= 50 + 3 && left_at - away_at == 12, "{told:?}");
    assert_eq!(bo.close_code(), None);
}

#[tokio::test(start_paused = true)]
async fn s05_who_replaces_its_connection_was_never_gone() {
    let hub = hub().await;
    let mut bo = Client::named(&hub, "Bo").await;
    let old = Client::named(&hub, "Ana").await;
    pass(&hub, SECOND).await;
    bo.news();
    let welcome = json(&old.peer.frames()[0]);
    let mut again = hello("Ana");
    again["session"] = welcome["ok"]["session"].clone();
    let new = Client::connect(&hub, &again).await;
    for _ in 0..20 {
        pass(&hub, SECOND).await;
    }
    assert_eq!((old.close_code(), new.close_code()), (Some(4006), None));
    assert!(bo.presence().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_is_back_soon_was_never_gone_and_who_is_back_later_was_away() {
    let hub = hub().await;
    let mut bo = Client::named(&hub, "Bo").await;
    let mut ana = Client::named(&hub, "Ana").await;
    pass(&hub, SECOND).await;
    let id = json(&ana.peer.frames()[0])["ok"]["user"]["id"].clone();
    bo.news();
    for (gone, told) in [
        (2, vec![]),
        (10, vec!["away", "in"]),
        (20, vec!["away", "out", "in"]),
    ] {
        ana.peer.script.push_end();
        for _ in 0..gone {
            pass(&hub, SECOND).await;
        }
        ana = Client::named(&hub, "Ana").await;
        pass(&hub, SECOND).await;
        let mut said = Vec::new();
        for event in bo.presence() {
            for (key, ids) in ["in", "out", "away"].iter().zip(event) {
                if ids != json!([]) {
                    assert_eq!(ids, json!([id]));
                    said.push(*key);
                }
            }
        }
        assert_eq!(said, told, "{gone} seconds");
    }
    // Who says goodbye has left at once.
    ana.peer.push([wire::close(1001, "")]);
    ana.peer.script.push_end();
    settle().await;
    hub.rooms.tell_news();
    settle().await;
    assert_eq!(bo.presence(), [[json!([]), json!([id]), json!([])]]);
}

#[tokio::test(start_paused = true)]
async fn s03_s17_a_quiet_hour_ends_no_connection_and_no_proxy_sees_a_silent_minute() {
    const HOUR: u32 = 3_600;
    let hub = hub().await;
    let mut client = Client::named(&hub, "Ana").await;
    let (mut beats, mut silent_since) = (0, Instant::now());
    for _ in 0..HOUR {
        // Nothing is done by a timer: a tab in the background would be late.
        let before = client.seen;
        beats += client.answer(Answers::All).len();
        if client.seen > before {
            silent_since = Instant::now();
        }
        assert!(silent_since.elapsed() <= 20 * SECOND);
        pass(&hub, SECOND).await;
    }
    assert_eq!(client.close_code(), None);
    assert!((170..=180).contains(&beats), "{beats}");
    client.peer.push([wire::text(PING)]);
    settle().await;
    assert_eq!(json(&client.news()[0])["re"], 1);
}

#[tokio::test(start_paused = true)]
async fn s04_a_client_that_takes_little_is_kept_and_one_that_takes_nothing_is_told() {
    let hub = hub().await;
    let client = Client::named(&hub, "Ana").await;
    let script = &client.peer.script;
    script.fault_writes_at(script.written().len(), Fault::Stall);
    // More than 70 seconds' worth of replies.
    client.peer.push((0..64).map(|_| wire::text(PING)));
    pass(&hub, SECOND).await;
    for _ in 0..70 {
        script.fault_writes_at(script.written().len() + 10, Fault::Stall);
        // What is a sign of life to the browser is none of the page.
        client.peer.push([wire::pong("")]);
        pass(&hub, SECOND).await;
        assert!(!script.is_dropped());
    }
    // Now it takes nothing more.
    for _ in 0..11 {
        client.peer.push([wire::pong("")]);
        pass(&hub, SECOND).await;
    }
    assert!(!script.is_dropped());
    script.heal();
    settle().await;
    assert_eq!(client.close_code(), Some(4202));
    // What it was owed comes first; the last commands were not taken.
    assert!(client.peer.frames().len() > 60);
}

#[tokio::test(start_paused = true)]
async fn s16_a_client_that_never_reads_is_cut_off() {
    let hub = hub().await;
    let client = Client::named(&hub, "Ana").await;
    let script = &client.peer.script;
    script.fault_writes_at(script.written().len(), Fault::Stall);
    client.peer.push([wire::text(PING)]);
    let begun = Instant::now();
    while !script.is_dropped() {
        pass(&hub, SECOND).await;
        assert!(begun.elapsed() < 30 * SECOND);
    }
    // The write timeout and the time that a Close has.
    let took = begun.elapsed().as_secs();
    assert!((14..=16).contains(&took), "{took}");
    assert_eq!(client.peer.frames().len(), 2);
}
