//! Goal: whatever a proxy does, the client ends within its deadline, with an error that says what it was, in bounded memory.
//! Method: proxies in raw bytes over loopback sockets, which go on for as long as they are listened to.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::time::Duration;

use common::{
    proxy::{Proxy as Listening, proxy, read_head},
    raw::within,
};
use fullduplex::{
    Client, ConnectError, Proxy, ProxyError, SocksError,
    handshake::{ClientError, DEFAULT_MAX_BODY, HeadError, ResponseError},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::sleep,
};

/// Long enough for what needs no waiting, on a slow machine too.
const LONG: Duration = Duration::from_secs(30);
/// For those who never get to the end.
const SHORT: Duration = Duration::from_millis(300);

/// More than the system keeps for a socket: who is listened to for so long is listened to for ever.
const ENDLESS: usize = 64 << 20;

/// Says `start`, then `again` and again, to whatever it is asked. Tells how much it could say before nobody listened.
async fn talker(start: &'static str, again: &'static str) -> (Listening, mpsc::Receiver<usize>) {
    let (told, said) = mpsc::channel(1);
    let listening = proxy(move |mut stream, _| {
        let told = told.clone();
        async move {
            // A SOCKS request is shorter and has no blank line.
            drop(stream.read_u8().await);
            let mut said = 0;
            let block = again.repeat((64 << 10) / again.len().max(1));
            let mut next = start.as_bytes();
            while said < ENDLESS && stream.write_all(next).await.is_ok() {
                said += next.len();
                next = block.as_bytes();
                if next.is_empty() {
                    break;
                }
            }
            if again.is_empty() {
                // Whole, and then silent.
                while stream.read_u8().await.is_ok() {}
            }
            let _ = told.send(said).await;
        }
    })
    .await;
    (listening, said)
}

async fn fails(scheme: &str, listening: &Listening, timeout: Duration) -> ConnectError {
    let address = format!("{scheme}://aladdin:secret@{}", listening.addr);
    let client = Client::new("ws://server.example/")
        .unwrap()
        .timeout(timeout)
        .proxy(Proxy::new(&address).unwrap());
    let error = within(client.connect()).await.unwrap_err();
    for shown in [error.to_string(), format!("{error:?}")] {
        assert!(!shown.contains("secret"), "{shown}");
    }
    error
}

