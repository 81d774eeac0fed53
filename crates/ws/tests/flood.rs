//! Goal: a peer that never stops sending puts off no deadline.
//! Method: a transport that always has more to read, and yields only as tokio's cooperative budget makes sockets yield.

#![expect(clippy::expect_used, reason = "helpers of tests")]

mod common;

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use common::REQUEST;
use fullduplex::{Acceptor, CloseFrame, Config, WebSocket};
use fullduplex_testkit::wire;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

/// Much longer than the deadlines under test, so that a slow machine does not matter.
const PATIENCE: Duration = Duration::from_secs(60);

/// First some bytes, then the same ones again and again.
struct Endless {
    first: Vec<u8>,
    then: Vec<u8>,
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(tokio::task::coop::poll_proceed(cx)).made_progress();
        let first = std::mem::take(&mut self.first);
        if first.is_empty() {
            while buf.remaining() >= self.then.len() {
                buf.put_slice(&self.then);
            }
        } else {
            buf.put_slice(&first);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A server's connection whose peer sends `first` and then pongs without end.
async fn flooded(config: Config, first: wire::Frame) -> WebSocket {
    let mut head = REQUEST.as_bytes().to_vec();
    head.extend(first.masked().bytes());
    let endless = Endless {
        first: head,
        then: wire::pong("").masked().bytes(),
    };
    Acceptor::new()
        .config(config)
        .accept(endless)
        .await
        .expect("a good request")
}

#[tokio::test]
async fn p77_a_flood_does_not_put_off_the_close_timeout() {
    let mut config = Config::default();
    config.close_timeout = Duration::from_millis(100);
    let mut ws = flooded(config, wire::text("hello")).await;
    let closing = timeout(PATIENCE, ws.close(CloseFrame::normal()));
    assert!(!closing.await.expect("it ends").clean);
}

#[tokio::test]
async fn p84_a_flood_of_pongs_does_not_put_off_the_deadline_of_a_message() {
    let mut config = Config::default();
    config.message_timeout = Some(Duration::from_millis(100));
    config.close_timeout = Duration::from_millis(100);
    let mut ws = flooded(config, wire::text("begun").not_fin()).await;
    assert!(
        timeout(PATIENCE, ws.recv())
            .await
            .expect("it ends")
            .is_err()
    );
}
