//! The texts, names, numbers and times that clients send: passed on as they are, or refused.

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
async fn s18_clocks_of_clients_do_not_matter() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.user("Ana", "general").await;
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
    let mut ana = hub.user("Ana", "general").await;
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
    let mut ana = hub.user("Ana", "general").await;
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
    let mut ana = hub.user("Ana", "general").await;
    let mut bo = hub.user("Bo", "general").await;
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
    let page = bo.history(json!({"limit": 1})).await;
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
