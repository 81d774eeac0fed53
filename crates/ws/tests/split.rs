//! Goal: two halves, in one task or two, never starve or miss a wake-up.
//! Method: bounded pipes and real sockets under load; scripted transports for the exact moments.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use common::{raw::PATIENCE, server};
use fullduplex::{Acceptor, Client, CloseFrame, Config, Message, Overflow, WebSocket, WriteHalf};
use fullduplex_testkit::{Fault, pipe, wire};
use tokio::time::timeout;

/// A client and a server over a pipe that holds `capacity` bytes each way.
async fn connected(capacity: usize) -> (WebSocket, WebSocket) {
    let (near, far) = pipe(capacity);
    let accepting = tokio::spawn(async move { Acceptor::new().accept(far).await.unwrap() });
    let (client, _response) = Client::new("ws://example.com/")
        .unwrap()
        .connect_over(near)
        .await
        .unwrap();
    (client, accepting.await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p89_reader_and_writer_in_two_tasks_on_both_ends_finish_through_a_tiny_pipe() {
    const MESSAGES: usize = 300;
    let (client, server) = connected(64).await;
    let both = [client, server].map(|ws| {
        let (mut read, mut write) = ws.split();
        let sending = tokio::spawn(async move {
            for i in 0..MESSAGES {
                if i % 7 == 0 {
                    write.ping(vec![1]).await.ok();
                }
                write
                    .send(format!(
                        "message {i}, long enough to fill the pipe more than once: {i:>60}"
                    ))
                    .await
                    .unwrap();
            }
            write
        });
        let receiving = tokio::spawn(async move {
            for i in 0..MESSAGES {
                let message = read.recv().await.unwrap().unwrap();
                assert!(
                    message
                        .as_text()
                        .unwrap()
                        .starts_with(&format!("message {i},"))
                );
            }
            read
        });
        async move { (sending.await.unwrap(), receiving.await.unwrap()) }
    });
    let [client, server] = both;
    let both = async { tokio::join!(client, server) };
    timeout(PATIENCE, both).await.expect("no lost wake-up");
}

#[tokio::test]
async fn p89_both_halves_in_one_select_finish() {
    let (client, server) = connected(64).await;
    let echo = tokio::spawn(async move {
        let mut server = server;
        while let Ok(Some(message)) = server.recv().await {
            if server.send(message).await.is_err() {
                break;
            }
        }
    });
    let (mut read, mut write) = client.split();
    let exchange = async {
        let (mut sent, mut received) = (0, 0);
        while received < 200 {
            if sent < 200 && write.queued() == 0 {
                write.feed(format!("{sent:>100}")).await.unwrap();
                sent += 1;
            }
            tokio::select! {
                message = read.recv() => {
                    assert_eq!(message.unwrap().unwrap(), Message::text(format!("{received:>100}")));
                    received += 1;
                }
                flushed = write.flush(), if write.queued() > 0 => flushed.unwrap(),
            }
        }
    };
    timeout(PATIENCE, exchange).await.expect("no lost wake-up");
    echo.abort();
}

#[tokio::test]
async fn p90_a_writer_blocked_on_a_full_transport_does_not_stop_the_reader() {
    let (ws, wire) = server(Config::default()).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let (mut read, mut write) = ws.split();
    let blocked = tokio::spawn(async move { write.send(vec![0; 100_000]).await });
    for i in 0..100 {
        wire.push([wire::text(format!("{i}"))]);
        let message = timeout(PATIENCE, read.recv())
            .await
            .expect("in time")
            .unwrap()
            .unwrap();
        assert_eq!(message, Message::text(format!("{i}")));
    }
    assert!(!blocked.is_finished());
    wire.script.heal();
    let sent = async {
        // Either half writes: receiving on is enough to get the blocked one going.
        let reading = tokio::spawn(async move { while let Ok(Some(_)) = read.recv().await {} });
        blocked.await.unwrap().unwrap();
        reading.abort();
    };
    timeout(PATIENCE, sent).await.expect("in time");
}

#[tokio::test]
async fn p90_a_ping_ahead_of_a_message_is_answered_while_the_application_sits_on_the_message() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push([
        wire::ping("first"),
        wire::text("sit on me"),
        wire::ping("second"),
    ]);
    assert_eq!(ws.recv().await, Ok(Some("sit on me".into())));
    assert_eq!(wire.frames(), [wire::pong("first")]);
}

#[tokio::test]
async fn the_writing_half_closes_while_nobody_receives() {
    let (client, mut server) = connected(4096).await;
    let (_read, mut write) = client.split();
    let serving = tokio::spawn(async move { (server.recv().await, server) });
    let outcome = timeout(PATIENCE, write.close(CloseFrame::normal()))
        .await
        .expect("in time");
    assert!(outcome.clean, "{outcome}");
    assert_eq!(serving.await.unwrap().0, Ok(None));
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_when_the_other_half_ends_the_connection() {
    let (client, server) = connected(4096).await;
    let (mut read, mut write) = client.split();
    let serving = tokio::spawn(async move {
        let mut server = server;
        server.recv().await
    });
    let reading = tokio::spawn(async move { read.recv().await });
    assert!(
        timeout(PATIENCE, write.close(CloseFrame::normal()))
            .await
            .expect("in time")
            .clean
    );
    assert_eq!(
        timeout(PATIENCE, reading).await.expect("woken").unwrap(),
        Ok(None)
    );
    assert_eq!(serving.await.unwrap(), Ok(None));
}

#[tokio::test]
async fn halves_of_one_connection_reunite_and_strangers_do_not() {
    let (a, b) = connected(4096).await;
    let (read_a, write_a) = a.split();
    let (read_b, write_b) = b.split();
    let (read_a, write_b) = read_a.reunite(write_b).unwrap_err();
    assert!(read_a.reunite(write_a).is_ok());
    assert!(read_b.reunite(write_b).is_ok());
}

#[tokio::test]
async fn a_half_that_is_polled_with_ever_new_wakers_wakes_the_last_one() {
    let (ws, wire) = server(Config::default()).await;
    let (mut read, _write) = ws.split();
    for i in 0..20 {
        {
            let recv = pin!(read.recv());
            // A waker that leads nowhere, as of a task that has gone.
            assert!(matches!(
                recv.poll(&mut Context::from_waker(Waker::noop())),
                Poll::Pending
            ));
        }
        let receiving = tokio::spawn(async move {
            let message = read.recv().await;
            (read, message)
        });
        tokio::task::yield_now().await;
        wire.push([wire::text(format!("{i}"))]);
        let (back, message) = timeout(PATIENCE, receiving).await.expect("woken").unwrap();
        assert_eq!(message, Ok(Some(Message::text(format!("{i}")))));
        read = back;
    }
}

#[test]
fn the_waker_of_one_half_may_own_the_other() {
    /// As an executor's task does that is let go of only with its last waker.
    struct Owner(#[expect(dead_code, reason = "owned")] WriteHalf);
    impl Wake for Owner {
        fn wake(self: Arc<Self>) {}
    }
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let (ws, _wire) = server(Config::default()).await;
            let (mut read, write) = ws.split();
            let owner = Waker::from(Arc::new(Owner(write)));
            let mut receiving = pin!(read.recv());
            for waker in [owner, Waker::noop().clone()] {
                let polled = receiving.as_mut().poll(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
            }
            done.send(()).unwrap();
        });
    });
    is_done
        .recv_timeout(PATIENCE)
        .expect("dropping the waker takes the connection's lock");
}

