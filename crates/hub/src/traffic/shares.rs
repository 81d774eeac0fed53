//! How many connections one address may have.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::core::payer;

/// Connections by address. Bounded by the connections there may be.
#[derive(Debug)]
pub(crate) struct Shares {
    max: usize,
    used: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's part of its address's share, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    of: Arc<Shares>,
    payer: IpAddr,
}

/// The address has as many connections as it may.
#[derive(Debug)]
pub(crate) struct ShareUsed;

impl Shares {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        let used = Mutex::default();
        Arc::new(Self { max, used })
    }

    pub(crate) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Share, ShareUsed> {
        let payer = payer(address);
        let mut all = self.lock();
        let used = all.get(&payer).copied().unwrap_or(0);
        if used >= self.max {
            return Err(ShareUsed);
        }
        all.insert(payer, used + 1);
        let of = Arc::clone(self);
        Ok(Share { of, payer })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
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
    fn an_address_has_so_many_connections_and_gets_them_back() {
        let shares = Shares::new(2);
        let [one, same, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(|address| address.parse().unwrap());
        let (first, second) = (shares.take(one), shares.take(same));
        assert!(first.is_ok() && second.is_ok() && shares.take(one).is_err());
        let third = shares.take(other);
        assert!(third.is_ok());
        drop(first);
        assert!(shares.take(same).is_ok());
        drop((second, third));
        assert!(shares.lock().is_empty());
    }
}
