//! What can go wrong with a session beyond what can with any connection.

use std::{fmt, io};

/// Why there is no WebSocket over HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Http2Error {
    /// The server chose another protocol than HTTP/2 in TLS.
    NotNegotiated,
    /// The server's SETTINGS do not enable extended CONNECT (RFC 8441 §3).
    NotEnabled,
    /// The client's scheme, host or port are not those of the session.
    OtherServer,
}

impl fmt::Display for Http2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotNegotiated => "the server does not speak HTTP/2",
            Self::NotEnabled => {
                "the server does not take WebSockets over HTTP/2: its SETTINGS lack ENABLE_CONNECT_PROTOCOL"
            }
            Self::OtherServer => "the address is not of the server that this session is connected to",
        })
    }
}

impl std::error::Error for Http2Error {}

/// An error of h2 as one of a stream of bytes: a reset is a reset (RFC 8441 §5).
pub(super) fn io_error(error: h2::Error) -> io::Error {
    let kind = if error.is_reset() {
        io::ErrorKind::ConnectionReset
    } else if error.is_go_away() {
        io::ErrorKind::ConnectionAborted
    } else {
        match error.get_io() {
            Some(error) => error.kind(),
            None => io::ErrorKind::Other,
        }
    };
    io::Error::new(kind, error)
}
