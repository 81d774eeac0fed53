//! Real loopback sockets: a server that echoes, and a client that knows no WebSocket and sends whatever it is told.

use std::{future::Future, net::SocketAddr, time::Duration};

use fullduplex::{Acceptor, CloseFrame, Server, WebSocket};
use fullduplex_testkit::wire::{self, Frame};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long anything may take that must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for what must happen.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it happens in time")
}

/// Lets so much time pass at once, for all that waits on this runtime: deadlines in tests are long, that none passes by itself where
/// a machine is slow.
pub(crate) async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// Sends every message back.
pub(crate) async fn echo(mut ws: WebSocket) -> Result<(), fullduplex::Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

/// A server on a free port of loopback.
pub(crate) async fn bound() -> (Server, SocketAddr) {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    (server, addr)
}

/// A server that echoes until the test ends.
pub(crate) async fn echo_server(acceptor: Acceptor) -> SocketAddr {
    let (server, addr) = bound().await;
    tokio::spawn(server.acceptor(acceptor).serve(echo));
    addr
}

/// Whatever happened before: a well-behaved client is served from the handshake to a clean close.
pub(crate) async fn serves_the_next_client(addr: SocketAddr) {
    within(async {
        let mut ws = fullduplex::connect(&format!("ws://{addr}/")).await.unwrap();
        ws.send("is anybody there?").await.unwrap();
        assert_eq!(ws.recv().await, Ok(Some("is anybody there?".into())));
        assert!(ws.close(CloseFrame::normal()).await.clean);
    })
    .await;
}

/// A valid request to `/` of this server, without Origin, with more header lines (each ended by CRLF).
pub(crate) fn request(addr: SocketAddr, more: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// The 101 to [`request`], with more header lines.
pub(crate) fn acceptance(more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{more}\r\n"
    )
}

/// A refusal as it stands on the wire: status line, header lines but for `Content-Length`, sentence.
pub(crate) fn refusal(status: &str, headers: &[&str], sentence: &str) -> String {
    let length = sentence.len() + 1;
    let headers = headers.join("\r\n");
    format!("HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {length}\r\n\r\n{sentence}\n")
}

/// What the body of a refusal is.
pub(crate) const TEXT: &str = "Content-Type: text/plain; charset=utf-8";

/// A refusal without headers of its own.
pub(crate) fn plain_refusal(status: &str, sentence: &str) -> String {
    refusal(status, &["Connection: close", TEXT], sentence)
}

pub(crate) fn bad_request(sentence: &str) -> String {
    plain_refusal("400 Bad Request", sentence)
}

/// Sends a request and checks the whole answer, the end of TCP, and that the server goes on.
pub(crate) async fn answers(addr: SocketAddr, request: impl AsRef<[u8]>, expected: &str) {
    let mut raw = Raw::connect(addr).await;
    raw.send(&request).await;
    let shown = String::from_utf8_lossy(request.as_ref()).into_owned();
    assert_eq!(raw.rest_as_text().await, expected, "{shown}");
    drop(raw);
    serves_the_next_client(addr).await;
}

/// As [`answers`], for a request that is accepted.
pub(crate) async fn is_accepted(addr: SocketAddr, request: impl AsRef<[u8]>, more: &str) {
    let mut raw = Raw::connect(addr).await;
    raw.send(&request).await;
    let shown = String::from_utf8_lossy(request.as_ref()).into_owned();
    assert_eq!(raw.head().await, acceptance(more), "{shown}");
    raw.send_frames([wire::text("hi"), wire::close(1000, "")])
        .await;
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::text("hi"), wire::close(1000, "")]
    );
}

/// A TCP connection without any protocol.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(addr)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Connects and goes through a valid handshake.
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let mut raw = Self::connect(addr).await;
        raw.send(request(addr, "")).await;
        assert_eq!(raw.head().await, acceptance(""));
        raw
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends frames as a client does, in one write.
    pub(crate) async fn send_frames(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let bytes: Vec<u8> = frames
            .into_iter()
            .flat_map(|frame| frame.masked().bytes())
            .collect();
        self.send(bytes).await;
    }

    /// Sends what may not be taken any more.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        within(self.stream.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Ends this direction.
    pub(crate) async fn end(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// Reads up to the blank line.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(self.stream.read_u8()).await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads one frame.
    pub(crate) async fn frame(&mut self) -> Frame {
        let mut bytes = self.exactly(2).await;
        let extended = match bytes[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        bytes.extend(self.exactly(extended).await);
        let length = match extended {
            0 => usize::from(bytes[1] & 0x7f),
            _ => bytes[2..]
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        bytes.extend(self.exactly(length).await);
        wire::frames(&bytes).remove(0)
    }

    async fn exactly(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        within(self.stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// Reads to the orderly end of TCP; a reset fails the test.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        within(self.stream.read_to_end(&mut rest)).await.unwrap();
        rest
    }

    /// Reads to the end of TCP, as text.
    pub(crate) async fn rest_as_text(&mut self) -> String {
        String::from_utf8(self.rest().await).unwrap()
    }

    /// Reads to the end of TCP, as frames.
    pub(crate) async fn rest_as_frames(&mut self) -> Vec<Frame> {
        wire::frames(&self.rest().await)
    }
}
