//! Connections over scripted transports, with the opening handshake already behind them.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

pub(crate) mod raw;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use fullduplex::{Acceptor, Client, Config, Role, WebSocket};
use fullduplex_testkit::{
    Script, ScriptedIo,
    wire::{self, Frame},
};

/// The request of RFC 6455 §1.2, without Origin.
pub(crate) const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A server's connection. What it wrote for the handshake has been taken out of the script's account.
pub(crate) async fn server(config: Config) -> (WebSocket, Wire) {
    let (io, script) = ScriptedIo::new();
    script.push(REQUEST);
    let ws = Acceptor::new().config(config).accept(io).await.unwrap();
    (ws, Wire::new(script, Role::Client))
}

/// A client's connection, answered by the script.
pub(crate) async fn client(config: Config) -> (WebSocket, Wire) {
    let (io, script) = ScriptedIo::new();
    let connecting = tokio::spawn(
        Client::new("ws://server.example.com/chat")
            .unwrap()
            .config(config)
            .connect_over(io),
    );
    script
        .until(|script| script.written().ends_with(b"\r\n\r\n"))
        .await;
    let request = String::from_utf8(script.written()).unwrap();
    let key = request
        .split("Sec-WebSocket-Key: ")
        .nth(1)
        .unwrap()
        .split("\r\n")
        .next()
        .unwrap();
    let accept = fullduplex::handshake::accept_for(key.as_bytes());
    script.push(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    ));
    let (ws, _response) = connecting.await.unwrap().unwrap();
    (ws, Wire::new(script, Role::Server))
}

/// The peer's end of a scripted transport, after the handshake.
pub(crate) struct Wire {
    pub(crate) script: Script,
    peer: Role,
    handshake: usize,
}

impl Wire {
    fn new(script: Script, peer: Role) -> Self {
        let handshake = script.writes().len();
        Self {
            script,
            peer,
            handshake,
        }
    }

    /// Lets frames arrive in one read.
    pub(crate) fn push(&self, frames: impl IntoIterator<Item = Frame>) {
        let bytes: Vec<u8> = frames
            .into_iter()
            .flat_map(|frame| frame.sent_by(self.peer).bytes())
            .collect();
        self.script.push(bytes);
    }

    /// The writes since the handshake, each as the frames it holds.
    pub(crate) fn writes(&self) -> Vec<Vec<Frame>> {
        self.script
            .writes()
            .iter()
            .skip(self.handshake)
            .map(|bytes| wire::frames(bytes))
            .collect()
    }

    /// All frames written since the handshake.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        wire::frames(&self.script.writes()[self.handshake..].concat())
    }
}

/// Polls a future a number of times, then drops it; its output if it finished.
pub(crate) async fn poll_times<F: Future>(
    mut future: Pin<&mut F>,
    times: usize,
) -> Option<F::Output> {
    let mut left = times;
    std::future::poll_fn(|cx: &mut Context<'_>| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                // Polled again at once, whether or not the future asks for it.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    })
    .await
}
