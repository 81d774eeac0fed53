//! How much a peer may send in a time.

use std::time::{Duration, Instant};

/// What may come at once after a quiet time: as much as the rates allow in two seconds. A page that was in the background sends
/// what has gathered meanwhile.
const BURST: Duration = Duration::from_secs(2);

/// How many messages, and bytes of them, a peer may send in a second, and what is done about more.
///
/// Two buckets, one for messages and one for bytes, each filled at its rate and holding what
/// [`burst`](Self::burst) is worth. A message takes one from the one and its length from the other, though
/// there be less in it: so a message longer than the burst is taken too, and paid for afterwards. While a bucket is empty, the
/// next message is over the limit. Pings, pongs and fragments are not counted, nor are bytes as they are on the wire;
/// [`Limits`](crate::Limits) bounds what they cost.
///
/// ```
/// use fullduplex::{Acceptor, RateAction, RateLimit};
///
/// let chat = RateLimit::new().messages(10).bytes(64 << 10).action(RateAction::Close);
/// let acceptor = Acceptor::new().rate_limit(chat);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    messages: Option<u32>,
    bytes: Option<u32>,
    burst: Duration,
    action: RateAction,
}

/// What is done about a message over the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateAction {
    /// It is not read before its time, so that TCP slows the peer down.
    ///
    /// Meanwhile the connection is as one whose application does not receive: what is queued leaves, but pings are not answered and no
    /// deadline is looked at, so that no connection is lost for pongs that have not been read. A wait is as long as
    /// the message before is worth beyond the burst: seldom more than a second, if the byte rate fits the longest message.
    #[default]
    Wait,
    /// It is thrown away and counted ([`WebSocket::rate_limited`](crate::WebSocket::rate_limited)), and takes nothing from the
    /// buckets. One that is received in parts is taken all the same.
    Drop,
    /// The connection is closed with 1008 "rate limit". Messages that still arrive are thrown away.
    Close,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::new()
    }
}

impl RateLimit {
    /// Any number of messages and bytes, a burst of two seconds, and [`RateAction::Wait`].
    pub const fn new() -> Self {
        Self {
            messages: None,
            bytes: None,
            burst: BURST,
            action: RateAction::Wait,
        }
    }

    /// Messages in a second; at least one.
    #[must_use]
    pub const fn messages(mut self, per_second: u32) -> Self {
        self.messages = Some(per_second);
        self
    }

    /// Bytes of payload in a second, after inflating; at least one.
    #[must_use]
    pub const fn bytes(mut self, per_second: u32) -> Self {
        self.bytes = Some(per_second);
        self
    }

    /// How much may come at once after a quiet time: what the rates allow in this time, and at least one message.
    #[must_use]
    pub const fn burst(mut self, burst: Duration) -> Self {
        self.burst = burst;
        self
    }

    /// What is done about more.
    #[must_use]
    pub const fn action(mut self, action: RateAction) -> Self {
        self.action = action;
        self
    }
}

/// A connection's two buckets.
#[derive(Debug)]
pub(crate) struct Limiter {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    action: RateAction,
    /// How often the limit was met.
    pub(crate) met: u64,
    /// The limit has been met since the last message.
    holding: bool,
    /// In the middle of a message that is received in parts. If the rest of one never comes, the next passes for it: no harm.
    in_message: bool,
}

/// What becomes of a message that has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    Drop,
    Close,
}

impl Limiter {
    pub(crate) fn new(limit: RateLimit, now: Instant) -> Self {
        let bucket = |rate: Option<u32>| rate.map(|rate| Bucket::new(rate, limit.burst, now));
        Self {
            messages: bucket(limit.messages),
            bytes: bucket(limit.bytes),
            action: limit.action,
            met: 0,
            holding: false,
            in_message: false,
        }
    }

    /// Until when nothing is to be read; `None` if it may be now.
    pub(crate) fn hold_until(&mut self, now: Instant) -> Option<Instant> {
        if self.action != RateAction::Wait {
            return None;
        }
        let until = self.over_until(now)?;
        if !self.holding {
            self.holding = true;
            self.met += 1;
        }
        Some(until)
    }

