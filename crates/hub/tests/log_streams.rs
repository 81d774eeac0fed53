//! Logs followed in `fdx.v1.json`, from the outside.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::io::Cursor;

use fullduplex_hub::{LogInput, LogSource};
use fullduplex_tail::{Options, Source};
use serde_json::{Value, json};
use support::{
    Running, V1,
    log::{Log, following, lines_of},
    within,
};

/// A log that has all of this in memory, and then its end.
fn ended(name: &str, text: String) -> LogSource {
    let options = Options {
        max_lines: 100_000,
        max_bytes: 64 << 20,
        ..Options::default()
    };
    let source = Source::stream(Cursor::new(text), &options).unwrap();
    LogSource {
        name: name.into(),
        input: LogInput::Source(source.into()),
    }
}

async fn client(hub: &Running) -> V1 {
    let mut client = hub.v1().await;
    client.hello("Ana").await;
    client
}

/// That nothing more came of any stream: what was to come is before the reply to the second `ping`.
async fn nothing_came(client: &mut V1) {
    for _ in 0..2 {
        client.ok(json!({"op": "ping"})).await;
    }
    assert_eq!(client.take_events(), [] as [Value; 0]);
}

#[tokio::test]
async fn logs_are_named_and_followed_beside_rooms() {
    let log = Log::new(5);
    let hub = log.hub().await;
    let mut ana = hub.member("Ana", "general").await;
    ana.take_events();
    let listed = ana.ok(json!({"op": "log.list"})).await;
    assert_eq!(listed, json!({"logs": ["app"]}));
    let opened = ana
        .ok(json!({"op": "log.open", "log": "app", "backlog": 2}))
        .await;
    assert_eq!(
        opened,
        json!({"stream": "l1", "log": "app", "cursor": null})
    );
    let mut event = ana.event("log").await;
    assert!(event["cursor"].take().is_string());
    assert_eq!(
        event,
        json!({"ev": "log", "stream": "l1", "lines": ["line 3", "line 4"], "cursor": null})
    );
    // As many as a viewer gets, if it does not say.
    assert_eq!(ana.follow(json!({"log": "app"})).await, "l2");
    assert_eq!(lines_of(&ana.event("log").await).len(), 5);
    ana.ok(json!({"op": "log.close", "stream": "l2"})).await;
    log.append("new\n");
    let event = ana.event("log").await;
    assert_eq!(
        (&event["stream"], &event["lines"]),
        (&json!("l1"), &json!(["new"]))
    );
    ana.say("general", "c1", "hello").await;
    assert_eq!(ana.msg().await["body"], "hello");
    std::fs::rename(&log.path, log.dir.path().join("app.log.1")).unwrap();
    std::fs::write(&log.path, "fresh\n").unwrap();
    assert_eq!(
        ana.event("log.file").await,
        json!({"ev": "log.file", "stream": "l1", "what": "rotated"})
    );
    assert_eq!(lines_of(&ana.event("log").await), ["fresh"]);
    ana.ok(json!({"op": "log.close", "stream": "l1"})).await;
    log.append("unseen\n");
    assert_eq!(ana.follow(json!({"log": "app", "backlog": 0})).await, "l3");
    log.append("seen\n");
    let event = ana.event("log").await;
    assert_eq!(event["stream"], "l3", "nothing follows the reply");
    for gone in [
        json!({"op": "log.open", "log": "other"}),
        json!({"op": "log.set", "stream": "l1"}),
        json!({"op": "log.close", "stream": "l1"}),
        json!({"op": "credit", "stream": "l2", "n": 1}),
    ] {
        assert_eq!(ana.err(gone).await, "not_found");
    }
    hub.begin_stop();
    assert_eq!(ana.closed().await.0.get(), 1012);
}

