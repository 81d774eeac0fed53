//! Numbers that only grow.

use std::{
    array,
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use fullduplex::CloseFrame;

/// A counter of what is seldom, or of one task's own.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Parts of a [`Spread`]: threads that are at work at once, on most machines.
const PARTS: usize = 8;

/// A counter of what happens all the time on all threads, each of which has a part that others seldom touch.
#[derive(Debug, Default)]
pub(crate) struct Spread([Part; PARTS]);

/// Alone in what processors share of memory: a line, or the two that are fetched together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Part(AtomicU64);

impl Spread {
    pub(crate) fn add(&self, count: u64) {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static OWN: usize = THREADS.fetch_add(1, Ordering::Relaxed) % PARTS;
        }
        // A thread that is ending has forgotten which is its own.
        let own = OWN.try_with(|own| *own).unwrap_or(0);
        self.0[own].0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0
            .iter()
            .map(|part| part.0.load(Ordering::Relaxed))
            .sum()
    }
}

/// Statuses that an answer can have.
const FIRST_STATUS: u16 = 100;
const STATUSES: usize = 500;

/// Answers to requests, by status.
#[derive(Debug)]
pub(crate) struct Statuses([AtomicU64; STATUSES]);

impl Default for Statuses {
    fn default() -> Self {
        Self(array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Statuses {
    pub(crate) fn count(&self, status: http::StatusCode) {
        let at = usize::from(status.as_u16().saturating_sub(FIRST_STATUS));
        if let Some(count) = self.0.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that there were.
    pub(crate) fn get(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = (FIRST_STATUS..).zip(&self.0);
        let counts = counts.map(|(status, count)| (status, count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0)
    }
}

/// Close frames, by code. A peer may choose from 4,000 codes; those that mean nothing here are counted together, as 4999, so that
/// it can't make a scrape long.
#[derive(Debug, Default)]
pub(crate) struct Closes(Mutex<BTreeMap<u16, u64>>);

/// Any other code.
const OTHER: u16 = 4999;

impl Closes {
    pub(crate) fn count(&self, frame: &CloseFrame) {
        let code = match frame.code().get() {
            // Those of the protocol, and of ours.
            code @ (1000..=1015 | 4000..=4299) => code,
            _ => OTHER,
        };
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(code).or_default() += 1;
    }

    pub(crate) fn get(&self) -> BTreeMap<u16, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use fullduplex::CloseCode;

    use super::*;

    #[test]
    fn what_threads_count_comes_together() {
        let spread = Spread::default();
        thread::scope(|scope| {
            for _ in 0..2 * PARTS {
                scope.spawn(|| (0..1000).for_each(|_| spread.add(2)));
            }
        });
        assert_eq!(spread.get(), 2 * PARTS as u64 * 2000);
    }

    #[test]
    fn codes_that_a_peer_makes_up_are_one() {
        let closes = Closes::default();
        for code in (1000..=1003).chain(4000..=4999).chain(3000..3999) {
            if let Ok(frame) = CloseFrame::new(CloseCode::new(code), "") {
                closes.count(&frame);
            }
        }
        let counts = closes.get();
        assert!(counts.len() <= 316, "{}", counts.len());
        assert_eq!((counts[&1000], counts[&4006]), (1, 1));
        assert_eq!(counts[&OTHER], 700 + 999);
    }

    #[test]
    fn only_statuses_that_there_were_are_shown() {
        let statuses = Statuses::default();
        for status in [200, 404, 404, 599, 999] {
            statuses.count(http::StatusCode::from_u16(status).unwrap());
        }
        let counts: Vec<_> = statuses.get().collect();
        assert_eq!(counts, [(200, 1), (404, 2), (599, 1)]);
    }
}
