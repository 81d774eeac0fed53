//! Where a session meets the others: what rooms tell it, and who writes for it.
//!
//! A session has a task, which takes its commands, and a [`Lane`], which writes what rooms have for it. Both work on the same
//! state, under a lock of its own. When the socket takes no more, the lane leaves the rest to the task.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use fullduplex::{CloseCode, WebSocket};

use super::{Alarm, MAX_COMMANDS_PER_FLUSH, Parcel, Session, Stop, too_slow};
use crate::{lane::Lane, rooms::RoomRef};

/// A session, as rooms and its lane know it.
#[derive(Debug)]
pub(crate) struct Seat {
    lane: Arc<Lane>,
    /// Rooms that have something. Each tells it once until it was read to the end, so the list is as long as the session has
    /// rooms, at most.
    told: Mutex<Vec<RoomRef>>,
    /// The lane has it.
    is_due: AtomicBool,
    /// There while the connection is open.
    live: Mutex<Option<Live>>,
}

impl Seat {
    pub(crate) fn new(lane: Arc<Lane>) -> Arc<Self> {
        Arc::new(Self {
            lane,
            told: Mutex::default(),
            is_due: AtomicBool::new(false),
            live: Mutex::default(),
        })
    }

    /// A room has something for the session.
    pub(crate) fn tell(self: &Arc<Self>, room: RoomRef) {
        lock(&self.told).push(room);
        if !self.is_due.swap(true, Ordering::AcqRel) {
            self.lane.push(Arc::clone(self));
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

    /// Writes what rooms have for the session.
    pub(crate) fn deliver(&self, parcel: &mut Parcel) {
        self.is_due.store(false, Ordering::Release);
        let mut seated = lock(&self.live);
        // Not open yet, or no longer.
        let Some(live) = &mut *seated else { return };
        // A panic ends this session and none of its neighbours.
        let written = catch_unwind(AssertUnwindSafe(|| live.write(parcel)));
        match written.unwrap_or_else(|_| Err(Stop::close(CloseCode::INTERNAL_ERROR, ""))) {
            Ok(true) => {}
            Ok(false) => live.wake(),
            Err(stop) => live.stop(stop),
        }
    }

    /// Ends the session.
    pub(crate) fn stop(&self, stop: Stop) {
        if let Some(live) = &mut *lock(&self.live) {
            live.stop(stop);
        }
    }

    /// Lives as long as the connection does.
    pub(super) async fn run(self: Arc<Self>, session: Box<Session>, ws: WebSocket) {
        let (hub, id) = (Arc::clone(&session.hub), session.id);
        *lock(&self.live) = Some(Live::new(session, ws));
        let taken = Taken(self);
        let _open = hub.open.enter(id, &taken.0);
        let stop = poll_fn(|cx| taken.poll(cx)).await;
        let Some(Live {
            session, mut ws, ..
        }) = taken.leave()
        else {
            return;
        };
        // Out of the rooms first: the closing handshake may take its time.
        drop(session);
        ws.close(stop.frame()).await;
    }
}

/// A seat that is free again when this goes, also by a panic.
struct Taken(Arc<Seat>);

impl Taken {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Stop> {
        match &mut *lock(&self.0.live) {
            Some(live) => live.poll(cx),
            None => Poll::Ready(Stop::Over),
        }
    }

    /// What is dropped must not be so under the lock: it tells rooms, and they tell seats.
    fn leave(&self) -> Option<Live> {
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
    /// Wakes the session's task.
    task: Option<Waker>,
    /// Why the task has to end.
    stop: Option<Stop>,
    /// Commands taken since the last flush.
    commands: usize,
}

impl Live {
    fn new(session: Box<Session>, ws: WebSocket) -> Self {
        Self {
            session,
            ws,
            alarm: Alarm::default(),
            task: None,
            stop: None,
            commands: 0,
        }
    }

    /// Lets the task go on.
    fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Lets the task end, for the first reason given.
    fn stop(&mut self, stop: Stop) {
        self.stop.get_or_insert(stop);
        self.wake();
    }

    /// For the lane: writes what rooms have, as far as that goes without waiting. Says whether that was all.
    fn write(&mut self, parcel: &mut Parcel) -> Result<bool, Stop> {
        let (all, sent) = self.send(parcel, &mut Context::from_waker(Waker::noop()))?;
        Ok(all && sent)
    }

    /// For the task: does all that can be done without waiting, until the session ends.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        if let Some(stop) = self.stop.take() {
            return Poll::Ready(stop);
        }
        self.task
            .get_or_insert_with(|| cx.waker().clone())
            .clone_from(cx.waker());
        loop {
            if let Err(stop) = self.go_on(cx) {
                return Poll::Ready(stop);
            }
            self.alarm.set(self.session.next_deadline());
            ready!(self.alarm.poll(cx));
            if let Err(stop) = self.session.on_alarm(self.ws.queued() > 0) {
                return Poll::Ready(stop);
            }
        }
    }

    /// Takes commands and writes, until the client says nothing more or the socket takes nothing more.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let mut parcel = Parcel::default();
        loop {
            let silent = self.take_commands(cx)?;
            let (all, sent) = self.send(&mut parcel, cx)?;
            if (silent || !self.may_take()) && (all || !sent) {
                return Ok(());
            }
        }
    }

    /// Takes commands while the replies to them have room. Says whether there were no more.
    fn take_commands(&mut self, cx: &mut Context<'_>) -> Result<bool, Stop> {
        self.session.poll_decided(cx);
        while self.may_take() {
            let Poll::Ready(message) = pin!(self.ws.recv()).poll(cx) else {
                return Ok(true);
            };
            self.commands += 1;
            self.session
                .take(message.map_err(|_| Stop::Over)?.ok_or(Stop::Over)?)?;
            self.session.poll_decided(cx);
        }
        Ok(false)
    }

    fn may_take(&self) -> bool {
        self.session.has_room() && self.commands < MAX_COMMANDS_PER_FLUSH
    }

    /// Writes what the session is owed. Says whether that was all it is owed, and whether the socket has taken it.
    fn send(&mut self, parcel: &mut Parcel, cx: &mut Context<'_>) -> Result<(bool, bool), Stop> {
        parcel.begin(self.ws.queued());
        let all = self.session.pack(parcel);
        let sent = match parcel.poll_send(&mut self.ws, cx) {
            Poll::Ready(sent) => sent.map(|()| true).map_err(|_| Stop::Over)?,
            // It was packed so that the connection takes all, be the socket full or not.
            Poll::Pending if !parcel.is_empty() => return Err(too_slow()),
            Poll::Pending => false,
        };
        if sent {
            self.commands = 0;
        }
        Ok((all?, sent))
    }
}

/// Takes a lock. What is behind ours is whole between two calls, also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
