//! An open connection, whole.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use fullduplex_proto::{CloseFrame, Message, MessageKind, Outcome, Outgoing};

use crate::{
    bundle::{Bundle, Forwarded},
    driver::Driver,
    error::Error,
    event::Event,
    inbox::Inbox,
    info::Info,
    ping::Pong,
    rate::RateLimit,
    reader::MessageReader,
    room,
    shared::{Handle, Side},
    split::{ReadHalf, WriteHalf},
    writer::MessageWriter,
};

/// An open WebSocket connection, as client or as server.
///
/// Pings are answered, keepalive pings sent and deadlines kept while [`recv`](Self::recv) is being awaited; so
/// receive, even if no message is expected. Dropping it closes the transport at once, without a Close; use
/// [`close`](Self::close) to part in good order. It needs a tokio runtime with time and I/O enabled.
#[derive(Debug)]
pub struct WebSocket {
    pub(crate) handle: Handle,
    pub(crate) inbox: Inbox,
}

impl WebSocket {
    pub(crate) fn new(driver: Driver, info: Info) -> Self {
        Self::with(Handle::new(driver, info), Inbox::default())
    }

    pub(crate) fn with(handle: Handle, inbox: Inbox) -> Self {
        Self { handle, inbox }
    }

    pub(crate) fn poll_recv(
        &mut self,
        side: Side,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        self.inbox
            .poll_message(&self.handle, side, cx, Driver::open_room)
    }

    /// Receives the next message; `None` once the connection has been closed cleanly, by either side.
    ///
    /// While it waits, whatever is queued is written too.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] if the connection ended in any other way; its [`Outcome`] says how. Asked again, it says the same.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: what was read stays in the connection.
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<Message>, Error>> + Send {
        poll_fn(|cx| self.poll_recv(Side::Whole, cx))
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
        recv_event(&self.handle, &mut self.inbox, Side::Whole)
    }

    /// Receives the next message as it arrives, for messages of any size; `None` once the connection has been closed cleanly.
    ///
    /// ```no_run
    /// # async fn run(mut ws: fullduplex::WebSocket) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut file = tokio::io::sink();
    /// if let Some(mut message) = ws.recv_stream().await? {
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
        poll_fn(|cx| MessageReader::poll_open(&self.handle, &mut self.inbox, Side::Whole, cx))
    }

    /// Sends a message: queues it and writes until the transport has taken all. Inside [`corked`](crate::corked), and so
    /// in a [`Server`](crate::Server)'s handlers, the writing is left to the end of the poll.
    ///
    /// # Errors
    ///
    /// [`Error::Closing`] or [`Error::Ended`] if nothing can be sent any more.
    ///
    /// # Cancel safety
    ///
    /// All or nothing: dropped before there was room in the queue, the message is dropped with it; dropped later, the
    /// message is queued and leaves with the next operation. Never is half a message sent.
    pub fn send(
        &mut self,
        message: impl Into<Outgoing>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        send(&self.handle, Side::Whole, message.into())
    }

    /// Sends messages, the first one first, in as few writes as they have room in. They are taken out of `messages`, whose memory
    /// can be used again.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send). The messages that were not queued are still there, but for the one that was refused.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: what was taken out of `messages` is queued and leaves with the next operation; what is still in it was not
    /// sent. Call it again to go on.
    pub fn send_many(
        &mut self,
        messages: &mut VecDeque<Outgoing>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        send_many(&self.handle, Side::Whole, messages)
    }

    /// Sends messages that many connections get: with one write at once, from the memory that all share, or not at all. It
    /// never waits.
    pub fn forward(&mut self, bundle: &Bundle) -> Forwarded {
        self.handle.with(|driver| driver.forward(bundle))
    }

    /// Queues a message without writing it; waits only while more than
    /// [`soft_queue`](fullduplex_proto::Limits::soft_queue) bytes are queued. It leaves with the next
    /// [`flush`](Self::flush), [`send`](Self::send) or [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub fn feed(
        &mut self,
        message: impl Into<Outgoing>,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        feed(&self.handle, Side::Whole, message.into())
    }

    /// Writes until nothing is queued, at once even inside [`corked`](crate::corked).
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] if the connection ended before all was written.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: call it again to go on.
    pub fn flush(&mut self) -> impl Future<Output = Result<(), Error>> + Send {
        flush(&self.handle, Side::Whole)
    }

    /// Begins a message that is sent as it is made, for messages of any size. Nothing leaves before its first part.
    pub fn send_stream(&mut self, kind: MessageKind) -> MessageWriter<'_> {
        MessageWriter::new(&self.handle, Side::Whole, kind)
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
        ping(&self.handle, Side::Whole, payload.into())
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
        pong(&self.handle, Side::Whole, payload.into())
    }

    /// Closes: what is queued leaves, then a Close, then the peer's is awaited, for at most
    /// [`close_timeout`](fullduplex_proto::Config::close_timeout). Messages that still arrive are thrown away, as browsers do.
    /// If the end has begun already, only waits for it.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the Close is queued at the first poll; call it again to go on waiting.
    pub fn close(&mut self, frame: CloseFrame) -> impl Future<Output = Outcome> + Send {
        close(&self.handle, Side::Whole, frame)
    }

    /// Two halves, for two tasks or for one `select!`.
    pub fn split(self) -> (ReadHalf, WriteHalf) {
        self.handle.with(Driver::collect);
        let read = ReadHalf {
            handle: self.handle.clone(),
            inbox: self.inbox,
        };
        (
            read,
            WriteHalf {
                handle: self.handle,
            },
        )
    }

    /// From now on the peer may send no more than this, whatever was set before; for limits that depend on who it is. What has come
    /// along with the last message received is not counted.
    pub fn limit_rate(&mut self, limit: RateLimit) {
        self.handle.shared.lock().limit_rate(limit);
    }

    /// With the limit of those who accepted it, if they set one.
    pub(crate) fn limited(mut self, limit: Option<RateLimit>) -> Self {
        if let Some(limit) = limit {
            self.limit_rate(limit);
        }
        self
    }

    /// How often the [rate limit](Self::limit_rate) was met: waits, or messages thrown away.
    pub fn rate_limited(&self) -> u64 {
        self.handle.shared.lock().rate_limited()
    }
}

