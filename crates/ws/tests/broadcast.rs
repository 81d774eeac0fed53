//! Goal: a message to a group reaches every member that takes it, in one order, and no member delays another.
//! Method: scripted transports, some of which stall, and many senders on two threads; whatever a group can be asked, in any order.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    io,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use common::{REQUEST, Wire, server};
use fullduplex::{
    Acceptor, Broadcast, Client, CloseFrame, Config, Deflate, Delivery, Message, Overflow,
    Prepared, ReadHalf, Sender, handled,
};
use fullduplex_testkit::{Fault, ScriptedIo, wire};
use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    runtime::Runtime,
    task::yield_now,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection whose queue is full with one message of a few bytes.
async fn member(overflow: Overflow) -> (ReadHalf, Sender, Wire) {
    let mut config = Config::default();
    config.limits.soft_queue = 60;
    let (ws, wire) = server(config).await;
    let (read, write) = ws.split();
    (read, write.into_sender(overflow), wire)
}

/// A connection with room for everything.
async fn roomy() -> (ReadHalf, Sender, Wire) {
    let (ws, wire) = server(Config::default()).await;
    let (read, write) = ws.split();
    (read, write.into_sender(Overflow::Close), wire)
}

/// A group of such connections, each under its place.
async fn group(members: usize) -> (Broadcast<usize>, Vec<(ReadHalf, Sender, Wire)>) {
    let group = Broadcast::new();
    let mut all = Vec::new();
    for key in 0..members {
        let member = roomy().await;
        group.join(key, &member.1);
        all.push(member);
    }
    (group, all)
}

/// A runtime that does something only while it is driven.
fn undriven() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

async fn until_written(wire: &Wire, expected: &[wire::Frame]) {
    let bytes: Vec<_> = expected
        .iter()
        .flat_map(|frame| frame.clone().bytes())
        .collect();
    let written = wire
        .script
        .until(|script| script.written().ends_with(&bytes));
    timeout(PATIENCE, written).await.expect("it leaves");
    assert_eq!(wire.frames(), expected);
}

fn stall(wire: &Wire) {
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
}

fn text(text: &str) -> Prepared {
    Prepared::new(&Message::text(text))
}

/// The counts of a delivery: sent, dropped, displaced, closed, gone.
fn counts(delivery: Delivery) -> [usize; 5] {
    [
        delivery.sent,
        delivery.dropped,
        delivery.displaced,
        delivery.closed,
        delivery.gone,
    ]
}

#[tokio::test]
async fn each_member_is_treated_by_its_own_policy_and_none_delays_another() {
    let group = Broadcast::new();
    let policies = [
        Overflow::Wait,
        Overflow::DropNewest,
        Overflow::DropOldest,
        Overflow::Close,
    ];
    let mut slow = Vec::new();
    for (key, overflow) in policies.into_iter().enumerate() {
        let (read, sender, wire) = member(overflow).await;
        stall(&wire);
        assert!(group.join(key, &sender));
        slow.push((read, sender, wire));
    }
    let (_read, quick, quick_wire) = member(Overflow::Close).await;
    group.join(9, &quick);
    assert_eq!(counts(group.send(&text("one"))), [5, 0, 0, 0, 0]);
    assert_eq!(counts(group.send(&text("two"))), [2, 2, 1, 1, 0]);
    assert_eq!(group.len(), 4, "the one that is closed is no member");
    assert_eq!(counts(group.send(&text("three"))), [2, 2, 1, 0, 0]);
    let all = ["one", "two", "three"].map(wire::text);
    yield_now().await;
    assert_eq!(
        quick_wire.frames(),
        all,
        "written when the sender has had its turn"
    );
    for (_, _, wire) in &slow {
        wire.script.heal();
    }
    let expected = [
        vec![wire::text("one")],
        vec![wire::text("one")],
        vec![wire::text("three")],
        vec![wire::text("one"), wire::close(1013, "too slow")],
    ];
    for ((_, _, wire), expected) in slow.iter().zip(expected) {
        let written = wire.script.until(|_| wire.frames().len() >= expected.len());
        timeout(PATIENCE, written).await.expect("it leaves");
        assert_eq!(wire.frames(), expected);
    }
}

