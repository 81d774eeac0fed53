//! Messages that were taken out of a connection together, under one lock, and are received one by one without it.
//!
//! Only messages of the usual kind are (see `usual.rs` of the core), one behind the other, and only such as one read has brought: nothing
//! that has to be answered, and nothing wrong, is passed over by that.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use fullduplex_proto::Message;

use crate::{
    driver::Driver,
    error::Error,
    scratch,
    shared::{Handle, Shared, Side},
};

/// As many are taken at once: the lock is then a small part of what a message costs.
const MAX_MESSAGES: usize = 7;

/// Once there are so many bytes, no more are taken: of long messages the lock is a small part in any case.
const ENOUGH: usize = 512;

/// Whoever receives has one. It holds no memory while it is empty.
#[expect(
    clippy::box_collection,
    reason = "one word in each connection, not four"
)]
#[derive(Debug, Default)]
pub(crate) struct Inbox(Option<Box<VecDeque<Message>>>);

impl Inbox {
    /// The next message; none once the end has begun, by which what had come is thrown away.
    #[inline]
    pub(crate) fn pop(&mut self, connection: &Shared) -> Option<Message> {
        let messages = self.0.as_mut()?;
        if connection.is_ending() {
            self.clear();
            return None;
        }
        let message = messages.pop_front();
        if messages.is_empty() {
            self.clear();
        }
        message
    }

    fn clear(&mut self) {
        if let Some(mut messages) = self.0.take() {
            messages.clear();
            scratch::put_messages(messages);
        }
    }

    /// Fills it with what the connection has already.
    fn fill(&mut self, driver: &mut Driver) {
        let mut messages = scratch::take_messages();
        driver.take_messages(&mut messages, MAX_MESSAGES, ENOUGH);
        if messages.is_empty() {
            scratch::put_messages(messages);
        } else {
            self.0 = Some(messages);
        }
    }

    /// The next message, or the end. If the connection had to be asked and had one, `received` is called under its lock.
    #[inline]
    pub(crate) fn poll_message(
        &mut self,
        handle: &Handle,
        side: Side,
        cx: &mut Context<'_>,
        received: impl FnOnce(&mut Driver),
    ) -> Poll<Result<Option<Message>, Error>> {
        match self.pop(&handle.shared) {
            Some(message) => Poll::Ready(Ok(Some(message))),
            None => self.poll_connection(handle, side, cx, received),
        }
    }

    // Apart, so that what is usual stays small enough to become part of what calls it.
    #[inline(never)]
    fn poll_connection(
        &mut self,
        handle: &Handle,
        side: Side,
        cx: &mut Context<'_>,
        received: impl FnOnce(&mut Driver),
    ) -> Poll<Result<Option<Message>, Error>> {
        handle.poll(side, cx, |driver, cx| {
            let polled = driver.poll_message(cx);
            if let Poll::Ready(Ok(Some(_))) = polled {
                if driver.has_messages() {
                    self.fill(driver);
                }
                received(driver);
            }
            polled
        })
    }
}
