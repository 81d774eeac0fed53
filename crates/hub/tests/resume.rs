//! Coming back: by `hello` into several rooms at once, by `join` into one, also after a restart.

#![cfg(feature = "sqlite")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::collections::BTreeMap;

use fullduplex_hub::{Config, Limits};
use serde_json::{Value, json};
use support::{Running, V1, cursor_of, within};

const GUEST: &str = "0123456789abcdef";

/// Says hello as Ana, and wants to go on in these rooms.
async fn come_back(hub: &Running, cursors: &BTreeMap<&str, String>) -> (V1, Value) {
    let mut client = hub.v1().await;
    let hello = json!({"op": "hello", "name": "Ana", "guest": GUEST, "resume": cursors});
    let reply = client.ok(hello).await;
    (client, reply["rooms"].clone())
}

#[tokio::test]
async fn hello_brings_a_client_back_into_all_its_rooms_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut hub = Running::durable(Config::default(), folder.path()).await;
    let rooms = ["a", "b", "c"];
    let (mut ana, none) = come_back(&hub, &BTreeMap::new()).await;
    assert_eq!(none, json!({}));
    let mut bo = hub.v1().await;
    bo.hello("Bo").await;
    let (mut cursors, mut last) = (BTreeMap::new(), BTreeMap::new());
    for room in rooms {
        let joined = ana.ok(json!({"op": "join", "room": room})).await;
        bo.ok(json!({"op": "join", "room": room})).await;
        let said = bo.say(room, "1", "heard").await;
        ana.ok(json!({"op": "read", "room": room, "seq": said["seq"]}))
            .await;
        cursors.insert(room, cursor_of(&joined["epoch"], &ana.msg().await));
    }
    drop(ana);
    for n in 0..3 {
        for room in rooms {
            let said = bo
                .say(room, &format!("missed {n}"), &format!("{room}{n}"))
                .await;
            last.insert(room, said["seq"].clone());
        }
    }
    for is_restarted in [false, true] {
        if is_restarted {
            within(hub.begin_stop()).await.unwrap();
            hub = Running::durable(Config::default(), folder.path()).await;
        }
        let (mut ana, back) = come_back(&hub, &cursors).await;
        for room in rooms {
            let reply = &back[room];
            assert_eq!(
                (&reply["resume"], &reply["head"]),
                (&json!("ok"), &last[room])
            );
            assert_eq!(
                (&reply["unread"], &reply["room"]),
                (&json!(3), &json!(room))
            );
            assert_eq!(reply["count"], if is_restarted { 1 } else { 2 });
        }
        let mut missed: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for _ in 0..9 {
            let msg = ana.msg().await;
            let room = msg["room"].as_str().unwrap().to_owned();
            missed.entry(room).or_default().push(msg);
        }
        for room in rooms {
            let missed = &missed[room];
            let prev: u64 = cursors[room].split('.').nth(1).unwrap().parse().unwrap();
            assert_eq!(
                missed[0]["prev"], prev,
                "what follows the cursor comes first"
            );
            let bodies: Vec<_> = missed.iter().map(|msg| msg["body"].clone()).collect();
            assert_eq!(bodies, ["0", "1", "2"].map(|n| json!(format!("{room}{n}"))));
        }
        // To be there already is to be told how things are.
        let again = ana.ok(json!({"op": "hello", "resume": cursors})).await;
        assert_eq!(
            (&again["rooms"]["a"]["resume"], &again["rooms"]["a"]["head"]),
            (&Value::Null, &last["a"])
        );
        ana.ok(json!({"op": "ping"})).await;
        assert!(
            ana.take_events().iter().all(|event| event["ev"] == "pres"),
            "nothing came twice"
        );
    }
}

