//! The answer to a request that is not accepted, and every reason the handshake itself has for one.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use super::authority::Authority;
use super::head::HeadError;
use super::headers::{HeaderError, Headers, is_reserved};
use super::origin::Origin;
use super::server::AcceptanceError;

/// A whole HTTP response that refuses the request, with a sentence for the person who reads it.
///
/// It closes the connection. After writing it, shut down the writing side and read a little more before dropping the
/// socket: closing with unread bytes sends a reset, which can take the answer away from the peer.
#[derive(Debug, Clone)]
#[must_use]
pub struct Rejection {
    status: u16,
    headers: Headers,
    body: Vec<u8>,
    /// The body is announced and not sent.
    head_only: bool,
    /// Boxed, as it is rare and larger than the rest.
    refusal: Option<Box<Refusal>>,
}

impl Rejection {
    /// Creates a rejection with a reason of the application's own.
    ///
    /// A status that cannot refuse and carry a body (below 300, 304, above 599) is a mistake in the program, and 500 is
    /// sent in its place.
    pub fn new(status: u16, sentence: impl Into<String>) -> Self {
        let status = if matches!(status, 300..=303 | 305..=599) {
            status
        } else {
            500
        };
        let mut body: String = sentence.into();
        if !body.ends_with('\n') {
            body.push('\n');
        }
        let mut headers = Headers::new();
        headers.append_checked("Connection", "close");
        headers.append_checked("Content-Type", "text/plain; charset=utf-8");
        Self {
            status,
            headers,
            body: body.into_bytes(),
            head_only: false,
            refusal: None,
        }
    }

    /// The answer to HEAD.
    pub(super) fn without_body(mut self) -> Self {
        self.head_only = true;
        self
    }

    /// Makes it fit for HTTP/2, where connections are no business of a response (RFC 9113 §8.2.2), nor are upgrades: 400
    /// stands in for 426, which would have to name one (RFC 9110 §15.5.22).
    pub fn over_http2(mut self) -> Self {
        self.headers.retain(|name| {
            !["Connection", "Upgrade"]
                .iter()
                .any(|of_connection| name.eq_ignore_ascii_case(of_connection))
        });
        if self.status == 426 {
            self.status = 400;
        }
        self
    }

    /// Adds a header line, such as `WWW-Authenticate` or `Location`.
    ///
    /// # Errors
    ///
    /// Returns [`HeaderError`] if the line cannot be sent or is one that the rejection writes itself.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, HeaderError> {
        if is_reserved(name) || name.eq_ignore_ascii_case("Content-Type") {
            return Err(HeaderError::Reserved(name.to_owned()));
        }
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// Returns the status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the header lines, all but `Content-Length`.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Returns the body: UTF-8 text that ends with a line feed.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns why the handshake refused; `None` where the application did.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.refusal.as_deref()
    }

    /// Returns the response as it goes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!(
            "HTTP/1.1 {} {}\r\n",
            self.status,
            reason_phrase(self.status)
        )
        .into_bytes();
        self.headers.write_to(&mut out);
        out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", self.body.len()).as_bytes());
        if !self.head_only {
            out.extend_from_slice(&self.body);
        }
        out
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        let mut rejection = Self::new(refusal.status(), refusal.to_string());
        let headers = &mut rejection.headers;
        match refusal {
            // RFC 9110 §15.5.6: the answer says which methods would do.
            Refusal::Method => headers.append_checked("Allow", "GET"),
            Refusal::NotExtendedConnect => headers.append_checked("Allow", "CONNECT"),
            // RFC 9110 §15.5.22: the answer says what to upgrade to; RFC 6455 §4.4: and to which version.
            Refusal::NotAnUpgrade | Refusal::VersionUnsupported => {
                *headers = Headers::new();
                headers.append_checked("Connection", "Upgrade, close");
                headers.append_checked("Upgrade", "websocket");
                headers.append_checked("Sec-WebSocket-Version", "13");
                headers.append_checked("Content-Type", "text/plain; charset=utf-8");
            }
            Refusal::VersionMalformed => headers.append_checked("Sec-WebSocket-Version", "13"),
            _ => {}
        }
        rejection.refusal = Some(Box::new(refusal));
        rejection
    }
}

