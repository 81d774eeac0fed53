//! When a browser's `EventSource` comes back.
//!
//! To it any status but 200 is the end for good, whatever `Retry-After` says. So where it is refused for now it is given a stream, which
//! says when to come back and ends; who asks otherwise is told by the status.

use std::time::Duration;

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

use crate::identity::random;

/// The type of a stream of events.
pub(super) const EVENT_STREAM: &str = "text/event-stream";

/// Whether an `EventSource` asks, as far as can be told.
pub(super) fn is_event_source(request: &Request) -> bool {
    let accepted = request.headers().get(header::ACCEPT);
    request.uri().path().starts_with("/sse/") && accepted.is_some_and(|kind| kind == EVENT_STREAM)
}

/// A refusal as a stream, if it passes.
pub(super) fn in_a_stream(mut refused: Response) -> Response {
    let headers = refused.headers_mut();
    let after = headers.remove(header::RETRY_AFTER);
    let seconds = after.and_then(|after| after.to_str().ok()?.parse().ok());
    let Some(wait) = seconds.map(Duration::from_secs) else {
        return refused;
    };
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let (mut head, _) = refused.into_parts();
    head.status = StatusCode::OK;
    (head, retry(wait, wait) + "\n").into_response()
}

/// The line that says when: after this time and a random part of `spread`, so that not all come at once.
pub(super) fn retry(least: Duration, spread: Duration) -> String {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let after = ms(least).saturating_add(random() % ms(spread).max(1));
    format!("retry: {after}\n")
}
