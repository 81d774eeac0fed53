//! Goal: wherever a transport breaks, stalls or takes little, a connection ends as it should or goes on; whole messages only.
//! Method: one scripted session and one handshake for each role, with every fault at every byte of both directions.

#![expect(clippy::expect_used, reason = "helpers of tests")]

mod common;

use std::{future::pending, io::ErrorKind, time::Duration};

use common::{REQUEST, client, server};
use fullduplex::{
    Acceptor, Cause, Client, CloseCode, Config, ConnectError, Deadline, Error, HandshakeError,
    Message, Outcome, WebSocket,
};
use fullduplex_testkit::{
    Fault, Peer, Script,
    wire::{self, Frame},
};
use tokio::time::{Instant, timeout};

/// More than any deadline; the clock is held, so nobody waits for it.
const NEVER: Duration = Duration::from_secs(1000);

const RESET: Fault = Fault::Error(ErrorKind::ConnectionReset);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Client,
    Server,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Read,
    Written,
}

/// What the peer sends, each frame with the message that it completes.
fn session(big: usize) -> Vec<(Frame, Option<Message>)> {
    vec![
        (wire::text("Hello"), Some("Hello".into())),
        (wire::ping("1"), None),
        (wire::text("Hel").not_fin(), None),
        (wire::ping("2"), None),
        (wire::continuation("lo é"), Some("Hello é".into())),
        (wire::pong("unasked"), None),
        (wire::text(""), Some("".into())),
        (wire::binary(vec![7; big]), Some(vec![7; big].into())),
        (wire::close(1000, "bye"), None),
    ]
}

/// How a session went that sends every message back.
struct End {
    heard: Vec<Message>,
    error: Option<Error>,
    outcome: Outcome,
    took: Duration,
    /// What was written behind the handshake.
    written: Vec<u8>,
}

/// Runs the session with a fault at byte `n` behind the handshake.
async fn run(side: Side, big: usize, fault: Option<(Direction, usize, Fault)>) -> End {
    let (mut ws, wire) = match side {
        Side::Client => client(Config::default()).await,
        Side::Server => server(Config::default()).await,
    };
    let handshake = wire.script.written().len();
    // All that has been read so far is the handshake.
    let read = wire.script.read();
    match fault {
        Some((Direction::Read, n, fault)) => wire.script.fault_reads_at(read + n, fault),
        Some((Direction::Written, n, fault)) => wire.script.fault_writes_at(handshake + n, fault),
        None => {}
    }
    wire.push(session(big).into_iter().map(|(frame, _)| frame));
    wire.script.push_end();
    let begun = Instant::now();
    let (heard, error) = timeout(NEVER, echo(&mut ws)).await.expect("no hang");
    assert!(wire.script.is_dropped(), "the transport is let go");
    End {
        heard,
        error,
        outcome: ws.outcome().expect("an end"),
        took: begun.elapsed(),
        written: wire.script.written()[handshake..].to_vec(),
    }
}

async fn echo(ws: &mut WebSocket) -> (Vec<Message>, Option<Error>) {
    let mut heard = Vec::new();
    loop {
        match ws.recv().await {
            Ok(Some(message)) => {
                heard.push(message.clone());
                // If it fails, the next call says so, too.
                let _ = ws.send(message).await.is_ok();
            }
            Ok(None) => return (heard, None),
            Err(error) => return (heard, Some(error)),
        }
    }
}

/// Where each frame ends, with the message that it completes, as the peer of this side sends them.
fn ends(side: Side, big: usize) -> Vec<(usize, Option<Message>)> {
    let mut at = 0;
    let frames = session(big).into_iter();
    frames
        .map(|(frame, message)| {
            let frame = match side {
                Side::Client => frame,
                Side::Server => frame.masked(),
            };
            at += frame.bytes().len();
            (at, message)
        })
        .collect()
}

/// The whole frames of what was written, without masking keys.
fn whole_frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    loop {
        let Some(&[_, second]) = bytes.first_chunk::<2>() else {
            return frames;
        };
        let extended = if second & 0x7f == 126 { 2 } else { 0 };
        let masked = if second & 0x80 == 0 { 0 } else { 4 };
        let len = match bytes.get(2..4) {
            Some(&[high, low]) if extended > 0 => usize::from(high) << 8 | usize::from(low),
            _ => usize::from(second & 0x7f),
        };
        let Some((frame, rest)) = bytes.split_at_checked(2 + extended + masked + len) else {
            return frames;
        };
        frames.push(wire::frames(frame).remove(0).without_key().bytes());
        bytes = rest;
    }
}

