//! Opening a connection as a client.

use std::{sync::Arc, time::Duration};

use fullduplex_proto::{
    Config, Role,
    handshake::{ClientError, ClientHandshake, ClientRequest, Progress, Response, Uri},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::{
    accept::open,
    deadline,
    error::ConnectError,
    info::Info,
    transport::{Stream, Transport},
    websocket::WebSocket,
};

/// For name, TCP, TLS and handshake together. Thirty seconds: one lost SYN or two, and a slow server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Read at a time: most responses come whole in one.
const READ_SIZE: usize = 2 << 10;

/// Opens a connection to a `ws:` or `wss:` address, with all defaults.
///
/// # Errors
///
/// [`ConnectError`].
///
/// # Cancel safety
///
/// Dropping it closes the socket.
pub async fn connect(uri: &str) -> Result<WebSocket, ConnectError> {
    let (ws, _response) = Client::new(uri)?.connect().await?;
    Ok(ws)
}

/// What a client asks for, and how.
///
/// ```no_run
/// # async fn run() -> Result<(), fullduplex::ConnectError> {
/// let (ws, response) = fullduplex::Client::new("wss://example.org/feed")?
///     .header("Authorization", "Bearer …")?
///     .subprotocol("v2.chat")?
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Client {
    uri: Uri,
    request: ClientRequest,
    config: Arc<Config>,
    timeout: Duration,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Client {
    /// A request for a `ws:` or `wss:` address; `http:` and `https:` mean the same.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Uri`].
    pub fn new(uri: &str) -> Result<Self, ConnectError> {
        let uri: Uri = uri.parse().map_err(ConnectError::Uri)?;
        Ok(Self {
            request: ClientRequest::new(uri.clone()),
            uri,
            config: Arc::new(Config::default()),
            timeout: CONNECT_TIMEOUT,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// Adds a header line. Those of the protocol itself cannot be set.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Request`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ConnectError> {
        self.request = self
            .request
            .header(name, value)
            .map_err(ConnectError::Request)?;
        Ok(self)
    }

    /// Sends an `Origin`. None is sent by default: this is no browser.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Origin`].
    pub fn origin(mut self, origin: &str) -> Result<Self, ConnectError> {
        self.request = self
            .request
            .origin(origin.parse().map_err(ConnectError::Origin)?);
        Ok(self)
    }

    /// Offers a subprotocol; the one offered first is preferred.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Request`].
    pub fn subprotocol(mut self, subprotocol: &str) -> Result<Self, ConnectError> {
        self.request = self
            .request
            .subprotocol(subprotocol)
            .map_err(ConnectError::Request)?;
        Ok(self)
    }

    /// The settings of the connection.
    #[must_use]
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.config = config.into();
        self
    }

    /// How long all of connecting may take: name, TCP, TLS, handshake. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// TLS for `wss:`. Its ALPN list is replaced by `http/1.1`. By default the roots that Mozilla trusts are trusted.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(crate::tls::only_http1_client(config));
        self
    }

    /// Connects. The response has the headers that the server sent along.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]. A server that refuses is [`ConnectError::Handshake`], with status, headers and body.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the socket.
    pub async fn connect(self) -> Result<(WebSocket, Response), ConnectError> {
        let deadline = deadline::after(self.timeout);
        // Boxed: it is large, and lives only until the connection is open.
        let connected = timeout_at(
            deadline,
            Box::pin(async {
                let tcp = self.dial().await?;
                let transport = self.secure(tcp).await?;
                self.shake_hands(transport, deadline).await
            }),
        );
        connected.await.unwrap_or(Err(ConnectError::Timeout))
    }

    /// Shakes hands over a stream that is already connected, whatever the address says. No TLS is put on it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the stream.
    pub async fn connect_over<S: Stream>(
        self,
        stream: S,
    ) -> Result<(WebSocket, Response), ConnectError> {
        let deadline = deadline::after(self.timeout);
        let handshake = Box::pin(self.shake_hands(Transport::new(stream), deadline));
        timeout_at(deadline, handshake)
            .await
            .unwrap_or(Err(ConnectError::Timeout))
    }

    async fn dial(&self) -> Result<TcpStream, ConnectError> {
        TcpStream::connect((self.uri.host(), self.uri.port()))
            .await
            .map_err(ConnectError::Connect)
    }

    #[cfg(feature = "tls")]
    async fn secure(&self, tcp: TcpStream) -> Result<Transport, ConnectError> {
        if !self.uri.is_secure() {
            return Ok(Transport::new(tcp));
        }
        let config = match &self.tls {
            Some(config) => Arc::clone(config),
            None => crate::tls::client_config().map_err(ConnectError::Tls)?,
        };
        // An IP address is no server name: rustls leaves SNI out for it.
        let name = rustls::pki_types::ServerName::try_from(self.uri.host().to_owned()).map_err(
            |error| ConnectError::Tls(std::io::Error::new(std::io::ErrorKind::InvalidInput, error)),
        )?;
        let tls = tokio_rustls::TlsConnector::from(config)
            .connect(name, tcp)
            .await;
        tls.map(Transport::new).map_err(ConnectError::Tls)
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "with TLS it waits")]
    async fn secure(&self, tcp: TcpStream) -> Result<Transport, ConnectError> {
        if self.uri.is_secure() {
            Err(ConnectError::NoTls)
        } else {
            Ok(Transport::new(tcp))
        }
    }

    async fn shake_hands(
        self,
        mut transport: Transport,
        deadline: Instant,
    ) -> Result<(WebSocket, Response), ConnectError> {
        transport.set_nodelay();
        let resource = self.uri.resource().into();
        // RFC 6455 §4.1: sixteen bytes, chosen at random for each connection.
        let mut handshake = self.request.start(rand::random());
        transport
            .write_all(handshake.request())
            .await
            .map_err(ConnectError::Io)?;
        transport.flush().await.map_err(ConnectError::Io)?;
        let (response, early) = read_response(&mut transport, &mut handshake, deadline).await?;
        let subprotocol = response.subprotocol().map(Into::into);
        let info = Info {
            peer: transport.peer_addr(),
            resource,
            subprotocol,
        };
        Ok((
            open(transport, Role::Client, self.config, &early, info),
            response,
        ))
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
            Ok(Err(error)) => return Err(refused_or(handshake, ConnectError::Io(error))),
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

/// A refusal of which only the body is not complete says more than what kept the body from coming.
fn refused_or(handshake: &mut ClientHandshake, other: ConnectError) -> ConnectError {
    match handshake.eof() {
        refused @ ClientError::Refused(_) => ConnectError::Handshake(refused),
        _ => other,
    }
}
