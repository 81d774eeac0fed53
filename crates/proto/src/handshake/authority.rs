//! Host and port, as they stand in URIs, in `Host` and in `Origin`.

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use idna::AsciiDenyList;

/// A host and perhaps a port, such as `example.com`, `127.0.0.1:8080` or `[::1]:9001`.
///
/// Hosts compare as they should: names are in lower case and in their ASCII form (`bücher.example` is
/// `xn--bcher-kva.example`), IPv6 addresses in their canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    /// Without brackets; only an IPv6 address holds a colon.
    host: String,
    port: Option<u16>,
}

impl Authority {
    /// Returns the host, an IPv6 address without its brackets: what one resolves or dials.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Tells whether the host names this machine in itself: `localhost` and the names under it (RFC 6761 §6.3),
    /// 127.0.0.0/8 and `::1`.
    ///
    /// No other name counts, whatever it resolves to: anybody can point a name of his at 127.0.0.1.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// Drops the port if it is this one, the scheme's default.
    pub(super) fn without_default_port(mut self, default: Option<u16>) -> Self {
        self.port = self.port.filter(|&port| Some(port) != default);
        self
    }
}

impl FromStr for Authority {
    type Err = AuthorityError;

    /// Reads `host`, `host:port`, `[address]` or `[address]:port`. An empty port is none (RFC 3986 §3.2.3).
    fn from_str(text: &str) -> Result<Self, AuthorityError> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']').ok_or(AuthorityError::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| AuthorityError::Host)?;
            let port = match rest.strip_prefix(':') {
                Some(port) => port,
                None if rest.is_empty() => "",
                None => return Err(AuthorityError::Host),
            };
            (address.to_string(), port)
        } else {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            (ascii_name(name)?, port)
        };
        Ok(Self {
            host,
            port: read_port(port)?,
        })
    }
}

fn ascii_name(name: &str) -> Result<String, AuthorityError> {
    if name.is_empty() {
        return Err(AuthorityError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(AuthorityError::Host);
    }
    if is_in_ascii_form(name) {
        return Ok(name.to_owned());
    }
    match idna::domain_to_ascii_cow(name.as_bytes(), NOT_IN_NAMES) {
        // A name of soft hyphens alone, for example, is mapped to nothing.
        Ok(ascii) if !ascii.is_empty() => Ok(ascii.into_owned()),
        _ => Err(AuthorityError::Host),
    }
}

/// IDNA leaves the name as it is, which it takes its time to find out: nearly all are such.
fn is_in_ascii_form(name: &str) -> bool {
    let is_plain = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
    let is_encoded = |four| four == b"xn--";
    name.bytes().all(is_plain) && !name.as_bytes().windows(4).any(is_encoded)
}

fn read_port(text: &str) -> Result<Option<u16>, AuthorityError> {
    if text.is_empty() {
        return Ok(None);
    }
    // `parse` alone would take a plus sign.
    match text.parse() {
        Ok(port) if port != 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(port)),
        _ => Err(AuthorityError::Port),
    }
}

/// Writes host and port as they stand in a URI or header, an IPv6 address in brackets.
impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Why a text is not a host with an optional port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthorityError {
    /// There is no host.
    Empty,
    /// The host is neither a name nor an address in brackets.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the host is missing",
            Self::Host => "the host is neither a name nor an address",
            Self::Port => "the port is not a number from 1 to 65535",
        })
    }
}

impl Error for AuthorityError {}

/// Longest name worth reading, in bytes of its UTF-8 form: DNS allows 253, and a name that needs more than four
/// times as much as its ASCII form does not exist. Bounds the work of IDNA.
const MAX_NAME: usize = 1024;

/// ASCII characters that no registered name holds (RFC 3986 §3.2.2), percent signs included: what they would hide
/// is better refused than compared.
const NOT_IN_NAMES: AsciiDenyList = AsciiDenyList::new(true, "\"#%/:<>?@[\\]^`{|}");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_brought_to_one_form() {
        for (text, host, shown) in [
            ("Example.COM", "example.com", "example.com"),
            ("example.com:", "example.com", "example.com"),
            ("example.com:80", "example.com", "example.com:80"),
            ("my_host:8080", "my_host", "my_host:8080"),
            ("127.0.0.1:9001", "127.0.0.1", "127.0.0.1:9001"),
            ("[0:0:0:0:0:0:0:1]:9001", "::1", "[::1]:9001"),
            ("[2001:DB8::1]", "2001:db8::1", "[2001:db8::1]"),
            (
                "bücher.example",
                "xn--bcher-kva.example",
                "xn--bcher-kva.example",
            ),
        ] {
            let authority: Authority = text.parse().unwrap();
            assert_eq!(
                (authority.host(), &*authority.to_string()),
                (host, shown),
                "{text:?}"
            );
        }
    }

    #[test]
    fn names_in_ascii_form_are_those_that_idna_leaves_as_they_are() {
        let same = |name: &str| {
            let ascii = idna::domain_to_ascii_cow(name.as_bytes(), NOT_IN_NAMES);
            ascii.is_ok_and(|ascii| ascii == name)
        };
        for name in [
            "example.com",
            "127.0.0.1",
            "1.2",
            "my_host",
            "a--b.-c-",
            ".a..",
            "xn-a",
        ] {
            assert!(is_in_ascii_form(name) && same(name), "{name}");
        }
        for name in [
            "A",
            "xn--a",
            "a.xn--99999999",
            "xn--",
            "é",
            "a b",
            "a/",
            "a\u{7f}",
        ] {
            assert!(!is_in_ascii_form(name) && !same(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for text in [
            "",
            ":80",
            "a:b",
            "a:+80",
            "a:0",
            "a:65536",
            "a:80:80",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]80",
            "[a]",
            "a b",
            "a/b",
            "u@h",
            "a%2e",
            "a\u{0}",
            "a\\b",
            "a#b",
            "a<b",
            "\u{ad}",
            "[fe80::1%25eth0]",
        ] {
            assert!(text.parse::<Authority>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_names_that_cannot_be_pointed_elsewhere_are_loopback() {
        for text in [
            "localhost:8080",
            "LOCALHOST",
            "app.localhost",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]:80",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(text.parse::<Authority>().unwrap().is_loopback(), "{text}");
        }
        for text in [
            "example.com",
            "localhost.example.com",
            "notlocalhost",
            "127.0.0.1.example.com",
            "10.0.0.1",
            "[::2]",
            "0.0.0.0",
        ] {
            assert!(!text.parse::<Authority>().unwrap().is_loopback(), "{text}");
        }
    }
}
