//! Streams of events by HTTP.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{collections::BTreeSet, ops::Range};

use fullduplex_hub::{AllowedOrigins, Config, Limits, Rate, Rates, TrustedProxies, auth::Access};
use serde_json::json;
use support::{Answer, HOUR, Running, bodies, pass, unhurried, within};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_stream_begins_with_where_it_is_and_goes_on_with_what_comes() {
    let hub = Running::start(Config {
        timeouts: unhurried(),
        ..Config::default()
    })
    .await;
    let mut empty = hub.sse("/sse/a%20b", "").await;
    for header in [
        "content-type: text/event-stream",
        "cache-control: no-store",
        "connection: close",
        "x-accel-buffering: no",
    ] {
        assert!(empty.head.contains(header), "{header} in {}", empty.head);
    }
    let begin = empty.event("ok").await;
    let id = begin.id.clone().expect("where nothing was said, too");
    assert!(id.ends_with(".0.000000"), "{id}");
    let expected =
        json!({"room": "a b", "epoch": begin.data["epoch"], "head": 0, "floor": 1, "cursor": id});
    assert_eq!(begin.data, expected);
    // Not before a restart is over, and not all at once.
    let mut retries = BTreeSet::from([begin.retry.unwrap()]);
    for _ in 0..4 {
        let mut stream = hub.sse("/sse/a%20b", "").await;
        retries.insert(stream.event("ok").await.retry.unwrap());
    }
    assert!(retries.iter().all(|ms| (2_000..2_500).contains(ms)));
    assert!(retries.len() > 1, "{retries:?}");

    let said = hub.say("a%20b", "one\nline").await;
    let event = empty.event("msg").await;
    assert_eq!(event.data["body"], "one\nline");
    assert_eq!(event.data["seq"], said["seq"]);
    let chk = &said["id"].as_str().unwrap()[20..];
    let epoch = begin.data["epoch"].as_str().unwrap();
    assert_eq!(event.id, Some(format!("{epoch}.{}.{chk}", said["seq"])));

    // The newest, without a cursor before they came: who gets no further begins anew.
    hub.say("a%20b", "two").await;
    let mut late = hub.sse("/sse/a%20b?backlog=1", "").await;
    assert_eq!(late.event("ok").await.id, None);
    assert_eq!(late.bodies(1).await, ["two"]);
    let mut live = hub.sse("/sse/a%20b?backlog=0", "").await;
    let head = live.event("ok").await;
    assert_eq!(head.id.as_deref(), head.data["cursor"].as_str());
}

#[tokio::test]
async fn a_web_socket_a_stream_and_a_poller_see_the_same_in_the_same_order() {
    let hub = Running::start(Config::default()).await;
    let mut socket = hub.member("Ana", "general").await;
    let mut stream = hub.sse("/sse/general", "").await;
    let mut cursor = stream.event("ok").await.id.unwrap();
    let mut senders = Vec::new();
    for sender in 0..4 {
        let mut one = hub.member(&format!("s{sender}"), "general").await;
        senders.push(tokio::spawn(async move {
            for n in 0..25 {
                let text = format!("{sender}-{n}");
                one.say("general", &text, &text).await;
            }
        }));
    }
    let (mut seen, mut streamed, mut polled) = (Vec::new(), Vec::new(), Vec::new());
    while polled.len() < 100 {
        let page = hub
            .poll("general", &format!("wait=25&limit=7&after={cursor}"))
            .await;
        cursor = page["cursor"].as_str().unwrap().to_owned();
        polled.extend(page["events"].as_array().unwrap().iter().cloned());
    }
    for _ in 0..100 {
        seen.push(socket.msg().await);
        streamed.push(stream.event("msg").await.data);
    }
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(seen, streamed);
    assert_eq!(seen, polled);
}

