//! Logs followed in `fdx.v1.json` by who was cut off: exactly on from a cursor, or told why not.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use serde_json::{Value, json};
use support::{
    Running, V1,
    log::{Log, lines_of},
    within,
};

async fn client(hub: &Running) -> V1 {
    let mut client = hub.v1().await;
    client.hello("Ana").await;
    client
}

/// The cursor of an event or a reply.
fn cursor(of: &Value) -> String {
    of["cursor"].as_str().expect("a cursor").to_owned()
}

/// What somebody who is cut off again and again has of a log.
struct Seen {
    lines: Vec<String>,
    files: Vec<Value>,
    cursor: Option<String>,
}

impl Seen {
    /// Takes some events over a new connection, which is lost then; not beyond this line.
    async fn take(&mut self, hub: &Running, filter: &Value, events: usize, last: &String) {
        let mut client = client(hub).await;
        client
            .follow(json!({"log": "app", "from": self.cursor, "backlog": 0, "filter": filter, "credit": 700}))
            .await;
        for _ in 0..events {
            if self.lines.last() == Some(last) {
                break;
            }
            let event = client.any_event().await;
            match event["ev"].as_str().unwrap() {
                "log" => {
                    self.lines.extend(lines_of(&event));
                    self.cursor = Some(cursor(&event));
                }
                "log.file" => self.files.push(event["what"].clone()),
                other => panic!("{other}: {event}"),
            }
        }
    }
}

/// Goal: whatever is written, left out by the filter and rotated while somebody is away, each wanted line is seen once.
#[tokio::test]
async fn s65_who_is_cut_off_again_and_again_sees_each_line_once() {
    const ROUNDS: usize = 40;
    let log = Log::new(3);
    let hub = log.hub().await;
    for (run, filter) in [Value::Null, json!({"text": "7"}), json!({"regex": "[37]$"})]
        .into_iter()
        .enumerate()
    {
        let opened = client(&hub)
            .await
            .ok(json!({"op": "log.open", "log": "app", "backlog": 0}))
            .await;
        let mut seen = Seen {
            lines: Vec::new(),
            files: Vec::new(),
            cursor: Some(cursor(&opened)),
        };
        let mut expected = Vec::new();
        for round in 0..ROUNDS {
            let lines: Vec<_> = (0..97 * (round % 5) + 8)
                .map(|n| format!("{run}.{round}.{n}"))
                .collect();
            log.append(&(lines.join("\n") + "\n"));
            expected.extend(lines.into_iter().filter(|line| match run {
                0 => true,
                1 => line.contains('7'),
                _ => line.ends_with(['3', '7']),
            }));
            if round == ROUNDS / 2 {
                std::fs::rename(&log.path, log.dir.path().join(format!("app.log.{run}"))).unwrap();
                std::fs::File::create(&log.path).unwrap();
            }
            let last = expected.last().unwrap();
            seen.take(&hub, &filter, 1 + round % 2, last).await;
        }
        while seen.lines.last() != expected.last() {
            seen.take(&hub, &filter, 1, expected.last().unwrap()).await;
        }
        assert_eq!(seen.lines, expected, "{filter}");
        assert!(seen.files.iter().all(|what| what == "rotated"));
        assert!(!seen.files.is_empty());
    }
}

#[tokio::test]
async fn s65_who_comes_back_to_a_server_that_was_started_anew_goes_on() {
    let log = Log::new(2_000);
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    let open = json!({"log": "app", "backlog": 1_500, "credit": 3});
    ana.follow(open).await;
    let event = ana.any_event().await;
    assert_eq!(lines_of(&event), ["line 500", "line 501", "line 502"]);
    let quiet = ana
        .ok(json!({"op": "log.open", "log": "app", "backlog": 0}))
        .await;
    let stopped = hub.begin_stop();
    assert_eq!(ana.closed().await.0.get(), 1012);
    within(stopped).await.unwrap();
    log.append("line 2000\n");
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    let mut expected = 503;
    ana.follow(json!({"log": "app", "from": cursor(&event), "credit": 10_000}))
        .await;
    while expected <= 2_000 {
        for line in ana.lines().await {
            assert_eq!(line, format!("line {expected}"));
            expected += 1;
        }
    }
    // Also who saw nothing of it but its end.
    let from = cursor(&quiet);
    let resumed = ana
        .ok(json!({"op": "log.open", "log": "app", "from": from}))
        .await;
    assert_eq!(
        resumed,
        json!({"stream": "l2", "log": "app", "cursor": null})
    );
    assert_eq!(ana.lines().await, ["line 2000"]);
}

