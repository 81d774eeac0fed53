//! Messages and what becomes of them in `fdx.v1.json`: edits, reactions, deletes, history, search, read marks.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use fullduplex_hub::{Config, Limits};
use serde_json::{Value, json};
use support::{Running, V1};

const GUEST: &str = "0123456789abcdef";

/// A client that is the same user wherever it says hello.
async fn guest(hub: &Running, name: &str, room: &str) -> V1 {
    let mut client = hub.v1().await;
    let hello = json!({"op": "hello", "name": name, "guest": format!("{GUEST}{name}")});
    client.ok(hello).await;
    let join = json!({"op": "join", "room": room, "backlog": 0});
    client.ok(join).await;
    client
}

async fn history(client: &mut V1, mut query: Value) -> Value {
    query["op"] = json!("history");
    query["room"] = json!("general");
    client.ok(query).await
}

fn bodies(events: &Value) -> Vec<&str> {
    let events = events.as_array().unwrap().iter();
    events
        .map(|event| event["body"].as_str().unwrap_or("-"))
        .collect()
}

#[tokio::test]
async fn what_becomes_of_a_message_is_told_to_all_and_shown_in_history() {
    let hub = Running::start(Config::default()).await;
    let mut ana = guest(&hub, "Ana", "general").await;
    let mut bo = guest(&hub, "Bo", "general").await;
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
        let page = history(client, json!({})).await;
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
    let mut ana = guest(&hub, "Ana", "general").await;
    let mut bo = guest(&hub, "Bo", "general").await;
    let mut seqs = Vec::new();
    for n in 0..30 {
        seqs.push(ana.say("general", &n.to_string(), &n.to_string()).await["seq"].clone());
    }
    let around = json!({"around": seqs[15], "limit": 10});
    let before = history(&mut bo, around.clone()).await;
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
    let after = history(&mut bo, around).await;
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
    let mut ana = guest(&hub, "Ana", "general").await;
    let mut bo = guest(&hub, "Bo", "general").await;
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
    let mut again = guest(&hub, "Ana", "general").await;
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
    let mut ana = guest(&hub, "Ana", "general").await;
    let mut bo = guest(&hub, "Bo", "general").await;
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
    let mut again = guest(&hub, "Ana", "general").await;
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
    let mut ana = guest(&hub, "Ana", "general").await;
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
    let page = history(&mut ana, json!({})).await;
    assert_eq!(bodies(&page["events"]), ["first"]);
    // Another room and another user have cids of their own.
    ana.ok(json!({"op": "join", "room": "other"})).await;
    assert_eq!(ana.say("other", "c1", "second").await["dup"], false);
    let mut bo = guest(&hub, "Bo", "general").await;
    assert_eq!(bo.say("general", "c1", "second").await["dup"], false);
}

#[tokio::test]
async fn a_reaction_that_changes_nothing_is_not_stored_and_a_message_has_few_different_ones() {
    let hub = Running::start(Config::default()).await;
    let mut ana = guest(&hub, "Ana", "general").await;
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
    let mut bo = guest(&hub, "Bo", "general").await;
    assert_eq!(bo.err(react("one more", true)).await, "conflict");
    assert_eq!(bo.ok(react("e7", true)).await["dup"], false);
    ana.ok(react("e8", false)).await;
    bo.ok(react("one more", true)).await;
    let page = history(&mut bo, json!({})).await;
    let reactions = page["events"][0]["reactions"].as_object().unwrap();
    assert_eq!(reactions.len(), 50);
    assert_eq!(reactions["e7"], json!({"count": 2, "me": true}));
}

