//! Goal: sessions over HTTP/2 (RFC 8441) keep the rules, and their WebSockets each other's peace.
//! Method: servers that speak HTTP/2 and know no WebSocket, or no HTTP/2 but its bytes.
#![cfg(feature = "http2")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{io, pin::pin, sync::Arc, time::Duration};

use common::{
    dropped_after_every_poll,
    h2::{ROOMY, RawServer, Tunnel, room, unless_idle},
    poll_times,
    raw::within,
};
use fullduplex::{
    Cause, Client, CloseFrame, ConnectError, Http2Error, Message, WebSocket,
    handshake::ClientError, http2::Session,
};
use fullduplex_testkit::{Script, ScriptedIo, pipe, wire};
use h2::{Reason, server::Builder};
use http::{HeaderMap, Method, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::mpsc,
};

const URI: &str = "wss://example.com/chat";

fn client() -> Client {
    Client::new(URI).unwrap()
}

async fn session() -> (Session, RawServer) {
    let (near, far) = pipe(ROOMY);
    let server = RawServer::new(far);
    let session = within(Session::connect_over(&client(), near))
        .await
        .unwrap();
    (session, server)
}

/// Opens one WebSocket that the server accepts as it is.
async fn opened(session: &Session, server: &mut RawServer) -> (WebSocket, Tunnel) {
    let client = client();
    let (opened, (_request, tunnel)) = tokio::join!(
        within(session.open(&client)),
        server.accept(HeaderMap::new())
    );
    (opened.unwrap().0, tunnel)
}

#[tokio::test]
async fn p93_a_server_that_does_not_enable_it_is_not_asked() {
    let (near, far) = pipe(ROOMY);
    let mut server = RawServer::with(far, &Builder::new());
    let error = within(Session::connect_over(&client(), near))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::Http2(Http2Error::NotEnabled)),
        "{error}"
    );
    assert!(server.request().await.is_none());
}

/// The frames of HTTP/2 (RFC 9113 §4.1) that these tests need.
const SETTINGS: u8 = 4;

const HEADERS: u8 = 1;
const PING: u8 = 6;

async fn send_frame(io: &mut DuplexStream, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
    within(io.write_all(&[&head, payload].concat()))
        .await
        .unwrap();
}

/// Type and payload of the next frame; `None` at the end.
async fn read_frame(io: &mut DuplexStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    within(io.read_exact(&mut head)).await.ok()?;
    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
    let mut payload = vec![0; length];
    within(io.read_exact(&mut payload)).await.ok()?;
    Some((head[3], payload))
}

async fn read_preface(io: &mut DuplexStream) {
    let mut preface = [0; 24];
    within(io.read_exact(&mut preface)).await.unwrap();
    assert!(preface.starts_with(b"PRI * HTTP/2.0"));
}

/// `SETTINGS_ENABLE_CONNECT_PROTOCOL` (RFC 8441 §3).
fn enable(value: u8) -> [u8; 6] {
    [0, 8, 0, 0, 0, value]
}

