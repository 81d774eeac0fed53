//! Goal: a transport that stops, fails, panics or does anything peculiar harms its own connection at most.
//! Method: scripted transports, and one that does something of the test's before each write.
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

use common::{
    Wire,
    group::{counts, group, stall, text, undriven, until_written},
    raw::PATIENCE,
};
use fullduplex::{Acceptor, Broadcast, Overflow, ReadHalf, Sender};
use fullduplex_testkit::{Fault, ScriptedIo, wire};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Runtime,
    task::yield_now,
    time::timeout,
};

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
