//! Buffers that all connections of a thread share, so that an idle one owns none.
//!
//! Each is taken out of its thread-local place while in use and put back afterwards, never borrowed: a connection whose
//! transport is itself a connection finds the place empty and gets a buffer of its own for the moment.

use std::cell::Cell;

use bytes::BytesMut;
use fullduplex_proto::Batch;

/// Bytes that one read can bring: a fragment of the default size, its header, and room by whose being left the transport is seen
/// to have no more.
const READ_SIZE: usize = 65 << 10;

/// Room that is kept for small messages from one poll to the next: what one batch of them takes, and the last one.
const MAX_ROOM: usize = 128 << 10;

thread_local! {
    static READ: Cell<Option<BytesMut>> = const { Cell::new(None) };
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static BATCH: Cell<Option<Box<Batch>>> = const { Cell::new(None) };
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

/// Room in which a connection frames small messages during one poll.
pub(crate) fn take_room() -> Vec<u8> {
    ROOM.take()
}

/// Puts it back; or not, if it has grown too large, or was never taken.
pub(crate) fn put_room(room: Vec<u8>) {
    if (1..=MAX_ROOM).contains(&room.capacity()) {
        ROOM.set(room);
    }
}

/// Lends the batch in which frames are written. It comes and goes empty.
pub(crate) fn with_batch<R>(f: impl FnOnce(&mut Batch) -> R) -> R {
    let mut batch = BATCH.take().unwrap_or_default();
    let result = f(&mut batch);
    batch.clear();
    BATCH.set(Some(batch));
    result
}
