//! Lengths of time on the command line.

use std::{fmt, str::FromStr, time::Duration};

/// The longest that can be asked for: a year is as good as never, and deadlines still fit the clock.
const MAX: f64 = 365.0 * 24.0 * 3600.0;

/// Units and their seconds. A shorter name stands behind those that end with it.
const UNITS: [(&str, f64); 5] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
];

/// Seconds, perhaps with decimals, or a number with its unit.
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
        let with_unit = UNITS
            .iter()
            .find_map(|(name, seconds)| Some((text.strip_suffix(name)?, *seconds)));
        let (number, unit) = with_unit.unwrap_or((text, 1.0));
        match number.parse::<f64>().map(|number| number * unit) {
            Ok(seconds) if (0.0..=MAX).contains(&seconds) => {
                Ok(Self(Duration::from_secs_f64(seconds)))
            }
            _ => Err("write seconds, such as 20 or 0.5, or 500ms, 10s, 5m, 1h, 7d".to_owned()),
        }
    }
}

/// In the largest unit that takes no fraction.
impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let fitting = [
            ("d", 86_400_000),
            ("h", 3_600_000),
            ("m", 60_000),
            ("s", 1000),
        ]
        .into_iter()
        .find(|(_, unit)| millis.is_multiple_of(*unit));
        match fitting {
            _ if millis == 0 => f.write_str("0s"),
            Some((name, unit)) => write!(f, "{}{name}", millis / unit),
            None => write!(f, "{millis}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Duration, String> {
        text.parse::<Seconds>().map(|seconds| seconds.0)
    }

    #[test]
    fn seconds_may_have_decimals_or_a_unit_and_are_never_negative_or_endless() {
        for (text, millis) in [
            ("20", 20_000),
            ("0.5", 500),
            ("0", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("1.5m", 90_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in [
            "", "x", "-1", "-0.1", "NaN", "inf", "1e300", "s", "5 s", "5S", "366d", "5min", "1h30m",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn they_are_shown_as_they_can_be_written() {
        for text in ["0s", "100ms", "1500ms", "20s", "5m", "90s", "1h", "7d"] {
            assert_eq!(text.parse::<Seconds>().unwrap().to_string(), text);
        }
    }
}
