//! Goal: a message to a group reaches every member that takes it, in one order, and no member delays another.
//! Method: scripted transports, some of which stall, and many senders on two threads.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::sync::Arc;

use common::{
    Wire,
    group::{counts, group, member, roomy, stall, text, until_written},
    raw::PATIENCE,
    server,
};
use fullduplex::{
    Acceptor, Broadcast, Client, CloseFrame, Config, Deflate, Delivery, Message, Overflow,
    Prepared, handled,
};
use fullduplex_testkit::wire;
use futures_util::FutureExt;
use tokio::{task::yield_now, time::timeout};

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
