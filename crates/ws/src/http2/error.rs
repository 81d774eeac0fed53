//! Errors of h2 as those of a byte stream.

use std::io;

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
