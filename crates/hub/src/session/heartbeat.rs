//! Heartbeats that browsers can see.

use std::{ops::RangeInclusive, time::Duration};

use fullduplex::CloseCode;
use tokio::time::Instant;

use super::Stop;

/// The client did not answer.
const HEARTBEAT_LOST: CloseCode = CloseCode::new(4201);

/// What a client may choose between two beats: often enough to matter, seldom enough to be cheap.
pub(crate) const INTERVALS: RangeInclusive<Duration> =
    Duration::from_secs(5)..=Duration::from_secs(300);

/// Sends a beat when nothing else was sent for an interval, and gives the client up that does not
/// say anything for two of them and some grace.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    /// When to send one, unless something else is sent before.
    send_at: Instant,
    /// When the client counts as gone, unless it says something before.
    lost_at: Instant,
}

impl Heartbeat {
    /// What a client may take beyond two missed heartbeats.
    const GRACE: Duration = Duration::from_secs(10);

    pub(crate) fn new(interval: Duration) -> Self {
        let now = Instant::now();
        let mut heartbeat = Self {
            interval,
            send_at: now,
            lost_at: now,
        };
        heartbeat.sent();
        heartbeat.heard();
        heartbeat
    }

    /// As a client asks for it in `hello`: brought within [`INTERVALS`]; none for 0.
    pub(super) fn asked(ms: u64) -> Option<Self> {
        let interval = Duration::from_millis(ms).clamp(*INTERVALS.start(), *INTERVALS.end());
        (ms > 0).then(|| Self::new(interval))
    }

    pub(super) const fn interval(&self) -> Duration {
        self.interval
    }

    pub(crate) fn sent(&mut self) {
        self.send_at = Instant::now() + self.interval;
    }

    pub(crate) fn heard(&mut self) {
        self.lost_at = Instant::now() + 2 * self.interval + Self::GRACE;
    }

    pub(crate) fn deadline(&self) -> Instant {
        self.send_at.min(self.lost_at)
    }

    /// Whether a beat is to be sent now.
    ///
    /// While our own bytes wait (`is_writing`) the client may not have seen what it should answer; how
    /// long that may last is the connection's rule, so both clocks start anew.
    pub(crate) fn is_due(&mut self, is_writing: bool) -> Result<bool, Stop> {
        let now = Instant::now();
        if is_writing && self.deadline() <= now {
            self.sent();
            self.heard();
        }
        if self.lost_at <= now {
            return Err(Stop::close(HEARTBEAT_LOST, "heartbeat lost"));
        }
        Ok(self.send_at <= now)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn a_beat_is_due_only_after_an_interval_of_silence() {
        let mut heartbeat = Heartbeat::new(INTERVAL);
        advance(INTERVAL / 2).await;
        assert!(!heartbeat.is_due(false).unwrap());
        heartbeat.sent();
        advance(INTERVAL / 2).await;
        assert!(!heartbeat.is_due(false).unwrap());
        advance(INTERVAL / 2).await;
        assert!(heartbeat.is_due(false).unwrap());
    }

    #[tokio::test]
    async fn an_interval_that_is_asked_for_is_brought_within_its_limits() {
        let granted = |ms| Heartbeat::asked(ms).map(|heartbeat| heartbeat.interval().as_millis());
        let asked = [0, 1, 5_000, 20_000, 300_000, 300_001, u64::MAX];
        let limits = [None, Some(5_000), Some(5_000), Some(20_000)];
        let longest = [Some(300_000); 3];
        assert_eq!(asked.map(granted)[..4], limits);
        assert_eq!(asked.map(granted)[4..], longest);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_given_up_after_two_intervals_and_ten_seconds_of_silence() {
        let mut heartbeat = Heartbeat::new(INTERVAL);
        advance(Duration::from_secs(49)).await;
        heartbeat.heard();
        advance(Duration::from_secs(49)).await;
        assert!(heartbeat.is_due(false).is_ok());
        advance(Duration::from_secs(1)).await;
        let Err(Stop::Close(frame)) = heartbeat.is_due(false) else {
            panic!("still waited for")
        };
        assert_eq!(frame.code(), HEARTBEAT_LOST);
    }

    #[tokio::test(start_paused = true)]
    async fn while_our_own_bytes_wait_nobody_is_given_up() {
        let mut heartbeat = Heartbeat::new(INTERVAL);
        advance(3 * INTERVAL).await;
        assert!(!heartbeat.is_due(true).unwrap());
        assert!(!heartbeat.is_due(false).unwrap());
        advance(3 * INTERVAL).await;
        assert!(heartbeat.is_due(false).is_err());
    }
}