    /// A message of so many bytes has arrived.
    pub(crate) fn message(&mut self, now: Instant, bytes: usize) -> Verdict {
        match self.action {
            RateAction::Close if self.met > 0 => return Verdict::Drop,
            RateAction::Drop | RateAction::Close if self.over_until(now).is_some() => {
                self.met += 1;
                return if self.action == RateAction::Drop {
                    Verdict::Drop
                } else {
                    Verdict::Close
                };
            }
            _ => {}
        }
        self.charge(now, 1, bytes);
        Verdict::Take
    }

    /// A part of a message has arrived.
    pub(crate) fn part(&mut self, now: Instant, bytes: usize, fin: bool) -> Verdict {
        let begins = !std::mem::replace(&mut self.in_message, !fin);
        if self.action == RateAction::Close && (begins || self.met > 0) {
            return self.message(now, bytes);
        }
        self.charge(now, usize::from(begins), bytes);
        Verdict::Take
    }

    /// When the next message is within the limit again; `None` if it is now.
    fn over_until(&self, now: Instant) -> Option<Instant> {
        let until = |bucket: &Option<Bucket>| bucket.as_ref()?.empty_until(now);
        until(&self.messages).max(until(&self.bytes))
    }

    fn charge(&mut self, now: Instant, messages: usize, bytes: usize) {
        self.holding = false;
        if let Some(bucket) = &mut self.messages {
            bucket.take(now, messages);
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.take(now, bytes);
        }
    }
}

/// A bucket, kept as the moment at which all that was taken has flowed in again: nothing has to be done while time passes.
#[derive(Debug)]
struct Bucket {
    rate: u32,
    full_at: Instant,
    /// With at least one in it, the bucket is full within this time.
    slack: Duration,
}

impl Bucket {
    fn new(rate: u32, burst: Duration, now: Instant) -> Self {
        let rate = rate.max(1);
        Self {
            rate,
            full_at: now,
            slack: burst.saturating_sub(worth(1, rate)),
        }
    }

    fn empty_until(&self, now: Instant) -> Option<Instant> {
        let until = self.full_at.checked_sub(self.slack)?;
        (until > now).then_some(until)
    }

    fn take(&mut self, now: Instant, units: usize) {
        let from = self.full_at.max(now);
        // Ends beyond the clock's range are those of times that nobody waits for.
        self.full_at = from.checked_add(worth(units, self.rate)).unwrap_or(from);
    }
}

