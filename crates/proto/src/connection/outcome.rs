//! How a connection ended.

use std::{fmt, io};

use crate::{
    close::{CloseCode, CloseFrame},
    violation::Violation,
};

/// The end of a connection, as this endpoint saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// The peer's Close; `None` if none arrived.
    pub received: Option<CloseFrame>,
    /// Our Close; `None` if none was sent, or none could leave.
    pub sent: Option<CloseFrame>,
    /// Who began the end.
    pub initiator: Initiator,
    /// What began it.
    pub cause: Cause,
    /// Both Closes were exchanged (RFC 6455 §7.1.4). A browser would say `wasClean`.
    pub clean: bool,
}

impl Outcome {
    /// The connection close code of RFC 6455 §7.1.5: the peer's, 1005 if its Close had none, 1006 if none arrived.
    pub fn code(&self) -> CloseCode {
        self.received
            .as_ref()
            .map_or(CloseCode::ABNORMAL_CLOSURE, CloseFrame::code)
    }

    /// The reason in the peer's Close, often empty.
    pub fn reason(&self) -> &str {
        self.received.as_ref().map_or("", CloseFrame::reason)
    }
}

/// One line for logs: `1000 "bye" by peer`, `1006 by peer: connection ended without Close`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = match self.initiator {
            Initiator::Peer => self.received.as_ref(),
            Initiator::Local => self.sent.as_ref(),
        };
        match first {
            Some(close) => write!(f, "{close}")?,
            None => write!(f, "{}", CloseCode::ABNORMAL_CLOSURE)?,
        }
        f.write_str(match self.initiator {
            Initiator::Local => " by us",
            Initiator::Peer => " by peer",
        })?;
        match self.cause {
            Cause::Close if self.clean => Ok(()),
            Cause::Close => f.write_str(": closing handshake not completed"),
            cause => write!(f, ": {cause}"),
        }
    }
}

/// Who began the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// This endpoint.
    Local,
    /// The other one.
    Peer,
}

/// What began the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// An application asked for it, ours or the peer's.
    Close,
    /// The peer broke a rule.
    Violation(Violation),
    /// A deadline passed.
    Timeout(Deadline),
    /// The transport ended without a Close.
    Eof,
    /// The transport failed.
    Io(io::ErrorKind),
    /// This endpoint let go of the connection without a Close.
    Abandoned,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Close => f.write_str("closed"),
            Self::Violation(violation) => violation.fmt(f),
            Self::Timeout(deadline) => deadline.fmt(f),
            Self::Eof => f.write_str("connection ended without Close"),
            Self::Io(kind) => kind.fmt(f),
            Self::Abandoned => f.write_str("dropped"),
        }
    }
}

/// A deadline of a connection; each is set in [`Config`](crate::Config).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deadline {
    /// No sign of life after a ping.
    Keepalive,
    /// No sign of life for too long.
    Idle,
    /// A message did not get complete.
    Message,
    /// The transport took no bytes.
    Write,
    /// The closing handshake did not get complete.
    Close,
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keepalive => "keepalive timeout",
            Self::Idle => "idle",
            Self::Message => "message timeout",
            Self::Write => "write timeout",
            Self::Close => "close timeout",
        })
    }
}
