//! The life of a session: how it is replaced, told to go, and kept.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::time::Duration;

use fullduplex_hub::{Config, LogInput, LogSource, Timeouts};
use serde_json::{Value, json};
use support::{Running, V1, closed, within};

fn code(code: u16) -> fullduplex::CloseCode {
    fullduplex::CloseCode::new(code)
}

const SECRET: &str = "0123456789abcdef";

/// A client with a guest secret, and perhaps the session it had before. Its own is in the reply.
async fn guest(hub: &Running, secret: &str, session: Option<&Value>) -> (V1, Value) {
    let mut client = hub.v1().await;
    let hello = json!({"op": "hello", "name": "Ana", "guest": secret, "session": session});
    let welcome = client.ok(hello).await;
    (client, welcome["session"].clone())
}

#[tokio::test]
async fn s05_who_comes_back_over_another_network_replaces_its_old_connection() {
    let hub = Running::start(Config::default()).await;
    let mut bo = hub.member("Bo", "general").await;
    let (mut old, session) = guest(&hub, SECRET, None).await;
    let join = json!({"op": "join", "room": "general", "backlog": 0});
    let cursor = old.ok(join).await["cursor"].clone();
    // This goes the old way, where nobody reads any more.
    bo.say("general", "1", "missed").await;
    let mut new = hub.v1().await;
    let hello =
        json!({"op": "hello", "guest": SECRET, "session": session, "resume": {"general": cursor}});
    let welcome = new.ok(hello).await;
    assert_ne!(welcome["session"], session);
    assert_eq!(welcome["rooms"]["general"]["resume"], "ok");
    assert_eq!(old.closed().await.0, code(4006));
    bo.say("general", "2", "live").await;
    for body in ["missed", "live"] {
        assert_eq!(new.msg().await["body"], body);
    }
}

