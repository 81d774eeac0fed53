//! Goal: a peer that sends more than it may is slowed down, partly unheard, or shown the door, as its server wants.
//! Method: scripted transports and tokio's clock held still, which moves on when all wait; real loopback for the server.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{pin::pin, sync::Arc, time::Duration};

use common::{
    poll_times,
    raw::{Raw, bound, echo, within},
    server,
};
use fullduplex::{
    Acceptor, CloseCode, CloseFrame, Closed, Config, Error, Message, Observer, RateAction,
    RateLimit, WebSocket,
};
use fullduplex_testkit::wire;
use tokio::{
    io::AsyncReadExt,
    sync::{mpsc, oneshot},
    time::{Instant, sleep, timeout},
};

const SECOND: Duration = Duration::from_secs(1);

/// Ten messages in a second, and no more at once.
fn ten() -> RateLimit {
    RateLimit::new().messages(10).burst(SECOND)
}

/// A server's connection with this limit.
async fn limited(limit: RateLimit) -> (WebSocket, common::Wire) {
    let (mut ws, wire) = server(Config::default()).await;
    ws.limit_rate(limit);
    (ws, wire)
}

fn numbered(n: usize) -> Message {
    Message::text(n.to_string())
}

fn frames(n: std::ops::Range<usize>) -> impl Iterator<Item = wire::Frame> {
    n.map(|n| wire::text(n.to_string()))
}

