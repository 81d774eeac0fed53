//! Goal: what a corked handler sends by the short way, without the connection's lock, stands where it would stand without it: in the
//! order in which it was sent, counted, before the Close, in the right connection. And what was received ahead is neither lost nor
//! passed over.
//! Method: handlers that receive first, which opens the room, and then leave the short way in each possible manner.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
};

use common::{
    Wire, poll_times,
    room::{after_receiving, elsewhere, texts},
    server,
};
use fullduplex::{
    CloseFrame, Config, Error, Event, Message, MessageKind, Outgoing, Overflow, Prepared,
    WebSocket, corked,
};
use fullduplex_testkit::wire;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncReadExt;

#[tokio::test]
async fn what_is_sent_in_several_ways_keeps_its_order() {
    let long = "long ".repeat(2000);
    let frames = after_receiving(async |mut ws, _| {
        ws.send("short").await.unwrap();
        ws.send(Prepared::new(&Message::text("prepared")))
            .await
            .unwrap();
        ws.send(long.as_str()).await.unwrap();
        ws.send("behind").await.unwrap();
        ws.feed("fed").await.unwrap();
        ws.send("behind").await.unwrap();
        let mut many = std::collections::VecDeque::from([Outgoing::from("many")]);
        ws.send_many(&mut many).await.unwrap();
        ws.send("behind").await.unwrap();
        let mut parts = ws.send_stream(MessageKind::Text);
        parts.write("part").await.unwrap();
        parts.finish().await.unwrap();
        ws.send("behind").await.unwrap();
        SinkExt::feed(&mut ws, Message::text("sunk")).await.unwrap();
        ws.send("last").await.unwrap();
    })
    .await;
    let expected = [
        "short", "prepared", &long, "behind", "fed", "behind", "many", "behind",
    ];
    assert_eq!(frames[..8], texts(expected));
    assert_eq!(frames[8], wire::text("part").not_fin());
    assert_eq!(frames[9], wire::continuation(""));
    assert_eq!(frames[10..], texts(["behind", "sunk", "last"]));
}

#[tokio::test]
async fn what_is_received_again_opens_the_room_again() {
    let (ws, wire) = server(Config::default()).await;
    wire.push((0..40).map(|i| wire::text(format!("{i}"))));
    let expected: Vec<_> = (0..40)
        .flat_map(|i| [wire::text(format!("{i}")), wire::text("again")])
        .collect();
    corked(ws, async |mut ws| {
        for _ in 0..40 {
            let message = ws.recv().await.unwrap().unwrap();
            ws.send(message).await.unwrap();
            ws.send("again").await.unwrap();
        }
    })
    .await;
    assert_eq!(wire.frames(), expected);
    assert_eq!(wire.writes().len(), 1);
}

#[tokio::test]
async fn a_flush_takes_what_is_in_the_room_along() {
    let frames = after_receiving(async |mut ws, wire| {
        ws.send("answer").await.unwrap();
        assert_eq!(wire.frames().len(), 0);
        ws.flush().await.unwrap();
        assert_eq!(wire.frames().len(), 1);
        ws.send("more").await.unwrap();
    })
    .await;
    assert_eq!(frames, texts(["answer", "more"]));
}

#[tokio::test]
async fn what_is_in_the_room_counts_as_queued() {
    after_receiving(async |mut ws, _| {
        assert_eq!(ws.queued(), 0);
        ws.send("answer").await.unwrap();
        assert_eq!(ws.queued(), 6 + 64);
        let (_read, write) = ws.split();
        assert_eq!(write.queued(), 6 + 64);
    })
    .await;
}

