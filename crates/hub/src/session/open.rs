//! The open sessions, to be ended when the hub stops.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use fullduplex::CloseCode;

use super::{Seat, Stop};
use crate::core::{OwnNumberMap, SessionId};

#[derive(Debug, Default)]
pub(crate) struct Open(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    seats: OwnNumberMap<SessionId, Weak<Seat>>,
    is_stopping: bool,
}

impl Open {
    /// Adds a session, and ends it if all are being ended.
    pub(super) fn enter(&self, id: SessionId, seat: &Arc<Seat>) -> Entry<'_> {
        let mut state = self.state();
        state.seats.insert(id, Arc::downgrade(seat));
        if state.is_stopping {
            seat.stop(server_stops());
        }
        Entry { open: self, id }
    }

    /// Ends all, and those that are added from now on.
    pub(crate) fn stop_all(&self) {
        let seats: Vec<_> = {
            let mut state = self.state();
            state.is_stopping = true;
            state.seats.values().filter_map(Weak::upgrade).collect()
        };
        for seat in seats {
            seat.stop(server_stops());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place among the open ones.
pub(super) struct Entry<'a> {
    open: &'a Open,
    id: SessionId,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.open.state().seats.remove(&self.id);
    }
}

fn server_stops() -> Stop {
    Stop::close(CloseCode::GOING_AWAY, "the server stops")
}