#[tokio::test(start_paused = true)]
async fn who_waits_gets_every_message_at_its_time() {
    let (mut ws, wire) = limited(ten()).await;
    wire.push(frames(0..35));
    let begun = Instant::now();
    for n in 0..35 {
        assert_eq!(ws.recv().await, Ok(Some(numbered(n))));
        let due = SECOND / 10 * u32::try_from(n.saturating_sub(9)).unwrap();
        assert_eq!(begun.elapsed(), due, "message {n}");
    }
    assert_eq!(ws.rate_limited(), 25);
    // After a quiet second they come at once again.
    sleep(2 * SECOND).await;
    wire.push(frames(0..10));
    let begun = Instant::now();
    for n in 0..10 {
        assert_eq!(ws.recv().await, Ok(Some(numbered(n))));
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn bytes_count_too_and_a_long_message_is_paid_for_afterwards() {
    let (mut ws, wire) = limited(RateLimit::new().bytes(1000).burst(SECOND)).await;
    wire.push([wire::binary(vec![7; 60_000]), wire::text("next")]);
    let begun = Instant::now();
    assert_eq!(ws.recv().await, Ok(Some(vec![7; 60_000].into())));
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(ws.recv().await, Ok(Some("next".into())));
    assert_eq!(begun.elapsed().as_secs(), 59);
}

#[tokio::test(start_paused = true)]
async fn a_message_in_parts_is_slowed_down_in_its_middle() {
    let (mut ws, wire) = limited(RateLimit::new().bytes(1000).burst(SECOND)).await;
    let part = vec![7; 1500];
    wire.push([
        wire::binary(part.clone()).not_fin(),
        wire::continuation(part.clone()).not_fin(),
        wire::continuation(part),
    ]);
    let begun = Instant::now();
    let mut message = Vec::new();
    let mut reader = ws.recv_stream().await.unwrap().unwrap();
    reader.read_to_end(&mut message).await.unwrap();
    assert_eq!(message, vec![7; 4500]);
    // The last part comes when the two before it are paid for, but for the burst.
    assert_eq!(begun.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn while_it_waits_nothing_is_read() {
    let (mut ws, wire) = limited(ten()).await;
    wire.push(frames(0..10));
    for n in 0..10 {
        assert_eq!(ws.recv().await, Ok(Some(numbered(n))));
    }
    wire.push([wire::ping("are you there?")]);
    assert!(timeout(SECOND / 20, ws.recv()).await.is_err());
    assert!(wire.frames().is_empty(), "the ping lies in the transport");
    assert!(timeout(SECOND, ws.recv()).await.is_err());
    assert_eq!(wire.frames(), [wire::pong("are you there?")]);
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_lost_for_pongs_that_its_own_limit_did_not_read() {
    let (mut ws, wire) = limited(RateLimit::new().bytes(1000).burst(SECOND)).await;
    wire.push([wire::binary(vec![7; 100_000])]);
    ws.recv().await.unwrap();
    // Twice the time in which keepalive pings and gives up.
    wire.push([wire::text("still here")]);
    assert_eq!(ws.recv().await, Ok(Some("still here".into())));
    assert!(wire.frames().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_is_queued_leaves_while_it_waits() {
    let (mut ws, wire) = limited(ten()).await;
    wire.push(frames(0..11));
    for _ in 0..10 {
        ws.recv().await.unwrap();
    }
    ws.feed("fed").await.unwrap();
    assert!(timeout(SECOND / 20, ws.recv()).await.is_err());
    assert_eq!(wire.frames(), [wire::text("fed")]);
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_the_rate_from_whichever_side() {
    for halves in [false, true] {
        let (mut ws, wire) = limited(RateLimit::new().bytes(1).burst(SECOND)).await;
        wire.push([wire::binary(vec![7; 1000])]);
        ws.recv().await.unwrap();
        wire.push([wire::close(1000, "")]);
        wire.script.push_end();
        let begun = Instant::now();
        let outcome = if halves {
            let (mut read, mut write) = ws.split();
            let receiving = tokio::spawn(async move { read.recv().await });
            tokio::task::yield_now().await;
            let outcome = write.close(CloseFrame::normal()).await;
            assert_eq!(receiving.await.unwrap(), Ok(None));
            outcome
        } else {
            ws.close(CloseFrame::normal()).await
        };
        assert!(outcome.clean);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_dropped_after_every_poll_loses_nothing() {
    let (mut ws, wire) = limited(ten()).await;
    wire.push(frames(0..30));
    let begun = Instant::now();
    for n in 0..30 {
        let message = loop {
            if let Some(message) = poll_times(pin!(ws.recv()), 1).await {
                break message;
            }
            sleep(Duration::from_millis(7)).await;
        };
        assert_eq!(message, Ok(Some(numbered(n))));
    }
    // Not sooner either.
    assert!(begun.elapsed() >= 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_counted_and_the_rest_arrives() {
    let (mut ws, wire) = limited(ten().action(RateAction::Drop)).await;
    wire.push(frames(0..15));
    wire.push([wire::ping("p")]);
    let received = async {
        let mut received = Vec::new();
        while let Ok(message) = timeout(SECOND / 2, ws.recv()).await {
            received.push(message.unwrap().unwrap());
        }
        received
    };
    assert_eq!(received.await, (0..10).map(numbered).collect::<Vec<_>>());
    assert_eq!(ws.rate_limited(), 5);
    assert_eq!(wire.frames(), [wire::pong("p")], "pings are answered");
    wire.push(frames(20..21));
    assert_eq!(ws.recv().await, Ok(Some(numbered(20))));
}

#[tokio::test(start_paused = true)]
async fn who_is_closed_for_it_is_told_1008_and_heard_no_more() {
    let (mut ws, wire) = limited(ten().action(RateAction::Close)).await;
    wire.push(frames(0..11));
    for n in 0..10 {
        assert_eq!(ws.recv().await, Ok(Some(numbered(n))));
    }
    let late = async {
        sleep(3 * SECOND).await;
        wire.push([wire::text("within the rate again")]);
        wire.push([wire::close(1008, "rate limit")]);
        wire.script.push_end();
    };
    let (received, ()) = tokio::join!(ws.recv(), late);
    assert_eq!(received, Ok(None));
    assert_eq!(wire.frames(), [wire::close(1008, "rate limit")]);
    assert_eq!(
        ws.outcome().unwrap().to_string(),
        "1008 \"rate limit\" by us"
    );
    assert_eq!(ws.rate_limited(), 1);
}

/// Passes on what it hears of ends.
struct Ends(mpsc::UnboundedSender<Closed>);

impl Observer for Ends {
    fn closed(&self, _peer: std::net::SocketAddr, closed: &Closed) {
        self.0.send(closed.clone()).ok();
    }
}

#[tokio::test]
async fn a_servers_connections_are_limited_each_by_itself_and_its_observer_is_told() {
    let (server, addr) = bound().await;
    let (ends, mut ended) = mpsc::unbounded_channel();
    let limit = RateLimit::new().messages(1).burst(3 * SECOND);
    let acceptor = Acceptor::new().rate_limit(limit.action(RateAction::Close));
    let server = server.acceptor(acceptor).observer(Arc::new(Ends(ends)));
    tokio::spawn(server.serve(echo));
    for _ in 0..2 {
        let mut raw = Raw::open(addr).await;
        raw.send_frames(frames(0..1000)).await;
        // A slow test's fourth message may yet be within the rate.
        let mut echoed = 0;
        let last = loop {
            match raw.frame().await {
                frame if frame.opcode == 1 => echoed += 1,
                other => break other,
            }
        };
        assert!((3..1000).contains(&echoed), "{echoed}");
        assert_eq!(last, wire::close(1008, "rate limit"));
        raw.send_frames([wire::close(1008, "")]).await;
        raw.end().await;
        let closed = within(ended.recv()).await.unwrap();
        assert_eq!(closed.rate_limited, 1);
        let sent = closed.outcome.sent.unwrap();
        assert_eq!(sent.code(), CloseCode::POLICY_VIOLATION);
    }
}

#[tokio::test]
async fn a_connection_that_waits_is_closed_at_shutdown_without_delay() {
    let (server, addr) = bound().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let limit = RateLimit::new().bytes(1);
    let serving = server
        .acceptor(Acceptor::new().rate_limit(limit))
        .serve_until(echo, async { stopped.await.unwrap() });
    let ended = tokio::spawn(serving);
    let mut raw = Raw::open(addr).await;
    // An hour's worth.
    raw.send_frames([wire::binary(vec![7; 3600]), wire::text("next")])
        .await;
    assert_eq!(raw.frame().await, wire::binary(vec![7; 3600]));
    stop.send(()).unwrap();
    assert_eq!(raw.frame().await, wire::close(1001, ""));
    raw.send_frames([wire::close(1001, "")]).await;
    raw.end().await;
    within(ended).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_limit_can_follow_from_who_the_user_is() -> Result<(), Error> {
    let (mut ws, wire) = limited(ten()).await;
    wire.push(frames(0..100));
    ws.limit_rate(RateLimit::new());
    let begun = Instant::now();
    for n in 0..100 {
        assert_eq!(ws.recv().await?, Some(numbered(n)));
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    Ok(())
}
