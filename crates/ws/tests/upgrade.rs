//! Goal: a route of hyper or axum becomes a WebSocket by the same rules, beside plain HTTP.
//! Method: real loopback sockets, with and without TLS, and a transport that hyper cannot name.
#![cfg(feature = "hyper")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::{any, get},
};
use common::{
    dropped_after_every_poll, poll_times,
    raw::{Raw, TEXT, acceptance, echo, plain_refusal, refusal, request, within},
};
use fullduplex::{
    Acceptor, Client, CloseCode, CloseFrame, Config, ConnectError, RateAction, RateLimit,
    WebSocket, corked, handled,
    handshake::{Origins, Rejection},
    upgrade,
};
use fullduplex_testkit::{Peer, wire};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

/// What axum's users write.
async fn echo_route(State(acceptor): State<Acceptor>, mut request: Request) -> Response {
    match upgrade::handshake(&mut request, &acceptor) {
        Ok(handshake) => {
            let (response, upgrade) = handshake.accept();
            tokio::spawn(async move {
                let ws = upgrade.await.unwrap();
                corked(ws, serve).await;
            });
            response
        }
        Err(rejection) => upgrade::rejection_response(&rejection),
    }
}

/// Tells about itself when asked; else echoes.
async fn serve(mut ws: WebSocket) {
    if ws.resource() == "/ws?about" {
        let about = format!("{:?} {:?}", ws.peer_addr().is_some(), ws.subprotocol());
        ws.send(about).await.unwrap();
    }
    drop(echo(ws).await);
}

async fn axum_server(acceptor: Acceptor) -> SocketAddr {
    let router = Router::new()
        .route("/", get(async || "a page"))
        .route("/ws", any(echo_route))
        .with_state(acceptor);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

/// What hyper's users write.
async fn hyper_service(
    mut request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<bytes::Bytes>>, Infallible> {
    if request.uri().path() != "/ws" {
        return Ok(hyper::Response::new("a page".into()));
    }
    Ok(match upgrade::handshake(&mut request, &Acceptor::new()) {
        Ok(handshake) if handshake.request().query() == Some("secret") => {
            let rejection = Rejection::new(401, "Log in first.")
                .header("WWW-Authenticate", "Basic")
                .unwrap();
            upgrade::rejection_response(&rejection)
        }
        Ok(handshake) => {
            let acceptance = handshake
                .request()
                .accept()
                .header("X-Greeting", "hello")
                .unwrap();
            let (response, upgrade) = handshake.accept_with(&acceptance);
            tokio::spawn(async move { serve(upgrade.await.unwrap()).await });
            response
        }
        Err(rejection) => upgrade::rejection_response(&rejection),
    })
}

/// Serves one connection after the other over whatever `accept` yields.
async fn hyper_serve<S: fullduplex::Stream>(stream: S) {
    let serving =
        http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(hyper_service));
    drop(serving.with_upgrades().await);
}

async fn hyper_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(hyper_serve(tcp));
        }
    });
    addr
}

fn ws_request(addr: SocketAddr, more: &str) -> String {
    request(addr, more).replacen("GET / ", "GET /ws ", 1)
}

/// The header lines of a response in lower case, in order of their names: hyper writes them in its own order, and a date.
fn headers(head: &str) -> Vec<String> {
    let mut lines: Vec<_> = head
        .trim_end()
        .split("\r\n")
        .skip(1)
        .map(str::to_lowercase)
        .filter(|line| !line.starts_with("date:"))
        .collect();
    lines.sort();
    lines
}

async fn is_echoed(ws: &mut WebSocket) {
    for length in [0, 5, 70_000, 1 << 20] {
        let message = vec![7; length];
        within(ws.send(message.clone())).await.unwrap();
        assert_eq!(within(ws.recv()).await, Ok(Some(message.into())));
    }
    within(ws.send("text")).await.unwrap();
    assert_eq!(within(ws.recv()).await, Ok(Some("text".into())));
    assert!(within(ws.close(CloseFrame::normal())).await.clean);
}

#[tokio::test]
async fn a_route_of_axum_and_one_of_hyper_echo() {
    for addr in [axum_server(Acceptor::new()).await, hyper_server().await] {
        let mut ws = within(fullduplex::connect(&format!("ws://{addr}/ws")))
            .await
            .unwrap();
        is_echoed(&mut ws).await;
    }
}

