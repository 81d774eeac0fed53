//! An extractor for axum: a route becomes a WebSocket.
//!
//! ```no_run
//! use axum::{Router, response::Response, routing::any};
//! use fullduplex::{Error, axum::WebSocketUpgrade};
//!
//! async fn echo(upgrade: WebSocketUpgrade) -> Response {
//!     upgrade.on_upgrade(async |mut ws| {
//!         while let Some(message) = ws.recv().await? {
//!             ws.send(message).await?;
//!         }
//!         Ok::<_, Error>(())
//!     })
//! }
//!
//! # async fn run() -> std::io::Result<()> {
//! // `any`, since HTTP/2 opens a WebSocket by CONNECT, which `get` does not match.
//! let router: Router = Router::new().route("/ws", any(echo));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, router).await
//! # }
//! ```
//!
//! Rules for all routes come as an [`Acceptor`] in axum's `Extension`: `router.layer(Extension(Acceptor::new().origins(…)))`. Without
//! one, only pages of the same origin may connect. A handler can change them with [`origins`](WebSocketUpgrade::origins) and the
//! other methods.
//!
//! HTTP/2 needs the features `http2` here and in axum; [`upgrade`] says what to know about it.

use std::{
    fmt,
    future::Future,
    mem,
    net::SocketAddr,
    sync::{Arc, LazyLock},
};

use axum_core::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use fullduplex_proto::{
    Config, Deflate,
    handshake::{Origins, Rejection, Request},
};
use http::request::Parts;

use crate::{
    accept::Acceptor,
    handler::{self, HandlerOutput},
    upgrade::{self, Handshake, Upgrade},
    websocket::WebSocket,
};

/// What is checked when a request is extracted: that it is a valid one, whoever sends it.
static ANYBODY: LazyLock<Acceptor> = LazyLock::new(|| Acceptor::new().origins(Origins::Any));

/// A request for a WebSocket that waits for its answer.
///
/// To extract it is to check that the request is valid (RFC 6455 §4.2.1, RFC 8441 §5). What the server allows, which is origins, hosts
/// and subprotocols, is checked when the handler accepts, since it has a say in it.
#[derive(Debug)]
#[must_use = "the request is not answered by a WebSocket without `on_upgrade`"]
pub struct WebSocketUpgrade {
    handshake: Handshake,
    acceptor: Acceptor,
}

impl<S: Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = Rejected;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Rejected> {
        // The rules are those for whole requests.
        let (placeholder, ()) = http::Request::new(()).into_parts();
        let mut request = http::Request::from_parts(mem::replace(parts, placeholder), ());
        let judged = upgrade::handshake(&mut request, &ANYBODY);
        *parts = request.into_parts().0;
        Ok(Self {
            handshake: judged.map_err(refused)?,
            acceptor: parts.extensions.get().cloned().unwrap_or_default(),
        })
    }
}

impl WebSocketUpgrade {
    /// What the client asks for. Which subprotocol is agreed on, the [`WebSocket`] says.
    pub fn request(&self) -> &Request {
        self.handshake.request()
    }

    /// Replaces the rules, and the settings of the connection.
    pub fn acceptor(mut self, acceptor: Acceptor) -> Self {
        self.acceptor = acceptor;
        self
    }

    /// Which origins may connect; clients that send none always may.
    pub fn origins(mut self, origins: Origins) -> Self {
        self.acceptor = self.acceptor.origins(origins);
        self
    }

    /// Which subprotocols are spoken. The first of the client's that is among them is agreed on.
    pub fn subprotocols<S: Into<String>>(
        mut self,
        subprotocols: impl IntoIterator<Item = S>,
    ) -> Self {
        self.acceptor = self.acceptor.subprotocols(subprotocols);
        self
    }

    /// Compresses messages (permessage-deflate, RFC 7692) with clients that offer it. By default none are.
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.acceptor = self.acceptor.deflate(deflate);
        self
    }

    /// The settings of the connection.
    pub fn config(mut self, config: impl Into<Arc<Config>>) -> Self {
        self.acceptor = self.acceptor.config(config);
        self
    }

    /// Says who the client is, for [`WebSocket::peer_addr`]: what axum's `ConnectInfo` has, or a proxy's header. Otherwise it is the
    /// peer of the TCP connection, and unknown over HTTP/2.
    pub fn peer_addr(mut self, peer: SocketAddr) -> Self {
        self.handshake = self.handshake.peer_addr(peer);
        self
    }

    /// Checks what the server allows. For handlers that want to add headers to the response, or to run the connection
    /// themselves; for the others there is [`on_upgrade`](Self::on_upgrade).
    ///
    /// # Errors
    ///
    /// [`Rejected`], the response to return.
    pub fn handshake(self) -> Result<Handshake, Rejected> {
        self.handshake.judged_by(&self.acceptor).map_err(refused)
    }

    /// Accepts, and runs `handler` in a task of its own as a [`Server`](crate::Server) does: [corked](crate::corked), and the connection
    /// closed with 1000 when it returns, with 1011 when it returns an error or panics. A request that the server does not allow is
    /// answered with the reason instead.
    ///
    /// How the connection ended, and why an upgrade was not completed, goes to the log; who needs to know uses
    /// [`handshake`](Self::handshake).
    #[must_use = "the client waits for this response"]
    pub fn on_upgrade<F, Fut>(self, handler: F) -> Response
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output: HandlerOutput> + Send + 'static,
    {
        match self.handshake() {
            Ok(handshake) => {
                let (response, upgrade) = handshake.accept();
                tokio::spawn(serve(upgrade, handler));
                response
            }
            Err(rejected) => rejected.into_response(),
        }
    }

    /// The response for a rejection of the application's own, fit for the request's version of HTTP.
    #[must_use = "the client waits for this response"]
    pub fn reject(self, rejection: Rejection) -> Response {
        self.handshake.reject(rejection)
    }
}

async fn serve<F, Fut>(upgrade: Upgrade, handler: F)
where
    F: FnOnce(WebSocket) -> Fut,
    Fut: Future<Output: HandlerOutput>,
{
    match upgrade.await {
        Ok(ws) => {
            let handle = ws.handle.clone();
            let end = handler::run(&handle, || handler(ws)).await;
            let outcome = handler::close(&handle, end).await;
            let info = &handle.shared.info;
            tracing::info!(
                peer = info.peer.map(tracing::field::display),
                path = %info.path(),
                %outcome,
                "closed"
            );
        }
        Err(error) => tracing::info!(%error, "no connection"),
    }
}

/// The answer to a request that is not accepted, as a response.
#[derive(Debug)]
pub struct Rejected(Rejection);

impl Rejected {
    /// What is answered, and why.
    pub fn rejection(&self) -> &Rejection {
        &self.0
    }
}

fn refused(rejection: Rejection) -> Rejected {
    tracing::info!(%rejection, "refused");
    Rejected(rejection)
}

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        upgrade::rejection_response(&self.0)
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Rejected {}
