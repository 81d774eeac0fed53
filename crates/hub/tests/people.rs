//! Who is in a room, and who types there, from the outside.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::collections::BTreeSet;

use fullduplex_hub::{Config, Limits};
use serde_json::{Value, json};
use support::{Running, V1};

async fn in_room(hub: &Running, name: &str, presence: &str) -> V1 {
    let mut client = hub.v1().await;
    client.hello(name).await;
    let join = json!({"op": "join", "room": "general", "presence": presence});
    client.ok(join).await;
    client
}

/// All events up to the end of the room's next message, without that.
async fn events_before_msg(client: &mut V1) -> Vec<Value> {
    let mut events = Vec::new();
    loop {
        let event = client.frame().await;
        if event["ev"] == "msg" {
            return events;
        }
        events.push(event);
    }
}

#[tokio::test]
async fn who_wants_counts_gets_counts_and_who_wants_nothing_gets_nothing() {
    let hub = Running::start(Config::default()).await;
    let mut counts = in_room(&hub, "Ana", "count").await;
    let mut nothing = in_room(&hub, "Bo", "none").await;
    let mut lists = in_room(&hub, "Cleo", "list").await;
    // What comes before is about these three.
    while counts.event("pres").await["count"] != 3 {}
    while lists.event("pres").await["count"] != 3 {}
    let mut dan = hub.member("Dan", "general").await;
    let event = counts.event("pres").await;
    assert_eq!(
        event,
        json!({"ev": "pres", "room": "general", "in": [], "out": [], "count": 4})
    );
    let event = lists.event("pres").await;
    assert_eq!(
        (&event["in"][0]["name"], &event["count"]),
        (&json!("Dan"), &json!(4))
    );
    // A new name changes no count.
    dan.hello("Daniel").await;
    assert_eq!(lists.event("pres").await["in"][0]["name"], "Daniel");
    dan.send(&json!({"op": "typing", "room": "general", "on": true}))
        .await;
    assert_eq!(lists.event("typing").await["user"]["name"], "Daniel");
    dan.say("general", "c1", "hi").await;
    let events = events_before_msg(&mut counts).await;
    assert!(
        events.iter().all(|event| event["ev"] == "typing"),
        "{events:?}"
    );
    assert_eq!(events_before_msg(&mut nothing).await, [] as [Value; 0]);
}

#[tokio::test]
async fn joining_again_chooses_anew_what_one_is_told() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    let join = |presence: Value| json!({"op": "join", "room": "general", "presence": presence});
    for (presence, listed) in [("count", 0), ("none", 0), ("list", 1)] {
        let joined = ana.ok(join(json!(presence))).await;
        assert_eq!(
            joined["members"].as_array().unwrap().len(),
            listed,
            "{presence}"
        );
        assert_eq!(joined["count"], 1);
    }
    for bad in [json!("some"), json!(1), json!(true)] {
        assert_eq!(ana.err(join(bad)).await, "bad_request");
    }
    ana.ok(join(json!("none"))).await;
    let mut bo = hub.member("Bo", "general").await;
    bo.event("pres").await;
    assert_eq!(ana.ok(join(Value::Null)).await["count"], 2);
    let _cleo = hub.member("Cleo", "general").await;
    assert_eq!(ana.event("pres").await["in"][0]["name"], "Cleo");
}

#[tokio::test]
async fn a_roster_is_gone_through_in_pages() {
    let limits = Limits {
        listed_users: 3,
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        ..Config::default()
    })
    .await;
    let mut clients = Vec::new();
    for n in 0..7 {
        clients.push(hub.member(&format!("n{n}"), "general").await);
    }
    let mut reader = hub.v1().await;
    reader.ok(json!({"op": "hello"})).await;
    let members =
        |cursor: &Value| json!({"op": "members", "room": "general", "limit": 3, "cursor": cursor});
    assert_eq!(reader.err(members(&Value::Null)).await, "not_joined");
    let joined = reader.ok(json!({"op": "join", "room": "general"})).await;
    assert_eq!(joined["members"], json!([]));
    let (mut names, mut cursor) = (BTreeSet::new(), Value::Null);
    for size in [3, 3, 1] {
        let page = reader.ok(members(&cursor)).await;
        assert_eq!(page["count"], 7);
        let people = page["members"].as_array().unwrap();
        assert_eq!(people.len(), size);
        names.extend(
            people
                .iter()
                .map(|one| one["name"].as_str().unwrap().to_owned()),
        );
        cursor = page["cursor"].clone();
    }
    assert_eq!((names.len(), cursor), (7, Value::Null));
    let whole = reader.ok(json!({"op": "members", "room": "general"})).await;
    assert_eq!(whole["members"].as_array().unwrap().len(), 7);
    for (limit, cursor) in [(0, ""), (201, ""), (3, &*"x".repeat(257))] {
        let ask = json!({"op": "members", "room": "general", "limit": limit, "cursor": cursor});
        assert_eq!(reader.err(ask).await, "bad_request");
    }
}

