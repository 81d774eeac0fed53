//! Goal: limits, deadlines, faults and several polls of one connection at once are met by what goes through the room as by what does not.
//! Method: handlers that receive first, which opens the room, against transports that stall, fail and panic.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{
    collections::VecDeque,
    future::pending,
    io,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use common::{
    Wire, poll_times,
    room::{after_receiving, elsewhere, once_elsewhere, texts},
    server,
};
use fullduplex::{
    Acceptor, Client, CloseFrame, Config, Deflate, Message, MessageKind, Outgoing, WebSocket,
    corked,
};
use fullduplex_testkit::{Fault, wire};
use futures_util::SinkExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// A corked handler that has given its connection away and waits for ever.
async fn given_away(ws: WebSocket) -> (Pin<Box<dyn Future<Output = ()> + Send>>, WebSocket) {
    let slot = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&slot);
    let mut outer: Pin<Box<dyn Future<Output = ()> + Send>> =
        Box::pin(corked(ws, move |ws| async move {
            *kept.lock().unwrap() = Some(ws);
            pending::<()>().await;
        }));
    assert!(poll_times(outer.as_mut(), 1).await.is_none());
    let ws = slot.lock().unwrap().take().unwrap();
    (outer, ws)
}

#[tokio::test]
async fn a_handler_on_another_thread_within_a_handler_comes_behind_it() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    let mut inner = None;
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("here").await.unwrap();
        let inner = inner.insert(Box::pin(corked(ws, |mut ws| async move {
            ws.send("there").await.unwrap();
        })));
        // It may have to wait for the end of this poll.
        let _ = once_elsewhere(inner.as_mut());
    })
    .await;
    assert_eq!(wire.frames(), texts(["here", "there"]));
}

#[tokio::test]
async fn a_handler_within_anothers_within_its_own_comes_behind_it() {
    let (between, _wire) = server(Config::default()).await;
    let frames = after_receiving(async |mut ws, _| {
        ws.send("outer").await.unwrap();
        corked(between, async move |_between| {
            corked(ws, async move |mut ws| ws.send("inner").await.unwrap()).await;
        })
        .await;
    })
    .await;
    assert_eq!(frames, texts(["outer", "inner"]));
}

#[tokio::test]
async fn the_end_of_an_outer_poll_leaves_an_inner_handlers_order() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    let (mut outer, ws) = given_away(ws).await;
    let big = "big".repeat(4000);
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("one").await.unwrap();
        assert!(once_elsewhere(outer.as_mut()).is_pending());
        ws.send("two").await.unwrap();
        ws.send(big.as_str()).await.unwrap();
    })
    .await;
    assert_eq!(wire.frames(), texts(["one", "two", &big]));
}

#[tokio::test]
async fn the_end_of_an_outer_poll_loses_nothing_before_a_close() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    let (mut outer, ws) = given_away(ws).await;
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("answer").await.unwrap();
        assert!(once_elsewhere(outer.as_mut()).is_pending());
        let closing = poll_times(pin!(ws.close(CloseFrame::normal())), 1).await;
        assert!(closing.is_none());
    })
    .await;
    assert_eq!(wire.frames(), [wire::text("answer"), wire::close(1000, "")]);
}

#[tokio::test]
async fn the_end_of_an_outer_poll_does_not_make_a_flush_lie() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    let (mut outer, ws) = given_away(ws).await;
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("answer").await.unwrap();
        assert!(once_elsewhere(outer.as_mut()).is_pending());
        ws.flush().await.unwrap();
        assert_eq!(wire.frames(), texts(["answer"]));
    })
    .await;
}

/// The rest of a frame of 9000 bytes waits, and nothing else.
async fn with_a_rest(soft: usize, hard: usize) -> (WebSocket, Wire) {
    let mut config = Config::default();
    config.limits.soft_queue = soft;
    config.limits.hard_queue = hard;
    let (mut ws, wire) = server(config).await;
    let already = wire.script.written().len();
    wire.script.fault_writes_at(already + 1000, Fault::Stall);
    let big = vec![7; 10_000];
    assert!(poll_times(pin!(ws.send(big)), 1).await.is_none());
    assert!(ws.queued() > 8000, "{}", ws.queued());
    wire.push([wire::text("question")]);
    (ws, wire)
}