fn http(error: ConnectError) -> ResponseError {
    match error {
        ConnectError::Proxy(ProxyError::Http(error)) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn p33_a_proxy_that_never_stops_talking_is_left() {
    let (letters, interim) = ("yyyyyyyyyyyyyyyy", "HTTP/1.1 100 Continue\r\n\r\n");
    for (start, again, expected) in [
        ("", interim, ResponseError::TooManyInterim),
        (
            "HTTP/1.1 200 OK\r\nX: ",
            letters,
            ResponseError::Head(HeadError::TooLarge),
        ),
        (
            "HTTP/1.1 200 OK\r\n",
            "X: y\r\n",
            ResponseError::Head(HeadError::TooManyHeaders),
        ),
        (
            "HTTP/1.1 200 ",
            letters,
            ResponseError::Head(HeadError::StartLineTooLong),
        ),
        ("", "\r\n", ResponseError::Head(HeadError::TooLarge)),
        (
            "",
            letters,
            ResponseError::Head(HeadError::StartLineTooLong),
        ),
        ("", "z\r\n", ResponseError::Head(HeadError::TooManyHeaders)),
    ] {
        let (listening, mut said) = talker(start, again).await;
        let error = http(fails("http", &listening, LONG).await);
        assert_eq!(error.to_string(), expected.to_string(), "{start}{again}");
        let said = within(said.recv()).await.unwrap();
        assert!(said < ENDLESS, "{said} bytes were taken");
    }
}

#[tokio::test]
async fn p33_a_body_without_end_is_cut_and_the_refusal_still_told() {
    for (start, again) in [
        ("HTTP/1.1 503 Busy\r\n\r\n", "yyyyyyyyyyyyyyyy"),
        (
            "HTTP/1.1 503 Busy\r\nContent-Length: 99999999999\r\n\r\n",
            "yyyyyyyyyyyyyyyy",
        ),
        (
            "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n",
            "1\r\ny\r\n",
        ),
    ] {
        let (listening, mut said) = talker(start, again).await;
        let error = http(fails("http", &listening, LONG).await);
        let refused = error.refused().unwrap();
        assert_eq!((refused.status(), refused.reason()), (503, "Busy"));
        assert!(refused.body().len() <= DEFAULT_MAX_BODY);
        assert!(!refused.is_complete());
        assert!(within(said.recv()).await.unwrap() < ENDLESS);
    }
}

#[tokio::test]
async fn p33_a_body_that_does_not_come_holds_the_refusal_back_to_the_deadline_at_most() {
    let (listening, _said) = talker("HTTP/1.1 407 No\r\nContent-Length: 9\r\n\r\nwho", "").await;
    let mut error = fails("http", &listening, SHORT).await;
    if matches!(error, ConnectError::Timeout) {
        // A slow machine had not come to the answer yet.
        error = fails("http", &listening, LONG).await;
    }
    let error = http(error);
    let refused = error.refused().unwrap();
    assert_eq!((refused.status(), refused.body()), (407, &b"who"[..]));
    assert!(!refused.is_complete());
}

#[tokio::test]
async fn p33_a_proxy_that_does_not_answer_ends_with_the_deadline() {
    for scheme in ["http", "socks5h"] {
        let (listening, _said) = talker("", "").await;
        let error = fails(scheme, &listening, SHORT).await;
        assert!(matches!(error, ConnectError::Timeout), "{scheme}: {error}");
    }
    for start in ["HTTP/1.1 200 OK\r\nX", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let (listening, _said) = talker(start, "").await;
        let error = fails("http", &listening, SHORT).await;
        assert!(matches!(error, ConnectError::Timeout), "{start:?}: {error}");
    }
    // A tunnel behind which nobody speaks.
    let (listening, _said) = talker("HTTP/1.1 200 OK\r\n\r\n", "").await;
    let error = fails("http", &listening, SHORT).await;
    assert!(matches!(error, ConnectError::Timeout), "{error}");
}

/// The deadline is for all of it: signs of life do not extend it.
#[tokio::test]
async fn p33_one_byte_at_a_time_does_not_extend_the_deadline() {
    for (scheme, bytes) in [
        (
            "http",
            &b"HTTP/1.1 200 a very slow answer that will be whole in half a minute\r\n\r\n"[..],
        ),
        ("socks5h", &[5, 2, 1, 0, 5, 0, 0, 3, 255]),
    ] {
        let listening = proxy(move |mut stream, _| async move {
            drop(stream.read_u8().await);
            for byte in bytes {
                sleep(SHORT / 3).await;
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
            }
            sleep(LONG).await;
        })
        .await;
        let error = fails(scheme, &listening, SHORT).await;
        assert!(matches!(error, ConnectError::Timeout), "{scheme}: {error}");
    }
}

#[tokio::test]
async fn p33_the_end_where_an_answer_should_be_is_an_error() {
    for answer in ["", "HTTP/1.1 200 OK\r\n"] {
        let listening = proxy(move |mut stream, _| async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let error = http(fails("http", &listening, LONG).await);
        assert!(matches!(error, ResponseError::Eof), "{answer:?}: {error}");
    }
    let listening = proxy(move |mut stream, _| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let error = fails("http", &listening, LONG).await;
    assert!(
        matches!(error, ConnectError::Handshake(ClientError::Eof)),
        "{error}"
    );
}

#[tokio::test]
async fn p33_who_speaks_another_protocol_is_no_proxy() {
    let (listening, _said) = talker("\u{5}\u{0}\r\n\r\n", "").await;
    assert!(matches!(
        http(fails("http", &listening, LONG).await),
        ResponseError::Head(_)
    ));
    let (listening, _said) = talker("HTTP/1.1 400 Bad Request\r\n\r\n", "").await;
    match fails("socks5h", &listening, LONG).await {
        ConnectError::Proxy(ProxyError::Socks(error)) => assert_eq!(error, SocksError::Malformed),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn p33_a_proxy_that_is_not_there_is_named() {
    // Bound and not listening: nobody else gets it meanwhile.
    let unused = tokio::net::TcpSocket::new_v4().unwrap();
    unused.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = unused.local_addr().unwrap().to_string();
    for (address, part) in [
        (format!("http://{addr}"), &*addr),
        (format!("socks5h://{addr}"), &addr),
        (
            "http://no-such-proxy.invalid:1".to_owned(),
            "no-such-proxy.invalid",
        ),
    ] {
        let client = Client::new("ws://server.example/")
            .unwrap()
            .proxy(Proxy::new(&address).unwrap());
        let error = within(client.connect()).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Proxy(ProxyError::Connect(_))),
            "{error}"
        );
        assert!(error.to_string().contains(part), "{error}");
    }
}
