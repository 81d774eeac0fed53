//! Goal: replies made while one read is handled leave in one write, and nothing is held back.
//! Method: a transport that counts its writes.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{
    collections::VecDeque,
    io,
    pin::{Pin, pin},
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::Duration,
};

use common::{REQUEST, Wire, raw::echo, server};
use fullduplex::{
    Acceptor, CloseCode, Config, Error, Message, Outgoing, Overflow, Prepared, WebSocket, corked,
    handled,
};
use fullduplex_testkit::{Fault, Script, wire};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{Notify, mpsc, oneshot},
    task::yield_now,
    time::timeout,
};

async fn until(wire: &Wire, condition: impl Fn(&Wire) -> bool) {
    timeout(
        Duration::from_secs(5),
        wire.script.until(|_| condition(wire)),
    )
    .await
    .expect("in time");
}

#[tokio::test]
async fn sixteen_messages_in_one_read_are_answered_with_one_write() {
    let (ws, wire) = server(Config::default()).await;
    let messages: Vec<_> = (0..16)
        .map(|i| wire::text(format!("message {i}")))
        .collect();
    wire.push(messages.clone());
    let task = tokio::spawn(corked(ws, echo));
    until(&wire, |wire| wire.frames().len() == 16).await;
    assert_eq!(wire.writes(), [messages]);
    task.abort();
}

#[tokio::test]
async fn without_a_cork_each_send_writes_before_it_returns() {
    let (ws, wire) = server(Config::default()).await;
    wire.push((0..3).map(|i| wire::text(format!("message {i}"))));
    wire.script.push_end();
    assert!(matches!(echo(ws).await, Err(Error::Ended(_))));
    assert_eq!(wire.writes().len(), 3);
}

#[tokio::test]
async fn messages_sent_together_leave_in_one_write_in_their_order() {
    let (mut ws, wire) = server(Config::default()).await;
    ws.feed("before").await.unwrap();
    let prepared = Prepared::new(&Message::text("for many"));
    let large = vec![1; 10_000];
    let mut messages: VecDeque<Outgoing> =
        ["one".into(), prepared.into(), large.clone().into()].into();
    ws.send_many(&mut messages).await.unwrap();
    assert!(messages.is_empty());
    let frames = [
        wire::text("before"),
        wire::text("one"),
        wire::text("for many"),
        wire::binary(large),
    ];
    assert_eq!(wire.writes(), [frames]);
}

#[tokio::test]
async fn messages_sent_together_in_a_corked_handler_leave_at_its_end() {
    let (ws, wire) = server(Config::default()).await;
    corked(ws, async |mut ws| {
        let mut messages = VecDeque::from(["one".into(), "two".into()]);
        ws.send_many(&mut messages).await.unwrap();
        assert_eq!(wire.writes().len(), 0);
        ws.send("three").await.unwrap();
    })
    .await;
    let frames = ["one", "two", "three"].map(wire::text);
    assert_eq!(wire.writes(), [frames]);
}

#[tokio::test(start_paused = true)]
async fn messages_sent_together_to_a_peer_that_takes_nothing_wait_no_longer_than_others() {
    let mut config = Config::default();
    config.limits.soft_queue = 100;
    config.write_timeout = Duration::from_secs(7);
    let (mut ws, wire) = server(config).await;
    let written = wire.script.written().len();
    wire.script.fault_writes_at(written, Fault::Stall);
    let mut messages = VecDeque::from(["one".into(), "two".into(), "three".into()]);
    let begun = tokio::time::Instant::now();
    ws.send_many(&mut messages).await.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(7));
}

#[tokio::test]
async fn a_handler_that_sleeps_after_sending_holds_nothing_back() {
    let (ws, wire) = server(Config::default()).await;
    let (wake, sleep) = oneshot::channel::<()>();
    let task = tokio::spawn(corked(ws, async |mut ws| {
        ws.send("before").await.unwrap();
        sleep.await.unwrap();
        ws.send("after").await.unwrap();
    }));
    until(&wire, |wire| wire.frames() == [wire::text("before")]).await;
    wake.send(()).unwrap();
    task.await.unwrap();
    assert_eq!(wire.frames(), [wire::text("before"), wire::text("after")]);
}

