//! Goal: what rooms have for a session leaves in one write, once and in order whatever comes between, and none that panics, hangs
//! or talks without end holds up another.
//! Method: sessions over transports that note their writes, one of which panics or hangs when it is told to.

use std::{
    future::{Future, poll_fn},
    io, iter,
    net::{IpAddr, Ipv4Addr},
    ops::Range,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use fullduplex::{Acceptor, Forwarded, handled};
use fullduplex_testkit::{Fault, Peer, Script, ScriptedIo, wire};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime,
    time::timeout,
};

use super::{Dialect, MAX_COMMANDS_PER_TURN, Parcel, Seat, Session};
use crate::{
    config::{Config, Limits},
    core::{DEFAULT_ROOM, Watch},
    hub::Shared,
    log::{Committed, MemoryLimits, MemoryLog},
    logs::Logs,
    metrics,
    rooms::{
        RoomRef, Rooms,
        delivery::Delivery,
        lane::{self, Turn},
    },
    traffic::Client,
};

pub(super) async fn hub() -> Arc<Shared> {
    hub_with(Config::default()).await
}

pub(super) async fn hub_with(config: Config) -> Arc<Shared> {
    let rooms = Arc::new(Rooms::new(&config));
    let limits = MemoryLimits {
        room_events: Limits::default().ring_events,
        events: config.limits.memory_events,
        bytes: config.limits.memory_bytes,
    };
    let log = MemoryLog::new(limits, Arc::clone(&rooms) as Arc<dyn Committed>);
    let logs = Logs::open(&config.logs).await.unwrap();
    Arc::new(Shared::new(config, rooms, Arc::new(log).into(), logs).unwrap())
}

/// How long anything may take that must happen. Less than a client may take for its `hello`: after that a session looks anyway.
const PATIENCE: Duration = Duration::from_secs(9);

