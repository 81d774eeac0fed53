//! Many WebSockets over one connection of HTTP/2, as a client (RFC 8441).
//!
//! ```no_run
//! # async fn run() -> Result<(), fullduplex::ConnectError> {
//! use fullduplex::{Client, http2::Session};
//!
//! let client = Client::new("wss://example.org/feed")?;
//! let session = Session::connect(&client).await?;
//! let (mut news, _response) = session.open(&client).await?;
//! let (mut chat, _response) = session.open(&Client::new("wss://example.org/chat")?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Servers take them too: see the modules `upgrade` and `axum`.

mod drive;
mod error;
mod stream;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use fullduplex_proto::handshake::{
    ClientError, ExtendedConnect, Headers, PROTOCOL, Response, ResponseHead, Uri, Version,
};
use h2::{RecvStream, client::SendRequest, ext::Protocol};
use tokio::time::{Instant, timeout_at};

use self::{error::io_error, stream::Http2Stream};
use crate::{
    client::{Client, ConnectError, Http, Http2Error},
    deadline,
    transport::{Stream, Transport},
    websocket::WebSocket,
};

/// How much the server may send on one WebSocket before it is received: four times HTTP/2's own default, which would allow
/// only 64 KiB a round trip, and still little to hold for one that is not read from.
const STREAM_WINDOW: u32 = 256 << 10;

/// How much the server may send on all of them: as much as HTTP/2 can say, so that one that is not read from does not
/// hold back the others. What is held is bounded by the windows of the streams.
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;

/// What the bookkeeping of small DATA frames that are not received yet may cost, counted by h2 at up to 256 bytes each. A
/// window full of frames of ten bytes costs 7 MiB, so a few WebSockets may be that far behind; a server that
/// sends single bytes ends the session.
const FRAME_OVERHEAD: usize = 32 << 20;

/// Largest head of a response, as over HTTP/1.1.
const MAX_HEAD: u32 = 16 << 10;

/// A connection of HTTP/2 to one server. It lives as long as a clone of it, or a WebSocket opened with it.
///
/// A WebSocket that is dropped, not closed, resets its stream, and what was sent just before may be lost. The others go on.
///
/// The [`Client`]s say what is asked for: address, headers, origin, subprotocols, settings, timeout, and on connecting how.
/// Redirects are not followed and credentials not asked for.
#[derive(Clone, Debug)]
pub struct Session {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    requests: SendRequest<Bytes>,
    server: Server,
    peer: Option<SocketAddr>,
    ended: AtomicBool,
}

/// Whom a session may carry requests for: nobody else is to see their credentials.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    secure: bool,
    authority: String,
}

impl Server {
    fn of(uri: &Uri) -> Self {
        Self {
            secure: uri.is_secure(),
            authority: uri.authority(),
        }
    }
}

impl Session {
    /// Connects to the server of this client's address, and makes sure that it takes WebSockets over HTTP/2. For `wss:` HTTP/2 is
    /// negotiated by ALPN; for `ws:` it is taken for granted.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; [`ConnectError::Http2`] for a server that does not do this.
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the socket.
    pub async fn connect(client: &Client) -> Result<Self, ConnectError> {
        let deadline = deadline::after(client.time_limit());
        let connecting = Box::pin(async {
            let uri = client.request().uri();
            let transport = client.reach(uri, Http::Two, deadline).await?;
            Self::establish(client, transport).await
        });
        timeout_at(deadline, connecting)
            .await
            .unwrap_or(Err(ConnectError::Timeout))
    }

    /// As [`connect`](Self::connect), over a stream that is already connected, whatever the address says. No TLS is put on it.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// Dropping it closes the stream.
    pub async fn connect_over<S: Stream>(client: &Client, stream: S) -> Result<Self, ConnectError> {
        let deadline = deadline::after(client.time_limit());
        let connecting = Box::pin(Self::establish(client, Transport::new(stream)));
        timeout_at(deadline, connecting)
            .await
            .unwrap_or(Err(ConnectError::Timeout))
    }

