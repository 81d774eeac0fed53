//! A bound's value as text.

use std::{fmt, ops::RangeInclusive, time::Duration};

use fullduplex_hub::Rate;

use crate::seconds::Seconds;

/// Where a bound is kept, and what it may be.
pub(super) enum Slot<'a> {
    /// So many.
    Count(&'a mut usize, RangeInclusive<usize>),
    /// So many, or `half` of another bound.
    CountOrHalf(&'a mut Option<usize>),
    /// So many, or `all`.
    CountOrAll(&'a mut Option<u64>),
    /// Bytes.
    Size(&'a mut usize, RangeInclusive<usize>),
    /// A length of time.
    Time(&'a mut Duration, RangeInclusive<Duration>),
    /// So many each second and so many at once, or `none`.
    PerSecond(&'a mut Rate),
}

/// A thousand millions are as good as no limit, and their products still fit.
pub(super) const SOME: RangeInclusive<usize> = 1..=1_000_000_000;
/// From a short message to what no machine's memory has in connections.
pub(super) const BYTES: RangeInclusive<usize> = 1 << 10..=1 << 40;
/// From what a loopback connection takes to what is as good as never.
pub(super) const WHILE: RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_hours(365 * 24);

/// Units of bytes, the largest first.
const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Slot<'_> {
    /// What `--help` would call the value.
    pub(super) const fn unit(&self) -> &'static str {
        match self {
            Self::Count(..) => "COUNT",
            Self::CountOrHalf(_) => "COUNT|half",
            Self::CountOrAll(_) => "COUNT|all",
            Self::Size(..) => "SIZE",
            Self::Time(..) => "SECONDS",
            Self::PerSecond(_) => "RATE",
        }
    }

    pub(super) fn set(self, text: &str) -> Result<(), String> {
        match self {
            Self::Count(at, range) => *at = count(text, &range)?,
            Self::CountOrHalf(at) => {
                *at = match text {
                    "half" => None,
                    _ => Some(count(text, &SOME).map_err(|why| why + ", or half")?),
                }
            }
            Self::CountOrAll(at) => {
                *at = match text {
                    "all" => None,
                    _ => Some(text.parse().map_err(|_| "write a number, or all")?),
                }
            }
            Self::Size(at, range) => {
                *at = bytes(text)
                    .filter(|bytes| range.contains(bytes))
                    .ok_or_else(|| {
                        let (least, most) = (size(*range.start()), size(*range.end()));
                        format!("write a size from {least} to {most}, such as 4096, 64KiB or 1MiB")
                    })?;
            }
            Self::Time(at, range) => {
                let Seconds(time) = text.parse()?;
                if !range.contains(&time) {
                    let (least, most) = (Seconds(*range.start()), Seconds(*range.end()));
                    return Err(format!("write a time from {least} to {most}"));
                }
                *at = time;
            }
            Self::PerSecond(at) => {
                *at = rate(text).ok_or(
                    "write how many each second, and how many at once, such as 50/500; or none",
                )?;
            }
        }
        Ok(())
    }

    /// A value that it may have and has not.
    #[cfg(test)]
    pub(super) fn another(self) -> String {
        match self {
            Self::Count(at, _) | Self::Size(at, _) => (*at + 1).to_string(),
            Self::CountOrHalf(_) => "7".to_owned(),
            Self::CountOrAll(_) => "all".to_owned(),
            Self::Time(at, _) => Seconds(*at * 2).to_string(),
            Self::PerSecond(_) => "7/9".to_owned(),
        }
    }
}

impl fmt::Display for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count, _) => count.fmt(f),
            Self::CountOrHalf(Some(count)) => count.fmt(f),
            Self::CountOrHalf(None) => f.write_str("half"),
            Self::CountOrAll(Some(count)) => count.fmt(f),
            Self::CountOrAll(None) => f.write_str("all"),
            Self::Size(bytes, _) => f.write_str(&size(**bytes)),
            Self::Time(time, _) => Seconds(**time).fmt(f),
            Self::PerSecond(rate) if rate.per_second == 0 => f.write_str("none"),
            Self::PerSecond(rate) => write!(f, "{}/{}", rate.per_second, rate.burst),
        }
    }
}