#[tokio::test]
async fn the_stream_itself_is_taken_out_of_hypers_layers() {
    for addr in [
        axum_server(Acceptor::new().subprotocols(["v2", "v1"])).await,
        hyper_server().await,
    ] {
        let client = Client::new(&format!("ws://{addr}/ws?about")).unwrap();
        let client = client.subprotocol("v1").unwrap().subprotocol("v2").unwrap();
        let (mut ws, _response) = within(client.connect()).await.unwrap();
        let subprotocol = ws.subprotocol().map(str::to_owned);
        // Only a TCP stream knows its peer.
        let expected = format!("true {subprotocol:?}");
        assert_eq!(within(ws.recv()).await, Ok(Some(expected.into())));
    }
}

#[tokio::test]
async fn p06_frames_in_the_segment_of_the_request_are_kept() {
    for addr in [axum_server(Acceptor::new()).await, hyper_server().await] {
        let mut raw = Raw::connect(addr).await;
        let mut bytes = ws_request(addr, "").into_bytes();
        // More than one message, and half of another.
        let frames = [
            wire::text("early"),
            wire::binary(vec![3; 3000]),
            wire::text("half"),
        ];
        bytes.extend(wire::bytes(&frames.clone().map(wire::Frame::masked)));
        let (front, rest) = bytes.split_at(bytes.len() - 2);
        raw.send(front).await;
        let head = raw.head().await;
        assert!(
            head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"),
            "{head}"
        );
        for frame in &frames[..2] {
            assert_eq!(raw.frame().await, *frame);
        }
        raw.send(rest).await;
        assert_eq!(raw.frame().await, frames[2]);
    }
}

#[tokio::test]
async fn the_101_carries_the_headers_of_the_handshake_and_no_more() {
    let addr = axum_server(Acceptor::new().subprotocols(["chat"])).await;
    let mut raw = Raw::connect(addr).await;
    raw.send(ws_request(
        addr,
        "Sec-WebSocket-Protocol: superchat, chat\r\n",
    ))
    .await;
    let expected = acceptance("Sec-WebSocket-Protocol: chat\r\n");
    assert_eq!(headers(&raw.head().await), headers(&expected));

    let addr = hyper_server().await;
    let client = Client::new(&format!("ws://{addr}/ws")).unwrap();
    let (_ws, response) = within(client.connect()).await.unwrap();
    assert_eq!(response.header("X-Greeting"), Some(&b"hello"[..]));
}

/// Checks the whole answer to a request that hyper has parsed, and that the connection ends.
async fn answers(addr: SocketAddr, request: &str, expected: &str) {
    let mut raw = Raw::connect(addr).await;
    raw.send(request).await;
    let answer = raw.rest_as_text().await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let (expected_head, expected_body) = expected.split_once("\r\n\r\n").unwrap();
    let status = |head: &str| head.split("\r\n").next().map(str::to_owned);
    assert_eq!(status(head), status(expected_head), "{request}");
    assert_eq!(headers(head), headers(expected_head), "{request}");
    assert_eq!(body, expected_body, "{request}");
}

#[tokio::test]
async fn p05_p08_p11_p13_p16_malformed_requests_get_400_and_a_sentence() {
    for addr in [axum_server(Acceptor::new()).await, hyper_server().await] {
        let whole = ws_request(addr, "");
        for (request, sentence) in [
            (
                whole.replacen("Host:", "Most:", 1),
                "the request needs one Host header with the name of a host",
            ),
            (
                whole.replacen("ZQ==", "Z===", 1),
                "the request needs one Sec-WebSocket-Key header with 16 bytes in base64",
            ),
            (
                ws_request(addr, "Content-Length: 1\r\n") + "x",
                "a request for a WebSocket has no body",
            ),
            (
                ws_request(addr, "Sec-WebSocket-Protocol: a, a\r\n"),
                "the Sec-WebSocket-Protocol header is not a list of distinct names",
            ),
            (
                ws_request(addr, "Sec-WebSocket-Extensions: a b\r\n"),
                "the Sec-WebSocket-Extensions header is malformed",
            ),
        ] {
            answers(addr, &request, &plain_refusal("400 Bad Request", sentence)).await;
        }
        let mut ws = within(fullduplex::connect(&format!("ws://{addr}/ws")))
            .await
            .unwrap();
        is_echoed(&mut ws).await;
    }
}

