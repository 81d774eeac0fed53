//! What an operator, and the machines that work for one, ask.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Extension, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::{Connection, Desk, Reception, bearer, sentence};
use crate::{hub::Unready, metrics};

/// How a request tells that somebody sent it on for somebody else.
const FORWARDED: [HeaderName; 3] = [
    header::FORWARDED,
    header::VIA,
    HeaderName::from_static("x-forwarded-for"),
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
    is_from_here(connection.peer.ip(), headers) || bearer::is_admin(desk, headers)
}

fn is_from_here(peer: IpAddr, headers: &HeaderMap) -> bool {
    let is_forwarded = FORWARDED.iter().any(|name| headers.contains_key(name));
    peer.to_canonical().is_loopback() && !is_forwarded
}

/// Counts answers.
pub(super) async fn count(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    desk.shared.metrics.requests.count(response.status());
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn who_is_sent_on_by_a_proxy_here_is_not_from_here() {
        let (none, mut some) = (HeaderMap::new(), HeaderMap::new());
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
        for name in FORWARDED {
            some.clear();
            some.insert(name, HeaderValue::from_static("192.0.2.1"));
            assert!(!is_from_here("127.0.0.1".parse().unwrap(), &some));
        }
    }
}
