//! What is queued, on its way into the transport, and how long that may take.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Instant,
};

use fullduplex_proto::{Batch, MaskingKey, State};
use tokio::io::AsyncWrite;

use super::{Driver, RoomState, now};
use crate::{scratch, transport::Transport};

/// Slices of one vectored write. A batch rarely has more, and if it has, the rest leaves with the next.
const MAX_SLICES: usize = 64;

impl Driver {
    /// Something is to be written, or to be flushed out of the transport.
    pub(crate) fn wants_write(&self) -> bool {
        self.connection.wants_write() || (self.unflushed.is_some() && self.transport.is_some())
    }

    /// The transport has passed on all that it took.
    pub(crate) fn is_flushed(&self) -> bool {
        self.unflushed.is_none()
    }

    /// Writes all there is to write. `Pending` once the transport takes no more, or its deadline is not over.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.collect() {
            return Poll::Pending;
        }
        if self.owed.is_some() && self.connection.state() != State::Open {
            // It was sent before the end began, so it goes before our Close.
            self.queue_owed();
        }
        while self.connection.wants_write() && self.transport.is_some() {
            match self.poll_write_once(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => break,
                Poll::Pending => return self.poll_write_deadline(cx),
            }
        }
        self.poll_flush_transport(cx)
    }

    /// Writes until the queue has become shorter.
    pub(super) fn poll_write_some(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.collect() {
            return Poll::Pending;
        }
        match self.poll_write_once(cx) {
            Poll::Ready(_) => Poll::Ready(()),
            Poll::Pending => self.poll_write_deadline(cx),
        }
    }

    /// One write; false if there is nothing to write.
    pub(super) fn poll_write_once(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let Some(transport) = &mut self.transport else {
            return Poll::Ready(false);
        };
        let Self {
            connection, clock, ..
        } = self;
        let written = if let Some(frames) = connection.small_to_transmit() {
            let written = ready!(poll_write_some(transport, cx, frames));
            // When all has gone, no deadline counts from it.
            let rest = written.as_ref().is_ok_and(|n| *n < frames.len());
            let at = if rest { clock.tick() } else { clock.now() };
            written.inspect(|n| connection.small_transmitted(at, *n))
        } else {
            ready!(scratch::with_batch(|batch| {
                if !connection.poll_transmit(batch, masking_key) {
                    return Poll::Ready(Ok(0));
                }
                let written = ready!(poll_write_batch(transport, cx, batch));
                Poll::Ready(written.inspect(|n| connection.transmitted(clock.tick(), batch, *n)))
            }))
        };
        match written {
            Ok(n) => {
                if n > 0 {
                    self.taken();
                }
                Poll::Ready(n > 0)
            }
            Err(error) => {
                connection.handle_error(now(), error.kind());
                Poll::Ready(false)
            }
        }
    }

    /// Writes whole frames that are in no queue, none longer than `longest`, if nothing waits before them. What the transport does not
    /// take is to be queued at once, and [`queued_after_writing`](Self::queued_after_writing) told.
    pub(super) fn write_before_queueing(
        &mut self,
        bytes: &[u8],
        longest: usize,
    ) -> Poll<io::Result<usize>> {
        // Who waits for a flush would not be woken any more.
        let free = !self.is_corked()
            && matches!(self.room, RoomState::Nowhere | RoomState::Shut)
            && self.is_flushed()
            && self.connection.forwards(longest);
        let Some(transport) = self.transport.as_mut().filter(|_| free) else {
            return Poll::Pending;
        };
        // Who then waits for a transport that is full does so with another waker.
        let cx = &mut Context::from_waker(Waker::noop());
        let written = Pin::new(transport).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(n)) if n == bytes.len()) {
            self.taken();
        }
        written
    }

    /// Frames are queued of which this has been written already.
    #[cold]
    pub(super) fn queued_after_writing(&mut self, written: Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(0)) => self
                .connection
                .handle_error(now(), io::ErrorKind::WriteZero),
            Poll::Ready(Ok(n)) => {
                scratch::with_batch(|batch| {
                    self.connection.poll_transmit(batch, masking_key);
                    self.connection.transmitted(now(), batch, n);
                });
                self.taken();
            }
            Poll::Ready(Err(error)) => self.connection.handle_error(now(), error.kind()),
            Poll::Pending => {}
        }
    }

    /// The transport has taken something.
    pub(super) fn taken(&mut self) {
        if self
            .transport
            .as_ref()
            .is_some_and(Transport::buffers_writes)
        {
            self.unflushed = Some(now());
        }
    }

    pub(super) fn poll_flush_transport(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match (self.poll_flush_once(cx), self.unflushed) {
            (Poll::Pending, Some(since)) => self.poll_stalled(cx, since),
            _ => Poll::Ready(()),
        }
    }

    /// The same without a deadline.
    pub(super) fn poll_flush_once(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(transport) = self.transport.as_mut().filter(|_| self.unflushed.is_some()) else {
            return Poll::Ready(());
        };
        if let Err(error) = ready!(Pin::new(transport).poll_flush(cx)) {
            self.connection.handle_error(now(), error.kind());
        }
        self.unflushed = None;
        Poll::Ready(())
    }

    /// The transport has taken all and passes nothing on: waits for it, but not for ever.
    pub(super) fn poll_stalled(&mut self, cx: &mut Context<'_>, since: Instant) -> Poll<()> {
        if self.connection.state() == State::Open {
            let limit = self.connection.config().write_timeout;
            ready!(self.poll_deadline(cx, since.checked_add(limit)));
            self.connection.handle_write_stalled(now());
        } else {
            ready!(self.poll_deadline(cx, self.connection.poll_timeout()));
            self.connection.handle_timeout(now());
        }
        Poll::Ready(())
    }

    /// The transport is full: waits for it, but not for ever. `Ready` when the connection was given up.
    pub(super) fn poll_write_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.connection.state() == State::Open {
            ready!(self.poll_deadline(cx, self.connection.poll_write_timeout()));
            self.connection.handle_write_timeout(now());
        } else {
            ready!(self.poll_deadline(cx, self.connection.poll_timeout()));
            self.connection.handle_timeout(now());
        }
        Poll::Ready(())
    }
}

fn poll_write_batch(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    batch: &Batch,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let used = batch.slices(&mut slices);
    match slices.get(..used).unwrap_or_default() {
        [one] => poll_write_some(transport, cx, one),
        many => some(ready!(Pin::new(transport).poll_write_vectored(cx, many))),
    }
}

fn poll_write_some(
    transport: &mut Transport,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    some(ready!(Pin::new(transport).poll_write(cx, bytes)))
}

/// A transport that takes nothing is not asked for ever.
fn some(written: io::Result<usize>) -> Poll<io::Result<usize>> {
    Poll::Ready(match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        written => written,
    })
}

/// RFC 6455 §10.3: derived from a strong source of entropy, so that nobody can foresee it.
fn masking_key() -> MaskingKey {
    rand::random()
}
