//! Which pages may connect (`Origin`), and under which names we are served (`Host`).
//!
//! Browsers let any page open a WebSocket to any server and send the user's cookies along; the server has to look at
//! `Origin` (RFC 6455 §10.2). Values are parsed and compared, never searched for.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::authority::{Authority, AuthorityError};
use super::head::RequestHead;
use super::uri::{default_port, is_secure_scheme};

/// The origin of a page: scheme, host and port, or `null` (RFC 6454).
///
/// Scheme and host are in lower case, the scheme's default port is dropped and a lone slash at the end ignored, so
/// that equal origins are equal values.
///
/// # Examples
///
/// ```
/// use fullduplex_proto::handshake::Origin;
/// let origin: Origin = "HTTPS://Example.com:443/".parse()?;
/// assert_eq!(origin.to_string(), "https://example.com");
/// # Ok::<(), fullduplex_proto::handshake::OriginError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    /// `None` is `null`.
    tuple: Option<Tuple>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Tuple {
    scheme: String,
    /// `None` for schemes without hosts: pages from `file://`.
    authority: Option<Authority>,
}

impl Origin {
    /// Tells whether the origin is `null`: a sandboxed frame, a `data:` page or a redirect across sites.
    pub fn is_null(&self) -> bool {
        self.tuple.is_none()
    }

    /// Returns the scheme, such as `https`.
    pub fn scheme(&self) -> Option<&str> {
        self.tuple.as_ref().map(|tuple| &*tuple.scheme)
    }

    /// Returns host and port, without the port where it is the scheme's default.
    pub fn authority(&self) -> Option<&Authority> {
        self.tuple
            .as_ref()
            .and_then(|tuple| tuple.authority.as_ref())
    }

    /// Tells whether a page of this origin came from the server that is asked as `host`.
    ///
    /// The scheme counts only where we know ours: with `tls` it has to be `https`. Without, a proxy in front may have
    /// ended TLS, and what it says about that in headers anybody can say.
    pub fn is_same(&self, host: &Authority, tls: bool) -> bool {
        let secure = match self.scheme() {
            Some("http") if !tls => false,
            Some("https") => true,
            _ => return false,
        };
        let host = host
            .clone()
            .without_default_port(Some(default_port(secure)));
        self.authority() == Some(&host)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text == "null" {
            return Ok(Self { tuple: None });
        }
        let (scheme, rest) = text.split_once("://").ok_or(OriginError::Form)?;
        if !is_scheme(scheme) {
            return Err(OriginError::Form);
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(OriginError::NotOnlyOrigin);
        }
        let default = is_secure_scheme(scheme).map(default_port);
        let authority = match rest.parse::<Authority>() {
            Ok(authority) => Some(authority.without_default_port(default)),
            Err(AuthorityError::Empty) if rest.is_empty() && default.is_none() => None,
            Err(error) => return Err(OriginError::Authority(error)),
        };
        Ok(Self {
            tuple: Some(Tuple {
                scheme: scheme.to_ascii_lowercase(),
                authority,
            }),
        })
    }
}

/// Tells whether a text is a scheme (RFC 3986 §3.1).
pub(super) fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Writes the origin as browsers do.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tuple {
            None => f.write_str("null"),
            Some(Tuple {
                scheme,
                authority: None,
            }) => write!(f, "{scheme}://"),
            Some(Tuple {
                scheme,
                authority: Some(authority),
            }) => write!(f, "{scheme}://{authority}"),
        }
    }
}

/// Why a text is not an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginError {
    /// Host or port are missing or wrong.
    Authority(AuthorityError),
    /// It is neither `null` nor of the form `scheme://host`.
    Form,
    /// There is more than an origin: a user name, path, query or fragment.
    NotOnlyOrigin,
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(error) => error.fmt(f),
            Self::Form => f.write_str("an origin looks like https://example.com"),
            Self::NotOnlyOrigin => f.write_str("an origin is scheme, host and port only"),
        }
    }
}

impl Error for OriginError {}

/// Decides about an origin that a request carries.
pub type OriginCheck = dyn Fn(&Origin, &RequestHead) -> bool + Send + Sync;

/// Which origins may connect.
///
/// A request without `Origin` does not come from a page of a browser and always may: whoever is no browser can write
/// any origin anyway.
#[derive(Clone, Default)]
pub enum Origins {
    /// Pages that came from this server: host and port of the origin equal those that were asked for. The default.
    ///
    /// On its own this does not stop DNS rebinding, where a name of the attacker points here; see [`Hosts`].
    #[default]
    SameOrigin,
    /// Pages that came from this server, and these origins.
    SameOriginOr(Vec<Origin>),
    /// Exactly these origins.
    List(Vec<Origin>),
    /// All. Right where no cookie or address of the user gives any right.
    Any,
    /// Those for which the function returns true.
    Fn(Arc<OriginCheck>),
}

