//! Opening a connection as a client.

mod attempts;
mod error;
mod handshake;
mod route;

#[cfg(unix)]
use std::path::Path;
use std::{fmt, future::Future, sync::Arc, time::Duration};

use fullduplex_proto::{
    Config, Deflate,
    handshake::{Challenge, ClientRequest, Credentials, Response, Uri},
};
use tokio::time::timeout_at;

pub use self::error::{ConnectError, Http2Error, Retry};
#[cfg(feature = "http2")]
pub(crate) use self::route::Http;
use self::{attempts::Ask, route::Route};
#[cfg(unix)]
use crate::dial::dial_unix;
use crate::{
    deadline,
    proxy::Proxy,
    transport::{Stream, Transport},
    websocket::WebSocket,
};

/// For names, TCP, proxy, TLS and handshakes together. Thirty seconds: one lost SYN or two, and a slow server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

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

/// What a client asks for, and how. It connects any number of times.
///
/// ```no_run
/// # async fn run() -> Result<(), fullduplex::ConnectError> {
/// let (ws, response) = fullduplex::Client::new("wss://example.org/feed")?
///     .bearer("a2V5")?
///     .subprotocol("v2.chat")?
///     .connect()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    request: ClientRequest,
    config: Arc<Config>,
    timeout: Duration,
    max_redirects: usize,
    ask: Option<Ask>,
    route: Route,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl Client {
    /// A request for a `ws:` or `wss:` address; `http:` and `https:` mean the same. User name and password in it are sent as
    /// `Authorization: Basic`.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Uri`].
    pub fn new(uri: &str) -> Result<Self, ConnectError> {
        let uri: Uri = uri.parse().map_err(ConnectError::Uri)?;
        Ok(Self {
            request: ClientRequest::new(uri),
            config: Arc::new(Config::default()),
            timeout: CONNECT_TIMEOUT,
            max_redirects: 0,
            ask: None,
            route: Route::Direct,
            #[cfg(feature = "tls")]
            tls: None,
        })
    }

    /// Adds a header line, such as `Cookie`. Those of the protocol itself cannot be set.
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

    /// Makes it an error if the server agrees to none of the subprotocols that were offered, as browsers do. Not by default:
    /// RFC 6455 §4.1 permits it.
    #[must_use]
    pub fn require_subprotocol(mut self, require: bool) -> Self {
        self.request = self.request.require_subprotocol(require);
        self
    }

    /// Sends a user's name and password (RFC 7617), without waiting to be asked. Over `ws:` anybody on the way can read them.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Request`] if the name holds a colon, or either a control character.
    pub fn basic_auth(self, user: &str, password: &str) -> Result<Self, ConnectError> {
        let credentials = Credentials::basic(user, password).map_err(ConnectError::Request)?;
        Ok(self.authorized(credentials))
    }

    /// Sends a bearer token (RFC 6750), without waiting to be asked. Over `ws:` anybody on the way can read it.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Request`] if the token is empty or holds anything but visible ASCII characters.
    pub fn bearer(self, token: &str) -> Result<Self, ConnectError> {
        let credentials = Credentials::bearer(token).map_err(ConnectError::Request)?;
        Ok(self.authorized(credentials))
    }

    fn authorized(mut self, credentials: Credentials) -> Self {
        self.request = self.request.credentials(credentials);
        self
    }

    /// Asks for credentials when the server does: on a 401 with Basic or Bearer challenges, `ask` is called with them, in the
    /// server's order, and one more attempt made with what it returns, on a fresh connection. With `None`, and when the
    /// server says 401 again, the refusal is the result.
    ///
    /// It is asked at most once in a [`connect`](Self::connect), and only at the scheme, host and port of the client's own
    /// address: nowhere that a redirect leads to. Its time counts towards [`timeout`](Self::timeout).
    ///
    /// ```no_run
    /// # use fullduplex::handshake::Credentials;
    /// # async fn token_for(realm: Option<&str>) -> Option<String> { None }
    /// # async fn run() -> Result<(), fullduplex::ConnectError> {
    /// let client = fullduplex::Client::new("wss://example.org/feed")?.credentials(async |challenges| {
    ///     let bearer = challenges.iter().find(|challenge| challenge.is("Bearer"))?;
    ///     Credentials::bearer(&token_for(bearer.realm()).await?).ok()
    /// });
    /// let (ws, _response) = client.connect().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn credentials<F, Fut>(mut self, ask: F) -> Self
    where
        F: Fn(Vec<Challenge>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Credentials>> + Send + 'static,
    {
        self.ask = Some(Arc::new(move |challenges| Box::pin(ask(challenges))));
        self
    }

    /// Follows so many redirects (301, 302, 303, 307, 308), each with a fresh connection and key. By default none, as in
    /// browsers: a redirect is a refusal.
    ///
    /// Never from `wss:` to `ws:`, in a circle, or with a user name of the server's choice: that is [`ConnectError::Redirect`].
    /// Where scheme, host or port change, credentials and all header lines of [`header`](Self::header) stay behind, but for
    /// `Accept`, `Accept-Language` and `User-Agent`. Origin, subprotocols and TLS settings, a client's certificate included, go
    /// along.
    #[must_use]
    pub fn max_redirects(mut self, max: usize) -> Self {
        self.max_redirects = max;
        self
    }

    /// Reaches the server through this proxy, whatever the address. By default none is used.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.route = Route::Through(Box::new(proxy));
        self
    }

    /// Reaches the server through the proxy that the environment names for it, if it names one: see [`Proxy::from_env`]. Looked
    /// up anew for each attempt.
    #[must_use]
    pub fn proxy_from_env(mut self) -> Self {
        self.route = Route::Environment;
        self
    }

    /// Offers to compress messages (permessage-deflate, RFC 7692).
    #[must_use]
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.request = self.request.deflate(deflate);
        self
    }

    /// Compresses, or does not connect: a server that does not accept the offer is told so with 1010.
    #[must_use]
    pub fn require_deflate(mut self, deflate: Deflate) -> Self {
        self.request = self.request.deflate(deflate).require_deflate(true);
        self
    }

    /// The settings of the connection.
    #[must_use]
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.config = config.into();
        self
    }

    /// How long all of connecting may take: names, TCP, proxy, TLS, handshakes, however many attempts. Default 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// TLS for `wss:`. Its ALPN list is replaced by the one protocol that is to be spoken. By default the roots that Mozilla trusts are trusted.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(crate::tls::only_http1_client(config));
        self
    }

    /// Where it connects to, and what it asks for there.
    #[cfg(feature = "http2")]
    pub(crate) fn request(&self) -> &ClientRequest {
        &self.request
    }

    #[cfg(feature = "http2")]
    pub(crate) fn time_limit(&self) -> Duration {
        self.timeout
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
    pub async fn connect(&self) -> Result<(WebSocket, Response), ConnectError> {
        let deadline = deadline::after(self.timeout);
        // Boxed: it is large, and lives only until the connection is open.
        timeout_at(deadline, Box::pin(self.attempts(deadline)))
            .await
            .unwrap_or(Err(ConnectError::Timeout))
    }

    /// Shakes hands over a stream that is already connected, whatever the address says. No TLS is put on it. Redirects are not
    /// followed and credentials not asked for: either needs another stream.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the stream.
    pub async fn connect_over<S: Stream>(
        &self,
        stream: S,
    ) -> Result<(WebSocket, Response), ConnectError> {
        let deadline = deadline::after(self.timeout);
        let handshake = self.shake_hands(&self.request, Transport::new(stream), deadline);
        timeout_at(deadline, Box::pin(handshake))
            .await
            .unwrap_or(Err(ConnectError::Timeout))
    }

    /// As [`connect_over`](Self::connect_over), over the Unix socket at this path. Host and resource are those of the address;
    /// where they mean nothing to the server, `ws://localhost/` will do.
    ///
    /// ```no_run
    /// # async fn run() -> Result<(), fullduplex::ConnectError> {
    /// let client = fullduplex::Client::new("ws://localhost/events")?;
    /// let (ws, _response) = client.connect_unix("/run/service.sock").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the socket.
    #[cfg(unix)]
    pub async fn connect_unix(
        &self,
        path: impl AsRef<Path>,
    ) -> Result<(WebSocket, Response), ConnectError> {
        let deadline = deadline::after(self.timeout);
        let connected = timeout_at(
            deadline,
            Box::pin(async {
                let stream = dial_unix(path.as_ref())
                    .await
                    .map_err(ConnectError::Connect)?;
                self.shake_hands(&self.request, Transport::new(stream), deadline)
                    .await
            }),
        );
        connected.await.unwrap_or(Err(ConnectError::Timeout))
    }
}

/// Leaves out what lets us in.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("request", &self.request)
            .field("config", &self.config)
            .field("timeout", &self.timeout)
            .field("max_redirects", &self.max_redirects)
            .field("asks_for_credentials", &self.ask.is_some())
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}
