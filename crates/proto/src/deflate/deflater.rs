//! Compressing what is sent (RFC 7692 §7.2.1).

use std::{cell::Cell, time::Instant};

use bytes::Bytes;
use zlib_rs::{Deflate as Zlib, DeflateConfig, DeflateFlush};

use super::{DeflateParams, IDLE, MAX_WINDOW_BITS, MIN_WINDOW_BITS, TAIL, chunk};
use crate::role::Role;

/// zlib's measure for the symbols of one block, which it clears before each: 4,096 here, in 12 KiB. With its default, 8, they are 16,384 in
/// 48 KiB. A message of 1 KiB then takes half a microsecond longer, and one of 1 MiB gets shorter by 0.4 % at most.
const MEM_LEVEL: i32 = 6;

/// What zlib takes for a compressor with the full window.
const CONTEXT: usize = 288 << 10;

thread_local! {
    /// A compressor for messages that stand for themselves: 288 KiB that all connections of a thread share.
    static SHARED: Cell<Option<Context>> = const { Cell::new(None) };
}

/// One direction of a connection that compresses what it sends.
#[derive(Debug)]
pub(crate) struct Deflater {
    kind: Kind,
    takeover: bool,
    threshold: usize,
    /// What was compressed so far, with takeover; or the message that is being compressed part by part.
    context: Option<Context>,
    /// When it was last used.
    used: Option<Instant>,
}

impl Deflater {
    /// The sending direction of this role.
    pub(crate) fn new(role: Role, params: &DeflateParams) -> Self {
        let (bits, no_takeover) = match role {
            Role::Server => (
                params.server_max_window_bits,
                params.server_no_context_takeover,
            ),
            Role::Client => (
                params.client_max_window_bits,
                params.client_no_context_takeover,
            ),
        };
        Self {
            kind: Kind {
                level: params.level.clamp(1, 9),
                // Only an application's mistake can make it more than 15.
                window_bits: bits.min(MAX_WINDOW_BITS),
            },
            takeover: !no_takeover,
            threshold: params.threshold,
            context: None,
            used: None,
        }
    }

    /// Whether a message of this length goes as it is.
    pub(crate) fn leaves(&self, len: usize) -> bool {
        len < self.compresses_from()
    }

    /// The length from which on messages are compressed.
    pub(crate) fn compresses_from(&self) -> usize {
        // A peer may ask for a window of 256 bytes, which cannot be made; and may not be forced to take anything else.
        if self.kind.is_possible() {
            self.threshold.max(1)
        } else {
            usize::MAX
        }
    }

    /// Compresses a whole message; `None` if it had better go as it is.
    pub(crate) fn message(&mut self, now: Instant, payload: &[u8]) -> Option<Bytes> {
        if self.leaves(payload.len()) {
            return None;
        }
        if !self.takeover {
            return compress_alone(self.kind, payload);
        }
        // It has to go even if it is no shorter: later messages refer to it.
        let mut context = self.begin(now);
        let out = without_tail(context.compress(payload));
        self.end(context);
        Some(out)
    }

    /// Whether a message that comes in parts is compressed. To be asked before its first part.
    pub(crate) fn takes_parts(&self) -> bool {
        self.kind.is_possible()
    }

    /// Compresses the next part of a message. All of it can be read at the other end at once.
    pub(crate) fn part(&mut self, now: Instant, payload: &[u8], fin: bool) -> Bytes {
        let mut context = self.begin(now);
        let out = if payload.is_empty() {
            // What went before ended with the tail; this is the begin of another, which the peer completes (RFC 7692 §7.2.3.6).
            [&TAIL[..1], &TAIL].concat()
        } else {
            context.compress(payload)
        };
        if fin {
            self.end(context);
            without_tail(out)
        } else {
            self.context = Some(context);
            exact(out)
        }
    }

    /// Later messages refer to what an earlier one said, so none may be left out.
    pub(crate) fn takes_over(&self) -> bool {
        self.takeover
    }

    /// Whether a message that was compressed by [`compress_once`] can be read at the other end, and leaves this
    /// direction as it was.
    pub(crate) fn takes_prepared(&self, len: usize) -> bool {
        !self.takeover && self.kind.window_bits == MAX_WINDOW_BITS && len >= self.threshold
    }

