//! How fast something may go on.

use std::time::Duration;

/// So many each second in the long run, and so many at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Each second. 0 sets no limit.
    pub per_second: u32,
    /// At once; at least one.
    pub burst: u32,
}

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self::new(0, 1);

    /// So many each second, and so many at once.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst }
    }

    /// The time that one takes, in nanoseconds.
    const fn interval(self) -> u64 {
        1_000_000_000
            / if self.per_second == 0 {
                u64::MAX
            } else {
                self.per_second as u64
            }
    }
}

/// What of a [`Rate`] is used up, by the generic cell rate algorithm: one number, the time at which nothing would be, in
/// nanoseconds of the clock that the caller has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Meter(u64);

impl Meter {
    /// Uses one up if there is one, and else says how long until there is.
    pub(crate) fn take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let wait = self.wait(rate, now);
        if wait.is_zero() {
            self.charge(rate, now);
            Ok(())
        } else {
            Err(wait)
        }
    }

    /// Uses one up, whether there is one or not: what is owed has to be waited for by the next. Nobody owes more than another burst, or a
    /// crowd of which each may send one could shut a room for long.
    pub(crate) fn charge(&mut self, rate: Rate, now: Duration) {
        self.charge_many(1, rate, now);
    }

    /// The same for what counts as several.
    pub(crate) fn charge_many(&mut self, count: u32, rate: Rate, now: Duration) {
        let most = 2 * u64::from(rate.burst.max(1)) * rate.interval();
        let taken = u64::from(count) * rate.interval();
        let used = self.0.max(nanos(now)).saturating_add(taken);
        self.0 = used.min(nanos(now).saturating_add(most));
    }

    /// How long until there is one.
    pub(crate) fn wait(self, rate: Rate, now: Duration) -> Duration {
        let spare = rate.interval() * u64::from(rate.burst.saturating_sub(1));
        Duration::from_nanos(self.0.saturating_sub(spare).saturating_sub(nanos(now)))
    }

    /// Whether nothing is used up, so that forgetting it changes nothing.
    pub(super) fn is_full(self, now: Duration) -> bool {
        self.0 <= nanos(now)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_so_many_each_second() {
        let (mut meter, rate) = (Meter::default(), Rate::new(2, 3));
        let at = Duration::from_millis;
        for _ in 0..3 {
            assert_eq!(meter.take(rate, at(1_000)), Ok(()));
        }
        assert_eq!(meter.take(rate, at(1_000)), Err(at(500)));
        assert_eq!(meter.take(rate, at(1_400)), Err(at(100)));
        assert_eq!(meter.take(rate, at(1_500)), Ok(()));
        assert!(!meter.is_full(at(2_999)));
        assert!(meter.is_full(at(3_000)));
        meter.charge(rate, at(3_000));
        assert_eq!(meter.wait(rate, at(3_000)), Duration::ZERO);
    }

    #[test]
    fn what_counts_as_several_takes_as_long_as_they() {
        let (mut meter, rate) = (Meter::default(), Rate::new(10, 20));
        meter.charge_many(10, rate, Duration::ZERO);
        assert_eq!(meter.wait(rate, Duration::ZERO), Duration::ZERO);
        meter.charge_many(10, rate, Duration::ZERO);
        assert_eq!(meter.wait(rate, Duration::ZERO), Duration::from_millis(100));
        meter.charge_many(10, rate, Duration::ZERO);
        assert_eq!(
            meter.wait(rate, Duration::ZERO),
            Duration::from_millis(1_100)
        );
    }

    #[test]
    fn nobody_owes_more_than_another_burst() {
        let (mut meter, rate) = (Meter::default(), Rate::new(1, 5));
        for _ in 0..1_000 {
            meter.charge(rate, Duration::ZERO);
        }
        assert_eq!(meter.wait(rate, Duration::ZERO), Duration::from_secs(6));
    }

    #[test]
    fn no_limit_is_none() {
        let mut meter = Meter::default();
        for _ in 0..10_000 {
            assert_eq!(meter.take(Rate::UNLIMITED, Duration::ZERO), Ok(()));
        }
        assert!(meter.is_full(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn in_no_time_does_more_than_burst_and_rate_go(
            per_second in 1..2_000_u32,
            burst in 1..50_u32,
            pauses in prop::collection::vec(0..2_000_u64, 1..300),
        ) {
            let (mut meter, rate) = (Meter::default(), Rate::new(per_second, burst));
            let begun = Duration::from_secs(9);
            let (mut now, mut gone) = (begun, 0);
            for pause in pauses {
                now += Duration::from_micros(pause);
                match meter.take(rate, now) {
                    Ok(()) => gone += 1,
                    Err(wait) => {
                        prop_assert!(meter.clone().take(rate, now + wait.saturating_sub(Duration::from_nanos(1))).is_err());
                        prop_assert_eq!(meter.clone().take(rate, now + wait), Ok(()));
                    }
                }
            }
            let most = f64::from(burst) + now.saturating_sub(begun).as_secs_f64() * f64::from(per_second) * 1.001;
            prop_assert!(f64::from(gone) <= most + 1.0);
        }
    }
}