#[tokio::test]
async fn p01_p03_p04_p07_requests_for_something_else_learn_what_is_spoken() {
    let upgrade_headers = [
        "Connection: Upgrade, close",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        TEXT,
    ];
    let required = |sentence| refusal("426 Upgrade Required", &upgrade_headers, sentence);
    let not_an_upgrade = "this is a WebSocket endpoint; the request needs Upgrade: websocket and Connection: Upgrade";
    let other_version = "only version 13 of the WebSocket protocol is spoken here";
    let allow = ["Connection: close", TEXT, "Allow: GET"];
    let no_get = "a WebSocket is opened with the method GET";
    let method = refusal("405 Method Not Allowed", &allow, no_get);
    for addr in [axum_server(Acceptor::new()).await, hyper_server().await] {
        let whole = ws_request(addr, "");
        let with = |old, new| whole.replacen(old, new, 1);
        answers(addr, &with("GET", "PUT"), &method).await;
        answers(
            addr,
            &with("Upgrade: websocket", "Upgrade: h2c"),
            &required(not_an_upgrade),
        )
        .await;
        answers(
            addr,
            &with("Connection: Upgrade", "Connection: close"),
            &required(not_an_upgrade),
        )
        .await;
        answers(
            addr,
            &with("Version: 13", "Version: 12"),
            &required(other_version),
        )
        .await;
    }
}

