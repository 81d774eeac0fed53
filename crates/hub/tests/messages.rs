//! Messages and what becomes of them in `fdx.v1.json`: edits, reactions, deletes, and what is sent again.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use fullduplex_hub::Config;
use serde_json::{Value, json};
use support::{Running, bodies};

#[tokio::test]
async fn what_becomes_of_a_message_is_told_to_all_and_shown_in_history() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.user("Ana", "general").await;
    let mut bo = hub.user("Bo", "general").await;
    let said = ana.say("general", "c1", "helo").await;
    let target = &said["seq"];
    let edit =
        json!({"op": "edit", "room": "general", "target": target, "body": "hello", "cid": "c2"});
    let edited = ana.ok(edit).await;
    for client in [&mut ana, &mut bo] {
        let react =
            json!({"op": "react", "room": "general", "target": target, "emoji": "👍", "on": true});
        client.ok(react).await;
    }
    let react =
        json!({"op": "react", "room": "general", "target": target, "emoji": "👍", "on": false});
    let last = ana.ok(react).await;
    for client in [&mut ana, &mut bo] {
        assert_eq!(client.msg().await["body"], "helo");
        let edit = client.event("edit").await;
        assert_eq!(
            (&edit["target"], &edit["body"], &edit["cid"]),
            (target, &json!("hello"), &json!("c2"))
        );
        let mut reacts = Vec::new();
        for _ in 0..3 {
            let event = client.event("react").await;
            assert_eq!((&event["target"], &event["emoji"]), (target, &json!("👍")));
            reacts.push((event["from"]["name"].clone(), event["on"].clone()));
        }
        let expected = [("Ana", true), ("Bo", true), ("Ana", false)];
        assert_eq!(reacts, expected.map(|(name, on)| (json!(name), json!(on))));
    }
    for (client, me) in [(&mut ana, false), (&mut bo, true)] {
        let page = client.history(json!({})).await;
        assert_eq!((&page["as_of"], &page["floor"]), (&last["seq"], target));
        let [message] = &page["events"].as_array().unwrap()[..] else {
            panic!("one message: {page}");
        };
        assert_eq!(
            (&message["seq"], &message["body"], &message["edited"]),
            (target, &json!("hello"), &edited["seq"])
        );
        assert_eq!(message["reactions"], json!({"👍": {"count": 1, "me": me}}));
    }
}

