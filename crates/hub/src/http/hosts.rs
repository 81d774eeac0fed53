//! Who we answer to: a defence against DNS rebinding.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, StatusCode, Version, header, uri::Authority};

use super::refusal;
use crate::config::{AllowedOrigins, Config};

/// The hosts a request may name.
///
/// A page of any site may send requests to a name of its own and let that name resolve to
/// 127.0.0.1. For the browser they are then same-origin, and only `Host` tells.
#[derive(Debug)]
pub(crate) enum Hosts {
    /// The listener is reachable anyhow and none was named, or any page may connect anyhow.
    Any,
    /// Loopback names, and these.
    LoopbackAnd {
        names: HashSet<String>,
        /// And addresses: no page can have one as a name of its own, and balancers ask for them.
        addresses: bool,
    },
}

impl Hosts {
    /// The rule for a listener at `address`.
    pub(crate) fn new(config: &Config, address: IpAddr) -> Self {
        let addresses = !address.is_loopback();
        if addresses && config.hosts.is_empty() {
            return Self::Any;
        }
        let origins = match &config.origins {
            AllowedOrigins::Any => return Self::Any,
            AllowedOrigins::SameOrigin => &[][..],
            AllowedOrigins::List(origins) => origins,
        };
        let of_origins = origins.iter().filter_map(|origin| {
            Some(
                origin
                    .parse::<http::Uri>()
                    .ok()?
                    .host()?
                    .to_ascii_lowercase(),
            )
        });
        let named = config.hosts.iter().map(|host| host.to_ascii_lowercase());
        Self::LoopbackAnd {
            names: of_origins.chain(named).collect(),
            addresses,
        }
    }

    /// The rule for the operators' listener at `address`: off loopback it is for whoever reaches it.
    pub(crate) fn of_operators(config: &Config, address: IpAddr) -> Self {
        if address.is_loopback() {
            Self::new(config, address)
        } else {
            Self::Any
        }
    }

    /// # Errors
    ///
    /// What to answer to a request that names no host, or somebody else.
    fn judge(&self, request: &Request) -> Result<(), (StatusCode, String)> {
        let is_named = request.headers().contains_key(header::HOST);
        // HTTP/1.0 knows no Host, and is what balancers ask for our health in; no browser speaks it, whom a name could deceive.
        let may_be_nameless = match self {
            Self::Any => true,
            Self::LoopbackAnd { addresses, .. } => *addresses,
        };
        if !is_named && request.version() == Version::HTTP_10 && may_be_nameless {
            return Ok(());
        }
        let Some(host) = named(request.headers()) else {
            let why = "A request has one Host header, with a host and perhaps a port.";
            return Err((StatusCode::BAD_REQUEST, why.to_owned()));
        };
        // The target of the request may name one too (RFC 9112 §3.2.2).
        let target = request.uri().host();
        match [Some(host.as_str()), target]
            .into_iter()
            .flatten()
            .find(|host| !self.is_ours(host))
        {
            None => Ok(()),
            Some(other) => Err((
                StatusCode::MISDIRECTED_REQUEST,
                format!(
                    "This server is not \"{other}\". Use localhost, or allow the name when starting it."
                ),
            )),
        }
    }

    /// Answers 400 to requests that do not say to whom they are, and 421 to those meant for somebody
    /// else.
    pub(super) fn refuse(&self, request: &Request) -> Option<Response> {
        let (status, why) = self.judge(request).err()?;
        Some(refusal(status, why))
    }

    fn is_ours(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::LoopbackAnd { names, addresses } => {
                is_loopback(host)
                    || names.contains(&host.to_ascii_lowercase())
                    || *addresses && address_of(host).is_some()
            }
        }
    }
}

/// The one host that a request is for.
fn named(headers: &HeaderMap) -> Option<String> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none());
    host_of(host?.to_str().ok()?)
}

/// Whether a request is for this machine by a name that only it has.
pub(super) fn names_loopback(headers: &HeaderMap) -> bool {
    named(headers).is_some_and(|host| is_loopback(&host))
}

/// The host of a `Host` header's value, if that is one: a port is a number below 65,536 or missing.
fn host_of(value: &str) -> Option<String> {
    let authority = value.parse::<Authority>().ok()?;
    let host = authority.host();
    let port = value.strip_prefix(host)?;
    (matches!(port, "" | ":") || authority.port_u16().is_some()).then(|| host.to_owned())
}