#[tokio::test]
async fn a_reader_that_waits_is_told_that_the_writer_found_the_transport_broken() {
    let (ws, wire) = server(Config::default()).await;
    let (mut read, mut write) = ws.split();
    let reading = tokio::spawn(async move { read.recv().await });
    tokio::task::yield_now().await;
    // Only writing fails: nothing happens on the side that is read.
    let broken = Fault::Error(std::io::ErrorKind::BrokenPipe);
    wire.script
        .fault_writes_at(wire.script.written().len(), broken);
    assert!(write.send("does not get through").await.is_err());
    let received = timeout(PATIENCE, reading).await.expect("woken").unwrap();
    assert!(received.is_err());
    assert!(wire.script.is_dropped());
}

#[tokio::test]
async fn every_part_of_a_connection_can_be_asked_the_same() {
    let (mut client, server) = WebSocket::pair();
    let (resource, deflate) = (server.resource().to_owned(), server.deflate());
    let (mut read, write) = server.split();
    client.send("x").await.unwrap();
    read.recv().await.unwrap();
    assert_eq!(
        (read.resource(), write.resource()),
        (&*resource, &*resource)
    );
    assert_eq!((read.deflate(), write.deflate()), (deflate, deflate));
    let sender = write.into_sender(Overflow::Wait);
    assert_eq!(sender.resource(), resource);
    assert_eq!((sender.queued(), sender.outcome()), (read.queued(), None));
    let (_, end) = tokio::join!(client.close(CloseFrame::normal()), read.recv());
    assert_eq!(end, Ok(None));
    assert!(read.outcome().is_some() && read.outcome() == sender.outcome());
}
