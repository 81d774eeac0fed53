//! What is wrong below the messages, on `/ws`: the connection's own rules hold there, too.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::time::Duration;

use fullduplex::Deflate;
use fullduplex_hub::{Config, Timeouts, TlsFiles};
use fullduplex_testkit::wire::{self, Frame};
use support::{Running, deaf, frame, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const V1: &str = "Sec-WebSocket-Protocol: fdx.v1.json\r\n";
const HELLO: &str = r#"{"op":"hello","id":1}"#;
const PING: &str = r#"{"op":"ping","id":2}"#;

/// Sends frames as they are, on a connection of its own, and returns the code that it is closed with.
async fn close_code(hub: &Running, frames: &[Frame]) -> u16 {
    let mut stream = deaf(hub, "/ws", V1).await;
    stream.write_all(&wire::bytes(frames)).await.unwrap();
    loop {
        let (opcode, payload) = frame(&mut stream).await.expect("a Close before the end");
        if opcode == 8 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

async fn hub_with(timeouts: Timeouts) -> Running {
    Running::start(Config {
        timeouts,
        ..Config::default()
    })
    .await
}

#[tokio::test]
async fn s12_who_says_nothing_after_the_handshake_or_before_it_ends_is_closed() {
    assert_eq!(Timeouts::default().hello, Duration::from_secs(10));
    assert_eq!(Timeouts::default().request_head, Duration::from_secs(10));
    // One after the other: who is to come to the `hello` has all the time before it.
    let short = Duration::from_millis(100);
    let hub = hub_with(Timeouts {
        hello: short,
        ..Timeouts::default()
    });
    assert_eq!(close_code(&hub.await, &[]).await, 4000);
    let hub = hub_with(Timeouts {
        request_head: short,
        ..Timeouts::default()
    });
    let hub = hub.await;
    for head in ["", "GET /ws HTTP/1.1\r\nHost: loc"] {
        let mut stream = tokio::net::TcpStream::connect(hub.addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.unwrap();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"),
            "{answer:?}"
        );
    }
    // Nor does it help to say a little now and then.
    let mut slow = tokio::net::TcpStream::connect(hub.addr).await.unwrap();
    let drips = async {
        while slow.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(drips).await;
}

#[tokio::test]
async fn s12_who_does_not_finish_the_handshake_of_tls_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let tls = TlsFiles {
        cert: folder.path().join("cert"),
        key: folder.path().join("key"),
    };
    std::fs::write(&tls.cert, params.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(&tls.key, key.serialize_pem()).unwrap();
    let timeouts = Timeouts {
        request_head: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let hub = Running::start(Config {
        timeouts,
        tls: Some(tls),
        ..Config::default()
    })
    .await;
    // Nothing, and the beginning of a ClientHello.
    for begun in [&[][..], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]] {
        let mut stream = tokio::net::TcpStream::connect(hub.addr).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.is_empty(), "{answer:?}");
    }
}

#[tokio::test]
async fn s13_a_message_over_the_limit_is_refused_by_what_its_header_says() {
    let hub = Running::start(Config::default()).await;
    for len in [65_537, 1 << 30, 1 << 62] {
        let declared = wire::text("x").masked().declaring(len);
        assert_eq!(close_code(&hub, &[declared]).await, 1009, "{len}");
    }
    let begun = wire::text("x".repeat(65_536)).masked().not_fin();
    let more = wire::continuation("x").masked();
    assert_eq!(close_code(&hub, &[begun, more]).await, 1009);
}

#[tokio::test]
async fn s13_nothing_is_inflated_by_a_hub_that_is_not_told_to_compress() {
    let hub = Running::start(Config::default()).await;
    let refused = within(
        hub.client("/ws")
            .require_deflate(Deflate::for_client())
            .connect(),
    )
    .await;
    assert!(refused.is_err(), "{refused:?}");
    let deflated = wire::text([0xab, 0, 0]).rsv(4).masked();
    assert_eq!(close_code(&hub, &[deflated]).await, 1002);
}

#[tokio::test]
async fn s14_what_is_no_frame_or_no_text_ends_the_connection_with_its_code() {
    let hub = Running::start(Config::default()).await;
    for (frame, code) in [
        (wire::text([0xff]).masked(), 1007),
        (wire::text(HELLO), 1002),
        (wire::ping([0; 126]).masked(), 1002),
        (wire::text(HELLO).rsv(4).masked(), 1002),
        (wire::continuation(HELLO).masked(), 1002),
    ] {
        assert_eq!(close_code(&hub, &[frame]).await, code);
    }
}

#[tokio::test]
async fn s15_pings_between_the_parts_of_a_message_are_answered_at_once() {
    let hub = Running::start(Config::default()).await;
    let mut stream = deaf(&hub, "/ws", V1).await;
    let (first, second) = HELLO.split_at(9);
    let begun = [
        wire::text(first).not_fin().masked(),
        wire::ping("a").masked(),
    ];
    stream.write_all(&wire::bytes(&begun)).await.unwrap();
    assert_eq!(frame(&mut stream).await.unwrap(), (10, b"a".to_vec()));
    let rest = [
        wire::continuation("").not_fin().masked(),
        wire::ping("b").masked(),
        wire::continuation(second).masked(),
        wire::text(PING).masked(),
    ];
    stream.write_all(&wire::bytes(&rest)).await.unwrap();
    assert_eq!(frame(&mut stream).await.unwrap(), (10, b"b".to_vec()));
    for id in [1, 2] {
        let (_, reply) = frame(&mut stream).await.unwrap();
        let reply: serde_json::Value = serde_json::from_slice(&reply).unwrap();
        assert!(reply["re"] == id && reply["ok"].is_object(), "{reply}");
    }
}