#[tokio::test]
async fn what_rooms_have_follows_the_reply_to_hello_however_much_is_said_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Running::durable(Config::default(), folder.path()).await;
    let names: Vec<_> = (0..20).map(|n| format!("room {n}")).collect();
    let mut cursors = BTreeMap::new();
    let mut bo = hub.v1().await;
    bo.hello("Bo").await;
    for name in &names {
        let joined = bo.ok(json!({"op": "join", "room": name})).await;
        cursors.insert(&**name, joined["cursor"].as_str().unwrap().to_owned());
    }
    let says = names.clone();
    let writer = tokio::spawn(async move {
        for n in 0..50 {
            for room in &says {
                bo.send(&json!({"op": "send", "room": room, "cid": n.to_string(), "body": n.to_string()})).await;
            }
            bo.ok(json!({"op": "ping"})).await;
        }
        bo
    });
    for _ in 0..20 {
        let mut ana = hub.v1().await;
        ana.send(&json!({"op": "hello", "id": 0, "guest": GUEST, "resume": cursors}))
            .await;
        let first = ana.any_event().await;
        assert_eq!(first["re"], 0, "before anything of a room");
        let mut prevs: BTreeMap<_, _> = names.iter().map(|name| (name.clone(), json!(0))).collect();
        while prevs.values().any(|prev| prev.as_u64() < Some(10)) {
            let msg = ana.msg().await;
            let prev = prevs.get_mut(msg["room"].as_str().unwrap()).unwrap();
            assert_eq!(msg["prev"], *prev, "{msg}");
            *prev = msg["seq"].clone();
        }
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn each_room_of_a_hello_has_its_own_outcome() {
    let limits = Limits {
        rooms_per_connection: 5,
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        ..Config::default()
    })
    .await;
    let mut ana = hub.member("Ana", "b").await;
    let joined = ana.ok(json!({"op": "join", "room": "b"})).await;
    let start = joined["cursor"].as_str().unwrap();
    for n in 0..60 {
        ana.say("b", &n.to_string(), &n.to_string()).await;
    }
    let cursors = [
        ("a", "gibberish"),
        ("b", start),
        ("c", "zz.1.000000"),
        ("d/e", start),
        ("e", start),
    ];
    let cursors = cursors
        .into_iter()
        .map(|(room, cursor)| (room, cursor.to_owned()))
        .collect();
    let (mut bo, back) = come_back(&hub, &cursors).await;
    let outcome = |room: &str| {
        let reply = &back[room];
        let said = [&reply["resume"], &reply["reason"], &reply["err"]["code"]];
        let said: Vec<_> = said.into_iter().filter_map(Value::as_str).collect();
        said.join(" ")
    };
    let outcomes = ["a", "b", "c", "d/e", "e"].map(outcome);
    let expected = ["reset mismatch", "ok", "reset epoch", "bad_request", "ok"];
    assert_eq!(outcomes, expected);
    for n in 0..60 {
        assert_eq!(bo.msg().await["body"], n.to_string());
    }
    bo.ok(json!({"op": "join", "room": "f"})).await;
    assert_eq!(
        bo.err(json!({"op": "join", "room": "g"})).await,
        "rate_limited"
    );
}

#[tokio::test]
async fn s02_who_was_away_too_long_gets_the_newest_page_and_nothing_twice() {
    for (missed, reason, first) in [(1_000, None, 2), (1_001, Some("too_far"), 953)] {
        let hub = Running::start(Config::default()).await;
        let mut ana = hub.member("Ana", "general").await;
        let joined = ana.ok(json!({"op": "join", "room": "general"})).await;
        ana.say("general", "first", "first").await;
        let cursors = BTreeMap::from([("general", cursor_of(&joined["epoch"], &ana.msg().await))]);
        for n in 0..missed {
            ana.say("general", &n.to_string(), "x").await;
        }
        let (mut back, rooms) = come_back(&hub, &cursors).await;
        let reply = &rooms["general"];
        assert_eq!(reply["reason"].as_str(), reason);
        let head = missed + 1;
        assert_eq!(reply["head"], head);
        for seq in first..=head {
            let msg = back.msg().await;
            assert_eq!((&msg["seq"], &msg["prev"]), (&json!(seq), &json!(seq - 1)));
        }
        // What is before that is in history, and nothing that came already.
        let page = json!({"op": "history", "room": "general", "before": first, "limit": 200});
        let page = back.ok(page).await;
        assert_eq!(
            page["events"].as_array().unwrap().last().unwrap()["seq"],
            first - 1
        );
        ana.say("general", "live", "live").await;
        assert_eq!(back.msg().await["seq"], head + 1);
    }
}

#[tokio::test]
async fn who_resumes_more_rooms_than_may_be_joined_is_refused_before_any_is_made() {
    let hub = Running::start(Config {
        limits: Limits {
            rooms_per_connection: 3,
            ..Limits::default()
        },
        ..Config::default()
    })
    .await;
    let mut ana = hub.v1().await;
    let resume = |count: usize| -> Value {
        let rooms = (0..count).map(|n| (n.to_string(), json!("x.0.000000")));
        json!({"op": "hello", "name": "Ana", "resume": rooms.collect::<serde_json::Map<_, _>>()})
    };
    assert_eq!(ana.err(resume(4)).await, "bad_request");
    let welcome = ana.ok(resume(3)).await;
    assert_eq!(welcome["rooms"].as_object().unwrap().len(), 3);
}
