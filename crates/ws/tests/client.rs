//! Goal: a client gets in, or learns exactly why not, and never waits for longer than it said.
//! Method: servers in raw bytes, over loopback sockets and over scripted transports with the clock held still.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{pin::pin, time::Duration};

use common::{poll_times, raw::within};
use fullduplex::{
    Client, CloseCode, ConnectError, Deflate, Error, WebSocket,
    handshake::{ClientError, Response, accept_for},
};
use fullduplex_testkit::{Script, ScriptedIo, wire};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};

type Connected = Result<(WebSocket, Response), ConnectError>;

/// Connects over a script. `answer` makes the server's bytes of the accept value.
async fn connect_to(answer: impl FnOnce(&str) -> Vec<u8>) -> (Connected, Script) {
    let (io, script) = ScriptedIo::new();
    let client = Client::new("ws://server.example.com/").unwrap();
    let connecting = tokio::spawn(async move { client.connect_over(io).await });
    within(script.until(|script| script.written().ends_with(b"\r\n\r\n"))).await;
    script.push(answer(&accept_value(&script.written())));
    script.push_end();
    (within(connecting).await.unwrap(), script)
}

/// The accept value that belongs to a request.
fn accept_value(request: &[u8]) -> String {
    let request = std::str::from_utf8(request).unwrap();
    let (_, key) = request.split_once("Sec-WebSocket-Key: ").unwrap();
    accept_for(key.split("\r\n").next().unwrap().as_bytes())
}

fn acceptance(accept: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

fn client_error(connected: Connected) -> ClientError {
    match connected {
        Err(ConnectError::Handshake(error)) => error,
        other => unreachable!("expected a handshake that fails: {other:?}"),
    }
}

#[tokio::test]
async fn p25_bytes_after_the_101_are_the_first_frames_even_a_whole_close() {
    let frames = [
        wire::text("early"),
        wire::ping("p"),
        wire::close(1001, "bye"),
    ];
    let (connected, script) =
        connect_to(|accept| [acceptance(accept).into_bytes(), wire::bytes(&frames)].concat()).await;
    let (mut ws, _response) = connected.unwrap();
    assert_eq!(within(ws.recv()).await, Ok(Some("early".into())));
    assert_eq!(within(ws.recv()).await, Ok(None));
    assert_eq!(ws.outcome().unwrap().to_string(), "1001 \"bye\" by peer");
    let written = script.written();
    let after = written.windows(4).position(|at| at == b"\r\n\r\n").unwrap() + 4;
    let answered: Vec<_> = wire::frames(&written[after..])
        .into_iter()
        .map(wire::Frame::without_key)
        .collect();
    assert_eq!(answered, [wire::pong("p"), wire::close(1001, "")]);
}

#[tokio::test]
async fn p25_a_frame_cut_by_the_end_of_the_read_is_joined() {
    let frame = wire::text("cut anywhere").bytes();
    for cut in 0..=frame.len() {
        let (io, script) = ScriptedIo::new();
        let client = Client::new("ws://server.example.com/").unwrap();
        let connecting = tokio::spawn(async move { client.connect_over(io).await });
        within(script.until(|script| script.written().ends_with(b"\r\n\r\n"))).await;
        let head = acceptance(&accept_value(&script.written())).into_bytes();
        script.push([&head, &frame[..cut]].concat());
        script.push(&frame[cut..]);
        let (mut ws, _response) = within(connecting).await.unwrap().unwrap();
        assert_eq!(within(ws.recv()).await, Ok(Some("cut anywhere".into())));
    }
}

#[tokio::test]
async fn p26_interim_responses_are_skipped_but_not_for_ever() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    let (connected, _) =
        connect_to(|accept| format!("{interim}{}", acceptance(accept)).into_bytes()).await;
    assert!(connected.is_ok());
    let (connected, _) =
        connect_to(|accept| format!("{}{}", interim.repeat(5), acceptance(accept)).into_bytes())
            .await;
    assert!(matches!(
        client_error(connected),
        ClientError::TooManyInterim
    ));
}

#[tokio::test]
async fn p21_p22_p24_what_a_101_lacks_or_adds_fails_the_connection() {
    for (remove, replacement) in [
        ("Upgrade: websocket\r\n", ""),
        ("Connection: Upgrade\r\n", "Connection: close\r\n"),
        ("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x"),
        ("Sec-WebSocket-Accept: ", "X: "),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
        ),
        ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
        ("HTTP/1.1", "HTTP/1.0"),
    ] {
        let (connected, script) = connect_to(|accept| {
            acceptance(accept)
                .replacen(remove, replacement, 1)
                .into_bytes()
        })
        .await;
        let _error = client_error(connected);
        assert!(script.is_dropped(), "the transport is closed");
    }
    let (connected, _) = connect_to(|accept| {
        acceptance(accept)
            .replace("Connection: Upgrade", "connection: upgrade, Keep-Alive")
            .into_bytes()
    })
    .await;
    assert!(connected.is_ok());
}