#[tokio::test]
async fn over_the_soft_limit_a_send_writes() {
    let mut config = Config::default();
    config.limits.soft_queue = 1000;
    let (ws, wire) = server(config).await;
    wire.push([wire::text("question")]);
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send(vec![1; 500]).await.unwrap();
        assert_eq!(wire.writes().len(), 0);
        ws.send(vec![2; 500]).await.unwrap();
        assert_eq!(wire.writes().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_room_that_was_open_for_one_connection_is_not_for_the_next() {
    after_receiving(async |_, _| {}).await;
    let mut config = Config::default();
    config.limits.soft_queue = 10;
    let (ws, wire) = server(config).await;
    corked(ws, async |mut ws| {
        ws.send("over the limit").await.unwrap();
        assert_eq!(wire.frames().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_handler_within_a_handler_of_the_same_connection_keeps_its_order() {
    let frames = after_receiving(async |mut ws, wire| {
        ws.send("outer").await.unwrap();
        wire.push([wire::text("another question")]);
        let mut ws = corked(ws, async |mut ws| {
            ws.recv().await.unwrap();
            ws.send("inner").await.unwrap();
            ws
        })
        .await;
        ws.send("outer again").await.unwrap();
    })
    .await;
    assert_eq!(frames, texts(["outer", "inner", "outer again"]));
}

#[tokio::test]
async fn halves_and_senders_go_on_behind_it() {
    let frames = after_receiving(async |mut ws, _| {
        ws.send("whole").await.unwrap();
        let (_read, mut write) = ws.split();
        write.send("half").await.unwrap();
        let sender = write.into_sender(Overflow::Wait);
        sender.send("sender").await.unwrap();
    })
    .await;
    assert_eq!(frames, texts(["whole", "half", "sender"]));
}

#[tokio::test]
async fn what_another_thread_sends_meanwhile_comes_behind_it() {
    let frames = after_receiving(async |mut ws, _| {
        ws.send("here").await.unwrap();
        let mut ws = elsewhere(async move {
            ws.send("there").await.unwrap();
            ws
        });
        ws.send("here again").await.unwrap();
    })
    .await;
    assert_eq!(frames, texts(["here", "there", "here again"]));
}

#[tokio::test]
async fn halves_made_on_another_thread_send_behind_it() {
    let frames = after_receiving(async |mut ws, _| {
        ws.send("here").await.unwrap();
        elsewhere(async move {
            let (_read, mut write) = ws.split();
            write.send("half").await.unwrap();
            let sender = write.into_sender(Overflow::Wait);
            sender.send("sender").await.unwrap();
        });
    })
    .await;
    assert_eq!(frames, texts(["here", "half", "sender"]));
}

/// Says whether it was woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_flush_on_another_thread_waits_for_the_end_of_the_poll_and_is_woken() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    let woken = Arc::new(Woken::default());
    let mut kept = None;
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("here").await.unwrap();
        let waker = Waker::from(Arc::clone(&woken));
        kept = Some(elsewhere(async move {
            ws.feed("there").await.unwrap();
            let waits = pin!(ws.flush()).poll(&mut Context::from_waker(&waker));
            assert!(waits.is_pending());
            ws
        }));
        assert!(wire.frames().is_empty());
        assert!(!woken.0.load(std::sync::atomic::Ordering::SeqCst));
    })
    .await;
    assert_eq!(wire.frames(), texts(["here", "there"]));
    assert!(woken.0.load(std::sync::atomic::Ordering::SeqCst));
    kept.unwrap().flush().await.unwrap();
}

#[tokio::test]
async fn a_sender_that_flushes_on_another_thread_gets_through_after_the_poll() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    let mut flushing = None;
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("here").await.unwrap();
        let sender = elsewhere(async move {
            let (_read, write) = ws.split();
            write.into_sender(Overflow::Wait)
        });
        flushing = Some(tokio::spawn(async move {
            sender.send("there").await.unwrap();
            sender.flush().await.unwrap();
        }));
        tokio::task::yield_now().await;
    })
    .await;
    flushing.unwrap().await.unwrap();
    assert_eq!(wire.frames(), texts(["here", "there"]));
}

#[tokio::test]
async fn within_the_handler_of_another_connection_it_is_not_that_ones_room() {
    let (inner, inner_wire) = server(Config::default()).await;
    inner_wire.push([wire::text("inner question")]);
    let frames = after_receiving(async |mut ws, _| {
        ws.send("outer").await.unwrap();
        let mut ws = corked(inner, async move |mut inner| {
            inner.recv().await.unwrap();
            inner.send("inner").await.unwrap();
            ws.send("outer, within").await.unwrap();
            inner.send("inner again").await.unwrap();
            ws
        })
        .await;
        ws.send("outer again").await.unwrap();
    })
    .await;
    assert_eq!(frames, texts(["outer", "outer, within", "outer again"]));
    assert_eq!(inner_wire.frames(), texts(["inner", "inner again"]));
}

