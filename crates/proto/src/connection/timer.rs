//! Every deadline of a connection. Time comes in as an argument; here it is only compared.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{elapsed::Elapsed, outcome::Deadline};
use crate::config::{Config, Life};

/// A ping that was sent and not answered.
#[derive(Debug)]
struct Ping {
    payload: Bytes,
    sent: Instant,
}

/// The moments from which deadlines count: all but the usual one as the time since the connection began.
#[derive(Debug)]
pub(super) struct Timers {
    begun: Instant,
    /// The last byte received.
    received: Instant,
    /// The last byte received of a data frame, where that is asked for.
    data_received: Elapsed,
    /// The last pong that answered a ping of ours.
    answered: Elapsed,
    message_begun: Option<Elapsed>,
    /// The message is handed out as it arrives, so the application decides how long it may take.
    streamed: bool,
    write_waiting: Option<Elapsed>,
    /// The transport has left some of it.
    blocked: bool,
    /// The keepalive ping that no sign of life has followed yet.
    probe: Option<Elapsed>,
    /// That it is late was said.
    late: bool,
    /// Boxed, as there are none most of the time.
    #[expect(clippy::box_collection, reason = "the place of an empty one counts")]
    pings: Option<Box<VecDeque<Ping>>>,
    latency: Option<Elapsed>,
}

/// What a deadline asks for when it passes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Ping,
    Late,
    Fail(Deadline),
}

