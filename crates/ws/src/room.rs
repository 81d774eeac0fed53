//! Room in which a handler frames what it sends without its connection's lock.
//!
//! While a thread polls a corked handler, the thread's room is that handler's connection's. It is open for small messages once the whole
//! connection has received something, under its lock, and nothing is queued before which they would have to stand. Whatever else the
//! connection is used for takes what is in the room along, and shuts it; where that is on another thread, or in a handler that is polled within
//! this one, the room is [spoilt](crate::shared::Shared::spoilt) instead: what is in it is handed over at the end of the poll, before all that was
//! queued meanwhile.

use std::cell::Cell;

use fullduplex_proto::{Outgoing, Room};

use crate::{driver::Driver, shared::Shared};

/// Memory that is kept from one poll to the next: what one batch of small messages takes, and the last one.
const MAX_KEPT: usize = 128 << 10;

/// Tells the connections apart whose handlers a thread polls, one within the other: where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(usize);

impl Key {
    #[inline]
    pub(crate) fn of(connection: *const Driver) -> Self {
        Self(connection.addr())
    }
}

/// The room of a thread, and whose it is.
#[derive(Debug, Default)]
pub(crate) struct Open {
    of: Option<Key>,
    pub(crate) room: Room,
}

thread_local! {
    /// Taken out while in use and put back afterwards, never borrowed.
    static OPEN: Cell<Option<Box<Open>>> = const { Cell::new(None) };
}

/// The room of a handler within which another one is polled.
#[derive(Debug)]
pub(crate) struct Outer(Option<Box<Open>>);

/// Makes the thread's room, empty and shut, that of this connection.
#[inline]
pub(crate) fn enter(key: Key) -> Outer {
    let mut open = OPEN.take().unwrap_or_default();
    let mut outer = None;
    if open.of.is_some() {
        outer = Some(std::mem::take(&mut open));
    }
    open.of = Some(key);
    open.room.shut();
    OPEN.set(Some(open));
    Outer(outer)
}

/// Takes the room from the connection, and gives it out.
#[expect(
    clippy::unnecessary_box_returns,
    reason = "a place that moves with one word"
)]
#[inline]
pub(crate) fn leave() -> Box<Open> {
    let mut open = OPEN.take().unwrap_or_default();
    open.of = None;
    open
}

/// Makes the thread's room again what it was before.
#[inline]
pub(crate) fn put_back(outer: Outer, open: Box<Open>) {
    if outer.0.is_some() {
        OPEN.set(outer.0);
    } else if open.room.capacity() <= MAX_KEPT {
        OPEN.set(Some(open));
    }
}

/// Lends the room's memory, where no handler is polled.
pub(crate) fn with_memory<R>(f: impl FnOnce(&mut Room) -> R) -> R {
    let mut open = OPEN.take().unwrap_or_default();
    let mut other = Room::default();
    let inside = open.of.is_some();
    let result = f(if inside { &mut other } else { &mut open.room });
    OPEN.set(Some(open));
    result
}

/// Uses the room, if it is that of this connection.
#[inline]
pub(crate) fn with<R>(key: Key, f: impl FnOnce(&mut Room) -> R) -> Option<R> {
    let mut open = OPEN.take()?;
    let result = (open.of == Some(key)).then(|| f(&mut open.room));
    OPEN.set(Some(open));
    result
}

/// Frames a message, if the connection's room is here, open, and not spoilt.
#[inline]
pub(crate) fn push(connection: &Shared, slot: &mut Option<Outgoing>) -> bool {
    let Some(outgoing) = &*slot else {
        return false;
    };
    let push = |room: &mut Room| !connection.is_spoilt() && room.push(outgoing);
    let pushed = with(connection.key(), push) == Some(true);
    if pushed {
        *slot = None;
    }
    pushed
}
