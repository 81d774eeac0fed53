//! The open sessions, to be ended when the hub stops.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use super::{Seat, bye::jitter};
use crate::{core::OwnNumberMap, drain::end_in_turn, hub::now};

#[derive(Debug, Default)]
pub(crate) struct Open(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By the number that is in a session's public id; each with when it began, in milliseconds since 1970.
    seats: OwnNumberMap<u64, (Weak<Seat>, u64)>,
    is_stopping: bool,
}

impl Open {
    /// Adds a session, and ends it if all are being ended.
    pub(super) fn enter(&self, number: u64, seat: &Arc<Seat>) -> Entry<'_> {
        let (is_stopping, clients) = {
            let mut state = self.state();
            state.seats.insert(number, (Arc::downgrade(seat), now()));
            (state.is_stopping, state.seats.len())
        };
        if is_stopping {
            seat.dismiss(jitter(clients, Duration::ZERO));
        }
        Entry { open: self, number }
    }

    pub(super) fn find(&self, number: u64) -> Option<Arc<Seat>> {
        self.state().seats.get(&number)?.0.upgrade()
    }

    /// All of them, each with its number and when it began.
    pub(super) fn entries(&self) -> Vec<(u64, Weak<Seat>, u64)> {
        let state = self.state();
        let entry = |(number, (seat, since)): (&u64, &(Weak<Seat>, u64))| {
            (*number, Weak::clone(seat), *since)
        };
        state.seats.iter().map(entry).collect()
    }

    /// Ends all, evenly over this time, and those that are added after it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, some have been told to end and others not.
    pub(crate) async fn stop_all(&self, drain: Duration) {
        let seats = self.state().all();
        let jitter = jitter(seats.len(), drain);
        let dismiss = |seat: &Weak<Seat>| {
            if let Some(seat) = seat.upgrade() {
                seat.dismiss(jitter);
            }
        };
        end_in_turn(&seats, drain, dismiss).await;
        let late = {
            let mut state = self.state();
            state.is_stopping = true;
            state.all()
        };
        late.iter().for_each(dismiss);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn all(&self) -> Vec<Weak<Seat>> {
        self.seats
            .values()
            .map(|(seat, _)| Weak::clone(seat))
            .collect()
    }
}

/// A session's place among the open ones.
pub(super) struct Entry<'a> {
    open: &'a Open,
    number: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.open.state().seats.remove(&self.number);
    }
}