impl Timers {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            begun: now,
            received: now,
            data_received: Elapsed::ZERO,
            answered: Elapsed::ZERO,
            message_begun: None,
            streamed: false,
            write_waiting: None,
            blocked: false,
            probe: None,
            late: false,
            pings: None,
            latency: None,
        }
    }

    /// When the connection began.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    /// How a moment is kept.
    fn elapsed(&self, now: Instant) -> Elapsed {
        now.saturating_duration_since(self.begun).into()
    }

    /// The moment so long after one that was kept, if there ever is one.
    fn after(&self, kept: Elapsed, wait: Duration) -> Option<Instant> {
        self.begun.checked_add(kept.into())?.checked_add(wait)
    }

    pub(super) fn bytes_received(&mut self, now: Instant, config: &Config) {
        self.received = now;
        if config.keepalive_life == Life::AnyByte {
            self.probe = None;
        }
    }

    pub(super) fn data_received(&mut self, now: Instant, config: &Config) {
        if config.idle_life == Life::Strict {
            self.data_received = self.elapsed(now);
        }
    }

    /// A message is, or is no longer, on its way.
    pub(super) fn mid_message(&mut self, now: Instant, mid_message: bool, streamed: bool) {
        if !mid_message {
            self.message_begun = None;
        } else if self.message_begun.is_none() || (self.streamed && !streamed) {
            self.message_begun = Some(self.elapsed(now));
        }
        self.streamed = streamed;
    }

    /// The transport took bytes, or there are none left, or the first ones wait.
    pub(super) fn write_progress(&mut self, now: Instant, waiting: bool) {
        if self.blocked && self.probe.is_some() {
            // The peer takes what waits for it: it is not gone, and answers when it has seen the ping.
            self.probe = Some(self.elapsed(now));
        }
        self.blocked = waiting;
        self.write_waiting = waiting.then(|| self.elapsed(now));
    }

    pub(super) fn write_begins(&mut self, now: Instant) {
        if self.write_waiting.is_none() {
            self.write_waiting = Some(self.elapsed(now));
        }
    }

    pub(super) fn outstanding_pings(&self) -> usize {
        self.pings.as_ref().map_or(0, |pings| pings.len())
    }

    /// Waits no longer for the oldest ping, and returns its payload.
    pub(super) fn forget_oldest_ping(&mut self) -> Option<Bytes> {
        Some(self.pings.as_mut()?.pop_front()?.payload)
    }

    pub(super) fn ping_sent(&mut self, payload: Bytes, now: Instant) {
        let pings = self.pings.get_or_insert_default();
        pings.push_back(Ping { payload, sent: now });
    }

    /// Finds the ping that this pong answers; earlier ones count as answered too (RFC 6455 §5.5.3).
    pub(super) fn pong_received(&mut self, payload: &[u8], now: Instant) -> Option<Duration> {
        let pings = self.pings.as_mut()?;
        let answered = pings.iter().rposition(|ping| ping.payload == payload)?;
        let ping = pings.drain(..=answered).next_back()?;
        if pings.is_empty() {
            self.pings = None;
        }
        let latency = now.saturating_duration_since(ping.sent);
        self.answered = self.elapsed(now);
        self.probe = None;
        self.latency = Some(latency.into());
        Some(latency)
    }

    /// A ping with this payload is not answered.
    pub(super) fn awaits_pong(&self, payload: &[u8]) -> bool {
        let mut pings = self.pings.iter().flat_map(|pings| pings.iter());
        pings.any(|ping| ping.payload == payload)
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency.map(Duration::from)
    }

    /// A keepalive ping goes out.
    pub(super) fn probe_sent(&mut self, now: Instant) {
        self.probe = Some(self.elapsed(now));
        self.late = false;
    }

    /// That the pong is late has been said.
    pub(super) fn late_said(&mut self) {
        self.late = true;
    }

    /// Only signs of life count, and each moves what it is counted for away.
    pub(super) fn are_quiet(&self) -> bool {
        self.message_begun.is_none() && self.write_waiting.is_none() && self.probe.is_none()
    }

    /// The next moment at which [`due`](Self::due) has something.
    pub(super) fn next(&self, config: &Config) -> Option<Instant> {
        let mut next = self.keepalive(config).map(|(at, _)| at);
        // Nearly always there is none of these.
        for other in [self.idle(config), self.message(config), self.write(config)] {
            next = earlier(next, other);
        }
        next
    }

    /// What has come due by `now`, the gravest first.
    pub(super) fn due(&self, now: Instant, config: &Config) -> Option<Due> {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if passed(self.write(config)) {
            return Some(Due::Fail(Deadline::Write));
        }
        if passed(self.message(config)) {
            return Some(Due::Fail(Deadline::Message));
        }
        if passed(self.idle(config)) {
            return Some(Due::Fail(Deadline::Idle));
        }
        self.keepalive(config)
            .filter(|(at, _)| *at <= now)
            .map(|(_, due)| due)
    }

    /// The last sign of life as keepalive sees it, then the interval; or the ping, then the timeout.
    fn keepalive(&self, config: &Config) -> Option<(Instant, Due)> {
        let interval = config.keepalive_interval?;
        if let Some(sent) = self.probe {
            // A pong cannot cut into a frame: while a message arrives, its bytes are the sign of life.
            let since = match self.message_begun {
                Some(_) => sent.max(self.elapsed(self.received)),
                None => sent,
            };
            let timeout = config.keepalive_timeout;
            return if self.late {
                Some((self.after(since, timeout)?, Due::Fail(Deadline::Keepalive)))
            } else {
                Some((self.after(since, timeout / 2)?, Due::Late))
            };
        }
        let next = match config.keepalive_life {
            Life::AnyByte => self.received.checked_add(interval),
            Life::Strict => self.after(self.answered, interval),
        };
        Some((next?, Due::Ping))
    }

    fn idle(&self, config: &Config) -> Option<Instant> {
        let timeout = config.idle_timeout?;
        match config.idle_life {
            Life::AnyByte => self.received.checked_add(timeout),
            Life::Strict => self.after(self.data_received, timeout),
        }
    }

    pub(super) fn message(&self, config: &Config) -> Option<Instant> {
        let begun = self.message_begun.filter(|_| !self.streamed)?;
        self.after(begun, config.message_timeout?)
    }

    pub(super) fn write(&self, config: &Config) -> Option<Instant> {
        self.after(self.write_waiting?, config.write_timeout)
    }
}

/// The earlier one of two moments that may never come.
pub(super) fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (some, None) | (None, some) => some,
    }
}
