//! How long a connection that speaks HTTP may go on.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::config::Timeouts;

/// Until when a connection takes requests; or, once a stream is on it, until when that has to be taken.
#[derive(Debug)]
pub(crate) struct Lease {
    term: Mutex<Term>,
    /// Notified when it may end earlier than before.
    changed: Notify,
    /// For what was made of a stream that is over.
    close: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Term {
    ends: Instant,
    is_stream: bool,
    is_last: bool,
}

impl Lease {
    pub(crate) fn new(timeouts: &Timeouts) -> Self {
        Self {
            term: Mutex::new(Term {
                ends: Instant::now() + timeouts.http,
                is_stream: false,
                is_last: false,
            }),
            changed: Notify::new(),
            close: timeouts.close,
        }
    }

    /// A stream was taken so far, and may go on for this long.
    pub(super) fn extend(&self, by: Duration) {
        self.renew(by, false);
    }

    /// The stream is over: what was made of it is taken soon or not at all. Nothing extends this.
    pub(crate) fn finish(&self) {
        self.renew(self.close, true);
    }

    fn renew(&self, by: Duration, is_last: bool) {
        let mut term = self.term();
        if term.is_last {
            return;
        }
        let before = term.ends;
        *term = Term {
            ends: Instant::now() + by,
            is_stream: true,
            is_last,
        };
        if term.ends < before {
            self.changed.notify_one();
        }
    }

    /// Waits until it is over. Says whether a stream was not taken.
    ///
    /// Cancel safe.
    pub(crate) async fn over(&self) -> bool {
        loop {
            let Term {
                ends, is_stream, ..
            } = *self.term();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_stream_extends_it_until_it_is_over() {
        let timeouts = Timeouts::default();
        let lease = Lease::new(&timeouts);
        let hour = Duration::from_hours(1);
        lease.extend(hour);
        let begun = Instant::now();
        let ended = tokio::join!(lease.over(), async {
            sleep_until(begun + hour / 2).await;
            lease.finish();
            lease.extend(hour);
        });
        assert!(ended.0, "it was a stream");
        let late = begun + hour / 2 + timeouts.close;
        assert!((late..late + timeouts.close).contains(&Instant::now()));
    }
}
