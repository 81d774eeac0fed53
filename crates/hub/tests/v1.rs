//! `fdx.v1.json`, from the outside.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use fullduplex_hub::{Config, Limits, Timeouts};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use support::{Running, behind_a_proxy, closed, cursor_of, within};

fn code(code: u16) -> fullduplex::CloseCode {
    fullduplex::CloseCode::new(code)
}

#[tokio::test]
async fn a_message_reaches_everybody_in_the_room_with_the_same_bytes() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    let mut bo = hub.member("Bo", "general").await;
    let sent = ana.say("general", "c1", "hi <b> \u{1F44B}").await;
    assert_eq!(sent["dup"], false);
    let msg = bo.msg().await;
    assert_eq!(msg, ana.msg().await);
    assert_eq!(msg["body"], "hi <b> \u{1F44B}");
    assert_eq!(msg["from"]["name"], "Ana");
    assert_eq!(
        (&msg["seq"], &msg["id"], &msg["ts"]),
        (&sent["seq"], &sent["id"], &sent["ts"])
    );
    assert_eq!((&msg["prev"], &msg["cid"]), (&json!(0), &json!("c1")));
    let next = bo.say("general", "c1", "hi").await;
    let msg = ana.msg().await;
    assert_eq!((&msg["seq"], &msg["prev"]), (&next["seq"], &sent["seq"]));
}

#[tokio::test]
async fn hello_says_who_one_is_and_what_is_allowed() {
    let hub = Running::start(Config::default()).await;
    let mut client = hub.v1_at("/ws?hb=20").await;
    let guest = "k8JmVQ2sR0u3pXyWz1aB";
    let welcome = client
        .ok(json!({"op": "hello", "guest": guest, "email": "Ana@Example.com "}))
        .await;
    assert_eq!(welcome["user"]["name"], Value::Null);
    assert_eq!(welcome["hb"], 20_000);
    assert_eq!(
        welcome["limits"],
        json!({"frame": 65_536, "body": 16_384, "rooms": 100, "backlog": 200})
    );
    let named = client.hello("Ana").await;
    assert_eq!(named["user"]["id"], welcome["user"]["id"]);
    assert_eq!(named["user"]["name"], "Ana");

    let mut same = hub.v1().await;
    let again = same
        .ok(json!({"op": "hello", "guest": guest, "email": "ana@example.com"}))
        .await;
    assert_eq!(again["user"]["id"], welcome["user"]["id"]);
    assert_eq!(again["user"]["avatar"], welcome["user"]["avatar"]);
    assert_eq!(again["hb"], 0);
    let mut other = hub.v1().await;
    assert_ne!(
        other.hello("Ana").await["user"]["id"],
        welcome["user"]["id"]
    );
    let everything = format!("{welcome}{named}{again}");
    assert!(!everything.contains(guest) && !everything.to_lowercase().contains("ana@"));
}

#[tokio::test]
async fn anything_before_hello_and_a_bad_hello_end_the_connection() {
    let hub = Running::start(Config::default()).await;
    for first in [
        r#"{"op":"ping","id":1}"#,
        r#"{"op":"hello","name":""}"#,
        r#"{"op":"hello","guest":7}"#,
        "hello",
        "[]",
    ] {
        let mut client = hub.v1().await;
        within(client.ws.send(first)).await.unwrap();
        assert_eq!(client.closed().await.0, code(4000), "{first}");
    }
}

#[tokio::test]
async fn a_client_that_never_says_hello_is_closed() {
    let timeouts = Timeouts {
        hello: Duration::from_millis(50),
        ..Timeouts::default()
    };
    let hub = Running::start(Config {
        timeouts,
        ..Config::default()
    })
    .await;
    let mut client = hub.v1().await;
    assert_eq!(client.closed().await, (code(4000), "no hello".into()));
}