const HELLO: &str = r#"{"op":"hello","id":0}"#;
const NAMED: &str = r#"{"op":"hello","id":1,"name":"Ana"}"#;
pub(super) const PING: &str = r#"{"op":"ping","id":1}"#;
pub(super) const JOIN: &str = r#"{"op":"join","id":2,"room":"general"}"#;
const JOIN_OTHER: &str = r#"{"op":"join","id":2,"room":"other"}"#;
const SEND: &str = r#"{"op":"send","id":3,"room":"general","cid":"c","body":"hi"}"#;
const LEAVE: &str = r#"{"op":"leave","id":4,"room":"general"}"#;

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
pub(super) struct Guest {
    pub(super) peer: Peer,
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

pub(super) const V1: Dialect = Dialect::V1 { heartbeat: None };

pub(super) const CLIENT: Client = Client {
    address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    is_exempt: true,
};

pub(super) async fn session(hub: &Arc<Shared>, dialect: Dialect) -> Box<Session> {
    let mut session = Session::new(hub, dialect, CLIENT);
    session.enter(DEFAULT_ROOM, 0).await.unwrap();
    if dialect == V1 {
        let room = session.rooms.only().unwrap();
        session.rooms.state(room, Watch::List).unwrap();
    }
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
    let session = session(hub, dialect).await;
    let seat = Arc::clone(session.rooms.seat());
    hub.spawn(session.run(ws));
    Guest { peer, seat, charge }
}

/// Messages of a member that is not connected, all in one turn of the runtime; and the frames that others get.
async fn publish(hub: &Arc<Shared>, count: usize) -> Vec<wire::Frame> {
    let mut author = session(hub, Dialect::Json).await;
    say(&mut author, 0..count)
}

/// The same, of this author.
pub(super) fn say(author: &mut Session, numbers: Range<usize>) -> Vec<wire::Frame> {
    let text = |n| format!(r#"{{"email":"","username":"Ana","message":"{n}"}}"#);
    numbers
        .map(|n| {
            author.take_json(&text(n)).unwrap();
            wire::text(text(n))
        })
        .collect()
}

pub(super) fn json(frame: &wire::Frame) -> serde_json::Value {
    serde_json::from_slice(&frame.payload).unwrap()
}

/// Whether it is a reply, or which event.
pub(super) fn kind(frame: &wire::Frame) -> String {
    let value = json(frame);
    match value["ev"].as_str() {
        Some(event) => event.to_owned(),
        None if value.get("ok").is_some() => "ok".to_owned(),
        None => panic!("neither a reply nor an event: {value}"),
    }
}

/// What the room has for all, taken before its lane does.
pub(super) fn round(hub: &Arc<Shared>, author: &Session) -> Delivery {
    let room = author.rooms.only().unwrap();
    let (round, is_due) = hub.rooms.due(room).next().unwrap();
    assert!(!is_due);
    Arc::into_inner(round).unwrap()
}

#[tokio::test]
async fn what_is_published_in_one_turn_reaches_a_listener_in_one_write() {
    let hub = hub().await;
    let listener = listener(&hub).await;
    tokio::task::yield_now().await;
    let frames = publish(&hub, 16).await;
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
    let first = publish(&hub, 1).await;
    for guest in [&before, &behind] {
        guest.until(1).await;
        assert_eq!(guest.peer.frames(), first);
    }
    broken.until(1).await;
    let second = publish(&hub, 1).await;
    for guest in [&before, &behind] {
        guest.until(2).await;
        assert_eq!(guest.peer.frames()[1..], second);
    }
    assert_eq!(broken.peer.frames(), [wire::close(1011, "")]);
}

#[tokio::test]
async fn so_does_one_while_a_session_is_told_alone() {
    let hub = hub().await;
    let others = [guest(&hub, V1).await, guest(&hub, V1).await];
    let broken = guest(&hub, V1).await;
    tokio::task::yield_now().await;
    broken.on_next_write(|| panic!("a bug"));
    let mut comes = session(&hub, V1).await;
    comes.take_command(NAMED).unwrap();
    comes.take_command(JOIN).unwrap();
    hub.rooms.tell_news();
    for guest in &others {
        guest.until(1).await;
    }
    broken.until(2).await;
    assert_eq!(
        broken.peer.frames(),
        [others[0].peer.frames().remove(0), wire::close(1011, "")]
    );
}

#[tokio::test]
async fn s38_a_panic_while_a_command_is_handled_ends_that_connection_and_the_hub_goes_on() {
    let hub = hub().await;
    let (broken, other) = (guest(&hub, V1).await, guest(&hub, V1).await);
    tokio::task::yield_now().await;
    broken.on_next_write(|| panic!("a bug"));
    for guest in [&broken, &other] {
        guest.peer.push([wire::text(HELLO), wire::text(PING)]);
    }
    other.until(2).await;
    broken
        .peer
        .script
        .until(|_| {
            let frames = broken.peer.frames();
            frames.last() == Some(&wire::close(1011, ""))
        })
        .await;
    other.peer.push([wire::text(PING)]);
    other.until(3).await;
    let told = |count: u64| metrics::page(&hub).contains(&format!("\nfdx_panics_total {count}\n"));
    assert!(told(1));
    // So does one of what is no session.
    hub.spawn(async { panic!("a bug") });
    while !told(2) {
        tokio::task::yield_now().await;
    }
    guest(&hub, V1)
        .await
        .seat
        .stop_if(|_| true, Dialect::Json.too_slow());
}

#[tokio::test]
async fn nothing_more_is_written_for_a_session_that_panicked() {
    let hub = hub().await;
    let broken = listener(&hub).await;
    tokio::task::yield_now().await;
    broken.on_next_write(|| panic!("a bug"));
    let mut author = session(&hub, Dialect::Json).await;
    for n in 0..2 {
        say(&mut author, n..n + 1);
        round(&hub, &author).write(usize::MAX);
        broken.seat.deliver(&mut Parcel::default());
    }
    // Its task had no turn yet.
    broken.until(1).await;
    assert_eq!(broken.peer.frames(), [wire::close(1011, "")]);
}

/// A room that is nowhere: whoever looks for it panics.
fn nowhere(author: &Session) -> RoomRef {
    let mut room = author.rooms.only().unwrap();
    room.shard = usize::MAX;
    room
}

#[tokio::test]
async fn a_panic_in_a_lane_ends_neither_it_nor_what_waits_behind() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("a bug");
        }
    }
    let hub = hub().await;
    let listener = listener(&hub).await;
    tokio::task::yield_now().await;
    let mut author = session(&hub, Dialect::Json).await;
    let lanes = hub.rooms.lanes();
    let broken = Seat::new(Arc::clone(lanes.of(0)));
    broken.attend(&Waker::from(Arc::new(Bomb)));
    broken.tell(author.rooms.only().unwrap());
    lanes.of(0).push_room(hub.rooms.due(nowhere(&author)));
    let mut frames = say(&mut author, 0..1);
    listener.until(1).await;
    frames.extend(say(&mut author, 1..2));
    listener.until(2).await;
    assert_eq!(listener.peer.frames(), frames);
    say(&mut author, 2..3);
    let mut broken = round(&hub, &author);
    broken.room = nowhere(&author);
    lane::write(&broken, &mut Turn::default()).await;
}

