//! Connections that are not let in yet: what whoever has no right to be here may hold.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::shares::{Share, ShareUsed, Shares};
use crate::config::Limits;

/// How many there may be, in all and from one address.
#[derive(Debug)]
pub(crate) struct Newcomers {
    all: Arc<Semaphore>,
    by_address: Arc<Shares<IpAddr>>,
}

/// A connection among them, until it is let in or ends.
#[derive(Debug, Default)]
pub(crate) struct Newcomer(Mutex<Option<Held>>);

#[derive(Debug)]
struct Held {
    _of_all: OwnedSemaphorePermit,
    _of_address: Option<Share>,
}

/// Why there is no place for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooMany {
    InAll,
    FromAddress,
}

impl Newcomers {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.unauthenticated)),
            by_address: Shares::new(limits.unauthenticated_per_address),
        }
    }

    /// One more, at the cost of this address if it is known.
    pub(super) fn enter(&self, payer: Option<IpAddr>) -> Result<Newcomer, TooMany> {
        let of_all = Arc::clone(&self.all).try_acquire_owned();
        let held = Held {
            _of_all: of_all.map_err(|_| TooMany::InAll)?,
            _of_address: payer.map(|payer| self.by_address.take(payer)).transpose()?,
        };
        Ok(Newcomer(Mutex::new(Some(held))))
    }
}

impl Newcomer {
    /// It is none any more.
    pub(crate) fn let_in(&self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = None;
    }
}

impl From<ShareUsed> for TooMany {
    fn from(_: ShareUsed) -> Self {
        Self::FromAddress
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_let_in_makes_place_for_the_next_and_so_does_who_goes() {
        let newcomers = Newcomers::new(&Limits {
            unauthenticated: 3,
            unauthenticated_per_address: 1,
            ..Limits::default()
        });
        let [one, other]: [IpAddr; 2] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let first = newcomers.enter(Some(one)).unwrap();
        assert_eq!(newcomers.enter(Some(one)).err(), Some(TooMany::FromAddress));
        first.let_in();
        let second = newcomers.enter(Some(one)).unwrap();
        let third = newcomers.enter(Some(other)).unwrap();
        // Behind a proxy they are not told apart, and count all the same.
        let fourth = newcomers.enter(None).unwrap();
        assert_eq!(newcomers.enter(None).err(), Some(TooMany::InAll));
        drop((second, third, fourth));
        assert!(newcomers.enter(Some(one)).is_ok() && newcomers.enter(Some(other)).is_ok());
    }
}
