//! Upgrading a request that hyper, or axum on it, has parsed.
//!
//! The rules are the same as for [`Acceptor::handshake`](crate::Acceptor::handshake), as far as they show in a parsed request. What
//! hyper has decided before is listed in `docs/conformance.md`.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use fullduplex_proto::{
    Config, Role,
    handshake::{Acceptance, Headers, Rejection, Request, RequestHead, Version, judge},
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto};
use tokio::net::TcpStream;

use crate::{
    accept::{Acceptor, open},
    info::Info,
    rate::RateLimit,
    transport::{Stream, Transport},
    websocket::WebSocket,
};

/// A request that keeps the rules and waits for its answer.
#[derive(Debug)]
pub struct Handshake {
    request: Request,
    upgrade: OnUpgrade,
    config: Arc<Config>,
    rate: Option<RateLimit>,
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
    })
}

impl Handshake {
    /// What the client asks for.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// Accepts with the subprotocol that was agreed on: the 101 to return, and the connection to come.
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
        let info = Info {
            peer: None,
            resource: self.request.resource().into(),
            subprotocol: acceptance.chosen_subprotocol().map(Into::into),
            deflate: acceptance.deflate().map(Box::new),
        };
        (
            response,
            Upgrade {
                upgrade: self.upgrade,
                pending: Some((self.config, info, self.rate)),
            },
        )
    }
}

/// A connection that opens once the 101 has been sent. Spawn a task that awaits it, and return the response.
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
        info.peer = transport.peer_addr();
        transport.set_nodelay();
        let ws = open(transport, Role::Server, config, &early, info);
        Poll::Ready(Ok(ws.limited(rate)))
    }
}

/// The stream itself, where it is one we know: then hyper's layers are gone. Else as hyper hands it out.
fn unwrap(upgraded: Upgraded) -> (Transport, Bytes) {
    let upgraded = match take::<TcpStream>(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    #[cfg(feature = "tls")]
    let upgraded = match take::<tokio_rustls::server::TlsStream<TcpStream>>(upgraded) {
        Ok(taken) => return taken,
        Err(upgraded) => upgraded,
    };
    (Transport::new(TokioIo::new(upgraded)), Bytes::new())
}

/// Takes an `S` out, and what hyper has read ahead: from hyper's own connections, or those of hyper-util's `auto`, by which
/// axum serves.
fn take<S: Stream>(upgraded: Upgraded) -> Result<(Transport, Bytes), Upgraded> {
    let (io, early) = match upgraded.downcast::<TokioIo<S>>() {
        Ok(parts) => (parts.io, parts.read_buf),
        Err(upgraded) => {
            let parts = auto::upgrade::downcast::<TokioIo<S>>(upgraded)?;
            (parts.io, parts.read_buf)
        }
    };
    Ok((Transport::new(io.into_inner()), early))
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

fn head_of<B>(request: &http::Request<B>) -> Result<RequestHead, Rejection> {
    let version = match request.version() {
        http::Version::HTTP_11 => Version::Http11,
        http::Version::HTTP_10 => Version::Http10,
        _ => {
            return Err(Rejection::new(
                505,
                "A WebSocket is opened by HTTP/1.1 here.",
            ));
        }
    };
    let mut headers = Headers::new();
    for (name, value) in request.headers() {
        if headers.append(name.as_str(), value.as_bytes()).is_err() {
            return Err(Rejection::new(400, "A header line is not valid."));
        }
    }
    Ok(RequestHead::new(
        request.method().as_str(),
        request.uri().to_string(),
        version,
        headers,
    ))
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
