//! The opening handshake over a stream.

use std::{io, net::SocketAddr, sync::Arc};

use fullduplex_proto::{
    CloseCode, CloseFrame, Role,
    handshake::{ClientError, ClientHandshake, ClientRequest, Progress, Response},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{Client, ConnectError};
use crate::{accept::open, info::Info, transport::Transport, websocket::WebSocket};

/// Read at a time: most responses come whole in one.
const READ_SIZE: usize = 2 << 10;

impl Client {
    /// Asks for a WebSocket over a stream, and reads the answer. The deadline is the caller's; in here it only makes that a refusal
    /// is reported whose body does not come.
    pub(super) async fn shake_hands(
        &self,
        request: &ClientRequest,
        mut transport: Transport,
        deadline: Instant,
    ) -> Result<(WebSocket, Response), ConnectError> {
        transport.set_nodelay();
        // RFC 6455 §4.1: sixteen bytes, chosen at random for each connection.
        let mut handshake = request.start(rand::random());
        transport
            .write_all(handshake.request())
            .await
            .map_err(broken)?;
        transport.flush().await.map_err(broken)?;
        let (response, early) = read_response(&mut transport, &mut handshake, deadline).await?;
        let peer = transport.peer_addr();
        self.accepted(request, transport, peer, &early, response, deadline)
            .await
    }

    /// The connection that the server has accepted. The deadline is the caller's; in here it only makes that a missing extension
    /// is reported where the server does not answer the Close.
    pub(crate) async fn accepted(
        &self,
        request: &ClientRequest,
        transport: Transport,
        peer: Option<SocketAddr>,
        early: &[u8],
        response: Response,
        deadline: Instant,
    ) -> Result<(WebSocket, Response), ConnectError> {
        let info = Info::new(
            peer,
            request.uri().resource(),
            response.subprotocol(),
            response.deflate(),
        );
        let config = Arc::clone(&self.config);
        let mut ws = open(transport, Role::Client, config, early, info);
        if let Some(missing) = response.missing_extension() {
            // RFC 6455 §7.4.1: the server is told what it should have accepted.
            let frame = CloseFrame::new(CloseCode::MANDATORY_EXTENSION, missing);
            let closing = ws.close(frame.unwrap_or(CloseFrame::empty()));
            drop(timeout_at(deadline, closing).await);
            return Err(ConnectError::Handshake(ClientError::ExtensionMissing(
                missing,
            )));
        }
        Ok((ws, response))
    }
}

/// Reads the response, and what came behind it.
async fn read_response(
    transport: &mut Transport,
    handshake: &mut ClientHandshake,
    deadline: Instant,
) -> Result<(Response, Vec<u8>), ConnectError> {
    let mut bytes = Vec::with_capacity(READ_SIZE);
    loop {
        bytes.clear();
        let n = match timeout_at(deadline, transport.read_buf(&mut bytes)).await {
            Ok(Ok(n)) => n,
            Ok(Err(error)) => return Err(refused_or(handshake, broken(error))),
            Err(_) => return Err(refused_or(handshake, ConnectError::Timeout)),
        };
        if n == 0 {
            return Err(ConnectError::Handshake(handshake.eof()));
        }
        match handshake.receive(&bytes).map_err(ConnectError::Handshake)? {
            Progress::Done { value, used } => return Ok((value, bytes.split_off(used))),
            Progress::NeedMore => {}
        }
    }
}

/// The transport failed. In TLS 1.3 a server looks at the client's certificate only when the client is done with TLS, so its
/// alert is found here.
fn broken(error: io::Error) -> ConnectError {
    #[cfg(feature = "tls")]
    if crate::tls::cause(&error).is_some() {
        return ConnectError::Tls(error);
    }
    ConnectError::Io(error)
}

/// A refusal of which only the body is not complete says more than what kept the body from coming.
fn refused_or(handshake: &mut ClientHandshake, other: ConnectError) -> ConnectError {
    match handshake.eof() {
        refused @ ClientError::Refused(_) => ConnectError::Handshake(refused),
        _ => other,
    }
}