#[tokio::test]
async fn the_rest_of_a_frame_counts_to_the_soft_limit() {
    let (ws, _wire) = with_a_rest(5000, 20_000).await;
    let mut handler = pin!(corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("answer").await.unwrap();
        panic!("there was no room for it");
    }));
    assert!(poll_times(handler.as_mut(), 3).await.is_none());
}

#[tokio::test]
async fn the_hard_limit_holds_with_the_rest_of_a_frame() {
    let (ws, _wire) = with_a_rest(9_500, 9_500).await;
    let mut handler = pin!(corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        loop {
            ws.send(vec![1; 1000]).await.unwrap();
            assert!(ws.queued() <= 9_500, "{}", ws.queued());
        }
    }));
    assert!(poll_times(handler.as_mut(), 3).await.is_none());
}

#[tokio::test]
async fn a_flush_tells_of_what_was_lost_by_an_error_of_reading() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("answer").await.unwrap();
        let reset = Fault::Error(io::ErrorKind::ConnectionReset);
        wire.script.fault_reads_at(wire.script.read(), reset);
        assert!(ws.recv().await.is_err());
        assert_ne!(ws.queued(), 0);
        assert!(ws.flush().await.is_err());
    })
    .await;
    assert_eq!(wire.frames(), []);
}

/// A transport that panics when it is written to for the second time (the first is the handshake's).
struct Panics<T>(T, usize);

impl<T: AsyncRead + Unpin> AsyncRead for Panics<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Panics<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.1 += 1;
        assert!(self.1 < 2, "as this transport does");
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

async fn panicking() -> WebSocket {
    let (io, _wire) = Wire::client();
    Acceptor::new().accept(Panics(io, 0)).await.unwrap()
}

#[tokio::test]
async fn a_panic_in_an_inner_handlers_transport_loses_nothing_of_the_outer() {
    let inner = panicking().await;
    let frames = after_receiving(async |mut ws, _| {
        ws.send("answer").await.unwrap();
        let mut inner = Box::pin(corked(inner, async |mut inner| {
            inner.send("boom").await.unwrap();
        }));
        let mut cx = Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(&mut cx)));
        assert!(polled.is_err());
        ws.send("more").await.unwrap();
    })
    .await;
    assert_eq!(frames, texts(["answer", "more"]));
}

#[tokio::test]
async fn a_panic_in_a_transport_that_many_are_sent_to_loses_nothing_of_the_handler() {
    let mut other = panicking().await;
    let frames = after_receiving(async |mut ws, _| {
        ws.send("answer").await.unwrap();
        let mut many = VecDeque::from([Outgoing::from("boom")]);
        let polled = {
            let mut sending = pin!(other.send_many(&mut many));
            let mut cx = Context::from_waker(Waker::noop());
            catch_unwind(AssertUnwindSafe(|| {
                sending.as_mut().poll(&mut cx).is_ready()
            }))
        };
        assert!(polled.is_err());
        ws.send("more").await.unwrap();
    })
    .await;
    assert_eq!(frames, texts(["answer", "more"]));
}

#[tokio::test]
async fn what_was_received_ahead_is_thrown_away_by_the_other_halfs_close() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push(["0", "1", "2"].map(wire::text));
    assert_eq!(ws.recv().await.unwrap(), Some(Message::text("0")));
    let (mut read, mut write) = ws.split();
    let closing = poll_times(pin!(write.close(CloseFrame::normal())), 1).await;
    assert!(closing.is_none());
    wire.push([wire::close(1000, "")]);
    wire.script.push_end();
    assert_eq!(read.recv().await.unwrap(), None);
}

fn limited(soft: usize, hard: usize, fragment: usize) -> Config {
    let mut config = Config::default();
    config.limits.soft_queue = soft;
    config.limits.hard_queue = hard;
    config.limits.fragment = fragment;
    config
}

