//! The stream behind an upgraded request.

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::net::TcpStream;

use crate::transport::{Stream, Transport};

/// The stream itself, where it is one we know: then hyper's layers are gone. Else, and always over HTTP/2, as hyper hands
/// it out.
pub(super) fn unwrap(upgraded: Upgraded) -> (Transport, Bytes) {
    let upgraded = match take::<TcpStream>(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    #[cfg(feature = "tls")]
    let upgraded = match take::<tokio_rustls::server::TlsStream<TcpStream>>(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    (Transport::new(TokioIo::new(upgraded)), Bytes::new())
}

/// Takes an `S` out, and what hyper has read ahead: from hyper's own connections, or those of hyper-util's `auto`, by which
/// axum serves.
fn take<S: Stream>(upgraded: Upgraded) -> Result<(Transport, Bytes), Upgraded> {
    let (io, early) = match upgraded.downcast::<TokioIo<S>>() {
        Ok(parts) => (parts.io, parts.read_buf),
        Err(upgraded) => {
            let parts = auto::upgrade::downcast::<TokioIo<S>>(upgraded)?;
            (parts.io, parts.read_buf)
        }
    };
    Ok((Transport::new(io.into_inner()), early))
}