#[tokio::test]
async fn a_cursor_that_leads_nowhere_is_a_reset_with_its_reason_and_the_newest_follow() {
    let limits = Limits {
        ring_events: 4,
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        ..Config::default()
    })
    .await;
    let mut ids = Vec::new();
    let mut stream = hub.sse("/sse/general", "").await;
    stream.event("ok").await;
    for n in 0..8 {
        hub.say("general", &n.to_string()).await;
        ids.push(stream.event("msg").await.id.unwrap());
    }
    let newest = ids.last().unwrap();
    let (epoch, _) = newest.split_once('.').unwrap();
    let check = newest.rsplit('.').next().unwrap();
    for (since, reason) in [
        (format!("zz01.8.{check}"), "epoch"),
        (ids[0].clone(), "truncated"),
        (format!("{epoch}.99.{check}"), "ahead"),
        (format!("{epoch}.8.ABCDEF"), "mismatch"),
        ("nonsense".to_owned(), "mismatch"),
    ] {
        let header = format!("Last-Event-ID: {since}\r\n");
        // What a client has last wins over what it once began with.
        let path = format!("/sse/general?backlog=2&since={newest}");
        let mut stream = hub.sse(&path, &header).await;
        let begin = stream.event("reset").await;
        assert_eq!(begin.data["resume"], "reset", "{since}");
        assert_eq!(begin.data["reason"], reason, "{since}");
        assert_eq!(begin.id, None, "{since}");
        assert_eq!(stream.bodies(2).await, ["6", "7"], "{since}");

        let page = hub
            .poll("general", &format!("wait=0&limit=2&after={since}"))
            .await;
        assert_eq!(page["reset"], reason, "{since}");
        assert_eq!(bodies(&page["events"]), ["6", "7"], "{since}");
        assert_eq!(page["cursor"], newest.as_str(), "{since}");
    }
    let mut stream = hub.sse(&format!("/sse/general?since={}", ids[5]), "").await;
    let begin = stream.event("ok").await;
    assert_eq!((&begin.data["resume"], begin.id), (&json!("ok"), None));
    assert_eq!(stream.bodies(2).await, ["6", "7"]);
}

#[tokio::test]
async fn where_nothing_is_said_a_comment_is_for_as_long_as_it_is_taken() {
    let hub = Running::start(Config {
        timeouts: unhurried(),
        ..Config::default()
    })
    .await;
    let mut stream = hub.sse("/sse/general", "").await;
    stream.event("ok").await;
    // Longer than connections live that carry none.
    for _ in 0..6 {
        pass(HOUR).await;
        stream.event("hb").await;
    }
    hub.say("general", "still there").await;
    while stream.next().await.unwrap().event == "hb" {}
}

#[tokio::test]
async fn who_takes_nothing_is_cut_off_and_leaves_its_place() {
    let limits = Limits {
        followers: Some(1),
        ..Limits::default()
    };
    let hub = Running::start(Config {
        timeouts: unhurried(),
        limits,
        ..Config::default()
    })
    .await;
    let mut deaf = hub.narrow_sse("/sse/general").await;
    deaf.event("ok").await;
    // It takes what it is told for a while.
    let body = "x".repeat(16_000);
    for _ in 0..10 {
        hub.say("general", &body).await;
        pass(HOUR).await;
    }
    let refused = hub.get("/sse/general", "").await;
    assert_eq!(refused.problem(), (503, "unavailable".into()));
    assert_eq!(refused.header("retry-after"), Some("5"));
    within(async {
        // Until its socket is full.
        while hub
            .get("/api/v1/rooms/general/messages?limit=1&wait=0", "")
            .await
            .status
            == 503
        {
            hub.say("general", &body).await;
            pass(HOUR).await;
        }
    })
    .await;
}

/// What an `EventSource` is given in place of a refusal: when to come back, within these milliseconds.
fn assert_comes_back(answer: &Answer, waits: Range<u64>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("retry-after"), None);
    let retry = answer.body.strip_prefix("retry: ").expect("a stream");
    let wait = retry.strip_suffix("\n\n").unwrap().parse().unwrap();
    assert!(waits.contains(&wait), "{answer:?}");
}

const BROWSER: &str = "Accept: text/event-stream\r\n";

