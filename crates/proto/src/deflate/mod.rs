//! permessage-deflate (RFC 7692): what is agreed on, and the two directions of it.
//!
//! Memory is held for what cannot be had without. A compressor that must not remember (`no_context_takeover`) is
//! borrowed from the thread for one message. One that may is made with the first message and dropped when the
//! connection falls silent, which the peer cannot tell. What the peer may refer back to is kept as plain bytes, never
//! more than have arrived or its window holds.

mod chunk;
mod deflater;
mod inflater;
#[cfg(feature = "libdeflate")]
mod libdeflate;
mod negotiation;

use std::time::Duration;

pub(crate) use deflater::{Deflater, compress_once};
pub(crate) use inflater::Inflater;
pub use negotiation::{DeflateError, DeflateParams, EXTENSION};
pub(crate) use negotiation::{answer, judge_answer, offer};

/// The largest window of RFC 7692 §7.1.2, and the default: 32 KiB.
pub const MAX_WINDOW_BITS: u8 = 15;

/// The smallest window that can be compressed with: zlib cannot make raw deflate data for one of 256 bytes.
pub const MIN_WINDOW_BITS: u8 = 9;

/// A compressor with context takeover that was not used for this long is dropped: its 288 KiB are worth more than what it
/// remembers, which costs the next message some bytes.
const IDLE: Duration = Duration::from_secs(30);

/// Octets that every message ends with before the extension strips them (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// How an endpoint wants to compress. Off unless one is given, since it costs time and, with context takeover,
/// memory for each connection.
///
/// Compressed data tells by its size what it was made of: do not compress secrets together with what others choose
/// (CRIME, BREACH), but send such messages [uncompressed](crate::Message::uncompressed).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deflate {
    /// The effort, from 1 (fast) to 9 (small); others count as the nearest.
    ///
    /// Default 3: JSON of 4 to 64 KiB gets smaller by a quarter to a third than with 1, for about twice the time (20 µs for 4 KiB);
    /// 6 gains another 2 to 10 % and takes half as long again to three times as long.
    pub level: u8,
    /// Messages shorter than this many bytes are sent as they are. Default 512: JSON of that size is halved in 7 µs, but of 256
    /// bytes only a third is gained, of 100 an eighth, and they fit into one packet anyway.
    pub threshold: usize,
    /// The server forgets what it compressed from one message to the next (RFC 7692 §7.1.1.1). A server says so, a client
    /// asks for it.
    ///
    /// Default true for a server: its connections then share one compressor for each thread, and messages compressed once go to
    /// any number of them ([`Prepared`](crate::Prepared)). Default false for a client.
    pub server_no_context_takeover: bool,
    /// The client forgets what it compressed from one message to the next (RFC 7692 §7.1.1.2). A server demands it, a client
    /// promises it.
    ///
    /// Default true for a server, which otherwise keeps up to 32 KiB for each connection. Default false for a client.
    pub client_no_context_takeover: bool,
    /// The server's window in bits, from 9 to 15; others count as the nearest. Default 15.
    pub server_max_window_bits: u8,
    /// The client's window in bits, from 9 to 15; others count as the nearest. Default 15.
    pub client_max_window_bits: u8,
}

impl Deflate {
    /// What a server should accept: nothing is kept from one message to the next, in either direction.
    pub const fn for_server() -> Self {
        Self {
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            ..Self::for_client()
        }
    }

    /// What browsers offer, and so what servers are used to: `permessage-deflate; client_max_window_bits`.
    pub const fn for_client() -> Self {
        Self {
            level: 3,
            threshold: 512,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: MAX_WINDOW_BITS,
            client_max_window_bits: MAX_WINDOW_BITS,
        }
    }
}