    async fn establish(client: &Client, transport: Transport) -> Result<Self, ConnectError> {
        transport.set_nodelay();
        let peer = transport.peer_addr();
        let (requests, mut connection) = h2::client::Builder::new()
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .data_frame_budget(FRAME_OVERHEAD)
            .max_header_list_size(MAX_HEAD)
            .handshake(transport)
            .await
            .map_err(io_error)
            .map_err(ConnectError::Io)?;
        drive::until_enabled(&mut connection, &requests).await?;
        let inner = Arc::new(Inner {
            requests,
            server: Server::of(client.request().uri()),
            peer,
            ended: AtomicBool::new(false),
        });
        tokio::spawn(drive::drive(connection, Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// Opens one more WebSocket. The response has the headers that the server sent along. Where the server allows no more at a
    /// time, it waits for another to end.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]. A server that refuses is [`ConnectError::Handshake`], with status, headers and body; a client for another
    /// server than that of this session is [`ConnectError::Http2`].
    ///
    /// # Cancel safety
    ///
    /// Dropping it resets the stream; the session goes on.
    pub async fn open(&self, client: &Client) -> Result<(WebSocket, Response), ConnectError> {
        if Server::of(client.request().uri()) != self.inner.server {
            return Err(ConnectError::Http2(Http2Error::OtherServer));
        }
        let deadline = deadline::after(client.time_limit());
        timeout_at(deadline, Box::pin(self.shake_hands(client, deadline)))
            .await
            .unwrap_or(Err(ConnectError::Timeout))
    }

    /// Whether the connection has ended, and with it every WebSocket on it.
    pub fn is_ended(&self) -> bool {
        self.inner.ended.load(Ordering::Acquire)
    }

    /// The address of the server, if the stream is TCP.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.inner.peer
    }

    async fn shake_hands(
        &self,
        client: &Client,
        deadline: Instant,
    ) -> Result<(WebSocket, Response), ConnectError> {
        let connect = client.request().extended_connect();
        let request = request(&connect)?;
        let broken = |error| ConnectError::Io(io_error(error));
        let ready = self.inner.requests.clone().ready();
        let mut requests = ready.await.map_err(broken)?;
        let (response, send) = requests.send_request(request, false).map_err(broken)?;
        drop(requests);
        let (head, body) = response.await.map_err(broken)?.into_parts();
        let head = response_head(&head);
        let judged = match connect.judge(head) {
            Err(ClientError::Refused(refused)) => {
                let (body, complete) = read_body(body, connect.max_body(), deadline).await;
                let refused = Box::new(refused.with_body(body, complete));
                return Err(ConnectError::Handshake(ClientError::Refused(refused)));
            }
            judged => judged,
        };
        let response = judged.map_err(ConnectError::Handshake)?;
        let transport = Transport::new(Http2Stream::new(send, body));
        client
            .accepted(
                client.request(),
                transport,
                self.inner.peer,
                &[],
                response,
                deadline,
            )
            .await
    }
}

/// The pseudo-headers and the header lines (RFC 8441 §4, §5).
fn request(connect: &ExtendedConnect) -> Result<http::Request<()>, ConnectError> {
    let uri = http::Uri::builder()
        .scheme(connect.scheme())
        .authority(connect.authority())
        .path_and_query(connect.path());
    let mut request = http::Request::connect(uri.build().map_err(unsendable)?)
        .version(http::Version::HTTP_2)
        .extension(Protocol::from_static(PROTOCOL));
    for (name, value) in connect.headers().iter() {
        request = request.header(name, value);
    }
    request.body(()).map_err(unsendable)
}

/// Ours are stricter than the rules of http, so this does not happen.
fn unsendable(error: http::Error) -> ConnectError {
    ConnectError::Io(std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
}

fn response_head(head: &http::response::Parts) -> ResponseHead {
    let mut headers = Headers::new();
    for (name, value) in &head.headers {
        // h2 has checked them by the same rules.
        headers.append(name.as_str(), value.as_bytes()).ok();
    }
    ResponseHead::new(head.status.as_u16(), Version::Http2, headers)
}

/// The body of a refusal, as far as it comes in time and within the limit, and whether that is all of it.
async fn read_body(mut body: RecvStream, max: usize, deadline: Instant) -> (Vec<u8>, bool) {
    let mut collected = Vec::new();
    loop {
        match timeout_at(deadline, body.data()).await {
            Ok(Some(Ok(data))) => {
                let wanted = data.len().min(max - collected.len());
                collected.extend_from_slice(&data[..wanted]);
                if wanted < data.len() {
                    return (collected, false);
                }
                body.flow_control().release_capacity(wanted).ok();
            }
            Ok(None) => return (collected, true),
            Ok(Some(Err(_))) | Err(_) => return (collected, false),
        }
    }
}