/// A number in this range.
fn count(text: &str, range: &RangeInclusive<usize>) -> Result<usize, String> {
    let number = text.parse().ok().filter(|count| range.contains(count));
    number.ok_or_else(|| format!("write a number from {} to {}", range.start(), range.end()))
}

/// Bytes, in the largest unit that takes no fraction.
fn size(bytes: usize) -> String {
    let unit = UNITS.iter().find(|(_, unit)| bytes.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) if bytes > 0 => format!("{}{name}", bytes / unit),
        _ => bytes.to_string(),
    }
}

/// `50/500`.
fn rate(text: &str) -> Option<Rate> {
    if text == "none" {
        return Some(Rate::UNLIMITED);
    }
    let (per_second, burst) = text.split_once('/')?;
    let number = |text: &str| text.parse().ok().filter(|number| *number > 0);
    Some(Rate::new(number(per_second)?, number(burst)?))
}

fn bytes(text: &str) -> Option<usize> {
    let unit = UNITS
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit)));
    let (number, unit) = unit.unwrap_or((text, 1));
    number.trim_end().parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024_or_none() {
        for (text, value) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("64KiB", Some(64 << 10)),
            ("64 KiB", Some(64 << 10)),
            ("3MiB", Some(3 << 20)),
            ("1GiB", Some(1 << 30)),
            ("64kb", None),
            ("64K", None),
            ("-1", None),
            ("1.5MiB", None),
            ("", None),
            ("KiB", None),
            ("99999999999999999999GiB", None),
            ("99999999999999GiB", None),
        ] {
            assert_eq!(bytes(text), value, "{text}");
        }
        for bytes_of in [0, 1, 1023, 1024, 65_536, 1 << 20, 3 << 30] {
            assert_eq!(bytes(&size(bytes_of)), Some(bytes_of));
        }
        assert_eq!(size(64 << 10), "64KiB");
    }

    #[test]
    fn rates_are_so_many_each_second_and_at_once_or_none() {
        for (text, value) in [
            ("50/500", Some(Rate::new(50, 500))),
            ("none", Some(Rate::UNLIMITED)),
            ("50", None),
            ("0/5", None),
            ("5/0", None),
            ("-1/5", None),
            ("5/5/5", None),
            ("", None),
        ] {
            assert_eq!(rate(text), value, "{text}");
        }
        let show = |mut rate| Slot::PerSecond(&mut rate).to_string();
        assert_eq!(show(Rate::new(50, 500)), "50/500");
        assert_eq!(show(Rate::UNLIMITED), "none");
    }

    #[test]
    fn what_is_out_of_range_is_told_the_range() {
        let mut count = 5;
        let set = |count: &mut usize, text| Slot::Count(count, 1..=9).set(text);
        assert_eq!(set(&mut count, "9"), Ok(()));
        for bad in ["0", "10", "-1", "x", "1.0"] {
            let why = "write a number from 1 to 9".to_owned();
            assert_eq!(set(&mut count, bad), Err(why), "{bad}");
        }
        assert_eq!(count, 9);
        let mut part = Some(5);
        Slot::CountOrHalf(&mut part).set("half").unwrap();
        assert_eq!(part, None);
        let why = Slot::CountOrHalf(&mut part).set("0").unwrap_err();
        assert_eq!(why, "write a number from 1 to 1000000000, or half");
        let mut time = Duration::ZERO;
        let why = Slot::Time(&mut time, WHILE).set("1ms").unwrap_err();
        assert_eq!(why, "write a time from 10ms to 365d");
        let mut size = 0;
        let why = Slot::Size(&mut size, BYTES).set("12").unwrap_err();
        assert!(
            why.starts_with("write a size from 1KiB to 1024GiB"),
            "{why}"
        );
    }
}
