//! One message to a hundred connections: what each of them costs.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use fullduplex::{Acceptor, Broadcast, Message, Overflow, Prepared, Sender};
use gungraun::{library_benchmark, library_benchmark_group};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Runtime,
};

use crate::{MESSAGES, WARM_UP, frames};

const MEMBERS: usize = 100;

/// A transport on which a request arrives and nothing more, and that counts its writes.
struct Subscriber {
    request: Option<Vec<u8>>,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Subscriber {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(request) = self.request.take() else {
            return Poll::Pending;
        };
        buf.put_slice(&request);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Subscriber {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A group whose members receive, each in a task.
pub struct Members {
    runtime: Runtime,
    group: Broadcast<usize>,
    message: Message,
    writes: Arc<AtomicUsize>,
    /// The group keeps no connection open.
    senders: Vec<Sender>,
}

impl Members {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut members = Self {
            runtime,
            group: Broadcast::new(),
            message: Message::binary(vec![7; 128]),
            writes: Arc::default(),
            senders: Vec::new(),
        };
        for _ in 0..MEMBERS {
            members.join();
        }
        members.send(WARM_UP / MEMBERS + 1);
        members
    }

    fn join(&mut self) {
        let transport = Subscriber {
            request: Some(frames::request(false)),
            writes: Arc::clone(&self.writes),
        };
        let accepted = self.runtime.block_on(Acceptor::new().accept(transport));
        let (mut read, write) = accepted.unwrap().split();
        let _entered = self.runtime.enter();
        let sender = write.into_sender(Overflow::Close);
        self.group.join(self.senders.len(), &sender);
        self.senders.push(sender);
        tokio::spawn(async move { while let Ok(Some(_)) = read.recv().await {} });
    }

    /// Sends, and lets all be written each time.
    fn send(&self, messages: usize) {
        self.runtime.block_on(async {
            for _ in 0..messages {
                let before = self.writes.load(Ordering::Relaxed);
                self.group.send(&Prepared::new(&self.message));
                while self.writes.load(Ordering::Relaxed) - before < MEMBERS {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
}

#[library_benchmark]
#[bench::to_100(Members::new())]
fn send(members: Members) -> Members {
    members.send(MESSAGES / MEMBERS);
    members
}

library_benchmark_group!(name = fan_out, benchmarks = send);