#[tokio::test]
async fn a_stream_gives_as_many_lines_as_it_has_credit_for() {
    let log = Log::new(10);
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    let open = json!({"log": "app", "backlog": 10, "credit": 0});
    let stream = ana.follow(open).await;
    nothing_came(&mut ana).await;
    let credit = |n: usize| json!({"op": "credit", "stream": stream, "n": n});
    assert_eq!(ana.ok(credit(3)).await, json!({"credit": 3}));
    assert_eq!(ana.lines().await, ["line 0", "line 1", "line 2"]);
    nothing_came(&mut ana).await;
    assert_eq!(ana.ok(credit(9)).await, json!({"credit": 9}));
    assert_eq!(ana.lines().await.len(), 7);
    // Two are left; more than may be is refused, and changes nothing.
    assert_eq!(ana.err(credit(99_999)).await, "bad_request");
    assert_eq!(ana.ok(credit(99_998)).await, json!({"credit": 100_000}));
}

#[tokio::test]
async fn what_a_stream_without_credit_misses_is_told_when_it_has_some() {
    const LINES: usize = 30_000;
    let log = Log::new(0);
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    let open = json!({"log": "app", "backlog": 0, "credit": 1});
    let stream = ana.follow(open).await;
    let mut other = hub.connect("/logs/app?mode=text&n=0").await;
    log.append("first\n");
    assert_eq!(ana.lines().await, ["first"]);
    let block: Vec<_> = (0..LINES).map(|n| format!("{n}\n")).collect();
    log.append(&block.concat());
    log.append("the end\n");
    // By the time another viewer has seen the end, the source has read it all.
    while support::text(&mut other).await != "the end" {}
    ana.ok(json!({"op": "credit", "stream": stream, "n": 100_000}))
        .await;
    let (seen, skipped) = until_the_end(&mut ana).await;
    assert!(skipped > 0, "the source keeps 10,000 lines");
    assert_eq!(seen + skipped, LINES + 1);
    // The other one may have missed some, too.
    assert!(counted(&hub, "fdx_tail_skipped_lines_total").await >= skipped);
}

