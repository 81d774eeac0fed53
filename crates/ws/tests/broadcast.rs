//! Goal: a message to a group reaches every member that takes it, in one order, and no member delays another.
//! Method: scripted transports, some of which stall, and many senders on two threads.

mod common;

use std::{sync::Arc, time::Duration};

use common::{Wire, server};
use fullduplex::{
    Broadcast, CloseFrame, Config, Delivery, Message, Overflow, Prepared, ReadHalf, Sender,
};
use fullduplex_testkit::{Fault, wire};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection whose queue is full with one message of a few bytes.
async fn member(overflow: Overflow) -> (ReadHalf, Sender, Wire) {
    let mut config = Config::default();
    config.limits.soft_queue = 60;
    let (ws, wire) = server(config).await;
    let (read, write) = ws.split();
    (read, write.into_sender(overflow), wire)
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
    assert_eq!(quick_wire.frames(), all, "written before send returns");
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
    tokio::task::yield_now().await;
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
    let runtime = tokio::runtime::Runtime::new().unwrap();
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
