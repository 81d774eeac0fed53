//! The opening handshake over HTTP/2: an extended CONNECT in place of an upgrade (RFC 8441).
//!
//! Only what differs is here. Version, subprotocols, extensions and origin are the same header lines, and the same
//! code reads and writes them.

use super::client::{ClientError, ClientRequest, Response, Terms, agree};
use super::head::{RequestHead, ResponseHead};
use super::headers::Headers;
use super::refused::Refused;
use super::rejection::Refusal;
use super::uri::Uri;

/// The value of `:protocol` (RFC 8441 §5).
pub const PROTOCOL: &str = "websocket";

/// Checks what stands in for method, `Upgrade` and `Connection` of RFC 6455 §4.2.1.
pub(super) fn check(head: &RequestHead) -> Result<(), Refusal> {
    // RFC 9113 §8.2.2: a message with any of these is malformed.
    if CONNECTION_HEADERS
        .iter()
        .any(|name| head.headers().contains(name))
    {
        return Err(Refusal::ConnectionHeaders);
    }
    if head.method() != "CONNECT" {
        return Err(Refusal::NotExtendedConnect);
    }
    match head.protocol() {
        // RFC 9110 §7.8: names of protocols compare without regard to case.
        Some(protocol) if protocol.eq_ignore_ascii_case(PROTOCOL) => Ok(()),
        _ => Err(Refusal::Protocol),
    }
}

/// A [`ClientRequest`] in the form of HTTP/2: made by [`ClientRequest::extended_connect`], sent and answered by a library
/// for HTTP/2.
///
/// # Examples
///
/// ```
/// use fullduplex_proto::handshake::{ClientRequest, Headers, ResponseHead, Version};
///
/// let connect = ClientRequest::new("wss://example.com/chat".parse()?).subprotocol("chat")?.extended_connect();
/// assert_eq!((connect.scheme(), &*connect.authority(), connect.path()), ("https", "example.com", "/chat"));
///
/// let mut headers = Headers::new();
/// headers.append("sec-websocket-protocol", "chat")?;
/// let response = connect.judge(ResponseHead::new(200, Version::Http2, headers))?;
/// assert_eq!(response.subprotocol(), Some("chat"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ExtendedConnect {
    uri: Uri,
    headers: Headers,
    terms: Terms,
    max_body: usize,
}

impl ClientRequest {
    /// Puts the request into the form of HTTP/2: an extended CONNECT (RFC 8441 §5). It has no key.
    pub fn extended_connect(&self) -> ExtendedConnect {
        ExtendedConnect {
            uri: self.uri().clone(),
            headers: self.lines(),
            terms: self.terms().clone(),
            max_body: self.body_limit(),
        }
    }
}

impl ExtendedConnect {
    /// Returns `:scheme`, which is `http` for `ws` and `https` for `wss`.
    pub fn scheme(&self) -> &'static str {
        if self.uri.is_secure() {
            "https"
        } else {
            "http"
        }
    }

    /// Returns `:authority`.
    pub fn authority(&self) -> String {
        self.uri.authority()
    }

    /// Returns `:path`: path and query.
    pub fn path(&self) -> &str {
        self.uri.resource()
    }

    /// Returns the header lines. HTTP/2 wants their names in lower case.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Returns how many bytes of the body of a refusing response are to be read.
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// Judges the head of the final response.
    ///
    /// # Errors
    ///
    /// Returns [`ClientError::Refused`], without a body, for a status other than 2xx, and else what the server answered that
    /// was not offered. Either way the stream is to be reset.
    pub fn judge(&self, head: ResponseHead) -> Result<Response, ClientError> {
        if (200..300).contains(&head.status()) {
            agree(head, &self.terms)
        } else {
            Err(ClientError::Refused(Box::new(Refused::new(
                head,
                Vec::new(),
                false,
            ))))
        }
    }
}

/// What HTTP/2 has no use for. `TE` may stand there, with `trailers`.
const CONNECTION_HEADERS: [&str; 5] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "Transfer-Encoding",
    "Upgrade",
];