#[tokio::test]
async fn what_can_not_be_done_is_answered_and_the_connection_goes_on() {
    let limits = Limits {
        rooms_per_connection: 2,
        rooms: 2,
        ..Limits::default()
    };
    let timeouts = Timeouts {
        empty_room_grace: Duration::ZERO,
        ..Timeouts::default()
    };
    let hub = Running::start(Config {
        limits,
        timeouts,
        ..Config::default()
    })
    .await;
    let mut client = hub.v1().await;
    client.ok(json!({"op": "hello"})).await;
    client.ok(json!({"op": "join", "room": "a"})).await;
    let send = |body: &str| json!({"op": "send", "room": "a", "cid": "1", "body": body});
    assert_eq!(client.err(send("x")).await, "forbidden");
    client.hello("Ana").await;
    assert_eq!(
        client.err(json!({"op": "hello", "name": "a\u{7}"})).await,
        "bad_request"
    );
    assert_eq!(client.err(send(" ")).await, "bad_request");
    assert_eq!(client.err(send(&"x".repeat(16_385))).await, "too_large");
    client.ok(send(&"x".repeat(16_384))).await;
    assert_eq!(client.err(send("y")).await, "conflict");
    let elsewhere = json!({"op": "send", "room": "b", "cid": "1", "body": "x"});
    assert_eq!(client.err(elsewhere).await, "not_joined");
    client.ok(json!({"op": "join", "room": "b"})).await;
    assert_eq!(
        client.err(json!({"op": "join", "room": "c"})).await,
        "rate_limited"
    );
    assert_eq!(
        client.err(json!({"op": "join", "room": "a/b"})).await,
        "bad_request"
    );
    assert_eq!(client.err(json!({"op": "dance"})).await, "unsupported");
    let mut other = hub.v1().await;
    other.hello("Bo").await;
    assert_eq!(
        other.err(json!({"op": "join", "room": "c"})).await,
        "unavailable"
    );
    // An empty room makes place.
    client.ok(json!({"op": "leave", "room": "b"})).await;
    other.ok(json!({"op": "join", "room": "c"})).await;
    // Without an id, failures are events.
    client.send(&json!({"op": "dance"})).await;
    assert_eq!(client.event("error").await["code"], "unsupported");
    within(client.ws.send("not json")).await.unwrap();
    let error = client.event("error").await;
    assert_eq!(error["msg"], "a frame must be one JSON object");
    assert!(
        client.ok(json!({"op": "ping"})).await["now"]
            .as_u64()
            .unwrap()
            > 1_700_000_000_000
    );
}

#[tokio::test]
async fn one_address_has_its_share_of_rooms_and_the_default_room_is_always_there() {
    let limits = Limits {
        rooms: 3,
        rooms_per_address: 2,
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        ..behind_a_proxy()
    })
    .await;
    let mut client = hub.v1().await;
    client.ok(json!({"op": "hello"})).await;
    for room in ["a", "b", "general"] {
        client.ok(json!({"op": "join", "room": room})).await;
    }
    let too_many = json!({"op": "join", "room": "c"});
    assert_eq!(client.err(too_many.clone()).await, "rate_limited");
    // A room that was left a moment ago is still there, and counts.
    client.ok(json!({"op": "leave", "room": "a"})).await;
    assert_eq!(client.err(too_many).await, "rate_limited");
    let refused = hub.get("/ws?room=d", support::UPGRADE).await;
    assert_eq!(refused.status, 429);
}

#[tokio::test]
async fn a_room_that_was_forgotten_comes_back_from_the_log_and_knows_repetitions() {
    let limits = Limits {
        rooms: 1,
        ..Limits::default()
    };
    let timeouts = Timeouts {
        empty_room_grace: Duration::ZERO,
        ..Timeouts::default()
    };
    let hub = Running::start(Config {
        limits,
        timeouts,
        ..Config::default()
    })
    .await;
    let mut ana = hub.member("Ana", "short-lived").await;
    let first = ana.say("short-lived", "c1", "hi").await;
    // There is place for one.
    for (left, joined) in [("short-lived", "another"), ("another", "short-lived")] {
        ana.ok(json!({"op": "leave", "room": left})).await;
        let reply = ana.ok(json!({"op": "join", "room": joined})).await;
        let head = if joined == "another" {
            &json!(0)
        } else {
            &first["seq"]
        };
        assert_eq!(&reply["head"], head);
    }
    for _ in 0..2 {
        assert_eq!(ana.msg().await["body"], "hi");
    }
    let again = ana.say("short-lived", "c1", "hi").await;
    assert_eq!(
        (&again["seq"], &again["dup"]),
        (&first["seq"], &json!(true))
    );
}

/// Few events fit into the ring, and many into the log.
async fn with_a_short_ring() -> Running {
    let limits = Limits {
        ring_bytes: 16 << 10,
        ring_events: 2_000,
        ..Limits::default()
    };
    Running::start(Config {
        limits,
        ..Config::default()
    })
    .await
}