#[tokio::test]
async fn p28_a_refusal_carries_status_headers_and_body() {
    let (connected, _) = connect_to(|_| {
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 6\r\n\r\nlater\n"
            .to_vec()
    })
    .await;
    let error = client_error(connected);
    assert_eq!(
        error.to_string(),
        "the server answered 503 Service Unavailable"
    );
    let refused = error.refused().unwrap();
    assert_eq!((refused.status(), refused.body()), (503, &b"later\n"[..]));
    assert_eq!(refused.headers().get("retry-after"), Some(&b"7"[..]));
}

#[tokio::test]
async fn p27_a_redirect_is_not_followed() {
    let (connected, script) = connect_to(|_| {
        b"HTTP/1.1 302 Found\r\nLocation: ws://elsewhere.example/\r\nContent-Length: 0\r\n\r\n"
            .to_vec()
    })
    .await;
    let error = client_error(connected);
    assert_eq!(
        error.refused().unwrap().location(),
        Some("ws://elsewhere.example/")
    );
    assert!(script.is_dropped());
}

/// 003:97, row 7 of the seeds: a list in a 400, over several lines and without spaces.
#[tokio::test]
async fn a_server_that_speaks_other_versions_says_which() {
    let (connected, _) = connect_to(|_| {
        b"HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 13,8\r\nSec-WebSocket-Version: 7\r\n\
          Content-Length: 0\r\n\r\n"
            .to_vec()
    })
    .await;
    assert_eq!(
        client_error(connected).refused().unwrap().versions(),
        [13, 8, 7]
    );
}

#[tokio::test]
async fn a_response_that_ends_early_or_never_ends_is_an_error() {
    let (connected, _) = connect_to(|_| b"HTTP/1.1 101 Switch".to_vec()).await;
    assert!(matches!(client_error(connected), ClientError::Eof));
    let (connected, _) = connect_to(|_| vec![b'x'; 100 << 10]).await;
    assert!(matches!(client_error(connected), ClientError::Head(_)));
    let (connected, _) = connect_to(|_| {
        [
            b"HTTP/1.1 101 Switching Protocols\r\n".to_vec(),
            b"X: y\r\n".repeat(50_000),
        ]
        .concat()
    })
    .await;
    assert!(matches!(client_error(connected), ClientError::Head(_)));
}

#[tokio::test(start_paused = true)]
async fn p33_one_deadline_covers_a_response_that_trickles() {
    let (io, script) = ScriptedIo::new();
    let trickling = tokio::spawn(async move {
        for byte in b"HTTP/1.1 101 Switching Protocols\r\nX: "
            .iter()
            .chain([&b'y'; 1000])
        {
            script.push([*byte]);
            sleep(Duration::from_secs(1)).await;
        }
    });
    let begun = Instant::now();
    let connected = Client::new("ws://example.com/")
        .unwrap()
        .connect_over(io)
        .await;
    assert!(
        matches!(connected, Err(ConnectError::Timeout)),
        "{connected:?}"
    );
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    trickling.abort();
}

#[tokio::test]
async fn p33_one_deadline_covers_a_server_that_never_answers_and_tls_that_never_begins() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    for uri in [format!("ws://{addr}/"), format!("wss://{addr}/")] {
        let client = Client::new(&uri)
            .unwrap()
            .timeout(Duration::from_millis(200));
        let connected = within(client.connect()).await;
        assert!(
            matches!(connected, Err(ConnectError::Timeout)),
            "{connected:?}"
        );
    }
}

#[tokio::test]
async fn p34_dropping_connect_at_any_poll_closes_its_socket() {
    for polls in 1..6 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("ws://{}/", listener.local_addr().unwrap());
        let client = Client::new(&uri).unwrap();
        assert!(poll_times(pin!(client.connect()), polls).await.is_none());
        // If it came to a socket, that socket ends.
        let accepting = tokio::time::timeout(Duration::from_millis(50), listener.accept());
        if let Ok(accepted) = accepting.await {
            let mut rest = Vec::new();
            within(accepted.unwrap().0.read_to_end(&mut rest))
                .await
                .ok();
        }
    }
}

