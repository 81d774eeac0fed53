//! A tunnel through an HTTP proxy.

use std::future::pending;

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
        let read = timeout_at(deadline, stream.read_buf(&mut bytes)).await;
        let failure = match read {
            Ok(Ok(0)) => return Err(ProxyError::Http(handshake.eof())),
            Ok(Ok(_)) => match handshake.receive(&bytes).map_err(ProxyError::Http)? {
                Progress::Done { used, .. } => return Ok(bytes.split_off(used)),
                Progress::NeedMore => continue,
            },
            Ok(Err(error)) => Some(ProxyError::Io(error)),
            Err(_) => None,
        };
        // A refusal of which only the body is not complete says more than what kept the body from coming.
        return match (handshake.eof(), failure) {
            (refused @ ResponseError::Refused(_), _) => Err(ProxyError::Http(refused)),
            (_, Some(failure)) => Err(failure),
            // The deadline is the caller's, who reports it.
            (_, None) => pending().await,
        };
    }
}
