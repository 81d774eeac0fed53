//! Memory in which both directions make what comes of their input, piece by piece.
//!
//! It is taken out of its thread-local place while in use, so that nothing is cleared and nothing grows for one message.

use std::cell::Cell;

/// Made at a time, so that a limit is looked at before more is made: a thousandfold of what arrives may come.
pub(super) const CHUNK: usize = 8 << 10;

thread_local! {
    static SHARED: Cell<Option<Box<[u8; CHUNK]>>> = const { Cell::new(None) };
}

/// Lends the chunk. What it holds is left over: look only at what was made.
pub(super) fn lend<R>(f: impl FnOnce(&mut [u8; CHUNK]) -> R) -> R {
    let mut chunk = SHARED.take().unwrap_or_else(|| Box::new([0; CHUNK]));
    let result = f(&mut chunk);
    SHARED.set(Some(chunk));
    result
}
