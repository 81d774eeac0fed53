//! `fdx echo` and its flags.

use fullduplex::{Client, CloseCode, ConnectError, Deflate, Message, WebSocket};

use crate::{
    http::get,
    program::{Program, Url, connect, soon},
};

async fn dial(url: &str) -> WebSocket {
    soon("a connection", fullduplex::connect(url))
        .await
        .unwrap()
}

/// Waits for the end without a message before it.
async fn end(ws: &mut WebSocket) -> (u16, String) {
    soon("the end", ws.recv()).await.ok();
    let outcome = ws.outcome().unwrap();
    (outcome.code().get(), outcome.reason().to_owned())
}

#[tokio::test]
async fn messages_come_back_with_their_type_on_any_path() {
    let (_echo, url) = Program::listen(&["echo"]).await;
    let mut ws = dial(&url.ws("/any/path?x=y")).await;
    for message in [
        Message::text(""),
        Message::text("你好"),
        Message::binary(vec![0, 255]),
        Message::binary(vec![7; 1 << 20]),
    ] {
        ws.send(message.clone()).await.unwrap();
        assert_eq!(soon("the echo", ws.recv()).await.unwrap(), Some(message));
    }
}

#[tokio::test]
async fn the_clients_first_subprotocol_that_is_spoken_is_agreed_on() {
    let (_echo, url) = Program::listen(&[
        "echo",
        "--subprotocol",
        "chat",
        "--subprotocol",
        "superchat",
    ])
    .await;
    for (offered, agreed) in [
        (&["superchat", "chat"][..], Some("superchat")),
        (&["other", "chat"], Some("chat")),
        (&["other"], None),
        (&[], None),
    ] {
        let mut client = Client::new(&url.0).unwrap();
        for subprotocol in offered {
            client = client.subprotocol(subprotocol).unwrap();
        }
        let (ws, _) = soon("a connection", client.connect()).await.unwrap();
        assert_eq!(ws.subprotocol(), agreed, "{offered:?}");
    }
    let told = connect(&[&url.0, "--subprotocol", "chat", "--linger", "0"], "").await;
    assert_eq!(
        told.stderr.lines().next(),
        Some(&*format!("connected to {}, subprotocol chat", url.addr()))
    );
}

#[tokio::test]
async fn compression_is_agreed_on_as_the_flags_say_with_clients_that_offer_it() {
    for (flags, takeover) in [
        (&[][..], Some(false)),
        (&["--deflate-takeover"], Some(true)),
        (&["--no-deflate"], None),
    ] {
        let (_echo, url) = Program::listen(&[&["echo"], flags].concat()).await;
        assert_eq!(dial(&url.0).await.deflate(), None);
        let client = Client::new(&url.0).unwrap();
        let client = client.deflate(Deflate::for_client());
        let (mut ws, _) = soon("a connection", client.connect()).await.unwrap();
        let agreed = ws.deflate().map(|params| {
            assert_eq!(
                params.server_no_context_takeover,
                params.client_no_context_takeover
            );
            !params.server_no_context_takeover
        });
        assert_eq!(agreed, takeover, "{flags:?}");
        for _ in 0..2 {
            let message = Message::text("you say 你好 ".repeat(1000));
            ws.send(message.clone()).await.unwrap();
            assert_eq!(soon("the echo", ws.recv()).await.unwrap(), Some(message));
        }
        let told = connect(&[&url.0, "--deflate", "--linger", "0"], "").await;
        let what = match takeover {
            Some(true) => "permessage-deflate",
            Some(false) => {
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
            }
            None => "without permessage-deflate",
        };
        assert_eq!(
            told.stderr.lines().next(),
            Some(&*format!("connected to {}, {what}", url.addr()))
        );
    }
}

#[tokio::test]
async fn a_message_over_the_limit_closes_with_1009() {
    let (_echo, url) = Program::listen(&["echo", "--max-message", "100"]).await;
    let mut ws = dial(&url.0).await;
    ws.send("x".repeat(100)).await.unwrap();
    assert_eq!(
        soon("the echo", ws.recv()).await.unwrap().unwrap().len(),
        100
    );
    ws.send("x".repeat(101)).await.unwrap();
    assert_eq!(end(&mut ws).await.0, 1009);
}

async fn dial_from(url: &Url, origin: &str) -> Result<WebSocket, ConnectError> {
    let client = Client::new(&url.0).unwrap().origin(origin).unwrap();
    soon("a connection", client.connect())
        .await
        .map(|(ws, _)| ws)
}