#[tokio::test]
async fn s65_where_a_stream_can_not_go_on_it_says_why_and_begins_anew() {
    let log = Log::new(5);
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    ana.follow(json!({"log": "app", "backlog": 4, "credit": 1}))
        .await;
    let event = ana.any_event().await;
    assert_eq!(lines_of(&event), ["line 1"]);
    let from = cursor(&event);
    let no_cursor = ["", "x", "0.0", "1.2.3.e.e", &from[1..].replace('.', ":")];
    let no_cursor = no_cursor.map(|from| (from.to_owned(), "mismatch"));
    let (file, place) = from.split_once('.').unwrap();
    let changed = [
        format!("1.{place}"),
        format!("{file}.0.1"),
        format!("{file}.7.1"),
        format!("{file}.{}.1", u64::MAX),
    ];
    let changed = changed.map(|from| (from, "changed"));
    for (from, reason) in no_cursor.into_iter().chain(changed) {
        let stream = ana
            .follow(json!({"log": "app", "from": from, "backlog": 2}))
            .await;
        let mut reset = ana.any_event().await;
        // The newest are in memory or not.
        reset["cursor"].take();
        assert_eq!(
            reset,
            json!({"ev": "log.reset", "stream": stream, "reason": reason, "cursor": null}),
            "{from}"
        );
        assert_eq!(ana.lines().await, ["line 3", "line 4"], "{from}");
        ana.ok(json!({"op": "log.close", "stream": stream})).await;
    }
    let open = json!({"op": "log.open", "log": "app", "from": "1".repeat(129)});
    assert_eq!(ana.err(open).await, "too_large");
    // With no backlog it says where that begins.
    let open = json!({"log": "app", "from": "x", "backlog": 0});
    ana.follow(open).await;
    let from = cursor(&ana.any_event().await);
    log.append("line 5\n");
    assert_eq!(ana.lines().await, ["line 5"]);
    let open = json!({"log": "app", "from": from});
    ana.follow(open).await;
    assert_eq!(ana.lines().await, ["line 5"]);
}

#[tokio::test]
async fn s65_what_is_far_behind_is_told_so() {
    let log = Log::new(2);
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    let stream = ana
        .follow(json!({"log": "app", "backlog": 2, "credit": 1}))
        .await;
    let from = cursor(&ana.any_event().await);
    ana.ok(json!({"op": "log.close", "stream": stream})).await;
    let mut other = hub.connect("/logs/app?mode=text&n=0").await;
    let block = format!("{}\n", "x".repeat(65_000)).repeat(100);
    for _ in 0..11 {
        log.append(&block);
    }
    log.append("the end\n");
    while support::text(&mut other).await != "the end" {}
    ana.follow(json!({"log": "app", "from": from, "backlog": 1}))
        .await;
    assert_eq!(ana.any_event().await["reason"], "too_far");
    assert_eq!(ana.lines().await, ["the end"]);
}

#[tokio::test]
async fn s65_lines_that_a_filter_leaves_out_move_the_cursor() {
    const LINES: usize = 5_000;
    let log = Log::new(LINES);
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    let open = json!({"log": "app", "backlog": LINES, "filter": {"text": "never"}, "credit": 1});
    let stream = ana.follow(open).await;
    let mut cursors = Vec::new();
    while cursors.len() < 3 {
        let event = ana.any_event().await;
        assert_eq!(event["lines"], json!([]));
        cursors.push(cursor(&event));
    }
    // They cost no credit.
    let credit = json!({"op": "credit", "stream": stream, "n": 0});
    assert_eq!(ana.ok(credit).await, json!({"credit": 1}));
    let mut last = 0;
    for from in cursors {
        let open = json!({"log": "app", "from": from, "credit": 1});
        ana.follow(open).await;
        let event = loop {
            let event = ana.any_event().await;
            if event["stream"] != stream {
                break event;
            }
        };
        let [line] = &lines_of(&event)[..] else {
            panic!("{event}")
        };
        let next: usize = line["line ".len()..].parse().unwrap();
        assert!((last + 1_000..last + 3_000).contains(&next), "{line}");
        last = next;
    }
}

/// Goal: a stack trace in which somebody is cut off is seen to its end.
#[tokio::test]
async fn s65_the_lines_of_an_error_are_known_as_such_behind_any_of_them() {
    let log = Log::new(1);
    let hub = log.hub().await;
    let filter = json!({"level": "error"});
    let opened = client(&hub)
        .await
        .ok(json!({"op": "log.open", "log": "app", "backlog": 0, "filter": filter}))
        .await;
    let mut from = cursor(&opened);
    log.append("ERROR a\n  at a\n  at b\nINFO c\n  at c\nERROR d\n  at d\n");
    for expected in ["ERROR a", "  at a", "  at b", "ERROR d", "  at d"] {
        let mut ana = client(&hub).await;
        ana.follow(json!({"log": "app", "from": from, "filter": filter, "credit": 1}))
            .await;
        let event = ana.event_with_lines().await;
        assert_eq!(lines_of(&event), [expected]);
        from = cursor(&event);
    }
}