/// The data messages among whole frames.
fn echoes(written: &[u8]) -> usize {
    let data = whole_frames(written).into_iter();
    data.filter(|frame| frame[0] & 0x8 == 0).count()
}

/// Every byte of the small session; of a big one those around where something changes, and some between.
fn places(total: usize) -> impl Iterator<Item = usize> {
    (0..=total).filter(move |n| total < 2000 || *n < 60 || total - n < 60 || n % 2003 == 0)
}

/// Long enough to be read straight into its own buffer.
const BIG: usize = 40_000;

fn cases() -> impl Iterator<Item = (Side, usize)> {
    [Side::Client, Side::Server]
        .into_iter()
        .flat_map(|side| [300, BIG].map(|big| (side, big)))
}

#[tokio::test(start_paused = true)]
async fn p78_reads_that_fail_end_or_stall_at_any_byte_give_the_whole_messages_before_it_and_1006() {
    for (side, big) in cases() {
        let ends = ends(side, big);
        let close = ends.last().unwrap().0;
        for n in places(close) {
            let whole: Vec<Message> = ends
                .iter()
                .filter(|(end, _)| *end <= n)
                .filter_map(|(_, message)| message.clone())
                .collect();
            for (fault, cause, longest) in [
                (RESET, Cause::Io(ErrorKind::ConnectionReset), 0),
                (Fault::End, Cause::Eof, 0),
                // A ping after 20 s, its answer awaited for 20 s, and the end of TCP for five.
                (Fault::Stall, Cause::Timeout(Deadline::Keepalive), 45),
            ] {
                let end = run(side, big, Some((Direction::Read, n, fault))).await;
                let place = format!("{side:?} {big}, {fault:?} at {n} of {close}");
                assert!(end.heard == whole, "{place}: {} heard", end.heard.len());
                assert_eq!(echoes(&end.written), whole.len(), "{place}");
                assert!(end.took.as_secs() <= longest, "{place}: {:?}", end.took);
                if n < close {
                    let outcome = &end.outcome;
                    assert_eq!(outcome.code(), CloseCode::ABNORMAL_CLOSURE, "{place}");
                    assert_eq!((outcome.clean, outcome.cause), (false, cause), "{place}");
                    assert_eq!(end.error, Some(Error::Ended(Box::new(end.outcome))));
                } else {
                    assert!(end.outcome.clean, "{place}: both Closes were exchanged");
                    assert_eq!(end.error, None, "{place}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p78_writes_that_fail_end_or_stall_at_any_byte_leave_the_front_of_what_was_to_be_said() {
    for (side, big) in cases() {
        let messages: Vec<Message> = session(big).into_iter().filter_map(|(_, m)| m).collect();
        let reference = run(side, big, None).await;
        assert!(reference.heard == messages && reference.outcome.clean);
        let frames = whole_frames(&reference.written);
        let total = reference.written.len();
        let close = total - if side == Side::Client { 8 } else { 4 };
        for n in places(total - 1) {
            let in_close = n >= close;
            let stalled = if in_close {
                (Cause::Timeout(Deadline::Close), 5)
            } else {
                (Cause::Timeout(Deadline::Write), 10)
            };
            let broken = |kind| {
                // The peer's Close has come: that ours does not leave is not what began the end.
                let cause = if in_close {
                    Cause::Close
                } else {
                    Cause::Io(kind)
                };
                (cause, 0)
            };
            for (fault, (cause, longest)) in [
                (RESET, broken(ErrorKind::ConnectionReset)),
                (Fault::End, broken(ErrorKind::WriteZero)),
                (Fault::Stall, stalled),
            ] {
                let end = run(side, big, Some((Direction::Written, n, fault))).await;
                let place = format!("{side:?} {big}, {fault:?} at {n} of {total}");
                assert_eq!(end.written.len(), n, "{place}");
                let whole = whole_frames(&end.written);
                assert!(frames.starts_with(&whole), "{place}");
                assert!(messages.starts_with(&end.heard), "{place}");
                assert!(end.heard.len() >= echoes(&end.written), "{place}");
                assert!(!end.outcome.clean, "{place}: {}", end.outcome);
                assert_eq!(end.outcome.cause, cause, "{place}");
                assert_eq!(end.outcome.sent, None, "{place}");
                assert!(end.took.as_secs() <= longest, "{place}: {:?}", end.took);
                assert_eq!(end.error, Some(Error::Ended(Box::new(end.outcome))));
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p39_p87_reads_and_writes_cut_at_any_byte_change_nothing() {
    for (side, big) in cases() {
        let reference = run(side, big, None).await;
        let frames = whole_frames(&reference.written);
        let (read, written) = (ends(side, big).last().unwrap().0, reference.written.len());
        let cuts = places(read).map(|n| (Direction::Read, n));
        for (direction, n) in cuts.chain(places(written).map(|n| (Direction::Written, n))) {
            let end = run(side, big, Some((direction, n, Fault::Pause))).await;
            assert!(end.heard == reference.heard, "{direction:?} {n}");
            assert!(whole_frames(&end.written) == frames, "{direction:?} {n}");
            assert_eq!(end.outcome, reference.outcome, "{direction:?} {n}");
            assert_eq!((end.error, end.took), (None, Duration::ZERO));
        }
    }
}

fn fault_at(script: &Script, direction: Direction, n: usize, fault: Fault) {
    match direction {
        Direction::Read => script.fault_reads_at(n, fault),
        Direction::Written => script.fault_writes_at(n, fault),
    }
}

#[tokio::test(start_paused = true)]
async fn a_servers_handshake_survives_any_fault_at_any_byte() {
    const RESPONSE: usize = 129;
    let places = (0..REQUEST.len()).map(|n| (Direction::Read, n));
    for (direction, n) in places.chain((0..RESPONSE).map(|n| (Direction::Written, n))) {
        for fault in [RESET, Fault::End, Fault::Stall, Fault::Pause] {
            let (io, peer) = Peer::client();
            fault_at(&peer.script, direction, n, fault);
            if direction == Direction::Read {
                // What is told of a request that does not come is not read by anybody.
                peer.script.push_end();
            }
            let begun = Instant::now();
            let accepted = timeout(NEVER, Acceptor::new().accept(io)).await;
            let accepted = accepted.expect("no hang");
            let place = format!("{direction:?} {fault:?} at {n}: {accepted:?}");
            match (&accepted, direction, fault) {
                (Ok(_), _, Fault::Pause) => {
                    assert_eq!(peer.script.written().len(), RESPONSE, "{place}");
                    continue;
                }
                (Err(HandshakeError::Rejected(told)), Direction::Read, Fault::Stall) => {
                    assert_eq!(told.status(), 408, "{place}");
                }
                (Err(HandshakeError::Io(error)), _, _) => {
                    let expected = match (direction, fault) {
                        (_, RESET) => ErrorKind::ConnectionReset,
                        (_, Fault::Stall) => ErrorKind::TimedOut,
                        (Direction::Read, _) => ErrorKind::UnexpectedEof,
                        (Direction::Written, _) => ErrorKind::WriteZero,
                    };
                    assert_eq!(error.kind(), expected, "{place}");
                }
                _ => panic!("{place}"),
            }
            // The request may take ten seconds, and a refusal one more to be read.
            assert!(begun.elapsed().as_secs() <= 11, "{place}");
            assert!(peer.script.is_dropped(), "{place}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_clients_handshake_survives_any_fault_at_any_byte() {
    const RESPONSE: usize = 129;
    let request = {
        let (_ws, peer) = client(Config::default()).await;
        peer.script.written().len()
    };
    let places = (0..RESPONSE).map(|n| (Direction::Read, n));
    for (direction, n) in places.chain((0..request).map(|n| (Direction::Written, n))) {
        for fault in [RESET, Fault::End, Fault::Stall, Fault::Pause] {
            let (io, peer) = Peer::server();
            fault_at(&peer.script, direction, n, fault);
            let client = Client::new("ws://server.example.com/chat").unwrap();
            let begun = Instant::now();
            let answered = async {
                peer.accept("").await;
                pending::<()>().await;
            };
            let connected = timeout(NEVER, async {
                tokio::select! {
                    connected = client.connect_over(io) => connected,
                    () = answered => unreachable!("it is pending"),
                }
            });
            let connected = connected.await.expect("no hang");
            let place = format!("{direction:?} {fault:?} at {n}: {connected:?}");
            match (&connected, direction, fault) {
                (Ok(_), _, Fault::Pause) => continue,
                (Err(ConnectError::Timeout), _, Fault::Stall) => {
                    assert_eq!(begun.elapsed().as_secs(), 30, "{place}");
                }
                (Err(ConnectError::Handshake(_)), Direction::Read, Fault::End) => {}
                (Err(ConnectError::Io(error)), Direction::Written, Fault::End) => {
                    assert_eq!(error.kind(), ErrorKind::WriteZero, "{place}");
                }
                (Err(ConnectError::Io(error)), _, RESET) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{place}");
                }
                _ => panic!("{place}"),
            }
            assert!(peer.script.is_dropped(), "{place}");
        }
    }
}