#[tokio::test]
async fn who_types_is_told_until_the_message_comes_or_the_user_leaves() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    let mut bo = hub.member("Bo", "general").await;
    let typing = |on: bool| json!({"op": "typing", "room": "general", "on": on});
    let told = async |client: &mut V1| {
        let event = client.event("typing").await;
        assert_eq!(event["user"]["name"], "Ana");
        assert!(event["user"]["avatar"].is_null());
        event["on"].as_bool().unwrap()
    };
    ana.send(&typing(true)).await;
    assert!(told(&mut bo).await);
    ana.send(&typing(false)).await;
    assert!(!told(&mut bo).await);
    ana.send(&typing(true)).await;
    assert!(told(&mut bo).await);
    ana.say("general", "c1", "hi").await;
    assert!(!told(&mut bo).await);
    ana.send(&typing(true)).await;
    assert!(told(&mut bo).await);
    ana.ok(json!({"op": "leave", "room": "general"})).await;
    assert!(!told(&mut bo).await);
    // Not in rooms one is not in, and not without a name.
    ana.send(&typing(true)).await;
    assert_eq!(ana.event("error").await["code"], "not_joined");
    let mut nobody = hub.v1().await;
    nobody.ok(json!({"op": "hello"})).await;
    nobody.ok(json!({"op": "join", "room": "general"})).await;
    assert_eq!(nobody.err(typing(true)).await, "forbidden");
    for bad in [
        json!({"op": "typing", "room": "general"}),
        json!({"op": "typing", "on": true}),
    ] {
        assert_eq!(nobody.err(bad).await, "bad_request");
    }
}

#[tokio::test]
async fn in_a_crowd_nobody_is_told_who_types() {
    let limits = Limits {
        listed_users: 2,
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        ..Config::default()
    })
    .await;
    let mut ana = hub.member("Ana", "general").await;
    let mut bo = hub.member("Bo", "general").await;
    let _reader = in_room(&hub, "Cleo", "none").await;
    ana.send(&json!({"op": "typing", "room": "general", "on": true}))
        .await;
    ana.say("general", "c1", "hi").await;
    let events = events_before_msg(&mut bo).await;
    assert!(
        events.iter().all(|event| event["ev"] == "pres"),
        "{events:?}"
    );
}

#[tokio::test]
async fn s06_two_tabs_of_a_user_are_one_and_leaving_one_tells_nothing() {
    let hub = Running::start(Config::default()).await;
    let mut bo = hub.member("Bo", "general").await;
    let mut tabs = Vec::new();
    for _ in 0..2 {
        let mut tab = hub.v1().await;
        let hello = json!({"op": "hello", "name": "Ana", "guest": "0123456789abcdef"});
        tab.ok(hello).await;
        tab.ok(json!({"op": "join", "room": "general"})).await;
        tabs.push(tab);
    }
    while bo.event("pres").await["count"] != 2 {}
    // One way to leave a tab after the other: neither is told, as what comes next shows.
    tabs[0].ok(json!({"op": "leave", "room": "general"})).await;
    tabs[0].ok(json!({"op": "join", "room": "general"})).await;
    support::bye(&mut tabs[0].ws).await;
    let _cleo = hub.member("Cleo", "general").await;
    let event = bo.event("pres").await;
    assert_eq!(event["in"][0]["name"], "Cleo");
    assert_eq!((&event["out"], &event["count"]), (&json!([]), &json!(3)));
    support::bye(&mut tabs[1].ws).await;
    let event = bo.event("pres").await;
    assert_eq!(
        (event["out"].as_array().unwrap().len(), &event["count"]),
        (1, &json!(2))
    );
}