#[tokio::test(start_paused = true)]
async fn p93_nothing_is_asked_before_the_servers_settings_and_the_wait_for_them_is_bounded() {
    let (near, mut far) = pipe(ROOMY);
    let client = client().timeout(Duration::from_secs(5));
    let started = tokio::time::Instant::now();
    let connecting = tokio::spawn(async move { Session::connect_over(&client, near).await });
    read_preface(&mut far).await;
    let mut kinds = Vec::new();
    while let Some((kind, _)) = read_frame(&mut far).await {
        kinds.push(kind);
    }
    assert!(!kinds.contains(&HEADERS), "{kinds:?}");
    let error = connecting.await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error}");
    assert_eq!(started.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn p93_settings_that_come_late_are_waited_for() {
    let (near, mut far) = pipe(ROOMY);
    let connecting = tokio::spawn(async move { Session::connect_over(&client(), near).await });
    read_preface(&mut far).await;
    // Only once the client has nothing more to say.
    while read_frame(&mut far).await.unwrap().0 != PING {}
    send_frame(&mut far, SETTINGS, 0, 0, &enable(1)).await;
    within(connecting).await.unwrap().unwrap();
}

#[tokio::test]
async fn p93_a_server_that_takes_it_back_ends_the_connection() {
    let (near, mut far) = pipe(ROOMY);
    send_frame(&mut far, SETTINGS, 0, 0, &enable(1)).await;
    let session = within(Session::connect_over(&client(), near))
        .await
        .unwrap();
    let opening = tokio::spawn({
        let session = session.clone();
        async move { session.open(&client()).await }
    });
    read_preface(&mut far).await;
    while read_frame(&mut far).await.unwrap().0 != HEADERS {}
    // `:status: 200` from HPACK's static table (RFC 7541, Appendix A), END_HEADERS.
    send_frame(&mut far, HEADERS, 4, 1, &[0x88]).await;
    let (mut ws, _response) = within(opening).await.unwrap().unwrap();
    // SETTINGS that don't mention it change nothing.
    send_frame(&mut far, SETTINGS, 0, 0, &[]).await;
    while read_frame(&mut far).await != Some((SETTINGS, Vec::new())) {}
    assert!(!session.is_ended());
    send_frame(&mut far, SETTINGS, 0, 0, &enable(0)).await;
    assert!(within(ws.recv()).await.is_err());
    assert!(within(session.open(&client())).await.is_err());
    assert!(session.is_ended());
    while read_frame(&mut far).await.is_some() {}
}

#[tokio::test]
async fn p94_the_request_is_an_extended_connect_without_the_headers_of_an_upgrade() {
    let (session, mut server) = session().await;
    let client = Client::new("wss://me:secret@example.com/chat?room=1").unwrap();
    let client = client.header("Cookie", "id=7").unwrap();
    let client = client.origin("https://example.com").unwrap();
    let client = client.subprotocol("v2").unwrap().subprotocol("v1").unwrap();
    let mut agreed = HeaderMap::new();
    agreed.insert("sec-websocket-protocol", "v1".parse().unwrap());
    agreed.insert("x-greeting", "hello".parse().unwrap());
    let (opened, (request, mut tunnel)) =
        tokio::join!(within(session.open(&client)), server.accept(agreed));
    assert_eq!(request.method(), Method::CONNECT);
    assert_eq!(request.uri(), "https://example.com/chat?room=1");
    let protocol = request.extensions().get::<h2::ext::Protocol>().unwrap();
    assert_eq!(protocol.as_str(), "websocket");
    let mut sent: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    sent.sort();
    let expected = [
        "authorization: Basic bWU6c2VjcmV0",
        "cookie: id=7",
        "origin: https://example.com",
        "sec-websocket-protocol: v2, v1",
        "sec-websocket-version: 13",
    ];
    // What else may be offered is another test's.
    sent.retain(|line| !line.starts_with("sec-websocket-extensions"));
    assert_eq!(sent, expected);
    let (mut ws, response) = opened.unwrap();
    assert_eq!(ws.subprotocol(), Some("v1"));
    assert_eq!(ws.resource(), "/chat?room=1");
    assert_eq!(response.header("X-Greeting"), Some(&b"hello"[..]));
    within(ws.send("hi")).await.unwrap();
    let frame = tunnel.frame().await;
    assert_eq!((&*frame.payload, frame.mask.is_some()), (&b"hi"[..], true));
}

#[tokio::test]
async fn p94_an_answer_that_was_not_offered_resets_the_stream() {
    let (session, mut server) = session().await;
    for (name, value) in [
        ("sec-websocket-protocol", "other"),
        ("sec-websocket-extensions", "x-other"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let client = client();
        let (opened, (_request, mut tunnel)) =
            tokio::join!(within(session.open(&client)), server.accept(headers));
        let error = opened.unwrap_err();
        assert!(
            matches!(
                error,
                ConnectError::Handshake(
                    ClientError::SubprotocolNotOffered(_) | ClientError::ExtensionNotOffered(_)
                )
            ),
            "{error}"
        );
        assert_eq!(tunnel.reset().await, Some(Reason::CANCEL));
    }
    opened(&session, &mut server).await;
}

#[tokio::test]
async fn p94_a_refusal_has_its_status_headers_and_a_bounded_body() {
    let (session, mut server) = session().await;
    for (length, kept, complete) in [(5, 5, true), (100 << 10, 64 << 10, false)] {
        let client = client();
        let refusing = async {
            let (_request, mut respond) = server.request().await.unwrap();
            let response = Response::builder().status(503).header("retry-after", "7");
            let response = response.body(()).unwrap();
            let mut body = respond.send_response(response, false).unwrap();
            body.send_data(vec![b'x'; length].into(), true).unwrap();
        };
        let (opened, ()) = tokio::join!(within(session.open(&client)), refusing);
        let Err(ConnectError::Handshake(error)) = opened else {
            panic!("refused")
        };
        let refused = error.refused().unwrap();
        assert_eq!(
            (refused.status(), refused.reason()),
            (503, "Service Unavailable")
        );
        assert_eq!(refused.headers().get_str("Retry-After"), Some("7"));
        assert_eq!(
            (refused.body().len(), refused.is_complete()),
            (kept, complete)
        );
    }
    opened(&session, &mut server).await;
}

#[tokio::test]
async fn p95_resets_and_ends_are_told_apart_and_the_session_goes_on() {
    let (session, mut server) = session().await;
    let (mut bystander, mut beside) = opened(&session, &mut server).await;

    let (mut ws, mut tunnel) = opened(&session, &mut server).await;
    tunnel.send([wire::text("last words")]);
    tunnel.end();
    assert_eq!(within(ws.recv()).await, Ok(Some("last words".into())));
    assert!(within(ws.recv()).await.is_err());
    let outcome = ws.outcome().unwrap();
    assert_eq!((outcome.cause, outcome.clean), (Cause::Eof, false));

    let (mut ws, mut tunnel) = opened(&session, &mut server).await;
    tunnel.send.send_reset(Reason::CANCEL);
    assert!(within(ws.recv()).await.is_err());
    let reset = Cause::Io(io::ErrorKind::ConnectionReset);
    assert_eq!(ws.outcome().unwrap().cause, reset);

    let (ws, mut tunnel) = opened(&session, &mut server).await;
    drop(ws);
    assert_eq!(tunnel.reset().await, Some(Reason::CANCEL));

    beside.send([wire::text("not disturbed")]);
    assert_eq!(
        within(bystander.recv()).await,
        Ok(Some("not disturbed".into()))
    );
}

#[tokio::test]
async fn p95_a_clean_close_ends_both_directions_and_resets_nothing() {
    let (session, mut server) = session().await;
    let (mut ws, mut tunnel) = opened(&session, &mut server).await;
    let closing = tokio::spawn(async move { ws.close(CloseFrame::normal()).await });
    assert_eq!(tunnel.frame().await.payload, [3, 232]);
    tunnel.send([wire::close(1000, "")]);
    tunnel.end();
    assert!(within(closing).await.unwrap().clean);
    assert_eq!(tunnel.reset().await, None);
}

#[tokio::test(start_paused = true)]
async fn p95_what_is_not_received_is_not_asked_for_and_others_are_not_held_back() {
    let (session, mut server) = session().await;
    let (mut slow, mut floods) = opened(&session, &mut server).await;
    let (mut other, mut beside) = opened(&session, &mut server).await;
    let message = || wire::binary(vec![7; 1000]).bytes();
    let mut stream = Vec::new();
    let mut sent = 0;
    while let Some(room) = room(&mut floods).await {
        while stream.len() < room {
            stream.extend(message());
        }
        let rest = stream.split_off(room);
        let data = std::mem::replace(&mut stream, rest);
        sent += data.len();
        floods.send.send_data(data.into(), false).unwrap();
    }
    assert_eq!(sent, 256 << 10, "the window, neither more nor less");
    beside.send([wire::text("not held back")]);
    assert_eq!(within(other.recv()).await, Ok(Some("not held back".into())));
    // What is received makes room for as much, and nothing was lost.
    for _ in 0..200 {
        let message = within(slow.recv()).await.unwrap();
        assert_eq!(message, Some(Message::from(vec![7; 1000])));
    }
    assert!(room(&mut floods).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn p95_a_server_that_does_not_read_stops_the_sender_and_only_that_one() {
    let (session, mut server) = session().await;
    let (mut ws, mut tunnel) = opened(&session, &mut server).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let sending = tokio::spawn(async move {
        for number in 0..40_u8 {
            ws.send(vec![number; 10_000]).await.unwrap();
            tell.send(number).unwrap();
        }
        ws
    });
    // RFC 9113 §6.9.2: 65,535 bytes, unless SETTINGS say otherwise. The connection has no more than that, either.
    let mut data = within(tunnel.recv.data()).await.unwrap().unwrap().len();
    while let Some(more) = unless_idle(tunnel.recv.data()).await {
        data += more.unwrap().unwrap().len();
    }
    assert_eq!(data, 65_535);
    assert!(!sending.is_finished());
    let mut accepted = 0;
    while told.try_recv().is_ok() {
        accepted += 1;
    }
    assert_eq!(
        accepted,
        65_535 / 10_008,
        "a send is done once its bytes have left"
    );
    tunnel.recv.flow_control().release_capacity(data).unwrap();
    while data < 40 * 10_008 {
        data += tunnel.data().await.unwrap().unwrap().len();
    }
    drop(within(sending).await.unwrap());
}

#[tokio::test]
async fn a_session_is_for_the_server_it_was_connected_to() {
    let (session, mut server) = session().await;
    for uri in [
        "wss://other.example/chat",
        "wss://example.com:8443/chat",
        "ws://example.com/chat",
    ] {
        let client = Client::new(uri).unwrap();
        let error = within(session.open(&client)).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Http2(Http2Error::OtherServer)),
            "{error}"
        );
    }
    opened(&session, &mut server).await;
}

#[tokio::test]
async fn a_session_ends_with_its_last_handle_and_a_websocket_is_one() {
    let (session, mut server) = session().await;
    let clone = session.clone();
    let (mut ws, mut tunnel) = opened(&session, &mut server).await;
    drop((session, clone));
    tunnel.send([wire::text("on its own")]);
    assert_eq!(within(ws.recv()).await, Ok(Some("on its own".into())));
    drop(ws);
    assert!(server.request().await.is_none());
}

#[tokio::test]
async fn a_connection_that_breaks_breaks_its_websockets_and_new_ones() {
    let (near, far) = pipe(ROOMY);
    let mut server = RawServer::new(far);
    let session = within(Session::connect_over(&client(), near))
        .await
        .unwrap();
    let (mut ws, tunnel) = opened(&session, &mut server).await;
    server.abort();
    drop(tunnel);
    assert!(within(ws.recv()).await.is_err());
    let error = within(session.open(&client())).await.unwrap_err();
    assert!(matches!(error, ConnectError::Io(_)), "{error}");
    assert!(session.is_ended());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_ends_at_the_timeout_and_resets_the_stream() {
    let (session, mut server) = session().await;
    let client = client().timeout(Duration::from_secs(3));
    let opening = session.open(&client);
    let asked = async {
        let (request, respond) = server.request().await.unwrap();
        (request.into_body(), respond)
    };
    let (opened, (mut body, _respond)) = tokio::join!(opening, asked);
    assert!(matches!(opened, Err(ConnectError::Timeout)));
    let reset = within(body.data()).await.unwrap().unwrap_err();
    assert_eq!(reset.reason(), Some(Reason::CANCEL));
}

#[tokio::test]
async fn p34_connecting_dropped_after_any_poll_closes_its_stream() {
    dropped_after_every_poll(async |polls| {
        let (io, script) = ScriptedIo::new();
        script.push([0, 0, 6, SETTINGS, 0, 0, 0, 0, 0]);
        script.push(enable(1));
        script.single_steps();
        let client = client();
        let connected = poll_times(pin!(Session::connect_over(&client, io)), polls).await;
        let is_done = connected.is_some();
        assert!(connected.is_none_or(|session| session.is_ok()));
        within(script.until(Script::is_dropped)).await;
        is_done
    })
    .await;
}

#[tokio::test]
async fn p34_opening_dropped_after_any_poll_resets_its_stream_and_the_session_goes_on() {
    dropped_after_every_poll(async |polls| {
        let (session, mut server) = session().await;
        let serving = tokio::spawn(async move {
            let mut reset = None;
            loop {
                let (request, mut respond) = server.request().await.unwrap();
                let answered = respond.send_response(Response::new(()), false);
                if request.uri().path() == "/next" {
                    return (reset, answered.unwrap());
                }
                let ended = within(request.into_body().data()).await;
                reset = ended.unwrap().unwrap_err().reason();
            }
        });
        let client = client();
        let opened = poll_times(pin!(session.open(&client)), polls).await;
        let is_done = opened.is_some();
        assert!(opened.is_none_or(|opened| opened.is_ok()));
        let next = Client::new("wss://example.com/next").unwrap();
        let (_ws, _response) = within(session.open(&next)).await.unwrap();
        let (reset, _answered) = serving.await.unwrap();
        assert!(matches!(reset, None | Some(Reason::CANCEL)), "{reset:?}");
        assert!(reset.is_some() || !is_done);
        is_done
    })
    .await;
}

#[cfg(feature = "tls")]
mod tls {
    use fullduplex::tls::{
        client_config_with_ca,
        rustls::{ClientConfig, ServerConfig},
        server_config,
    };
    use tokio::net::TcpListener;

    use super::*;

    /// A server that names these protocols in ALPN, and a client's configuration that trusts it.
    async fn server(alpn: &[&str]) -> (Client, Arc<ClientConfig>) {
        let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = key.cert.pem();
        let config = server_config(
            certificate.as_bytes(),
            key.signing_key.serialize_pem().as_bytes(),
        );
        let mut config: ServerConfig = Arc::unwrap_or_clone(config.unwrap());
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let tls = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                if let Ok(stream) = tls.accept(tcp).await {
                    let mut server = RawServer::new(stream);
                    tokio::spawn(async move {
                        let mut open = Vec::new();
                        while let Some((request, mut respond)) = server.request().await {
                            let mut send = respond.send_response(Response::new(()), false).unwrap();
                            let greeting = wire::text("over TLS").bytes();
                            send.send_data(greeting.into(), false).unwrap();
                            open.push((request, send));
                        }
                    });
                }
            }
        });
        let trusting = client_config_with_ca(certificate.as_bytes()).unwrap();
        let client = Client::new(&format!("wss://localhost:{port}/")).unwrap();
        (client.tls(Arc::clone(&trusting)), trusting)
    }

    #[tokio::test]
    async fn http_2_is_negotiated_by_alpn() {
        let (client, _config) = server(&["http/1.1", "h2"]).await;
        let session = within(Session::connect(&client)).await.unwrap();
        assert!(session.peer_addr().is_some());
        for _ in 0..3 {
            let (mut ws, _response) = within(session.open(&client)).await.unwrap();
            assert_eq!(ws.peer_addr(), session.peer_addr());
            assert_eq!(within(ws.recv()).await, Ok(Some("over TLS".into())));
        }
    }

    #[tokio::test]
    async fn a_server_of_http_1_1_is_an_error() {
        // It refuses.
        let (client, _config) = server(&["http/1.1"]).await;
        let error = within(Session::connect(&client)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Tls(_)), "{error}");
        // It knows no ALPN, which means HTTP/1.1 (RFC 9113 §3.2).
        let (client, _config) = server(&[]).await;
        let error = within(Session::connect(&client)).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Http2(Http2Error::NotNegotiated)),
            "{error}"
        );
    }
}
