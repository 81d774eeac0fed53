//! One stream of an HTTP/2 connection as a stream of bytes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::io_error;

/// Most bytes taken by one write, however wide the window is: what is given to h2 is a copy.
const MAX_WRITE: usize = 64 << 10;

/// Dropped when the peer has said all, it ends its own direction; dropped before, it resets the stream with CANCEL, which
/// is what h2 does, and takes back what has not left yet.
pub(super) struct Http2Stream {
    send: SendStream<Bytes>,
    recv: RecvStream,
    /// What is left of the DATA frame last taken out of h2.
    unread: Bytes,
}

impl Http2Stream {
    pub(super) fn new(send: SendStream<Bytes>, recv: RecvStream) -> Self {
        Self {
            send,
            recv,
            unread: Bytes::new(),
        }
    }

    /// How much of so many bytes the peer's window, and h2's own buffer, have room for. More than none.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let wanted = wanted.min(MAX_WRITE);
        self.send.reserve_capacity(wanted);
        loop {
            let room = self.send.capacity().min(wanted);
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            match ready!(self.send.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }

    fn send(&mut self, data: Bytes, end: bool) -> io::Result<()> {
        self.send.send_data(data, end).map_err(io_error)
    }
}

impl Drop for Http2Stream {
    fn drop(&mut self) {
        if self.recv.is_end_stream() {
            // Fails if it has ended already, or was reset.
            self.send(Bytes::new(), true).ok();
        }
    }
}

impl AsyncRead for Http2Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(self.recv.poll_data(cx)) {
                Some(Ok(data)) => self.unread = data,
                // A server that has said all may reset what it does not want to read any more (RFC 9113 §8.1).
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => break,
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => break,
            }
        }
        let taken = self.unread.len().min(buf.remaining());
        buf.put_slice(&self.unread[..taken]);
        self.unread.advance(taken);
        // Only now may the peer send as much again: this is the backpressure.
        let released = self.recv.flow_control().release_capacity(taken);
        Poll::Ready(released.map_err(io_error))
    }
}

impl AsyncWrite for Http2Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.poll_room(cx, buf.len()))?;
        self.send(Bytes::copy_from_slice(&buf[..room]), false)?;
        Poll::Ready(Ok(room))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wanted = bufs.iter().map(|buf| buf.len()).sum();
        if wanted == 0 {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.poll_room(cx, wanted))?;
        let mut data = BytesMut::with_capacity(room);
        for buf in bufs {
            let left = room - data.len();
            data.extend_from_slice(&buf[..buf.len().min(left)]);
        }
        self.send(data.freeze(), false)?;
        Poll::Ready(Ok(room))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written is h2's to send: its task does not wait for more.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// `END_STREAM`, which is what the end of a direction of TCP is (RFC 8441 §5).
    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.send(Bytes::new(), true))
    }
}
