//! What is at the other end of a scripted transport, in frames.

use fullduplex_proto::{Role, handshake::accept_for};

use crate::{
    scripted_io::{Script, ScriptedIo},
    wire::{self, Frame},
};

/// The request of RFC 6455 §1.2, without Origin: what [`Peer::client`] asks.
pub const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A client or a server that does what a test says, right or wrong, at the other end of a [`ScriptedIo`].
///
/// ```
/// use fullduplex_testkit::{Peer, wire};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (mut io, peer) = Peer::client();
/// peer.push([wire::text("Hello"), wire::close_empty()]);
///
/// // Here would be the server under test.
/// let mut request = [0; 1024];
/// let n = io.read(&mut request).await?;
/// assert!(request[..n].starts_with(b"GET /chat HTTP/1.1\r\n"));
/// io.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x88\x02\x03\xe8").await?;
///
/// assert_eq!(peer.frames(), [wire::close(1000, "")]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Peer {
    /// The transport's other end: faults, ends, and everything as bytes.
    pub script: Script,
    role: Role,
}

impl Peer {
    /// A client that has sent [`REQUEST`], and the transport for the server under test.
    pub fn client() -> (ScriptedIo, Self) {
        let (io, script) = ScriptedIo::new();
        script.push(REQUEST);
        let role = Role::Client;
        (io, Self { script, role })
    }

    /// A server, and the transport for the client under test.
    pub fn server() -> (ScriptedIo, Self) {
        let (io, script) = ScriptedIo::new();
        let role = Role::Server;
        (io, Self { script, role })
    }

    /// As a server, waits for the request and accepts it, with these header lines besides (each ended by CRLF).
    ///
    /// # Panics
    ///
    /// If the request has no `Sec-WebSocket-Key`.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: nothing is answered before the request is whole.
    pub async fn accept(&self, more: &str) {
        self.script.until(|script| head_len(script) > 0).await;
        let request = self.script.written();
        let request = String::from_utf8_lossy(&request);
        let key = request
            .split_once("Sec-WebSocket-Key: ")
            .and_then(|(_, rest)| rest.split_once("\r\n"));
        assert!(key.is_some(), "no key in {request}");
        let accept = accept_for(key.unwrap_or_default().0.as_bytes());
        self.script.push(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
        ));
    }

    /// Lets frames arrive in one read, masked or not as this peer's role demands.
    pub fn push(&self, frames: impl IntoIterator<Item = Frame>) {
        let bytes: Vec<u8> = frames
            .into_iter()
            .flat_map(|frame| frame.sent_by(self.role).bytes())
            .collect();
        self.script.push(bytes);
    }

    /// What was written behind the handshake, write by write.
    ///
    /// # Panics
    ///
    /// If a write does not end where a frame does.
    pub fn writes(&self) -> Vec<Vec<Frame>> {
        let mut head = head_len(&self.script);
        let mut writes = Vec::new();
        for write in self.script.writes() {
            let skipped = head.min(write.len());
            head -= skipped;
            if skipped < write.len() {
                writes.push(wire::frames(&write[skipped..]));
            }
        }
        writes
    }

    /// What was written behind the handshake.
    ///
    /// # Panics
    ///
    /// If it does not end where a frame does.
    pub fn frames(&self) -> Vec<Frame> {
        wire::frames(&self.script.written()[head_len(&self.script)..])
    }
}

/// How long the head is that was written; zero while it is not whole.
fn head_len(script: &Script) -> usize {
    const END: &[u8] = b"\r\n\r\n";
    let written = script.written();
    let end = written.windows(END.len()).position(|part| part == END);
    end.map_or(0, |at| at + END.len())
}
