//! Connections that are not let in yet: what whoever has no right to be here may hold.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    of_address: Option<Share>,
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
            all: Arc::new(Semaphore::new(limits.newcomers())),
            by_address: Shares::new(limits.newcomers_per_address()),
        }
    }

    /// One more, at the cost of this address if it is known.
    pub(super) fn enter(&self, payer: Option<IpAddr>) -> Result<Newcomer, TooMany> {
        let held = self.take(payer)?;
        Ok(Newcomer(Mutex::new(Some(held))))
    }

    /// Whose a newcomer is has become known, or it has turned from one that was let in into one that is not: this address pays for
    /// it from now on. It keeps what it has.
    pub(super) fn know(&self, newcomer: &Newcomer, payer: IpAddr) -> Result<(), TooMany> {
        let mut held = newcomer.held();
        match &mut *held {
            Some(Held {
                of_address: Some(_),
                ..
            }) => {}
            Some(Held { of_address, .. }) => *of_address = Some(self.by_address.take(payer)?),
            None => *held = Some(self.take(Some(payer))?),
        }
        Ok(())
    }

    fn take(&self, payer: Option<IpAddr>) -> Result<Held, TooMany> {
        let of_all = Arc::clone(&self.all).try_acquire_owned();
        Ok(Held {
            _of_all: of_all.map_err(|_| TooMany::InAll)?,
            of_address: payer.map(|payer| self.by_address.take(payer)).transpose()?,
        })
    }
}

impl Newcomer {
    /// It is none any more.
    pub(crate) fn let_in(&self) {
        *self.held() = None;
    }

    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<ShareUsed> for TooMany {
    fn from(_: ShareUsed) -> Self {
        Self::FromAddress
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn who_is_let_in_makes_place_for_the_next_and_so_does_who_goes() {
        let newcomers = Newcomers::new(&Limits {
            unauthenticated: Some(3),
            unauthenticated_per_address: Some(1),
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

    #[test]
    fn who_pays_is_found_out_later_and_then_pays_once() {
        let newcomers = Newcomers::new(&Limits {
            unauthenticated: Some(2),
            unauthenticated_per_address: Some(1),
            ..Limits::default()
        });
        let one: IpAddr = [192, 0, 2, 1].into();
        let first = newcomers.enter(None).unwrap();
        let second = newcomers.enter(None).unwrap();
        for _ in 0..2 {
            assert_eq!(newcomers.know(&first, one), Ok(()));
        }
        assert_eq!(newcomers.know(&second, one), Err(TooMany::FromAddress));
        assert_eq!(
            newcomers.enter(None).err(),
            Some(TooMany::InAll),
            "refused, it is still there"
        );
        first.let_in();
        assert_eq!(newcomers.know(&second, one), Ok(()));
        // Who was let in, and is so no longer, needs a place like anybody.
        assert_eq!(newcomers.know(&first, one), Err(TooMany::FromAddress));
        drop(second);
        assert_eq!(newcomers.know(&first, one), Ok(()));
        let _other = newcomers.enter(None).unwrap();
        assert_eq!(newcomers.enter(None).err(), Some(TooMany::InAll));
    }

    #[test]
    fn nobody_else_gets_the_place_of_a_newcomer_that_becomes_known() {
        let newcomers = Newcomers::new(&Limits {
            unauthenticated: Some(1),
            ..Limits::default()
        });
        let one: IpAddr = [192, 0, 2, 1].into();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    drop(newcomers.enter(None));
                }
            });
            let mut known = 0;
            while known < 10_000 {
                let Ok(newcomer) = newcomers.enter(None) else {
                    continue;
                };
                known += 1;
                let kept = newcomers.know(&newcomer, one);
                if kept.is_err() || known == 10_000 {
                    is_over.store(true, Ordering::Relaxed);
                }
                assert_eq!(kept, Ok(()));
            }
        });
    }
}
