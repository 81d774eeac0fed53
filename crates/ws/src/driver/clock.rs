//! What time it is, by the clock of tokio.

use std::time::Instant;

/// What time it is for a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Clock {
    Runs,
    /// While a handler is polled, which looks often: at what it saw last when something came or went.
    Stands(Option<Instant>),
}

impl Clock {
    pub(super) fn now(&mut self) -> Instant {
        match self {
            Self::Runs => now(),
            Self::Stands(at) => *at.get_or_insert_with(now),
        }
    }

    /// The same, looked at anew: something has come, or is about to leave, from which a deadline counts.
    pub(super) fn tick(&mut self) -> Instant {
        let now = now();
        if let Self::Stands(at) = self {
            *at = Some(now);
        }
        now
    }
}

/// By tokio's clock, so that tests can hold it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