#[tokio::test]
async fn over_the_soft_limit_another_thread_waits_for_the_end_of_the_poll() {
    let (ws, wire) = server(limited(1000, 100_000, 65536)).await;
    wire.push([wire::text("question")]);
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("here").await.unwrap();
        let mut feeding = Box::pin(async move {
            for _ in 0..4 {
                ws.feed("x".repeat(600)).await.unwrap();
            }
        });
        assert!(once_elsewhere(feeding.as_mut()).is_pending());
    })
    .await;
    let x = "x".repeat(600);
    assert_eq!(wire.frames(), texts(["here", &x, &x]));
}

#[tokio::test]
async fn a_client_has_no_room_that_others_wait_for() {
    let (ws, wire) = common::client(Config::default()).await;
    wire.push([wire::text("question")]);
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        elsewhere(async move { ws.flush().await.unwrap() });
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn another_thread_makes_a_handler_wait_in_that_poll_only() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    let mut polls = 0;
    let mut handler = pin!(corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("here").await.unwrap();
        let mut ws = elsewhere(async move {
            ws.send("there").await.unwrap();
            ws
        });
        ws.recv().await.unwrap();
    }));
    // Left alone, it is polled for what has happened, and rests.
    let polled = tokio::time::timeout(
        Duration::from_millis(50),
        std::future::poll_fn(|cx| {
            polls += 1;
            handler.as_mut().poll(cx)
        }),
    );
    assert!(polled.await.is_err());
    assert!(polls < 5, "{polls}");
    assert_eq!(wire.frames(), texts(["here", "there"]));
}

async fn ahead() -> (WebSocket, Wire) {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push(["0", "1", "2"].map(wire::text));
    assert_eq!(ws.recv().await.unwrap(), Some(Message::text("0")));
    wire.push([wire::close(1000, "")]);
    wire.script.push_end();
    (ws, wire)
}

#[tokio::test]
async fn what_was_received_ahead_is_thrown_away_by_a_sinks_close() {
    let (mut ws, _wire) = ahead().await;
    SinkExt::<Message>::close(&mut ws).await.unwrap();
    assert_eq!(ws.recv().await.unwrap(), None);
}