#[tokio::test]
async fn history_pages_both_ways_and_says_what_is_beyond() {
    let hub = Running::start(Config::default()).await;
    let mut ana = guest(&hub, "Ana", "general").await;
    let mut seqs = Vec::new();
    for n in 0..20 {
        // Reactions and data between them.
        seqs.push(ana.say("general", &n.to_string(), &n.to_string()).await["seq"].clone());
        ana.ok(
            json!({"op": "react", "room": "general", "target": seqs[n], "emoji": "x", "on": true}),
        )
        .await;
    }
    let range = |from: usize, to: usize| (from..to).map(|n| n.to_string()).collect::<Vec<_>>();
    for (query, expected, more_before, more_after) in [
        (json!({}), range(0, 20), false, false),
        (json!({"limit": 5}), range(15, 20), true, false),
        (
            json!({"before": seqs[15], "limit": 5}),
            range(10, 15),
            true,
            true,
        ),
        (
            json!({"before": seqs[3], "limit": 5}),
            range(0, 3),
            false,
            true,
        ),
        (json!({"after": 0, "limit": 5}), range(0, 5), false, true),
        (
            json!({"after": seqs[4], "limit": 5}),
            range(5, 10),
            true,
            true,
        ),
        (json!({"after": seqs[17]}), range(18, 20), true, false),
        (
            json!({"after": seqs[4], "before": seqs[8]}),
            range(5, 8),
            true,
            true,
        ),
        (
            json!({"around": seqs[10], "limit": 4}),
            range(8, 12),
            true,
            true,
        ),
        (
            json!({"after": 9_007_199_254_740_991_u64}),
            range(0, 0),
            true,
            false,
        ),
        (json!({"before": 1}), range(0, 0), false, true),
    ] {
        let page = history(&mut ana, query.clone()).await;
        assert_eq!(bodies(&page["events"]), expected, "{query}");
        assert_eq!(
            (&page["more_before"], &page["more_after"]),
            (&json!(more_before), &json!(more_after)),
            "{query}"
        );
    }
    // Long texts make a page shorter, and one message comes always.
    for n in 0..10 {
        ana.say("general", &format!("long {n}"), &"x".repeat(16_384))
            .await;
    }
    let page = history(&mut ana, json!({"limit": 200})).await;
    let events = page["events"].as_array().unwrap();
    assert!((1..=6).contains(&events.len()), "{}", events.len());
    assert_eq!(
        (&page["more_before"], &page["more_after"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(events.last().unwrap()["cid"], "long 9");
    assert_eq!(
        ana.err(json!({"op": "history", "room": "elsewhere"})).await,
        "not_joined"
    );
}

/// What a client shows of a room, kept as the document says.
#[derive(Default)]
struct Shown(BTreeMap<u64, (u64, Value)>);

impl Shown {
    fn apply(&mut self, event: &Value) {
        let seq = event["seq"].as_u64().unwrap();
        if event["ev"] == "msg" {
            self.0
                .entry(seq)
                .or_insert_with(|| (seq, json!({"body": event["body"], "reactions": {}})));
            return;
        }
        let Some((of, message)) = event["target"]
            .as_u64()
            .and_then(|target| self.0.get_mut(&target))
        else {
            return;
        };
        if *of >= seq {
            return;
        }
        *of = seq;
        match event["ev"].as_str().unwrap() {
            "edit" => message["body"] = event["body"].clone(),
            "del" => *message = json!({"body": null, "reactions": {}}),
            "react" => {
                let emoji = event["emoji"].as_str().unwrap();
                let reactions = message["reactions"].as_object_mut().unwrap();
                let count = reactions.get(emoji).and_then(Value::as_i64).unwrap_or(0);
                let count = if event["on"] == true {
                    count + 1
                } else {
                    count - 1
                };
                if count > 0 {
                    reactions.insert(emoji.to_owned(), count.into());
                } else {
                    reactions.remove(emoji);
                }
            }
            other => panic!("{other}"),
        }
    }

    /// What is shown, by position.
    fn messages(self) -> Vec<(u64, Value)> {
        let messages = self.0.into_iter();
        messages.map(|(seq, (_, message))| (seq, message)).collect()
    }

    fn take_page(&mut self, page: &Value) {
        let as_of = page["as_of"].as_u64().unwrap();
        for event in page["events"].as_array().unwrap() {
            let reactions = event["reactions"].as_object().unwrap().iter();
            let reactions: BTreeMap<_, _> =
                reactions.map(|(emoji, of)| (emoji, &of["count"])).collect();
            let message = json!({"body": event["body"], "reactions": reactions});
            let seq = event["seq"].as_u64().unwrap();
            let known = self.0.entry(seq).or_insert((0, Value::Null));
            if known.0 < as_of {
                *known = (as_of, message);
            }
        }
    }
}

/// Changes messages at these positions in all ways, and says when that is over.
async fn change_all(ana: &mut V1, seqs: &[Value]) {
    for n in 0..400 {
        let target = &seqs[n * 7 % seqs.len()];
        let emoji = if n % 2 == 0 { "a" } else { "b" };
        let mut change = match n % 10 {
            0 => json!({"op": "delete", "target": target}),
            1..4 => json!({"op": "react", "target": target, "emoji": emoji, "on": n % 3 > 0}),
            4..7 => json!({"op": "edit", "target": target, "body": format!("edit {n}")}),
            _ => json!({"op": "send", "cid": n.to_string(), "body": format!("new {n}")}),
        };
        change["room"] = json!("general");
        // Some are about what was deleted.
        ana.call(change).await;
    }
    ana.say("general", "end", "end").await;
}

/// Joins, scrolls back to the beginning, and reads on to the end. Returns what it then shows.
async fn read_all(mut client: V1, backlog: usize) -> Vec<(u64, Value)> {
    let join = json!({"op": "join", "room": "general", "backlog": backlog});
    client.ok(join).await;
    let (mut shown, mut prev, mut is_over) = (Shown::default(), None, false);
    let mut take = |shown: &mut Shown, event: &Value| {
        if !event["seq"].is_null() {
            assert!(
                prev.is_none_or(|prev| event["prev"] == prev),
                "contiguous: {event}"
            );
            prev = event["seq"].as_u64();
            shown.apply(event);
        }
        event["cid"] == "end"
    };
    let mut query = json!({"limit": 9});
    loop {
        let page = history(&mut client, query.clone()).await;
        shown.take_page(&page);
        for event in client.take_events() {
            is_over |= take(&mut shown, &event);
        }
        if page["more_before"] == false {
            break;
        }
        query["before"] = page["events"][0]["seq"].clone();
    }
    while !is_over {
        is_over = take(&mut shown, &client.any_event().await);
    }
    shown.messages()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s20_pages_and_events_together_give_every_client_the_same_room() {
    let hub = Running::start(Config::default()).await;
    let mut ana = guest(&hub, "Ana", "general").await;
    let mut seqs = Vec::new();
    for n in 0..100 {
        seqs.push(ana.say("general", &format!("m{n}"), &n.to_string()).await["seq"].clone());
    }
    let mut readers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let mut client = hub.v1().await;
        client.hello(&format!("n{n}")).await;
        readers.spawn(read_all(client, n * 5));
    }
    change_all(&mut ana, &seqs).await;
    let rooms = support::within(readers.join_all()).await;
    let mut last = Shown::default();
    let mut query = json!({"limit": 200});
    loop {
        let page = history(&mut ana, query.clone()).await;
        last.take_page(&page);
        if page["more_before"] == false {
            break;
        }
        query["before"] = page["events"][0]["seq"].clone();
    }
    let expected = last.messages();
    assert!(expected.len() > 200);
    for room in rooms {
        assert_eq!(room, expected);
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

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis().try_into().unwrap()
}

#[tokio::test]
async fn search_finds_what_is_there_now_in_rooms_that_were_joined() {
    let hub = Running::start(Config::default()).await;
    let mut ana = guest(&hub, "Ana", "general").await;
    let mut bo = guest(&hub, "Bo", "private").await;
    ana.ok(json!({"op": "join", "room": "other"})).await;
    bo.say("private", "1", "needle of Bo").await;
    let first = ana.say("general", "1", "a needle in the hay").await;
    let hay = ana.say("general", "2", "only hay").await;
    // Between rooms it is the time that makes one message newer than another.
    while now() <= hay["ts"].as_u64().unwrap() {
        tokio::task::yield_now().await;
    }
    ana.say("other", "3", "Needles, elsewhere").await;
    let gone = ana.say("general", "4", "needle to be deleted").await;
    ana.ok(json!({"op": "delete", "room": "general", "target": gone["seq"]}))
        .await;
    ana.ok(json!({"op": "edit", "room": "general", "target": hay["seq"], "body": "now a needle"}))
        .await;
    let hits = |found: &Value| -> Vec<String> {
        let hits = found["hits"].as_array().unwrap().iter();
        hits.map(|hit| hit["message"]["body"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = ana.ok(json!({"op": "search", "q": "needle"})).await;
    assert_eq!(
        hits(&all),
        ["Needles, elsewhere", "now a needle", "a needle in the hay"]
    );
    assert_eq!(
        all["hits"][2]["snippet"],
        json!(["a ", "needle", " in the hay"])
    );
    assert_eq!(all["hits"][0]["message"]["room"], "other");
    assert_eq!(all["cursor"], Value::Null);
    let here = ana
        .ok(json!({"op": "search", "q": "needle", "room": "general"}))
        .await;
    assert_eq!(hits(&here), ["now a needle", "a needle in the hay"]);
    let both = ana.ok(json!({"op": "search", "q": "hay needle"})).await;
    assert_eq!(hits(&both), ["a needle in the hay"]);
    let nothing = ana.ok(json!({"op": "search", "q": "only"})).await;
    assert_eq!(hits(&nothing), [""; 0]);
    let not_before = first["ts"].as_u64().unwrap() + 3_600_000;
    let later = ana
        .ok(json!({"op": "search", "q": "needle", "after": not_before}))
        .await;
    assert_eq!(hits(&later), [""; 0]);
    let of_bo = ana
        .ok(json!({"op": "search", "q": "needle", "from": "u_0"}))
        .await;
    assert_eq!(hits(&of_bo), [""; 0]);
    assert_eq!(
        ana.err(json!({"op": "search", "q": "needle", "room": "private"}))
            .await,
        "not_joined"
    );
    assert_eq!(
        ana.err(json!({"op": "search", "q": " "})).await,
        "bad_request"
    );
    // One by one, each once.
    let (mut found, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = ana
            .ok(json!({"op": "search", "q": "needle", "limit": 1, "cursor": cursor}))
            .await;
        found.extend(hits(&page));
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(found, hits(&all));
}

#[tokio::test]
async fn read_marks_go_forward_count_what_follows_and_are_the_users_own() {
    let hub = Running::start(Config::default()).await;
    let mut bo = guest(&hub, "Bo", "general").await;
    let mut seqs = Vec::new();
    for n in 0..5 {
        seqs.push(
            bo.say("general", &n.to_string(), "hi").await["seq"]
                .as_u64()
                .unwrap(),
        );
    }
    let mut ana = hub.v1().await;
    let hello = json!({"op": "hello", "name": "Ana", "guest": format!("{GUEST}Ana")});
    ana.ok(hello).await;
    let join = json!({"op": "join", "room": "general"});
    let joined = ana.ok(join.clone()).await;
    assert_eq!((&joined["read"], &joined["unread"]), (&json!(0), &json!(5)));
    let mut other = guest(&hub, "Ana", "general").await;
    other.hello("Anna").await;
    let read = |seq: u64| json!({"op": "read", "room": "general", "seq": seq});
    let unread = |seq: u64, unread: u64| json!({"seq": seq, "unread": unread});
    assert_eq!(ana.ok(read(seqs[2])).await, unread(seqs[2], 2));
    let told = other.event("read").await;
    assert_eq!(
        told,
        json!({"ev": "read", "room": "general", "seq": seqs[2], "unread": 2})
    );
    // Never back, never beyond.
    for seq in [seqs[1], 0, seqs[2]] {
        assert_eq!(ana.ok(read(seq)).await, unread(seqs[2], 2));
    }
    bo.ok(json!({"op": "delete", "room": "general", "target": seqs[3]}))
        .await;
    assert_eq!(ana.ok(read(0)).await, unread(seqs[2], 1));
    // One's own are not unread.
    ana.say("general", "own", "hi").await;
    assert_eq!(other.ok(read(0)).await, unread(seqs[2], 1));
    let head = ana.ok(join).await["head"].as_u64().unwrap();
    assert_eq!(ana.ok(read((1 << 53) - 1)).await, unread(head, 0));
    assert_eq!(
        other.event("read").await["seq"],
        head,
        "and nothing for marks that did not move"
    );
    let again = hub.v1().await;
    let mut again = again;
    let hello = json!({"op": "hello", "name": "Ana", "guest": format!("{GUEST}Ana")});
    again.ok(hello).await;
    let joined = again.ok(json!({"op": "join", "room": "general"})).await;
    assert_eq!(
        (&joined["read"], &joined["unread"]),
        (&json!(head), &json!(0))
    );
    // Who is new has read nothing; Bo has his own.
    let mut cy = hub.member("Cy", "general").await;
    let joined = cy.ok(json!({"op": "join", "room": "general"})).await;
    assert_eq!(joined["read"], 0);
    assert!(joined["unread"].as_u64().unwrap() > 0, "{joined}");
    assert_eq!(bo.ok(read(0)).await["seq"], 0);
    assert_eq!(
        bo.err(json!({"op": "read", "room": "elsewhere", "seq": 1}))
            .await,
        "not_joined"
    );
}

#[tokio::test]
async fn s18_clocks_of_clients_do_not_matter() {
    let hub = Running::start(Config::default()).await;
    let mut ana = guest(&hub, "Ana", "general").await;
    let now = ana.ok(json!({"op": "ping"})).await["now"].as_u64().unwrap();
    let mut seqs = Vec::new();
    for (n, ts) in [u64::MAX >> 12, 0, now].into_iter().enumerate() {
        let send = json!({"op": "send", "room": "general", "cid": n.to_string(), "body": "x", "ts": ts, "seq": ts, "id": ts & 0xffff});
        ana.send(&send).await;
        let msg = ana.msg().await;
        let told = msg["ts"].as_u64().unwrap();
        assert!(
            (now..now + 60_000).contains(&told),
            "the server's time: {told}"
        );
        seqs.push(msg["seq"].as_u64().unwrap());
    }
    assert!(seqs.is_sorted());
}

#[tokio::test]
async fn s19_numbers_are_exact_in_javascript_and_ids_are_texts() {
    let hub = Running::start(Config::default()).await;
    let mut ana = guest(&hub, "Ana", "general").await;
    ana.say("general", "1", "hi").await;
    let msg = ana.msg().await;
    assert!(msg["id"].is_string() && msg["from"]["id"].is_string());
    let too_big = 1_u64 << 53;
    for command in [
        json!({"op": "edit", "target": too_big, "body": "x"}),
        json!({"op": "delete", "target": too_big}),
        json!({"op": "react", "target": too_big, "emoji": "x", "on": true}),
        json!({"op": "send", "cid": "2", "body": "x", "reply_to": too_big}),
        json!({"op": "history", "before": too_big}),
        json!({"op": "read", "seq": too_big}),
        json!({"op": "read", "seq": 1.5}),
    ] {
        let mut command = command;
        command["room"] = json!("general");
        assert_eq!(ana.err(command.clone()).await, "bad_request", "{command}");
    }
    // What an application's own numbers are is its own business, as far as 64 bits go.
    ana.ok(json!({"op": "pub", "room": "general", "data": u64::MAX}))
        .await;
    assert_eq!(ana.event("data").await["data"], u64::MAX);
}

#[tokio::test]
async fn s24_a_rooms_name_is_taken_as_it_is_or_refused() {
    let hub = Running::start(Config::default()).await;
    let mut ana = guest(&hub, "Ana", "general").await;
    let long = "x".repeat(1024);
    for bad in [
        "../etc",
        "..",
        "a/b",
        "/",
        "",
        " ",
        "a\u{0}",
        "a\n",
        "\u{202e}a",
        "\u{200b}",
        &long,
    ] {
        for command in [
            json!({"op": "join"}),
            json!({"op": "sub"}),
            json!({"op": "send", "cid": "1", "body": "x"}),
            json!({"op": "pub", "data": 1}),
            json!({"op": "edit", "target": 1, "body": "x"}),
            json!({"op": "history"}),
            json!({"op": "search", "q": "x"}),
            json!({"op": "read", "seq": 1}),
        ] {
            let mut command = command;
            command["room"] = json!(bad);
            assert_eq!(ana.err(command.clone()).await, "bad_request", "{command}");
        }
        let hello = json!({"op": "hello", "resume": {bad: "x.0.000000"}});
        let rooms = &ana.ok(hello).await["rooms"];
        assert_eq!(rooms[bad]["err"]["code"], "bad_request", "{bad:?}");
    }
    // Each is a room of its own, whatever a path or a pattern would make of it.
    let good = [
        "a.b", "a b", "a*b", "a>b", "räume", "日本", "💬", "%2e%2e", "a'b\"c", "A.B", "...",
    ];
    for name in good {
        ana.ok(json!({"op": "join", "room": name})).await;
        ana.say(name, "1", name).await;
    }
    for name in good {
        let page = ana.ok(json!({"op": "history", "room": name})).await;
        assert_eq!(bodies(&page["events"]), [name]);
        let found = ana
            .ok(json!({"op": "search", "room": name, "q": "b"}))
            .await;
        assert!(
            found["hits"]
                .as_array()
                .unwrap()
                .iter()
                .all(|hit| hit["message"]["room"] == name)
        );
    }
}

#[tokio::test]
async fn s25_hostile_text_passes_as_text_and_hostile_names_do_not() {
    let hub = Running::start(Config::default()).await;
    let mut ana = guest(&hub, "Ana", "general").await;
    let mut bo = guest(&hub, "Bo", "general").await;
    let mut plain = hub.connect("/ws").await;
    let zalgo = format!("z{}", "\u{301}".repeat(8_000));
    for (n, body) in [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "\u{202e}gnp.exe\u{2066}",
        "\u{2028}\u{2029}\u{0}\u{1b}[31m",
        "\"}\n{\"ev\":\"msg\"",
        &zalgo,
    ]
    .into_iter()
    .enumerate()
    {
        let sent = ana.say("general", &n.to_string(), body).await;
        assert_eq!(bo.msg().await["body"], body);
        let heard: Value = serde_json::from_str(&support::text(&mut plain).await).unwrap();
        assert_eq!(heard["message"], body);
        let edit = json!({"op": "edit", "room": "general", "target": sent["seq"], "body": format!("{body}!")});
        ana.ok(edit).await;
        assert_eq!(bo.event("edit").await["body"], format!("{body}!"));
    }
    let page = history(&mut bo, json!({"limit": 1})).await;
    assert_eq!(page["events"][0]["body"], format!("{zalgo}!"));
    // A snippet of it is short.
    let found = bo.ok(json!({"op": "search", "q": "z"})).await;
    let snippet = found["hits"][0]["snippet"].to_string();
    assert!(snippet.chars().count() < 200, "{snippet}");
    let too_long = "\u{301}".repeat(10_000);
    let send = json!({"op": "send", "room": "general", "cid": "long", "body": too_long});
    assert_eq!(ana.err(send).await, "too_large");
    let target = page["events"][0]["seq"].clone();
    for emoji in ["\u{202e}", "a\u{2066}b", "\u{0}", &"\u{301}".repeat(33)] {
        let react =
            json!({"op": "react", "room": "general", "target": target, "emoji": emoji, "on": true});
        assert_eq!(ana.err(react).await, "bad_request");
    }
    for name in ["\u{202e}Ana", "A\nna", &"\u{301}".repeat(65)] {
        assert_eq!(
            ana.err(json!({"op": "hello", "name": name})).await,
            "bad_request"
        );
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_client_that_asks_without_waiting_is_answered_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let hub = Running::durable(Config::default(), folder.path()).await;
    let mut ana = guest(&hub, "Ana", "general").await;
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
