//! Goal: connections end as RFC 6455 §7 wants, on the transport too.
//! Method: scripted transports, and tokio's clock held still.

mod common;

use std::time::Duration;

use common::{client, server};
use fullduplex::{
    Cause, CloseCode, CloseFrame, Config, Deadline, Error, Initiator, PingError, Violation,
};
use fullduplex_testkit::{Fault, wire};
use tokio::time::Instant;

#[tokio::test]
async fn p76_a_server_that_got_a_close_answers_it_ends_its_direction_and_drains_the_other() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::close(1000, "bye"), wire::text("ignored")]);
    let receiving = tokio::spawn(async move {
        let mut ws = ws;
        (ws.recv().await, ws)
    });
    wire.script.until(|script| script.shutdowns() == 1).await;
    assert!(!wire.script.is_dropped());
    wire.push([wire::ping("ignored too")]);
    wire.script.push_end();
    let (received, ws) = receiving.await.unwrap();
    assert_eq!(received, Ok(None));
    assert_eq!(wire.script.unread(), 0);
    assert_eq!(wire.frames(), [wire::close(1000, "")]);
    assert_eq!(wire.script.shutdowns(), 1);
    assert!(wire.script.is_dropped());
    let outcome = ws.outcome().unwrap();
    assert!(outcome.clean);
    assert_eq!(
        (outcome.initiator, outcome.reason()),
        (Initiator::Peer, "bye")
    );
}

#[tokio::test(start_paused = true)]
async fn p76_a_client_waits_for_the_server_to_end_tcp_but_not_for_ever() {
    let (mut ws, wire) = client(Config::default()).await;
    wire.push([wire::close(1000, "")]);
    let begun = Instant::now();
    assert_eq!(ws.recv().await, Ok(None));
    assert_eq!(begun.elapsed().as_secs(), 5, "the close timeout");
    assert!(wire.script.is_dropped());
    assert_eq!(wire.script.shutdowns(), 0);

    let (mut ws, wire) = client(Config::default()).await;
    wire.push([wire::close(1000, "")]);
    wire.script.push_end();
    let begun = Instant::now();
    assert_eq!(ws.recv().await, Ok(None));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn p77_the_close_timeout_also_ends_a_close_that_cannot_be_written() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let begun = Instant::now();
    let outcome = ws.close(CloseFrame::normal()).await;
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert!(!outcome.clean);
    assert_eq!(
        (outcome.cause, outcome.sent),
        (Cause::Timeout(Deadline::Close), None)
    );
}

#[tokio::test(start_paused = true)]
async fn p77_a_peer_that_never_answers_our_close_is_left_after_the_close_timeout() {
    let (mut ws, wire) = server(Config::default()).await;
    let begun = Instant::now();
    let outcome = ws.close(CloseFrame::normal()).await;
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(
        (outcome.clean, outcome.cause),
        (false, Cause::Timeout(Deadline::Close))
    );
    assert_eq!(outcome.sent, Some(CloseFrame::normal()));
    assert!(wire.script.is_dropped());
}

#[tokio::test]
async fn p78_an_end_without_close_is_1006_and_an_error() {
    for partial in [vec![], wire::text("cut").masked().bytes()[..4].to_vec()] {
        let (mut ws, wire) = server(Config::default()).await;
        wire.script.push(partial);
        wire.script.push_end();
        let Err(Error::Ended(outcome)) = ws.recv().await else {
            panic!("an abnormal end is an error")
        };
        assert_eq!(
            (outcome.code(), outcome.clean, outcome.cause),
            (CloseCode::ABNORMAL_CLOSURE, false, Cause::Eof)
        );
    }
}

#[tokio::test]
async fn p78_a_reset_after_both_closes_is_still_clean() {
    let (mut ws, wire) = client(Config::default()).await;
    wire.push([wire::close(1000, "")]);
    let read = wire.script.unread();
    // The handshake's response was read before.
    let response = wire_read_so_far(&wire);
    wire.script.fault_reads_at(
        response + read,
        Fault::Error(std::io::ErrorKind::ConnectionReset),
    );
    assert_eq!(ws.recv().await, Ok(None));
    assert!(ws.outcome().unwrap().clean);
}

#[tokio::test]
async fn p79_an_unexpected_end_of_tls_after_both_closes_is_clean_and_before_is_1006() {
    // rustls reports a missing close_notify as `UnexpectedEof`.
    let end = Fault::Error(std::io::ErrorKind::UnexpectedEof);
    let (mut ws, wire) = client(Config::default()).await;
    wire.push([wire::close(1000, "")]);
    wire.script
        .fault_reads_at(wire_read_so_far(&wire) + wire.script.unread(), end);
    assert_eq!(ws.recv().await, Ok(None));

    let (mut ws, wire) = client(Config::default()).await;
    wire.script.fault_reads_at(wire_read_so_far(&wire), end);
    let Err(Error::Ended(outcome)) = ws.recv().await else {
        panic!("not clean")
    };
    assert_eq!(outcome.code(), CloseCode::ABNORMAL_CLOSURE);
}

/// Bytes of the response that the client has read: all that was pushed so far, and a fixed text but for the accept value.
fn wire_read_so_far(_wire: &common::Wire) -> usize {
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \r\n\r\n"
        .len()
        + 28
}

