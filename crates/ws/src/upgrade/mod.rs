//! Upgrading a request that hyper, or axum on it, has parsed.
//!
//! The rules are the same as for [`Acceptor::handshake`](crate::Acceptor::handshake), as far as they show in a parsed request. What
//! hyper has decided before is listed in `docs/conformance.md`.
//!
//! # HTTP/2
//!
//! With the feature `http2`, requests of HTTP/2 are taken too: there a WebSocket is one stream among others, opened by a CONNECT
//! with the pseudo-header `:protocol` (RFC 8441). Clients send one only where the server allows it:
//!
//! * hyper: `hyper::server::conn::http2::Builder::enable_connect_protocol`;
//! * hyper-util: `auto::Builder::http2().enable_connect_protocol()`;
//! * `axum::serve`, with axum's feature `http2`, allows it by itself. Route with `any`: `get` does not match a CONNECT.
//!
//! A WebSocket that is not read from holds back the others of its HTTP/2 connection once what it left unread fills hyper's window for the
//! connection, which by default is no larger than that for one stream (1 MiB). Where a handler may stop receiving for long, make the
//! connection's much larger than the stream's: `initial_connection_window_size`, `initial_stream_window_size`.

mod head;
mod stream;

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use fullduplex_proto::{
    Config, Role,
    handshake::{Acceptance, Headers, Rejection, Request, Version, judge},
};
use hyper::upgrade::OnUpgrade;

use self::{head::head_of, stream::unwrap};
use crate::{
    accept::{Acceptor, open},
    info::Info,
    rate::RateLimit,
    websocket::WebSocket,
};

/// A request that keeps the rules and waits for its answer.
#[derive(Debug)]
pub struct Handshake {
    request: Request,
    upgrade: OnUpgrade,
    config: Arc<Config>,
    rate: Option<RateLimit>,
    peer: Option<SocketAddr>,
}

/// Judges a request. Where this process ends TLS, say so with [`Acceptor::tls_ends_here`](crate::Acceptor::tls_ends_here).
///
/// The request comes from hyper's connection with upgrades enabled, or from axum.
///
/// # Errors
///
/// The answer to a request that breaks a rule; [`rejection_response`] turns it into a response.
pub fn handshake<B>(
    request: &mut http::Request<B>,
    acceptor: &Acceptor,
) -> Result<Handshake, Rejection> {
    let upgrade = hyper::upgrade::on(&mut *request);
    let head = head_of(request)?;
    let request = judge(head, &acceptor.options)?;
    Ok(Handshake {
        request,
        upgrade,
        config: Arc::clone(&acceptor.config),
        rate: acceptor.rate,
        peer: None,
    })
}

impl Handshake {
    /// What the client asks for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Judges it anew, by these rules.
    #[cfg(feature = "axum")]
    pub(crate) fn judged_by(self, acceptor: &Acceptor) -> Result<Self, Rejection> {
        Ok(Self {
            request: judge(self.request.head().clone(), &acceptor.options)?,
            config: Arc::clone(&acceptor.config),
            rate: acceptor.rate,
            ..self
        })
    }

    /// Says who the client is, for [`WebSocket::peer_addr`]. Otherwise it is the peer of the TCP connection, where that can be
    /// seen; over HTTP/2 it cannot.
    #[must_use]
    pub fn peer_addr(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Accepts with the subprotocol that was agreed on: the response to return, and the connection to come.
    pub fn accept<B: Default>(self) -> (http::Response<B>, Upgrade) {
        let acceptance = self.request.accept();
        self.accept_with(&acceptance)
    }

    /// Accepts with an acceptance made from [`request`](Self::request). One made from another is answered 500, since no client
    /// would take it, and the connection does not come.
    pub fn accept_with<B: Default>(self, acceptance: &Acceptance) -> (http::Response<B>, Upgrade) {
        let response = if acceptance.answers(&self.request) {
            response(acceptance.status(), &acceptance.headers(), B::default())
        } else {
            response(500, &Headers::new(), B::default())
        };
        let info = Info::new(
            self.peer,
            self.request.resource(),
            acceptance.chosen_subprotocol(),
            acceptance.deflate(),
        );
        (
            response,
            Upgrade {
                upgrade: self.upgrade,
                pending: Some((self.config, info, self.rate)),
            },
        )
    }

    /// The response for a rejection of the application's own: as [`rejection_response`], and fit for the request's version of HTTP.
    pub fn reject<B: From<Vec<u8>>>(self, rejection: Rejection) -> http::Response<B> {
        if self.request.head().version() == Version::Http2 {
            rejection_response(&rejection.over_http2())
        } else {
            rejection_response(&rejection)
        }
    }
}

/// A connection that opens once the response has been sent. Spawn a task that awaits it, and return the response.
///
/// # Errors
///
/// [`UpgradeError`].
///
/// # Cancel safety
///
/// Cancel-safe, by reference. Dropped itself, it drops the connection.
#[derive(Debug)]
#[must_use = "the connection is dropped with it"]
pub struct Upgrade {
    upgrade: OnUpgrade,
    pending: Option<(Arc<Config>, Info, Option<RateLimit>)>,
}

impl Future for Upgrade {
    type Output = Result<WebSocket, UpgradeError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let upgraded = ready!(Pin::new(&mut self.upgrade).poll(cx)).map_err(UpgradeError)?;
        let (config, mut info, rate) = self.pending.take().unwrap_or_default();
        let (transport, early) = unwrap(upgraded);
        info.peer = info.peer.or_else(|| transport.peer_addr());
        transport.set_nodelay();
        let ws = open(transport, Role::Server, config, &early, info);
        Poll::Ready(Ok(ws.limited(rate)))
    }
}

/// The response for a rejection.
pub fn rejection_response<B: From<Vec<u8>>>(rejection: &Rejection) -> http::Response<B> {
    response(
        rejection.status(),
        rejection.headers(),
        B::from(rejection.body().to_owned()),
    )
}

fn response<B>(status: u16, headers: &Headers, body: B) -> http::Response<B> {
    let mut response = http::Response::new(body);
    // Both were checked when they were made, by the same rules.
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers.iter() {
        if let (Ok(name), Ok(value)) = (
            http::HeaderName::from_bytes(name.as_bytes()),
            http::HeaderValue::from_bytes(value),
        ) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The HTTP connection ended before it became a WebSocket.
#[derive(Debug)]
pub struct UpgradeError(hyper::Error);

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upgrade not completed: {}", self.0)
    }
}

impl std::error::Error for UpgradeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