#[tokio::test]
async fn pages_of_other_origins_connect_only_when_they_are_allowed() {
    let (_echo, url) = Program::listen(&["echo"]).await;
    assert!(
        dial_from(&url, &format!("http://{}/", url.addr()))
            .await
            .is_ok()
    );
    assert!(dial_from(&url, "http://127.0.0.1:3000").await.is_err());
    // The tutorials' clients and pages.
    let (_echo, url) = Program::listen(&["echo", "--allow-origin", "http://localhost/"]).await;
    assert!(dial_from(&url, "http://localhost/").await.is_ok());
    assert!(dial_from(&url, "http://localhost:3000").await.is_err());
    let (_echo, url) = Program::listen(&["echo", "--allow-origin", "any"]).await;
    assert!(dial_from(&url, "http://127.0.0.1:3000").await.is_ok());
    assert!(dial_from(&url, "null").await.is_ok());
}

#[tokio::test]
async fn a_refused_origin_is_told_with_the_host_and_the_flag() {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://evil.example\r\n";
    for command in [&["echo"][..], &["serve"]] {
        let (server, url) = Program::listen(command).await;
        let path = "/echo";
        let answer = get(url.addr(), path, upgrade).await;
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
        let sentence = answer.lines().last().unwrap();
        for named in [
            "http://evil.example",
            url.addr(),
            "--allow-origin http://evil.example",
        ] {
            assert!(sentence.contains(named), "{named} is not in {sentence}");
        }
        // The one who can change it reads it, too.
        server
            .told(|text| text.contains("--allow-origin http://evil.example"))
            .await;
    }
}

#[tokio::test]
async fn who_is_silent_is_closed_with_1001_when_that_is_wanted() {
    let flags = ["--ping-interval", "0", "--idle-timeout", "0.2"];
    let (_echo, url) = Program::listen(&[&["echo"], &flags[..]].concat()).await;
    let mut ws = dial(&url.0).await;
    assert_eq!(end(&mut ws).await, (1001, "idle".to_owned()));
}

#[tokio::test]
async fn who_does_not_answer_a_ping_is_closed_with_1011() {
    let flags = ["--ping-interval", "0.1", "--ping-timeout", "0.1"];
    let (echo, url) = Program::listen(&[&["echo"], &flags[..]].concat()).await;
    let mut ws = dial(&url.0).await;
    // Not looked at, so it answers nothing.
    echo.told(|text| text.contains("closed") && text.contains("keepalive timeout"))
        .await;
    assert_eq!(end(&mut ws).await, (1011, "keepalive timeout".to_owned()));
}

#[tokio::test]
async fn each_end_is_one_line_in_the_log() {
    let (echo, url) = Program::listen(&["echo"]).await;
    let mut ws = dial(&url.ws("/some/path?token=secret")).await;
    ws.close(fullduplex::CloseFrame::new(CloseCode::new(4001), "bye").unwrap())
        .await;
    let told = echo.told(|text| text.ends_with('\n')).await;
    assert_eq!(told.lines().count(), 1, "{told}");
    for part in [
        "peer=127.0.0.1:",
        "path=/some/path ",
        "duration=",
        r#"4001 "bye" by peer"#,
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(!told.contains("secret"), "{told}");
    assert!(!told.contains('\x1b'), "colours in a pipe: {told}");
}

#[tokio::test]
async fn more_clients_than_the_soft_limit_of_descriptors_are_served() {
    let mut limited = tokio::process::Command::new("sh");
    limited
        .args([
            "-c",
            "ulimit -S -n 64 && exec \"$0\" echo --listen 127.0.0.1:0",
        ])
        .arg(env!("CARGO_BIN_EXE_fdx"));
    let echo = Program::spawn(&mut limited);
    let url = echo.listening().await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(dial(&url.0).await);
    }
    for mut ws in clients {
        ws.send("hello").await.unwrap();
        assert_eq!(
            soon("the echo", ws.recv()).await.unwrap(),
            Some(Message::text("hello"))
        );
    }
}

#[tokio::test]
async fn few_descriptors_are_told_with_how_many_connections_they_allow() {
    let mut limited = tokio::process::Command::new("sh");
    limited
        .args([
            "-c",
            "ulimit -n 200 && exec \"$0\" echo --listen 127.0.0.1:0",
        ])
        .arg(env!("CARGO_BIN_EXE_fdx"));
    let echo = Program::spawn(&mut limited);
    echo.told(|text| {
        text.contains("at most 136 connections at a time: the limit of open files is 200\n")
    })
    .await;
}
