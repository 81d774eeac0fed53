//! How much one address, or one user, may have at a time.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What is taken by each. Bounded by all there may be of it.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    max: usize,
    used: Mutex<HashMap<K, usize>>,
}

/// A part of somebody's share, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share<K: Eq + Hash = IpAddr> {
    of: Arc<Shares<K>>,
    payer: K,
}

/// Somebody has as much as they may.
#[derive(Debug)]
pub(crate) struct ShareUsed;

impl<K: Eq + Hash + Clone> Shares<K> {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        let used = Mutex::default();
        Arc::new(Self { max, used })
    }

    pub(crate) fn take(self: &Arc<Self>, payer: K) -> Result<Share<K>, ShareUsed> {
        let mut all = self.lock();
        let used = all.get(&payer).copied().unwrap_or(0);
        if used >= self.max {
            return Err(ShareUsed);
        }
        all.insert(payer.clone(), used + 1);
        let of = Arc::clone(self);
        Ok(Share { of, payer })
    }
}

impl<K> Shares<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        let mut all = self.of.lock();
        if let Some(used) = all.get_mut(&self.payer) {
            *used -= 1;
            if *used == 0 {
                all.remove(&self.payer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_has_so_much_and_gets_it_back() {
        let shares = Shares::new(2);
        let (first, second) = (shares.take("one"), shares.take("one"));
        assert!(first.is_ok() && second.is_ok() && shares.take("one").is_err());
        let third = shares.take("other");
        assert!(third.is_ok());
        drop(first);
        assert!(shares.take("one").is_ok());
        drop((second, third));
        assert!(shares.lock().is_empty());
    }
}
