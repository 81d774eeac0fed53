//! Whose a request is, and whether its sender has asked for too many.

use std::time::Duration;

use axum::{extract::Request, response::Response};
use http::{StatusCode, header};

use super::{Connection, operator, refusal};
use crate::hub::Shared;

/// Finds out who is behind a proxy, and answers 429 to who asks too much.
pub(super) fn refuse(hub: &Shared, request: &mut Request) -> Option<Response> {
    let mut connection = request.extensions_mut().remove::<Connection>()?;
    let (traffic, peer) = (&hub.traffic, connection.peer.ip());
    if !traffic.is_proxy(peer) && operator::is_sent_on(peer, request.headers()) {
        hub.told.proxy.get_or_init(|| {
            tracing::warn!(
                "a proxy on this machine sends requests on, and all of them count as its own; if they come from others, pass --trusted-proxy {peer}"
            );
        });
    }
    connection.client = traffic.client(peer, request.headers());
    connection.is_tls |= traffic.is_over_tls(peer, request.headers());
    if let Err(wait) = traffic.request(connection.client) {
        return Some(too_many(wait, "Too many requests from your address."));
    }
    request.extensions_mut().insert(connection);
    None
}

/// 429, with when to try again.
pub(super) fn too_many(wait: Duration, why: &'static str) -> Response {
    for_now(StatusCode::TOO_MANY_REQUESTS, wait, why)
}

/// A refusal with when to try again.
pub(super) fn for_now(status: StatusCode, wait: Duration, why: &'static str) -> Response {
    let mut response = refusal(status, why);
    let seconds = whole_seconds(wait).into();
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

/// A wait as `Retry-After` has it (RFC 9110 §10.2.3).
pub(in crate::http) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_millis()
        .div_ceil(1_000)
        .try_into()
        .unwrap_or(u64::MAX)
}