#[tokio::test]
async fn p02_a_request_of_http_1_0_gets_505() {
    for addr in [axum_server(Acceptor::new()).await, hyper_server().await] {
        let mut raw = Raw::connect(addr).await;
        raw.send(ws_request(addr, "").replacen("HTTP/1.1", "HTTP/1.0", 1))
            .await;
        let answer = raw.rest_as_text().await;
        // hyper answers in the version it was asked in.
        assert!(
            answer.starts_with("HTTP/1.0 505 HTTP Version Not Supported\r\n"),
            "{answer}"
        );
        assert!(
            answer.ends_with("\r\n\r\na WebSocket needs HTTP/1.1\n"),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn p19_pages_of_other_origins_get_403() {
    for addr in [axum_server(Acceptor::new()).await, hyper_server().await] {
        let sentence = format!(
            "pages from the origin http://evil.example may not connect to {addr}; \
             to allow it, add to the allowed origins http://evil.example"
        );
        let request = ws_request(addr, "Origin: http://evil.example\r\n");
        answers(addr, &request, &plain_refusal("403 Forbidden", &sentence)).await;
    }
}

#[tokio::test]
async fn an_application_rejects_with_its_own_status_and_headers() {
    let addr = hyper_server().await;
    let Err(ConnectError::Handshake(error)) =
        within(fullduplex::connect(&format!("ws://{addr}/ws?secret"))).await
    else {
        panic!("rejected")
    };
    let refused = error.refused().unwrap();
    assert_eq!(
        (refused.status(), refused.body()),
        (401, &b"Log in first.\n"[..])
    );
    assert_eq!(refused.headers().get_str("WWW-Authenticate"), Some("Basic"));
}

#[tokio::test]
async fn plain_routes_go_on_beside_it_even_on_the_same_connection() {
    for addr in [axum_server(Acceptor::new()).await, hyper_server().await] {
        let mut raw = Raw::connect(addr).await;
        for _ in 0..2 {
            raw.send(format!("GET / HTTP/1.1\r\nHost: {addr}\r\n\r\n"))
                .await;
            let head = raw.head().await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            let mut body = [0; 6];
            within(tokio::io::AsyncReadExt::read_exact(
                &mut raw.stream,
                &mut body,
            ))
            .await
            .unwrap();
            assert_eq!(&body, b"a page");
        }
        raw.send(ws_request(addr, "")).await;
        raw.head().await;
        raw.send_frames([wire::text("now a WebSocket")]).await;
        assert_eq!(raw.frame().await, wire::text("now a WebSocket"));
    }
}

#[tokio::test]
async fn the_settings_of_the_acceptor_hold() {
    let mut config = Config::default();
    config.limits = fullduplex::Limits::with_max_message(100);
    let addr = axum_server(Acceptor::new().config(config).origins(Origins::Any)).await;
    let mut raw = Raw::connect(addr).await;
    raw.send(ws_request(addr, "Origin: http://elsewhere.example\r\n"))
        .await;
    raw.head().await;
    raw.send_frames([wire::binary(vec![1; 101])]).await;
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::close(1009, "frame too big")]
    );
}

#[tokio::test]
async fn the_rate_limit_of_the_acceptor_holds() {
    let limit = RateLimit::new().messages(1).action(RateAction::Close);
    let addr = axum_server(Acceptor::new().rate_limit(limit)).await;
    let mut raw = Raw::connect(addr).await;
    raw.send(ws_request(addr, "")).await;
    raw.head().await;
    raw.send_frames(vec![wire::text("x"); 20]).await;
    let mut echoed = 0;
    let last = loop {
        match raw.frame().await {
            frame if frame.opcode == 1 => echoed += 1,
            other => break other,
        }
    };
    assert_eq!(last, wire::close(1008, "rate limit"));
    assert!(echoed < 20);
}

#[tokio::test]
async fn hostile_frames_after_an_upgrade_are_answered_as_anywhere() {
    for addr in [axum_server(Acceptor::new()).await, hyper_server().await] {
        for (frame, code, reason) in [
            (wire::text("x"), 1002, "client frame not masked"),
            (wire::text("x").rsv(4).masked(), 1002, "reserved bit set"),
            (wire::text(b"\xff").masked(), 1007, "text is not UTF-8"),
            (
                wire::ping("").not_fin().masked(),
                1002,
                "control frame without FIN",
            ),
        ] {
            let mut raw = Raw::connect(addr).await;
            // In the segment of the request, too: it goes through the read-ahead.
            raw.send([ws_request(addr, "").into_bytes(), frame.bytes()].concat())
                .await;
            raw.head().await;
            assert_eq!(raw.rest_as_frames().await, [wire::close(code, reason)]);
        }
    }
}

#[tokio::test]
async fn a_connection_that_hyper_cannot_name_is_upgraded_as_it_is() {
    let (near, far) = fullduplex_testkit::pipe(64 << 10);
    let serving = tokio::spawn(hyper_serve(far));
    let client = Client::new("ws://example.com/ws").unwrap();
    let (mut ws, _response) = within(client.connect_over(near)).await.unwrap();
    for message in ["through", "all", "layers"] {
        within(ws.send(message)).await.unwrap();
        assert_eq!(within(ws.recv()).await, Ok(Some(message.into())));
    }
    assert!(within(ws.close(CloseFrame::normal())).await.clean);
    within(serving).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_after_an_upgrade_closes_1011_and_its_task_goes_on() {
    let (tell, told) = oneshot::channel();
    let (near, far) = fullduplex_testkit::pipe(64 << 10);
    let tell = Mutex::new(Some(tell));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let handshake = upgrade::handshake(&mut request, &Acceptor::new()).unwrap();
        let (response, upgrade) = handshake.accept::<Full<bytes::Bytes>>();
        let tell = tell.lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            let panics =
                async |_ws: WebSocket| -> Result<(), Infallible> { panic!("as the test wants") };
            tell.send(handled(upgrade.await.unwrap(), panics).await)
                .unwrap();
        });
        async move { Ok::<_, Infallible>(response) }
    });
    tokio::spawn(async move {
        let serving = http1::Builder::new().serve_connection(TokioIo::new(far), service);
        drop(serving.with_upgrades().await);
    });
    let client = Client::new("ws://example.com/ws").unwrap();
    let (mut ws, _response) = within(client.connect_over(near)).await.unwrap();
    assert_eq!(within(ws.recv()).await, Ok(None));
    assert_eq!(ws.outcome().unwrap().code(), CloseCode::INTERNAL_ERROR);
    assert!(within(told).await.unwrap().clean);
}

