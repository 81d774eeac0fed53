//! Who searches: a search may read a lot, so that nobody has many at a time.

use std::{net::IpAddr, sync::Arc};

use super::{Share, ShareUsed, Shares};

/// Searches that one user may have under way, on all connections together: a person reads one answer at a time.
const PER_USER: usize = 1;
/// The same of one address, or one /64 of IPv6: some in an office. Those that take as long as a search may, one after the other, are done before
/// another one has waited for as long as that may.
const PER_ADDRESS: usize = 2;

/// The searches that are under way.
#[derive(Debug)]
pub(super) struct Searches {
    users: Arc<Shares<Arc<str>>>,
    addresses: Arc<Shares<IpAddr>>,
}

/// A search that may be under way while this is kept.
#[derive(Debug)]
pub(crate) struct SearchTurn {
    _user: Option<Share<Arc<str>>>,
    _address: Share,
}

impl Searches {
    pub(super) fn new() -> Self {
        Self {
            users: Shares::new(PER_USER),
            addresses: Shares::new(PER_ADDRESS),
        }
    }

    pub(super) fn take(
        &self,
        address: IpAddr,
        user: Option<Arc<str>>,
    ) -> Result<SearchTurn, ShareUsed> {
        Ok(SearchTurn {
            _user: user.map(|user| self.users.take(user)).transpose()?,
            _address: self.addresses.take(address)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_search_at_a_time_and_an_address_two() {
        let searches = Searches::new();
        let [one, other]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|ip| ip.parse().unwrap());
        let user = |name: &str| Some(Arc::from(name));
        let first = searches.take(one, user("Ana")).unwrap();
        assert!(
            searches.take(other, user("Ana")).is_err(),
            "on another connection"
        );
        let second = searches.take(one, None).unwrap();
        assert!(searches.take(one, user("Bo")).is_err());
        let elsewhere = searches.take(other, user("Bo")).unwrap();
        drop((first, second));
        let again = searches.take(one, user("Ana"));
        assert!(again.is_ok() && searches.take(one, user("Bo")).is_err());
        drop(elsewhere);
        assert!(searches.take(one, user("Bo")).is_ok());
    }
}
