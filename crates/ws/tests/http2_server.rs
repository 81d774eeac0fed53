//! Goal: WebSockets over HTTP/2 (RFC 8441) behind hyper keep the rules and each other's peace.
//! Method: a client that speaks HTTP/2 and knows no WebSocket; and at last our own.
#![cfg(all(feature = "http2", feature = "hyper"))]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use common::{
    h2::{ROOMY, RawClient, Tunnel, room},
    raw::{echo, within},
};
use fullduplex::{
    Acceptor, Cause, Client, CloseFrame, Error, Outcome, WebSocket, handled, handshake::Rejection,
    http2::Session, upgrade,
};
use fullduplex_testkit::{pipe, wire};
use h2::Reason;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{io::DuplexStream, sync::mpsc};

/// What a connection behind [`hyper_server`] does, by its path.
async fn serve(ws: WebSocket) -> Result<(), Error> {
    match ws.resource() {
        "/sleeps" => {
            let ws = ws;
            std::future::pending::<()>().await;
            drop(ws);
            Ok(())
        }
        "/about" => {
            let mut ws = ws;
            let about = format!("{:?} {:?}", ws.peer_addr(), ws.subprotocol());
            ws.send(about).await
        }
        _ => echo(ws).await,
    }
}

/// Serves one connection of hyper's; tells how each WebSocket on it ended.
fn hyper_server(io: DuplexStream, acceptor: Acceptor) -> mpsc::UnboundedReceiver<Outcome> {
    let (tell, told) = mpsc::unbounded_channel();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let tell = tell.clone();
        let judged = upgrade::handshake(&mut request, &acceptor);
        async move {
            Ok::<Response<Full<Bytes>>, Infallible>(match judged {
                Ok(handshake) if handshake.request().path() == "/secret" => {
                    handshake.reject(Rejection::new(401, "Log in first."))
                }
                Ok(handshake) => {
                    let peer: SocketAddr = "192.0.2.1:7".parse().unwrap();
                    let (response, upgrade) = handshake.peer_addr(peer).accept();
                    tokio::spawn(async move {
                        let outcome = handled(upgrade.await.unwrap(), serve).await;
                        tell.send(outcome).ok();
                    });
                    response
                }
                Err(rejection) => upgrade::rejection_response(&rejection),
            })
        }
    });
    tokio::spawn(async move {
        let serving = http2::Builder::new(TokioExecutor::new())
            .enable_connect_protocol()
            .initial_stream_window_size(64 << 10)
            .initial_connection_window_size(8 << 20)
            .serve_connection(TokioIo::new(io), service);
        drop(serving.await);
    });
    told
}

async fn raw_client(acceptor: Acceptor) -> (RawClient, mpsc::UnboundedReceiver<Outcome>) {
    let (near, far) = pipe(ROOMY);
    let outcomes = hyper_server(far, acceptor);
    (RawClient::connect(near).await, outcomes)
}

/// The header lines of a response, but for the date, in order of their names.
fn lines<B>(response: &Response<B>) -> Vec<String> {
    let mut lines: Vec<_> = response
        .headers()
        .iter()
        .filter(|(name, _)| *name != "date")
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn p93_a_server_of_hypers_that_is_told_to_says_that_it_takes_them() {
    let (client, _outcomes) = raw_client(Acceptor::new()).await;
    assert!(client.requests.is_extended_connect_protocol_enabled());
}

#[tokio::test]
async fn p94_an_extended_connect_gets_200_and_only_the_headers_that_are_agreed_on() {
    let (client, mut outcomes) = raw_client(Acceptor::new().subprotocols(["v1", "v2"])).await;
    let headers = [
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "v2, v1"),
        ("origin", "https://example.com"),
    ];
    let (response, mut ws) = client
        .ask(Method::CONNECT, Some("websocket"), "/about", &headers)
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(lines(&response), ["sec-websocket-protocol: v2"]);
    let about = r#"Some(192.0.2.1:7) Some("v2")"#;
    assert_eq!(ws.frame().await, wire::text(about));
    assert_eq!(ws.frame().await, wire::close(1000, ""));
    ws.send([wire::close(1000, "").masked()]);
    // Both Closes are exchanged: the server ends its direction, as it does with TCP.
    ws.ended().await;
    ws.end();
    assert!(within(outcomes.recv()).await.unwrap().clean);
}

