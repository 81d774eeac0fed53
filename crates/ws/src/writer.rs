//! Sending a message as it is made, of whatever size.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use fullduplex_proto::MessageKind;
use tokio::io::AsyncWrite;

use crate::{
    driver::Driver,
    error::Error,
    shared::{Handle, Side},
};

/// One message, written part by part: from [`send_stream`](crate::WebSocket::send_stream).
///
/// As [`AsyncWrite`] it gathers what is written and sends it in fragments of [`fragment`](fullduplex_proto::Limits::fragment) bytes; `shutdown` ends the
/// message, and `flush` sends what there is. Control frames go in between.
///
/// Dropped before [`finish`](Self::finish) or `shutdown`, when parts have been sent: the connection is closed with 1011, since
/// half a message must neither pass for one nor block what comes after it. If none have, it is as if it had not been.
#[derive(Debug)]
pub struct MessageWriter<'a> {
    handle: &'a Handle,
    side: Side,
    kind: MessageKind,
    /// What is gathered for the next fragment.
    gathered: BytesMut,
    /// A part that waits for room in the queue, and whether it is the last.
    part: Option<Bytes>,
    /// How long a fragment becomes.
    fragment: usize,
    finished: bool,
}

impl<'a> MessageWriter<'a> {
    pub(crate) fn new(handle: &'a Handle, side: Side, kind: MessageKind) -> Self {
        let fragment = handle.shared.lock().connection().config().limits.fragment;
        Self {
            handle,
            side,
            kind,
            gathered: BytesMut::new(),
            part: None,
            fragment: fragment.max(1),
            finished: false,
        }
    }

    /// Sends the next part of the message, without gathering or copying it.
    ///
    /// # Errors
    ///
    /// As [`send`](crate::WebSocket::send), [`Error::NotUtf8`], and [`Error::Finished`] after `shutdown`.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: dropped before it is done, the part may have been sent or not. The message goes on either way.
    pub async fn write(&mut self, part: impl Into<Bytes>) -> Result<(), Error> {
        let mut part = Some(part.into());
        poll_fn(|cx| {
            if self.finished {
                return Poll::Ready(Err(Error::Finished));
            }
            ready!(self.poll_gathered(cx))?;
            if part.as_ref().is_some_and(|part| !part.is_empty()) {
                ready!(self.poll_part(cx, &mut part, false))?;
            }
            self.poll_driver(cx, Driver::poll_flush_unless_corked)
        })
        .await
    }

    /// Ends the message, and writes until the transport has taken all of it.
    ///
    /// # Errors
    ///
    /// As [`send`](crate::WebSocket::send), and [`Error::NotUtf8`] for a text that ends within a character.
    ///
    /// # Cancel safety
    ///
    /// Dropping it before it is done abandons the message.
    pub async fn finish(mut self) -> Result<(), Error> {
        poll_fn(|cx| {
            ready!(self.poll_last(cx))?;
            self.poll_driver(cx, Driver::poll_flush_unless_corked)
        })
        .await
    }

    fn poll_driver<R>(
        &self,
        cx: &mut Context<'_>,
        f: impl FnOnce(&mut Driver, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        self.handle.poll(self.side, cx, f)
    }

    fn poll_part(
        &self,
        cx: &mut Context<'_>,
        part: &mut Option<Bytes>,
        fin: bool,
    ) -> Poll<Result<(), Error>> {
        self.poll_driver(cx, |driver, cx| {
            driver.poll_send_part(cx, self.kind, part, fin)
        })
    }

    /// Sends what was gathered.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.part.is_none() && !self.gathered.is_empty() {
            self.part = Some(self.gathered.split().freeze());
        }
        let mut part = self.part.take();
        let sent = self.poll_part(cx, &mut part, false);
        self.part = part;
        sent
    }

    /// Sends what was gathered as the last part.
    fn poll_last(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        let mut part = Some(match self.part.take() {
            Some(part) if self.gathered.is_empty() => part,
            Some(part) => {
                self.part = Some(part);
                ready!(self.poll_gathered(cx))?;
                self.gathered.split().freeze()
            }
            None => self.gathered.split().freeze(),
        });
        let sent = self.poll_part(cx, &mut part, true);
        self.part = part;
        ready!(sent)?;
        self.finished = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for MessageWriter<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.handle.with(Driver::abandon_parts);
        }
    }
}

impl AsyncWrite for MessageWriter<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.finished {
            return Poll::Ready(Err(Error::Finished.into()));
        }
        // Twice if an earlier part still waits, of a flush that was dropped.
        while self.gathered.len() >= self.fragment {
            ready!(self.poll_gathered(cx))?;
        }
        let n = buf.len().min(self.fragment - self.gathered.len());
        self.gathered
            .extend_from_slice(buf.get(..n).unwrap_or_default());
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_gathered(cx))?;
        self.poll_driver(cx, Driver::poll_flush).map_err(Into::into)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_last(cx))?;
        self.poll_driver(cx, Driver::poll_flush).map_err(Into::into)
    }
}
