//! A server on a TCP listener, that keeps its limits and ends in good order.

mod accept_loop;
mod addresses;
mod backoff;
mod judge;
mod refuse;
mod registry;
mod service;

use std::{
    future::{Future, poll_fn, ready},
    io,
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use fullduplex_proto::{
    CloseCode, CloseFrame,
    handshake::{Acceptance, Rejection, Request},
};
use tokio::{
    net::{TcpListener, ToSocketAddrs},
    sync::{Semaphore, watch},
    time::timeout,
};

use self::{accept_loop::AcceptLoop, registry::Registry, service::Service};
use crate::{
    accept::Acceptor,
    handler::HandlerOutput,
    observer::{Observed, Observer},
    websocket::WebSocket,
};

/// Connections at a time: at 2 KiB each they cost 20 MiB, and twice as many descriptors are a usual hard limit.
const MAX_CONNECTIONS: u32 = 10_000;

/// Handshakes at a time: twice as many as one address may have connections, so that one alone cannot hold all places; with
/// 32 KiB at most for TLS and request, 64 MiB.
const MAX_HANDSHAKES: u32 = 2_000;

/// At shutdown, connections get their close timeout to part, but no more than this: below the five seconds that service
/// managers and people usually wait.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(4);

/// How long connections that were dropped get to say so in the log.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// A WebSocket server on a TCP listener, with or without TLS.
///
/// Each connection runs its handler in a task of its own, [corked](crate::corked). When a handler returns, its connection is
/// closed with 1000; when it returns an error or panics, with 1011, and the others go on.
///
/// ```no_run
/// # async fn run() -> std::io::Result<()> {
/// let server = fullduplex::Server::bind("127.0.0.1:9001").await?;
/// println!("listening on ws://{}", server.local_addr()?);
/// server
///     .serve(async |mut ws| {
///         while let Some(message) = ws.recv().await? {
///             ws.send(message).await?;
///         }
///         Ok::<_, fullduplex::Error>(())
///     })
///     .await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    acceptor: Acceptor,
    limits: Limits,
    observed: Observed,
    farewell: CloseFrame,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connections: u32,
    handshakes: u32,
    /// The default if `None`.
    per_address: Option<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: MAX_CONNECTIONS,
            handshakes: MAX_HANDSHAKES,
            per_address: None,
        }
    }
}

