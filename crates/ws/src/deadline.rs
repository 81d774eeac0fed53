//! When a wait that begins now is over.

use std::time::Duration;

use tokio::time::Instant;

/// Farther than any wait; adding more could overflow.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// The moment `limit` from now.
pub(crate) fn after(limit: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(limit).unwrap_or(now + FAR)
}
