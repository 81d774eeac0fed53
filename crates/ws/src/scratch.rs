//! Buffers that all connections of a thread share, so that an idle one owns none.
//!
//! Each is taken out of its thread-local place while in use and put back afterwards, never borrowed: a connection whose
//! transport is itself a connection finds the place empty and gets a buffer of its own for the moment.

use std::{cell::Cell, collections::VecDeque};

use bytes::BytesMut;
use fullduplex_proto::{Batch, Message};

/// Bytes that one read can bring: a fragment of the default size, its header, and room by whose being left the transport is seen
/// to have no more.
const READ_SIZE: usize = 65 << 10;

thread_local! {
    static READ: Cell<Option<BytesMut>> = const { Cell::new(None) };
    static BATCH: Cell<Option<Box<Batch>>> = const { Cell::new(None) };
    #[expect(clippy::box_collection, reason = "as an inbox holds it")]
    static MESSAGES: Cell<Option<Box<VecDeque<Message>>>> = const { Cell::new(None) };
}

/// Lends the read buffer, empty. What was taken out of it and is still held keeps its memory; then there is a new one.
pub(crate) fn with_read<R>(f: impl FnOnce(&mut BytesMut) -> R) -> R {
    let mut buffer = READ.take().unwrap_or_default();
    buffer.clear();
    if !buffer.try_reclaim(READ_SIZE) {
        buffer = BytesMut::with_capacity(READ_SIZE);
    }
    let result = f(&mut buffer);
    READ.set(Some(buffer));
    result
}

/// Lends the batch in which frames are written. It comes and goes empty.
pub(crate) fn with_batch<R>(f: impl FnOnce(&mut Batch) -> R) -> R {
    let mut batch = BATCH.take().unwrap_or_default();
    let result = f(&mut batch);
    batch.clear();
    BATCH.set(Some(batch));
    result
}

/// An empty queue for messages that were received.
#[expect(
    clippy::box_collection,
    clippy::unnecessary_box_returns,
    reason = "as an inbox holds it"
)]
pub(crate) fn take_messages() -> Box<VecDeque<Message>> {
    MESSAGES.take().unwrap_or_default()
}

/// Puts it back, empty.
#[expect(clippy::box_collection, reason = "as an inbox holds it")]
pub(crate) fn put_messages(messages: Box<VecDeque<Message>>) {
    MESSAGES.set(Some(messages));
}
