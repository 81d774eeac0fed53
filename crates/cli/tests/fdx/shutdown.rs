//! SIGTERM under load.

use std::time::Instant;

use fullduplex::{Client, CloseCode, WebSocket};
use tokio::task::JoinSet;

use crate::program::{Program, has_descriptors_for, soon};

const CLIENTS: usize = 1000;

/// Nobody is cut off because the machine is slow.
const PATIENT: &[&str] = &["--timeouts.shutdown", "1h", "--timeouts.close", "30m"];

/// Connecting so many at a time leaves room in the listener's queue.
const AT_ONCE: usize = 50;

async fn connect(url: &str) -> Vec<WebSocket> {
    let mut clients = Vec::with_capacity(CLIENTS);
    while clients.len() < CLIENTS {
        let batch: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let url = url.to_owned();
                tokio::spawn(async move { fullduplex::connect(&url).await.unwrap() })
            })
            .collect();
        for client in batch {
            clients.push(soon("a connection", client).await.unwrap());
        }
    }
    clients
}

async fn tells_everybody(command: &[&str], path: &str) {
    if !has_descriptors_for(CLIENTS, "a thousand clients that are told to go") {
        return;
    }
    let (server, url) = Program::listen(command).await;
    let clients = connect(&url.ws(path)).await;
    let waiting: Vec<_> = clients
        .into_iter()
        .map(|mut ws| {
            tokio::spawn(async move {
                while let Ok(Some(_)) = ws.recv().await {}
                ws.outcome().unwrap()
            })
        })
        .collect();
    server.terminate();
    for client in waiting {
        let outcome = soon("the end of a connection", client).await.unwrap();
        assert_eq!(outcome.code(), CloseCode::GOING_AWAY, "{outcome}");
        assert!(outcome.clean, "{outcome}");
    }
    assert_eq!(server.end().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_closes_a_thousand_clients_with_1001_and_exits_with_0() {
    tells_everybody(&["echo"], "/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_closes_a_thousand_clients_with_1001_and_exits_with_0() {
    tells_everybody(&[&["serve"], PATIENT].concat(), "/ws").await;
}

/// A client of `fdx.v1.json` that is in a room.
async fn member(url: String) -> WebSocket {
    let client = Client::new(&url).unwrap().subprotocol("fdx.v1.json");
    let (mut ws, _) = client.unwrap().connect().await.unwrap();
    for command in [
        r#"{"op":"hello","id":1}"#,
        r#"{"op":"join","id":2,"room":"general"}"#,
    ] {
        ws.send(command).await.unwrap();
        ws.recv().await.unwrap().unwrap();
    }
    ws
}

/// 50,000 clients are scaled to 2,000: two sockets each are in this test and the server. How long it takes depends on the machine, and
/// is told.
#[tokio::test(flavor = "multi_thread")]
async fn s30_two_thousand_clients_are_told_to_come_back_and_go_in_good_order() {
    if !has_descriptors_for(
        2 * CLIENTS,
        "thousands of clients that are told to come back",
    ) {
        return;
    }
    let (server, url) = Program::listen(&[&["serve"], PATIENT].concat()).await;
    let mut waiting = JoinSet::new();
    while waiting.len() < 2 * CLIENTS {
        let mut batch = JoinSet::new();
        for _ in 0..AT_ONCE {
            batch.spawn(member(url.ws("/ws")));
        }
        for mut ws in soon("connections", batch.join_all()).await {
            waiting.spawn(async move {
                let mut last = None;
                while let Ok(Some(message)) = ws.recv().await {
                    last = message.as_text().map(str::to_owned);
                }
                (last, ws.outcome().unwrap())
            });
        }
    }
    let told = Instant::now();
    server.terminate();
    let bye = r#"{"ev":"bye","reason":"restart","reconnect_ms":0,"jitter_ms":2000}"#;
    for (last, outcome) in soon("the ends", waiting.join_all()).await {
        assert_eq!(last.as_deref(), Some(bye));
        assert_eq!(outcome.code(), CloseCode::SERVICE_RESTART, "{outcome}");
        assert!(outcome.clean, "{outcome}");
    }
    assert_eq!(server.end().await.code, Some(0));
    eprintln!(
        "{} clients were told and gone in {:.1?}",
        2 * CLIENTS,
        told.elapsed()
    );
}

#[tokio::test]
async fn s30_a_second_signal_cuts_a_drain_short() {
    let (server, url) = Program::listen(&["serve", "--drain", "3600"]).await;
    let mut ws = fullduplex::connect(&url.ws("/ws")).await.unwrap();
    server.terminate();
    server.told(|text| text.contains("stopping")).await;
    server.terminate();
    assert_eq!(server.end().await.code, Some(1));
    assert!(soon("the end", ws.recv()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn tail_closes_its_viewers_with_1001_and_exits_with_0() {
    let (server, url) = Program::listen(&["tail", "there-is-no-such.log"]).await;
    let mut ws = fullduplex::connect(&url.ws("/logs/there-is-no-such.log"))
        .await
        .unwrap();
    server.terminate();
    while let Ok(Some(_)) = soon("the end", ws.recv()).await {}
    assert_eq!(ws.outcome().unwrap().code(), CloseCode::GOING_AWAY);
    assert_eq!(server.end().await.code, Some(0));
}

#[tokio::test]
async fn a_second_signal_cuts_off_who_does_not_answer_the_close() {
    for (command, path) in [(vec!["echo"], "/"), ([&["serve"], PATIENT].concat(), "/ws")] {
        let (server, url) = Program::listen(&command).await;
        // Never looked at again, so it answers nothing.
        let _silent = fullduplex::connect(&url.ws(path)).await.unwrap();
        server.terminate();
        server.told(|text| text.contains("stopping")).await;
        server.terminate();
        let ended = server.end().await;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(
            ended
                .stderr
                .ends_with("fdx: stopped at once, by a second signal\n"),
            "{}",
            ended.stderr
        );
    }
}