#[tokio::test]
async fn who_comes_back_gets_all_it_missed_and_nothing_twice_from_ring_or_log() {
    let hub = with_a_short_ring().await;
    let mut ana = hub.member("Ana", "general").await;
    let joined = ana.ok(json!({"op": "join", "room": "general"})).await;
    assert_eq!((&joined["head"], &joined["floor"]), (&json!(0), &json!(1)));
    let mut cursors = vec![joined["cursor"].as_str().unwrap().to_owned()];
    for n in 0..100 {
        ana.say("general", &n.to_string(), &n.to_string()).await;
        cursors.push(cursor_of(&joined["epoch"], &ana.msg().await));
    }
    for (at, cursor) in cursors.iter().enumerate().step_by(7) {
        let mut bo = hub.v1().await;
        bo.hello("Bo").await;
        let join = json!({"op": "join", "room": "general", "since": cursor});
        let reply = bo.ok(join).await;
        assert_eq!(
            (&reply["resume"], &reply["reason"]),
            (&json!("ok"), &Value::Null)
        );
        assert_eq!(reply["cursor"], *cursors.last().unwrap());
        for n in at..100 {
            let msg = bo.msg().await;
            assert_eq!(msg["body"], n.to_string());
            assert_eq!(cursor_of(&joined["epoch"], &msg), cursors[n + 1]);
            let prev = cursors[n].split('.').nth(1).unwrap();
            assert_eq!(msg["prev"].to_string(), prev);
        }
    }
}

#[tokio::test]
async fn s09_a_cursor_that_can_not_be_gone_on_from_is_told_why() {
    let hub = with_a_short_ring().await;
    let mut ana = hub.member("Ana", "general").await;
    let joined = ana.ok(json!({"op": "join", "room": "general"})).await;
    let start = joined["cursor"].as_str().unwrap();
    for n in 0..1_001 {
        ana.say("general", &n.to_string(), "hi").await;
    }
    let epoch = joined["epoch"].as_str().unwrap();
    let first = cursor_of(&joined["epoch"], &ana.msg().await);
    for (since, reason) in [
        (start.to_owned(), Some("too_far")),
        (first.clone(), None),
        (first.replace(epoch, "zz"), Some("epoch")),
        (format!("{epoch}.1.ZZZZZZ"), Some("mismatch")),
        (format!("{epoch}.1001.ZZZZZZ"), Some("mismatch")),
        (format!("{epoch}.1002.ZZZZZZ"), Some("ahead")),
        ("gibberish".to_owned(), Some("mismatch")),
        (String::new(), Some("mismatch")),
    ] {
        let mut bo = hub.v1().await;
        bo.hello("Bo").await;
        let join = json!({"op": "join", "room": "general", "since": since, "backlog": 3});
        let reply = bo.ok(join).await;
        assert_eq!(reply["reason"].as_str(), reason, "{since}");
        let resume = if reason.is_some() { "reset" } else { "ok" };
        assert_eq!(reply["resume"], resume);
        let expected = if reason.is_some() { 999 } else { 2 };
        assert_eq!(bo.msg().await["seq"], expected, "{since}");
    }
}

#[tokio::test]
async fn a_cursor_older_than_the_log_is_told_so() {
    let limits = Limits {
        ring_events: 10,
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        ..Config::default()
    })
    .await;
    let mut ana = hub.member("Ana", "general").await;
    let joined = ana.ok(json!({"op": "join", "room": "general"})).await;
    let mut cursors = Vec::new();
    for n in 0..30 {
        ana.say("general", &n.to_string(), "hi").await;
        cursors.push(cursor_of(&joined["epoch"], &ana.msg().await));
    }
    for (since, resume, floor) in [(&cursors[18], "reset", 21), (&cursors[19], "ok", 21)] {
        let mut bo = hub.v1().await;
        bo.hello("Bo").await;
        let reply = bo
            .ok(json!({"op": "join", "room": "general", "since": since}))
            .await;
        assert_eq!(
            (&reply["resume"], &reply["floor"]),
            (&json!(resume), &json!(floor))
        );
        assert_eq!(bo.msg().await["seq"], 21);
    }
}

