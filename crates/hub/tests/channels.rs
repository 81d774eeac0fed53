//! Channels: any JSON in a room, for who subscribes to it without being seen.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use fullduplex_hub::Config;
use serde_json::{Value, json};
use support::{Running, within};

fn publish(room: &str, data: &Value) -> Value {
    json!({"op": "pub", "room": room, "data": data})
}

#[tokio::test]
async fn what_is_published_reaches_subscribers_and_members_and_comes_back_by_a_cursor() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "prices").await;
    let mut bo = hub.v1().await;
    bo.ok(json!({"op": "hello"})).await;
    let subscribed = bo.ok(json!({"op": "sub", "room": "prices"})).await;
    let keys: Vec<_> = subscribed.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["cursor", "epoch", "floor", "head", "room"]);
    let values = [
        json!(null),
        json!(0),
        json!("text"),
        json!([1, [2.5, {}]]),
        json!({"eur": {"usd": 1.25}}),
    ];
    let mut cursors = Vec::new();
    for value in &values {
        let stored = ana.ok(publish("prices", value)).await;
        for client in [&mut ana, &mut bo] {
            let data = client.event("data").await;
            assert_eq!(
                (&data["data"], &data["seq"], &data["cid"]),
                (value, &stored["seq"], &Value::Null)
            );
            assert_eq!(data["from"]["name"], "Ana");
        }
        let id = stored["id"].as_str().unwrap();
        cursors.push(format!(
            "{}.{}.{}",
            subscribed["epoch"].as_str().unwrap(),
            stored["seq"],
            &id[20..]
        ));
    }
    let mut cy = hub.v1().await;
    cy.ok(json!({"op": "hello"})).await;
    let back = cy
        .ok(json!({"op": "sub", "room": "prices", "since": cursors[2]}))
        .await;
    assert_eq!(back["resume"], "ok");
    for value in &values[3..] {
        assert_eq!(cy.event("data").await["data"], *value);
    }
    cy.ok(json!({"op": "leave", "room": "prices"})).await;
    cy.ok(json!({"op": "sub", "room": "prices", "backlog": 1}))
        .await;
    assert_eq!(cy.event("data").await["data"], values[4]);
    let page = cy
        .ok(json!({"op": "history", "room": "prices", "limit": 2}))
        .await;
    let events = page["events"].as_array().unwrap();
    assert_eq!(
        (&events[0]["data"], &events[1]["data"]),
        (&values[3], &values[4])
    );
    assert_eq!(
        (&events[1]["ev"], &events[1]["reactions"]),
        (&json!("data"), &Value::Null)
    );
}

#[tokio::test]
async fn who_subscribes_is_not_seen_and_sees_nobody() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    let mut bo = hub.v1().await;
    bo.hello("Bo").await;
    bo.ok(json!({"op": "sub", "room": "general"})).await;
    // Nor under another name.
    bo.hello("Bob").await;
    let joined = ana.ok(json!({"op": "join", "room": "general"})).await;
    assert_eq!(joined["count"], 1);
    let mut cy = hub.member("Cy", "general").await;
    while ana.event("pres").await["count"] != 2 {}
    // A subscriber writes as others do, and hears what others write.
    bo.say("general", "1", "hi").await;
    assert_eq!(cy.msg().await["from"]["name"], "Bob");
    cy.say("general", "1", "ho").await;
    let heard = [bo.any_event().await, bo.any_event().await];
    assert!(heard.iter().all(|event| event["ev"] == "msg"), "{heard:?}");
    for (op, other) in [("join", "sub"), ("sub", "join")] {
        let room = json!({"op": op, "room": "other"});
        bo.ok(room.clone()).await;
        bo.ok(room).await;
        assert_eq!(
            bo.err(json!({"op": other, "room": "other"})).await,
            "conflict"
        );
        bo.ok(json!({"op": "leave", "room": "other"})).await;
    }
}

#[tokio::test]
async fn what_may_not_be_published_is_refused_and_data_is_no_message() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.v1().await;
    ana.ok(json!({"op": "hello"})).await;
    assert_eq!(ana.err(publish("prices", &json!(1))).await, "forbidden");
    ana.hello("Ana").await;
    assert_eq!(ana.err(publish("prices", &json!(1))).await, "not_joined");
    ana.ok(json!({"op": "sub", "room": "prices"})).await;
    let long = "x".repeat(16_382);
    ana.ok(publish("prices", &json!(long))).await;
    assert_eq!(
        ana.err(publish("prices", &json!(format!("{long}x")))).await,
        "too_large"
    );
    let deep = (0..33).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(ana.err(publish("prices", &deep)).await, "bad_request");
    let stored = ana.ok(publish("prices", &deep[0])).await;
    for op in ["edit", "delete", "react"] {
        let change = json!({"op": op, "room": "prices", "target": stored["seq"], "body": "x", "emoji": "x", "on": true});
        assert_eq!(ana.err(change).await, "not_found");
    }
}

#[tokio::test]
async fn plain_clients_step_over_what_they_have_no_form_for() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    let mut json_client = hub.connect("/ws").await;
    let mut text_client = hub.connect("/ws?mode=text").await;
    let said = ana.say("general", "1", "first").await;
    ana.ok(publish("general", &json!({"a": 1}))).await;
    let target = &said["seq"];
    ana.ok(json!({"op": "react", "room": "general", "target": target, "emoji": "x", "on": true}))
        .await;
    ana.ok(json!({"op": "edit", "room": "general", "target": target, "body": "edited"}))
        .await;
    ana.ok(json!({"op": "delete", "room": "general", "target": target}))
        .await;
    let answer = json!({"op": "send", "room": "general", "cid": "2", "body": "second", "reply_to": target, "meta": {"a": 1}});
    ana.ok(answer).await;
    for expected in ["first", "second"] {
        let heard: Value = serde_json::from_str(&support::text(&mut json_client).await).unwrap();
        assert_eq!(
            heard,
            json!({"email": "", "username": "Ana", "message": expected})
        );
        assert_eq!(
            support::text(&mut text_client).await,
            format!("Ana: {expected}")
        );
    }
    within(json_client.send(r#"{"username":"Bo","message":"third"}"#))
        .await
        .unwrap();
    within(text_client.send("fourth")).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 4 {
        heard.push(ana.msg().await);
    }
    assert_eq!(
        (&heard[1]["reply_to"], &heard[1]["meta"]),
        (target, &json!({"a": 1}))
    );
    assert!(heard[0].get("reply_to").is_none() && heard[0].get("meta").is_none());
    let mut last: Vec<_> = heard[2..]
        .iter()
        .map(|msg| msg["body"].as_str().unwrap())
        .collect();
    last.sort_unstable();
    assert_eq!(last, ["fourth", "third"]);
}
