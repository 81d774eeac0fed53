//! Where a session meets the others: what rooms tell it, and who writes for it.
//!
//! A session has a task, which takes its commands, and lanes, which write what rooms have for it: with others of the room
//! ([`follow`](Seat::follow)), or else alone, for which it has a [`Lane`] ([`deliver`](Seat::deliver)). All work on the same
//! state, under a lock of its own. A lane waits for nobody: while the task is at work, or when the socket takes no more, it
//! leaves the rest to the task.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use fullduplex::{CloseCode, Forwarded, WebSocket};
use tokio::time::Instant;

use super::{Alarm, MAX_COMMANDS_PER_TURN, Parcel, Session, Stop, takeover::REPLACED};
use crate::{
    core::Departure,
    rooms::{RoomRef, delivery::Delivery, lane::Lane},
};

/// The close codes after which a client does not come back.
const FOR_GOOD: RangeInclusive<u16> = 4000..=4099;

/// A session, as rooms and its lane know it.
#[derive(Debug)]
pub(crate) struct Seat {
    lane: Arc<Lane>,
    /// Rooms that have something. Each tells it once until it was read to the end, so the list is as long as the session has
    /// rooms, at most.
    told: Mutex<Vec<RoomRef>>,
    /// The lane has it.
    is_due: AtomicBool,
    /// Wakes the session's task. There from its first poll on, while the connection is open; set before that poll takes `live`,
    /// so whoever finds that taken can wake who has it.
    task: Mutex<Option<Waker>>,
    /// There while the connection is open.
    live: Mutex<Option<Live>>,
}

/// What became of what a room has for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Followed {
    Written,
    /// The session has it, or nothing is written for it any more.
    Known,
    /// The session has to be told of it: it needs something else first, or somebody is at work on it, or the socket takes nothing.
    Apart,
}

impl Seat {
    pub(crate) fn new(lane: Arc<Lane>) -> Arc<Self> {
        Arc::new(Self {
            lane,
            told: Mutex::default(),
            is_due: AtomicBool::new(false),
            task: Mutex::default(),
            live: Mutex::default(),
        })
    }

    /// A room has something for the session that it has to read.
    pub(crate) fn tell(self: &Arc<Self>, room: RoomRef) {
        lock(&self.told).push(room);
        if !self.is_due.swap(true, Ordering::AcqRel) {
            self.lane.push_seat(Arc::clone(self));
        }
    }

    /// Moves the rooms that have something into `rooms`, unless they are in it.
    pub(super) fn take(&self, rooms: &mut VecDeque<RoomRef>) {
        for room in lock(&self.told).drain(..) {
            if !rooms.contains(&room) {
                rooms.push_back(room);
            }
        }
    }

    /// Writes what a room has for all.
    pub(crate) fn follow(&self, delivery: &Delivery) -> Followed {
        let Ok(mut guard) = self.live.try_lock() else {
            return Followed::Apart;
        };
        let Some(live) = guard.as_mut().filter(|live| live.stop.is_none()) else {
            return Followed::Apart;
        };
        let Live { session, ws, .. } = live;
        // A panic ends this session and none of its neighbours.
        let followed = match catch_unwind(AssertUnwindSafe(|| session.follow(delivery, ws))) {
            Ok(Some(Forwarded::Written)) => return Followed::Written,
            Ok(Some(Forwarded::Refused)) => return Followed::Apart,
            Ok(Some(Forwarded::Queued)) => Followed::Written,
            Ok(None) => return Followed::Known,
            Err(_panic) => {
                live.stop = Some(live.session.failed());
                Followed::Known
            }
        };
        drop(guard);
        self.wake();
        followed
    }

    /// For who reads a room without a connection of its own: `waker` is woken when the room has something from now on.
    pub(crate) fn attend(&self, waker: &Waker) {
        lock(&self.told).clear();
        lock(&self.task)
            .get_or_insert_with(|| waker.clone())
            .clone_from(waker);
    }

    /// Writes what rooms have for the session, or has its task do so.
    pub(crate) fn deliver(&self, parcel: &mut Parcel) {
        self.is_due.store(false, Ordering::Release);
        let task = lock(&self.task);
        // Not open yet, or no longer.
        let Some(task) = &*task else { return };
        let Ok(mut live) = self.live.try_lock() else {
            // Somebody is at it, perhaps past looking at what rooms have told: the task looks once more. Or it has panicked there.
            task.wake_by_ref();
            return;
        };
        let live = match &mut *live {
            Some(live) if live.stop.is_none() => live,
            Some(_) => return,
            // Who attends reads by itself.
            None => return task.wake_by_ref(),
        };
        let cx = &mut Context::from_waker(task);
        // A panic ends this session and none of its neighbours.
        let written = catch_unwind(AssertUnwindSafe(|| live.write(parcel, cx)));
        match written.unwrap_or_else(|_panic| Err(live.session.failed())) {
            Ok(true) => return,
            Ok(false) => {}
            Err(stop) => live.stop = Some(stop),
        }
        task.wake_by_ref();
    }

