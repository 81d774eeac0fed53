//! Where a request comes from, also through proxies.

use std::{net::IpAddr, str::FromStr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Addresses that `X-Forwarded-For` and `X-Forwarded-Proto` are believed from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// A text that is no network that proxies could be in, or all of them, where anybody would be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is neither an address nor a network like 10.0.0.0/8 that has only proxies")]
pub struct NoNetwork(String);

impl TrustedProxies {
    /// From texts like `10.0.0.0/8`, `::1`.
    ///
    /// # Errors
    ///
    /// One is no such text.
    pub fn parse<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, NoNetwork> {
        let network = |text: T| {
            let text = text.as_ref();
            let single = || IpAddr::from_str(text).map(IpNet::from);
            let network = IpNet::from_str(text).or_else(|_| single());
            let some = network.ok().filter(|network| network.prefix_len() > 0);
            some.ok_or_else(|| NoNetwork(text.to_owned()))
        };
        networks
            .into_iter()
            .map(network)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Whose request this is: the peer's, or, where that is a proxy we trust, the last address that it names and that is not
    /// such a proxy itself. What stands before that one anybody may have written.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.contains(peer) {
            return peer;
        }
        let lines = headers.get_all(FORWARDED_FOR);
        let mut client = peer;
        for line in lines.iter().rev() {
            let Ok(line) = line.to_str() else { break };
            for text in line.rsplit(',') {
                let Some(address) = address(text.trim()) else {
                    return client;
                };
                client = address;
                if !self.contains(client) {
                    return client;
                }
            }
        }
        client
    }

    /// Whether a proxy we trust says that the request came to it over TLS.
    pub(crate) fn is_over_tls(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let proto = headers.get_all(FORWARDED_PROTO).iter().next_back();
        let proto = proto
            .and_then(|proto| proto.to_str().ok())
            .unwrap_or_default();
        let last = proto.rsplit(',').next().unwrap_or_default().trim();
        self.contains(peer)
            && (last.eq_ignore_ascii_case("https") || last.eq_ignore_ascii_case("wss"))
    }
}

/// An address, perhaps with a port, as some proxies write them.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || {
        text.parse()
            .map(|address: std::net::SocketAddr| address.ip())
    };
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse().or_else(|_| with_port());
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let proxies = TrustedProxies::parse(proxies).unwrap();
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn only_what_a_trusted_proxy_itself_has_seen_is_believed() {
        let forged = ["203.0.113.7"];
        assert_eq!(client(&[], "127.0.0.1", &forged), "127.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "192.0.2.1", &forged), "192.0.2.1");
        let proxies = ["10.0.0.0/8", "::1"];
        assert_eq!(client(&proxies, "10.1.1.1", &[]), "10.1.1.1");
        assert_eq!(client(&proxies, "::1", &["203.0.113.7"]), "203.0.113.7");
        let chain = ["6.6.6.6, 203.0.113.7 , 10.2.2.2"];
        assert_eq!(client(&proxies, "10.1.1.1", &chain), "203.0.113.7");
        let lines = ["6.6.6.6", "203.0.113.7, 10.2.2.2", "10.3.3.3"];
        assert_eq!(client(&proxies, "10.1.1.1", &lines), "203.0.113.7");
        assert_eq!(
            client(&proxies, "10.1.1.1", &["nonsense, 10.2.2.2"]),
            "10.2.2.2"
        );
        assert_eq!(
            client(&proxies, "10.1.1.1", &["203.0.113.7:4711"]),
            "203.0.113.7"
        );
        assert_eq!(
            client(&proxies, "10.1.1.1", &["[2001:db8::1]:80"]),
            "2001:db8::1"
        );
        assert_eq!(
            client(&proxies, "::ffff:10.1.1.1", &["203.0.113.7"]),
            "203.0.113.7"
        );
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        let why = TrustedProxies::parse(["10.0.0.0/8", "10.0.0.0/99"]).unwrap_err();
        assert!(why.to_string().starts_with("\"10.0.0.0/99\" is neither"));
        for everybody in ["0.0.0.0/0", "::/0", "10.0.0.0/0"] {
            assert!(TrustedProxies::parse([everybody]).is_err(), "{everybody}");
        }
    }
}
