//! Goal: any number of tasks send on one connection, nothing accepted is lost or stuck, and the queue keeps its bound.
//! Method: scripted transports that stall at an exact moment, small pipes under load, and tokio's clock held still.

#![expect(clippy::expect_used, reason = "helpers of tests")]

mod common;

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{client, poll_times, raw::PATIENCE, server};
use fullduplex::{
    Acceptor, Cause, Client, CloseCode, CloseFrame, Config, Deadline, Error, Message, Overflow,
    Prepared, ReadHalf, Sender, Sent, TrySendErrorKind, WebSocket, corked,
};
use fullduplex_testkit::{Fault, pipe, wire};
use tokio::{task::yield_now, time::timeout};

/// A queue that takes one message of a few bytes, which counts 64 more, and is then full.
fn small() -> Config {
    let mut config = Config::default();
    config.limits.soft_queue = 60;
    config
}

/// A server's connection whose transport takes nothing until it is healed.
async fn stalled(config: Config, overflow: Overflow) -> (ReadHalf, Sender, common::Wire) {
    let (ws, wire) = server(config).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let (read, write) = ws.split();
    (read, write.into_sender(overflow), wire)
}

/// Waits until so many frames were written.
async fn written(wire: &common::Wire, frames: usize) -> Vec<wire::Frame> {
    let enough = wire.script.until(|_| wire.frames().len() >= frames);
    timeout(PATIENCE, enough).await.expect("all is written");
    wire.frames()
}

/// Lets all other tasks run until they wait.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[tokio::test]
async fn p85_a_full_queue_makes_send_wait_and_try_send_give_the_message_back() {
    let (_read, sender, wire) = stalled(small(), Overflow::Wait).await;
    assert_eq!(sender.send("first").await, Ok(Sent::Queued));
    let refused = sender.try_send("refused").unwrap_err();
    assert_eq!(refused.kind, TrySendErrorKind::Full);
    assert_eq!(refused.outgoing.len(), 7);
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("second").await }
    });
    settle().await;
    assert!(!waiting.is_finished());
    assert_eq!(sender.queued(), 5 + 64, "what waits is not in the queue");
    // Nobody sends and nobody receives: all leaves as soon as there is room.
    wire.script.heal();
    assert_eq!(
        timeout(PATIENCE, waiting).await.expect("room").unwrap(),
        Ok(Sent::Queued)
    );
    assert_eq!(
        written(&wire, 2).await,
        [wire::text("first"), wire::text("second")]
    );
    assert_eq!(sender.queued(), 0);
    assert_eq!(sender.try_send("third").unwrap(), Sent::Queued);
    assert_eq!(wire.frames().len(), 3, "written before try_send returns");
}

#[tokio::test]
async fn p85_those_that_wait_get_their_places_in_the_order_in_which_they_came() {
    let (_read, sender, wire) = stalled(small(), Overflow::Wait).await;
    sender.send("0").await.unwrap();
    let mut waiting = Vec::new();
    for i in 1..10 {
        let sender = sender.clone();
        waiting.push(tokio::spawn(
            async move { sender.send(format!("{i}")).await },
        ));
        settle().await;
    }
    // One that gives up in between holds up nobody.
    waiting.remove(4).abort();
    settle().await;
    wire.script.heal();
    for send in waiting {
        timeout(PATIENCE, send)
            .await
            .expect("no lost wake-up")
            .unwrap()
            .unwrap();
    }
    let expected = [0, 1, 2, 3, 4, 6, 7, 8, 9].map(|i| wire::text(format!("{i}")));
    assert_eq!(written(&wire, 9).await, expected);
}

#[tokio::test]
async fn p85_nobody_overtakes_those_that_wait() {
    let (_read, sender, wire) = stalled(small(), Overflow::Wait).await;
    sender.send("first").await.unwrap();
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.send("second").await }
    });
    settle().await;
    wire.script.heal();
    // The transport has room now, and the one that waits has not run yet.
    assert_eq!(
        sender.try_send("overtakes").unwrap_err().kind,
        TrySendErrorKind::Full
    );
    waiting.await.unwrap().unwrap();
    sender.send("third").await.unwrap();
    let expected = ["first", "second", "third"].map(wire::text);
    assert_eq!(written(&wire, 3).await, expected);
}