impl Server {
    /// Listens on an address; port 0 picks a free one.
    ///
    /// # Errors
    ///
    /// The address cannot be listened on.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn bind(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self::new(TcpListener::bind(addr).await?))
    }

    /// Serves a listener that exists.
    pub fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            acceptor: Acceptor::new(),
            limits: Limits::default(),
            observed: Observed::default(),
            farewell: going_away(),
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// The rules of the handshake and the settings of the connections.
    #[must_use]
    pub fn acceptor(mut self, acceptor: Acceptor) -> Self {
        self.acceptor = acceptor;
        self
    }

    /// Connections at a time, handshakes included; more wait in the system's queue. Default 10,000.
    #[must_use]
    pub fn max_connections(mut self, max: u32) -> Self {
        self.limits.connections = permits(max);
        self
    }

    /// Connections at a time from one address, handshakes included; all of an IPv6 /64 are one. Who has as many is answered 429 over
    /// plain TCP, and just cut off where TLS would have to come first.
    ///
    /// Default 1,000, a tenth of all connections, but any number from loopback, where a proxy may forward for everybody.
    /// A number set here holds for loopback too. Behind a proxy on another machine everybody has its address: set it to what
    /// [`max_connections`](Self::max_connections) is.
    #[must_use]
    pub fn max_per_address(mut self, max: u32) -> Self {
        self.limits.per_address = Some(max.max(1));
        self
    }

    /// Handshakes at a time: TLS, request, [judgement](Self::serve_with) and answer; more wait in the system's queue. No client holds
    /// a place much longer than the [handshake timeout](Acceptor::handshake_timeout). Default 2,000.
    #[must_use]
    pub fn max_handshakes(mut self, max: u32) -> Self {
        self.limits.handshakes = permits(max);
        self
    }

    /// Tells this observer what happens.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observed = Observed(Some(observer));
        self
    }

    /// What connections are closed with when the server ends. Default 1001 without a reason;
    /// [1012](CloseCode::SERVICE_RESTART) tells clients to come back.
    #[must_use]
    pub fn farewell(mut self, frame: CloseFrame) -> Self {
        self.farewell = frame;
        self
    }

    /// Serves wss with this configuration. Its ALPN list is replaced by `http/1.1`.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(crate::tls::only_http1_server(config));
        self
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// The system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops accepting; connections that are open go on.
    pub async fn serve<H, Fut>(self, handler: H)
    where
        H: Fn(WebSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
    {
        self.serve_until(handler, std::future::pending()).await;
    }

    /// Serves until `shutdown` is ready. Then nothing more is accepted, every connection is closed with 1001 (or another
    /// [`farewell`](Self::farewell)), handshakes that have begun get a second to end, and after the
    /// [`close_timeout`](fullduplex_proto::Config::close_timeout), or four seconds if that is longer, whatever is left is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping it stops accepting; connections that are open go on.
    pub async fn serve_until<H, Fut>(self, handler: H, shutdown: impl Future<Output = ()>)
    where
        H: Fn(WebSocket) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
    {
        let judge = |request: Request| ready(Ok((request.accept(), ())));
        self.serve_with_until(judge, move |ws, ()| handler(ws), shutdown)
            .await;
    }

    /// Serves until it is dropped, and lets the application judge each request that keeps the rules, before it is answered.
    ///
    /// `judge` gets the request and returns its answer: an [`Acceptance`] made by [`Request::accept`], with headers or a
    /// subprotocol, and whatever the handler is to know of the client; or a [`Rejection`]. An error of either's `header` becomes a 500
    /// by `?`. It may take as long as the client for its request ([`Acceptor::handshake_timeout`]); then its future is dropped and
    /// the answer is 503. If it panics, the answer is 500.
    ///
    /// ```no_run
    /// use fullduplex::{Error, Server, WebSocket, handshake::{Acceptance, Rejection, Request}};
    ///
    /// async fn authenticate(request: Request) -> Result<(Acceptance, String), Rejection> {
    ///     match request.header("Authorization") {
    ///         Some(b"Bearer 1234") => {
    ///             let acceptance = request.accept().header("Set-Cookie", "session=5678")?;
    ///             Ok((acceptance, "Anna".to_owned()))
    ///         }
    ///         _ => Err(Rejection::new(401, "Log in first.").header("WWW-Authenticate", "Bearer")?),
    ///     }
    /// }
    ///
    /// async fn greet(mut ws: WebSocket, name: String) -> Result<(), Error> {
    ///     ws.send(format!("Hello, {name}, welcome to {}.", ws.resource())).await
    /// }
    ///
    /// # async fn run() -> std::io::Result<()> {
    /// Server::bind("127.0.0.1:9001").await?.serve_with(authenticate, greet).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// As [`serve`](Self::serve).
    pub async fn serve_with<J, Judging, T, H, Fut>(self, judge: J, handler: H)
    where
        J: Fn(Request) -> Judging + Send + Sync + 'static,
        Judging: Future<Output = Result<(Acceptance, T), Rejection>> + Send + 'static,
        T: Send + 'static,
        H: Fn(WebSocket, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
    {
        self.serve_with_until(judge, handler, std::future::pending())
            .await;
    }

    /// As [`serve_with`](Self::serve_with), until `shutdown` is ready; then as [`serve_until`](Self::serve_until).
    ///
    /// # Cancel safety
    ///
    /// As [`serve`](Self::serve).
    pub async fn serve_with_until<J, Judging, T, H, Fut>(
        self,
        judge: J,
        handler: H,
        shutdown: impl Future<Output = ()>,
    ) where
        J: Fn(Request) -> Judging + Send + Sync + 'static,
        Judging: Future<Output = Result<(Acceptance, T), Rejection>> + Send + 'static,
        T: Send + 'static,
        H: Fn(WebSocket, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
    {
        let close_timeout = self.acceptor.config.close_timeout;
        let max = self.limits.connections;
        let slots = Arc::new(Semaphore::new(max as usize));
        let service = Arc::new(Service {
            acceptor: self.acceptor,
            judge,
            handler,
            observed: self.observed,
            open: Registry::default(),
            stopping: watch::Sender::new(false),
            #[cfg(feature = "tls")]
            tls: self.tls.map(tokio_rustls::TlsAcceptor::from),
        });
        {
            let accept_loop = AcceptLoop::new(self.listener, &self.limits, Arc::clone(&slots));
            let mut shutdown = pin!(shutdown);
            let mut accepting = pin!(accept_loop.run(&service));
            poll_fn(|cx| match shutdown.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => accepting.as_mut().poll(cx),
            })
            .await;
        }
        service.open.close_all(&self.farewell);
        service.stopping.send_replace(true);
        // Every task gives its slot back when it ends.
        let limit = close_timeout.min(SHUTDOWN_TIMEOUT);
        if timeout(limit, slots.acquire_many(max)).await.is_err() {
            service.open.abandon_all();
            timeout(LAST_WORDS, slots.acquire_many(max)).await.ok();
        }
    }
}

fn going_away() -> CloseFrame {
    CloseFrame::new(CloseCode::GOING_AWAY, "").unwrap_or(CloseFrame::empty())
}

/// A limit that a semaphore can hold.
fn permits(max: u32) -> u32 {
    max.clamp(1, u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX))
}
