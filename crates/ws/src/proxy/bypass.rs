//! `no_proxy`: what is reached directly.

use std::net::IpAddr;

use fullduplex_proto::handshake::{Authority, Uri};

/// Whether the list names the server of this address. Entries that cannot be read name nothing.
pub(super) fn lists(list: &str, uri: &Uri) -> bool {
    list.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|entry| !entry.is_empty())
        .any(|entry| names(entry, uri))
}

fn names(entry: &str, uri: &Uri) -> bool {
    if entry == "*" {
        return true;
    }
    let host = uri.host().trim_end_matches('.');
    if let Ok(address) = host.parse::<IpAddr>() {
        return names_address(entry, address.to_canonical(), uri.port());
    }
    let entry = entry.strip_prefix('*').unwrap_or(entry);
    // Brings names to one form, as that of the URI was.
    let Ok(entry) = entry.trim_start_matches('.').parse::<Authority>() else {
        return false;
    };
    has_port(&entry, uri.port()) && is_under(host, entry.host().trim_end_matches('.'))
}

fn names_address(entry: &str, address: IpAddr, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        return is_in(address, network, bits).unwrap_or(false);
    }
    let is_same = |text: &str| {
        text.parse()
            .is_ok_and(|other: IpAddr| other.to_canonical() == address)
    };
    is_same(entry)
        || entry
            .parse()
            .is_ok_and(|entry: Authority| has_port(&entry, port) && is_same(entry.host()))
}

fn has_port(entry: &Authority, port: u16) -> bool {
    entry.port().is_none_or(|only| only == port)
}

/// Whether a name is this domain or one below it.
fn is_under(name: &str, domain: &str) -> bool {
    let before = name.strip_suffix(domain);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether the first `bits` of both are the same (RFC 4632 §3.1).
fn is_in(address: IpAddr, network: &str, bits: &str) -> Option<bool> {
    let bits: u32 = bits.parse().ok()?;
    let (different, length) = match (address, network.parse().ok()?) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
        _ => return None,
    };
    let host_bits = u32::checked_sub(length, bits)?;
    // A shift by all 128 bits leaves nothing.
    Some(different.checked_shr(host_bits).unwrap_or(0) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(list: &str, uri: &str) -> bool {
        lists(list, &uri.parse().unwrap())
    }

    #[test]
    fn p32_a_name_stands_for_itself_and_what_is_under_it() {
        for entry in [
            "example.com",
            ".example.com",
            "*.example.com",
            "EXAMPLE.com",
            "example.com.",
        ] {
            for uri in [
                "ws://example.com",
                "ws://a.b.example.com",
                "ws://Example.COM.:8080",
            ] {
                assert!(listed(entry, uri), "{entry} {uri}");
            }
            for uri in [
                "ws://evil-example.com",
                "ws://example.com.evil.org",
                "ws://com",
            ] {
                assert!(!listed(entry, uri), "{entry} {uri}");
            }
        }
        assert!(listed("bücher.example", "ws://xn--bcher-kva.example"));
    }

    #[test]
    fn p32_entries_are_separated_by_commas_or_blanks() {
        for list in ["a.org,b.org", "a.org, b.org", "a.org b.org", ",b.org,,"] {
            assert!(listed(list, "ws://b.org"), "{list}");
            assert!(!listed(list, "ws://c.org"), "{list}");
        }
        assert!(listed("a.org,*", "ws://anything.example"));
        for list in ["", ",", ".", "[", "a/b", "%", ":80"] {
            assert!(!listed(list, "ws://b.org"), "{list}");
            assert!(!listed(list, "ws://10.0.0.1"), "{list}");
        }
    }

    #[test]
    fn p32_an_entry_with_a_port_means_that_port_only() {
        assert!(listed("b.org:8080", "ws://b.org:8080"));
        assert!(!listed("b.org:8080", "ws://b.org"));
        assert!(listed("b.org:443", "wss://b.org"));
        assert!(listed("10.0.0.1:81", "ws://10.0.0.1:81"));
        assert!(!listed("10.0.0.1:81", "ws://10.0.0.1:82"));
        assert!(listed("[2001:db8::1]:81", "ws://[2001:db8::1]:81"));
        assert!(!listed("[2001:db8::1]:81", "ws://[2001:db8::1]"));
    }

    #[test]
    fn p32_addresses_and_networks() {
        for (entry, uri, expected) in [
            ("10.0.0.1", "ws://10.0.0.1", true),
            ("10.0.0.1", "ws://10.0.0.10", false),
            ("0.0.1", "ws://10.0.0.1", false),
            (".0.0.1", "ws://10.0.0.1", false),
            ("10.0.0.0/8", "ws://10.255.3.4", true),
            ("10.0.0.0/8", "ws://11.0.0.1", false),
            ("10.1.2.0/23", "ws://10.1.3.255", true),
            ("10.1.2.0/23", "ws://10.1.4.0", false),
            ("10.0.0.1/32", "ws://10.0.0.1", true),
            ("10.0.0.1/33", "ws://10.0.0.1", false),
            ("0.0.0.0/0", "ws://10.0.0.1", true),
            ("0.0.0.0/0", "ws://[2001:db8::1]", false),
            ("0.0.0.0/0", "ws://example.com", false),
            ("2001:db8::1", "ws://[2001:db8::1]", true),
            ("2001:DB8:0::1", "ws://[2001:db8::1]", true),
            ("[2001:db8::1]", "ws://[2001:db8::1]", true),
            ("2001:db8::/32", "ws://[2001:db8:ffff::1]", true),
            ("2001:db8::/32", "ws://[2001:db9::1]", false),
            ("::/0", "ws://[2001:db8::1]", true),
            ("10.0.0.0/8", "ws://[::ffff:10.0.0.1]", true),
        ] {
            assert_eq!(listed(entry, uri), expected, "{entry} {uri}");
        }
    }
}