#[tokio::test]
async fn p85_drop_newest_keeps_what_is_queued() {
    let (_read, sender, wire) = stalled(small(), Overflow::DropNewest).await;
    assert_eq!(sender.send("kept").await, Ok(Sent::Queued));
    assert_eq!(sender.send("dropped").await, Ok(Sent::Dropped));
    assert_eq!(sender.try_send("dropped").unwrap(), Sent::Dropped);
    wire.script.heal();
    sender.flush().await.unwrap();
    assert_eq!(sender.send("sent").await, Ok(Sent::Queued));
    assert_eq!(wire.frames(), [wire::text("kept"), wire::text("sent")]);
}

#[tokio::test]
async fn p85_drop_oldest_keeps_what_is_new_and_what_has_begun_to_leave() {
    let mut config = small();
    config.limits.fragment = 10;
    let (_read, sender, wire) = stalled(config, Overflow::DropOldest).await;
    wire.script.heal();
    // The first fragment leaves, and a bit of the second.
    let passed = wire.script.written().len();
    wire.script.fault_writes_at(passed + 15, Fault::Stall);
    assert_eq!(sender.send("x".repeat(40)).await, Ok(Sent::Queued));
    assert_eq!(sender.send("one").await, Ok(Sent::Dropped), "only begun");
    wire.script.heal();
    sender.flush().await.unwrap();
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    assert_eq!(sender.send("two").await, Ok(Sent::Queued));
    assert_eq!(sender.send("three").await, Ok(Sent::Displaced(1)));
    assert_eq!(sender.try_send("four").unwrap(), Sent::Displaced(1));
    wire.script.heal();
    timeout(PATIENCE, sender.flush()).await.unwrap().unwrap();
    let expected = [
        wire::text("x".repeat(10)).not_fin(),
        wire::continuation("x".repeat(10)).not_fin(),
        wire::continuation("x".repeat(10)).not_fin(),
        wire::continuation("x".repeat(10)),
        wire::text("four"),
    ];
    assert_eq!(wire.frames(), expected);
}