#[tokio::test]
async fn s21_a_deleted_message_keeps_its_place_as_a_tombstone() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.user("Ana", "general").await;
    let mut bo = hub.user("Bo", "general").await;
    let mut seqs = Vec::new();
    for n in 0..30 {
        seqs.push(ana.say("general", &n.to_string(), &n.to_string()).await["seq"].clone());
    }
    let around = json!({"around": seqs[15], "limit": 10});
    let before = bo.history(around.clone()).await;
    assert_eq!(
        bodies(&before["events"]),
        ["10", "11", "12", "13", "14", "15", "16", "17", "18", "19"]
    );
    let deleted = ana
        .ok(json!({"op": "delete", "room": "general", "target": seqs[15]}))
        .await;
    let told = bo.event("del").await;
    assert_eq!(
        (&told["target"], &told["seq"]),
        (&seqs[15], &deleted["seq"])
    );
    let after = bo.history(around).await;
    assert_eq!(
        bodies(&after["events"]),
        ["10", "11", "12", "13", "14", "-", "16", "17", "18", "19"]
    );
    let tombstone = &after["events"][5];
    assert_eq!(
        (&tombstone["body"], &tombstone["reactions"]),
        (&Value::Null, &json!({}))
    );
    let places = |page: &Value| {
        page["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["seq"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(places(&before), places(&after));
    // Who joins now gets no body either, and the delete after it.
    let mut cy = hub.v1().await;
    cy.hello("Cy").await;
    cy.ok(json!({"op": "join", "room": "general"})).await;
    for n in 0..30 {
        let body = if n == 15 {
            Value::Null
        } else {
            json!(n.to_string())
        };
        assert_eq!(cy.msg().await["body"], body);
    }
    assert_eq!(cy.event("del").await["target"], seqs[15]);
}

#[tokio::test]
async fn only_its_author_changes_a_message_and_only_one_that_is_there() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.user("Ana", "general").await;
    let mut bo = hub.user("Bo", "general").await;
    let said = ana.say("general", "c1", "mine").await;
    let change = |op: &str, target: &Value| json!({"op": op, "room": "general", "target": target, "body": "x", "emoji": "x", "on": true});
    for op in ["edit", "delete"] {
        assert_eq!(bo.err(change(op, &said["seq"])).await, "forbidden");
    }
    for op in ["edit", "delete", "react"] {
        assert_eq!(ana.err(change(op, &json!(77))).await, "not_found");
        let elsewhere = json!({"op": op, "room": "other", "target": said["seq"], "body": "x", "emoji": "x", "on": true});
        assert_eq!(ana.err(elsewhere.clone()).await, "not_joined");
        ana.ok(json!({"op": "join", "room": "other"})).await;
        assert_eq!(ana.err(elsewhere).await, "not_found");
        ana.ok(json!({"op": "leave", "room": "other"})).await;
    }
    // Another connection of the same user is its author, too.
    let mut again = hub.user("Ana", "general").await;
    again.ok(change("edit", &said["seq"])).await;
    again.ok(change("delete", &said["seq"])).await;
    for op in ["edit", "delete", "react"] {
        assert_eq!(ana.err(change(op, &said["seq"])).await, "not_found");
    }
    // An edit is no message; nobody's message is nobody's to change, but anybody's to react to.
    let said = ana.say("general", "c2", "mine").await;
    let edited = ana.ok(change("edit", &said["seq"])).await;
    assert_eq!(ana.err(change("edit", &edited["seq"])).await, "not_found");
    let mut plain = hub.connect("/ws").await;
    support::within(plain.send(r#"{"username":"Ana","message":"plain"}"#))
        .await
        .unwrap();
    let plain = loop {
        let msg = ana.msg().await;
        if msg["body"] == "plain" {
            break msg;
        }
    };
    assert_eq!(ana.err(change("delete", &plain["seq"])).await, "forbidden");
    ana.ok(change("react", &plain["seq"])).await;
    // Without a name nothing is written.
    let mut nobody = hub.v1().await;
    nobody.ok(json!({"op": "hello"})).await;
    nobody.ok(json!({"op": "join", "room": "general"})).await;
    for op in ["edit", "delete", "react"] {
        assert_eq!(nobody.err(change(op, &plain["seq"])).await, "forbidden");
    }
}

#[tokio::test]
async fn s07_what_is_sent_again_as_its_reply_was_lost_is_stored_once() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.user("Ana", "general").await;
    let mut bo = hub.user("Bo", "general").await;
    let target = bo.say("general", "b", "hi").await["seq"].clone();
    let commands = [
        json!({"op": "send", "room": "general", "cid": "1", "body": "once", "reply_to": target, "meta": {"a": 1}}),
        json!({"op": "react", "room": "general", "cid": "2", "target": target, "emoji": "+1", "on": true}),
        json!({"op": "pub", "room": "general", "cid": "3", "data": {"a": [1, 2]}}),
    ];
    let mut first = Vec::new();
    for command in &commands {
        first.push(ana.ok(command.clone()).await);
    }
    let own = first[0]["seq"].clone();
    let changes = [
        json!({"op": "edit", "room": "general", "cid": "4", "target": own, "body": "twice"}),
        json!({"op": "delete", "room": "general", "cid": "5", "target": own}),
    ];
    for change in &changes {
        first.push(ana.ok(change.clone()).await);
    }
    drop(ana);
    let mut again = hub.user("Ana", "general").await;
    for (command, first) in commands.iter().chain(&changes).zip(&first) {
        let reply = again.ok(command.clone()).await;
        let mut expected = first.clone();
        expected["dup"] = json!(true);
        assert_eq!(reply, expected, "{command}");
    }
    // The room saw each once.
    bo.say("general", "end", "end").await;
    let mut seen = Vec::new();
    for kind in ["msg", "msg", "react", "data", "edit", "del", "msg"] {
        seen.push(bo.event(kind).await);
    }
    for events in seen.windows(2) {
        assert_eq!(events[1]["prev"], events[0]["seq"], "nothing between them");
    }
}

#[tokio::test]
async fn s08_the_same_cid_for_something_else_is_a_conflict_and_the_first_stands() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.user("Ana", "general").await;
    let first = ana.say("general", "c1", "first").await;
    let target = &first["seq"];
    for other in [
        json!({"op": "send", "body": "second"}),
        json!({"op": "send", "body": "first", "reply_to": target}),
        json!({"op": "send", "body": "first", "meta": {}}),
        json!({"op": "edit", "target": target, "body": "first"}),
        json!({"op": "react", "target": target, "emoji": "first", "on": true}),
        json!({"op": "delete", "target": target}),
        json!({"op": "pub", "data": "first"}),
    ] {
        let mut other = other;
        other["room"] = json!("general");
        other["cid"] = json!("c1");
        assert_eq!(ana.err(other.clone()).await, "conflict", "{other}");
    }
    let page = ana.history(json!({})).await;
    assert_eq!(bodies(&page["events"]), ["first"]);
    // Another room and another user have cids of their own.
    ana.ok(json!({"op": "join", "room": "other"})).await;
    assert_eq!(ana.say("other", "c1", "second").await["dup"], false);
    let mut bo = hub.user("Bo", "general").await;
    assert_eq!(bo.say("general", "c1", "second").await["dup"], false);
}

