//! Goal: an observer hears of each connection once when it comes and once when it goes.
//! Method: real loopback sockets, one client after the other; what is heard is written down.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{io, net::SocketAddr, sync::Arc};

use common::raw::{Raw, bound, echo, request, within};
use fullduplex::{CloseFrame, Closed, Error, HandshakeError, Observer, Server, WebSocket, connect};
use tokio::sync::{mpsc, oneshot};

/// Writes down what it hears.
struct Ear(mpsc::UnboundedSender<(SocketAddr, String)>);

impl Ear {
    fn hears(&self, peer: SocketAddr, what: impl Into<String>) {
        self.0.send((peer, what.into())).ok();
    }
}

impl Observer for Ear {
    fn accepted(&self, peer: SocketAddr) {
        self.hears(peer, "accepted");
    }

    fn refused(&self, peer: SocketAddr) {
        self.hears(peer, "refused");
    }

    fn handshake_failed(&self, peer: SocketAddr, error: &HandshakeError) {
        self.hears(
            peer,
            match error {
                HandshakeError::Rejected(rejection) => format!("rejected {}", rejection.status()),
                HandshakeError::Io(error) => format!("failed {:?}", error.kind()),
                other => panic!("unexpected: {other}"),
            },
        );
    }

    fn opened(&self, peer: SocketAddr) {
        self.hears(peer, "opened");
    }

    fn closed(&self, peer: SocketAddr, closed: &Closed) {
        self.hears(peer, format!("closed {}", closed.outcome));
    }
}

/// What is heard about one peer until it is gone.
struct Heard(mpsc::UnboundedReceiver<(SocketAddr, String)>);

impl Heard {
    async fn next(&mut self, peer: SocketAddr) -> String {
        let (of, what) = within(self.0.recv()).await.unwrap();
        assert_eq!(of, peer);
        what
    }

    async fn is(&mut self, peer: SocketAddr, expected: &[&str]) {
        for expected in expected {
            assert_eq!(self.next(peer).await, *expected);
        }
    }
}

async fn observed() -> (Server, SocketAddr, Heard) {
    let (server, addr) = bound().await;
    let (tells, heard) = mpsc::unbounded_channel();
    (server.observer(Arc::new(Ear(tells))), addr, Heard(heard))
}

#[tokio::test]
async fn good_bad_and_aborted_connections_are_each_told_apart() {
    let (server, addr, mut heard) = observed().await;
    let handler = async |mut ws: WebSocket| -> Result<(), Error> {
        while let Some(message) = ws.recv().await? {
            assert_ne!(message.as_text(), Some("panic"));
        }
        Ok(())
    };
    tokio::spawn(server.serve(handler));

    let mut raw = Raw::open(addr).await;
    let peer = raw.stream.local_addr().unwrap();
    raw.send_frames([fullduplex_testkit::wire::close(1000, "bye")])
        .await;
    raw.end().await;
    heard
        .is(peer, &["accepted", "opened", "closed 1000 \"bye\" by peer"])
        .await;

    let mut raw = Raw::connect(addr).await;
    let peer = raw.stream.local_addr().unwrap();
    raw.send(request(addr, "").replacen("GET", "POST", 1)).await;
    raw.rest().await;
    drop(raw);
    heard.is(peer, &["accepted", "rejected 405"]).await;

    let mut raw = Raw::connect(addr).await;
    let peer = raw.stream.local_addr().unwrap();
    raw.send("GET / HTTP/1.1\r\n").await;
    raw.end().await;
    heard.is(peer, &["accepted", "failed UnexpectedEof"]).await;

    let raw = Raw::open(addr).await;
    let peer = raw.stream.local_addr().unwrap();
    drop(raw);
    heard
        .is(
            peer,
            &[
                "accepted",
                "opened",
                "closed 1006 by peer: connection ended without Close",
            ],
        )
        .await;

    let mut raw = Raw::open(addr).await;
    let peer = raw.stream.local_addr().unwrap();
    raw.send_frames([fullduplex_testkit::wire::text("panic")])
        .await;
    raw.frame().await;
    raw.send_frames([fullduplex_testkit::wire::close(1011, "")])
        .await;
    raw.end().await;
    heard
        .is(peer, &["accepted", "opened", "closed 1011 by us"])
        .await;
}

#[tokio::test]
async fn those_turned_away_and_those_cut_off_by_the_end_are_told_too() {
    let (server, addr, mut heard) = observed().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.max_per_address(1).serve_until(echo, async {
        stopped.await.unwrap();
    });
    let ended = tokio::spawn(serving);
    let mut asking = Raw::connect(addr).await;
    let asks = asking.stream.local_addr().unwrap();
    heard.is(asks, &["accepted"]).await;
    let mut refused = Raw::connect(addr).await;
    let peer = refused.stream.local_addr().unwrap();
    heard.is(peer, &["accepted", "refused"]).await;
    refused.rest().await;
    drop(refused);
    stop.send(()).unwrap();
    within(ended).await.unwrap();
    heard.is(asks, &["failed ConnectionAborted"]).await;
    asking.rest().await;
    assert!(heard.0.recv().await.is_none(), "nothing more is told");
}

/// Panics whenever it can.
struct Panics;

impl Observer for Panics {
    fn accepted(&self, _peer: SocketAddr) {
        panic!("as the test wants");
    }

    fn accept_failed(&self, _error: &io::Error) {
        panic!("as the test wants");
    }

    fn refused(&self, _peer: SocketAddr) {
        panic!("as the test wants");
    }

    fn handshake_failed(&self, _peer: SocketAddr, _error: &HandshakeError) {
        panic!("as the test wants");
    }

    fn opened(&self, _peer: SocketAddr) {
        panic!("as the test wants");
    }

    fn closed(&self, _peer: SocketAddr, _closed: &Closed) {
        panic!("as the test wants");
    }
}

#[tokio::test]
async fn an_observer_that_panics_harms_nobody() {
    let (server, addr) = bound().await;
    let server = server.observer(Arc::new(Panics)).max_per_address(2);
    tokio::spawn(server.serve(echo));
    for _ in 0..6 {
        let mut ws = within(async {
            loop {
                // The place of the one before is free a moment after its end.
                match connect(&format!("ws://{addr}/")).await {
                    Ok(ws) => break ws,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        })
        .await;
        ws.send("hello").await.unwrap();
        assert_eq!(within(ws.recv()).await, Ok(Some("hello".into())));
        assert!(within(ws.close(CloseFrame::normal())).await.clean);
        let mut bad = Raw::connect(addr).await;
        bad.send("nonsense\r\n\r\n").await;
        bad.rest().await;
    }
}
