//! Goal: what rooms have for a session leaves in one write, and none that panics, hangs or talks without end holds up another.
//! Method: sessions over transports that note their writes, one of which panics or hangs when it is told to.

use std::{
    future::{Future, poll_fn},
    io, iter,
    net::{IpAddr, Ipv4Addr},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll},
    time::Duration,
};

use fullduplex::{Acceptor, handled};
use fullduplex_testkit::{Peer, ScriptedIo, wire};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime,
    time::timeout,
};

use super::{Dialect, MAX_COMMANDS_PER_TURN, Parcel, Seat, Session};
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

/// How long anything may take that must happen. Less than a client may take for its `hello`: after that a session looks anyway.
const PATIENCE: Duration = Duration::from_secs(5);

const HELLO: &str = r#"{"op":"hello","id":0}"#;
const PING: &str = r#"{"op":"ping","id":1}"#;

/// What a transport does at its next write, first.
type Charge = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

struct Explosive {
    io: ScriptedIo,
    charge: Charge,
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
        let charge = self.charge.lock().unwrap().take();
        if let Some(explode) = charge {
            explode();
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A session that runs, as others see it.
struct Guest {
    peer: Peer,
    seat: Arc<Seat>,
    charge: Charge,
}

impl Guest {
    fn on_next_write(&self, f: impl FnOnce() + Send + 'static) {
        *self.charge.lock().unwrap() = Some(Box::new(f));
    }

    async fn until(&self, frames: usize) {
        let enough = self
            .peer
            .script
            .until(|_| self.peer.frames().len() >= frames);
        timeout(PATIENCE, enough).await.unwrap();
    }
}

const V1: Dialect = Dialect::V1 { heartbeat: None };

fn session(hub: &Arc<Shared>, dialect: Dialect) -> Box<Session> {
    let mut session = Session::new(hub, dialect, IpAddr::V4(Ipv4Addr::LOCALHOST));
    session.enter(DEFAULT_ROOM, 0).unwrap();
    session
}

/// A plain session that runs.
async fn listener(hub: &Arc<Shared>) -> Guest {
    guest(hub, Dialect::Json).await
}

async fn guest(hub: &Arc<Shared>, dialect: Dialect) -> Guest {
    let (io, peer) = Peer::client();
    let charge = Charge::default();
    let transport = Explosive {
        io,
        charge: Arc::clone(&charge),
    };
    let ws = Acceptor::new().accept(transport).await.unwrap();
    let session = session(hub, dialect);
    let seat = Arc::clone(session.rooms.seat());
    hub.spawn(session.run(ws));
    Guest { peer, seat, charge }
}

/// Messages of a member that is not connected, all in one turn of the runtime; and the frames that others get.
fn publish(hub: &Arc<Shared>, count: usize) -> Vec<wire::Frame> {
    let mut author = session(hub, Dialect::Json);
    let text = |n| format!(r#"{{"email":"","username":"Ana","message":"{n}"}}"#);
    (0..count)
        .map(|n| {
            author.take_json(&text(n)).unwrap();
            wire::text(text(n))
        })
        .collect()
}

#[tokio::test]
async fn what_is_published_in_one_turn_reaches_a_listener_in_one_write() {
    let hub = hub().await;
    let listener = listener(&hub).await;
    tokio::task::yield_now().await;
    let frames = publish(&hub, 16);
    listener.until(16).await;
    assert_eq!(listener.peer.writes(), [frames]);
}

#[tokio::test]
async fn a_panic_while_one_listener_is_written_to_ends_that_one_alone() {
    let hub = hub().await;
    let before = listener(&hub).await;
    let broken = listener(&hub).await;
    let behind = listener(&hub).await;
    tokio::task::yield_now().await;
    broken.on_next_write(|| panic!("a bug"));
    let first = publish(&hub, 1);
    for guest in [&before, &behind] {
        guest.until(1).await;
        assert_eq!(guest.peer.frames(), first);
    }
    broken.until(2).await;
    assert_eq!(broken.peer.frames()[1], wire::close(1011, ""));
    let second = publish(&hub, 1);
    for guest in [&before, &behind] {
        guest.until(2).await;
        assert_eq!(guest.peer.frames()[1..], second);
    }
    assert_eq!(broken.peer.frames().len(), 2);
}

#[tokio::test]
async fn nothing_more_is_written_for_a_session_that_panicked() {
    let hub = hub().await;
    let broken = listener(&hub).await;
    tokio::task::yield_now().await;
    broken.on_next_write(|| panic!("a bug"));
    let first = publish(&hub, 1);
    broken.seat.deliver(&mut Parcel::default());
    publish(&hub, 1);
    // Its task had no turn yet.
    broken.seat.deliver(&mut Parcel::default());
    broken.until(2).await;
    assert_eq!(
        broken.peer.frames(),
        [&first[..], &[wire::close(1011, "")]].concat()
    );
}

// One thread for the session, one for its lane, one for the clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_lane_does_not_wait_for_a_session_that_is_at_work_and_that_one_misses_nothing() {
    let hub = hub().await;
    let busy = guest(&hub, V1).await;
    // One of each lane.
    let others = [
        listener(&hub).await,
        listener(&hub).await,
        listener(&hub).await,
    ];
    busy.peer.push([wire::text(HELLO)]);
    busy.until(1).await;
    let (at_work, is_at_work) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    busy.on_next_write(move || {
        at_work.send(()).unwrap();
        let _ = goes_on.recv();
    });
    // Its task answers, after it has looked at what rooms have.
    busy.peer.push([wire::text(PING)]);
    is_at_work.recv_timeout(PATIENCE).unwrap();
    for messages in 1..3 {
        publish(&hub, 1);
        for guest in &others {
            guest.until(messages).await;
        }
    }
    go_on.send(()).unwrap();
    busy.until(4).await;
}

#[tokio::test]
async fn a_client_that_only_talks_takes_turns_with_others() {
    let hub = hub().await;
    let (io, peer) = Peer::client();
    let ws = Acceptor::new().accept(io).await.unwrap();
    let session = session(&hub, V1);
    let pings = iter::repeat_n(PING, 3 * MAX_COMMANDS_PER_TURN);
    peer.push(iter::once(HELLO).chain(pings).map(wire::text));
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let task = tokio::spawn(async move {
        let mut handled = pin!(handled(ws, |ws| session.run(ws)));
        let turn = |cx: &mut Context<'_>| {
            counted.fetch_add(1, Ordering::Relaxed);
            handled.as_mut().poll(cx)
        };
        poll_fn(turn).await
    });
    let all = 3 * MAX_COMMANDS_PER_TURN + 1;
    let answered = peer.script.until(|_| peer.frames().len() == all);
    timeout(PATIENCE, answered).await.unwrap();
    assert_eq!(turns.load(Ordering::Relaxed), 4);
    task.abort();
}

#[test]
fn a_lane_of_a_runtime_that_has_ended_keeps_no_session() {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let hub = runtime.block_on(hub());
    let session = session(&hub, Dialect::Json);
    let seat = Arc::downgrade(session.rooms.seat());
    runtime.block_on(async { publish(&hub, 1) });
    drop(runtime);
    drop((session, hub));
    assert!(seat.upgrade().is_none());
}
