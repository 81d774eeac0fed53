//! How much anybody may ask for: so many connections, and so many requests, commands and messages in a time.
//!
//! Peers on loopback are exempt while no proxy is trusted: whoever is there has the machine, and tools that test and load it are. With a
//! proxy named, everybody is measured by the address that it tells.

mod meters;
mod newcomers;
mod origin;
mod rate;
mod search;
mod shares;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderMap;

use self::{meters::Meters, newcomers::Newcomers, search::Searches, shares::Shares};
pub(crate) use self::{
    newcomers::{Newcomer, TooMany},
    rate::Meter,
    search::SearchTurn,
    shares::{Share, ShareUsed},
};
pub use self::{
    origin::{NoNetwork, TrustedProxies},
    rate::Rate,
};
use crate::{auth::Grant, config::Config, core::payer};

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) address: IpAddr,
    /// Whether it may do as much as it can.
    pub(crate) is_exempt: bool,
}

impl Client {
    /// Whose share a room is of that this client makes with these rights, if anybody's. Who looks after the hub, such as a back end, makes
    /// them for others.
    pub(crate) fn payer(self, grant: &Grant) -> Option<IpAddr> {
        (!self.is_exempt && !grant.may_administer()).then_some(self.address)
    }
}

/// The limits that many connections share.
#[derive(Debug)]
pub(crate) struct Traffic {
    proxies: TrustedProxies,
    started: Instant,
    connections: Arc<Shares<IpAddr>>,
    newcomers: Newcomers,
    searches: Searches,
    requests: Meters<IpAddr>,
    users: Meters<Arc<str>>,
    addresses: Meters<IpAddr>,
    rooms: Meters<Arc<str>>,
}

impl Traffic {
    pub(crate) fn new(config: &Config) -> Self {
        let rates = &config.rates;
        Self {
            proxies: config.trusted_proxies.clone(),
            started: Instant::now(),
            connections: Shares::new(config.limits.connections_per_address),
            searches: Searches::new(),
            newcomers: Newcomers::new(&config.limits),
            requests: Meters::new(rates.requests_per_address),
            users: Meters::new(rates.messages_per_user),
            addresses: Meters::new(rates.messages_per_address),
            rooms: Meters::new(rates.messages_per_room),
        }
    }

    /// Who is at the other end of a connection, perhaps a proxy.
    pub(crate) fn peer(&self, peer: IpAddr) -> Client {
        let is_exempt = self.proxies.is_empty() && peer.to_canonical().is_loopback();
        let address = peer;
        Client { address, is_exempt }
    }

    /// Who sent a request.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Client {
        let address = self.proxies.client(peer, headers);
        Client {
            address,
            ..self.peer(peer)
        }
    }

    /// Whether a request came over TLS, as far as a proxy that is believed says.
    pub(crate) fn is_over_tls(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        self.proxies.is_over_tls(peer, headers)
    }

    /// Whether what a peer says of its requests is believed.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        self.proxies.contains(peer)
    }

    /// A place for a connection, where they are counted.
    pub(crate) fn share(&self, client: Client) -> Result<Option<Share>, ShareUsed> {
        if client.is_exempt {
            return Ok(None);
        }
        self.connections.take(payer(client.address)).map(Some)
    }

    /// A turn to search, where they are counted.
    pub(crate) fn search(
        &self,
        client: Client,
        user: Option<Arc<str>>,
    ) -> Result<Option<SearchTurn>, ShareUsed> {
        if client.is_exempt {
            return Ok(None);
        }
        self.searches.take(payer(client.address), user).map(Some)
    }

    /// A place for a client that is not let in yet. `is_known` says whether it is that one and no proxy, of whose clients each counts
    /// once its own request has come.
    pub(crate) fn newcomer(&self, client: Client, is_known: bool) -> Result<Newcomer, TooMany> {
        if client.is_exempt {
            return Ok(Newcomer::default());
        }
        let payer = is_known.then(|| payer(client.address));
        self.newcomers.enter(payer)
    }

    /// A connection goes on as one that is not let in, at this client's cost.
    pub(crate) fn know(&self, newcomer: &Newcomer, client: Client) -> Result<(), TooMany> {
        if client.is_exempt {
            return Ok(());
        }
        self.newcomers.know(newcomer, payer(client.address))
    }

    /// Whether a request may be answered, or when.
    pub(crate) fn request(&self, client: Client) -> Result<(), Duration> {
        if client.is_exempt {
            return Ok(());
        }
        self.requests.take(payer(client.address), self.now())
    }

    /// Whether a user may send somebody away, or when: as often as that user may write. The rates of the room and the address are none of
    /// this, as who is to be sent away may have used them up.
    pub(crate) fn moderate(&self, client: Client, user: Arc<str>) -> Result<(), Duration> {
        if client.is_exempt {
            return Ok(());
        }
        self.users.take(user, self.now())
    }

    /// Whether a message may be taken, or when. One that may not takes nothing from anybody.
    pub(crate) fn message(
        &self,
        client: Client,
        user: &Arc<str>,
        room: &Arc<str>,
        weight: u32,
    ) -> Result<(), Duration> {
        if client.is_exempt {
            return Ok(());
        }
        let now = self.now();
        let address = payer(client.address);
        let wait = [
            self.users.wait(user, now),
            self.addresses.wait(&address, now),
            self.rooms.wait(room, now),
        ];
        let wait = wait.into_iter().max().unwrap_or_default();
        if !wait.is_zero() {
            return Err(wait);
        }
        self.users.charge_many(weight, Arc::clone(user), now);
        self.addresses.charge_many(weight, address, now);
        self.rooms.charge(Arc::clone(room), now);
        Ok(())
    }

    /// Counts a message that was taken, and says when the next may be.
    pub(crate) fn count_message(
        &self,
        client: Client,
        user: Option<&Arc<str>>,
        room: &Arc<str>,
    ) -> Duration {
        if client.is_exempt {
            return Duration::ZERO;
        }
        let now = self.now();
        let user = user.map(|user| self.users.charge(Arc::clone(user), now));
        let address = self.addresses.charge(payer(client.address), now);
        let room = self.rooms.charge(Arc::clone(room), now);
        user.unwrap_or_default().max(address).max(room)
    }

    /// The clock of all meters.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }
}
