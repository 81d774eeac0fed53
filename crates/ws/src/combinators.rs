//! `Stream` and `Sink`, for the combinators of the futures crates. The inherent methods say more and need no import.
//!
//! No feature stands before them: tokio-util needs both traits, so they are compiled anyway.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use fullduplex_proto::{CloseFrame, Message};
use futures_core::Stream;
use futures_sink::Sink;

use crate::{
    driver::Driver,
    error::Error,
    shared::{Handle, Side},
    split::{ReadHalf, WriteHalf},
    websocket::WebSocket,
};

/// The messages, as [`WebSocket::recv`] returns them. It ends with a clean close; after an error, which it yields once, it
/// ends as well.
impl Stream for WebSocket {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let received = ready!(this.poll_recv(Side::Reader, cx));
        Poll::Ready(item(&this.handle, received))
    }
}

/// As of [`WebSocket`].
impl Stream for ReadHalf {
    type Item = Result<Message, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let received = ready!(this.poll_recv(cx));
        Poll::Ready(item(&this.handle, received))
    }
}

/// Takes messages while fewer than [`soft_queue`](fullduplex_proto::Limits::soft_queue) bytes are queued. Flushing writes at
/// once, also inside [`corked`](crate::corked). Closing is [`WebSocket::close`] with 1000, and an error unless it was clean.
///
/// Only messages, not all that can be [sent](crate::Outgoing): with one kind of item, `flush` and `close` need no type.
impl Sink<Message> for WebSocket {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        poll_ready(&self.handle, cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        start_send(&self.handle, message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        poll_flush(&self.handle, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let this = self.get_mut();
        poll_close(&this.handle, cx)
    }
}

/// As of [`WebSocket`].
impl Sink<Message> for WriteHalf {
    type Error = Error;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        poll_ready(&self.handle, cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Error> {
        start_send(&self.handle, message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        poll_flush(&self.handle, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        poll_close(&self.handle, cx)
    }
}

// The whole does as the halves do, for `StreamExt::split` makes two tasks of it, too.

/// The error comes once, then the end.
fn item(
    handle: &Handle,
    received: Result<Option<Message>, Error>,
) -> Option<Result<Message, Error>> {
    let again = received.is_err() && handle.with(Driver::was_told);
    received.transpose().filter(|_| !again)
}

fn poll_ready(handle: &Handle, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
    handle.poll(Side::Writer, cx, Driver::poll_room)
}

fn start_send(handle: &Handle, message: Message) -> Result<(), Error> {
    handle.with(|driver| driver.push(message.into()))
}

fn poll_flush(handle: &Handle, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
    handle.poll(Side::Writer, cx, Driver::poll_flush)
}

fn poll_close(handle: &Handle, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
    handle.poll(Side::Writer, cx, |driver, cx| {
        driver.poll_close_cleanly(cx, CloseFrame::normal())
    })
}