/// A server that cannot say what it wants to has made a mistake: 500.
impl From<HeaderError> for Rejection {
    fn from(error: HeaderError) -> Self {
        Self::new(500, format!("The answer cannot be sent: {error}."))
    }
}

/// A server that cannot say what it wants to has made a mistake: 500.
impl From<AcceptanceError> for Rejection {
    fn from(error: AcceptanceError) -> Self {
        Self::new(500, format!("The answer cannot be sent: {error}."))
    }
}

/// Shows status and sentence in one line.
impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sentence = String::from_utf8_lossy(&self.body);
        write!(
            f,
            "{} {}: {}",
            self.status,
            reason_phrase(self.status),
            sentence.trim_end()
        )
    }
}

impl Error for Rejection {}

/// Why the handshake refuses a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The request is not well-formed, or too large.
    Head(HeadError),
    /// The request did not arrive whole in time.
    TimedOut,
    /// HTTP/1.0 knows no upgrade.
    HttpVersion,
    /// The method is not GET.
    Method,
    /// Over HTTP/2, the method is not CONNECT.
    NotExtendedConnect,
    /// Over HTTP/2, `:protocol` is missing or another one than `websocket`.
    Protocol,
    /// Over HTTP/2, a header of HTTP/1.1's connections.
    ConnectionHeaders,
    /// The target is neither a path nor an absolute URI in visible ASCII.
    Target,
    /// `Host` is missing, repeated or not a host; over HTTP/2, it is not `:authority`.
    Host,
    /// The server may not be asked under this name (see [`Hosts`](super::Hosts)).
    Misdirected {
        /// What the request asked for.
        host: Authority,
    },
    /// The request has a body, or is framed in a way that could hide one.
    Body,
    /// The request does not ask for an upgrade to `websocket`.
    NotAnUpgrade,
    /// `Sec-WebSocket-Version` is missing or another one than 13.
    VersionUnsupported,
    /// `Sec-WebSocket-Version` is not one number from 0 to 255.
    VersionMalformed,
    /// `Sec-WebSocket-Key` is not one value of 16 bytes in base64.
    Key,
    /// `Origin` is repeated or not an origin.
    OriginMalformed,
    /// Pages of this origin may not connect (see [`Origins`](super::Origins)).
    OriginNotAllowed {
        /// Where the page comes from.
        origin: Origin,
        /// What the request asked for.
        host: Authority,
        /// How to allow it: the text to which the origin is added to make a sentence.
        remedy: Cow<'static, str>,
    },
    /// `Sec-WebSocket-Protocol` is not a list of distinct tokens.
    SubprotocolsMalformed,
    /// None of the offered subprotocols is spoken.
    NoCommonSubprotocol {
        /// Those that are spoken.
        spoken: Vec<String>,
    },
    /// `Sec-WebSocket-Extensions` does not follow its grammar.
    ExtensionsMalformed,
}