/// What the hub says of itself.
async fn counted(hub: &Running, name: &str) -> usize {
    let page = hub.get("/metrics", "").await.body;
    let mut lines = page.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

#[tokio::test]
async fn streams_and_lines_are_counted() {
    let log = Log::new(3);
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    for credit in [0, 2] {
        ana.follow(json!({"log": "app", "backlog": 3, "credit": credit}))
            .await;
    }
    ana.lines().await;
    assert_eq!(counted(&hub, "fdx_tail_streams").await, 2);
    assert_eq!(counted(&hub, "fdx_tail_lines_total").await, 2);
    let mut viewer = hub.connect("/logs/app?mode=text&n=3").await;
    support::text(&mut viewer).await;
    assert_eq!(counted(&hub, "fdx_tail_lines_total").await, 5);
    assert_eq!(counted(&hub, "fdx_tail_skipped_lines_total").await, 0);
    ana.ok(json!({"op": "log.close", "stream": "l1"})).await;
    assert_eq!(counted(&hub, "fdx_tail_streams").await, 1);
}

/// Reads on until the end of a burst: the lines that came, and those that were left out.
async fn until_the_end(client: &mut V1) -> (usize, usize) {
    let (mut seen, mut skipped) = (0, 0);
    loop {
        let event = client.any_event().await;
        match event["ev"].as_str().unwrap() {
            "log" => {
                let lines = lines_of(&event);
                seen += lines.len();
                if lines.last().unwrap() == "the end" {
                    return (seen, skipped);
                }
            }
            "log.skip" => skipped += usize::try_from(event["lines"].as_u64().unwrap()).unwrap(),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn s61_of_a_burst_each_of_twenty_gets_all_it_takes_and_a_slow_one_is_told_what_it_missed() {
    const LINES: usize = 60_000;
    let log = Log::new(0);
    let hub = log.hub().await;
    let open = json!({"log": "app", "backlog": 0, "credit": 100_000});
    let mut viewers = Vec::new();
    for _ in 0..19 {
        let mut viewer = hub.member("Bo", "general").await;
        viewer.follow(open.clone()).await;
        viewer.take_events();
        viewers.push(tokio::spawn(async move {
            let mut events = (0, 0);
            loop {
                let event = viewer.any_event().await;
                match event["ev"].as_str().unwrap() {
                    "log" => {
                        let lines = lines_of(&event);
                        events.0 += lines.len();
                        if lines.last().unwrap() == "the end" {
                            return events;
                        }
                    }
                    "log.skip" => {
                        events.1 += usize::try_from(event["lines"].as_u64().unwrap()).unwrap();
                    }
                    _ => {}
                }
            }
        }));
    }
    let mut slow = hub.narrow_v1().await;
    slow.follow(open).await;
    let filler = "x".repeat(300);
    let block: Vec<_> = (0..LINES).map(|n| format!("{n:06}{filler}\n")).collect();
    log.append(&block.concat());
    log.append("the end\n");
    for viewer in viewers {
        let (seen, skipped) = within(viewer).await.unwrap();
        assert_eq!(seen + skipped, LINES + 1);
    }
    let (seen, skipped) = until_the_end(&mut slow).await;
    assert!(skipped > 0, "it was not slow enough for this test");
    assert_eq!(seen + skipped, LINES + 1);
}

#[tokio::test]
async fn s62_of_a_million_lines_only_what_the_filter_wants_is_sent() {
    const LINES: usize = 1_000_000;
    let log = Log::new(LINES);
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    for filter in [
        json!({"regex": "(?i)^LINE 77777[7]$"}),
        json!({"text": "line 777777"}),
    ] {
        let open = json!({"log": "app", "backlog": LINES, "filter": filter, "credit": 2});
        ana.follow(open).await;
        assert_eq!(ana.lines().await, ["line 777777"]);
    }
    // What it left out costs no credit.
    log.append("no\nline 777777\nno\n");
    let first = ana.event_with_lines().await;
    let second = ana.event_with_lines().await;
    assert_eq!(
        (&first["lines"], &second["lines"]),
        (&json!(["line 777777"]), &json!(["line 777777"]))
    );
    assert_ne!(first["stream"], second["stream"]);
}

#[tokio::test]
async fn s62_no_filter_takes_for_ever_or_all_memory() {
    let log = Log::new(0);
    // Backtracking would need more steps for this than there are atoms.
    log.append(&"a".repeat(40_000));
    log.append("!\n");
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    let open = |filter: Value| json!({"op": "log.open", "log": "app", "filter": filter});
    for (regex, code) in [
        (r"(?:\w{100}){100}", "too_large"),
        (r"(?:(?:(?:a{99}){99}){99}){99}", "too_large"),
        (&"x".repeat(257), "too_large"),
        ("(?=a)", "bad_request"),
        (r"(a)\1", "bad_request"),
        ("(", "bad_request"),
        (&"(".repeat(256), "bad_request"),
    ] {
        assert_eq!(
            ana.err(open(json!({"regex": regex}))).await,
            code,
            "{regex}"
        );
    }
    for (n, regex) in ["(a+)+$", "(a|aa)+$", "(.*)*b"].into_iter().enumerate() {
        let stream = ana.follow(open(json!({"regex": regex}))).await;
        nothing_came(&mut ana).await;
        ana.ok(json!({"op": "log.set", "stream": stream, "filter": {"regex": r"(a+)+\d*!$"}}))
            .await;
        let last = format!("a{n}!");
        log.append(&format!("{last}\n"));
        while ana.lines().await.last() != Some(&last) {}
        ana.ok(json!({"op": "log.close", "stream": stream})).await;
        ana.take_events();
    }
}

#[tokio::test]
async fn what_comes_after_the_reply_passed_the_new_filter() {
    let log = Log::new(0);
    log.append("a1\nb1\na2\nb2\na3\n");
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    let open = json!({"log": "app", "filter": {"text": "a"}, "credit": 1});
    let stream = ana.follow(open).await;
    assert_eq!(ana.lines().await, ["a1"]);
    let mut set = json!({"op": "log.set", "stream": stream, "filter": {"regex": "^b"}});
    ana.ok(set.clone()).await;
    let credit = json!({"op": "credit", "stream": stream, "n": 10});
    ana.ok(credit).await;
    assert_eq!(ana.lines().await, ["b1", "b2"]);
    // A filter that can't be leaves the one there is.
    set["filter"] = json!({"regex": "("});
    assert_eq!(ana.err(set.clone()).await, "bad_request");
    log.append("a4\nb4\n");
    assert_eq!(ana.lines().await, ["b4"]);
    set["filter"] = Value::Null;
    ana.ok(set).await;
    log.append("c\n");
    assert_eq!(ana.lines().await, ["c"]);
}

/// Goal: nothing that an earlier filter let pass comes after the reply, and nothing that the new one lets pass is missing from then on.
/// Method: more than the connection takes, so that events are ready and lines are being looked at when the filter changes.
#[tokio::test]
async fn a_filter_that_changes_within_a_flood_holds_from_its_reply_on() {
    const LINES: usize = 20_000;
    let rest = "x".repeat(1_000);
    let line = |n: usize| format!("{}{n:06}{rest}\n", ["a", "b"][n % 2]);
    let hub = following([ended("app", (0..LINES).map(line).collect())]).await;
    let mut ana = hub.narrow_v1().await;
    let open = json!({"log": "app", "backlog": LINES, "filter": {"text": "a"}, "credit": LINES});
    let stream = ana.follow(open).await;
    ana.event("log").await;
    for turn in 0..12 {
        let filter = [
            json!({"regex": "^b"}),
            json!({"text": "a"}),
            json!({"text": "b"}),
            json!({"regex": "^a"}),
        ][turn % 4]
            .clone();
        ana.send(&json!({"op": "log.set", "id": turn, "stream": stream, "filter": filter}))
            .await;
        let (mut is_set, mut last) = (false, None);
        for _ in 0..3 {
            let mut frame = ana.frame().await;
            while !is_set && frame["ev"] != "log.end" {
                is_set = frame["re"] == turn;
                frame = ana.frame().await;
            }
            if frame["ev"] == "log.end" {
                // How soon it is at its end depends on what sockets hold.
                assert!(turn > 1, "the flood was too short");
                return;
            }
            for line in lines_of(&frame) {
                let (letter, number) = (&line[..1], line[1..7].parse::<usize>().unwrap());
                assert_eq!(letter, ["b", "a"][turn % 2]);
                assert!(last.is_none_or(|last| last + 2 == number), "{number}");
                last = Some(number);
            }
        }
    }
}

#[tokio::test]
async fn a_filter_by_level_lets_pass_what_matters_and_the_lines_that_belong_to_it() {
    let log = Log::new(0);
    log.append("INFO a\nERROR b\n  at b\n  at disk\nWARN c disk\nINFO d\n");
    let hub = log.hub().await;
    let mut ana = client(&hub).await;
    let open = |filter: Value| json!({"log": "app", "filter": filter});
    for (filter, lines) in [
        (
            json!({"level": "warn"}),
            &["ERROR b", "  at b", "  at disk", "WARN c disk"][..],
        ),
        (
            json!({"level": "error"}),
            &["ERROR b", "  at b", "  at disk"],
        ),
        (
            json!({"level": "warn", "text": "disk"}),
            &["  at disk", "WARN c disk"],
        ),
        (json!({"level": "error", "regex": "disk$"}), &["  at disk"]),
    ] {
        ana.follow(open(filter)).await;
        assert_eq!(ana.lines().await, lines);
    }
    ana.ok(json!({"op": "log.set", "stream": "l4", "filter": {"level": "info"}}))
        .await;
    for stream in ["l1", "l2", "l3"] {
        ana.ok(json!({"op": "log.close", "stream": stream})).await;
    }
    log.append("DEBUG e\n  e\nINFO f\n");
    assert_eq!(ana.lines().await, ["INFO f"]);
    // Nor does a line belong to one of another file.
    ana.ok(json!({"op": "log.set", "stream": "l4", "filter": {"level": "error"}}))
        .await;
    log.append("ERROR g\n");
    assert_eq!(ana.lines().await, ["ERROR g"]);
    std::fs::rename(&log.path, log.dir.path().join("app.log.1")).unwrap();
    std::fs::write(&log.path, "h\nERROR i\n").unwrap();
    assert_eq!(ana.any_event().await["what"], "rotated");
    assert_eq!(ana.lines().await, ["ERROR i"]);
}

#[tokio::test]
async fn a_log_that_ends_says_so_after_its_last_line() {
    let hub = following([ended("app", "one\ntwo\n".into())]).await;
    let mut ana = client(&hub).await;
    let stream = ana.follow(json!({"log": "app", "credit": 1})).await;
    assert_eq!(ana.lines().await, ["one"]);
    nothing_came(&mut ana).await;
    let credit = json!({"op": "credit", "stream": stream, "n": 5});
    ana.ok(credit.clone()).await;
    let mut seen = Vec::new();
    loop {
        let event = ana.any_event().await;
        if event["ev"] == "log.end" {
            assert_eq!(
                event,
                json!({"ev": "log.end", "stream": stream, "reason": "ended"})
            );
            break;
        }
        seen.extend(lines_of(&event));
    }
    assert_eq!(seen, ["two"]);
    assert_eq!(ana.err(credit).await, "not_found");
}

/// Method: three, for with two the second one's turn comes anyway, while the first is read on.
#[tokio::test]
async fn streams_take_turns_and_rooms_come_before_them() {
    // Far more than sockets hold.
    const LINES: usize = 20_000;
    const NAMES: [&str; 3] = ["app", "db", "web"];
    let flood = format!("{}\n", "x".repeat(1_000)).repeat(LINES);
    let hub = following(NAMES.map(|name| ended(name, flood.clone()))).await;
    let mut ana = hub.narrow_v1().await;
    ana.ok(json!({"op": "join", "room": "general"})).await;
    for log in NAMES {
        let open = json!({"log": log, "backlog": LINES, "credit": 0});
        ana.follow(open).await;
    }
    let mut bo = hub.member("Bo", "general").await;
    for stream in ["l1", "l2", "l3"] {
        let credit = json!({"op": "credit", "stream": stream, "n": LINES});
        ana.send(&credit).await;
    }
    ana.event("log").await;
    bo.say("general", "c1", "hello").await;
    let (mut before, mut streams) = (0, Vec::new());
    let mut said = false;
    while !said || streams.len() < 30 {
        let event = ana.any_event().await;
        match event["ev"].as_str().unwrap() {
            "log" => {
                streams.push(event["stream"].clone());
                before += usize::from(!said);
            }
            "msg" => said = true,
            _ => {}
        }
    }
    // There are some nine hundred.
    assert!(before < 300, "the message had to wait for {before}");
    for stream in ["l1", "l2", "l3"] {
        let turns = streams[..30].iter().filter(|of| **of == stream).count();
        assert!((8..=12).contains(&turns), "{streams:?}");
    }
}

#[tokio::test]
async fn when_the_server_goes_streams_end_before_they_are_through() {
    const LINES: usize = 50_000;
    let flood = format!("{}\n", "x".repeat(1_000)).repeat(LINES);
    let hub = following([ended("app", flood)]).await;
    let mut ana = hub.narrow_v1().await;
    let open = json!({"log": "app", "backlog": LINES, "credit": LINES});
    ana.follow(open).await;
    ana.event("log").await;
    hub.begin_stop();
    ana.event("bye").await;
    let after = within(ana.ws.recv()).await.unwrap();
    assert_eq!(after, None, "nothing follows it");
    assert_eq!(ana.closed().await.0.get(), 1012);
}

#[tokio::test]
async fn streams_are_limited_on_a_connection_and_on_the_server() {
    let log = Log::new(0);
    let hub = log.hub().await;
    let open = json!({"op": "log.open", "log": "app"});
    let mut clients = Vec::new();
    for _ in 0..125 {
        let mut client = client(&hub).await;
        for _ in 0..8 {
            client.ok(open.clone()).await;
        }
        clients.push(client);
    }
    let mut first = clients.swap_remove(0);
    assert_eq!(first.err(open.clone()).await, "rate_limited");
    let mut late = client(&hub).await;
    assert_eq!(late.err(open.clone()).await, "unavailable");
    first.ok(json!({"op": "log.close", "stream": "l3"})).await;
    late.ok(open.clone()).await;
    assert_eq!(late.err(open.clone()).await, "unavailable");
    // Places come back with the end of a connection.
    support::bye(&mut first.ws).await;
    within(async { while late.call(open.clone()).await["err"].is_object() {} }).await;
}