/// The time in which so many flow in.
fn worth(units: usize, rate: u32) -> Duration {
    const NANOS: u128 = 1_000_000_000;
    let nanos = units as u128 * NANOS / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many messages of this length are within the limit, one right after the other.
    fn at_once(limiter: &mut Limiter, now: Instant, bytes: usize) -> usize {
        let mut taken = 0;
        while limiter.over_until(now).is_none() && taken < 10_000 {
            limiter.charge(now, 1, bytes);
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_burst_is_what_the_rate_allows_in_its_time_and_the_rate_holds_ever_after() {
        let now = Instant::now();
        for (rate, burst, expected) in [
            (10, SECOND, 10),
            (10, 2 * SECOND, 20),
            (3, SECOND, 3),
            (7, 3 * SECOND, 21),
            (1, SECOND, 1),
            (1, Duration::ZERO, 1),
            (10, Duration::from_millis(50), 1),
            (0, SECOND, 1),
        ] {
            let limit = RateLimit::new().messages(rate).burst(burst);
            let mut limiter = Limiter::new(limit, now);
            assert_eq!(at_once(&mut limiter, now, 0), expected, "{rate} {burst:?}");
            // Ten seconds at the rate, asked for as soon as allowed.
            let mut at = now;
            let mut more = 0;
            loop {
                at = limiter.over_until(at).unwrap_or(at);
                if at > now + 10 * SECOND {
                    break;
                }
                assert_eq!(limiter.over_until(at), None, "the wait is long enough");
                limiter.charge(at, 1, 0);
                more += 1;
            }
            assert_eq!(more, 10 * rate.max(1));
        }
    }

    #[test]
    fn a_quiet_time_fills_the_bucket_no_further_than_the_burst() {
        let now = Instant::now();
        let mut limiter = Limiter::new(RateLimit::new().messages(10).burst(SECOND), now);
        assert_eq!(at_once(&mut limiter, now, 0), 10);
        assert_eq!(at_once(&mut limiter, now + SECOND / 2, 0), 5);
        assert_eq!(at_once(&mut limiter, now + 3600 * SECOND, 0), 10);
    }

    #[test]
    fn a_message_longer_than_the_burst_is_taken_and_paid_for_afterwards() {
        let now = Instant::now();
        let mut limiter = Limiter::new(RateLimit::new().bytes(1000).burst(SECOND), now);
        assert_eq!(at_once(&mut limiter, now, 10_000), 1);
        // Ten seconds' worth, less the one that it may come early, and a byte.
        let until = limiter.over_until(now).unwrap();
        assert_eq!(until - now, 9 * SECOND + Duration::from_millis(1));
    }

    #[test]
    fn either_bucket_can_be_the_one_that_is_empty() {
        let now = Instant::now();
        let limit = RateLimit::new().messages(10).bytes(1000).burst(SECOND);
        assert_eq!(at_once(&mut Limiter::new(limit, now), now, 1), 10);
        assert_eq!(at_once(&mut Limiter::new(limit, now), now, 500), 2);
        assert_eq!(
            at_once(&mut Limiter::new(RateLimit::new(), now), now, 500),
            10_000
        );
    }

    /// A limiter of one message in a second.
    fn one(action: RateAction, now: Instant) -> Limiter {
        let limit = RateLimit::new().messages(1).burst(SECOND);
        Limiter::new(limit.action(action), now)
    }

    #[test]
    fn what_is_over_is_held_dropped_or_closed_for_and_counted() {
        let now = Instant::now();
        let mut wait = one(RateAction::Wait, now);
        assert_eq!((wait.hold_until(now), wait.met), (None, 0));
        assert_eq!(wait.message(now, 5), Verdict::Take);
        for _ in 0..3 {
            assert_eq!(wait.hold_until(now), Some(now + SECOND));
            assert_eq!(wait.met, 1, "one wait, however often asked for");
        }
        assert_eq!(wait.hold_until(now + SECOND), None);

        let mut drop = one(RateAction::Drop, now);
        assert_eq!(drop.message(now, 5), Verdict::Take);
        for met in 1..4 {
            assert_eq!(drop.hold_until(now), None);
            assert_eq!(drop.message(now, 5), Verdict::Drop);
            assert_eq!(drop.met, met);
        }
        assert_eq!(
            drop.message(now + SECOND, 5),
            Verdict::Take,
            "not charged for what was dropped"
        );

        let mut close = one(RateAction::Close, now);
        assert_eq!(close.message(now, 5), Verdict::Take);
        assert_eq!(close.message(now, 5), Verdict::Close);
        assert_eq!(close.message(now + SECOND, 5), Verdict::Drop, "it is over");
        assert_eq!(close.part(now + SECOND, 5, false), Verdict::Drop);
        assert_eq!(close.met, 1);
    }

    #[test]
    fn a_message_in_parts_is_one_message_and_closes_at_its_beginning_only() {
        let now = Instant::now();
        let limit = RateLimit::new().messages(2).bytes(10).burst(SECOND);
        let mut close = Limiter::new(limit.action(RateAction::Close), now);
        for fin in [false, false, false, true] {
            assert_eq!(close.part(now, 100, fin), Verdict::Take);
        }
        assert_eq!(close.part(now, 1, false), Verdict::Close);

        let mut drop = one(RateAction::Drop, now);
        for fin in [false, true, true] {
            assert_eq!(drop.part(now, 100, fin), Verdict::Take);
        }
        let mut wait = one(RateAction::Wait, now);
        for fin in [false, true, true] {
            assert_eq!(wait.part(now, 100, fin), Verdict::Take);
        }
        assert_eq!(wait.hold_until(now), Some(now + 2 * SECOND), "two messages");
    }

    #[test]
    fn extremes_neither_overflow_nor_divide_by_zero() {
        let now = Instant::now();
        for rate in [0, 1, u32::MAX] {
            for burst in [Duration::ZERO, Duration::MAX] {
                let limit = RateLimit::new().messages(rate).bytes(rate).burst(burst);
                let mut limiter = Limiter::new(limit, now);
                for _ in 0..3 {
                    limiter.charge(now, 1, usize::MAX);
                    limiter.over_until(now);
                }
            }
        }
    }
}
