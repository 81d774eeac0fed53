//! Meters by name: of users, addresses, rooms.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::rate::{Meter, Rate};

/// Parts with a lock each, so that threads seldom meet at one.
const PARTS: usize = 16;

/// Meters that one part keeps. 4,096, so 65,536 in all, some 4 MiB: those who were busy within their rate's pause. Who comes when all are
/// taken is not measured, as refusing them would be what a flood wants; the limits of each connection hold all the same.
const MAX_METERS: usize = 4_096;

/// One rate for each of many, of whom only the busy ones are remembered.
#[derive(Debug)]
pub(crate) struct Meters<K> {
    rate: Rate,
    hasher: RandomState,
    parts: [Mutex<HashMap<K, Meter>>; PARTS],
}

impl<K: Eq + Hash> Meters<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            hasher: RandomState::new(),
            parts: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Uses up one of `key`'s, if there is one.
    pub(crate) fn take(&self, key: K, now: Duration) -> Result<(), Duration> {
        self.with(key, now, |meter, rate| meter.take(rate, now))
    }

    /// How long until there is one for `key`.
    pub(crate) fn wait(&self, key: &K, now: Duration) -> Duration {
        let meter = self.part(key).get(key).copied();
        meter.map_or(Duration::ZERO, |meter| meter.wait(self.rate, now))
    }

    /// Uses up one of `key`'s in any case, and says how long until the next.
    pub(crate) fn charge(&self, key: K, now: Duration) -> Duration {
        self.charge_many(1, key, now)
    }

    /// The same for what counts as several.
    pub(crate) fn charge_many(&self, count: u32, key: K, now: Duration) -> Duration {
        let charged = self.with(key, now, |meter, rate| {
            meter.charge_many(count, rate, now);
            Err(meter.wait(rate, now))
        });
        charged.err().unwrap_or_default()
    }

    fn with(
        &self,
        key: K,
        now: Duration,
        measure: impl FnOnce(&mut Meter, Rate) -> Result<(), Duration>,
    ) -> Result<(), Duration> {
        if self.rate.per_second == 0 {
            return Ok(());
        }
        let mut meters = self.part(&key);
        if let Some(meter) = meters.get_mut(&key) {
            return measure(meter, self.rate);
        }
        if meters.len() >= MAX_METERS {
            meters.retain(|_, meter| !meter.is_full(now));
        }
        let mut meter = Meter::default();
        let measured = measure(&mut meter, self.rate);
        if meters.len() < MAX_METERS {
            meters.insert(key, meter);
        }
        measured
    }

    fn part(&self, key: &K) -> MutexGuard<'_, HashMap<K, Meter>> {
        // The remainder is below the number of parts, a small constant.
        let part = usize::try_from(self.hasher.hash_one(key) % PARTS as u64).unwrap_or(0);
        self.parts[part]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_and_only_the_busy_are_remembered() {
        let meters = Meters::new(Rate::new(1, 1));
        let at = Duration::from_secs;
        assert_eq!(meters.take("one", at(1)), Ok(()));
        assert_eq!(meters.take("one", at(1)), Err(at(1)));
        assert_eq!(meters.take("other", at(1)), Ok(()));
        assert_eq!(meters.charge("one", at(2)), at(1));
        assert_eq!(meters.charge("one", at(2)), at(2));
        let meters = Meters::new(Rate::new(1, 1));
        let kept = || -> usize {
            meters
                .parts
                .iter()
                .map(|part| part.lock().unwrap().len())
                .sum()
        };
        for key in 0..200_000 {
            assert_eq!(meters.take(key, at(1)), Ok(()));
        }
        assert_eq!(kept(), PARTS * MAX_METERS);
        assert_eq!(meters.take(0, at(1)), Err(at(1)), "who is known stays so");
        for key in 200_000..201_000 {
            assert_eq!(meters.take(key, at(9)), Ok(()));
        }
        assert!(kept() <= 1_000);
    }
}
