//! Goal: a group writes once per turn, from any thread and runtime, and keeps none of them busy.
//! Method: runtimes that are driven or not, and senders that never pause.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use common::{
    REQUEST,
    group::{counts, group, member, roomy, text, undriven, until_written},
    raw::PATIENCE,
};
use fullduplex::{Acceptor, Broadcast, Overflow};
use fullduplex_testkit::wire;
use tokio::{io::AsyncWriteExt, runtime::Runtime, task::yield_now, time::timeout};

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
    let until = std::time::Instant::now() + PATIENCE;
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