#[tokio::test]
async fn what_was_received_ahead_is_thrown_away_by_a_shutdown() {
    let (ws, _wire) = ahead().await;
    let mut io = ws.into_io(MessageKind::Text);
    io.shutdown().await.unwrap();
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn within_a_message_in_parts_nothing_is_sent() {
    after_receiving(async |mut ws, wire| {
        let mut parts = ManuallyDrop::new(ws.send_stream(MessageKind::Text));
        parts.write("part").await.unwrap();
        ws.flush().await.unwrap();
        wire.push([wire::text("another question")]);
        ws.recv().await.unwrap();
        assert!(ws.send("between").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_hard_limit_below_the_soft_one_holds() {
    let (ws, wire) = server(limited(10_000, 1000, 65536)).await;
    wire.push([wire::text("question")]);
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        for _ in 0..5 {
            ws.send(vec![1; 500]).await.unwrap();
            assert!(ws.queued() <= 1064, "{}", ws.queued());
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_in_an_earlier_poll_and_waits_comes_first() {
    for old in ["old".to_owned(), "old".repeat(3000)] {
        let (ws, wire) = server(Config::default()).await;
        wire.push([wire::text("question")]);
        wire.script
            .fault_writes_at(wire.script.written().len(), Fault::Stall);
        let mut handler = pin!(corked(ws, async |mut ws| {
            ws.recv().await.unwrap();
            ws.send(old.as_str()).await.unwrap();
            tokio::task::yield_now().await;
            wire.push([wire::text("question")]);
            ws.recv().await.unwrap();
            ws.send("new").await.unwrap();
        }));
        assert!(poll_times(handler.as_mut(), 4).await.is_none());
        wire.script.heal();
        handler.await;
        assert_eq!(wire.frames(), texts([&old, "new"]));
    }
}

#[tokio::test]
async fn what_is_longer_than_a_fragment_is_cut() {
    let (ws, wire) = server(limited(65536, 1 << 20, 10)).await;
    wire.push([wire::text("question")]);
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("0123456789").await.unwrap();
        ws.send("0123456789a").await.unwrap();
    })
    .await;
    let expected = [
        wire::text("0123456789"),
        wire::text("0123456789").not_fin(),
        wire::continuation("a"),
    ];
    assert_eq!(wire.frames(), expected);
}

#[tokio::test]
async fn one_write_is_no_longer_than_a_batch() {
    let (ws, wire) = server(limited(10 << 20, 10 << 20, 65536)).await;
    wire.push([wire::text("question")]);
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        for _ in 0..200 {
            ws.send(vec![1; 1000]).await.unwrap();
        }
    })
    .await;
    assert_eq!(wire.frames().len(), 200);
    let already = wire.script.writes()[0].len();
    assert!(
        wire.script
            .writes()
            .iter()
            .all(|write| write.len() < 70_000 + already)
    );
}

#[tokio::test]
async fn many_sent_to_another_connection_leave_a_handlers_room_alone() {
    let (mut other, other_wire) = server(Config::default()).await;
    let frames = after_receiving(async |mut ws, _| {
        ws.send("answer").await.unwrap();
        let mut many = VecDeque::from([Outgoing::from("other")]);
        other.send_many(&mut many).await.unwrap();
        ws.send("more").await.unwrap();
    })
    .await;
    assert_eq!(frames, texts(["answer", "more"]));
    assert_eq!(other_wire.frames(), texts(["other"]));
}

#[tokio::test]
async fn what_is_long_enough_is_compressed_also_in_a_handler() {
    let (near, far) = fullduplex_testkit::pipe(64 << 10);
    let acceptor = Acceptor::new().deflate(Deflate::for_server());
    let accepting = tokio::spawn(async move { acceptor.accept(far).await.unwrap() });
    let (counted, read) = counted(near);
    let client = Client::new("ws://example.com/")
        .unwrap()
        .deflate(Deflate::for_client());
    let (mut client, _) = client.connect_over(counted).await.unwrap();
    let ws = accepting.await.unwrap();
    client.send("question").await.unwrap();
    let before = read.load(Ordering::SeqCst);
    let echo = tokio::spawn(corked(ws, |mut ws| async move {
        ws.recv().await.unwrap();
        ws.send("a".repeat(3000)).await.unwrap();
        ws
    }));
    assert_eq!(
        client.recv().await.unwrap(),
        Some(Message::text("a".repeat(3000)))
    );
    drop(echo.await.unwrap());
    assert!(read.load(Ordering::SeqCst) - before < 500);
}

struct Counted<T>(T, Arc<AtomicUsize>);

fn counted<T>(io: T) -> (Counted<T>, Arc<AtomicUsize>) {
    let count = Arc::default();
    (Counted(io, Arc::clone(&count)), count)
}

impl<T: AsyncRead + Unpin> AsyncRead for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.0).poll_read(cx, buf);
        let n = buf.filled().len() - before;
        self.1.fetch_add(n, Ordering::SeqCst);
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn in_a_poll_in_which_nothing_was_received_nobody_waits_for_its_end() {
    after_receiving(async |mut ws, _| {
        ws.send("answer").await.unwrap();
        tokio::task::yield_now().await;
        elsewhere(async move { ws.flush().await.unwrap() });
    })
    .await;
}

#[tokio::test]
async fn what_leaves_in_part_is_not_sent_again() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    let already = wire.script.written().len();
    wire.script.fault_writes_at(already + 5, Fault::Stall);
    let mut handler = pin!(corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("answer").await.unwrap();
        ws.send("more").await.unwrap();
    }));
    assert!(poll_times(handler.as_mut(), 2).await.is_none());
    wire.script.heal();
    handler.await;
    assert_eq!(wire.frames(), texts(["answer", "more"]));
}

#[tokio::test(start_paused = true)]
async fn what_waits_after_a_handlers_poll_has_a_deadline() {
    let mut config = Config::default();
    config.write_timeout = Duration::from_secs(5);
    let (ws, wire) = server(config).await;
    wire.push([wire::text("question")]);
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let start = tokio::time::Instant::now();
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("answer").await.unwrap();
        assert!(ws.recv().await.is_err());
    })
    .await;
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
}
