//! The opening handshake as a server: a value that is accepted or rejected.

use std::{
    future::{Future, poll_fn},
    io,
    mem::MaybeUninit,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use fullduplex_proto::{
    Config, Connection, Deflate, Role,
    handshake::{
        Acceptance, Hosts, Origins, Progress, Rejection, Request, ServerHandshake, ServerOptions,
    },
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use crate::{
    deadline::within,
    driver::{Driver, now},
    error::HandshakeError,
    info::Info,
    rate::RateLimit,
    transport::{Stream, Transport},
    websocket::WebSocket,
};

/// How long a client may take for its request, from the first look at the connection. Ten seconds: several round
/// trips with losses. One byte a second does not extend it.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Read at a time: most requests come whole in one.
const READ_SIZE: usize = 2 << 10;

/// After a rejection so much, for so long, is read and thrown away: closing at once could make the system discard the
/// answer before the client has read it.
const DRAIN_BYTES: usize = 64 << 10;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A server's rules for opening handshakes, and the settings of the connections that pass.
#[derive(Clone, Debug)]
pub struct Acceptor {
    pub(crate) options: Arc<ServerOptions>,
    pub(crate) config: Arc<Config>,
    pub(crate) timeout: Duration,
    pub(crate) rate: Option<RateLimit>,
}

impl Default for Acceptor {
    fn default() -> Self {
        Self {
            options: Arc::default(),
            config: Arc::new(Config::default()),
            timeout: HANDSHAKE_TIMEOUT,
            rate: None,
        }
    }
}

impl Acceptor {
    /// Same origin only, any Host, no subprotocols, default [`Config`], ten seconds for the handshake.
    pub fn new() -> Self {
        Self::default()
    }

    /// Which origins may connect; clients that send none always may.
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        Arc::make_mut(&mut self.options).origins = origins;
        self
    }

    /// Under which names the server may be asked.
    #[must_use]
    pub fn hosts(mut self, hosts: Hosts) -> Self {
        Arc::make_mut(&mut self.options).hosts = hosts;
        self
    }

    /// Which subprotocols are spoken. The first of the client's that is among them is agreed on.
    #[must_use]
    pub fn subprotocols<S: Into<String>>(
        mut self,
        subprotocols: impl IntoIterator<Item = S>,
    ) -> Self {
        Arc::make_mut(&mut self.options).subprotocols =
            subprotocols.into_iter().map(Into::into).collect();
        self
    }

    /// Compresses messages (permessage-deflate, RFC 7692) with clients that offer it. By default none are: it costs time, and is for
    /// the application to weigh.
    #[must_use]
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        Arc::make_mut(&mut self.options).deflate = Some(deflate);
        self
    }

    /// All rules of the handshake at once.
    #[must_use]
    pub fn options(mut self, options: impl Into<Arc<ServerOptions>>) -> Self {
        self.options = options.into();
        self
    }

    /// This process ends TLS, so pages of `http:` are not of the same origin. Found out by itself on streams that are TLS
    /// here; to be said for [`upgrade`](crate::upgrade), which does not see the stream.
    #[must_use]
    pub fn tls_ends_here(mut self, tls: bool) -> Self {
        Arc::make_mut(&mut self.options).tls = tls;
        self
    }

    /// The settings of the connections.
    #[must_use]
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.config = config.into();
        self
    }

    /// How much each client may send in a time. By default any amount: what is not received is not read, so that a handler sets the
    /// pace, and it alone knows what a message costs.
    #[must_use]
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate = Some(limit);
        self
    }

    /// How long the client may take for its request.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Reads a request and judges it. A request that breaks a rule is answered here, with status and sentence.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]: what was answered, or why nothing could be.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the stream.
    pub async fn handshake<S: Stream>(&self, stream: S) -> Result<Handshake, HandshakeError> {
        self.handshake_within(self.timeout, stream).await
    }

    /// As [`handshake`](Self::handshake), for a stream on which other things had to be done first: so long is left.
    pub(crate) async fn handshake_within<S: Stream>(
        &self,
        limit: Duration,
        stream: S,
    ) -> Result<Handshake, HandshakeError> {
        let mut transport = Transport::new(stream);
        transport.set_nodelay();
        let mut options = Arc::clone(&self.options);
        if transport.is_tls() && !options.tls {
            Arc::make_mut(&mut options).tls = true;
        }
        let mut reader = ServerHandshake::new(options);
        let rejection = match within(limit, read_request(&mut transport, &mut reader)).await {
            Some(Ok(Received { request, early })) => {
                return Ok(Handshake {
                    transport,
                    peer: None,
                    request,
                    early,
                    config: Arc::clone(&self.config),
                    rate: self.rate,
                });
            }
            Some(Err(ReadError::Io(error))) => return Err(HandshakeError::Io(error)),
            Some(Err(ReadError::Rejected(rejection))) => rejection,
            None => reader.timed_out(),
        };
        Err(reject(transport, rejection).await)
    }

    /// Reads a request and accepts it if it keeps the rules.
    ///
    /// # Errors
    ///
    /// As [`handshake`](Self::handshake).
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the stream.
    pub async fn accept<S: Stream>(&self, stream: S) -> Result<WebSocket, HandshakeError> {
        self.handshake(stream).await?.accept().await
    }
}

