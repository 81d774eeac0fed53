//! One connection of a server, from its handshake to its end.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use fullduplex_proto::{
    Outcome,
    handshake::{Acceptance, Rejection, Request},
};
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, watch},
    time::sleep,
};

use super::{accept_loop::Place, judge, registry::Registry};
use crate::{
    accept::{Acceptor, Handshake},
    driver::now,
    error::HandshakeError,
    handler::{self, HandlerOutput},
    observer::{Closed, Observed},
    shared::{Handle, Shared},
    websocket::WebSocket,
};

/// At shutdown, handshakes that have begun get this long to end.
const GREETING_TIMEOUT: Duration = Duration::from_secs(1);

/// What the tasks of one server share.
pub(super) struct Service<J, H> {
    pub(super) acceptor: Acceptor,
    pub(super) judge: J,
    pub(super) handler: H,
    pub(super) observed: Observed,
    pub(super) open: Registry,
    /// Becomes true at shutdown.
    pub(super) stopping: watch::Sender<bool>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<tokio_rustls::TlsAcceptor>,
}

impl<J, H> Service<J, H> {
    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unused_self, reason = "there is none to be")
    )]
    pub(super) fn is_tls(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        return false;
    }

    /// Tells how a connection ended.
    fn tell_closed(&self, shared: &Shared, outcome: Outcome) {
        // Noted when it was opened.
        let Some(peer) = shared.info.peer else { return };
        let closed = {
            let driver = shared.lock();
            Closed {
                outcome,
                duration: now().saturating_duration_since(driver.connection().opened()),
                rate_limited: driver.rate_limited(),
            }
        };
        tracing::info!(
            %peer,
            path = %shared.info.path(),
            duration = ?Duration::from_millis(closed.duration.as_millis().try_into().unwrap_or(u64::MAX)),
            outcome = %closed.outcome,
            "closed"
        );
        self.observed
            .tell(|observer| observer.closed(peer, &closed));
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

    async fn handshake(&self, tcp: TcpStream) -> Result<Handshake, HandshakeError> {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            let (begun, limit) = (tokio::time::Instant::now(), self.acceptor.timeout);
            let tls = crate::deadline::within(limit, tls.accept(tcp)).await;
            let tls = tls.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
            let tls = tls.map_err(HandshakeError::Io)?;
            // One limit for both handshakes.
            let left = limit.saturating_sub(begun.elapsed());
            return self.acceptor.handshake_within(left, tls).await;
        }
        self.acceptor.handshake(tcp).await
    }
}

impl<J, Judging, T, H, Fut> Service<J, H>
where
    J: Fn(Request) -> Judging + Send + Sync + 'static,
    Judging: Future<Output = Result<(Acceptance, T), Rejection>> + Send + 'static,
    T: Send + 'static,
    H: Fn(WebSocket, T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: HandlerOutput> + Send + 'static,
{
    /// Attends to a connection from its handshake to its end, and tells how it ended. The place is free again afterwards.
    ///
    /// What the handshake needs is in a box that is gone before the conversation begins.
    pub(super) fn attend(
        self: Arc<Self>,
        tcp: TcpStream,
        peer: SocketAddr,
        place: Place,
        greeting: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + Send + 'static {
        let greeted = Box::pin(Arc::clone(&self).greet(tcp, peer, greeting));
        async move {
            let Some((handle, ws, identity)) = greeted.await else {
                return;
            };
            let entry = self.open.enter(handle);
            let end = handler::run(&entry.handle, || (self.handler)(ws, identity)).await;
            let outcome = handler::close(&entry.handle, end).await;
            self.tell_closed(&entry.handle.shared, outcome);
            drop((entry, place));
        }
    }

    /// Shakes hands, and returns the connection, a handle of it besides, and who it is.
    async fn greet(
        self: Arc<Self>,
        tcp: TcpStream,
        peer: SocketAddr,
        _greeting: OwnedSemaphorePermit,
    ) -> Option<(Handle, WebSocket, T)> {
        // In this order, since most requests are here already, and their handshakes over with the first look.
        let opened = tokio::select! {
            biased;
            opened = self.open(tcp, peer) => opened,
            () = self.no_more_greetings() => {
                Err(HandshakeError::Io(io::ErrorKind::ConnectionAborted.into()))
            }
        };
        match opened {
            Ok((ws, identity)) => {
                self.observed.tell(|observer| observer.opened(peer));
                Some((ws.handle.clone(), ws, identity))
            }
            Err(error) => {
                tracing::info!(%peer, %error, "refused");
                self.observed
                    .tell(|observer| observer.handshake_failed(peer, &error));
                None
            }
        }
    }

    async fn open(
        &self,
        tcp: TcpStream,
        peer: SocketAddr,
    ) -> Result<(WebSocket, T), HandshakeError> {
        let mut handshake = self.handshake(tcp).await?;
        handshake.peer = Some(peer);
        judge::answer(handshake, self.acceptor.timeout, &self.judge).await
    }
}
