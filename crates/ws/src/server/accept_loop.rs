//! The accept loop: who is let in, and when.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use fullduplex_proto::handshake::{Acceptance, Rejection, Request};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};

use super::{
    Limits,
    addresses::{self, Addresses},
    backoff::Backoff,
    refuse::Refusing,
    service::Service,
};
use crate::{handler::HandlerOutput, websocket::WebSocket};

/// Accepts connections while there is room; the rest waits in the system's queue.
pub(super) struct AcceptLoop {
    listener: TcpListener,
    /// Of all connections, refused ones included.
    slots: Arc<Semaphore>,
    /// Of those whose handshake is going on.
    greetings: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    refusing: Refusing,
}

/// One connection's place among all, and among those of its address.
#[derive(Debug)]
pub(super) struct Place {
    _slot: OwnedSemaphorePermit,
    _address: addresses::Place,
}

impl AcceptLoop {
    pub(super) fn new(listener: TcpListener, limits: &Limits, slots: Arc<Semaphore>) -> Self {
        Self {
            listener,
            slots,
            greetings: Arc::new(Semaphore::new(limits.handshakes as usize)),
            addresses: Arc::new(Addresses::new(limits.per_address)),
            refusing: Refusing::new(),
        }
    }

    /// Accepts until it is dropped.
    pub(super) async fn run<J, Judging, T, H, Fut>(self, service: &Arc<Service<J, H>>)
    where
        J: Fn(Request) -> Judging + Send + Sync + 'static,
        Judging: Future<Output = Result<(Acceptance, T), Rejection>> + Send + 'static,
        T: Send + 'static,
        H: Fn(WebSocket, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
    {
        let mut backoff = Backoff::default();
        // The semaphores are never closed.
        while let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await
            && let Ok(greeting) = Arc::clone(&self.greetings).acquire_owned().await
        {
            match self.listener.accept().await {
                Ok((tcp, peer)) => {
                    if backoff.is_failing() {
                        tracing::info!("accepting again");
                        backoff.reset();
                    }
                    service.observed.tell(|observer| observer.accepted(peer));
                    if let Some((tcp, place)) = self.admit(service, tcp, peer, slot) {
                        tokio::spawn(Arc::clone(service).attend(tcp, peer, place, greeting));
                    }
                }
                Err(error) if is_connections_own(&error) => {
                    tracing::debug!(%error, "connection lost before it was accepted");
                }
                Err(error) => {
                    if !backoff.is_failing() {
                        tracing::warn!(%error, "cannot accept, trying again until it succeeds");
                    }
                    service
                        .observed
                        .tell(|observer| observer.accept_failed(&error));
                    sleep(backoff.failed()).await;
                }
            }
        }
    }

    /// Lets a connection in, or turns it away if its address has as many as it may.
    fn admit<J, H>(
        &self,
        service: &Service<J, H>,
        tcp: TcpStream,
        peer: SocketAddr,
        slot: OwnedSemaphorePermit,
    ) -> Option<(TcpStream, Place)> {
        if let Some(address) = self.addresses.enter(peer.ip()) {
            let place = Place {
                _slot: slot,
                _address: address,
            };
            return Some((tcp, place));
        }
        tracing::debug!(%peer, "refused: as many connections as an address may have");
        service.observed.tell(|observer| observer.refused(peer));
        // Nothing can be said over TLS before its handshake, which costs more than a flood is worth.
        if !service.is_tls() {
            self.refusing.refuse(tcp, slot);
        }
        None
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
