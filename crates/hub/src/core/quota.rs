//! How many rooms there may be, counted over all shards.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many rooms may exist at once, in all and made from one address, and how many do.
///
/// Locked only when a room is made or forgotten.
#[derive(Debug)]
pub(crate) struct Quota {
    max: usize,
    max_per_address: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a room can't be made or joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JoinRefused {
    /// There are as many rooms as there may be.
    Full,
    /// As many as may be were made from this address.
    ShareUsed,
    /// The log can't be read.
    Unreadable,
}

impl Quota {
    pub(crate) fn new(max: usize, max_per_address: usize) -> Self {
        Self {
            max,
            max_per_address,
            used: Mutex::default(),
        }
    }

    /// Takes a place for a room, of this address' share if it is of any.
    pub(crate) fn take(&self, address: Option<IpAddr>) -> Result<(), JoinRefused> {
        let mut used = self.lock();
        let payer = address.map(payer);
        let share = payer.and_then(|payer| used.by_address.get(&payer).copied());
        if share.is_some_and(|share| share >= self.max_per_address) {
            return Err(JoinRefused::ShareUsed);
        }
        if used.total >= self.max {
            return Err(JoinRefused::Full);
        }
        used.total += 1;
        if let Some(payer) = payer {
            *used.by_address.entry(payer).or_default() += 1;
        }
        Ok(())
    }

    /// Gives back a place that was [taken](Self::take) so.
    pub(crate) fn give_back(&self, address: Option<IpAddr>) {
        let mut used = self.lock();
        used.total = used.total.saturating_sub(1);
        let Some(payer) = address.map(payer) else {
            return;
        };
        if let Some(share) = used.by_address.get_mut(&payer) {
            *share -= 1;
            if *share == 0 {
                used.by_address.remove(&payer);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is counted: an IPv6 host has its whole /64 to itself.
pub(crate) fn payer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let quota = Quota::new(3, 2);
        let [one, same, other]: [Option<IpAddr>; 3] =
            ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|address| address.parse().ok());
        assert_eq!(quota.take(one), Ok(()));
        assert_eq!(quota.take(same), Ok(()));
        assert_eq!(quota.take(one), Err(JoinRefused::ShareUsed));
        assert_eq!(quota.take(other), Ok(()));
        assert_eq!(quota.take(other), Err(JoinRefused::Full));
        quota.give_back(same);
        assert_eq!(quota.take(one), Ok(()));
        for address in [one, same, other] {
            quota.give_back(address);
        }
        assert!(quota.lock().by_address.is_empty() && quota.used() == 0);
    }

    #[test]
    fn rooms_of_nobodys_share_count_among_all() {
        let quota = Quota::new(2, 1);
        assert_eq!([quota.take(None), quota.take(None)], [Ok(()), Ok(())]);
        assert_eq!(quota.take(None), Err(JoinRefused::Full));
        quota.give_back(None);
        assert_eq!(quota.used(), 1);
    }
}
