//! Writing for many sessions in one go.
//!
//! A wake-up of a task for each of a thousand listeners costs as much as half of their writes. So who publishes only says
//! which room is due, and one task writes to all that are in it.

use std::{
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    runtime::Handle,
    task::{unconstrained, yield_now},
};

use super::delivery::{Delivery, DueRoom};
use crate::session::{Parcel, Seat};

/// Sessions written for before others of the runtime get their turn: well under a millisecond. For as many more another task
/// is worth its start.
const SEATS_PER_TURN: usize = 64;

/// One lane for each thread of the runtime.
#[derive(Debug)]
pub(crate) struct Lanes(Box<[Arc<Lane>]>);

impl Lanes {
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(crate) fn new() -> Self {
        let runtime = Handle::current();
        let lane = || Arc::new(Lane::new(runtime.clone()));
        let threads = runtime.metrics().num_workers().max(1);
        Self(std::iter::repeat_with(lane).take(threads).collect())
    }

    /// The lane for whoever has this number.
    pub(crate) fn of(&self, number: u64) -> &Arc<Lane> {
        let at = number % self.0.len() as u64;
        &self.0[usize::try_from(at).unwrap_or(0)]
    }

    /// Forgets what is due, for the end: in a runtime that has ended nobody takes it out, and what is due keeps the lane as it is
    /// kept.
    pub(crate) fn clear(&self) {
        for lane in &self.0 {
            let Due { rooms, seats, .. } = mem::take(&mut *lane.due());
            drop((rooms, seats));
        }
    }
}

/// The rooms and sessions of one thread, as far as they are due. It has a task only while some are.
#[derive(Debug)]
pub(crate) struct Lane {
    runtime: Handle,
    due: Mutex<Due>,
}

#[derive(Debug, Default)]
struct Due {
    rooms: Vec<DueRoom>,
    /// Those that can't be written to with the others of a room.
    seats: Vec<Arc<Seat>>,
    is_running: bool,
}

impl Lane {
    fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            due: Mutex::default(),
        }
    }

    /// Sees to it that all in this room soon get what they have not. It is in here once at most.
    pub(crate) fn push_room(self: &Arc<Self>, room: DueRoom) {
        self.push(|due| due.rooms.push(room));
    }

    /// Sees to it that there is soon written for this session. Each is in here once at most.
    pub(crate) fn push_seat(self: &Arc<Self>, seat: Arc<Seat>) {
        self.push(|due| due.seats.push(seat));
    }

    fn push(self: &Arc<Self>, push: impl FnOnce(&mut Due)) {
        let was_running = {
            let mut due = self.due();
            push(&mut due);
            mem::replace(&mut due.is_running, true)
        };
        if !was_running {
            let lane = Arc::clone(self);
            // It yields by itself; the runtime's budget would make sockets look full.
            self.runtime.spawn(unconstrained(lane.run()));
        }
    }

    async fn run(self: Arc<Self>) {
        let mut due = Due::default();
        let mut parcel = Parcel::default();
        let mut turn = Turn::default();
        while self.take(&mut due) {
            for room in due.rooms.drain(..) {
                let Some(next) = unharmed(|| room.next()) else {
                    unharmed(|| room.read_alone());
                    continue;
                };
                let Some((delivery, is_due)) = next else {
                    continue;
                };
                if is_due {
                    self.push_room(room);
                }
                self.deliver(delivery, &mut turn).await;
            }
            for seat in due.seats.drain(..) {
                unharmed(|| seat.deliver(&mut parcel));
                turn.wrote(1).await;
            }
        }
    }

    /// Writes a round to all it is for, if need be with the help of other threads. It does not wait for them: who gets the next
    /// round before this one is told to read.
    async fn deliver(&self, delivery: Arc<Delivery>, turn: &mut Turn) {
        let tasks = delivery.len() / SEATS_PER_TURN;
        for _ in 1..tasks.min(self.runtime.metrics().num_workers()) {
            let delivery = Arc::clone(&delivery);
            let helps = async move { write(&delivery, &mut Turn::default()).await };
            self.runtime.spawn(unconstrained(helps));
        }
        write(&delivery, turn).await;
    }

    /// Replaces `due`, which is empty, by what is due. With nothing the task has to end.
    fn take(&self, due: &mut Due) -> bool {
        let mut waiting = self.due();
        mem::swap(&mut waiting.rooms, &mut due.rooms);
        mem::swap(&mut waiting.seats, &mut due.seats);
        waiting.is_running = !(due.rooms.is_empty() && due.seats.is_empty());
        waiting.is_running
    }

    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a round to all it is for whom nobody else writes to.
pub(crate) async fn write(delivery: &Delivery, turn: &mut Turn) {
    loop {
        let most = turn.left();
        let written = unharmed(|| delivery.write(most));
        if written.is_none() {
            unharmed(|| delivery.read_alone());
        }
        let count = written.unwrap_or(most);
        if count == 0 {
            return;
        }
        turn.wrote(count).await;
    }
}

/// What comes of a step; none of one that panics. It ends alone, and not the lane: others wait for that.
fn unharmed<T>(step: impl FnOnce() -> T) -> Option<T> {
    let done = catch_unwind(AssertUnwindSafe(step)).ok();
    if done.is_none() {
        tracing::error!("a delivery failed: who has not got it reads it from the room");
    }
    done
}

/// How far a task has come before it lets others run.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    written: usize,
}

impl Turn {
    fn left(&self) -> usize {
        SEATS_PER_TURN - self.written
    }

    async fn wrote(&mut self, count: usize) {
        self.written += count;
        if self.written >= SEATS_PER_TURN {
            self.written = 0;
            yield_now().await;
        }
    }
}
