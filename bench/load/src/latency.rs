//! Latencies, counted in buckets of about 1.5 %.

use std::time::Duration;

/// Buckets per power of two.
const STEPS: u64 = 64;
const STEP_BITS: u32 = STEPS.trailing_zeros();

pub(crate) struct Latency {
    buckets: Vec<u64>,
    count: u64,
}

impl Latency {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![0; bucket(u64::MAX) + 1],
            count: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.buckets.fill(0);
        self.count = 0;
    }

    /// `count` messages took `duration` each.
    pub(crate) fn add(&mut self, duration: Duration, count: u64) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanoseconds)] += count;
        self.count += count;
    }

    /// The microseconds that `part` of all messages took at most.
    #[expect(
        clippy::cast_precision_loss,
        reason = "counts and nanoseconds are far below 2^53"
    )]
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let wanted = part * self.count as f64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen as f64 >= wanted && *count > 0 {
                return middle(index) as f64 / 1000.0;
            }
        }
        0.0
    }
}

/// Linear up to `STEPS`, then `STEPS` buckets to each power of two.
fn bucket(nanoseconds: u64) -> usize {
    let shift = (nanoseconds | 1).ilog2().saturating_sub(STEP_BITS);
    let step = nanoseconds >> shift; // below 2 * STEPS
    usize::try_from(u64::from(shift) * STEPS + step).unwrap_or(usize::MAX)
}

fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let shift = bucket / STEPS - 1;
    ((bucket - shift * STEPS) << shift) + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_as_exact_as_promised() {
        for nanoseconds in [
            0,
            1,
            63,
            64,
            127,
            128,
            1_000,
            12_345,
            1_000_000,
            u64::MAX >> 1,
        ] {
            let middle = middle(bucket(nanoseconds));
            let difference = middle.abs_diff(nanoseconds);
            assert!(
                difference <= nanoseconds / 64,
                "{nanoseconds} became {middle}"
            );
        }
    }
}