#[tokio::test]
async fn nobody_replaces_the_connection_of_somebody_else_or_its_own() {
    let hub = Running::start(Config::default()).await;
    let (mut ana, session) = guest(&hub, SECRET, None).await;
    let (mut eve, _) = guest(&hub, "another secret text", Some(&session)).await;
    let mut stranger = hub.v1().await;
    let hello = json!({"op": "hello", "name": "Ana", "session": session});
    stranger.ok(hello).await;
    let again = json!({"op": "hello", "guest": SECRET, "session": session});
    ana.ok(again).await;
    for nonsense in ["", "s_", "s_zz", "s_0", "90b1f3a27c5d6e48", "s_\u{1F600}"] {
        let hello = json!({"op": "hello", "guest": SECRET, "session": nonsense});
        eve.ok(hello).await;
    }
    for client in [&mut ana, &mut eve, &mut stranger] {
        client.ok(json!({"op": "ping"})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_connections_that_replace_each_other_neither_holds_up_the_other() {
    let hub = Running::start(Config::default()).await;
    for _ in 0..20 {
        let (mut one, first) = guest(&hub, SECRET, None).await;
        let (mut two, second) = guest(&hub, SECRET, None).await;
        let hello = |session| json!({"op": "hello", "guest": SECRET, "session": session});
        one.send(&hello(second)).await;
        two.send(&hello(first)).await;
        let end = tokio::select! {
            end = one.closed() => end,
            end = two.closed() => end,
        };
        assert_eq!(end.0, code(4006));
    }
}

#[tokio::test]
async fn a_client_chooses_its_heartbeat_and_turns_it_off() {
    let hub = Running::start(Config::default()).await;
    let mut client = hub.v1_at("/ws?hb=20").await;
    for (asked, granted) in [
        (json!(null), 20_000),
        (json!(1), 5_000),
        (json!(25_000), 25_000),
        (json!(1_000_000_000_u64), 300_000),
        (json!(null), 300_000),
        (json!(0), 0),
        (json!(null), 0),
    ] {
        let welcome = client.ok(json!({"op": "hello", "hb_ms": asked})).await;
        assert_eq!(welcome["hb"], granted, "{asked}");
    }
    for bad in [json!(-1), json!(1.5), json!("20000")] {
        let hello = json!({"op": "hello", "hb_ms": bad});
        assert_eq!(client.err(hello).await, "bad_request", "{bad}");
    }
}

#[tokio::test]
async fn s30_a_drained_server_ends_its_sessions_one_after_the_other_and_lets_nobody_in() {
    let drain = Duration::from_secs(1);
    let timeouts = Timeouts {
        drain,
        ..Timeouts::default()
    };
    let hub = Running::start(Config {
        timeouts,
        ..Config::default()
    })
    .await;
    let mut plain = hub.connect("/ws").await;
    let mut clients = Vec::new();
    for n in 0..20 {
        clients.push(hub.member(&format!("n{n}"), "general").await);
    }
    let addr = hub.addr;
    let begun = tokio::time::Instant::now();
    let stopped = hub.begin_stop();
    let mut ends = tokio::task::JoinSet::new();
    for mut client in clients {
        ends.spawn(async move {
            assert_eq!(client.closed().await.0, code(1012));
            begun.elapsed()
        });
    }
    assert_eq!(closed(&mut plain).await.0, code(1001));
    let mut ends = within(ends.join_all()).await;
    within(stopped).await.unwrap();
    assert!(begun.elapsed() >= drain);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    ends.sort_unstable();
    // None before its turn, the first ones long before the last.
    assert!(
        ends[10] >= drain * 9 / 21 && ends[19] >= drain * 18 / 21,
        "{ends:?}"
    );
    assert!(ends[0] < ends[19] / 2, "{ends:?}");
}

#[tokio::test]
async fn so_it_does_its_echoes_streams_and_viewers_of_logs() {
    const EACH: usize = 6;
    let drain = Duration::from_secs(2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    std::fs::write(&path, "").unwrap();
    let log = LogSource {
        name: "app".into(),
        input: LogInput::File(path),
    };
    let timeouts = Timeouts {
        drain,
        // Less than the last one waits.
        http: drain / 2,
        ..Timeouts::default()
    };
    let hub = Running::start(Config {
        timeouts,
        logs: vec![log],
        ..Config::default()
    })
    .await;
    let mut ends = tokio::task::JoinSet::new();
    let (stopping, begun) = tokio::sync::watch::channel(None);
    for _ in 0..EACH {
        for path in ["/echo", "/logs/app"] {
            let (mut ws, begun) = (hub.connect(path).await, begun.clone());
            ends.spawn(async move {
                while within(ws.recv())
                    .await
                    .is_ok_and(|message| message.is_some())
                {}
                assert_eq!(closed(&mut ws).await.0, code(1001));
                elapsed(&begun)
            });
        }
        let (mut stream, begun) = (hub.sse("/sse/general", "").await, begun.clone());
        stream.event("ok").await;
        ends.spawn(async move {
            stream.event("bye").await;
            assert!(stream.next().await.is_none());
            elapsed(&begun)
        });
    }
    stopping.send_replace(Some(tokio::time::Instant::now()));
    let stopped = hub.begin_stop();
    let ends: Vec<Duration> = within(ends.join_all()).await;
    within(stopped).await.unwrap();
    let last = ends.iter().max().unwrap();
    let first = ends.iter().min().unwrap();
    // None is there that has to wait for all others.
    assert!(*first < drain / 2, "{ends:?}");
    let late = ends.iter().filter(|end| **end >= drain / 2).count();
    assert!(
        late >= ends.len() / 2 && *last >= drain * 9 / 10,
        "{ends:?}"
    );
}

/// Since the end began.
fn elapsed(begun: &tokio::sync::watch::Receiver<Option<tokio::time::Instant>>) -> Duration {
    begun.borrow().unwrap().elapsed()
}
