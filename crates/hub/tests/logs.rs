//! Live logs, from the outside.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::fs;

use fullduplex::WebSocket;
use fullduplex_hub::{Config, Site};
use serde_json::{Value, json};
use support::{Running, closed, deaf, frame, log::Log, text, within};

async fn event(ws: &mut WebSocket) -> Value {
    serde_json::from_str(&text(ws).await).unwrap()
}

/// Lines until there are as many as wanted.
async fn lines(ws: &mut WebSocket, wanted: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while lines.len() < wanted {
        let event = event(ws).await;
        assert_eq!(event["ev"], "log", "{event}");
        lines.extend(
            event["lines"]
                .as_array()
                .unwrap()
                .iter()
                .map(|l| l.as_str().unwrap().to_owned()),
        );
    }
    lines
}

#[tokio::test]
async fn a_viewer_gets_the_newest_lines_and_then_those_to_come() {
    let log = Log::new(150);
    let hub = log.hub().await;
    let mut ws = hub.connect("/logs/app").await;
    assert_eq!(
        event(&mut ws).await,
        json!({"ev": "log.open", "source": "app"})
    );
    let expected: Vec<_> = (50..150).map(|n| format!("line {n}")).collect();
    assert_eq!(lines(&mut ws, 100).await, expected);
    log.append("half");
    log.append(" and half <b>\n");
    assert_eq!(lines(&mut ws, 1).await, ["half and half <b>"]);
    let mut ws = hub.connect("/logs/app?n=2").await;
    event(&mut ws).await;
    assert_eq!(lines(&mut ws, 2).await, ["line 149", "half and half <b>"]);
}

#[tokio::test]
async fn text_mode_is_a_message_per_line_and_nothing_else() {
    let log = Log::new(3);
    let hub = log.hub().await;
    for resource in [
        "/logs/app?mode=text&n=all",
        "/logs/app?mode=text&from=start",
    ] {
        let mut ws = hub.connect(resource).await;
        for n in 0..3 {
            assert_eq!(text(&mut ws).await, format!("line {n}"));
        }
    }
    let mut ws = hub.connect("/logs/app?mode=text&n=0").await;
    // The reader's place is taken before the handshake is answered.
    log.append("\nnew\n");
    assert_eq!(text(&mut ws).await, "");
    assert_eq!(text(&mut ws).await, "new");
}

#[tokio::test]
async fn what_happens_to_the_file_is_told() {
    let log = Log::new(1);
    let hub = log.hub().await;
    let mut ws = hub.connect("/logs/app").await;
    event(&mut ws).await;
    assert_eq!(lines(&mut ws, 1).await, ["line 0"]);
    fs::rename(&log.path, log.dir.path().join("app.log.1")).unwrap();
    fs::write(&log.path, "fresh\n").unwrap();
    assert_eq!(
        event(&mut ws).await,
        json!({"ev": "log.file", "what": "rotated"})
    );
    assert_eq!(lines(&mut ws, 1).await, ["fresh"]);
}

#[tokio::test]
async fn only_named_sources_are_served() {
    let log = Log::new(1);
    let hub = log.hub().await;
    let sources = hub.get("/api/v1/logs", "").await;
    assert_eq!(sources.body, r#"{"sources":[{"name":"app"}]}"#);
    assert_eq!(sources.header("content-type"), Some("application/json"));
    assert_eq!(hub.get("/logs", "").await.status, 200);
    assert_eq!(hub.get("/logs/app", "").await.status, 200);
    for bad in [
        "/logs/other",
        "/logs/..%2fapp",
        "/logs/app?n=x",
        "/logs/app?from=end",
        "/logs/app?mode=x",
    ] {
        assert!(hub.client(bad).connect().await.is_err(), "{bad}");
    }
    let mut ws = hub.connect("/logs/app").await;
    let stopped = hub.begin_stop();
    assert_eq!(closed(&mut ws).await.0.get(), 1001);
    within(stopped).await.unwrap();
}

#[tokio::test]
async fn a_site_of_logs_has_no_chat_and_serves_the_tutorials_page() {
    let log = Log::new(2);
    let site = Site::Logs {
        at: Some("/echo".into()),
    };
    let config = Config {
        site,
        logs: vec![log.source()],
        ..Config::default()
    };
    let hub = Running::start(config).await;
    assert_eq!(hub.get("/ws", "").await.status, 404);
    assert_eq!(hub.get("/", "").await.body, hub.get("/logs", "").await.body);
    let mut ws = hub.connect("/echo").await;
    assert_eq!(text(&mut ws).await, "line 0");
    assert_eq!(text(&mut ws).await, "line 1");
}

#[tokio::test]
async fn a_viewer_that_was_too_slow_is_told_how_many_lines_it_missed() {
    const LINES: usize = 60_000;
    let log = Log::new(0);
    let hub = log.hub().await;
    let mut slow = deaf(&hub, "/logs/app?n=0", "").await;
    let mut other = hub.connect("/logs/app?mode=text&n=0").await;
    let filler = "x".repeat(300);
    let block: Vec<_> = (0..LINES).map(|n| format!("{n:06}{filler}\n")).collect();
    log.append(&block.concat());
    log.append("the end\n");
    // By the time another viewer has seen the end, the source has read it all.
    while text(&mut other).await != "the end" {}
    let (mut seen, mut skipped) = (0, 0);
    let mut last = String::new();
    while last != "the end" {
        let (opcode, payload) = frame(&mut slow).await.expect("the connection lives");
        if opcode != 1 {
            continue;
        }
        let event: Value = serde_json::from_slice(&payload).unwrap();
        match event["ev"].as_str().unwrap() {
            "log" => {
                let lines = event["lines"].as_array().unwrap();
                seen += lines.len();
                last = lines.last().unwrap().as_str().unwrap().to_owned();
            }
            "log.skip" => skipped += usize::try_from(event["lines"].as_u64().unwrap()).unwrap(),
            _ => {}
        }
    }
    assert!(skipped > 0, "it was not slow enough for this test");
    assert_eq!(seen + skipped, LINES + 1);
}
