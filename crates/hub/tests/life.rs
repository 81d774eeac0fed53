//! The life of a session: how it is replaced, told to go, and kept.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{net::SocketAddr, time::Duration};

use fullduplex_hub::{Config, LogInput, LogSource, Timeouts};
use serde_json::{Value, json};
use support::{HOUR, Running, V1, closed, pass, unhurried, within};
use tokio::net::TcpStream;

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

async fn nobody_listens(addr: SocketAddr) {
    while TcpStream::connect(addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
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
    const EACH: u32 = 20;
    let drain = HOUR;
    let timeouts = Timeouts {
        drain,
        ..unhurried()
    };
    let hub = Running::start(Config {
        timeouts,
        ..Config::default()
    })
    .await;
    let mut plain = hub.connect("/ws").await;
    let mut clients = Vec::new();
    for n in 0..EACH {
        clients.push(hub.member(&format!("n{n}"), "general").await);
    }
    let addr = hub.addr;
    let stopped = hub.begin_stop();
    let mut ends = tokio::task::JoinSet::new();
    ends.spawn(async move { closed(&mut plain).await.0 });
    for mut client in clients {
        ends.spawn(async move { client.closed().await.0 });
    }
    within(nobody_listens(addr)).await;
    let mut codes = Vec::new();
    for _ in 0..=EACH {
        // One at a time, and none before its turn.
        assert!(ends.try_join_next().is_none(), "{codes:?}");
        pass(drain / (EACH + 1)).await;
        codes.push(within(ends.join_next()).await.unwrap().unwrap().get());
    }
    within(stopped).await.unwrap();
    codes.sort_unstable();
    assert_eq!(codes[0], 1001);
    assert!(codes[1..].iter().all(|code| *code == 1012), "{codes:?}");
}

#[tokio::test]
async fn so_it_does_its_echoes_streams_and_viewers_of_logs() {
    const EACH: usize = 6;
    let drain = HOUR;
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
        ..unhurried()
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
    let (addr, stopped) = (hub.addr, hub.begin_stop());
    within(nobody_listens(addr)).await;
    pass(drain * 9 / 20).await;
    let first = within(ends.join_next()).await.unwrap().unwrap();
    assert!(first < drain / 2, "{first:?}");
    pass(drain * 9 / 20).await;
    let second = within(ends.join_next()).await.unwrap().unwrap();
    pass(drain / 10).await;
    let mut ends: Vec<Duration> = within(ends.join_all()).await;
    within(stopped).await.unwrap();
    ends.extend([first, second]);
    let late = ends.iter().filter(|end| **end >= drain / 2).count();
    let last = ends.iter().max().unwrap();
    assert!(
        late >= ends.len() / 2 && *last >= drain * 9 / 10,
        "{ends:?}"
    );
}

/// Since the end began.
fn elapsed(begun: &tokio::sync::watch::Receiver<Option<tokio::time::Instant>>) -> Duration {
    begun.borrow().unwrap().elapsed()
}
