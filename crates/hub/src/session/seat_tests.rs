//! Goal: what rooms have for a session leaves in one write, and one that panics takes no other along.
//! Method: sessions over transports that note their writes, one of which panics when it is told to.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use fullduplex::Acceptor;
use fullduplex_testkit::{Peer, ScriptedIo, wire};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};

use super::{Dialect, Session};
use crate::{
    config::Config,
    core::DEFAULT_ROOM,
    hub::Shared,
    log::{Committed, MemoryLog},
    logs::Logs,
    rooms::{Rooms, SHARDS},
};

async fn hub() -> Arc<Shared> {
    let config = Config::default();
    let rooms = Arc::new(Rooms::new(&config.limits, &config.timeouts));
    let log = MemoryLog::new(SHARDS, 0, Arc::clone(&rooms) as Arc<dyn Committed>);
    let logs = Logs::open(&[]).await.unwrap();
    Arc::new(Shared::new(config, rooms, Arc::new(log), logs))
}

/// A transport, of which the next write panics once it was told so.
struct Explosive {
    io: ScriptedIo,
    lit: Arc<AtomicBool>,
}

impl AsyncRead for Explosive {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Explosive {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        assert!(!self.lit.swap(false, Ordering::Relaxed), "a bug");
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A plain session that runs, its peer, and what makes its next write panic.
async fn listener(hub: &Arc<Shared>) -> (Peer, Arc<AtomicBool>) {
    let (io, peer) = Peer::client();
    let lit = Arc::new(AtomicBool::new(false));
    let transport = Explosive {
        io,
        lit: Arc::clone(&lit),
    };
    let ws = Acceptor::new().accept(transport).await.unwrap();
    let mut session = Session::new(hub, Dialect::Json, IpAddr::V4(Ipv4Addr::LOCALHOST));
    session.enter(DEFAULT_ROOM, 0).unwrap();
    hub.spawn(session.run(ws));
    (peer, lit)
}

/// Messages of a member that is not connected, all in one turn of the runtime; and the frames that others get.
fn publish(hub: &Arc<Shared>, count: usize) -> Vec<wire::Frame> {
    let mut author = Session::new(hub, Dialect::Json, IpAddr::V4(Ipv4Addr::LOCALHOST));
    author.enter(DEFAULT_ROOM, 0).unwrap();
    let text = |n| format!(r#"{{"email":"","username":"Ana","message":"{n}"}}"#);
    (0..count)
        .map(|n| {
            author.take_json(&text(n)).unwrap();
            wire::text(text(n))
        })
        .collect()
}

async fn until(peer: &Peer, frames: usize) {
    let enough = peer.script.until(|_| peer.frames().len() >= frames);
    timeout(Duration::from_secs(10), enough).await.unwrap();
}

#[tokio::test]
async fn what_is_published_in_one_turn_reaches_a_listener_in_one_write() {
    let hub = hub().await;
    let (peer, _) = listener(&hub).await;
    tokio::task::yield_now().await;
    let frames = publish(&hub, 16);
    until(&peer, 16).await;
    assert_eq!(peer.writes(), [frames]);
}

#[tokio::test]
async fn a_panic_while_one_listener_is_written_to_ends_that_one_alone() {
    let hub = hub().await;
    let (before, _) = listener(&hub).await;
    let (broken, lit) = listener(&hub).await;
    let (behind, _) = listener(&hub).await;
    tokio::task::yield_now().await;
    lit.store(true, Ordering::Relaxed);
    let first = publish(&hub, 1);
    for peer in [&before, &behind] {
        until(peer, 1).await;
        assert_eq!(peer.frames(), first);
    }
    until(&broken, 2).await;
    assert_eq!(broken.frames()[1], wire::close(1011, ""));
    let second = publish(&hub, 1);
    for peer in [&before, &behind] {
        until(peer, 2).await;
        assert_eq!(peer.frames()[1..], second);
    }
    assert_eq!(broken.frames().len(), 2);
}