/// A request that keeps the rules and waits for its answer. Dropped, it is not answered.
#[derive(Debug)]
pub struct Handshake {
    transport: Transport,
    /// Who the client is, where that is known without asking the system.
    pub(crate) peer: Option<SocketAddr>,
    request: Request,
    /// What came behind the request: the front of the first frames. At most one read.
    early: Vec<u8>,
    config: Arc<Config>,
    rate: Option<RateLimit>,
}

impl Handshake {
    /// What the client asks for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Answers 101 with the subprotocol that was agreed on.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Io`] if the answer could not be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the stream.
    pub async fn accept(self) -> Result<WebSocket, HandshakeError> {
        let acceptance = self.request.accept();
        self.accept_with(acceptance).await
    }

    /// Answers with an acceptance made from [`request`](Self::request): with headers, or another subprotocol.
    ///
    /// # Errors
    ///
    /// [`HandshakeError::Io`] if the answer could not be written; [`HandshakeError::Rejected`] with 500 if the acceptance was made from
    /// another request, since no client would take it.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the stream.
    pub async fn accept_with(
        mut self,
        acceptance: Acceptance,
    ) -> Result<WebSocket, HandshakeError> {
        if !acceptance.answers(&self.request) {
            return Err(self.reject(foreign_acceptance()).await);
        }
        write(
            &mut self.transport,
            &acceptance.to_bytes(),
            self.config.write_timeout,
        )
        .await?;
        let info = Info::new(
            self.peer.or_else(|| self.transport.peer_addr()),
            self.request.resource(),
            acceptance.chosen_subprotocol(),
            acceptance.deflate(),
        );
        let ws = open(self.transport, Role::Server, self.config, &self.early, info);
        Ok(ws.limited(self.rate))
    }

    /// Answers with a rejection: `Rejection::new(401, "Log in first.")`.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the stream.
    pub async fn reject(self, rejection: Rejection) -> HandshakeError {
        reject(self.transport, rejection).await
    }
}

/// A connection whose handshake is done.
pub(crate) fn open(
    transport: Transport,
    role: Role,
    config: Arc<Config>,
    early: &[u8],
    info: Info,
) -> WebSocket {
    let mut connection = Connection::new(role, config, now());
    if let Some(params) = &info.deflate {
        connection = connection.with_deflate(params);
    }
    connection.hold_input(early);
    WebSocket::new(Driver::new(connection, transport), info)
}

/// A request, and what came behind it.
struct Received {
    request: Request,
    early: Vec<u8>,
}

enum ReadError {
    Rejected(Rejection),
    Io(io::Error),
}

async fn read_request(
    transport: &mut Transport,
    reader: &mut ServerHandshake,
) -> Result<Received, ReadError> {
    loop {
        if let Some(received) = poll_fn(|cx| poll_read_request(transport, reader, cx)).await? {
            return Ok(received);
        }
    }
}

/// Reads once. The bytes are only here while they are looked at, so that a client that has sent nothing yet costs no memory for them.
fn poll_read_request(
    transport: &mut Transport,
    reader: &mut ServerHandshake,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Received>, ReadError>> {
    let mut space = [MaybeUninit::uninit(); READ_SIZE];
    let mut buffer = ReadBuf::uninit(&mut space);
    ready!(Pin::new(transport).poll_read(cx, &mut buffer)).map_err(ReadError::Io)?;
    let bytes = buffer.filled();
    if bytes.is_empty() {
        return Poll::Ready(Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into())));
    }
    let progress = reader.receive(bytes).map_err(ReadError::Rejected)?;
    Poll::Ready(Ok(match progress {
        Progress::Done { value, used } => Some(Received {
            request: value,
            early: bytes[used..].to_vec(),
        }),
        Progress::NeedMore => None,
    }))
}

/// The answer where the application accepted another request than this.
fn foreign_acceptance() -> Rejection {
    Rejection::new(500, "The acceptance was made from another request.")
}

/// Answers, ends our direction, and drains a little, so that the answer arrives. In a box, since few handshakes come to this, and
/// all would have room for it.
pub(crate) fn reject(
    mut transport: Transport,
    rejection: Rejection,
) -> Pin<Box<dyn Future<Output = HandshakeError> + Send>> {
    Box::pin(async move {
        let answered = async {
            transport.write_all(&rejection.to_bytes()).await?;
            transport.shutdown().await?;
            let mut drained = vec![0; READ_SIZE];
            let mut left = DRAIN_BYTES;
            while left > 0 {
                match transport.read(&mut drained).await? {
                    0 => break,
                    n => left = left.saturating_sub(n),
                }
            }
            io::Result::Ok(())
        };
        if let Some(Err(error)) = within(DRAIN_TIMEOUT, answered).await {
            tracing::debug!(%error, "rejection not delivered");
        }
        HandshakeError::Rejected(Box::new(rejection))
    })
}

async fn write(
    transport: &mut Transport,
    bytes: &[u8],
    limit: Duration,
) -> Result<(), HandshakeError> {
    let written = within(limit, async {
        transport.write_all(bytes).await?;
        transport.flush().await
    });
    let timed_out = || Err(io::ErrorKind::TimedOut.into());
    written
        .await
        .unwrap_or_else(timed_out)
        .map_err(HandshakeError::Io)
}
