//! What the operator's log tells of those who come, and who can't drown it.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use fullduplex_hub::Config;
use serde_json::json;
use support::{
    Running, UPGRADE, V1,
    admin::with_admin,
    behind_a_proxy,
    http::MESSAGES,
    lines::Lines,
    tokens::{bearer, guarded, of, shown},
    within,
};

/// More than the lines of one kind that are told in ten seconds.
const FLOOD: usize = 101;

const ONE: &str = "203.0.113.1";
const BEHIND: &str = "X-Forwarded-For: 203.0.113.1\r\n";

/// The lines about something.
fn about(lines: &Lines, what: &str) -> Vec<String> {
    let text = lines.text();
    let lines = text.lines().filter(|line| line.contains(what));
    lines.map(str::to_owned).collect()
}

#[tokio::test]
async fn who_it_was_is_told_also_behind_a_proxy() {
    let (lines, _logging) = Lines::capture();
    let hub = Running::start(behind_a_proxy()).await;
    let client = hub.client("/ws").header("X-Forwarded-For", ONE).unwrap();
    let mut ws = within(client.connect()).await.unwrap().0;
    support::bye(&mut ws).await;
    let foreign = format!("{UPGRADE}{BEHIND}Origin: http://evil.example\r\n");
    assert_eq!(hub.get("/ws", &foreign).await.status, 403);
    within(hub.begin_stop()).await.unwrap();
    for what in ["connection ended", "handshake refused"] {
        let told = about(&lines, what);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("address=203.0.113.1"), "{told:?}");
        assert!(told[0].contains("peer=127.0.0.1:"), "{told:?}");
    }
}

#[tokio::test]
async fn tokens_that_are_refused_are_told_of_however_many_connections_end() {
    let (lines, _logging) = Lines::capture();
    let (config, _folder) = guarded(behind_a_proxy());
    let hub = Running::start(config).await;
    for _ in 0..FLOOD {
        let client = shown(hub.client("/echo"), &of("ana"));
        let mut ws = within(client.connect()).await.unwrap().0;
        support::bye(&mut ws).await;
    }
    let bad = format!("{BEHIND}{}", bearer("a.b.c"));
    let upgrade = format!("{UPGRADE}{bad}");
    assert_eq!(hub.get("/echo", &upgrade).await.status, 401);
    assert_eq!(hub.get(MESSAGES, &bad).await.status, 401);
    assert_eq!(hub.get(MESSAGES, BEHIND).await.status, 401, "none at all");
    let client = hub.client("/ws").header("X-Forwarded-For", ONE).unwrap();
    let mut client = V1::open(client).await;
    client
        .send(&json!({"op": "hello", "id": 1, "token": "a.b.c"}))
        .await;
    client.closed().await;
    let told = about(&lines, "token refused");
    assert_eq!(told.len(), 3, "{told:?}");
    for line in told {
        assert!(line.contains("address=203.0.113.1"), "{line}");
    }
}

#[tokio::test]
async fn all_that_moderators_do_is_told() {
    let (lines, _logging) = Lines::capture();
    let hub = Running::start(Config { ..with_admin() }).await;
    let mut ana = hub.v1().await;
    let id = ana.hello("Ana").await["user"]["id"].clone();
    let path = format!("/api/v1/rooms/general/members/{}", id.as_str().unwrap());
    for _ in 0..FLOOD {
        ana.ok(json!({"op": "join", "room": "general", "backlog": 0}))
            .await;
        assert_eq!(hub.ask("DELETE", &path).await.status, 204);
        ana.event("kick").await;
    }
    assert_eq!(about(&lines, "sent out of a room").len(), FLOOD);
}