#[tokio::test]
async fn an_upgrade_whose_http_connection_ends_first_is_an_error() {
    let (near, far) = fullduplex_testkit::pipe(64 << 10);
    let (tell, told) = oneshot::channel();
    let tell = Mutex::new(Some(tell));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let (response, upgrade) = upgrade::handshake(&mut request, &Acceptor::new())
            .unwrap()
            .accept::<Full<bytes::Bytes>>();
        tell.lock().unwrap().take().unwrap().send(upgrade).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    // Nobody asked for upgrades, so hyper gives the connection up.
    let serving = tokio::spawn(async move {
        drop(
            http1::Builder::new()
                .serve_connection(TokioIo::new(far), service)
                .await,
        );
    });
    let client = Client::new("ws://example.com/ws").unwrap();
    let client = tokio::spawn(async move { client.connect_over(near).await });
    let upgrade = within(told).await.unwrap();
    let error = within(upgrade).await.unwrap_err();
    assert!(
        error.to_string().starts_with("upgrade not completed: "),
        "{error}"
    );
    within(serving).await.unwrap();
    client.abort();
}

#[cfg(feature = "tls")]
/// A request that hyper serves, its peer, and the upgrade that the route was given.
async fn upgrading() -> (upgrade::Upgrade, Peer, JoinHandle<()>) {
    let (io, peer) = Peer::client();
    peer.script.chunk_reads(9);
    peer.script.chunk_writes(9);
    peer.script.single_steps();
    let (given, taken) = oneshot::channel();
    let given = Mutex::new(Some(given));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let handshake = upgrade::handshake(&mut request, &Acceptor::new()).unwrap();
        let (response, upgrade) = handshake.accept::<Full<bytes::Bytes>>();
        let given = given.lock().unwrap().take().unwrap();
        given.send(upgrade).unwrap();
        async move { Ok::<_, Infallible>(response) }
    });
    let serving = tokio::spawn(async move {
        let serving = http1::Builder::new().serve_connection(TokioIo::new(io), service);
        drop(serving.with_upgrades().await);
    });
    (taken.await.unwrap(), peer, serving)
}

#[tokio::test]
async fn an_upgrade_dropped_after_any_poll_drops_the_connection() {
    dropped_after_every_poll(async |polls| {
        let (mut upgrade, peer, serving) = upgrading().await;
        let done = poll_times(pin!(&mut upgrade), polls).await;
        let is_done = done.is_some();
        drop((upgrade, done));
        within(serving).await.unwrap();
        assert!(peer.script.is_dropped(), "{polls} polls");
        is_done
    })
    .await;
}

#[tokio::test]
async fn an_upgrade_can_be_awaited_by_reference_again_after_every_poll() {
    let (mut upgrade, peer, _serving) = upgrading().await;
    let mut ws = loop {
        if let Some(upgraded) = poll_times(pin!(&mut upgrade), 1).await {
            break upgraded.unwrap();
        }
    };
    peer.push([wire::text("hello")]);
    assert_eq!(within(ws.recv()).await, Ok(Some("hello".into())));
}

#[tokio::test]
async fn over_tls_the_same_holds_and_the_stream_is_still_taken_out() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = key.cert.pem();
    let server = fullduplex::tls::server_config(
        certificate.as_bytes(),
        key.signing_key.serialize_pem().as_bytes(),
    );
    let tls = tokio_rustls::TlsAcceptor::from(server.unwrap());
    let trusting = fullduplex::tls::client_config_with_ca(certificate.as_bytes()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let stream = tls.accept(tcp).await.unwrap();
            tokio::spawn(hyper_serve(stream));
        }
    });
    let open = async |resource: &str| {
        let client = Client::new(&format!("wss://localhost:{}{resource}", addr.port())).unwrap();
        within(client.tls(Arc::clone(&trusting)).connect())
            .await
            .unwrap()
            .0
    };
    is_echoed(&mut open("/ws").await).await;
    let mut ws = open("/ws?about").await;
    assert_eq!(within(ws.recv()).await, Ok(Some("true None".into())));
}

/// Keeps the name of axum's body in use: a response of this crate fits any body that can be made.
#[test]
fn responses_fit_the_bodies_of_axum_and_hyper() {
    let rejection = Rejection::new(403, "No.");
    let _axum: http::Response<Body> = upgrade::rejection_response(&rejection);
    let hyper: http::Response<Full<bytes::Bytes>> = upgrade::rejection_response(&rejection);
    assert_eq!(hyper.status(), 403);
}
