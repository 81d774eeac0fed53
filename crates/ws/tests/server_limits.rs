//! Goal: no address and no slow handshake takes a server away from the others.
//! Method: real loopback sockets; clients that hold on to what they have.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::raw::{PATIENCE, Raw, TEXT, acceptance, bound, echo, refusal, request, within};
use fullduplex::{Acceptor, Observer, WebSocket, connect};
use tokio::net::TcpSocket;

async fn open(addr: SocketAddr) -> WebSocket {
    within(connect(&format!("ws://{addr}/"))).await.unwrap()
}

fn too_many() -> String {
    refusal(
        "429 Too Many Requests",
        &["Connection: close", TEXT, "Retry-After: 10"],
        "There are too many connections from your address.",
    )
}

#[tokio::test]
async fn a_connection_over_an_addresss_limit_is_answered_429_whether_or_not_it_asked() {
    let (server, addr) = bound().await;
    tokio::spawn(server.max_per_address(2).serve(echo));
    let _first = open(addr).await;
    let mut second = open(addr).await;
    let mut silent = Raw::connect(addr).await;
    assert_eq!(silent.rest_as_text().await, too_many());
    let mut asks = Raw::connect(addr).await;
    asks.send(request(addr, "")).await;
    assert_eq!(asks.rest_as_text().await, too_many());
    // Who is in does not notice.
    second.send("still here").await.unwrap();
    assert_eq!(within(second.recv()).await, Ok(Some("still here".into())));
    // A place that is given back is taken again.
    drop(second);
    within(async {
        while connect(&format!("ws://{addr}/")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_is_still_asking_counts_too() {
    let (server, addr) = bound().await;
    tokio::spawn(server.max_per_address(1).serve(echo));
    let mut asking = Raw::connect(addr).await;
    let mut other = Raw::connect(addr).await;
    assert_eq!(other.rest_as_text().await, too_many());
    asking.send(request(addr, "")).await;
    assert_eq!(asking.head().await, acceptance(""));
}

/// Only Linux has all of 127.0.0.0/8 without being told.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_over_its_limit_takes_nothing_from_another() {
    let (server, addr) = bound().await;
    tokio::spawn(server.max_connections(3).max_per_address(1).serve(echo));
    let _first = open(addr).await;
    for _ in 0..20 {
        assert_eq!(
            Raw::connect(addr).await.rest_as_text().await,
            too_many(),
            "and its slot is free again"
        );
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let stream = within(socket.connect(addr)).await.unwrap();
    let mut other = Raw { stream };
    other.send(request(addr, "")).await;
    assert_eq!(other.head().await, acceptance(""));
}

/// Counts connections that were accepted.
#[derive(Default)]
struct Accepted(AtomicUsize);

impl Observer for Accepted {
    fn accepted(&self, _peer: SocketAddr) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn handshakes_over_their_limit_wait_until_one_is_over_and_open_connections_do_not() {
    let (server, addr) = bound().await;
    let accepted = Arc::new(Accepted::default());
    let server = server.max_handshakes(2).observer(accepted.clone());
    let acceptor = Acceptor::new().handshake_timeout(PATIENCE * 2);
    tokio::spawn(server.acceptor(acceptor).serve(echo));
    let mut open = open(addr).await;
    let slow = Raw::connect(addr).await;
    let _slower = Raw::connect(addr).await;
    let mut third = Raw::connect(addr).await;
    third.send(request(addr, "")).await;
    within(async {
        while accepted.0.load(Ordering::Relaxed) < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // Nothing tells that the third is waiting; but had it been let in, the round trips would follow.
    for _ in 0..50 {
        open.send("x").await.unwrap();
        assert_eq!(within(open.recv()).await, Ok(Some("x".into())));
    }
    assert_eq!(accepted.0.load(Ordering::Relaxed), 3);
    drop(slow);
    assert_eq!(third.head().await, acceptance(""));
}

#[tokio::test]
async fn clients_that_trickle_their_requests_hold_their_places_no_longer_than_the_timeout() {
    let (server, addr) = bound().await;
    let acceptor = Acceptor::new().handshake_timeout(Duration::from_millis(200));
    tokio::spawn(server.acceptor(acceptor).max_handshakes(2).serve(echo));
    let mut trickling = Vec::new();
    for _ in 0..6 {
        let mut raw = Raw::connect(addr).await;
        trickling.push(tokio::spawn(async move {
            for byte in request(addr, "").bytes() {
                tokio::time::sleep(Duration::from_millis(20)).await;
                if !raw.try_send([byte]).await {
                    break;
                }
            }
        }));
    }
    within(async {
        // Its own request may take too long, too, where a machine is slow.
        while connect(&format!("ws://{addr}/")).await.is_err() {}
    })
    .await;
    for trickles in trickling {
        trickles.abort();
    }
}