#[tokio::test]
async fn a_room_whose_round_was_given_up_is_read_by_each_alone_and_goes_on() {
    let hub = hub().await;
    let listener = listener(&hub).await;
    tokio::task::yield_now().await;
    let mut author = session(&hub, Dialect::Json).await;
    let mut frames = say(&mut author, 0..1);
    // Its lane has it, and finds nothing left.
    hub.rooms.due(author.rooms.only().unwrap()).read_alone();
    listener.until(1).await;
    frames.extend(say(&mut author, 1..2));
    listener.until(2).await;
    assert_eq!(listener.peer.frames(), frames);
}

#[tokio::test]
async fn who_takes_nothing_for_a_while_gets_all_once_and_in_order_and_holds_up_nobody() {
    let len: usize = {
        let frame = publish(&hub().await, 1).await.remove(0);
        frame.bytes().len()
    };
    for taken in [0, 1, len - 1, len, len + 1, 2 * len, 3 * len] {
        let hub = hub().await;
        let mut author = session(&hub, Dialect::Json).await;
        let [slow, other] = [listener(&hub).await, listener(&hub).await];
        tokio::task::yield_now().await;
        slow.peer
            .script
            .fault_writes_at(slow.peer.script.written().len() + taken, Fault::Stall);
        let mut frames = say(&mut author, 0..2);
        other.until(2).await;
        frames.extend(say(&mut author, 2..4));
        other.until(4).await;
        let written = slow.peer.script.written().len();
        slow.peer.script.heal();
        let more = |script: &Script| script.written().len() >= written + 4 * len - taken;
        timeout(PATIENCE, slow.peer.script.until(more))
            .await
            .unwrap();
        frames.extend(say(&mut author, 4..6));
        for guest in [&slow, &other] {
            guest.until(6).await;
            assert_eq!(guest.peer.frames(), frames, "after {taken} bytes");
        }
    }
}

#[tokio::test]
async fn a_reply_that_waits_for_its_client_is_not_overtaken() {
    let hub = hub().await;
    let slow = guest(&hub, V1).await;
    let other = listener(&hub).await;
    slow.peer.push([wire::text(HELLO)]);
    slow.until(1).await;
    let written = slow.peer.script.written().len();
    slow.peer.script.fault_writes_at(written, Fault::Stall);
    slow.peer.push([wire::text(PING)]);
    tokio::task::yield_now().await;
    publish(&hub, 1).await;
    other.until(1).await;
    slow.peer.script.heal();
    slow.until(3).await;
    let frames = slow.peer.frames();
    assert_eq!([&frames[1], &frames[2]].map(kind), ["ok", "msg"]);
}

#[tokio::test]
async fn what_a_room_has_for_all_is_refused_while_a_reply_waits_and_taken_once() {
    let hub = hub().await;
    let mut member = session(&hub, V1).await;
    let mut author = session(&hub, Dialect::Json).await;
    say(&mut author, 0..1);
    let round = round(&hub, &author);
    let (io, peer) = Peer::client();
    let mut ws = Acceptor::new().accept(io).await.unwrap();
    member.outbox.push("a reply".to_owned());
    assert_eq!(member.follow(&round, &mut ws), Some(Forwarded::Refused));
    member.outbox.pop();
    for followed in [Some(Forwarded::Written), None] {
        assert_eq!(member.follow(&round, &mut ws), followed);
        assert_eq!(peer.frames().len(), 1);
    }
}

#[tokio::test]
async fn who_is_to_end_gets_nothing_more() {
    let hub = hub().await;
    let ends = listener(&hub).await;
    tokio::task::yield_now().await;
    let mut author = session(&hub, Dialect::Json).await;
    ends.seat.stop_if(|_| true, Dialect::Json.too_slow());
    say(&mut author, 0..1);
    round(&hub, &author).write(usize::MAX);
    ends.until(1).await;
    assert_eq!(ends.peer.frames(), [wire::close(1013, "too slow")]);
}