impl Refusal {
    /// Returns the status code of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Head(error) => match error {
                HeadError::StartLineTooLong => 414,
                HeadError::TooLarge | HeadError::TooManyHeaders => 431,
                HeadError::HttpVersion => 505,
                HeadError::BareCr
                | HeadError::BareLf
                | HeadError::Fold
                | HeadError::HeaderName
                | HeadError::HeaderValue
                | HeadError::Http2
                | HeadError::Nul
                | HeadError::StartLine => 400,
            },
            Self::OriginNotAllowed { .. } => 403,
            Self::Method | Self::NotExtendedConnect => 405,
            Self::TimedOut => 408,
            Self::Misdirected { .. } => 421,
            Self::NotAnUpgrade | Self::VersionUnsupported => 426,
            Self::Protocol => 501,
            Self::HttpVersion => 505,
            Self::ConnectionHeaders
            | Self::Target
            | Self::Host
            | Self::Body
            | Self::VersionMalformed
            | Self::Key
            | Self::OriginMalformed
            | Self::SubprotocolsMalformed
            | Self::NoCommonSubprotocol { .. }
            | Self::ExtensionsMalformed => 400,
        }
    }

    /// Returns the section of the RFC whose rule was broken; `None` for limits, which are ours.
    pub fn rfc_section(&self) -> Option<&'static str> {
        match self {
            Self::Head(error) => error.rfc_section(),
            Self::TimedOut => None,
            Self::HttpVersion | Self::Method | Self::NotAnUpgrade => Some("RFC 6455 §4.2.1"),
            Self::NotExtendedConnect => Some("RFC 8441 §5"),
            Self::Protocol => Some("RFC 8441 §4"),
            Self::ConnectionHeaders => Some("RFC 9113 §8.2.2"),
            Self::Target => Some("RFC 9112 §3.2"),
            Self::Host => Some("RFC 9112 §3.2.2"),
            Self::Misdirected { .. } => Some("RFC 9110 §7.4"),
            Self::Body => Some("RFC 9112 §6"),
            Self::VersionUnsupported => Some("RFC 6455 §4.4"),
            Self::VersionMalformed => Some("RFC 6455 §11.3.5"),
            Self::Key => Some("RFC 6455 §11.3.1"),
            Self::OriginMalformed => Some("RFC 6454 §7.1"),
            Self::OriginNotAllowed { .. } => Some("RFC 6455 §10.2"),
            Self::SubprotocolsMalformed => Some("RFC 6455 §11.3.4"),
            Self::NoCommonSubprotocol { .. } => Some("RFC 6455 §4.2.2"),
            Self::ExtensionsMalformed => Some("RFC 6455 §9.1"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head(error) => return error.fmt(f),
            Self::Misdirected { host } => {
                return write!(f, "this server does not answer under the name {host}");
            }
            Self::OriginNotAllowed { origin, host, remedy } => {
                return write!(
                    f,
                    "pages from the origin {origin} may not connect to {host}; to allow it, {remedy} {origin}"
                );
            }
            Self::NoCommonSubprotocol { spoken } => {
                return write!(f, "none of the offered subprotocols is spoken here, only: {}", spoken.join(", "));
            }
            Self::TimedOut => "the request did not arrive in time",
            Self::HttpVersion => "a WebSocket needs HTTP/1.1",
            Self::Method => "a WebSocket is opened with the method GET",
            Self::NotExtendedConnect => {
                "over HTTP/2 a WebSocket is opened with the method CONNECT and :protocol websocket"
            }
            Self::Protocol => "the only :protocol spoken here is websocket",
            Self::ConnectionHeaders => "HTTP/2 knows no Connection, Upgrade or Transfer-Encoding",
            Self::Target => "the request target is not a path",
            Self::Host => "the request needs one Host header with the name of a host",
            Self::Body => "a request for a WebSocket has no body",
            Self::NotAnUpgrade => {
                "this is a WebSocket endpoint; the request needs Upgrade: websocket and Connection: Upgrade"
            }
            Self::VersionUnsupported => "only version 13 of the WebSocket protocol is spoken here",
            Self::VersionMalformed => "the request needs one Sec-WebSocket-Version header with one number",
            Self::Key => "the request needs one Sec-WebSocket-Key header with 16 bytes in base64",
            Self::OriginMalformed => "the Origin header is not an origin",
            Self::SubprotocolsMalformed => {
                "the Sec-WebSocket-Protocol header is not a list of distinct names"
            }
            Self::ExtensionsMalformed => "the Sec-WebSocket-Extensions header is malformed",
        })
    }
}

impl Error for Refusal {}

/// Returns the reason phrase of RFC 9110 for the codes a handshake meets; empty for others, which is allowed.
pub(super) fn reason_phrase(status: u16) -> &'static str {
    match status {
        101 => "Switching Protocols",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}
