//! Receiving a message as it arrives, of whatever size.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use fullduplex_proto::{Message, MessageKind};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use crate::{
    error::Error,
    inbox::Inbox,
    shared::{Handle, Side},
};

/// A part of a message, as the protocol hands it out.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) kind: MessageKind,
    pub(crate) payload: Bytes,
    pub(crate) fin: bool,
}

impl Part {
    /// All of a message.
    fn whole(message: Message) -> Self {
        Self {
            kind: message.kind(),
            payload: message.into_bytes(),
            fin: true,
        }
    }
}

/// One message, read while it arrives: from [`recv_stream`](crate::WebSocket::recv_stream).
///
/// It holds what one read has brought, at most 65 KiB, or a little more of a compressed message. [`Limits`](fullduplex_proto::Limits) on sizes and
/// fragments, and the message timeout, do not apply: who reads decides when enough is enough. Dropped before the end, it
/// leaves the rest to be thrown away by the next operation that receives.
///
/// As [`AsyncRead`] its end is that of the message, and a connection that ends within the message is an error.
#[derive(Debug)]
pub struct MessageReader<'a> {
    handle: &'a Handle,
    side: Side,
    kind: MessageKind,
    chunk: Bytes,
    fin: bool,
}

impl<'a> MessageReader<'a> {
    /// The next message, once its first part is here.
    pub(crate) fn poll_open(
        handle: &'a Handle,
        inbox: &mut Inbox,
        side: Side,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Self>, Error>> {
        let first = match inbox.pop(&handle.shared) {
            Some(message) => Some(Part::whole(message)),
            None => ready!(handle.poll(side, cx, |driver, cx| driver.poll_part(cx, false)))?,
        };
        Poll::Ready(Ok(first.map(|part| Self {
            handle,
            side,
            kind: part.kind,
            chunk: part.payload,
            fin: part.fin,
        })))
    }

    /// What the message is made of.
    pub fn kind(&self) -> MessageKind {
        self.kind
    }

    /// The next bytes of the message, as they came; `None` at its end. Text may be cut within a character, and is valid
    /// UTF-8 as a whole.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] if the connection ended before the message did, cleanly or not.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        poll_fn(|cx| {
            ready!(self.poll_fill(cx))?;
            let chunk = std::mem::take(&mut self.chunk);
            Poll::Ready(Ok(if chunk.is_empty() { None } else { Some(chunk) }))
        })
        .await
    }

    /// Waits until there are bytes, or the message is over.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        while self.chunk.is_empty() && !self.fin {
            let part = ready!(
                self.handle
                    .poll(self.side, cx, |driver, cx| driver.poll_part(cx, true))
            )?;
            let Some(part) = part else {
                break;
            };
            self.chunk = part.payload;
            self.fin = part.fin;
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for MessageReader<'_> {
    fn drop(&mut self) {
        self.handle.shared.lock().deliver_parts(false);
    }
}

impl AsyncRead for MessageReader<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_fill(cx))?;
        let n = self.chunk.len().min(buf.remaining());
        buf.put_slice(&self.chunk.split_to(n));
        Poll::Ready(Ok(()))
    }
}

impl AsyncBufRead for MessageReader<'_> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_fill(cx))?;
        Poll::Ready(Ok(&this.chunk))
    }

    fn consume(mut self: Pin<&mut Self>, n: usize) {
        let n = n.min(self.chunk.len());
        self.chunk.advance(n);
    }
}