#[tokio::test]
async fn a_client_gets_its_own_message_with_the_reply_and_once() {
    let hub = hub().await;
    let guest = guest(&hub, V1).await;
    guest.peer.push([wire::text(NAMED), wire::text(JOIN)]);
    guest.until(2).await;
    let before = guest.peer.writes().len();
    guest.peer.push([wire::text(SEND)]);
    guest.until(4).await;
    // The lane finds nothing left to do.
    publish(&hub, 1).await;
    guest.until(5).await;
    let writes = &guest.peer.writes()[before..];
    assert_eq!(writes.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    assert_eq!([&writes[0][0], &writes[0][1]].map(kind), ["ok", "msg"]);
}

#[tokio::test]
async fn who_comes_between_two_messages_gets_the_second_and_who_was_there_both() {
    let hub = hub().await;
    let mut author = session(&hub, Dialect::Json).await;
    let before = listener(&hub).await;
    tokio::task::yield_now().await;
    let mut frames = say(&mut author, 0..1);
    let between = listener(&hub).await;
    assert_eq!(before.peer.frames(), []);
    frames.extend(say(&mut author, 1..2));
    between.until(1).await;
    before.until(2).await;
    frames.extend(say(&mut author, 2..3));
    between.until(2).await;
    before.until(3).await;
    assert_eq!(between.peer.frames(), frames[1..]);
    assert_eq!(before.peer.frames(), frames);
}

#[tokio::test]
async fn who_leaves_between_a_message_and_its_delivery_gets_nothing_and_others_theirs() {
    let hub = hub().await;
    let mut author = session(&hub, Dialect::Json).await;
    let [stays, ends] = [listener(&hub).await, listener(&hub).await];
    let leaves = guest(&hub, V1).await;
    leaves.peer.push([wire::text(HELLO)]);
    leaves.until(1).await;
    let frames = say(&mut author, 0..1);
    let round = round(&hub, &author);
    leaves.peer.push([wire::text(LEAVE)]);
    ends.peer.push([wire::close_empty()]);
    leaves.until(2).await;
    ends.until(1).await;
    assert_eq!(round.write(usize::MAX), 4);
    stays.until(1).await;
    tokio::task::yield_now().await;
    assert_eq!(stays.peer.frames(), frames);
    assert_eq!(ends.peer.frames(), [wire::close_empty()]);
    assert_eq!(leaves.peer.frames().len(), 2);
}

#[tokio::test]
async fn a_member_of_two_rooms_gets_each_message_once_and_each_room_s_in_order() {
    let hub = hub().await;
    let guest = guest(&hub, V1).await;
    guest.peer.push([HELLO, JOIN_OTHER].map(wire::text));
    guest.until(2).await;
    let mut here = session(&hub, Dialect::Json).await;
    let mut there = Session::new(&hub, Dialect::Json, CLIENT);
    there.enter("other", 0).await.unwrap();
    for n in 0..8 {
        say(&mut here, n..n + 1);
        say(&mut there, n..n + 1);
        if n == 4 {
            guest.until(2 + 2).await;
        }
    }
    guest.until(2 + 16).await;
    tokio::task::yield_now().await;
    let frames = guest.peer.frames().split_off(2);
    for room in ["general", "other"] {
        let said = frames.iter().filter_map(|frame| {
            let event = json(frame);
            (event["room"] == room).then(|| event["body"].as_str().unwrap().to_owned())
        });
        let all = (0..8).map(|n| n.to_string());
        assert!(said.eq(all), "in {room}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_room_that_several_threads_write_to_gets_one_order_whoever_publishes() {
    const LISTENERS: usize = 300;
    const AUTHORS: usize = 3;
    const MESSAGES: usize = 40;
    let hub = hub().await;
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS {
        listeners.push(listener(&hub).await);
    }
    let mut authors = Vec::new();
    for author in 0..AUTHORS {
        let mut session = session(&hub, Dialect::Json).await;
        authors.push(tokio::spawn(async move {
            for n in 0..MESSAGES {
                say(
                    &mut session,
                    author * MESSAGES + n..author * MESSAGES + n + 1,
                );
                tokio::task::yield_now().await;
            }
        }));
    }
    for author in authors {
        author.await.unwrap();
    }
    for guest in &listeners {
        guest.until(AUTHORS * MESSAGES).await;
    }
    let order = listeners[0].peer.frames();
    for guest in &listeners {
        assert_eq!(guest.peer.frames(), order);
    }
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
        publish(&hub, 1).await;
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
    let session = session(&hub, V1).await;
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
    let session = runtime.block_on(session(&hub, Dialect::Json));
    let seat = Arc::downgrade(session.rooms.seat());
    runtime.block_on(async { publish(&hub, 1).await });
    drop(runtime);
    drop((session, hub));
    assert!(seat.upgrade().is_none());
}