#[tokio::test]
async fn members_leave_and_the_dead_are_removed() {
    let group = Broadcast::default();
    assert!(group.is_empty());
    let (read, dropped, dropped_wire) = member(Overflow::Wait).await;
    group.join("dropped", &dropped);
    drop((read, dropped));
    assert!(
        dropped_wire.script.is_dropped(),
        "the group keeps nothing open"
    );
    let (_read, closed, _wire) = member(Overflow::Wait).await;
    group.join("closed", &closed);
    tokio::spawn(async move { closed.close(CloseFrame::normal()).await });
    yield_now().await;
    let (_read, left, left_wire) = member(Overflow::Wait).await;
    group.join("left", &left);
    let (_read, first, first_wire) = member(Overflow::Wait).await;
    let (_read, second, second_wire) = member(Overflow::Wait).await;
    assert!(group.join("same", &first));
    assert!(!group.join("same", &second), "it takes the other's place");
    assert!(group.leave(&"left"));
    assert!(!group.leave(&"left"));
    assert_eq!(group.len(), 3);
    assert_eq!(counts(group.send(&text("hello"))), [1, 0, 0, 0, 2]);
    assert_eq!(group.len(), 1);
    yield_now().await;
    assert_eq!(second_wire.frames(), [wire::text("hello")]);
    assert_eq!(first_wire.frames(), []);
    assert_eq!(left_wire.frames(), []);
}

#[tokio::test]
async fn only_the_chosen_members_get_it() {
    let group = Broadcast::new();
    let mut members = Vec::new();
    for key in 0..3 {
        let (read, sender, wire) = member(Overflow::Wait).await;
        group.join(key, &sender);
        members.push((read, sender, wire));
    }
    let delivery = group.send_where(&text("not to myself"), |key| *key != 1);
    assert_eq!(counts(delivery), [2, 0, 0, 0, 0]);
    yield_now().await;
    let got: Vec<_> = members
        .iter()
        .map(|(_, _, wire)| wire.frames().len())
        .collect();
    assert_eq!(got, [1, 0, 1]);
}