#[tokio::test]
async fn flush_writes_at_once_even_when_corked() {
    let (ws, wire) = server(Config::default()).await;
    corked(ws, async |mut ws| {
        ws.send("one").await.unwrap();
        ws.send("two").await.unwrap();
        assert_eq!(wire.writes().len(), 0);
        ws.flush().await.unwrap();
        assert_eq!(wire.writes().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn above_the_soft_limit_a_corked_send_writes() {
    let mut config = Config::default();
    config.limits.soft_queue = 1000;
    let (ws, wire) = server(config).await;
    corked(ws, async |mut ws| {
        ws.send(vec![1; 500]).await.unwrap();
        assert_eq!(wire.writes().len(), 0);
        ws.send(vec![2; 500]).await.unwrap();
        assert_eq!(wire.writes().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_half_in_another_task_gets_its_bytes_out() {
    let (ws, wire) = server(Config::default()).await;
    let task = tokio::spawn(corked(ws, async |ws| {
        let (mut read, mut write) = ws.split();
        let sender = tokio::spawn(async move {
            for i in 0..10 {
                write.send(format!("{i}")).await.unwrap();
                yield_now().await;
            }
            write
        });
        while let Ok(Some(_)) = read.recv().await {}
        sender.await.unwrap();
    }));
    until(&wire, |wire| wire.frames().len() == 10).await;
    wire.script.push_end();
    task.await.unwrap();
}

#[tokio::test]
async fn what_the_last_poll_sent_leaves_before_the_connection_goes_even_through_a_slow_transport() {
    let (ws, wire) = server(Config::default()).await;
    wire.script.chunk_writes(7);
    wire.script.single_steps();
    corked(ws, async |mut ws| {
        ws.send("the last words of a handler").await.unwrap();
    })
    .await;
    assert_eq!(wire.frames(), [wire::text("the last words of a handler")]);
    assert!(wire.script.is_dropped());
}

#[tokio::test]
async fn a_handler_that_panics_has_its_replies_written() {
    let (ws, wire) = server(Config::default()).await;
    let task = tokio::spawn(corked(ws, async |mut ws| {
        ws.send("before the panic").await.unwrap();
        panic!("as the test wants");
    }));
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(wire.frames(), [wire::text("before the panic")]);
    assert!(wire.script.is_dropped());
}

/// A handler written by hand: a panic does not drop what it holds, as it does what an async block holds.
struct Panics(#[expect(dead_code, reason = "held")] Arc<()>, WebSocket);

impl Future for Panics {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let sent = pin!(self.1.send("before the panic")).poll(cx);
        assert!(sent.is_pending(), "as the test wants");
        Poll::Pending
    }
}

#[tokio::test]
async fn what_a_handler_that_panics_holds_does_not_wait_for_a_slow_peer() {
    let (ws, wire) = server(Config::default()).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let held = Arc::new(());
    let handler = |ws| Panics(Arc::clone(&held), ws);
    let mut run = pin!(handled(ws, handler));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut cx).is_pending());
    assert_eq!(Arc::strong_count(&held), 1);
    wire.script.heal();
    wire.push([wire::close(1011, "")]);
    wire.script.push_end();
    assert_eq!(run.await.code(), CloseCode::INTERNAL_ERROR);
    assert_eq!(wire.frames()[0], wire::text("before the panic"));
}

#[tokio::test]
async fn a_deferred_write_that_fails_is_reported_by_the_next_call() {
    let (ws, wire) = server(Config::default()).await;
    let handshake = wire.script.written().len();
    wire.script
        .fault_writes_at(handshake, Fault::Error(io::ErrorKind::BrokenPipe));
    corked(ws, async |mut ws| {
        ws.send("into the void").await.unwrap();
        yield_now().await;
        assert!(matches!(ws.send("again").await, Err(Error::Ended(_))));
    })
    .await;
}

#[tokio::test]
async fn a_handler_that_drops_its_connection_closes_it_though_it_lives_on() {
    let (ws, wire) = server(Config::default()).await;
    let (_keep, forever) = oneshot::channel::<()>();
    let task = tokio::spawn(corked(ws, async |ws| {
        drop(ws);
        forever.await
    }));
    timeout(
        Duration::from_secs(5),
        wire.script.until(Script::is_dropped),
    )
    .await
    .expect("closed");
    task.abort();
}

#[tokio::test]
async fn a_websocket_inside_a_websocket_shares_no_buffer_with_it() {
    // The inner connection's transport is a pipe; the outer one carries it message by message.
    let (outer, wire) = server(Config::default()).await;
    let (near, far) = fullduplex_testkit::pipe(4096);
    wire.push([wire::binary(b"carried")]);
    let carry = tokio::spawn(corked(outer, async move |mut outer| {
        let mut near = near;
        while let Some(Message::Binary(bytes)) = outer.recv().await? {
            tokio::io::AsyncWriteExt::write_all(&mut near, &bytes)
                .await
                .unwrap();
        }
        Ok::<_, Error>(())
    }));
    let mut far = far;
    let mut got = [0; 7];
    tokio::io::AsyncReadExt::read_exact(&mut far, &mut got)
        .await
        .unwrap();
    assert_eq!(&got, b"carried");
    carry.abort();
}

/// A handler gives its connection, or a half of it, to a task of its own that waits for room there, and goes on being polled itself.
/// Returns what that task tells once there is room.
async fn told_by_another_task<Kept: Send>(
    give_away: impl FnOnce(WebSocket, oneshot::Sender<Result<(), Error>>) -> Kept + Send + 'static,
) -> Result<(), Error> {
    let (ws, wire) = server(Config::default()).await;
    let start = wire.script.written().len();
    wire.script.fault_writes_at(start, Fault::Stall);
    let (poke, mut poked) = mpsc::channel::<()>(1);
    let (done, finished) = oneshot::channel();
    let task = tokio::spawn(corked(ws, async move |ws| {
        let _kept = give_away(ws, done);
        // Each poll ends with the helper trying to write, and waiting in the other task's place.
        while poked.recv().await.is_some() {}
        std::future::pending::<()>().await;
    }));
    for _ in 0..5 {
        poke.send(()).await.unwrap();
        yield_now().await;
    }
    wire.script.heal();
    let told = timeout(Duration::from_secs(5), finished);
    let told = told.await.expect("woken").unwrap();
    task.abort();
    told
}

#[tokio::test]
async fn a_half_that_waits_for_room_in_another_task_is_woken_though_the_helper_wrote_last() {
    let told = told_by_another_task(|ws, done| {
        let (read, mut write) = ws.split();
        tokio::spawn(async move {
            write.feed("waits for room").await.unwrap();
            done.send(write.flush().await).unwrap();
        });
        read
    });
    assert_eq!(told.await, Ok(()));
}

#[tokio::test]
async fn a_whole_connection_in_another_task_is_woken_though_the_helper_wrote_last() {
    let told = told_by_another_task(|mut ws, done| {
        tokio::spawn(async move {
            ws.feed("waits for room").await.unwrap();
            done.send(ws.flush().await).unwrap();
        });
    });
    assert_eq!(told.await, Ok(()));
}

#[tokio::test]
async fn a_helper_that_writes_the_last_words_is_woken_though_another_task_wrote_last() {
    let (ws, wire) = server(Config::default()).await;
    let start = wire.script.written().len();
    wire.script.fault_writes_at(start, Fault::Stall);
    let (give, taken) = oneshot::channel();
    let helper = tokio::spawn(corked(ws, async move |mut ws| {
        ws.feed("last words").await.unwrap();
        give.send(ws).unwrap();
    }));
    let mut ws = taken.await.unwrap();
    yield_now().await;
    let other = tokio::spawn(async move {
        ws.flush().await.unwrap();
        std::future::pending::<()>().await;
    });
    yield_now().await;
    wire.script.heal();
    timeout(Duration::from_secs(5), helper)
        .await
        .expect("woken")
        .unwrap();
    assert_eq!(wire.frames(), [wire::text("last words")]);
    other.abort();
}

#[tokio::test]
async fn a_connection_that_another_task_drops_is_closed_though_its_handler_lives_on() {
    let (ws, wire) = server(Config::default()).await;
    let (give, taken) = oneshot::channel();
    let helper = tokio::spawn(corked(ws, async move |ws| {
        give.send(ws).unwrap();
        std::future::pending::<()>().await;
    }));
    let ws = taken.await.unwrap();
    assert!(!wire.script.is_dropped());
    drop(ws);
    assert!(wire.script.is_dropped());
    helper.abort();
}

#[tokio::test]
async fn a_reply_that_the_transport_holds_back_leaves_when_there_is_room_though_the_handler_sleeps()
{
    let (ws, wire) = server(Config::default()).await;
    wire.script.buffer_writes();
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let task = tokio::spawn(corked(ws, async |mut ws| {
        ws.send("held back").await.unwrap();
        ws.recv().await
    }));
    for _ in 0..10 {
        yield_now().await;
    }
    wire.script.heal();
    until(&wire, |wire| wire.frames() == [wire::text("held back")]).await;
    task.abort();
}

#[tokio::test]
async fn a_handler_that_waits_is_told_that_what_it_sent_could_not_be_written() {
    let (ws, wire) = server(Config::default()).await;
    // Only writing fails: nothing happens on the side that is read.
    let broken = Fault::Error(io::ErrorKind::BrokenPipe);
    wire.script
        .fault_writes_at(wire.script.written().len(), broken);
    let handling = tokio::spawn(corked(ws, async |mut ws: WebSocket| {
        ws.send("does not get through").await?;
        ws.recv().await
    }));
    let received = timeout(Duration::from_secs(5), handling).await;
    assert!(matches!(received, Ok(Ok(Err(Error::Ended(_))))));
    assert!(wire.script.is_dropped());
}

/// Whether a [`Gated`] takes bytes.
enum Gate {
    Open,
    /// It tells the one that asked last when it opens, as a socket does.
    Shut(Option<Waker>),
    /// It opens right after somebody was told that it is shut.
    Opens,
}

/// A transport on which nothing ever arrives but a request.
struct Gated {
    request: &'static [u8],
    gate: Arc<Mutex<Gate>>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Gated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.request.is_empty() {
            return Poll::Pending;
        }
        buf.put_slice(std::mem::take(&mut self.request));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gated {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut gate = self.gate.lock().unwrap();
        match &mut *gate {
            Gate::Open => {
                self.written.lock().unwrap().extend_from_slice(buf);
                return Poll::Ready(Ok(buf.len()));
            }
            Gate::Shut(waiting) => *waiting = Some(cx.waker().clone()),
            Gate::Opens => {
                *gate = Gate::Open;
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The task would wait for ever, and with it all that is sent from then on.
#[tokio::test]
async fn a_task_that_waits_for_room_is_woken_though_the_helper_found_it_between_two_tries() {
    let gate = Arc::new(Mutex::new(Gate::Open));
    let written = Arc::new(Mutex::new(Vec::new()));
    let transport = Gated {
        request: REQUEST.as_bytes(),
        gate: Arc::clone(&gate),
        written: Arc::clone(&written),
    };
    let ws = Acceptor::new().accept(transport).await.unwrap();
    let answered = written.lock().unwrap().len();
    let (give, mut given) = mpsc::unbounded_channel();
    let go = Arc::new(Notify::new());
    let handling = tokio::spawn(corked(ws, {
        let go = Arc::clone(&go);
        async move |ws: WebSocket| {
            let (_read, write) = ws.split();
            let sender = write.into_sender(Overflow::Wait);
            give.send(sender.clone()).unwrap();
            loop {
                go.notified().await;
                sender.send("corked").await.unwrap();
            }
        }
    }));
    let sender = given.recv().await.unwrap();
    *gate.lock().unwrap() = Gate::Shut(None);
    sender.send("waits").await.unwrap();
    for _ in 0..10 {
        yield_now().await;
    }
    *gate.lock().unwrap() = Gate::Opens;
    go.notify_one();
    for _ in 0..10 {
        yield_now().await;
    }
    sender.send("later").await.unwrap();
    for _ in 0..10 {
        yield_now().await;
    }
    let frames = wire::frames(&written.lock().unwrap()[answered..]);
    assert_eq!(frames, ["waits", "corked", "later"].map(wire::text));
    handling.abort();
}
