//! Goal: what a message costs in calls of the transport and in allocations stays what it is, or gets less.
//! Method: transports that count their calls; an allocator that counts on this thread. Bounds are what was measured.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests, which show what they measured"
)]

mod common;

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use allocation_counter::{AllocationInfo, measure};
use common::{REQUEST, poll_times, raw::echo};
use fullduplex::{
    Acceptor, Broadcast, Message, Overflow, Prepared, ReadHalf, Sender, WebSocket, handled,
};
use fullduplex_testkit::wire;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Runtime,
};

/// Rounds that are measured together.
const ROUNDS: u64 = 100;

/// A transport that counts its calls. What is written is gone.
struct Counting(Arc<Calls>);

#[derive(Debug, Default)]
struct Calls {
    /// What the next reads find.
    arrived: Mutex<&'static [u8]>,
    /// Reads that found something, and others.
    reads: AtomicUsize,
    vain_reads: AtomicUsize,
    writes: AtomicUsize,
    flushes: AtomicUsize,
}

impl Calls {
    /// Reads, reads that found nothing, writes and flushes since the last time.
    fn take(&self) -> [usize; 4] {
        [&self.reads, &self.vain_reads, &self.writes, &self.flushes]
            .map(|calls| calls.swap(0, Ordering::Relaxed))
    }

    fn write(&self, bytes: usize) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncRead for Counting {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut arrived = self.0.arrived.lock().unwrap();
        if arrived.is_empty() {
            self.0.vain_reads.fetch_add(1, Ordering::Relaxed);
            return Poll::Pending;
        }
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        let (read, rest) = arrived.split_at(arrived.len().min(buf.remaining()));
        buf.put_slice(read);
        *arrived = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counting {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.write(buf.len())
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.write(bufs.iter().map(|buf| buf.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.flushes.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

async fn accept() -> (WebSocket, Arc<Calls>) {
    let calls = Arc::new(Calls::default());
    *calls.arrived.lock().unwrap() = REQUEST.as_bytes();
    let transport = Counting(Arc::clone(&calls));
    let ws = Acceptor::new().accept(transport).await.unwrap();
    (ws, calls)
}

/// So many binary messages of a client, which are never freed: the tests need few.
fn messages(len: usize, count: usize) -> &'static [u8] {
    wire::bytes(&vec![wire::binary(vec![7; len]).masked(); count]).leak()
}

/// What the plainest loop allocates, run as a server runs it, in [`ROUNDS`] rounds in each of which this arrives, and the
/// calls of one round.
fn echoing(arrives: &'static [u8]) -> (AllocationInfo, [usize; 4]) {
    runtime().block_on(async {
        let (ws, calls) = accept().await;
        let mut serving = pin!(handled(ws, echo));
        let mut round = || {
            *calls.arrived.lock().unwrap() = arrives;
            let polled = serving
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            assert!(calls.arrived.lock().unwrap().is_empty());
        };
        // What the thread and the connection make once.
        round();
        round();
        calls.take();
        round();
        let calls = calls.take();
        let info = measure(|| (0..ROUNDS).for_each(|_| round()));
        println!(
            "{} allocations and {} bytes in {ROUNDS} rounds, calls {calls:?}",
            info.count_total, info.bytes_total
        );
        assert_eq!(info.count_current, 0, "nothing stays");
        (info, calls)
    })
}

/// What one round calls, however many messages it brings, if they fit into one read: the read, the read that finds no more
/// (which costs no system call on TCP, where tokio knows it from the short read before), the write, and a flush, since
/// this transport might buffer (TCP does not, and is not flushed).
const CALLS: [usize; 4] = [1, 1, 1, 1];

#[test]
fn sixteen_pipelined_messages_cost_one_read_and_one_write() {
    assert_eq!(echoing(messages(32, 16)).1, CALLS);
}

#[test]
fn a_small_message_alone_costs_the_same_calls() {
    assert_eq!(echoing(messages(32, 1)).1, CALLS);
}

#[test]
fn a_message_of_64_kib_costs_the_same_calls() {
    assert_eq!(echoing(messages(64 << 10, 1)).1, CALLS);
}

#[test]
fn allocations_for_a_small_message_that_is_echoed_alone() {
    let (info, _) = echoing(messages(32, 1));
    assert!(info.count_total <= ROUNDS, "{}", info.count_total);
}

#[test]
fn allocations_for_sixteen_small_messages_that_are_echoed_together() {
    let (info, _) = echoing(messages(32, 16));
    assert!(info.count_total <= ROUNDS * 17, "{}", info.count_total);
}

#[test]
fn a_message_of_64_kib_is_echoed_from_where_it_was_read() {
    let (info, _) = echoing(messages(64 << 10, 1));
    assert!(info.count_total <= ROUNDS, "{}", info.count_total);
    assert!(info.bytes_total <= ROUNDS * 256, "{}", info.bytes_total);
}

/// A member of a group, as an application keeps it: somebody receives.
async fn member(group: &Broadcast<usize>, key: usize) -> (ReadHalf, Sender, Arc<Calls>) {
    let (ws, calls) = accept().await;
    let (mut read, write) = ws.split();
    let sender = write.into_sender(Overflow::Close);
    group.join(key, &sender);
    assert!(poll_times(pin!(read.recv()), 1).await.is_none());
    calls.take();
    (read, sender, calls)
}

/// What messages to a group of so many members allocate, one for each round, until all are written.
fn fanning_out(members: usize) -> u64 {
    let runtime = runtime();
    let group = Broadcast::new();
    let kept = runtime.block_on(async {
        let mut kept = Vec::new();
        for key in 0..members {
            kept.push(member(&group, key).await);
        }
        kept
    });
    let message = Prepared::new(&Message::binary(vec![7; 128]));
    let writes = || {
        let each = kept.iter().map(|(_, _, calls)| &calls.writes);
        each.map(|writes| writes.load(Ordering::Relaxed)).min()
    };
    let send = |messages: u64| {
        runtime.block_on(async {
            for _ in 0..messages {
                let before = writes();
                assert_eq!(group.send(&message).sent, members);
                while writes() == before {
                    tokio::task::yield_now().await;
                }
            }
        });
    };
    // What is made once.
    send(2);
    let info = measure(|| send(ROUNDS));
    println!(
        "{members} members: {} allocations for {ROUNDS} messages",
        info.count_total
    );
    info.count_total
}

#[test]
fn allocations_for_a_delivery_to_one_member_more_of_a_group() {
    let more = 100;
    assert_eq!(fanning_out(100 + more), fanning_out(100));
}
