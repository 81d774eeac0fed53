//! How long a connection that speaks HTTP may go on.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// Until when a connection takes requests; or, once a stream is on it, until when that has to be taken.
#[derive(Debug)]
pub(crate) struct Lease {
    term: Mutex<Term>,
    /// Notified when it may end earlier than before.
    changed: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Term {
    ends: Instant,
    is_stream: bool,
}

impl Lease {
    pub(crate) fn new(life: Duration) -> Self {
        Self {
            term: Mutex::new(Term {
                ends: Instant::now() + life,
                is_stream: false,
            }),
            changed: Notify::new(),
        }
    }

    /// A stream was taken so far, and may go on for this long.
    pub(super) fn extend(&self, by: Duration) {
        let ends = Instant::now() + by;
        let is_stream = true;
        let before = std::mem::replace(&mut *self.term(), Term { ends, is_stream });
        if ends < before.ends {
            self.changed.notify_one();
        }
    }

    /// Waits until it is over. Says whether a stream was not taken.
    ///
    /// Cancel safe.
    pub(crate) async fn over(&self) -> bool {
        loop {
            let Term { ends, is_stream } = *self.term();
            if ends <= Instant::now() {
                return is_stream;
            }
            tokio::select! {
                () = sleep_until(ends) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    fn term(&self) -> MutexGuard<'_, Term> {
        self.term.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
