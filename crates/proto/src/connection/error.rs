//! What was not accepted, and why.

use std::fmt;

use super::outgoing::Outgoing;
use crate::frame::MAX_CONTROL_PAYLOAD;

/// A message that was not accepted.
#[derive(Debug)]
#[non_exhaustive]
pub struct SendError {
    /// The message, given back.
    pub outgoing: Outgoing,
    /// Why.
    pub kind: SendErrorKind,
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// A Close was sent or received.
    Closed,
    /// With it the queue would be over [`Limits::hard_queue`](crate::Limits::hard_queue).
    Full,
    /// A message in parts was begun and is not complete: the frames of two messages cannot be mixed (RFC 6455 §5.4).
    InParts,
    /// A part of a text message, or its end, makes it one that is not UTF-8.
    NotUtf8,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Display for SendErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the connection is closing",
            Self::Full => "the queue is full",
            Self::InParts => "a message in parts is not complete",
            Self::NotUtf8 => "the text is not UTF-8",
        })
    }
}

impl std::error::Error for SendError {}

impl std::error::Error for SendErrorKind {}

/// A ping that was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PingError {
    /// The payload has this many bytes, more than 125.
    TooLong(usize),
    /// [`Limits::max_pings`](crate::Limits::max_pings) are unanswered, or as many pongs as are allowed wait to be written.
    TooMany,
    /// A Close was sent or received.
    Closed,
}

impl fmt::Display for PingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(len) => write!(f, "ping of {len} bytes is over {MAX_CONTROL_PAYLOAD}"),
            Self::TooMany => f.write_str("too many pings or pongs are under way"),
            Self::Closed => f.write_str("the connection is closing"),
        }
    }
}

impl std::error::Error for PingError {}
