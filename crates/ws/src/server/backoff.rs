//! How long accepting pauses when the system has no descriptor or memory for another connection.

use std::time::Duration;

/// Trying again at once would fail again and burn a core. Ten milliseconds: in so long a busy server closes some.
const FIRST: Duration = Duration::from_millis(10);

/// However long it lasts, so late at most is its end noticed: sooner than clients give up.
const LONGEST: Duration = Duration::from_secs(1);

/// An episode of failures: each pause is twice the one before.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// Accepting has failed since it last succeeded.
    pub(super) fn is_failing(&self) -> bool {
        self.last.is_some()
    }

    /// It failed once more: how long to wait.
    pub(super) fn failed(&mut self) -> Duration {
        let pause = self.last.map_or(FIRST, |last| (last * 2).min(LONGEST));
        self.last = Some(pause);
        pause
    }

    /// It succeeded.
    pub(super) fn reset(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_ten_milliseconds_to_a_second_and_start_again_after_success() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.failed().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert!(backoff.is_failing());
        backoff.reset();
        assert!(!backoff.is_failing());
        assert_eq!(backoff.failed(), FIRST);
    }
}