    /// When the context has not been in use for long enough to be dropped.
    pub(crate) fn idle_at(&self) -> Option<Instant> {
        self.context.as_ref().and(self.used)?.checked_add(IDLE)
    }

    /// Drops the context. The peer cannot tell.
    pub(crate) fn release(&mut self) {
        self.context = None;
    }

    /// Bytes of heap that a compressor holds, roughly, for the tests that bound it.
    pub(crate) fn held(&self) -> usize {
        if self.context.is_some() { CONTEXT } else { 0 }
    }

    fn begin(&mut self, now: Instant) -> Context {
        self.used = Some(now);
        self.context.take().unwrap_or_else(|| {
            if self.takeover {
                Context::new(self.kind)
            } else {
                Context::borrow(self.kind)
            }
        })
    }

    fn end(&mut self, context: Context) {
        if self.takeover {
            self.context = Some(context);
        } else {
            context.give_back();
        }
    }
}

/// Compresses a message that stands for itself, for a window of 32 KiB; `None` if that makes it no shorter.
pub(crate) fn compress_once(payload: &[u8], level: u8) -> Option<Bytes> {
    let kind = Kind {
        level: level.clamp(1, 9),
        window_bits: MAX_WINDOW_BITS,
    };
    compress_alone(kind, payload)
}

/// Compresses a message that stands for itself; `None` if that makes it no shorter.
fn compress_alone(kind: Kind, payload: &[u8]) -> Option<Bytes> {
    #[cfg(feature = "libdeflate")]
    if kind.window_bits == MAX_WINDOW_BITS {
        return super::libdeflate::compress(kind.level, payload);
    }
    let mut context = Context::borrow(kind);
    let out = without_tail(context.compress(payload));
    context.give_back();
    (out.len() < payload.len()).then_some(out)
}

/// What is sent of a message (RFC 7692 §7.2.1).
fn without_tail(mut out: Vec<u8>) -> Bytes {
    out.truncate(out.len().saturating_sub(TAIL.len()));
    exact(out)
}

/// It may wait long, and counts in the queue for what it is.
fn exact(mut out: Vec<u8>) -> Bytes {
    out.shrink_to_fit();
    out.into()
}

/// What makes compressors interchangeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Kind {
    level: u8,
    window_bits: u8,
}

impl Kind {
    fn is_possible(self) -> bool {
        self.window_bits >= MIN_WINDOW_BITS
    }
}

/// A compressor and what it remembers.
struct Context {
    kind: Kind,
    /// Boxed, as connections that have none are many.
    zlib: Box<Zlib>,
}

impl Context {
    fn new(kind: Kind) -> Self {
        let config = DeflateConfig {
            window_bits: -i32::from(kind.window_bits),
            mem_level: MEM_LEVEL,
            ..DeflateConfig::new(i32::from(kind.level))
        };
        Self {
            kind,
            zlib: Box::new(Zlib::new_with_config(config)),
        }
    }

    /// The thread's, if it is of this kind; else a new one.
    fn borrow(kind: Kind) -> Self {
        match SHARED.take() {
            Some(mut shared) if shared.kind == kind => {
                shared.zlib.reset();
                shared
            }
            _ => Self::new(kind),
        }
    }

    fn give_back(self) {
        SHARED.set(Some(self));
    }

    /// Compresses all of `payload`, which is not empty, up to a byte boundary: the tail is at the end.
    fn compress(&mut self, mut payload: &[u8]) -> Vec<u8> {
        chunk::lend(|chunk| {
            let mut out = Vec::new();
            loop {
                let (read, written) = (self.zlib.total_in(), self.zlib.total_out());
                // It fails only on a state that is not valid. What is sent then cannot be read, and the peer says so.
                let failed = self
                    .zlib
                    .compress(payload, chunk, DeflateFlush::SyncFlush)
                    .is_err();
                let read = usize::try_from(self.zlib.total_in() - read).unwrap_or(usize::MAX);
                let written =
                    usize::try_from(self.zlib.total_out() - written).unwrap_or(usize::MAX);
                payload = payload.get(read..).unwrap_or_default();
                out.extend_from_slice(chunk.get(..written).unwrap_or_default());
                if failed || written < chunk.len() {
                    return out;
                }
            }
        })
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
