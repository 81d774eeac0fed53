//! What a server tells whoever counts.

use std::{
    fmt, io,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use fullduplex_proto::Outcome;

use crate::error::HandshakeError;

/// Told what happens on a [`Server`](crate::Server), to count it. Every method does nothing unless it is written.
///
/// Each connection is [`accepted`](Self::accepted), and then exactly one of: [`refused`](Self::refused);
/// [`handshake_failed`](Self::handshake_failed); [`opened`](Self::opened) and, later, [`closed`](Self::closed).
///
/// The methods are called in the server's own tasks, so they must neither block nor take long: add to an atomic number, or
/// put into a channel that does not wait. A panic in one is caught, and costs the connection nothing.
///
/// ```
/// use std::{net::SocketAddr, sync::atomic::{AtomicU64, Ordering}};
///
/// #[derive(Default)]
/// struct Opened(AtomicU64);
///
/// impl fullduplex::Observer for Opened {
///     fn opened(&self, _peer: SocketAddr) {
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
/// ```
pub trait Observer: Send + Sync + 'static {
    /// A TCP connection was accepted.
    fn accepted(&self, peer: SocketAddr) {
        let _ = peer;
    }

    /// Accepting failed for want of descriptors or memory; it is tried again after a pause.
    fn accept_failed(&self, error: &io::Error) {
        let _ = error;
    }

    /// A connection was turned away, because its address has as many as it [may have](crate::Server::max_per_address).
    fn refused(&self, peer: SocketAddr) {
        let _ = peer;
    }

    /// A handshake ended in a rejection, which has the [status](fullduplex_proto::handshake::Rejection::status), or was not
    /// completed.
    fn handshake_failed(&self, peer: SocketAddr, error: &HandshakeError) {
        let _ = (peer, error);
    }

    /// A handshake succeeded: the handler begins.
    fn opened(&self, peer: SocketAddr) {
        let _ = peer;
    }

    /// An open connection ended, and its handler too.
    fn closed(&self, peer: SocketAddr, closed: &Closed) {
        let _ = (peer, closed);
    }
}

/// An open connection that ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Closed {
    /// How.
    pub outcome: Outcome,
    /// How long it was open.
    pub duration: Duration,
    /// How often its [rate limit](crate::Acceptor::rate_limit) was met: waits, or messages thrown away.
    pub rate_limited: u64,
}

/// The observer, if there is one, whose panics are its own.
#[derive(Clone, Default)]
pub(crate) struct Observed(pub(crate) Option<Arc<dyn Observer>>);

impl Observed {
    pub(crate) fn tell(&self, what: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.0 {
            // The panic's hook has reported it.
            drop(catch_unwind(AssertUnwindSafe(|| {
                what(observer.as_ref());
            })));
        }
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer" } else { "None" })
    }
}