#[tokio::test]
async fn binary_and_too_long_messages_end_the_connection() {
    let hub = Running::start(Config::default()).await;
    for resource in ["/ws", "/ws?mode=text"] {
        let mut ws = hub.connect(resource).await;
        within(ws.send(vec![1_u8, 2])).await.unwrap();
        assert_eq!(closed(&mut ws).await.0, code(1003), "{resource}");
    }
    let mut client = hub.member("Ana", "general").await;
    within(client.ws.send(vec![0_u8])).await.unwrap();
    assert_eq!(client.closed().await.0, code(1003));
    let mut client = hub.member("Ana", "general").await;
    within(client.ws.send("x".repeat(65_537))).await.unwrap();
    assert_eq!(client.closed().await.0, code(1009));
}

#[tokio::test]
async fn a_join_gets_the_newest_messages_and_then_what_is_new() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    // Another room's messages leave holes in this one's positions.
    ana.ok(json!({"op": "join", "room": "other"})).await;
    let mut seqs = Vec::new();
    for n in 0..10 {
        ana.say("other", &n.to_string(), "x").await;
        seqs.push(ana.say("general", &n.to_string(), &n.to_string()).await["seq"].clone());
    }
    let mut bo = hub.v1().await;
    bo.hello("Bo").await;
    let joined = bo
        .ok(json!({"op": "join", "room": "general", "backlog": 3}))
        .await;
    assert_eq!(joined["head"], seqs[9]);
    assert!(joined["floor"].as_u64() <= seqs[0].as_u64(), "all are kept");
    let cursor = format!("{}.{}.", joined["epoch"].as_str().unwrap(), seqs[9]);
    assert!(joined["cursor"].as_str().unwrap().starts_with(&cursor));
    ana.say("general", "new", "new").await;
    for expected in ["7", "8", "9", "new"] {
        assert_eq!(bo.msg().await["body"], expected);
    }
    // Joining again repeats nothing.
    let again = bo.ok(json!({"op": "join", "room": "general"})).await;
    assert!(again["head"].as_u64() > joined["head"].as_u64());
    ana.say("general", "newer", "newer").await;
    assert_eq!(bo.msg().await["body"], "newer");
    // Nor does one get anything after leaving.
    bo.ok(json!({"op": "leave", "room": "general"})).await;
    ana.say("general", "newest", "newest").await;
    bo.ok(json!({"op": "join", "room": "general", "backlog": 0}))
        .await;
    ana.say("general", "last", "last").await;
    assert_eq!(bo.msg().await["body"], "last");
}

#[tokio::test]
async fn a_repeated_message_is_stored_once_also_over_another_connection() {
    let hub = Running::start(Config::default()).await;
    let mut client = hub.v1().await;
    let hello = json!({"op": "hello", "name": "Ana", "guest": "0123456789abcdef"});
    client.ok(hello.clone()).await;
    client.ok(json!({"op": "join", "room": "general"})).await;
    let first = client.say("general", "c1", "hi").await;
    let mut again = hub.v1().await;
    again.ok(hello).await;
    again.ok(json!({"op": "join", "room": "general"})).await;
    let second = again.say("general", "c1", "hi").await;
    assert_eq!(
        (&second["seq"], &second["id"]),
        (&first["seq"], &first["id"])
    );
    assert_eq!(second["dup"], true);
    again.say("general", "c2", "ho").await;
    assert_eq!(
        (
            client.msg().await["body"].clone(),
            client.msg().await["body"].clone()
        ),
        (json!("hi"), json!("ho"))
    );
}

#[tokio::test]
async fn presence_tells_who_came_who_left_and_new_names() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    let mut seen = Presence::default();
    seen.until(&mut ana, &["Ana"]).await;
    let mut bo = hub.v1().await;
    bo.ok(json!({"op": "hello", "name": "Bo", "guest": "0123456789abcdef"}))
        .await;
    let joined = bo.ok(json!({"op": "join", "room": "general"})).await;
    assert_eq!(joined["count"], 2);
    let names: Vec<_> = joined["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["name"])
        .collect();
    assert_eq!(names, ["Ana", "Bo"]);
    seen.until(&mut ana, &["Ana", "Bo"]).await;
    // Who has no name is neither listed nor counted.
    let mut nobody = hub.v1().await;
    nobody.ok(json!({"op": "hello"})).await;
    assert_eq!(
        nobody.ok(json!({"op": "join", "room": "general"})).await["count"],
        2
    );
    // A second connection of the same user is the same user.
    let mut bo2 = hub.v1().await;
    bo2.ok(json!({"op": "hello", "name": "Bobby", "guest": "0123456789abcdef"}))
        .await;
    bo2.ok(json!({"op": "join", "room": "general"})).await;
    seen.until(&mut ana, &["Ana", "Bobby"]).await;
    support::bye(&mut bo2.ws).await;
    bo.hello("Bob").await;
    seen.until(&mut ana, &["Ana", "Bob"]).await;
    support::bye(&mut bo.ws).await;
    seen.until(&mut ana, &["Ana"]).await;
}