#[tokio::test]
async fn p34_a_socket_whose_connect_was_dropped_while_the_server_thought_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("ws://{}/", listener.local_addr().unwrap());
    let connecting = tokio::spawn(async move { fullduplex::connect(&uri).await });
    let (mut peer, _) = within(listener.accept()).await.unwrap();
    let mut first = [0; 4];
    within(peer.read_exact(&mut first)).await.unwrap();
    assert_eq!(&first, b"GET ");
    connecting.abort();
    let mut rest = Vec::new();
    within(peer.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.ends_with(b"\r\n\r\n"));
}

#[tokio::test]
async fn addresses_that_cannot_be_reached_or_are_none_say_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let error = within(fullduplex::connect(&format!("ws://{addr}/")))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Connect(_)), "{error}");
    for uri in ["", "ftp://a/", "ws://", "ws://a/#b", "ws://a:99999/"] {
        let error = within(fullduplex::connect(uri)).await.unwrap_err();
        assert!(matches!(error, ConnectError::Uri(_)), "{uri}: {error}");
    }
    let client = Client::new("ws://a/").unwrap();
    assert!(matches!(
        client.header("Sec-WebSocket-Key", "x"),
        Err(ConnectError::Request(_))
    ));
    let client = Client::new("ws://a/").unwrap();
    assert!(matches!(
        client.origin("not an origin"),
        Err(ConnectError::Origin(_))
    ));
}

/// 004:160-190, row 16 of the seeds: such a server ends without a Close, which is a 1006 and no surprise.
#[tokio::test]
async fn a_server_that_ends_tcp_without_a_close_is_a_1006() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("ws://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut peer, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(peer.read_u8().await.unwrap());
        }
        let answer = acceptance(&accept_value(&request)).into_bytes();
        peer.write_all(&[answer, wire::text("hello").bytes()].concat())
            .await
            .unwrap();
    });
    let mut ws = within(fullduplex::connect(&uri)).await.unwrap();
    assert_eq!(within(ws.recv()).await, Ok(Some("hello".into())));
    let Err(Error::Ended(outcome)) = within(ws.recv()).await else {
        panic!("not clean")
    };
    assert_eq!(
        (outcome.code(), outcome.clean),
        (CloseCode::ABNORMAL_CLOSURE, false)
    );
    within(serving).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn p28_a_refusal_whose_body_never_ends_is_still_a_refusal_and_so_is_one_that_ends_in_a_reset()
{
    for reset in [false, true] {
        let (io, script) = ScriptedIo::new();
        let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 100\r\n\r\nhalf";
        script.push(answer);
        if reset {
            let reset = fullduplex_testkit::Fault::Error(std::io::ErrorKind::ConnectionReset);
            script.fault_reads_at(answer.len(), reset);
        }
        let client = Client::new("ws://server.example.com/").unwrap();
        let error = client_error(client.connect_over(io).await);
        let refused = error.refused().expect("a refusal");
        assert_eq!(
            (refused.status(), refused.body()),
            (401, b"half".as_slice())
        );
    }
}

/// One that does not even answer the Close does not make another error of it, which trying again would seem to help.
#[tokio::test(start_paused = true)]
async fn row_30_a_server_without_the_required_extension_is_told_within_the_deadline() {
    let limit = Duration::from_secs(2);
    let (io, script) = ScriptedIo::new();
    let client = Client::new("ws://server.example.com/").unwrap();
    let client = client.require_deflate(Deflate::for_client()).timeout(limit);
    let begun = Instant::now();
    let connecting = tokio::spawn(async move { client.connect_over(io).await });
    within(script.until(|script| script.written().ends_with(b"\r\n\r\n"))).await;
    let request = script.written();
    script.push(acceptance(&accept_value(&request)));
    let missing = client_error(within(connecting).await.unwrap());
    assert!(
        matches!(missing, ClientError::ExtensionMissing("permessage-deflate")),
        "{missing}"
    );
    assert_eq!(begun.elapsed(), limit);
    let told = wire::frames(&script.written()[request.len()..]).remove(0);
    assert_eq!(told.without_key(), wire::close(1010, "permessage-deflate"));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn p33_the_deadline_covers_an_address_that_swallows_everything() {
    // A listener that accepts nobody has room for so many; further attempts to connect get no answer at all.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let moment = Duration::from_millis(300);
    let mut inside = Vec::new();
    while let Ok(connected) = tokio::time::timeout(moment, TcpStream::connect(addr)).await {
        inside.push(connected.unwrap());
        assert!(inside.len() < 10);
    }
    let client = Client::new(&format!("ws://{addr}/")).unwrap();
    let connected = within(client.timeout(moment).connect()).await;
    assert!(
        matches!(connected, Err(ConnectError::Timeout)),
        "{connected:?}"
    );
}