#[tokio::test]
async fn p80_a_peer_that_sent_too_much_can_read_our_close_while_it_is_drained() {
    let mut config = Config::default();
    config.limits.max_message = 1000;
    config.limits.max_frame = 1000;
    let (mut ws, wire) = server(config).await;
    // One frame, far over the limit, in reads of 64 KiB.
    let huge = wire::binary(vec![1; 512 << 10]).masked().bytes();
    for piece in huge.chunks(64 << 10) {
        wire.script.push(piece);
    }
    wire.script.push_end();
    let Err(Error::Ended(outcome)) = ws.recv().await else {
        panic!("not clean")
    };
    assert_eq!(outcome.cause, Cause::Violation(Violation::FrameTooBig));
    assert_eq!(wire.frames(), [wire::close(1009, "frame too big")]);
    assert_eq!(wire.script.unread(), 0, "all was drained");
    assert_eq!(wire.script.shutdowns(), 1);
}

#[tokio::test]
async fn p80_a_peer_that_never_stops_sending_is_cut_off_after_a_bounded_amount() {
    let mut config = Config::default();
    config.limits.max_frame = 10;
    config.limits.max_drain = 100 << 10;
    let (mut ws, wire) = server(config).await;
    let huge = wire::binary(vec![1; 512 << 10]).masked().bytes();
    for piece in huge.chunks(16 << 10) {
        wire.script.push(piece);
    }
    assert!(ws.recv().await.is_err());
    assert!(wire.script.is_dropped());
    assert!(
        wire.script.unread() >= (512 - 100 - 64) << 10,
        "{} left",
        wire.script.unread()
    );
}

#[tokio::test]
async fn p81_dropping_a_connection_closes_the_transport_at_once_without_a_close() {
    let (ws, wire) = server(Config::default()).await;
    drop(ws);
    assert!(wire.script.is_dropped());
    assert_eq!(wire.frames(), []);

    let (ws, wire) = server(Config::default()).await;
    let (read, write) = ws.split();
    drop(read);
    assert!(!wire.script.is_dropped());
    drop(write);
    assert!(wire.script.is_dropped());
}

#[tokio::test]
async fn p72_after_our_close_nothing_can_be_sent() {
    let (ws, _wire) = server(Config::default()).await;
    let (mut read, mut write) = ws.split();
    let closing = tokio::spawn(async move {
        let outcome = write.close(CloseFrame::normal()).await;
        (write, outcome)
    });
    assert!(
        read.recv().await.is_err(),
        "the scripted peer never answers"
    );
    let (mut write, outcome) = closing.await.unwrap();
    assert!(!outcome.clean);
    assert!(matches!(write.send("too late").await, Err(Error::Ended(_))));
}

#[tokio::test]
async fn the_reply_to_one_message_leaves_before_the_close_that_the_next_provokes() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push([wire::text("good"), wire::text(b"\xff")]);
    wire.script.push_end();
    while let Ok(Some(message)) = ws.recv().await {
        ws.send(message).await.unwrap();
    }
    assert_eq!(
        wire.frames(),
        [wire::text("good"), wire::close(1007, "text is not UTF-8")]
    );
}

#[tokio::test]
async fn p82_the_outcome_tells_both_closes_the_initiator_and_the_cause() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push([wire::close(3000, "theirs")]);
    wire.script.push_end();
    let outcome = ws
        .close(CloseFrame::new(CloseCode::new(4001), "ours").unwrap())
        .await;
    assert_eq!(outcome.to_string(), "4001 \"ours\" by us");
    assert_eq!(outcome.received.unwrap().to_string(), "3000 \"theirs\"");
    assert_eq!(
        (outcome.initiator, outcome.cause, outcome.clean),
        (Initiator::Local, Cause::Close, true)
    );
}

#[tokio::test]
async fn p76_what_was_sent_before_the_close_arrives_though_the_peer_sent_on_behind_its_own() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut ws = fullduplex::Acceptor::new().accept(tcp).await.unwrap();
        for _ in 0..8 {
            ws.send(vec![7; 256 << 10]).await.unwrap();
        }
        while let Ok(Some(_)) = ws.recv().await {}
    });
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut tcp = socket.connect(addr).await.unwrap();
    let mut bytes = common::REQUEST.as_bytes().to_vec();
    bytes.extend(wire::close(1000, "").masked().bytes());
    bytes.extend(
        wire::ping("behind the Close")
            .masked()
            .bytes()
            .repeat(10_000),
    );
    let (mut reading, mut writing) = tcp.split();
    let write = async {
        // The server drains so much, and no more.
        tokio::io::AsyncWriteExt::write_all(&mut writing, &bytes)
            .await
            .unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut writing)
            .await
            .unwrap();
    };
    let mut got = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(&mut reading, &mut got);
    let ((), read) = tokio::join!(write, read);
    read.expect("no reset");
    let head = got
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap()
        + 4;
    let payload: usize = wire::frames(&got[head..])
        .iter()
        .filter(|frame| !frame.is_control())
        .map(|frame| frame.payload.len())
        .sum();
    assert_eq!(payload, 8 * (256 << 10));
    serving.await.unwrap();
}

#[tokio::test]
async fn p49_what_is_too_long_is_refused_by_value_and_the_connection_goes_on() {
    let refused = || Error::Ping(PingError::TooLong(126));
    let (mut ws, wire) = server(Config::default()).await;
    assert_eq!(ws.ping(vec![0; 126]).await.err(), Some(refused()));
    assert_eq!(ws.pong(vec![0; 126]).await, Err(refused()));
    assert!(CloseFrame::new(CloseCode::NORMAL_CLOSURE, "x".repeat(124)).is_err());
    let (_read, mut write) = ws.split();
    assert_eq!(write.ping(vec![0; 126]).await.err(), Some(refused()));
    assert_eq!(write.pong(vec![0; 126]).await, Err(refused()));
    write.ping(vec![0; 125]).await.unwrap();
    write.send("é").await.unwrap();
    assert_eq!(wire.frames(), [wire::ping([0; 125]), wire::text("é")]);
}