#[tokio::test]
async fn a_reaction_that_changes_nothing_is_not_stored_and_a_message_has_few_different_ones() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.user("Ana", "general").await;
    let said = ana.say("general", "c1", "hi").await;
    let react = |emoji: &str, on: bool| json!({"op": "react", "room": "general", "target": said["seq"], "emoji": emoji, "on": on});
    // What never was set is so since the message is there.
    let never = ana.ok(react("a", false)).await;
    assert_eq!((&never["seq"], &never["dup"]), (&said["seq"], &json!(true)));
    let set = ana.ok(react("a", true)).await;
    assert_eq!(set["dup"], false);
    let again = ana.ok(react("a", true)).await;
    assert_eq!(
        (&again["seq"], &again["id"], &again["dup"]),
        (&set["seq"], &set["id"], &json!(true))
    );
    let back = ana.ok(react("a", false)).await;
    assert_eq!(ana.ok(react("a", false)).await["seq"], back["seq"]);
    for n in 0..50 {
        ana.ok(react(&format!("e{n}"), true)).await;
    }
    assert_eq!(ana.err(react("one more", true)).await, "conflict");
    let mut bo = hub.user("Bo", "general").await;
    assert_eq!(bo.err(react("one more", true)).await, "conflict");
    assert_eq!(bo.ok(react("e7", true)).await["dup"], false);
    ana.ok(react("e8", false)).await;
    bo.ok(react("one more", true)).await;
    let page = bo.history(json!({})).await;
    let reactions = page["events"][0]["reactions"].as_object().unwrap();
    assert_eq!(reactions.len(), 50);
    assert_eq!(reactions["e7"], json!({"count": 2, "me": true}));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_client_that_asks_without_waiting_is_answered_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Running::durable(Config::default(), folder.path()).await;
    let mut ana = hub.user("Ana", "general").await;
    for n in 0..300 {
        ana.say("general", &n.to_string(), "hi").await;
    }
    for n in 0..1_000 {
        let ask = match n % 3 {
            0 => json!({"op": "history", "id": n, "room": "general", "limit": 100}),
            1 => json!({"op": "search", "id": n, "room": "general", "q": "hi"}),
            _ => json!({"op": "read", "id": n, "room": "general", "seq": n}),
        };
        ana.send(&ask).await;
    }
    for n in 0..1_000 {
        assert_eq!(ana.reply().await["re"], n);
    }
}