/// What a client's member list shows, made from events alone.
#[derive(Default)]
struct Presence(std::collections::BTreeMap<String, String>);

impl Presence {
    async fn until(&mut self, client: &mut support::V1, names: &[&str]) {
        let expected: BTreeSet<_> = names.iter().map(ToString::to_string).collect();
        while self.0.values().cloned().collect::<BTreeSet<_>>() != expected {
            let event = client.event("pres").await;
            for user in event["in"].as_array().unwrap() {
                let id = user["id"].as_str().unwrap().to_owned();
                self.0.insert(id, user["name"].as_str().unwrap().to_owned());
            }
            for id in event["out"].as_array().unwrap() {
                self.0.remove(id.as_str().unwrap());
            }
            assert_eq!(event["count"], self.0.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_concurrent_senders_are_seen_by_all_in_one_order() {
    const SENDERS: usize = 50;
    const EACH: usize = 20;
    let hub = Running::start(Config::default()).await;
    let mut tasks = tokio::task::JoinSet::new();
    let ready = std::sync::Arc::new(tokio::sync::Barrier::new(SENDERS));
    for sender in 0..SENDERS {
        let mut client = hub.member(&format!("n{sender}"), "general").await;
        let ready = std::sync::Arc::clone(&ready);
        tasks.spawn(async move {
            ready.wait().await;
            for n in 0..EACH {
                let body = format!("{sender}/{n}");
                client
                    .send(&json!({"op": "send", "room": "general", "cid": n.to_string(), "body": body}))
                    .await;
            }
            let mut order = Vec::new();
            let mut prev = json!(0);
            while order.len() < SENDERS * EACH {
                let msg = client.msg().await;
                assert_eq!(msg["prev"], prev, "no gap");
                prev = msg["seq"].clone();
                order.push(msg["body"].as_str().unwrap().to_owned());
            }
            order
        });
    }
    let orders = within(tasks.join_all()).await;
    assert!(orders.iter().all(|order| *order == orders[0]));
    let own: Vec<_> = orders[0]
        .iter()
        .filter(|body| body.starts_with("7/"))
        .collect();
    assert_eq!(
        own,
        (0..EACH)
            .map(|n| format!("7/{n}"))
            .collect::<Vec<_>>()
            .iter()
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_quiet_client_that_asked_for_it_gets_visible_heartbeats() {
    let hub = Running::start(Config::default()).await;
    let mut client = hub.v1_at("/ws?hb=5").await;
    client.hello("Ana").await;
    assert_eq!(client.event("hb").await, json!({"ev": "hb"}));
    client.send(&json!({"op": "hb"})).await;
    client.ok(json!({"op": "ping"})).await;
}

#[tokio::test]
async fn a_hub_that_stops_tells_everybody_and_ends() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    let mut plain = hub.connect("/ws").await;
    let mut echo = hub.connect("/echo").await;
    let addr = hub.addr;
    let stopped = hub.begin_stop();
    let bye = json!({"ev": "bye", "reason": "restart", "reconnect_ms": 0, "jitter_ms": 500});
    assert_eq!(ana.event("bye").await, bye);
    assert_eq!(ana.closed().await.0, code(1012));
    assert_eq!(closed(&mut plain).await.0, code(1001));
    assert_eq!(closed(&mut echo).await.0, code(1001));
    within(stopped).await.unwrap();
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_client_that_ignores_the_end_is_cut_off() {
    let timeouts = Timeouts {
        shutdown: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let hub = Running::start(Config {
        timeouts,
        ..Config::default()
    })
    .await;
    let _deaf = hub.member("Ana", "general").await;
    within(hub.begin_stop()).await.unwrap();
}
