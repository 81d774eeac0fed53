//! Writing for many sessions in one go.
//!
//! A wake-up of a task for each of a thousand listeners costs as much as half of their writes. So who publishes only says
//! which sessions are due, and one task writes for all of them.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    runtime::Handle,
    task::{unconstrained, yield_now},
};

use crate::session::{Parcel, Seat};

/// Sessions written for before others of the runtime get their turn: well under a millisecond.
const SEATS_PER_TURN: usize = 64;

/// The sessions of one thread, as far as they are due. It has a task only while some are.
#[derive(Debug)]
pub(crate) struct Lane {
    runtime: Handle,
    due: Mutex<Due>,
}

#[derive(Debug, Default)]
struct Due {
    seats: Vec<Arc<Seat>>,
    is_running: bool,
}

impl Lane {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            due: Mutex::default(),
        }
    }

    /// Sees to it that there is soon written for this session. Each is in here once at most.
    pub(crate) fn push(self: &Arc<Self>, seat: Arc<Seat>) {
        let was_running = {
            let mut due = self.due();
            due.seats.push(seat);
            mem::replace(&mut due.is_running, true)
        };
        if !was_running {
            let lane = Arc::clone(self);
            // It yields by itself; the runtime's budget would make sockets look full.
            self.runtime.spawn(unconstrained(lane.run()));
        }
    }

    async fn run(self: Arc<Self>) {
        let mut seats = Vec::new();
        let mut parcel = Parcel::default();
        while self.take(&mut seats) {
            for turn in seats.chunks(SEATS_PER_TURN) {
                for seat in turn {
                    seat.deliver(&mut parcel);
                }
                yield_now().await;
            }
        }
    }

    /// Forgets the sessions that are due, for the end: in a runtime that has ended nobody takes them out, and they keep the lane
    /// as it keeps them.
    pub(crate) fn clear(&self) {
        let seats = mem::take(&mut self.due().seats);
        drop(seats);
    }

    /// Replaces `seats` by those that are due. With none the task has to end.
    fn take(&self, seats: &mut Vec<Arc<Seat>>) -> bool {
        seats.clear();
        let mut due = self.due();
        mem::swap(&mut due.seats, seats);
        due.is_running = !seats.is_empty();
        due.is_running
    }

    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