    /// Ends the session if it is one of these, as [`change`](Self::change) does.
    pub(super) fn stop_if(&self, is_meant: impl FnOnce(&Session) -> bool, stop: Stop) {
        self.change(|session| if is_meant(session) { Err(stop) } else { Ok(()) });
    }

    /// Has the session say goodbye, as the server goes; see [`Session::dismiss`].
    pub(super) fn dismiss(&self, jitter: Duration) {
        self.change(|session| session.dismiss(jitter));
    }

    /// What is seen of the session, if it is open.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Session) -> T) -> Option<T> {
        lock(&self.live).as_ref().map(|live| look(&live.session))
    }

    /// Changes the session from outside, if it is open, or ends it, for the first reason given; and has its task look. Not for who
    /// holds a session already: it waits for this one.
    pub(super) fn change(&self, change: impl FnOnce(&mut Session) -> Result<(), Stop>) {
        if let Some(live) = &mut *lock(&self.live)
            && let Err(stop) = change(&mut live.session)
        {
            live.stop.get_or_insert(stop);
        }
        self.wake();
    }

    /// Has the session's task look.
    pub(super) fn wake(&self) {
        if let Some(task) = &*lock(&self.task) {
            task.wake_by_ref();
        }
    }

    /// Lives as long as the connection does.
    pub(super) async fn run(self: Arc<Self>, session: Box<Session>, ws: WebSocket) {
        let hub = Arc::clone(&session.hub);
        let number = hub.identities.session_number(session.id);
        *lock(&self.live) = Some(Live::new(session, ws));
        let taken = Taken(self);
        let _open = hub.open.enter(number, &taken.0);
        // It could not be found before.
        taken.0.change(Session::check_entry);
        poll_fn(|cx| taken.poll(cx)).await;
        let Some(Live {
            mut session,
            mut ws,
            stop: Some(stop),
            ..
        }) = taken.leave()
        else {
            return;
        };
        session.rooms.depart(departure(&stop, &ws));
        let newcomer = session.leave_newcomer();
        // Out of the rooms first: the closing handshake may take its time.
        drop(session);
        // Boxed: nobody else has to keep room for it.
        Box::pin(ws.close(stop.frame())).await;
        drop(newcomer);
    }
}

/// A seat that is free again when this goes, also by a panic.
struct Taken(Arc<Seat>);

impl Taken {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        lock(&self.0.task)
            .get_or_insert_with(|| cx.waker().clone())
            .clone_from(cx.waker());
        match &mut *lock(&self.0.live) {
            Some(live) => live.poll(cx),
            None => Poll::Ready(()),
        }
    }

    /// What is dropped must not be so under the lock: it tells rooms, and they tell seats.
    fn leave(&self) -> Option<Live> {
        let _task = lock(&self.0.task).take();
        lock(&self.0.live).take()
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        drop(self.leave());
    }
}

/// A session and its connection.
#[derive(Debug)]
struct Live {
    session: Box<Session>,
    ws: WebSocket,
    alarm: Alarm,
    /// There while the socket has not taken all that it was given.
    stall: Option<Stall>,
    /// Why the task has to end. From then on nothing is written.
    stop: Option<Stop>,
    /// Commands taken in this turn.
    commands: usize,
}

impl Live {
    fn new(session: Box<Session>, ws: WebSocket) -> Self {
        Self {
            session,
            ws,
            alarm: Alarm::default(),
            stall: None,
            stop: None,
            commands: 0,
        }
    }

    /// For the lane: writes what rooms have, as far as that goes without waiting. Says whether that was all.
    fn write(&mut self, parcel: &mut Parcel, cx: &mut Context<'_>) -> Result<bool, Stop> {
        let (all, sent) = self.send(parcel, cx)?;
        Ok(all && sent)
    }

