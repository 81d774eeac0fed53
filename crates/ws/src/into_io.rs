//! A connection as a stream of bytes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use fullduplex_proto::{CloseFrame, Message, MessageKind, Utf8Bytes};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};

use crate::{driver::Driver, shared::Side, websocket::WebSocket};

impl WebSocket {
    /// The connection as a stream of bytes, for code that wants one; what is written leaves in messages of this kind.
    ///
    /// ```no_run
    /// # async fn run(ws: fullduplex::WebSocket) -> std::io::Result<()> {
    /// let (mut read, mut write) = tokio::io::split(ws.into_io(fullduplex::MessageKind::Binary));
    /// tokio::io::copy(&mut read, &mut write).await?; // an echo server
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_io(self, kind: MessageKind) -> Io {
        Io {
            ws: self,
            kind,
            rest: Bytes::new(),
            begun: Vec::new(),
        }
    }
}

/// A connection as a stream of bytes, made by [`WebSocket::into_io`].
///
/// * **Reading** goes on over the bounds of messages, of both kinds; a read with little room leaves the rest of a message for
///   the next. A clean close is the end of the file, any other end an error that holds the [`Error`](crate::Error).
/// * **Writing** makes one message of what one write passes, and takes at most [`fragment`](fullduplex_proto::Limits::fragment)
///   bytes at once (64 KiB), so that many bytes leave in as many messages. As text, a character that is cut at the end is
///   kept for the next write, and what is not UTF-8 is an error. A write of nothing sends nothing.
/// * **Flushing** writes at once, also inside [`corked`](crate::corked). Without it, what a write leaves over leaves with the next
///   operation.
/// * **Shutting down** closes with 1000, and is an error unless that was clean. WebSocket cannot end one direction
///   alone: what arrives afterwards is thrown away.
///
/// `tokio::io::split` makes two halves of it, for two tasks if need be.
#[derive(Debug)]
pub struct Io {
    ws: WebSocket,
    kind: MessageKind,
    /// What has not been read of the last message.
    rest: Bytes,
    /// The first bytes of a character that the last write cut: three at most.
    begun: Vec<u8>,
}

impl Io {
    /// The connection: who is at the other end, how it ended.
    pub fn get_ref(&self) -> &WebSocket {
        &self.ws
    }

    /// Sends the front of `bufs` as one message, and says how much of it was taken.
    fn poll_write_message(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let (kind, begun) = (self.kind, &mut self.begun);
        self.ws.handle.poll(Side::Writer, cx, |driver, cx| {
            ready!(driver.poll_room(cx))?;
            let max = driver.connection().config().limits.fragment.max(1);
            let mut payload = std::mem::take(begun);
            let kept = payload.len();
            gather(&mut payload, bufs, kept + max);
            let taken = payload.len() - kept;
            let message = match kind {
                MessageKind::Binary => Message::binary(payload),
                MessageKind::Text => {
                    *begun = cut_character(&mut payload)?;
                    Message::Text(Utf8Bytes::try_from(Bytes::from(payload)).map_err(not_utf8)?)
                }
            };
            if !message.is_empty() {
                driver.push(message.into())?;
                if let Poll::Ready(flushed) = driver.poll_flush_unless_corked(cx) {
                    flushed?;
                }
            }
            Poll::Ready(Ok(taken))
        })
    }
}

/// Appends what is in `bufs` until there are `len` bytes.
fn gather(payload: &mut Vec<u8>, bufs: &[IoSlice<'_>], len: usize) {
    for buf in bufs {
        let room = len - payload.len();
        payload.extend_from_slice(buf.get(..room).unwrap_or(buf));
    }
}

/// Takes a character off the end that is not complete.
fn cut_character(text: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    match std::str::from_utf8(text) {
        Ok(_) => Ok(Vec::new()),
        Err(error) if error.error_len().is_none() => Ok(text.split_off(error.valid_up_to())),
        Err(error) => Err(not_utf8(error)),
    }
}

fn not_utf8(error: std::str::Utf8Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl AsyncBufRead for Io {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        // An empty message is not the end.
        while this.rest.is_empty() {
            match ready!(this.ws.poll_recv(Side::Reader, cx))? {
                Some(message) => this.rest = message.into_bytes(),
                None => break,
            }
        }
        Poll::Ready(Ok(&this.rest))
    }

    fn consume(self: Pin<&mut Self>, n: usize) {
        let rest = &mut self.get_mut().rest;
        rest.advance(n.min(rest.len()));
        if rest.is_empty() {
            // Lets go of the message.
            *rest = Bytes::new();
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = ready!(self.as_mut().poll_fill_buf(cx))?;
        let rest = rest.get(..buf.remaining()).unwrap_or(rest);
        buf.put_slice(rest);
        let read = rest.len();
        self.consume(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_message(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_message(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let handle = &self.ws.handle;
        let flushed = ready!(handle.poll(Side::Writer, cx, Driver::poll_flush));
        Poll::Ready(flushed.map_err(Into::into))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::take(&mut this.begun).is_empty() {
            let cut = "the text ends inside a character";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, cut)));
        }
        let closed = ready!(this.ws.handle.poll(Side::Writer, cx, |driver, cx| {
            driver.poll_close_cleanly(cx, CloseFrame::normal())
        }));
        Poll::Ready(closed.map_err(Into::into))
    }
}
