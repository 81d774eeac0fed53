//! How the API says no: problem details (RFC 9457) with the codes of the protocol.

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{
    auth::Denied,
    core::JoinRefused,
    http::measure::whole_seconds,
    log::{AppendError, ReadError},
    wire::{
        reply::{ErrorCode, Failure},
        to_json,
    },
};

/// When who is told to come again should do so, where nothing more is known.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Why a request failed.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    title: &'static str,
    status: u16,
    code: ErrorCode,
    detail: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u64>,
}

impl Problem {
    /// One that the code says the status of.
    pub(super) fn new(code: ErrorCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::with_status(status(code), code, detail)
    }

    /// One that HTTP has a status for, and the protocol no code.
    pub(super) fn with_status(
        status: StatusCode,
        code: ErrorCode,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            retry_ms: None,
        }
    }

    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::BadRequest, detail)
    }
}

const fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::Unauthorized | ErrorCode::TokenExpired => StatusCode::UNAUTHORIZED,
        ErrorCode::Forbidden | ErrorCode::NotJoined => StatusCode::FORBIDDEN,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorCode::Unsupported => StatusCode::NOT_IMPLEMENTED,
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let retry_ms = failure.retry_ms;
        Self {
            retry_ms,
            ..Self::new(failure.code, failure.msg)
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Failure::from(denied).into()
    }
}

impl From<JoinRefused> for Problem {
    fn from(refused: JoinRefused) -> Self {
        Failure::from(refused).into()
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        Failure::from(error).into()
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        Self::new(ErrorCode::Unavailable, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, to_json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.code {
            ErrorCode::Unauthorized | ErrorCode::TokenExpired => {
                let scheme = HeaderValue::from_static("Bearer");
                headers.insert(header::WWW_AUTHENTICATE, scheme);
            }
            ErrorCode::RateLimited | ErrorCode::Unavailable => {
                let wait = self.retry_ms.map_or(RETRY_AFTER, Duration::from_millis);
                headers.insert(header::RETRY_AFTER, whole_seconds(wait).into());
            }
            _ => {}
        }
        response
    }
}
