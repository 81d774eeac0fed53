//! Moments and durations in half the memory: every connection has several, and connections are many.

use std::{num::NonZeroU64, time::Duration};

/// Whole nanoseconds, from none to about 584 years, what is longer counting as that long: with `Option` still eight bytes.
///
/// A connection notes its moments as the time since it began. To one that lives longer than that, everything seems to have
/// happened long ago: it ends by the first deadline that counts from such a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Elapsed(NonZeroU64);

impl Elapsed {
    pub(super) const ZERO: Self = Self(NonZeroU64::MIN);
}

impl From<Duration> for Elapsed {
    #[inline]
    fn from(duration: Duration) -> Self {
        let nanoseconds = duration
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(u64::from(duration.subsec_nanos()));
        // One more than there are, so that it is never zero.
        Self(NonZeroU64::MIN.saturating_add(nanoseconds))
    }
}

impl From<Elapsed> for Duration {
    #[inline]
    fn from(elapsed: Elapsed) -> Self {
        Self::from_nanos(elapsed.0.get() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    fn there_and_back(duration: Duration) -> Duration {
        Elapsed::from(duration).into()
    }

    #[test]
    fn it_is_exact_for_centuries_and_half_as_large() {
        for duration in [
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_millis(1_500),
            YEAR,
            584 * YEAR,
        ] {
            assert_eq!(there_and_back(duration), duration);
        }
        assert_eq!(Elapsed::from(Duration::ZERO), Elapsed::ZERO);
        assert!(Elapsed::from(YEAR) < Elapsed::from(2 * YEAR));
        assert_eq!(size_of::<Option<Elapsed>>(), 8);
    }

    #[test]
    fn what_is_longer_is_as_long_as_it_can_be() {
        let longest = there_and_back(Duration::MAX);
        assert!(longest > 584 * YEAR);
        assert_eq!(there_and_back(600 * YEAR), longest);
        assert_eq!(there_and_back(longest), longest);
    }
}