#[tokio::test]
async fn p94_refusals_come_with_status_sentence_and_no_header_of_connections() {
    let (client, _outcomes) = raw_client(Acceptor::new()).await;
    let version = ("sec-websocket-version", "13");
    for (protocol, headers, status, more) in [
        (
            "websocket",
            &[("sec-websocket-version", "12")][..],
            400,
            &["sec-websocket-version: 13"][..],
        ),
        (
            "websocket",
            &[version, version],
            400,
            &["sec-websocket-version: 13"],
        ),
        (
            "websocket",
            &[version, ("sec-websocket-protocol", "a, a")],
            400,
            &[],
        ),
        ("websocket", &[version, ("host", "other.example")], 400, &[]),
        (
            "websocket",
            &[version, ("origin", "http://evil.example")],
            403,
            &[],
        ),
    ] {
        let (response, mut body) = client
            .ask(Method::CONNECT, Some(protocol), "/", headers)
            .await;
        assert_eq!(response.status(), status, "{headers:?}");
        let body = body.data().await.unwrap().expect("a sentence");
        let length = format!("content-length: {}", body.len());
        let mut expected = vec![length, "content-type: text/plain; charset=utf-8".to_owned()];
        expected.extend(more.iter().map(|&line| line.to_owned()));
        expected.sort();
        assert_eq!(lines(&response), expected, "{headers:?}");
        assert!(body.ends_with(b"\n"));
    }
    let (response, _body) = client
        .ask(Method::CONNECT, Some("websocket"), "/secret", &[version])
        .await;
    assert_eq!(response.status(), 401);
    assert_eq!(
        echoed(&mut client.open("/").await, "still there").await,
        "still there"
    );
}

/// Sends a text and gives back what comes for it.
async fn echoed(ws: &mut Tunnel, text: &str) -> String {
    ws.send([wire::text(text).masked()]);
    String::from_utf8(ws.frame().await.payload).unwrap()
}

#[tokio::test]
async fn p96_another_protocol_gets_501_and_a_get_405() {
    let (client, _outcomes) = raw_client(Acceptor::new()).await;
    let version = [("sec-websocket-version", "13")];
    let connect = client.ask(Method::CONNECT, Some("connect-udp"), "/", &version);
    assert_eq!(connect.await.0.status(), StatusCode::NOT_IMPLEMENTED);
    let get = client.ask(Method::GET, None, "/", &version).await.0;
    assert_eq!(get.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(lines(&get).contains(&"allow: CONNECT".to_owned()));
    assert_eq!(
        echoed(&mut client.open("/").await, "but this").await,
        "but this"
    );
}

#[tokio::test]
async fn p95_frames_of_clients_are_masked_here_too() {
    let (client, mut outcomes) = raw_client(Acceptor::new()).await;
    let mut ws = client.open("/").await;
    ws.send([wire::text("x")]);
    assert_eq!(
        ws.frame().await,
        wire::close(1002, "client frame not masked")
    );
    ws.end();
    assert!(matches!(
        within(outcomes.recv()).await.unwrap().cause,
        Cause::Violation(_)
    ));
}

#[tokio::test]
async fn p95_the_end_of_a_stream_is_that_of_its_websocket_alone() {
    let (client, mut outcomes) = raw_client(Acceptor::new()).await;
    let mut bystander = client.open("/").await;
    let mut ends = client.open("/").await;
    ends.end();
    let outcome = within(outcomes.recv()).await.unwrap();
    assert_eq!((outcome.cause, outcome.clean), (Cause::Eof, false));
    let mut reset = client.open("/").await;
    assert_eq!(echoed(&mut reset, "open").await, "open");
    reset.send.send_reset(Reason::CANCEL);
    // hyper hands a CANCEL out as an end; what counts is that no Close came.
    let outcome = within(outcomes.recv()).await.unwrap();
    assert_eq!((outcome.cause, outcome.clean), (Cause::Eof, false));
    assert_eq!(echoed(&mut bystander, "here").await, "here");
}

#[tokio::test(start_paused = true)]
async fn p95_a_handler_that_does_not_read_holds_back_its_own_stream_only() {
    let (client, _outcomes) = raw_client(Acceptor::new()).await;
    let mut slow = client.open("/sleeps").await;
    let mut sent = 0;
    while let Some(room) = room(&mut slow).await {
        sent += room;
        slow.send.send_data(vec![0; room].into(), false).unwrap();
    }
    assert!(sent <= 64 << 10, "{sent}");
    let mut other = client.open("/").await;
    assert_eq!(echoed(&mut other, "not held back").await, "not held back");
}

#[tokio::test]
async fn many_websockets_share_one_connection() {
    let (near, far) = pipe(64 << 10);
    let mut outcomes = hyper_server(far, Acceptor::new());
    let client = Client::new("wss://example.com/").unwrap();
    let session = within(Session::connect_over(&client, near)).await.unwrap();
    let mut tasks = Vec::new();
    for number in 0..20_u8 {
        let (session, client) = (session.clone(), client.clone());
        tasks.push(tokio::spawn(async move {
            let (mut ws, _response) = session.open(&client).await.unwrap();
            for length in [0, 5, 70_000, 1 << 20] {
                let message = vec![number; length];
                ws.send(message.clone()).await.unwrap();
                assert_eq!(ws.recv().await, Ok(Some(message.into())));
            }
            ws.close(CloseFrame::normal()).await
        }));
    }
    for task in tasks {
        assert!(within(task).await.unwrap().clean);
        assert!(within(outcomes.recv()).await.unwrap().clean);
    }
    assert!(!session.is_ended());
}