#[tokio::test]
async fn an_event_source_that_is_refused_for_now_is_told_when_to_come_back_and_others_get_the_status()
 {
    let limits = Limits {
        followers: Some(1),
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        origins: AllowedOrigins::List(vec!["https://chat.example".into()]),
        ..Config::default()
    })
    .await;
    let mut stream = hub.sse("/sse/general", BROWSER).await;
    stream.event("ok").await;
    let from = |site: &str| format!("{BROWSER}Origin: https://{site}.example\r\n");
    let answer = hub.get("/sse/general", &from("chat")).await;
    assert_comes_back(&answer, 5_000..10_000);
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, Some("https://chat.example"));
    let other = hub.get("/sse/general", "Accept: */*\r\n").await;
    assert_eq!(other.problem(), (503, "unavailable".into()));
    // What stays is said by the status, and so is what is no stream.
    assert_eq!(hub.get("/sse/general", &from("evil")).await.status, 403);
    assert_eq!(hub.get("/sse/.", BROWSER).await.status, 400);
    let poll = "/api/v1/rooms/general/messages?wait=0&limit=1";
    assert_eq!(hub.get(poll, BROWSER).await.status, 503);
}

#[tokio::test]
async fn an_event_source_that_asks_too_often_comes_back_too() {
    let rates = Rates {
        requests_per_address: Rate::new(1, 1),
        ..Rates::default()
    };
    let hub = Running::start(Config {
        rates,
        trusted_proxies: TrustedProxies::parse(["127.0.0.0/8"]).unwrap(),
        access: Access::Open,
        ..Config::default()
    })
    .await;
    let refused = async |headers: &str| {
        let headers = format!("X-Forwarded-For: 203.0.113.1\r\n{headers}");
        loop {
            // No room, so that what is let in ends, too.
            let answer = within(hub.get("/sse/.", &headers)).await;
            if answer.status != 400 {
                return answer;
            }
        }
    };
    assert_comes_back(&refused(BROWSER).await, 1_000..2_000);
    assert_eq!(refused("").await.status, 429);
}

#[tokio::test]
async fn a_reader_too_slow_for_the_log_is_told_what_it_missed_and_goes_on() {
    let limits = Limits {
        ring_events: 8,
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        timeouts: unhurried(),
        ..Config::default()
    })
    .await;
    let mut slow = hub.narrow_sse("/sse/general").await;
    slow.event("ok").await;
    let mut writer = hub.member("Ana", "general").await;
    let long = "x".repeat(15_000);
    for n in 0..200 {
        writer.say("general", &n.to_string(), &long).await;
    }
    let mut before = 0;
    let gap = loop {
        let block = slow.next().await.expect("it goes on");
        if block.event == "gap" {
            break block;
        }
        assert_eq!(block.data["prev"], before);
        before = block.data["seq"].as_u64().unwrap();
    };
    assert_eq!(gap.data["from"], before + 1);
    let next = slow.event("msg").await;
    assert_eq!(next.data["prev"], gap.data["to"]);
    // The gap has a cursor, too: who comes back with it has missed no more.
    let last = format!("Last-Event-ID: {}\r\n", gap.id.unwrap());
    let mut back = hub.sse("/sse/general", &last).await;
    assert_eq!(back.event("ok").await.data["resume"], "ok");
    assert_eq!(back.event("msg").await, next);
}

#[tokio::test]
async fn a_client_that_goes_leaves_its_place() {
    let limits = Limits {
        followers: Some(1),
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        ..Config::default()
    })
    .await;
    let mut stream = hub.sse("/sse/general", "").await;
    stream.event("ok").await;
    drop(stream);
    let page = "/api/v1/rooms/general/messages?limit=1&wait=0";
    within(async { while hub.get(page, "").await.status == 503 {} }).await;
    // A poll that is given up as well.
    let cursor = hub.poll("general", "limit=1&wait=0").await["cursor"].clone();
    let mut poll = tokio::net::TcpStream::connect(hub.addr).await.unwrap();
    let path = page.replace(
        "wait=0",
        &format!("wait=60&after={}", cursor.as_str().unwrap()),
    );
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    poll.write_all(request.as_bytes()).await.unwrap();
    within(async { while hub.get(page, "").await.status == 200 {} }).await;
    drop(poll);
    within(async { while hub.get(page, "").await.status == 503 {} }).await;
}

