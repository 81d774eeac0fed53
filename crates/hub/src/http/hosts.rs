//! Who we answer to: a defence against DNS rebinding.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{StatusCode, header, uri::Authority};

use super::{Desk, sentence};
use crate::config::{AllowedOrigins, Config};

/// The hosts a request may name.
///
/// A page of any site may send requests to a name of its own and let that name resolve to
/// 127.0.0.1. For the browser they are then same-origin, and only `Host` tells.
#[derive(Debug)]
pub(crate) enum Hosts {
    /// The listener is reachable anyhow, or any page may connect anyhow.
    Any,
    /// Loopback names, and these.
    LoopbackAnd(HashSet<String>),
}

impl Hosts {
    /// The rule for a listener at `address`.
    pub(crate) fn new(config: &Config, address: IpAddr) -> Self {
        if !address.is_loopback() {
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
        Self::LoopbackAnd(of_origins.chain(named).collect())
    }

    fn allow(&self, request: &Request) -> bool {
        let Self::LoopbackAnd(others) = self else {
            return true;
        };
        let mut named = request.headers().get_all(header::HOST).iter();
        let host = named
            .next()
            .and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        let is_ours = |host: &str| is_loopback(host) || others.contains(&host.to_ascii_lowercase());
        named.next().is_none()
            && host.is_some_and(|host| is_ours(host.host()))
            && request.uri().host().is_none_or(is_ours)
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Answers 421 to requests meant for somebody else.
pub(super) async fn check(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    if desk.hosts.allow(&request) {
        return next.run(request).await;
    }
    let host = request
        .headers()
        .get(header::HOST)
        .map(|host| String::from_utf8_lossy(host.as_bytes()));
    let host = host.unwrap_or_default();
    sentence(
        StatusCode::MISDIRECTED_REQUEST,
        format!(
            "This server is not \"{host}\". Use localhost, or allow the name when starting it."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(config: &Config, host: &str) -> bool {
        let request = Request::builder().uri("/").header("host", host);
        let request = request.body(axum::body::Body::empty()).unwrap();
        Hosts::new(config, [127, 0, 0, 1].into()).allow(&request)
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
    fn two_hosts_or_none_are_nobody() {
        let hosts = Hosts::new(&Config::default(), [127, 0, 0, 1].into());
        let none = Request::builder()
            .uri("/")
            .body(axum::body::Body::empty())
            .unwrap();
        assert!(!hosts.allow(&none));
        let two = Request::builder()
            .uri("/")
            .header("host", "localhost")
            .header("host", "x");
        assert!(!hosts.allow(&two.body(axum::body::Body::empty()).unwrap()));
        let other = Request::builder()
            .uri("http://evil.example/")
            .header("host", "localhost");
        assert!(!hosts.allow(&other.body(axum::body::Body::empty()).unwrap()));
    }
}
