//! What a server says when it opens no WebSocket.

use std::time::Duration;

use super::challenge::{Challenge, challenges};
use super::grammar::elements;
use super::head::ResponseHead;
use super::headers::Headers;
use super::rejection::reason_phrase;

/// A response that opens no WebSocket: the server wants something else, or nothing of us.
#[derive(Debug, Clone)]
pub struct Refused {
    head: ResponseHead,
    body: Vec<u8>,
    complete: bool,
}

impl Refused {
    pub(super) fn new(head: ResponseHead, body: Vec<u8>, complete: bool) -> Self {
        Self {
            head,
            body,
            complete,
        }
    }

    /// Adds the body where another library has read it: as much of it as was wanted, and whether that is all.
    #[must_use]
    pub fn with_body(mut self, body: Vec<u8>, complete: bool) -> Self {
        self.body = body;
        self.complete = complete;
        self
    }

    /// Returns the status code. A redirect (3xx) is not followed here: see [`location`](Self::location).
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// Returns the reason phrase, the usual one where the server sent none.
    pub fn reason(&self) -> &str {
        match self.head.reason() {
            "" => reason_phrase(self.status()),
            reason => reason,
        }
    }

    /// Returns the header lines.
    pub fn headers(&self) -> &Headers {
        self.head.headers()
    }

    /// Returns the body, or as much of it as came within the limit.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Tells whether the body is whole.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Returns where the server points to, as it wrote it: perhaps relative to the URI of the request.
    pub fn location(&self) -> Option<&str> {
        self.headers().get_str("Location")
    }

    /// Returns how the server would let us in (`WWW-Authenticate`), in its order.
    pub fn challenges(&self) -> Vec<Challenge> {
        challenges(self.headers())
    }

    /// Returns when the server wants to be asked again (RFC 9110 §10.2.3).
    pub fn retry_after(&self) -> Option<RetryAfter<'_>> {
        let value = self.headers().get_str("Retry-After")?;
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // More seconds than a number holds is longer than anyone waits.
            Some(RetryAfter::Delay(Duration::from_secs(
                value.parse().unwrap_or(u64::MAX),
            )))
        } else {
            Some(RetryAfter::Date(value))
        }
    }

    /// Returns the protocol versions that the server speaks, if it names them (RFC 6455 §4.4). What is not a version
    /// number is left out.
    pub fn versions(&self) -> Vec<u8> {
        elements(self.headers(), "Sec-WebSocket-Version")
            .filter_map(|version| std::str::from_utf8(version).ok()?.parse().ok())
            .collect()
    }
}

/// The value of `Retry-After`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter<'a> {
    /// After this time.
    Delay(Duration),
    /// At this time, as an HTTP date (RFC 9110 §5.6.7), still to be parsed by whoever has a clock.
    Date(&'a str),
}