#[tokio::test(start_paused = true)]
async fn p85_the_policy_close_closes_with_1013_and_ends_within_the_close_timeout() {
    let (_read, sender, wire) = stalled(small(), Overflow::Close).await;
    let begun = tokio::time::Instant::now();
    sender.send("first").await.unwrap();
    let error = sender.try_send("too much").unwrap_err();
    assert_eq!(error.kind, TrySendErrorKind::TooSlow);
    assert_eq!(error.outgoing.len(), 8);
    assert_eq!(
        sender.try_send("later").unwrap_err().kind,
        TrySendErrorKind::Closed
    );
    assert_eq!(sender.send("later").await, Err(Error::Closing));
    assert!(sender.is_closed());
    // Nobody receives, and the transport takes nothing.
    let outcome = sender.closed().await;
    assert_eq!(begun.elapsed(), Config::default().close_timeout);
    assert_eq!(outcome.cause, Cause::Timeout(Deadline::Close));
    assert!(wire.script.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn p88_what_already_waits_for_room_keeps_to_the_close_timeout_once_the_end_begins() {
    let begin_to_close: [(_, fn(&Sender)); 2] = [
        (Overflow::Close, |sender| {
            assert!(sender.try_send("too much").is_err());
        }),
        (Overflow::Wait, |sender| {
            let mut closing = pin!(sender.close(CloseFrame::normal()));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(closing.as_mut().poll(&mut cx).is_pending());
        }),
    ];
    for (overflow, begin) in begin_to_close {
        let (_read, sender, _wire) = stalled(small(), overflow).await;
        sender.send("first").await.unwrap();
        // By now there is a task that waits for room, or for the write timeout, which is longer.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = tokio::time::Instant::now();
        begin(&sender);
        assert_eq!(sender.closed().await.cause, Cause::Timeout(Deadline::Close));
        assert_eq!(begun.elapsed(), Config::default().close_timeout);
    }
}

#[tokio::test]
async fn p85_a_slow_client_that_reads_on_gets_what_was_queued_and_then_1013() {
    let (_read, sender, wire) = stalled(small(), Overflow::Close).await;
    sender.send("first").await.unwrap();
    assert_eq!(sender.send("too much").await, Err(Error::Closing));
    wire.script.heal();
    let expected = [wire::text("first"), wire::close(1013, "too slow")];
    assert_eq!(written(&wire, 2).await, expected);
    wire.push([wire::close(1013, "")]);
    wire.script.push_end();
    let outcome = timeout(PATIENCE, sender.closed()).await.expect("in time");
    assert!(outcome.clean, "{outcome}");
}

#[tokio::test(start_paused = true)]
async fn p85_dropping_messages_for_a_peer_that_takes_nothing_ends_with_the_write_timeout() {
    let (_read, sender, wire) = stalled(small(), Overflow::DropOldest).await;
    let begun = tokio::time::Instant::now();
    while !sender.is_closed() {
        sender.try_send("the latest").ok();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(begun.elapsed() <= Config::default().write_timeout + Duration::from_secs(1));
    assert!(wire.script.is_dropped());
}

#[tokio::test]
async fn p87_send_dropped_after_every_poll_is_all_or_nothing() {
    let (_read, sender, wire) = stalled(small(), Overflow::Wait).await;
    for polls in 0..5 {
        sender.send("blocks").await.unwrap();
        let dropped = poll_times(pin!(sender.send("dropped")), polls).await;
        assert!(dropped.is_none());
        wire.script.heal();
        timeout(PATIENCE, sender.flush()).await.unwrap().unwrap();
        wire.script
            .fault_writes_at(wire.script.written().len(), Fault::Stall);
        assert_eq!(wire.frames(), vec![wire::text("blocks"); polls + 1]);
    }
    // Polled once with room, it is sent, whatever becomes of the future.
    wire.script.heal();
    assert!(poll_times(pin!(sender.send("blocks")), 1).await.is_some());
    assert_eq!(wire.frames().len(), 6);
}

#[tokio::test]
async fn p87_room_that_was_reserved_is_there_however_full_the_queue() {
    let mut config = small();
    config.limits.hard_queue = 60;
    let (_read, sender, wire) = stalled(config, Overflow::Wait).await;
    let permit = sender.reserve().await.unwrap();
    assert_eq!(
        sender
            .try_send("no room but the reserved")
            .unwrap_err()
            .kind,
        TrySendErrorKind::Full
    );
    permit.send("through the permit").unwrap();
    // A reservation that is dropped while it waits takes nothing along.
    for polls in 0..5 {
        assert!(poll_times(pin!(sender.reserve()), polls).await.is_none());
    }
    wire.script.heal();
    sender.flush().await.unwrap();
    let unused = sender.reserve().await.unwrap();
    drop(unused);
    assert_eq!(sender.send("after").await, Ok(Sent::Queued));
    assert_eq!(
        wire.frames(),
        [wire::text("through the permit"), wire::text("after")]
    );
}

#[tokio::test]
async fn p87_as_many_permits_as_the_queue_has_room_for_and_one_given_back_lets_another_go() {
    let (_read, sender, _wire) = stalled(Config::default(), Overflow::Wait).await;
    let mut permits = Vec::new();
    for _ in 0..16 {
        permits.push(timeout(PATIENCE, sender.reserve()).await.unwrap().unwrap());
    }
    let waiting = tokio::spawn({
        let sender = sender.clone();
        async move { sender.reserve().await.map(drop) }
    });
    settle().await;
    assert!(!waiting.is_finished());
    permits.pop();
    timeout(PATIENCE, waiting)
        .await
        .expect("woken")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn p87_a_permit_of_a_closed_connection_gives_the_message_back() {
    let (read, sender, _wire) = stalled(Config::default(), Overflow::Wait).await;
    let permit = sender.reserve().await.unwrap();
    let closing = poll_times(pin!(sender.close(CloseFrame::normal())), 1).await;
    assert!(closing.is_none());
    let refused = permit.send("late").unwrap_err();
    assert_eq!(
        (refused.kind, refused.outgoing.len()),
        (TrySendErrorKind::Closed, 4)
    );
    assert_eq!(sender.reserve().await.unwrap_err(), Error::Closing);
    drop(read);
}

#[tokio::test]
async fn p88_flush_dropped_after_every_poll_does_not_stop_the_writing() {
    let (ws, wire) = client(Config::default()).await;
    wire.script.chunk_writes(3);
    wire.script.single_steps();
    let (_read, write) = ws.split();
    let sender = write.into_sender(Overflow::Wait);
    for i in 0..5 {
        sender.feed(format!("message {i}")).await.unwrap();
    }
    assert_eq!(wire.frames(), [], "feed does not write");
    let flushing = async { while poll_times(pin!(sender.flush()), 1).await.is_none() {} };
    timeout(PATIENCE, flushing)
        .await
        .expect("it comes to its end");
    let texts: Vec<_> = wire
        .frames()
        .into_iter()
        .map(wire::Frame::without_key)
        .collect();
    let expected: Vec<_> = (0..5).map(|i| wire::text(format!("message {i}"))).collect();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn flush_waits_for_what_was_queued_before_it_and_not_for_what_others_send_on() {
    let (_read, sender, wire) = stalled(Config::default(), Overflow::Wait).await;
    let start = wire.script.written().len();
    sender.send("mine").await.unwrap();
    let flushing = tokio::spawn({
        let sender = sender.clone();
        async move { sender.flush().await }
    });
    settle().await;
    sender.send("of others").await.unwrap();
    assert!(!flushing.is_finished());
    // Room for the first, and for a part of the second.
    wire.script.heal();
    wire.script.fault_writes_at(start + 6 + 3, Fault::Stall);
    timeout(PATIENCE, flushing)
        .await
        .expect("flushed")
        .unwrap()
        .unwrap();
    assert!(sender.queued() > 0);
}

#[tokio::test]
async fn flush_waits_for_what_was_queued_before_there_was_a_sender() {
    let (ws, wire) = server(Config::default()).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let (_read, mut write) = ws.split();
    write.feed("before").await.unwrap();
    let sender = write.into_sender(Overflow::Wait);
    let mut flushing = pin!(sender.flush());
    assert!(poll_times(flushing.as_mut(), 3).await.is_none());
    wire.script.heal();
    let flushed = timeout(PATIENCE, flushing).await.expect("written");
    assert_eq!(flushed, Ok(()));
    assert_eq!(wire.frames(), [wire::text("before")]);
}

#[tokio::test]
async fn flush_also_waits_for_a_transport_that_holds_back_what_it_took() {
    let (ws, wire) = server(Config::default()).await;
    wire.script.buffer_writes();
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let (_read, write) = ws.split();
    let sender = write.into_sender(Overflow::Wait);
    sender.send("held back").await.unwrap();
    assert!(poll_times(pin!(sender.flush()), 3).await.is_none());
    wire.script.heal();
    timeout(PATIENCE, sender.flush()).await.unwrap().unwrap();
    assert_eq!(wire.frames(), [wire::text("held back")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p89_many_senders_through_a_tiny_pipe_finish_and_each_keeps_its_order() {
    const SENDERS: usize = 8;
    const MESSAGES: usize = 100;
    let (near, far) = pipe(64);
    let accepting = tokio::spawn(async move { Acceptor::new().accept(far).await.unwrap() });
    let (ws, _response) = Client::new("ws://example.com/")
        .unwrap()
        .config(small())
        .connect_over(near)
        .await
        .unwrap();
    let mut peer = accepting.await.unwrap();
    let (mut read, write) = ws.split();
    let sender = write.into_sender(Overflow::Wait);
    let sending: Vec<_> = (0..SENDERS)
        .map(|who| {
            let sender = sender.clone();
            tokio::spawn(async move {
                for i in 0..MESSAGES {
                    let message = format!("{who} {i} {:>40}", "");
                    match i % 3 {
                        0 => drop(sender.send(message).await.unwrap()),
                        1 => sender.reserve().await.unwrap().send(message).unwrap(),
                        _ => {
                            sender.feed(message).await.unwrap();
                            sender.flush().await.unwrap();
                        }
                    }
                }
            })
        })
        .collect();
    let receiving = tokio::spawn(async move { while let Ok(Some(_)) = read.recv().await {} });
    let all = async {
        let mut next = [0; SENDERS];
        for _ in 0..SENDERS * MESSAGES {
            let message = peer.recv().await.unwrap().unwrap();
            let mut words = message.as_text().unwrap().split(' ');
            let who: usize = words.next().unwrap().parse().unwrap();
            let which: usize = words.next().unwrap().parse().unwrap();
            assert_eq!(which, next[who]);
            next[who] += 1;
        }
        for task in sending {
            task.await.unwrap();
        }
    };
    timeout(PATIENCE, all).await.expect("no lost wake-up");
    receiving.abort();
}

#[tokio::test]
async fn what_was_accepted_leaves_though_every_handle_is_dropped() {
    let (read, sender, wire) = stalled(Config::default(), Overflow::Wait).await;
    sender.send("my last words").await.unwrap();
    drop((read, sender));
    assert!(!wire.script.is_dropped());
    wire.script.heal();
    let gone = wire.script.until(fullduplex_testkit::Script::is_dropped);
    timeout(PATIENCE, gone).await.expect("then it goes");
    assert_eq!(wire.frames(), [wire::text("my last words")]);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_does_not_take_keeps_a_connection_for_the_write_timeout_at_most() {
    let (read, sender, wire) = stalled(Config::default(), Overflow::Wait).await;
    let begun = tokio::time::Instant::now();
    sender.send("nobody reads").await.unwrap();
    drop((read, sender));
    wire.script
        .until(fullduplex_testkit::Script::is_dropped)
        .await;
    assert_eq!(begun.elapsed(), Config::default().write_timeout);
}

#[tokio::test]
async fn a_connection_without_queued_messages_goes_with_its_last_handle() {
    let (ws, wire) = server(Config::default()).await;
    let (read, write) = ws.split();
    let sender = write.into_sender(Overflow::Wait);
    let weak = sender.downgrade();
    let clone = weak.upgrade().unwrap();
    drop((read, sender));
    assert!(!wire.script.is_dropped());
    drop(clone);
    assert!(wire.script.is_dropped());
    assert!(weak.upgrade().is_none());
}

#[tokio::test]
async fn p88_close_from_several_clones_says_the_same_and_goes_on_though_it_is_dropped() {
    let (ws, wire) = server(Config::default()).await;
    let (read, write) = ws.split();
    let sender = write.into_sender(Overflow::Wait);
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "going").unwrap();
    assert!(poll_times(pin!(sender.close(frame)), 1).await.is_none());
    assert_eq!(wire.frames(), [wire::close(1001, "going")]);
    wire.push([wire::text("thrown away"), wire::close(1001, "")]);
    wire.script.push_end();
    let closing: Vec<_> = (0..3)
        .map(|_| {
            let sender = sender.clone();
            tokio::spawn(async move { sender.close(CloseFrame::normal()).await })
        })
        .collect();
    for close in closing {
        let outcome = timeout(PATIENCE, close).await.expect("in time").unwrap();
        assert!(outcome.clean);
        assert_eq!(outcome.to_string(), "1001 \"going\" by us");
    }
    assert!(wire.script.is_dropped(), "nobody received");
    drop(read);
}

#[tokio::test]
async fn closed_tells_every_clone_what_the_receiving_half_found() {
    let (ws, wire) = server(Config::default()).await;
    let (mut read, write) = ws.split();
    let sender = write.into_sender(Overflow::Wait);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let sender = sender.clone();
            tokio::spawn(async move { sender.closed().await })
        })
        .collect();
    settle().await;
    assert!(!sender.is_closed());
    wire.push([wire::close(4000, "enough")]);
    wire.script.push_end();
    assert_eq!(read.recv().await, Ok(None));
    for closed in waiting {
        let outcome = timeout(PATIENCE, closed).await.expect("told").unwrap();
        assert_eq!(outcome.code().get(), 4000);
    }
    assert!(matches!(sender.send("late").await, Err(Error::Ended(_))));
}

#[tokio::test]
async fn a_transport_that_breaks_is_told_to_all_that_wait() {
    let (mut read, sender, wire) = stalled(small(), Overflow::Wait).await;
    sender.send("first").await.unwrap();
    let [sending, flushing, reserving] = [0, 1, 2].map(|what| {
        let sender = sender.clone();
        tokio::spawn(async move {
            match what {
                0 => sender.send("second").await.map(drop),
                1 => sender.flush().await,
                _ => sender.reserve().await.map(drop),
            }
        })
    });
    let closed = tokio::spawn({
        let sender = sender.clone();
        async move { sender.closed().await }
    });
    let receiving = tokio::spawn(async move { read.recv().await });
    settle().await;
    let at = wire.script.written().len();
    wire.script
        .fault_writes_at(at, Fault::Error(std::io::ErrorKind::ConnectionReset));
    for task in [sending, flushing, reserving] {
        let result = timeout(PATIENCE, task).await.expect("told").unwrap();
        assert!(matches!(result, Err(Error::Ended(_))), "{result:?}");
    }
    timeout(PATIENCE, closed).await.expect("told").unwrap();
    let received = timeout(PATIENCE, receiving).await.expect("told").unwrap();
    assert!(matches!(received, Err(Error::Ended(_))));
    assert!(wire.script.is_dropped());
}

#[tokio::test]
async fn a_ping_goes_ahead_of_a_full_queue_and_its_pong_comes_by_the_receiving_half() {
    let (mut read, sender, wire) = stalled(small(), Overflow::Wait).await;
    sender.feed("fills the queue").await.unwrap();
    let pong = sender.ping("are you there").unwrap();
    assert!(matches!(sender.ping(vec![0; 126]), Err(Error::Ping(_))));
    let receiving = tokio::spawn(async move { read.recv().await });
    wire.script.heal();
    let expected = [wire::ping("are you there"), wire::text("fills the queue")];
    assert_eq!(written(&wire, 2).await, expected);
    wire.push([wire::pong("are you there")]);
    let latency = timeout(PATIENCE, pong).await.expect("in time").unwrap();
    assert_eq!(sender.latency(), Some(latency));
    receiving.abort();
}

#[tokio::test]
async fn a_thread_outside_the_runtime_sends_also_when_the_transport_is_full() {
    let (_read, sender, wire) = stalled(Config::default(), Overflow::Wait).await;
    let outside = std::thread::spawn({
        let sender = sender.clone();
        move || {
            sender.try_send("from outside").unwrap();
            sender.try_send("twice").unwrap();
        }
    });
    outside.join().unwrap();
    wire.script.heal();
    let expected = [wire::text("from outside"), wire::text("twice")];
    assert_eq!(written(&wire, 2).await, expected);
}

#[tokio::test]
async fn in_a_corked_handler_all_leaves_in_one_write_and_from_other_tasks_at_once() {
    let (ws, wire) = server(Config::default()).await;
    let (give, mut given) = tokio::sync::mpsc::unbounded_channel();
    let handling = tokio::spawn(corked(ws, async move |ws: WebSocket| {
        let (mut read, write) = ws.split();
        let sender = write.into_sender(Overflow::Wait);
        give.send(sender.clone()).unwrap();
        for i in 0..16 {
            sender.send(format!("{i}")).await.unwrap();
        }
        while let Ok(Some(_)) = read.recv().await {}
    }));
    let sender = given.recv().await.unwrap();
    written(&wire, 16).await;
    assert_eq!(wire.writes().len(), 1);
    // The handler waits for messages meanwhile.
    sender.send("from elsewhere").await.unwrap();
    assert_eq!(wire.writes().len(), 2);
    handling.abort();
}

#[tokio::test]
async fn p92_a_prepared_frame_goes_to_servers_as_it_is_and_to_clients_masked() {
    let prepared = Prepared::new(&Message::text("for everybody"));
    for overflow in [Overflow::Wait, Overflow::DropOldest] {
        let (ws, wire) = server(Config::default()).await;
        let (_read, write) = ws.split();
        let sender = write.into_sender(overflow);
        sender.send(prepared.clone()).await.unwrap();
        sender.try_send(prepared.clone()).unwrap();
        let permit = sender.reserve().await.unwrap();
        permit.send(prepared.clone()).unwrap();
        assert_eq!(wire.frames(), vec![wire::text("for everybody"); 3]);

        let (ws, wire) = client(Config::default()).await;
        let (_read, write) = ws.split();
        let sender = write.into_sender(overflow);
        sender.send(prepared.clone()).await.unwrap();
        let frames = wire.frames();
        assert!(frames[0].mask.is_some());
        assert_eq!(frames[0].clone().without_key(), wire::text("for everybody"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_drains_slowly_never_grows_beyond_its_limit_and_one_message() {
    let config = Config::default();
    let soft = config.limits.soft_queue;
    let (ws, wire) = server(config).await;
    wire.script.chunk_writes(1000);
    wire.script.single_steps();
    let (_read, write) = ws.split();
    let sender = Arc::new(write.into_sender(Overflow::Wait));
    let begun = Instant::now();
    let sending: Vec<_> = (0..4)
        .map(|_| {
            let sender = Arc::clone(&sender);
            tokio::spawn(async move {
                for _ in 0..40 {
                    sender.send(vec![0; 5000]).await.unwrap();
                    // Headers of frames written in part count as well.
                    assert!(sender.queued() <= soft + 5000 + 64 + 14);
                }
            })
        })
        .collect();
    for task in sending {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        timeout(left, task).await.expect("in time").unwrap();
    }
    timeout(PATIENCE, sender.flush()).await.unwrap().unwrap();
    assert_eq!(wire.frames().len(), 160);
}

#[tokio::test]
async fn p87_feed_dropped_after_every_poll_is_all_or_nothing() {
    let (_read, sender, wire) = stalled(small(), Overflow::Wait).await;
    for polls in 0..5 {
        sender.feed("blocks").await.unwrap();
        assert!(
            poll_times(pin!(sender.feed("dropped")), polls)
                .await
                .is_none()
        );
        wire.script.heal();
        timeout(PATIENCE, sender.flush()).await.unwrap().unwrap();
        wire.script
            .fault_writes_at(wire.script.written().len(), Fault::Stall);
        assert_eq!(wire.frames(), vec![wire::text("blocks"); polls + 1]);
    }
}

#[tokio::test]
async fn waiting_for_the_end_can_be_dropped_after_every_poll_and_begun_again() {
    let (mut read, sender, wire) = stalled(small(), Overflow::Wait).await;
    wire.script.heal();
    for polls in 0..5 {
        assert!(poll_times(pin!(sender.closed()), polls).await.is_none());
    }
    wire.push([wire::close(1000, "bye")]);
    wire.script.push_end();
    let (end, outcome) = tokio::join!(read.recv(), timeout(PATIENCE, sender.closed()));
    assert_eq!(end, Ok(None));
    assert_eq!(outcome.unwrap().reason(), "bye");
}