#[cfg(feature = "sqlite")]
mod on_disk {
    use fullduplex_hub::{Hub, log::sqlite::Options};
    use tokio::net::TcpListener;

    use super::*;

    async fn start(folder: &tempfile::TempDir, config: Config) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = Options::new(folder.path());
        Running::run(Hub::durable(config, listener, &options).await.unwrap())
    }

    #[tokio::test]
    async fn a_stream_is_told_of_a_restart_and_goes_on_exactly_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let hub = start(&folder, Config::default()).await;
        let mut stream = hub.sse("/sse/general", "").await;
        stream.event("ok").await;
        hub.say("general", "one").await;
        let one = stream.event("msg").await.id.unwrap();
        hub.say("general", "two").await;
        let two = stream.event("msg").await.id.unwrap();
        let stopped = hub.begin_stop();
        let bye = stream.event("bye").await;
        assert_eq!(bye.data["reason"], "restart");
        assert_eq!(bye.data["reconnect_ms"], 2_000);
        assert!((2_000..2_500).contains(&bye.retry.unwrap()), "{bye:?}");
        assert_eq!(stream.next().await, None);
        within(stopped).await.unwrap();

        let hub = start(&folder, Config::default()).await;
        hub.say("general", "three").await;
        for (last, expected) in [(&one, &["two", "three"][..]), (&two, &["three"])] {
            let mut stream = hub
                .sse("/sse/general", &format!("Last-Event-ID: {last}\r\n"))
                .await;
            assert_eq!(stream.event("ok").await.data["resume"], "ok");
            assert_eq!(stream.bodies(expected.len()).await, expected);
            let page = hub.poll("general", &format!("after={last}&wait=25")).await;
            assert_eq!(bodies(&page["events"]), expected);
            assert_eq!(page["reset"], json!(null));
        }
    }

    #[tokio::test]
    async fn a_poll_finds_what_only_the_log_has_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            ring_events: 4,
            ..Limits::default()
        };
        let config = Config {
            limits,
            ..Config::default()
        };
        let hub = start(&folder, config).await;
        let begin = hub.poll("general", "wait=0").await;
        let mut cursor = begin["cursor"].as_str().unwrap().to_owned();
        for n in 0..20 {
            hub.say("general", &n.to_string()).await;
        }
        let mut polled = Vec::new();
        for expected in [8, 8, 4, 0] {
            let query = format!("wait=0&limit=8&after={cursor}");
            let page = hub.poll("general", &query).await;
            assert_eq!(page["events"].as_array().unwrap().len(), expected);
            polled.extend(bodies(&page["events"]).iter().map(ToString::to_string));
            page["cursor"].as_str().unwrap().clone_into(&mut cursor);
        }
        assert_eq!(polled, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_slow_reader_costs_no_queue_and_misses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let limits = Limits {
            ring_events: 8,
            ..Limits::default()
        };
        let hub = start(
            &folder,
            Config {
                limits,
                timeouts: unhurried(),
                ..Config::default()
            },
        )
        .await;
        let mut slow = hub.narrow_sse("/sse/general").await;
        slow.event("ok").await;
        let mut writer = hub.member("Ana", "general").await;
        let long = "x".repeat(15_000);
        for n in 0..200 {
            let body = format!("{n} {long}");
            writer.say("general", &n.to_string(), &body).await;
        }
        let mut before = 0;
        for n in 0..200 {
            let event = slow.event("msg").await.data;
            assert_eq!(event["cid"], n.to_string());
            assert_eq!(event["prev"], before);
            before = event["seq"].as_u64().unwrap();
        }
    }
}
