//! Goal: whatever happens meanwhile, pages and events give every client the same room; and how far a user has read is the user's own.
//! Method: clients that scroll back while others change what is there.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::collections::BTreeMap;

use fullduplex_hub::Config;
use serde_json::{Value, json};
use support::{Running, V1, bodies, hello_of, within};

#[tokio::test]
async fn history_pages_both_ways_and_says_what_is_beyond() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.user("Ana", "general").await;
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
        let page = ana.history(query.clone()).await;
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
    let page = ana.history(json!({"limit": 200})).await;
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
        let page = client.history(query.clone()).await;
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
    let mut ana = hub.user("Ana", "general").await;
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
    let rooms = within(readers.join_all()).await;
    let mut last = Shown::default();
    let mut query = json!({"limit": 200});
    loop {
        let page = ana.history(query.clone()).await;
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
async fn read_marks_go_forward_count_what_follows_and_are_the_users_own() {
    let hub = Running::start(Config::default()).await;
    let mut bo = hub.user("Bo", "general").await;
    let mut seqs = Vec::new();
    for n in 0..5 {
        seqs.push(
            bo.say("general", &n.to_string(), "hi").await["seq"]
                .as_u64()
                .unwrap(),
        );
    }
    let mut ana = hub.v1().await;
    ana.ok(hello_of("Ana")).await;
    let join = json!({"op": "join", "room": "general"});
    let joined = ana.ok(join.clone()).await;
    assert_eq!((&joined["read"], &joined["unread"]), (&json!(0), &json!(5)));
    let mut other = hub.user("Ana", "general").await;
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
    let mut again = hub.v1().await;
    again.ok(hello_of("Ana")).await;
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
