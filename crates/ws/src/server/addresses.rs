//! How many connections each address has.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::{Mutex, MutexGuard};

/// Connections from one address: a tenth of all, and far more than an office behind one address has.
const MAX_PER_ADDRESS: u32 = 1_000;

/// The bits of an IPv6 address after those that tell customers apart; one of them has all addresses that differ in these alone
/// (RFC 6177).
const INTERFACE_BITS: u32 = 64;

/// Where IPv4 addresses stand among the IPv6 prefixes: among the multicast ones (RFC 4291 §2.7), from which nobody connects.
const IPV4: u64 = 0xFF << 56;

/// The connections of each address that has any.
#[derive(Debug)]
pub(super) struct Addresses {
    max: u32,
    /// Loopback may have any number: there a proxy forwards for everybody.
    spares_loopback: bool,
    taken: Mutex<HashMap<Counted, u32>>,
}

impl Addresses {
    /// With the default limit, or one that was asked for and holds for all.
    pub(super) fn new(max: Option<u32>) -> Self {
        Self {
            max: max.unwrap_or(MAX_PER_ADDRESS),
            spares_loopback: max.is_none(),
            taken: Mutex::default(),
        }
    }

    /// A place for one more connection from here, or none if there are as many as there may be.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let address = address.to_canonical();
        if self.spares_loopback && address.is_loopback() {
            return Some(Place(None));
        }
        let address = Counted::from(address);
        let mut taken = self.lock();
        let count = taken.entry(address).or_default();
        // An entry that was just made has room, so none stays behind empty.
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Place(Some((Arc::clone(self), address))))
    }

    fn leave(&self, address: Counted) {
        let mut taken = self.lock();
        if let Some(count) = taken.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&address);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Counted, u32>> {
        self.taken.lock()
    }
}

/// What counts as one address, in as few bytes as it takes, since every connection has it: IPv6 by its /64, IPv4 whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Counted(u64);

impl From<IpAddr> for Counted {
    /// IPv4 written as IPv6, as on a listener for both, has to be IPv4 here.
    fn from(address: IpAddr) -> Self {
        Self(match address {
            IpAddr::V4(v4) => IPV4 | u64::from(v4.to_bits()),
            IpAddr::V6(v6) => (v6.to_bits() >> INTERFACE_BITS) as u64,
        })
    }
}

/// One connection's place, free again when it is dropped. `None` where nothing is counted.
#[derive(Debug)]
pub(super) struct Place(Option<(Arc<Addresses>, Counted)>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((addresses, address)) = &self.0 {
            addresses.leave(*address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_each() -> Arc<Addresses> {
        Arc::new(Addresses::new(Some(2)))
    }

    fn enter(addresses: &Arc<Addresses>, address: &str) -> Option<Place> {
        addresses.enter(address.parse().unwrap())
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let addresses = two_each();
        let first = enter(&addresses, "192.0.2.1").unwrap();
        let _second = enter(&addresses, "192.0.2.1").unwrap();
        assert!(enter(&addresses, "192.0.2.1").is_none());
        let _other = enter(&addresses, "192.0.2.2").unwrap();
        drop(first);
        let _third = enter(&addresses, "192.0.2.1").unwrap();
        assert!(enter(&addresses, "192.0.2.1").is_none());
    }

    #[test]
    fn ipv6_is_counted_by_its_first_64_bits_and_mapped_ipv4_as_ipv4() {
        let addresses = two_each();
        let _places = ["2001:db8::1", "2001:db8:0:0:ffff::2"].map(|a| enter(&addresses, a));
        assert!(enter(&addresses, "2001:db8::3").is_none());
        assert!(enter(&addresses, "2001:db8:0:1::1").is_some());
        let _places = ["::ffff:192.0.2.1", "192.0.2.1"].map(|a| enter(&addresses, a));
        assert!(enter(&addresses, "::ffff:192.0.2.1").is_none());
        assert!(enter(&addresses, "::ffff:192.0.2.2").is_some());
    }

    #[test]
    fn by_default_loopback_is_not_counted_and_when_asked_for_it_is() {
        let default = Arc::new(Addresses::new(None));
        for address in ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"] {
            let places: Vec<_> = (0..=MAX_PER_ADDRESS)
                .map(|_| enter(&default, address))
                .collect();
            assert!(places.iter().all(Option::is_some), "{address}");
        }
        let places: Vec<_> = (0..=MAX_PER_ADDRESS)
            .map(|_| enter(&default, "192.0.2.1"))
            .collect();
        assert!(places.last().unwrap().is_none());
        let asked = two_each();
        let _places = [enter(&asked, "::1"), enter(&asked, "::1")];
        assert!(enter(&asked, "::1").is_none());
    }

    #[test]
    fn addresses_without_connections_leave_nothing_behind() {
        let addresses = two_each();
        for i in 0..1000_u32 {
            drop(addresses.enter(IpAddr::from(i.to_be_bytes())));
        }
        assert!(addresses.lock().is_empty());
        let zero = Arc::new(Addresses::new(Some(1)));
        let place = enter(&zero, "192.0.2.1");
        assert!(enter(&zero, "192.0.2.1").is_none());
        drop(place);
        assert!(zero.lock().is_empty());
    }
}
