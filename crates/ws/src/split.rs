//! The two halves of a connection. Neither holds a lock while it waits, and either keeps both directions going.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    task::{Context, Poll},
};

use bytes::Bytes;
use fullduplex_proto::{CloseFrame, Message, MessageKind, Outcome, Outgoing};

use crate::{
    error::Error,
    event::Event,
    inbox::Inbox,
    ping::Pong,
    reader::MessageReader,
    shared::{Handle, Side},
    websocket::{self, WebSocket},
    writer::MessageWriter,
};

/// The receiving half. While it waits it answers pings and writes what is queued, as [`WebSocket::recv`] does.
#[derive(Debug)]
pub struct ReadHalf {
    pub(crate) handle: Handle,
    pub(crate) inbox: Inbox,
}

impl ReadHalf {
    pub(crate) fn poll_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        let Self { handle, inbox } = self;
        inbox.poll_message(handle, Side::Reader, cx, |_| ())
    }

    /// Receives the next message. See [`WebSocket::recv`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Message>, Error>> + Send {
        poll_fn(|cx| self.poll_recv(cx))
    }

    /// Receives the next event: a message, or a control frame that [`recv`](Self::recv) passes over. Pings are answered and the
    /// Close is handled all the same; `None` once the connection has been closed cleanly.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: what was read stays in the connection.
    pub fn recv_event(&mut self) -> impl Future<Output = Result<Option<Event>, Error>> + Send {
        websocket::recv_event(&self.handle, &mut self.inbox, Side::Reader)
    }

    /// Receives the next message as it arrives, for messages of any size; `None` once the connection has been closed cleanly.
    ///
    /// ```no_run
    /// # async fn run(mut read: fullduplex::ReadHalf) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut file = tokio::io::sink();
    /// if let Some(mut message) = read.recv_stream().await? {
    ///     tokio::io::copy(&mut message, &mut file).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: what was read stays in the connection.
    pub fn recv_stream(
        &mut self,
    ) -> impl Future<Output = Result<Option<MessageReader<'_>>, Error>> + Send {
        poll_fn(|cx| MessageReader::poll_open(&self.handle, &mut self.inbox, Side::Reader, cx))
    }

    /// Joins the halves again; gives them back if they are not of one connection.
    ///
    /// # Errors
    ///
    /// Both halves, unchanged.
    pub fn reunite(self, write: WriteHalf) -> Result<WebSocket, (Self, WriteHalf)> {
        if std::sync::Arc::ptr_eq(&self.handle.shared, &write.handle.shared) {
            Ok(WebSocket::with(self.handle, self.inbox))
        } else {
            Err((self, write))
        }
    }
}

/// The sending half.
#[derive(Debug)]
pub struct WriteHalf {
    pub(crate) handle: Handle,
}

impl WriteHalf {
    /// Sends a message. See [`WebSocket::send`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    ///
    /// All or nothing, as [`WebSocket::send`].
    pub fn send(
        &mut self,
        message: impl Into<Outgoing>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        websocket::send(&self.handle, Side::Writer, message.into())
    }

    /// Sends messages in as few writes as they have room in. See [`WebSocket::send_many`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_many`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe, as [`WebSocket::send_many`].
    pub fn send_many(
        &mut self,
        messages: &mut VecDeque<Outgoing>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        websocket::send_many(&self.handle, Side::Writer, messages)
    }

    /// Queues a message without writing it. See [`WebSocket::feed`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`].
    ///
    /// # Cancel safety
    ///
    /// All or nothing, as [`WebSocket::send`].
    pub fn feed(
        &mut self,
        message: impl Into<Outgoing>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        websocket::feed(&self.handle, Side::Writer, message.into())
    }

    /// Writes until nothing is queued. See [`WebSocket::flush`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub fn flush(&mut self) -> impl Future<Output = Result<(), Error>> + Send {
        websocket::flush(&self.handle, Side::Writer)
    }

    /// Begins a message that is sent as it is made, for messages of any size. Nothing leaves before its first part.
    pub fn send_stream(&mut self, kind: MessageKind) -> MessageWriter<'_> {
        MessageWriter::new(&self.handle, Side::Writer, kind)
    }

    /// Sends a ping with up to 125 bytes, and returns what waits for its [pong](Pong). The round trip shows in
    /// [`latency`](Self::latency), too.
    ///
    /// # Errors
    ///
    /// [`Error::Ping`] if the payload is too long or too many pings are unanswered; else as [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`flush`](Self::flush): the ping is queued at the first poll.
    pub fn ping(
        &mut self,
        payload: impl Into<Bytes>,
    ) -> impl Future<Output = Result<Pong, Error>> + Send {
        websocket::ping(&self.handle, Side::Writer, payload.into())
    }

    /// Sends a pong that no ping asked for (RFC 6455 §5.5.3): a sign of life that wants no answer.
    ///
    /// # Errors
    ///
    /// [`Error::Ping`] if the payload is over 125 bytes or too many pongs wait to be written; else as [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`flush`](Self::flush): the pong is queued at the first poll.
    pub fn pong(
        &mut self,
        payload: impl Into<Bytes>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        websocket::pong(&self.handle, Side::Writer, payload.into())
    }

    /// Closes, reading as well until the peer's Close has come. See [`WebSocket::close`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the Close is queued at the first poll; call it again to go on waiting.
    pub fn close(&mut self, frame: CloseFrame) -> impl Future<Output = Outcome> + Send {
        websocket::close(&self.handle, Side::Writer, frame)
    }
}
