//! An accept loop that keeps its limits and ends in good order.

use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use fullduplex_proto::{CloseCode, CloseFrame};
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};

use crate::{
    accept::Acceptor,
    error::HandshakeError,
    handler::{self, HandlerOutput},
    shared::Shared,
    websocket::WebSocket,
};

/// Connections at a time: at 2 KiB each they cost 20 MiB, and twice as many descriptors are a usual hard limit.
const MAX_CONNECTIONS: u32 = 10_000;

/// At shutdown, connections get their close timeout to part, but no more than this: below the five seconds that service
/// managers and people usually wait.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(4);

/// At shutdown, handshakes that have begun get this long to end.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);

/// How long connections that were dropped get to say so in the log.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long accepting pauses when the system has no descriptor or memory for another connection. Trying again at once
/// would fail again and burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
    max_connections: u32,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ServerConfig>>,
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
            max_connections: MAX_CONNECTIONS,
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
        self.max_connections = max.max(1);
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

    /// Serves until `shutdown` is ready. Then nothing more is accepted, every connection is closed with 1001, and after its
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
        let close_timeout = self.acceptor.config.close_timeout;
        let slots = Arc::new(Semaphore::new(self.max_connections as usize));
        let max = self.max_connections;
        let service = Arc::new(Service {
            acceptor: self.acceptor,
            handler,
            open: Registry::default(),
            stopping: watch::Sender::new(false),
            #[cfg(feature = "tls")]
            tls: self.tls.map(tokio_rustls::TlsAcceptor::from),
        });
        {
            let mut shutdown = pin!(shutdown);
            let mut accepting = pin!(accept_loop(self.listener, &service, &slots));
            poll_fn(|cx| match shutdown.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => accepting.as_mut().poll(cx),
            })
            .await;
        }
        service.open.close_all();
        service.stopping.send_replace(true);
        // Every task gives its slot back when it ends.
        let limit = close_timeout.min(SHUTDOWN_TIMEOUT);
        if timeout(limit, slots.acquire_many(max)).await.is_err() {
            service.open.abandon_all();
            timeout(LAST_WORDS, slots.acquire_many(max)).await.ok();
        }
    }
}

/// What the tasks of one server share.
struct Service<H> {
    acceptor: Acceptor,
    handler: H,
    open: Registry,
    /// Becomes true at shutdown.
    stopping: watch::Sender<bool>,
    #[cfg(feature = "tls")]
    tls: Option<tokio_rustls::TlsAcceptor>,
}

async fn accept_loop<H, Fut>(
    listener: TcpListener,
    service: &Arc<Service<H>>,
    slots: &Arc<Semaphore>,
) where
    H: Fn(WebSocket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    // The semaphore is never closed.
    while let Ok(slot) = Arc::clone(slots).acquire_owned().await {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                tokio::spawn(Arc::clone(service).greet(tcp, peer, slot));
            }
            Err(error) if is_connections_own(&error) => {
                tracing::debug!(%error, "connection lost before it was accepted");
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept, pausing");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The error is about the one connection, not about accepting.
fn is_connections_own(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

impl<H, Fut> Service<H>
where
    H: Fn(WebSocket) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    /// Shakes hands, and leaves the connection to a task of its own: what the handshake needed goes with this one.
    async fn greet(self: Arc<Self>, tcp: TcpStream, peer: SocketAddr, slot: OwnedSemaphorePermit) {
        let opened = tokio::select! {
            opened = self.open(tcp) => opened,
            () = self.no_more_greetings() => return,
        };
        match opened {
            Ok(ws) => {
                tokio::spawn(self.converse(ws, slot));
            }
            Err(error) => tracing::info!(%peer, %error, "refused"),
        }
    }

    /// Ready when handshakes that are still going on at shutdown have had their time.
    async fn no_more_greetings(&self) {
        // The sender lives as long as `self`.
        self.stopping
            .subscribe()
            .wait_for(|stopping| *stopping)
            .await
            .ok();
        sleep(GREETING_TIMEOUT).await;
    }

    /// Runs the handler, and logs how it ended. The slot is free again afterwards.
    async fn converse(self: Arc<Self>, ws: WebSocket, _slot: OwnedSemaphorePermit) {
        let begun = Instant::now();
        let handle = ws.handle.clone();
        let _entry = self.open.enter(&handle.shared);
        let outcome = handler::run(ws, &handle, &self.handler).await;
        let info = &handle.shared.info;
        tracing::info!(
            peer = info.peer.map(tracing::field::display),
            resource = %info.resource,
            duration = ?Duration::from_millis(begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX)),
            %outcome,
            "closed"
        );
    }

    async fn open(&self, tcp: TcpStream) -> Result<WebSocket, HandshakeError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            // One deadline for both handshakes.
            let deadline = self.acceptor.deadline();
            let handshake = tokio::time::timeout_at(deadline, tls.accept(tcp)).await;
            let tls = handshake.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            let tls = tls.map_err(HandshakeError::Io)?;
            let handshake = self.acceptor.handshake_until(tls, deadline).await?;
            return handshake.accept().await;
        }
        self.acceptor.accept(tcp).await
    }
}

/// The open connections, to be closed when the server ends.
#[derive(Debug, Default)]
struct Registry {
    next: AtomicU64,
    state: Mutex<RegistryState>,
}

#[derive(Debug, Default)]
struct RegistryState {
    open: HashMap<u64, Weak<Shared>>,
    closing: bool,
}

impl Registry {
    fn enter(&self, shared: &Arc<Shared>) -> Entry<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let closing = {
            let mut state = self.lock();
            state.open.insert(id, Arc::downgrade(shared));
            state.closing
        };
        if closing {
            shared.close(going_away());
        }
        Entry { registry: self, id }
    }

    fn close_all(&self) {
        self.lock().closing = true;
        for shared in self.all() {
            shared.close(going_away());
        }
    }

    fn abandon_all(&self) {
        for shared in self.all() {
            shared.abandon();
        }
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        self.lock()
            .open
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn going_away() -> CloseFrame {
    CloseFrame::new(CloseCode::GOING_AWAY, "").unwrap_or(CloseFrame::empty())
}

/// A connection's place in the registry.
struct Entry<'a> {
    registry: &'a Registry,
    id: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.registry.lock().open.remove(&self.id);
    }
}