/// Browsers take `localhost` and every name below it for this machine, without asking anybody.
fn is_loopback(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || address_of(host).is_some_and(|address| address.is_loopback())
}

fn address_of(host: &str) -> Option<IpAddr> {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    address.parse().ok()
}

/// See [`Hosts::refuse`].
pub(super) async fn check(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    match hosts.refuse(&request) {
        None => next.run(request).await,
        Some(refused) => refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(config: &Config, host: &str) -> bool {
        judges(&Hosts::new(config, [127, 0, 0, 1].into()), host)
    }

    fn judges(hosts: &Hosts, host: &str) -> bool {
        let request = Request::builder().uri("/").header("host", host);
        let request = request.body(axum::body::Body::empty()).unwrap();
        hosts.judge(&request).is_ok()
    }

    #[test]
    fn off_loopback_names_count_once_there_are_some_and_addresses_are_nobodys_own() {
        let mut config = Config::default();
        let address = [192, 0, 2, 1].into();
        assert!(judges(&Hosts::new(&config, address), "evil.example"));
        config.hosts = vec!["chat.example".into()];
        let hosts = Hosts::new(&config, address);
        for good in [
            "chat.example:8080",
            "192.0.2.1",
            "[2001:db8::1]:80",
            "localhost",
        ] {
            assert!(judges(&hosts, good), "{good}");
        }
        assert!(!judges(&hosts, "evil.example"));
        assert!(!judges(&hosts, "192.0.2.1.evil.example"));
        // As a balancer asks for our health.
        for (version, is_good) in [(Version::HTTP_10, true), (Version::HTTP_11, false)] {
            let nameless = Request::builder().uri("/readyz").version(version);
            let nameless = nameless.body(axum::body::Body::empty()).unwrap();
            assert_eq!(hosts.judge(&nameless).is_ok(), is_good, "{version:?}");
            let on_loopback = Hosts::new(&config, [127, 0, 0, 1].into());
            assert!(on_loopback.judge(&nameless).is_err());
        }
        let operators = Hosts::of_operators(&config, address);
        assert!(judges(&operators, "chat-1.internal:9090"));
        let operators = Hosts::of_operators(&config, [127, 0, 0, 1].into());
        assert!(!judges(&operators, "evil.example"));
    }

    #[test]
    fn a_loopback_listener_answers_to_loopback_names_and_allowed_ones() {
        let mut config = Config::default();
        for good in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:1",
            "127.8.8.8",
            "[::1]:80",
            "[::1]",
            "localhost.",
            "chat.localhost:80",
            "localhost:",
        ] {
            assert!(allows(&config, good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "127.0.0.1.evil.example",
            "[::2]",
            "chat.example",
            "xlocalhost",
            "localhost..",
            "me@localhost",
            "localhost:99999999",
        ] {
            assert!(!allows(&config, bad), "{bad}");
        }
        config.origins = AllowedOrigins::List(vec!["https://Chat.example:8443/".into()]);
        config.hosts = vec!["box.local".into()];
        assert!(allows(&config, "chat.example"));
        assert!(allows(&config, "BOX.local:8080"));
        config.origins = AllowedOrigins::Any;
        assert!(allows(&config, "evil.example"));
    }

    #[test]
    fn who_names_no_host_or_two_made_a_bad_request_and_who_names_another_is_told_which() {
        let judge = |config: &Config, uri: &str, hosts: &[&str]| {
            let mut request = Request::builder().uri(uri);
            for host in hosts {
                request = request.header("host", *host);
            }
            let request = request.body(axum::body::Body::empty()).unwrap();
            Hosts::new(config, [127, 0, 0, 1].into())
                .judge(&request)
                .map_err(|(status, why)| (status.as_u16(), why))
        };
        let open = Config {
            origins: AllowedOrigins::Any,
            ..Config::default()
        };
        for hosts in [&[][..], &["localhost", "x"], &[""], &["localhost:99999999"]] {
            for config in [&Config::default(), &open] {
                assert_eq!(judge(config, "/", hosts).unwrap_err().0, 400, "{hosts:?}");
            }
        }
        let elsewhere =
            judge(&Config::default(), "http://evil.example/", &["localhost"]).unwrap_err();
        assert!(
            elsewhere.0 == 421 && elsewhere.1.contains("evil.example"),
            "{elsewhere:?}"
        );
    }
}
