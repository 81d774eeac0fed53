//! What an operator, and the machines that work for one, ask.

use std::net::IpAddr;

use axum::{
    extract::{Extension, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::{Connection, Desk, Reception, bearer, hosts, sentence};
use crate::{hub::Unready, metrics};

/// How a request tells that somebody sent it on for somebody else.
const FORWARDED: [HeaderName; 6] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
];

/// The process is alive.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether it should be sent new clients; if not, why. What the operator is told of a disk, say, is not for everybody.
pub(super) async fn readyz(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Response {
    let is_for_operator = is_for_operator(&desk, &connection, &headers);
    readiness(&desk, is_for_operator)
}

/// The same for whoever reaches the listener that it is on.
pub(super) async fn whole_readyz(State(desk): Reception) -> Response {
    readiness(&desk, true)
}

fn readiness(desk: &Desk, is_for_operator: bool) -> Response {
    let why = match desk.shared.unready() {
        None => return sentence(StatusCode::OK, "ready"),
        Some(Unready::Stops) => "The server stops.".to_owned(),
        Some(Unready::ReadOnly(why)) if is_for_operator => {
            format!("Messages can't be stored: {why}.")
        }
        Some(Unready::ReadOnly(_)) => "Messages can't be stored.".to_owned(),
    };
    sentence(StatusCode::SERVICE_UNAVAILABLE, why)
}

/// The page of metrics, for this machine, and not for all whom a proxy on it sends on; and for the administrator.
pub(super) async fn metrics(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
) -> Response {
    if is_for_operator(&desk, &connection, &headers) {
        return all_metrics(State(desk)).await;
    }
    let why = "Metrics are for this machine, for the administrator's token, and for who reaches the address of --metrics.";
    sentence(StatusCode::FORBIDDEN, why)
}

/// The same for everybody: whoever reaches the listener that it is on.
pub(super) async fn all_metrics(State(desk): Reception) -> Response {
    let headers = [
        (header::CONTENT_TYPE, metrics::CONTENT_TYPE),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, metrics::page(&desk.shared)).into_response()
}

fn is_for_operator(desk: &Desk, connection: &Connection, headers: &HeaderMap) -> bool {
    let peer = connection.peer.ip();
    let is_from_here = !desk.shared.traffic.is_proxy(peer) && is_from_here(peer, headers);
    is_from_here || bearer::is_admin(desk, headers)
}

/// Whether somebody on this machine asks for this machine. A proxy asks for the name that browsers know, or says for whom it asks.
fn is_from_here(peer: IpAddr, headers: &HeaderMap) -> bool {
    peer.to_canonical().is_loopback()
        && !is_sent_on(peer, headers)
        && hosts::names_loopback(headers)
}

/// Whether somebody on this machine sends a request on for somebody else, and says so.
pub(super) fn is_sent_on(peer: IpAddr, headers: &HeaderMap) -> bool {
    peer.to_canonical().is_loopback() && FORWARDED.iter().any(|name| headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn who_is_sent_on_by_a_proxy_here_is_not_from_here() {
        let asked = |host: &'static str| {
            HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))])
        };
        let none = asked("localhost:8080");
        for (peer, is_here) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(
                is_from_here(peer.parse().unwrap(), &none),
                is_here,
                "{peer}"
            );
        }
        let here = "127.0.0.1".parse().unwrap();
        for name in FORWARDED {
            let mut some = none.clone();
            some.insert(name, HeaderValue::from_static("192.0.2.1"));
            assert!(!is_from_here(here, &some));
        }
        for (host, is_here) in [
            ("127.0.0.1", true),
            ("[::1]:8080", true),
            ("chat.example.com", false),
            ("127.0.0.1.example.com", false),
        ] {
            assert_eq!(is_from_here(here, &asked(host)), is_here, "{host}");
        }
        assert!(!is_from_here(here, &HeaderMap::new()));
    }
}
