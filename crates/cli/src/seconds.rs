//! Lengths of time on the command line.

use std::{fmt, str::FromStr, time::Duration};

/// The longest that can be asked for: a year is as good as never, and deadlines still fit the clock.
const MAX: f64 = 365.0 * 24.0 * 3600.0;

/// Seconds, perhaps with decimals.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seconds(pub(crate) Duration);

impl Seconds {
    /// `None` for zero, which stands for never.
    pub(crate) fn unless_zero(self) -> Option<Duration> {
        Some(self.0).filter(|duration| !duration.is_zero())
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(seconds) if (0.0..=MAX).contains(&seconds) => {
                Ok(Self(Duration::from_secs_f64(seconds)))
            }
            _ => Err("write a number of seconds, such as 20 or 0.5".to_owned()),
        }
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_secs_f64().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_have_decimals_and_are_never_negative_or_endless() {
        let parse = |text: &str| text.parse::<Seconds>().map(|seconds| seconds.0);
        assert_eq!(parse("20"), Ok(Duration::from_secs(20)));
        assert_eq!(parse("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "x", "-1", "-0.1", "NaN", "inf", "1e300", "5s"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