#[tokio::test]
async fn a_connection_that_leaves_its_handler_has_no_other_room() {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    let mut kept = None;
    corked(ws, async |mut ws| {
        ws.recv().await.unwrap();
        ws.send("in time").await.unwrap();
        kept = Some(ws);
    })
    .await;
    let frames = after_receiving(async |mut other, _| {
        kept.take().unwrap().send("late").await.unwrap();
        other.send("other").await.unwrap();
    })
    .await;
    assert_eq!(frames, texts(["other"]));
    assert_eq!(wire.frames(), texts(["in time", "late"]));
}

#[tokio::test]
async fn what_was_sent_before_the_close_leaves_before_it() {
    let frames = after_receiving(async |mut ws, _| {
        ws.send("answer").await.unwrap();
        let closing = poll_times(pin!(ws.close(CloseFrame::normal())), 1).await;
        assert!(closing.is_none());
        assert!(matches!(ws.send("too late").await, Err(Error::Closing)));
    })
    .await;
    assert_eq!(frames, [wire::text("answer"), wire::close(1000, "")]);
}

#[tokio::test(start_paused = true)]
async fn answers_leave_before_the_close_that_the_next_frame_provokes() {
    for (bad, code) in [
        (wire::close(1000, ""), 1000_u16),
        (wire::text("reserved").rsv(4), 1002),
    ] {
        let (ws, wire) = server(Config::default()).await;
        wire.push([wire::text("one"), wire::text("two"), bad]);
        corked(ws, async |mut ws| {
            while let Ok(Some(message)) = ws.recv().await {
                ws.send(message).await.unwrap();
            }
            assert!(ws.send("too late").await.is_err());
        })
        .await;
        let frames = wire.frames();
        assert_eq!(frames[..2], texts(["one", "two"]));
        assert_eq!(frames[2].payload[..2], code.to_be_bytes());
        assert_eq!(frames.len(), 3);
    }
}

/// A connection that has received one of five messages, and the others ahead.
async fn ahead() -> (WebSocket, Wire) {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push(["0", "1", "2", "3", "4"].map(wire::text));
    assert_eq!(ws.recv().await.unwrap(), Some(Message::text("0")));
    (ws, wire)
}

#[tokio::test]
async fn what_was_received_ahead_comes_in_order_by_whatever_way() {
    let (mut ws, wire) = ahead().await;
    wire.push([wire::ping("p"), wire::text("5")]);
    wire.script.push_end();
    assert_eq!(
        ws.recv_event().await.unwrap(),
        Some(Event::Message(Message::text("1")))
    );
    let mut text = String::new();
    let mut reader = ws.recv_stream().await.unwrap().unwrap();
    assert_eq!(reader.kind(), MessageKind::Text);
    reader.read_to_string(&mut text).await.unwrap();
    drop(reader);
    assert_eq!(text, "2");
    assert_eq!(ws.next().await.unwrap().unwrap(), Message::text("3"));
    let (mut read, write) = ws.split();
    assert_eq!(read.recv().await.unwrap(), Some(Message::text("4")));
    let mut ws = read.reunite(write).unwrap();
    assert_eq!(
        ws.recv_event().await.unwrap(),
        Some(Event::Ping("p".into()))
    );
    assert_eq!(ws.recv().await.unwrap(), Some(Message::text("5")));
    assert!(ws.recv().await.is_err());
}

#[tokio::test]
async fn split_and_joined_again_it_keeps_what_was_received_ahead() {
    let (ws, _wire) = ahead().await;
    let (read, write) = ws.split();
    let mut ws = read.reunite(write).unwrap();
    assert_eq!(ws.recv().await.unwrap(), Some(Message::text("1")));
    let (mut bytes, mut io) = ([0; 3], ws.into_io(MessageKind::Binary));
    io.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"234");
}

#[tokio::test]
async fn what_was_received_ahead_is_thrown_away_by_a_close() {
    let (mut ws, wire) = ahead().await;
    wire.push([wire::close(1000, "")]);
    wire.script.push_end();
    assert!(ws.close(CloseFrame::normal()).await.clean);
    assert_eq!(ws.recv().await.unwrap(), None);
}
