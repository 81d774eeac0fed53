//! Heartbeats that browsers can see.

use std::time::Duration;

use fullduplex::CloseCode;
use tokio::time::Instant;

use super::Stop;

/// The client did not answer.
const HEARTBEAT_LOST: CloseCode = CloseCode::new(4201);

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