impl Origins {
    /// Tells whether this origin may connect to a server that is asked as `host`.
    pub(super) fn allow(
        &self,
        origin: &Origin,
        head: &RequestHead,
        host: &Authority,
        tls: bool,
    ) -> bool {
        match self {
            Self::SameOrigin => origin.is_same(host, tls),
            Self::SameOriginOr(others) => origin.is_same(host, tls) || others.contains(origin),
            Self::List(origins) => origins.contains(origin),
            Self::Any => true,
            Self::Fn(check) => check(origin, head),
        }
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameOrigin => f.write_str("SameOrigin"),
            Self::SameOriginOr(others) => f.debug_tuple("SameOriginOr").field(others).finish(),
            Self::List(origins) => f.debug_tuple("List").field(origins).finish(),
            Self::Any => f.write_str("Any"),
            Self::Fn(_) => f.write_str("Fn(..)"),
        }
    }
}

/// Under which names this server may be asked, against DNS rebinding.
///
/// A page of `evil.example` is same-origin with any server that the owner of that name points it at, also one on
/// the user's own machine. The name in `Host` gives it away.
///
/// An entry without a port stands for any port.
#[derive(Debug, Clone, Default)]
pub enum Hosts {
    /// Under any name. The default: behind a proxy, or with names that are not known here.
    #[default]
    Any,
    /// Under names of this machine only (see [`Authority::is_loopback`]): right where the listener is on loopback.
    Loopback {
        /// Other names to accept.
        also: Vec<Authority>,
    },
    /// Under these names only.
    List(Vec<Authority>),
}

impl Hosts {
    /// Tells whether a server may be asked as `host`.
    pub(super) fn allow(&self, host: &Authority) -> bool {
        let listed = |names: &[Authority]| {
            let matches = |name: &Authority| {
                name.host() == host.host() && (name.port().is_none() || name.port() == host.port())
            };
            names.iter().any(matches)
        };
        match self {
            Self::Any => true,
            Self::Loopback { also } => host.is_loopback() || listed(also),
            Self::List(names) => listed(names),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p19_origins_are_compared_in_one_form() {
        for (text, shown) in [
            ("http://localhost/", "http://localhost"),
            ("HTTP://LocalHost:80", "http://localhost"),
            ("https://a:443/", "https://a"),
            ("https://a:80", "https://a:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("null", "null"),
            ("file://", "file://"),
            ("chrome-extension://abc", "chrome-extension://abc"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn p19_what_is_not_an_origin_is_refused() {
        for text in [
            "",
            "NULL",
            "a",
            "http:a",
            "http://",
            "http:///",
            "://a",
            "1http://a",
            "http://a//",
            "http://a/b",
            "http://a?b",
            "http://a#b",
            "http://u@a",
            "http://a http://b",
            "http://a:x",
            "http://a, http://b",
            "http://a\\b",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn p19_same_origin_is_host_and_port_and_with_tls_the_scheme() {
        let same = |origin: &str, host: &str, tls: bool| {
            origin
                .parse::<Origin>()
                .unwrap()
                .is_same(&host.parse().unwrap(), tls)
        };
        for (origin, host) in [
            ("http://a", "a"),
            ("http://a", "a:80"),
            ("http://a:80", "A"),
            ("https://a", "a"),
            ("https://a", "a:443"),
            ("http://a:8080", "a:8080"),
            ("http://[::1]:8080", "[0::1]:8080"),
        ] {
            assert!(same(origin, host, false), "{origin} {host}");
        }
        for (origin, host) in [
            ("null", "a"),
            ("http://a", "a:443"),
            ("https://a", "a:80"),
            ("http://a:8080", "a"),
            ("http://127.0.0.1:3000", "localhost:8080"),
            ("http://evil-a", "a"),
            ("http://a.evil", "a"),
            ("http://b.a", "a"),
            ("ws://a", "a"),
            ("capacitor://localhost", "localhost"),
        ] {
            assert!(!same(origin, host, false), "{origin} {host}");
        }
        assert!(same("https://a", "a", true));
        assert!(same("https://a:8443", "a:8443", true));
        assert!(!same("http://a", "a", true));
        assert!(!same("http://a:8443", "a:8443", true));
    }

    #[test]
    fn a_listed_host_without_port_stands_for_any_port() {
        let hosts = Hosts::List(vec!["a".parse().unwrap(), "b:8080".parse().unwrap()]);
        let allows = |host: &str| hosts.allow(&host.parse().unwrap());
        assert!(allows("a") && allows("a:1") && allows("B:8080"));
        assert!(!allows("b") && !allows("b:1") && !allows("c") && !allows("x.a"));
    }
}