#[tokio::test]
async fn a_group_that_nobody_sends_to_does_not_collect_its_dead() {
    let group = Broadcast::new();
    let (_read, alive, wire) = member(Overflow::Wait).await;
    group.join(0, &alive);
    for key in 1..1000 {
        let (_read, sender, _wire) = member(Overflow::Wait).await;
        group.join(key, &sender);
        assert!(group.len() <= 65, "{} members", group.len());
    }
    group.send(&text("still here"));
    assert_eq!(group.len(), 1);
    yield_now().await;
    assert_eq!(wire.frames(), [wire::text("still here")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_get_the_messages_of_concurrent_senders_in_one_order() {
    const MEMBERS: usize = 150;
    const SENDERS: usize = 4;
    const EACH: usize = 25;
    let group = Arc::new(Broadcast::new());
    let mut members = Vec::new();
    for key in 0..MEMBERS {
        let (ws, wire) = server(Config::default()).await;
        let (read, write) = ws.split();
        let sender = write.into_sender(Overflow::Wait);
        group.join(key, &sender);
        members.push((read, sender, wire));
    }
    let sending: Vec<_> = (0..SENDERS)
        .map(|who| {
            let group = Arc::clone(&group);
            tokio::spawn(async move {
                for i in 0..EACH {
                    let delivery = group.send(&text(&format!("{who} {i}")));
                    assert_eq!(delivery.sent, MEMBERS);
                }
            })
        })
        .collect();
    for task in sending {
        timeout(PATIENCE, task)
            .await
            .expect("it never waits")
            .unwrap();
    }
    let mut order = None;
    for (_, _, wire) in &members {
        let all = wire.script.until(|_| wire.frames().len() == SENDERS * EACH);
        timeout(PATIENCE, all).await.expect("all are written to");
        let frames = wire.frames();
        assert_eq!(*order.get_or_insert_with(|| frames.clone()), frames);
    }
}

#[test]
fn members_beyond_those_written_at_once_are_written_to_from_outside_the_runtime_too() {
    let runtime = Runtime::new().unwrap();
    let group = Broadcast::new();
    let members: Vec<_> = (0..200)
        .map(|key| {
            let member = runtime.block_on(member(Overflow::Wait));
            group.join(key, &member.1);
            member
        })
        .collect();
    assert_eq!(group.send(&text("to all")).sent, 200);
    runtime.block_on(async {
        for (_, _, wire) in &members {
            let written = wire.script.until(|_| wire.frames().len() == 1);
            timeout(PATIENCE, written).await.expect("written");
        }
    });
}

#[tokio::test]
async fn messages_that_follow_each_other_without_a_pause_pile_up_no_tasks() {
    let group = Broadcast::new();
    let mut members = Vec::new();
    for key in 0..200 {
        let member = member(Overflow::DropOldest).await;
        group.join(key, &member.1);
        members.push(member);
    }
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    // Nothing else runs on this thread meanwhile.
    for i in 0..1000 {
        group.send(&text(&i.to_string()));
    }
    assert!(tasks() <= before + 200, "{} tasks", tasks());
    // Nobody is forgotten, neither now nor the next time.
    for last in ["999", "again"] {
        if last == "again" {
            group.send(&text(last));
        }
        for (_, _, wire) in &members {
            let last = [wire::text(last)];
            let written = wire.script.until(|_| wire.frames().ends_with(&last));
            timeout(PATIENCE, written).await.expect("written");
        }
    }
}

#[tokio::test]
async fn what_is_sent_in_one_turn_leaves_to_each_member_in_one_write() {
    let (group, members) = group(3).await;
    for _ in 0..2 {
        let before = members[0].2.writes().len();
        for i in 0..16 {
            assert_eq!(counts(group.send(&text(&i.to_string()))), [3, 0, 0, 0, 0]);
        }
        let all: Vec<_> = (0..16).map(|i| wire::text(i.to_string())).collect();
        assert!(members[0].1.queued() >= 16 * 64, "what is owed is queued");
        yield_now().await;
        for (_, sender, wire) in &members {
            assert_eq!(wire.writes()[before..], [&*all]);
            assert_eq!(sender.queued(), 0);
        }
    }
}

#[tokio::test]
async fn what_a_member_is_sent_alone_keeps_its_place() {
    let (group, members) = group(2).await;
    let (_, sender, wire) = &members[0];
    group.send(&text("a"));
    sender.try_send("b").unwrap();
    group.send(&text("c"));
    group.send(&text("d"));
    sender.feed("e").await.unwrap();
    group.send(&text("f"));
    let flushed = sender.flush();
    group.send(&text("g"));
    flushed.await.unwrap();
    group.send(&text("h"));
    let closing = sender.clone();
    tokio::spawn(async move { closing.close(CloseFrame::normal()).await });
    yield_now().await;
    assert_eq!(counts(group.send(&text("i"))), [1, 0, 0, 0, 1]);
    let mut expected: Vec<_> = "abcdefgh"
        .chars()
        .map(|c| wire::text(c.to_string()))
        .collect();
    expected.push(wire::close(1000, ""));
    until_written(wire, &expected).await;
    let expected: Vec<_> = "acdfghi"
        .chars()
        .map(|c| wire::text(c.to_string()))
        .collect();
    until_written(&members[1].2, &expected).await;
}

#[tokio::test]
async fn the_last_words_of_a_handler_to_its_group_leave_before_its_close() {
    let group = Arc::new(Broadcast::new());
    let (ws, wire) = server(Config::default()).await;
    let ended = tokio::spawn(handled(ws, {
        let group = Arc::clone(&group);
        async move |ws| {
            let (_read, write) = ws.split();
            let sender = write.into_sender(Overflow::Wait);
            group.join(0, &sender);
            group.send(&text("bye"));
        }
    }));
    until_written(&wire, &[wire::text("bye"), wire::close(1000, "")]).await;
    ended.abort();
}

#[tokio::test]
async fn a_message_is_for_those_who_are_members_when_it_is_sent() {
    let (group, members) = group(3).await;
    let late = roomy().await;
    let other = roomy().await;
    group.send(&text("one"));
    group.join(3, &late.1);
    group.leave(&0);
    assert_eq!(counts(group.send(&text("two"))), [3, 0, 0, 0, 0]);
    group.join(1, &other.1);
    assert_eq!(counts(group.send(&text("three"))), [3, 0, 0, 0, 0]);
    yield_now().await;
    group.send(&text("four"));
    yield_now().await;
    let got = |wire: &Wire| {
        let all = ["one", "two", "three", "four"];
        let frames = wire.frames();
        let got = all.map(|text| frames.contains(&wire::text(text)));
        assert_eq!(frames.len(), got.iter().filter(|got| **got).count());
        got
    };
    assert_eq!(got(&members[0].2), [true, false, false, false]);
    assert_eq!(got(&members[1].2), [true, true, false, false]);
    assert_eq!(got(&members[2].2), [true, true, true, true]);
    assert_eq!(got(&late.2), [false, true, true, true]);
    assert_eq!(got(&other.2), [false, false, true, true]);
}

#[tokio::test]
async fn what_many_get_and_what_few_get_stays_in_order() {
    let (group, members) = group(5).await;
    group.send(&text("all"));
    assert_eq!(group.send_where(&text("not 0"), |key| *key != 0).sent, 4);
    assert_eq!(group.send_where(&text("only 1"), |key| *key == 1).sent, 1);
    assert_eq!(
        group.send_where(&text("nobody"), |_| false),
        Delivery::default()
    );
    group.send(&text("all again"));
    yield_now().await;
    let expected: [&[&str]; 3] = [
        &["all", "all again"],
        &["all", "not 0", "only 1", "all again"],
        &["all", "not 0", "all again"],
    ];
    for (place, (_, _, wire)) in members.iter().enumerate() {
        let expected: Vec<_> = expected[place.min(2)]
            .iter()
            .map(|text| wire::text(*text))
            .collect();
        assert_eq!(wire.writes(), [expected]);
    }
}

#[tokio::test]
async fn a_write_that_stops_at_any_byte_goes_on_there() {
    let expected: Vec<_> = ["one", "two", "three"].map(wire::text).to_vec();
    for buffered in [false, true] {
        for at in 0..20 {
            let (group, members) = group(2).await;
            let (_, _, wire) = &members[0];
            if buffered {
                wire.script.buffer_writes();
            }
            wire.script
                .fault_writes_at(wire.script.written().len() + at, Fault::Stall);
            group.send(&text("one"));
            group.send(&text("two"));
            yield_now().await;
            group.send(&text("three"));
            until_written(&members[1].2, &expected).await;
            wire.script.heal();
            until_written(wire, &expected).await;
        }
    }
}

#[tokio::test]
async fn a_transport_that_fails_while_a_group_is_written_ends_its_connection() {
    for fault in [Fault::Error(io::ErrorKind::ConnectionReset), Fault::End] {
        let (group, members) = group(2).await;
        let (_, sender, wire) = &members[0];
        wire.script
            .fault_writes_at(wire.script.written().len() + 3, fault);
        group.send(&text("one"));
        yield_now().await;
        timeout(PATIENCE, sender.closed()).await.expect("noticed");
        assert_eq!(counts(group.send(&text("two"))), [1, 0, 0, 0, 1]);
        until_written(&members[1].2, &["one", "two"].map(wire::text)).await;
    }
}

#[tokio::test]
async fn a_group_that_is_sent_much_without_a_pause_writes_meanwhile() {
    let (group, members) = group(3).await;
    let long = "x".repeat(1000);
    for _ in 0..1000 {
        // More than any queue takes.
        assert_eq!(counts(group.send(&text(&long))), [3, 0, 0, 0, 0]);
    }
    let (_, sender, wire) = &members[0];
    assert!(sender.queued() < 64 << 10, "{} queued", sender.queued());
    let expected = vec![wire::text(long); 1000];
    until_written(wire, &expected).await;
}

#[tokio::test]
async fn long_and_compressed_messages_keep_their_places() {
    let group = Broadcast::new();
    let mut clients = Vec::new();
    for deflate in [
        Some(Deflate::for_server()),
        Some(Deflate::for_client()),
        None,
    ] {
        let (near, far) = tokio::io::duplex(1 << 20);
        let mut acceptor = Acceptor::new();
        let mut client = Client::new("ws://example.com/").unwrap();
        if let Some(deflate) = deflate {
            acceptor = acceptor.deflate(deflate);
            client = client.deflate(deflate);
        }
        let (accepted, connected) = tokio::join!(acceptor.accept(far), client.connect_over(near));
        let (read, write) = accepted.unwrap().split();
        let sender = write.into_sender(Overflow::Wait);
        group.join(clients.len(), &sender);
        clients.push((connected.unwrap().0, read, sender));
    }
    let long = Message::text("long ".repeat(2_000));
    let longest = Message::text("longest ".repeat(20_000));
    let messages = [
        Prepared::new(&Message::text("short")),
        Prepared::compressed(&long, &Deflate::for_server()),
        Prepared::new(&long),
        Prepared::new(&longest),
        Prepared::new(&Message::text("the end")),
    ];
    for message in messages.iter().chain(&messages) {
        assert_eq!(group.send(message).sent, 3);
    }
    for (client, _, _) in &mut clients {
        for message in messages.iter().chain(&messages) {
            let received = timeout(PATIENCE, client.recv()).await.expect("it comes");
            assert!(received.unwrap().unwrap().as_bytes() == message.payload());
        }
    }
}

#[test]
fn what_a_runtime_that_ended_did_not_write_leaves_elsewhere() {
    let runtime = Runtime::new().unwrap();
    let (group, members) = runtime.block_on(group(3));
    let other = undriven();
    let _theirs: Vec<_> = (3..20)
        .map(|key| {
            let member = other.block_on(roomy());
            group.join(key, &member.1);
            member
        })
        .collect();
    group.send(&text("one"));
    drop(other);
    for last in ["one", "two"] {
        if last == "two" {
            group.send(&text(last));
        }
        runtime.block_on(async {
            for (_, _, wire) in &members {
                let last = [wire::text(last)];
                let written = wire.script.until(|_| wire.frames().ends_with(&last));
                timeout(PATIENCE, written).await.expect("written");
            }
        });
    }
}

#[test]
fn somebody_who_sends_and_drives_its_runtime_no_more_holds_up_nobody() {
    let runtime = Runtime::new().unwrap();
    let (group, members) = runtime.block_on(group(3));
    let other = undriven();
    other.block_on(async { group.send(&text("one")) });
    runtime.block_on(async {
        for (_, _, wire) in &members {
            until_written(wire, &[wire::text("one")]).await;
        }
    });
}

#[tokio::test]
async fn to_have_used_up_its_budget_makes_nobody_too_slow() {
    const MEMBERS: usize = 200;
    let group = Arc::new(Broadcast::new());
    let mut members = Vec::new();
    for key in 0..MEMBERS {
        // Writing to it takes of the budget.
        let (near, mut far) = tokio::io::duplex(1 << 20);
        far.write_all(REQUEST.as_bytes()).await.unwrap();
        let (read, write) = Acceptor::new().accept(near).await.unwrap().split();
        let sender = write.into_sender(Overflow::Close);
        group.join(key, &sender);
        members.push((read, sender, far));
    }
    let sending = tokio::spawn(async move {
        let long = text(&"x".repeat(1000));
        for _ in 0..300 {
            assert_eq!(counts(group.send(&long)), [MEMBERS, 0, 0, 0, 0]);
        }
    });
    sending.await.unwrap();
}

#[test]
fn a_small_group_that_is_sent_to_without_a_pause_leaves_its_runtime_to_others() {
    let runtime = undriven();
    let (group, _members) = runtime.block_on(group(60));
    let done = AtomicBool::new(false);
    let until = std::time::Instant::now() + PATIENCE / 4;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let tick = text("tick");
            while !done.load(Relaxed) && std::time::Instant::now() < until {
                group.send(&tick);
            }
        });
        runtime.block_on(async {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        done.store(true, Relaxed);
    });
    assert!(std::time::Instant::now() < until, "it has starved");
}

#[tokio::test]
async fn who_is_sent_nothing_is_not_written_to() {
    let (group, members) = group(3).await;
    let written = || {
        members
            .iter()
            .map(|(_, _, wire)| wire.script.writes().len())
    };
    let before: Vec<_> = written().collect();
    let compressed = Message::text("x".repeat(200));
    let compressed = Prepared::compressed(&compressed, &Deflate::for_server());
    for message in [text("first"), text("second"), compressed] {
        group.send_where(&message, |key| *key == 1);
    }
    yield_now().await;
    let few: Vec<_> = before.iter().zip(written()).map(|(a, b)| b - a).collect();
    assert_eq!(few, [0, 1, 0], "in one write");
    let compressed = Message::text("x".repeat(200));
    let compressed = Prepared::compressed(&compressed, &Deflate::for_server());
    group.send_where(&compressed, |key| *key != 0);
    yield_now().await;
    let most: Vec<_> = before.iter().zip(written()).map(|(a, b)| b - a).collect();
    assert_eq!(most, [0, 2, 1]);
}

#[tokio::test]
async fn a_flush_waits_for_what_a_group_has_sent() {
    let (group, members) = group(1).await;
    let (_, sender, wire) = &members[0];
    stall(wire);
    group.send(&text("one"));
    yield_now().await;
    assert!(sender.queued() > 0);
    let flushed = sender.flush();
    let mut flushed = std::pin::pin!(flushed);
    assert!(
        flushed.as_mut().now_or_never().is_none(),
        "nothing has left"
    );
    wire.script.heal();
    timeout(PATIENCE, flushed)
        .await
        .expect("it leaves")
        .unwrap();
    until_written(wire, &[wire::text("one")]).await;
}

#[tokio::test]
async fn what_was_sent_before_the_peers_close_was_read_leaves() {
    let (group, mut members) = group(1).await;
    let (read, _sender, wire) = &mut members[0];
    group.send(&text("one"));
    wire.push([wire::close(1000, "")]);
    // The server ends its direction and waits for the peer to do the same.
    assert!(read.recv().now_or_never().is_none());
    assert_eq!(wire.frames(), [wire::text("one"), wire::close(1000, "")]);
}

/// Something that is done before each write to a transport.
trait BeforeWrite: FnMut(&mut ScriptedIo, &mut Context<'_>) + Send + Unpin + 'static {}

impl<F: FnMut(&mut ScriptedIo, &mut Context<'_>) + Send + Unpin + 'static> BeforeWrite for F {}

struct Peculiar<F> {
    io: ScriptedIo,
    before_write: F,
}

impl<F: BeforeWrite> AsyncRead for Peculiar<F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<F: BeforeWrite> AsyncWrite for Peculiar<F> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { io, before_write } = self.get_mut();
        before_write(io, cx);
        Pin::new(io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

async fn peculiar(before_write: impl BeforeWrite) -> (ReadHalf, Sender, Wire) {
    let (io, wire) = Wire::client();
    let ws = Acceptor::new()
        .accept(Peculiar { io, before_write })
        .await
        .unwrap();
    let (read, write) = ws.split();
    (read, write.into_sender(Overflow::Close), wire)
}

/// A connection whose transport panics once it is told to.
async fn panicking() -> (ReadHalf, Sender, Arc<AtomicBool>) {
    let panics = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&panics);
    let before_write = move |_: &mut ScriptedIo, _: &mut Context<'_>| {
        assert!(!told.load(Relaxed), "as the test wants it");
    };
    let (read, sender, _wire) = peculiar(before_write).await;
    (read, sender, panics)
}

#[tokio::test]
async fn a_transport_that_panics_holds_up_nobody_else() {
    let (group, members) = group(20).await;
    let (_read, sender, panics) = panicking().await;
    group.join(20, &sender);
    panics.store(true, Relaxed);
    group.send(&text("one"));
    for (_, _, wire) in &members {
        until_written(wire, &[wire::text("one")]).await;
    }
}

#[tokio::test]
async fn a_transport_that_panics_under_somebody_who_sends_holds_up_nobody_else() {
    for is_full in [true, false] {
        let (group, members) = group(20).await;
        let (_read, sender, panics) = panicking().await;
        group.join(20, &sender);
        let long = "x".repeat(30_000);
        if is_full {
            sender.feed("x".repeat(64 << 10)).await.unwrap();
        }
        panics.store(true, Relaxed);
        let mut sent = 0;
        let sends = AssertUnwindSafe(|| {
            while sent < 10 {
                sent += 1;
                group.send(&text(&long));
            }
        });
        assert!(std::panic::catch_unwind(sends).is_err());
        assert_eq!(sent, if is_full { 1 } else { 2 });
        for (_, _, wire) in &members {
            until_written(wire, &vec![wire::text(long.clone()); sent]).await;
        }
    }
}

#[tokio::test]
async fn a_transport_makes_its_timers_wherever_somebody_sends() {
    let makes_a_timer = |_: &mut ScriptedIo, _: &mut Context<'_>| {
        drop(tokio::time::sleep(Duration::ZERO));
    };
    let (_read, sender, wire) = peculiar(makes_a_timer).await;
    let group = Broadcast::new();
    group.join(0, &sender);
    let long = text(&"x".repeat(30_000));
    std::thread::scope(|scope| {
        let sends = scope.spawn(|| (0..10).map(|_| group.send(&long).sent).sum::<usize>());
        assert_eq!(sends.join().unwrap(), 10);
    });
    until_written(&wire, &vec![wire::text("x".repeat(30_000)); 10]).await;
}

#[test]
fn who_waits_for_a_flush_is_woken_though_a_group_has_something_to_write() {
    let runtime = Runtime::new().unwrap();
    let other = undriven();
    // The task that writes runs with one of these, most likely.
    let (group, theirs) = other.block_on(group(15));
    let (_read, sender, wire) = runtime.block_on(peculiar(
        // As TLS does with what it still has.
        |io: &mut ScriptedIo, cx: &mut Context<'_>| drop(Pin::new(io).poll_flush(cx)),
    ));
    wire.script.buffer_writes();
    group.join(15, &sender);
    group.send(&text("one"));
    runtime.block_on(async {
        stall(&wire);
        drop(sender.ping("p").unwrap());
        // The pump begins to wait.
        tokio::time::sleep(Duration::from_millis(50)).await;
    });
    other.block_on(async {
        for _ in 0..5 {
            yield_now().await;
        }
    });
    runtime.block_on(async {
        wire.script.heal();
        let written = wire.script.until(|_| wire.frames().len() == 2);
        timeout(PATIENCE, written).await.expect("it leaves");
    });
    drop(theirs);
}

#[derive(Clone, Debug)]
enum Act {
    SendAll,
    SendExcept(usize),
    SendOnly(usize),
    SendAlone(usize),
    Leave(usize),
    Join(usize),
    Stall(usize, usize),
    Heal(usize),
    Flush(usize),
    Turn,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let who = || 0..4_usize;
    let act = prop_oneof![
        6 => Just(Act::SendAll),
        2 => who().prop_map(Act::SendExcept),
        1 => who().prop_map(Act::SendOnly),
        2 => who().prop_map(Act::SendAlone),
        1 => who().prop_map(Act::Leave),
        1 => who().prop_map(Act::Join),
        1 => (who(), 0..30_usize).prop_map(|(who, at)| Act::Stall(who, at)),
        1 => who().prop_map(Act::Heal),
        1 => who().prop_map(Act::Flush),
        3 => Just(Act::Turn),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Two groups that share their members, who are sent to alone, too, and stall: everybody gets what was sent to it, in order.
    #[test]
    fn whatever_happens_each_member_gets_what_it_was_sent_in_order(acts in prop::collection::vec((0..2_usize, acts()), 1..4)) {
        undriven().block_on(model(acts));
    }
}

async fn model(acts: Vec<(usize, Vec<Act>)>) {
    let (first, members) = group(4).await;
    let groups = [first, Broadcast::new()];
    let mut joined = [[true; 4], [false; 4]];
    let mut expected = vec![Vec::new(); 4];
    let mut number = 0;
    for (which, act) in acts
        .iter()
        .flat_map(|(which, acts)| acts.iter().map(move |act| (*which, act)))
    {
        number += 1;
        let said = number.to_string();
        let mut send = |chosen: &dyn Fn(usize) -> bool| {
            let chosen = |key: usize| joined[which][key] && chosen(key);
            let delivery = groups[which].send_where(&text(&said), |key| chosen(*key));
            let who: Vec<_> = (0..4).filter(|key| chosen(*key)).collect();
            assert_eq!(counts(delivery), [who.len(), 0, 0, 0, 0]);
            for key in who {
                expected[key].push(wire::text(said.clone()));
            }
        };
        match *act {
            Act::SendAll => send(&|_| true),
            Act::SendExcept(who) => send(&|key| key != who),
            Act::SendOnly(who) => send(&|key| key == who),
            Act::SendAlone(who) => {
                members[who].1.try_send(said.as_str()).unwrap();
                expected[who].push(wire::text(said));
            }
            Act::Leave(who) => {
                assert_eq!(groups[which].leave(&who), joined[which][who]);
                joined[which][who] = false;
            }
            Act::Join(who) => {
                assert_eq!(
                    groups[which].join(who, &members[who].1),
                    !joined[which][who]
                );
                joined[which][who] = true;
            }
            Act::Stall(who, at) => {
                let script = &members[who].2.script;
                script.fault_writes_at(script.written().len() + at, Fault::Stall);
            }
            Act::Heal(who) => members[who].2.script.heal(),
            Act::Flush(who) => {
                assert!(
                    members[who].1.flush().now_or_never() != Some(Err(fullduplex::Error::Closing))
                );
            }
            Act::Turn => yield_now().await,
        }
    }
    for ((_, _, wire), expected) in members.iter().zip(expected) {
        wire.script.heal();
        until_written(wire, &expected).await;
    }
}
