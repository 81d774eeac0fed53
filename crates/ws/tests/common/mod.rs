//! Connections over scripted transports, with the opening handshake already behind them.
#![allow(dead_code, unused_imports, reason = "each test file uses its part")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

#[cfg(feature = "tls")]
pub(crate) mod authority;
pub(crate) mod group;
#[cfg(feature = "http2")]
pub(crate) mod h2;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod room;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use fullduplex::{Acceptor, Client, Config, WebSocket};
pub(crate) use fullduplex_testkit::{Peer as Wire, REQUEST};

/// A server's connection, and its peer.
pub(crate) async fn server(config: Config) -> (WebSocket, Wire) {
    let (io, wire) = Wire::client();
    let ws = Acceptor::new().config(config).accept(io).await.unwrap();
    (ws, wire)
}

/// A client's connection, and its peer.
pub(crate) async fn client(config: Config) -> (WebSocket, Wire) {
    let (io, wire) = Wire::server();
    let client = Client::new("ws://server.example.com/chat")
        .unwrap()
        .config(config);
    let (connected, ()) = tokio::join!(client.connect_over(io), wire.accept(""));
    (connected.unwrap().0, wire)
}

/// Runs `test` with 0, 1, 2, … polls after which it drops a future (see [`poll_times`]), until it says that the future was done
/// by then.
pub(crate) async fn dropped_after_every_poll(mut test: impl AsyncFnMut(usize) -> bool) {
    /// Scripts are short: who needs more does not get on.
    const MOST: usize = 20_000;
    for polls in 0..MOST {
        if test(polls).await {
            return;
        }
    }
    panic!("not done after {MOST} polls");
}

/// Polls a future a number of times, then drops it; its output if it finished.
pub(crate) async fn poll_times<F: Future + ?Sized>(
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
