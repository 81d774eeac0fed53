//! What a log has to do, and how long it takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// What a log has to do, for whoever watches it.
#[derive(Debug, Clone, Default)]
pub struct Load {
    /// Drafts that wait to be written.
    pub waiting: usize,
    /// Bytes of their texts.
    pub waiting_bytes: usize,
    /// How long drafts took from when they were handed over until they were answered.
    pub appends: Arc<Timings>,
    /// How long transactions took.
    pub commits: Arc<Timings>,
}

/// The upper ends of the buckets, in seconds: from what memory takes to what nobody waits for. A sync of a disk is in the middle.
const ENDS: [f64; 14] = [
    0.000_1, 0.000_3, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

/// A histogram of times, written to by any number of threads.
#[derive(Debug, Default)]
pub struct Timings {
    /// The last one is for all that took longer.
    buckets: [AtomicU64; ENDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Timings {
    /// Counts something that took this long.
    pub fn record(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let at = ENDS.partition_point(|end| *end < seconds);
        self.buckets[at].fetch_add(1, Ordering::Relaxed);
        // Five hundred years fit.
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How many there were in each bucket, with its upper end in seconds, which the last one has not; and the sum of all times.
    pub(crate) fn get(&self) -> (impl Iterator<Item = (Option<f64>, u64)>, Duration) {
        let counts = self
            .buckets
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        let ends = ENDS.map(Some).into_iter().chain([None]);
        let sum = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed));
        (ends.zip(counts), sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_in_the_first_bucket_that_it_fits_into() {
        let timings = Timings::default();
        for micros in [0, 100, 101, 5_000_000, 5_000_001] {
            timings.record(Duration::from_micros(micros));
        }
        let (buckets, sum) = timings.get();
        let found: Vec<_> = buckets.filter(|(_, count)| *count > 0).collect();
        let expected = [
            (Some(0.000_1), 2),
            (Some(0.000_3), 1),
            (Some(5.0), 1),
            (None, 1),
        ];
        assert_eq!(found, expected);
        assert_eq!(sum, Duration::from_micros(10_000_202));
    }
}
