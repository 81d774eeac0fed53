//! The plainest loop, as a server runs it, in a task of tokio's runtime: everything but mio and the kernel.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use fullduplex::{Acceptor, Error, WebSocket, handled};
use gungraun::{library_benchmark, library_benchmark_group};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Runtime,
    sync::Notify,
};

use crate::{MESSAGES, WARM_UP, frames};

/// A transport on which the same bytes arrive again once all that came before has been read and the reader has found nothing more.
struct Rounds {
    arrives: Vec<u8>,
    /// What arrives in place of that from the first round on.
    round: Option<Vec<u8>>,
    read: usize,
    control: Arc<Control>,
}

#[derive(Default)]
struct Control {
    /// Rounds that have not begun.
    left: AtomicUsize,
    reader: Mutex<Option<Waker>>,
    written: AtomicUsize,
    done: Notify,
}

impl AsyncRead for Rounds {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.arrives[self.read..];
        if !rest.is_empty() {
            let n = rest.len().min(buf.remaining());
            buf.put_slice(&rest[..n]);
            self.read += n;
            return Poll::Ready(Ok(()));
        }
        let left = self.control.left.load(Ordering::Relaxed);
        if left == 0 {
            *self.control.reader.lock().unwrap() = Some(cx.waker().clone());
            self.control.done.notify_one();
        } else {
            self.control.left.store(left - 1, Ordering::Relaxed);
            self.read = 0;
            if let Some(round) = self.round.take() {
                self.arrives = round;
            }
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl AsyncWrite for Rounds {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.control.written.fetch_add(buf.len(), Ordering::Relaxed);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.control.written.fetch_add(len, Ordering::Relaxed);
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A server's connection in a task, and how often it is to get its bytes.
pub struct Case {
    runtime: Runtime,
    control: Arc<Control>,
    rounds: usize,
}

async fn serve(ws: WebSocket) {
    handled(ws, async |mut ws: WebSocket| {
        while let Some(message) = ws.recv().await? {
            ws.send(message).await?;
        }
        Ok::<_, Error>(())
    })
    .await;
}

impl Case {
    fn new(len: usize, at_once: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let control = Arc::<Control>::default();
        let transport = Rounds {
            arrives: frames::request(false),
            round: Some(frames::frames(len, at_once)),
            read: 0,
            control: Arc::clone(&control),
        };
        let accepted = runtime.block_on(Acceptor::new().accept(transport));
        runtime.spawn(serve(accepted.unwrap()));
        let case = Self {
            runtime,
            control,
            rounds: MESSAGES / at_once,
        };
        case.runtime.block_on(case.control.done.notified());
        let greeted = case.control.written.load(Ordering::Relaxed);
        case.run(WARM_UP / at_once);
        let written = case.control.written.load(Ordering::Relaxed) - greeted;
        assert!(written > WARM_UP * len);
        case
    }

    /// Lets the bytes arrive so many times.
    fn run(&self, rounds: usize) {
        self.control.left.store(rounds, Ordering::Relaxed);
        let reader = self.control.reader.lock().unwrap().take();
        reader.unwrap().wake();
        self.runtime.block_on(self.control.done.notified());
    }
}

#[library_benchmark]
#[bench::b32(Case::new(32, 1))]
#[bench::b32_by_16(Case::new(32, 16))]
#[bench::kib_1(Case::new(1 << 10, 1))]
#[bench::kib_64(Case::new(64 << 10, 1))]
fn echo(case: Case) -> Case {
    case.run(case.rounds);
    case
}

library_benchmark_group!(name = ws, benchmarks = echo);
