//! What can go wrong: one error for each operation.

use std::{fmt, io};

use fullduplex_proto::{Outcome, PingError, handshake::Rejection};

/// Why a message could not be received or sent.
///
/// A clean close is not an error: [`recv`](crate::WebSocket::recv) returns `None` for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A Close was sent or received: nothing can be sent any more. Receive on to reach the end.
    Closing,
    /// The connection has ended. For `recv`: other than by a clean close.
    Ended(Box<Outcome>),
    /// A ping or pong was refused.
    Ping(PingError),
    /// What was to become part of a text message is not UTF-8. Nothing of it was sent.
    NotUtf8,
    /// The message was ended by `shutdown`, and has no more parts.
    Finished,
}

impl Error {
    /// How the connection ended, if it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        match self {
            Self::Ended(outcome) => Some(outcome),
            Self::Closing | Self::Ping(_) | Self::NotUtf8 | Self::Finished => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closing => f.write_str("the connection is closing"),
            Self::Ended(outcome) => write!(f, "the connection has ended: {outcome}"),
            Self::Ping(error) => error.fmt(f),
            Self::NotUtf8 => f.write_str("the text is not UTF-8"),
            Self::Finished => f.write_str("the message has ended"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Closing | Error::Ended(_) => io::ErrorKind::ConnectionAborted,
            Error::Ping(_) => io::ErrorKind::InvalidInput,
            Error::NotUtf8 => io::ErrorKind::InvalidData,
            Error::Finished => io::ErrorKind::BrokenPipe,
        };
        Self::new(kind, error)
    }
}

/// Why a server's handshake came to no connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The request was answered with this.
    Rejected(Box<Rejection>),
    /// The transport failed or ended before the handshake was complete.
    Io(io::Error),
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Io(error) => write!(f, "handshake not completed: {error}"),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rejected(_) => None,
            Self::Io(error) => Some(error),
        }
    }
}
