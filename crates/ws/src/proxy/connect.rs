//! A tunnel through an HTTP proxy.

use fullduplex_proto::handshake::{Progress, ResponseError, TunnelHandshake};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{error::ProxyError, rewound::Rewound};
use crate::transport::{Stream, Transport};

/// Read at a time: any response that opens a tunnel comes whole in one.
const READ_SIZE: usize = 1 << 10;

/// Asks the proxy at the other end of the stream for a tunnel. What it sent behind its answer is not lost.
pub(super) async fn tunnel<S: Stream>(
    mut stream: S,
    mut handshake: TunnelHandshake,
    deadline: Instant,
) -> Result<Transport, ProxyError> {
    stream
        .write_all(handshake.request())
        .await
        .map_err(ProxyError::Io)?;
    stream.flush().await.map_err(ProxyError::Io)?;
    let early = read_response(&mut stream, &mut handshake, deadline).await?;
    if early.is_empty() {
        Ok(Transport::new(stream))
    } else {
        Ok(Transport::new(Rewound::new(early, stream)))
    }
}

/// Reads the response that opens the tunnel, and returns what came behind it.
async fn read_response<S: Stream>(
    stream: &mut S,
    handshake: &mut TunnelHandshake,
    deadline: Instant,
) -> Result<Vec<u8>, ProxyError> {
    let mut bytes = Vec::with_capacity(READ_SIZE);
    loop {
        bytes.clear();
        let n = match timeout_at(deadline, stream.read_buf(&mut bytes)).await {
            Ok(Ok(n)) => n,
            Ok(Err(error)) => return Err(refused_or(handshake, error)),
            Err(elapsed) => return Err(refused_or(handshake, elapsed.into())),
        };
        if n == 0 {
            return Err(ProxyError::Http(handshake.eof()));
        }
        if let Progress::Done { used, .. } = handshake.receive(&bytes).map_err(ProxyError::Http)? {
            return Ok(bytes.split_off(used));
        }
    }
}

/// A refusal of which only the body is not complete says more than what kept the body from coming.
fn refused_or(handshake: &mut TunnelHandshake, error: std::io::Error) -> ProxyError {
    match handshake.eof() {
        refused @ ResponseError::Refused(_) => ProxyError::Http(refused),
        _ => ProxyError::Io(error),
    }
}
