//! A stream of which some bytes were read too early.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::Stream;

/// Gives the early bytes first, then what the stream gives.
pub(super) struct Rewound<S> {
    early: Bytes,
    stream: S,
}

impl<S: Stream> Rewound<S> {
    pub(super) fn new(early: impl Into<Bytes>, stream: S) -> Self {
        Self {
            early: early.into(),
            stream,
        }
    }
}

impl<S: Stream> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let taken = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early[..taken]);
        self.early.advance(taken);
        if self.early.is_empty() {
            // Not even an empty piece of what they were read into is kept.
            self.early = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn p32_early_bytes_come_first_whatever_the_reads() {
        for size in 1..=12 {
            let (ours, mut theirs) = duplex(1 << 10);
            let mut stream = Rewound::new(b"early ".to_vec(), ours);
            theirs.write_all(b"late").await.unwrap();
            stream.write_all(b"back").await.unwrap();
            drop(theirs.shutdown().await);
            let mut read = Vec::new();
            let mut piece = vec![0; size];
            loop {
                match stream.read(&mut piece).await.unwrap() {
                    0 => break,
                    n => read.extend_from_slice(&piece[..n]),
                }
            }
            assert_eq!(read, b"early late", "reads of {size}");
            let mut back = [0; 4];
            theirs.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"back");
        }
    }
}
