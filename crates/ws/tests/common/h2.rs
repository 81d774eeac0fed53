//! Peers that speak HTTP/2 and know no WebSocket: they send whatever they are told.

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use fullduplex_testkit::wire::Frame;
use h2::{
    Reason, RecvStream, SendStream,
    client::SendRequest,
    ext::Protocol,
    server::{Builder, SendResponse},
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
    task::JoinHandle,
};

use super::raw::within;

/// Room in a pipe: more than any window used here, so that only HTTP/2 holds anything back.
pub(crate) const ROOMY: usize = 4 << 20;

/// Waits for something, but no longer than anything is left to do: for tests whose time is paused.
pub(crate) async fn unless_idle<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(1), future)
        .await
        .ok()
}

/// How much the peer's window has room for; `None` if there is none and the peer does not make any either.
pub(crate) async fn room(tunnel: &mut Tunnel) -> Option<usize> {
    tunnel.send.reserve_capacity(16 << 10);
    loop {
        match tunnel.send.capacity() {
            0 => {}
            room => return Some(room),
        }
        let more = poll_fn(|cx| tunnel.send.poll_capacity(cx));
        unless_idle(more).await?.unwrap().unwrap();
    }
}

/// One stream, after its heads.
pub(crate) struct Tunnel {
    pub(crate) send: SendStream<Bytes>,
    pub(crate) recv: RecvStream,
    unread: Vec<u8>,
}

impl Tunnel {
    pub(crate) fn new(send: SendStream<Bytes>, recv: RecvStream) -> Self {
        Self {
            send,
            recv,
            unread: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let bytes: Vec<u8> = frames.into_iter().flat_map(|frame| frame.bytes()).collect();
        self.send.send_data(bytes.into(), false).unwrap();
    }

    /// Ends this direction.
    pub(crate) fn end(&mut self) {
        self.send.send_data(Bytes::new(), true).unwrap();
    }

    /// Reads one frame.
    pub(crate) async fn frame(&mut self) -> Frame {
        loop {
            if let Some(length) = frame_length(&self.unread)
                && length <= self.unread.len()
            {
                let rest = self.unread.split_off(length);
                let frame = std::mem::replace(&mut self.unread, rest);
                return fullduplex_testkit::wire::frames(&frame).remove(0);
            }
            let data = self.data().await.expect("no reset").expect("no end");
            self.unread.extend(data);
        }
    }

    /// The next DATA frame, which makes room for as much; `None` for its end.
    pub(crate) async fn data(&mut self) -> Result<Option<Bytes>, h2::Error> {
        let Some(data) = within(self.recv.data()).await.transpose()? else {
            return Ok(None);
        };
        self.recv.flow_control().release_capacity(data.len())?;
        Ok(Some(data))
    }

    /// Waits for the end of the peer's direction.
    pub(crate) async fn ended(&mut self) {
        while let Some(data) = self.data().await.unwrap() {
            self.unread.extend(data);
        }
    }

    /// Waits for a reset.
    pub(crate) async fn reset(&mut self) -> Option<Reason> {
        loop {
            match self.data().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return error.reason(),
            }
        }
    }
}

/// The length that a frame declares, its head included.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let second = usize::from(*bytes.get(1)?);
    let (extended, short) = match second & 0x7f {
        126 => (2, 0),
        127 => (8, 0),
        short => (0, short),
    };
    let declared = bytes
        .get(2..2 + extended)?
        .iter()
        .fold(short, |length, byte| length << 8 | usize::from(*byte));
    let key = if second & 0x80 == 0 { 0 } else { 4 };
    Some(2 + extended + key + declared)
}

/// A client.
pub(crate) struct RawClient {
    pub(crate) requests: SendRequest<Bytes>,
}

impl RawClient {
    pub(crate) async fn connect(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (requests, connection) = within(h2::client::handshake(io)).await.unwrap();
        tokio::spawn(connection);
        // SETTINGS are there once anything has been answered.
        let this = Self { requests };
        this.ask(Method::GET, None, "/", &[]).await;
        this
    }

    /// Sends the head of a request for this path of `https://example.com`; the response, and the stream behind it.
    pub(crate) async fn ask(
        &self,
        method: Method,
        protocol: Option<&'static str>,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (Response<()>, Tunnel) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://example.com{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        if let Some(protocol) = protocol {
            request
                .extensions_mut()
                .insert(Protocol::from_static(protocol));
        }
        let mut requests = within(self.requests.clone().ready()).await.unwrap();
        let (response, send) = requests.send_request(request, false).unwrap();
        let (head, body) = within(response).await.unwrap().into_parts();
        (Response::from_parts(head, ()), Tunnel::new(send, body))
    }

    /// Opens a WebSocket.
    pub(crate) async fn open(&self, path: &str) -> Tunnel {
        let version = [("sec-websocket-version", "13")];
        let (response, tunnel) = self
            .ask(Method::CONNECT, Some("websocket"), path, &version)
            .await;
        assert_eq!(response.status(), StatusCode::OK);
        tunnel
    }
}

/// A server.
pub(crate) struct RawServer {
    requests: mpsc::UnboundedReceiver<(Request<RecvStream>, SendResponse<Bytes>)>,
    serving: JoinHandle<()>,
}

impl RawServer {
    /// Serves one connection, whose SETTINGS allow extended CONNECT.
    pub(crate) fn new(io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::with(io, Builder::new().enable_connect_protocol())
    }

    pub(crate) fn with(
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        builder: &Builder,
    ) -> Self {
        let (tell, requests) = mpsc::unbounded_channel();
        let handshake = builder.handshake(io);
        let serving = tokio::spawn(async move {
            let mut connection = handshake.await.unwrap();
            while let Some(Ok(request)) = connection.accept().await {
                tell.send(request).ok();
            }
        });
        Self { requests, serving }
    }

    /// Drops the connection.
    pub(crate) fn abort(&self) {
        self.serving.abort();
    }

    /// The next request; `None` once the connection has ended.
    pub(crate) async fn request(&mut self) -> Option<(Request<RecvStream>, SendResponse<Bytes>)> {
        within(self.requests.recv()).await
    }

    /// Accepts the next request, with these headers.
    pub(crate) async fn accept(&mut self, headers: HeaderMap) -> (Request<()>, Tunnel) {
        let (request, mut respond) = self.request().await.expect("a request");
        let mut response = Response::new(());
        *response.headers_mut() = headers;
        let send = respond.send_response(response, false).unwrap();
        let (head, body) = request.into_parts();
        (Request::from_parts(head, ()), Tunnel::new(send, body))
    }
}
