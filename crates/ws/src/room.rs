//! Room in which a handler frames what it sends without its connection's lock.
//!
//! While a thread polls a corked handler, the thread's room is that handler's connection's. It is open for small messages once the whole
//! connection has received something, under its lock, and nothing is queued before which they would have to stand. Whatever else the
//! connection is used for takes what is in the room along, and shuts it; where that is on another thread, or in a handler that is polled within
//! this one, the room is [spoilt](crate::shared::Shared::spoilt) instead: what is in it is handed over at the end of the poll, before all that was
//! queued meanwhile. Only then do limits count it where it is not seen; till then it is bounded by what the soft limit left when it was opened.

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

/// A handler that has the thread's room. Dropped, also by a panic, the room is again what it was before.
#[derive(Debug)]
pub(crate) struct Entered {
    /// That of the handler within which this one is polled.
    outer: Option<Box<Open>>,
    /// Its own, once it has [left](Self::leave).
    own: Option<Box<Open>>,
}

/// Makes the thread's room, empty and shut, that of this connection.
#[inline]
pub(crate) fn enter(key: Key) -> Entered {
    let mut open = OPEN.take().unwrap_or_default();
    let mut outer = None;
    if open.of.is_some() {
        outer = Some(std::mem::take(&mut open));
    }
    open.of = Some(key);
    // Whatever became of the one before: nothing of its goes to this one.
    open.room.clear();
    open.room.shut();
    OPEN.set(Some(open));
    Entered { outer, own: None }
}

impl Entered {
    /// Takes the room from the connection, and gives it out.
    #[inline]
    pub(crate) fn leave(&mut self) -> &mut Room {
        let open = self.own.insert(OPEN.take().unwrap_or_default());
        open.of = None;
        &mut open.room
    }
}

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        if self.outer.is_some() {
            OPEN.set(self.outer.take());
        } else if !std::thread::panicking() {
            keep(self.own.take());
        }
    }
}

/// Lends the room's memory, where no handler is polled.
pub(crate) fn with_memory<R>(f: impl FnOnce(&mut Room) -> R) -> R {
    let open = OPEN.take().unwrap_or_default();
    if open.of.is_some() {
        OPEN.set(Some(open));
        return f(&mut Room::default());
    }
    let mut open = open;
    let result = f(&mut open.room);
    keep(Some(open));
    result
}

/// Puts it back for the next one, unless it has grown too large.
#[inline]
fn keep(open: Option<Box<Open>>) {
    OPEN.set(open.filter(|open| open.room.capacity() <= MAX_KEPT));
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