// What the whole and its halves do alike. Plain functions that return futures: an async one would hold the message, and
// every other argument, once for each layer.

pub(crate) fn send(
    handle: &Handle,
    side: Side,
    message: Outgoing,
) -> impl Future<Output = Result<(), Error>> {
    let mut slot = Some(message);
    poll_fn(move |cx| {
        if room::push(&handle.shared, &mut slot) {
            return Poll::Ready(Ok(()));
        }
        handle.poll(side, cx, |driver, cx| driver.poll_send(cx, &mut slot))
    })
}

pub(crate) fn send_many(
    handle: &Handle,
    side: Side,
    messages: &mut VecDeque<Outgoing>,
) -> impl Future<Output = Result<(), Error>> {
    poll_fn(move |cx| handle.poll(side, cx, |driver, cx| driver.poll_send_many(cx, messages)))
}

pub(crate) fn feed(
    handle: &Handle,
    side: Side,
    message: Outgoing,
) -> impl Future<Output = Result<(), Error>> {
    let mut slot = Some(message);
    poll_fn(move |cx| handle.poll(side, cx, |driver, cx| driver.poll_feed(cx, &mut slot)))
}

pub(crate) fn flush(handle: &Handle, side: Side) -> impl Future<Output = Result<(), Error>> {
    poll_fn(move |cx| handle.poll(side, cx, Driver::poll_flush))
}

pub(crate) fn ping(
    handle: &Handle,
    side: Side,
    payload: Bytes,
) -> impl Future<Output = Result<Pong, Error>> {
    let mut slot = Some(payload);
    let mut waiting = None;
    poll_fn(move |cx| {
        ready!(handle.poll(side, cx, |driver, cx| driver.poll_ping(
            cx,
            &mut slot,
            &mut waiting
        )))?;
        Poll::Ready(match waiting.take() {
            Some(receiver) => Ok(Pong {
                receiver,
                connection: Arc::downgrade(&handle.shared),
            }),
            None => Err(Error::Closing),
        })
    })
}

pub(crate) fn pong(
    handle: &Handle,
    side: Side,
    payload: Bytes,
) -> impl Future<Output = Result<(), Error>> {
    let mut slot = Some(payload);
    poll_fn(move |cx| handle.poll(side, cx, |driver, cx| driver.poll_pong(cx, &mut slot)))
}

pub(crate) fn recv_event(
    handle: &Handle,
    inbox: &mut Inbox,
    side: Side,
) -> impl Future<Output = Result<Option<Event>, Error>> {
    poll_fn(move |cx| {
        if let Some(message) = inbox.pop(&handle.shared) {
            return Poll::Ready(Ok(Some(Event::Message(message))));
        }
        loop {
            let event = ready!(handle.poll(side, cx, Driver::poll_event))?;
            match event.map(Event::new) {
                Some(Some(event)) => return Poll::Ready(Ok(Some(event))),
                Some(None) => {}
                None => return Poll::Ready(Ok(None)),
            }
        }
    })
}

pub(crate) fn close(
    handle: &Handle,
    side: Side,
    frame: CloseFrame,
) -> impl Future<Output = Outcome> {
    let mut slot = Some(frame);
    poll_fn(move |cx| handle.poll(side, cx, |driver, cx| driver.poll_close(cx, &mut slot)))
}
