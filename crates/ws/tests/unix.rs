//! Goal: Unix sockets serve as well as TCP, in both roles.
//! Method: real sockets in a folder of their own.
#![cfg(unix)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::time::Duration;

use common::raw::{echo, within};
use fullduplex::{Acceptor, Client, CloseFrame, ConnectError, handshake::Hosts};
use tokio::net::UnixListener;

fn client() -> Client {
    Client::new("ws://localhost/events").unwrap()
}

#[tokio::test]
async fn a_client_and_a_server_meet_at_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ws.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let acceptor = Acceptor::new().hosts(Hosts::List(vec!["localhost".parse().unwrap()]));
        while let Ok((stream, _)) = listener.accept().await {
            let ws = acceptor.accept(stream).await.unwrap();
            assert_eq!(ws.resource(), "/events");
            tokio::spawn(echo(ws));
        }
    });
    within(async {
        let (mut ws, _response) = client().connect_unix(&path).await.unwrap();
        assert_eq!(ws.peer_addr(), None);
        let big = "x".repeat(1 << 20);
        for text in ["hello", &big] {
            ws.send(text).await.unwrap();
            assert_eq!(ws.recv().await, Ok(Some(text.into())));
        }
        assert!(ws.close(CloseFrame::normal()).await.clean);
    })
    .await;
}

#[tokio::test]
async fn p33_a_unix_socket_that_is_not_there_is_named_and_one_that_is_silent_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ws.sock");
    let error = within(client().connect_unix(&path)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Connect(_)), "{error}");
    assert!(error.to_string().contains("ws.sock"), "{error}");

    let _listener = UnixListener::bind(&path).unwrap();
    let client = client().timeout(Duration::from_millis(100));
    let error = within(client.connect_unix(&path)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error}");
}