    /// For the task: goes on until the session has to end.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stop.is_none() {
            // A panic ends this session, in which something is wrong, with a Close.
            let polled = catch_unwind(AssertUnwindSafe(|| self.poll_stop(cx)));
            let stop = polled.unwrap_or_else(|_panic| Poll::Ready(self.session.failed()));
            self.stop = Some(ready!(stop));
        }
        Poll::Ready(())
    }

    /// Does what can be done without waiting, until there is a reason to end.
    fn poll_stop(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        loop {
            if let Err(stop) = self.go_on(cx) {
                return Poll::Ready(stop);
            }
            self.alarm.set(self.session.next_deadline());
            let stalled_until = self.stall.as_ref().map(|stall| stall.until);
            self.alarm.set(stalled_until);
            ready!(self.alarm.poll(cx));
            if stalled_until.is_some_and(|until| until <= Instant::now()) {
                return Poll::Ready(self.session.dialect.too_slow());
            }
            if let Err(stop) = self.session.on_alarm(self.ws.queued() > 0) {
                return Poll::Ready(stop);
            }
        }
    }

    /// Takes commands and writes, until the client says nothing more, the socket takes nothing more, or its turn is over.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        self.begin_turn(cx)?;
        let mut parcel = Parcel::default();
        loop {
            let silent = self.take_commands(cx)?;
            self.session.poll_streams(cx);
            let (all, sent) = self.send(&mut parcel, cx)?;
            if (silent || !self.may_take()) && (all || !sent) {
                return Ok(());
            }
        }
    }

    /// Begins another turn if one is over and what it brought has left; else what it waits for wakes the task.
    fn begin_turn(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        if self.commands >= MAX_COMMANDS_PER_TURN {
            let flushed = pin!(self.ws.flush()).poll(cx).map_err(|_| Stop::Over)?;
            if flushed.is_ready() {
                self.commands = 0;
            }
        }
        Ok(())
    }

    /// Takes commands while the replies to them have room. Says whether there were no more.
    fn take_commands(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        self.session.poll_log(cx)?;
        while self.may_take() {
            let Poll::Ready(message) = pin!(self.ws.recv()).poll(cx) else {
                return Ok(true);
            };
            self.commands += 1;
            if self.commands == MAX_COMMANDS_PER_TURN {
                // Others are next, then this one again.
                cx.waker().wake_by_ref();
            }
            self.session
                .take(message.map_err(|_| Stop::Over)?.ok_or(Stop::Over)?)?;
            self.session.poll_log(cx)?;
        }
        Ok(false)
    }

    fn may_take(&self) -> bool {
        self.session.has_room() && self.commands < MAX_COMMANDS_PER_TURN
    }

    /// Writes what the session is owed. Says whether that was all it is owed, and whether the socket has taken it.
    fn send(&mut self, parcel: &mut Parcel, cx: &mut Context<'_>) -> Result<(bool, bool), Stop> {
        let before = self.ws.queued();
        parcel.begin(before);
        let all = self.session.pack(parcel);
        let sent = match parcel.poll_send(&mut self.ws, cx) {
            Poll::Ready(sent) => sent.map(|()| true).map_err(|_| Stop::Over)?,
            // It was packed so that the connection takes all, be the socket full or not.
            Poll::Pending if !parcel.is_empty() => return Err(self.session.dialect.too_slow()),
            Poll::Pending => false,
        };
        self.note_stall(sent, before, parcel.bytes());
        let all = all?;
        if self.session.streams_go_on() {
            // In another turn: others are next.
            cx.waker().wake_by_ref();
        }
        self.session.check_bye()?;
        Ok((all, sent))
    }

    /// The socket was given what waited `before`, and then as much as makes it so many `bytes`. It has taken all of it, or not.
    fn note_stall(&mut self, all: bool, before: usize, bytes: usize) {
        if all {
            self.stall = None;
            return;
        }
        let queued = self.ws.queued();
        let until = match &self.stall {
            // Else some has left, perhaps while the client was listened to.
            Some(stall) if stall.queued <= before && bytes <= queued => stall.until,
            _ => Instant::now() + self.session.hub.config.timeouts.write,
        };
        self.stall = Some(Stall { until, queued });
    }
}

/// A socket that does not take what it is given.
#[derive(Debug)]
struct Stall {
    /// How long it is waited for to take some.
    until: Instant,
    /// What it has left.
    queued: usize,
}

/// Whether the client wanted to go, or is not to come back. A new connection in place of its old one is there already, or soon.
fn departure(stop: &Stop, ws: &WebSocket) -> Departure {
    let is_meant = match stop {
        Stop::Over => ws.outcome().is_some_and(|end| end.received.is_some()),
        Stop::Close(frame) => FOR_GOOD.contains(&frame.code().get()) && frame.code() != REPLACED,
    };
    if is_meant {
        Departure::Left
    } else {
        Departure::Lost
    }
}

impl Session {
    /// Something panicked that works for this session alone.
    fn failed(&self) -> Stop {
        self.hub.metrics.panicked();
        Stop::close(CloseCode::INTERNAL_ERROR, "")
    }
}

/// Takes a lock. What is behind ours is whole between two calls, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
