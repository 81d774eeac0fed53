//! Times and ids of events.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use ulid::ULID_LEN;

/// Gives out times that never go back and ids that grow.
pub(super) struct Stamps {
    last_ts: u64,
    ids: ulid::Generator,
}

impl Stamps {
    /// For what comes after `last_ts`, in milliseconds since 1970.
    pub(super) const fn after(last_ts: u64) -> Self {
        Self {
            last_ts,
            ids: ulid::Generator::new(),
        }
    }

    /// The next time and id. `None` when this millisecond's ids are used up, which takes 2^79 of them
    /// on average.
    pub(super) fn next(&mut self, now: u64) -> Option<(u64, Arc<str>)> {
        let ts = now.max(self.last_ts);
        let id = self
            .ids
            .generate_from_datetime(SystemTime::UNIX_EPOCH + Duration::from_millis(ts));
        let id = id.ok()?;
        self.last_ts = ts;
        Some((ts, Arc::from(&*id.array_to_str(&mut [0; ULID_LEN]))))
    }
}

/// A name for a history that begins. Lower case and short, like the epochs in the protocol's examples.
pub(super) fn new_epoch() -> Arc<str> {
    ulid::Ulid::new().to_string()[20..]
        .to_ascii_lowercase()
        .into()
}
