//! Why no connection could be opened, and whether trying again may help.

use std::{
    fmt, io,
    time::{Duration, SystemTime},
};

use fullduplex_proto::{
    CloseCode,
    handshake::{
        ClientError, OriginError, RedirectError, Refused, RequestError, ResponseError, RetryAfter,
        UriError,
    },
};

use crate::proxy::{ProxyError, SocksError};

/// Why no connection could be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is no WebSocket URI.
    Uri(UriError),
    /// The text is no origin.
    Origin(OriginError),
    /// What was asked for cannot be put into a request.
    Request(RequestError),
    /// The host's name could not be resolved, or no address of it answered.
    Connect(io::Error),
    /// TLS could not be established.
    Tls(io::Error),
    /// wss was asked for, and the crate was built without TLS.
    NoTls,
    /// The server's answer is not a valid acceptance; [`refused`](Self::refused) has its status.
    Handshake(ClientError),
    /// There is no WebSocket over HTTP/2 to be had.
    Http2(Http2Error),
    /// The proxy cannot be used, or did not let the client through.
    Proxy(ProxyError),
    /// A redirect must not be followed, or is one too many. The response is the one that redirects.
    Redirect(RedirectError, Box<Refused>),
    /// The transport failed or ended during the handshake.
    Io(io::Error),
    /// All of it together took longer than it may.
    Timeout,
}

/// Whether connecting again may succeed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again: something has to be changed first.
    Never,
    /// It may.
    Later,
    /// It may, and the server has said when (`Retry-After`).
    After(Duration),
}

impl ConnectError {
    /// The response, if the server answered, and not with a 101: its status, headers, and as much of the body as came within
    /// [`DEFAULT_MAX_BODY`](fullduplex_proto::handshake::DEFAULT_MAX_BODY). For [`Proxy`](Self::Proxy), what an HTTP proxy
    /// answered.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Handshake(error) => error.refused(),
            Self::Proxy(error) => error.refused(),
            Self::Redirect(_, refused) => Some(refused),
            _ => None,
        }
    }

    /// The status of that response.
    pub fn status(&self) -> Option<u16> {
        self.refused().map(Refused::status)
    }

    /// The close code that RFC 6455 §7.4.1 has for a connection that never was: 1015 if TLS failed, else 1006.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::Tls(_) => CloseCode::TLS_HANDSHAKE,
            _ => CloseCode::ABNORMAL_CLOSURE,
        }
    }

    /// Whether connecting again, with nothing changed, may succeed.
    ///
    /// [`Never`](Retry::Never): what was asked for is wrong, a certificate is not accepted, TLS cannot be agreed on, the server
    /// does not speak the protocol, redirects to where one may not go, or refuses with anything but the following.
    /// [`Later`](Retry::Later) or [`After`](Retry::After): name, network and time; 408, 425, 429 and 5xx. A date in
    /// `Retry-After` is held against this machine's clock. Of a proxy's failures the same ones may pass.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Connect(_) | Self::Io(_) | Self::Timeout | Self::Handshake(ClientError::Eof) => {
                Retry::Later
            }
            Self::Tls(error) => retry_tls(error),
            Self::Handshake(ClientError::Refused(refused)) => retry_refused(refused),
            Self::Proxy(error) => retry_proxy(error),
            Self::Uri(_)
            | Self::Origin(_)
            | Self::Request(_)
            | Self::NoTls
            | Self::Handshake(_)
            | Self::Redirect(..)
            | Self::Http2(_) => Retry::Never,
        }
    }
}

#[cfg(feature = "tls")]
fn retry_tls(error: &io::Error) -> Retry {
    if crate::tls::is_lasting(error) {
        Retry::Never
    } else {
        Retry::Later
    }
}

#[cfg(not(feature = "tls"))]
fn retry_tls(_: &io::Error) -> Retry {
    Retry::Never
}

fn retry_proxy(error: &ProxyError) -> Retry {
    match error {
        ProxyError::Connect(_)
        | ProxyError::Io(_)
        | ProxyError::Resolve(_)
        | ProxyError::Http(ResponseError::Eof)
        | ProxyError::Socks(
            SocksError::Eof
            | SocksError::General
            | SocksError::NetworkUnreachable
            | SocksError::HostUnreachable
            | SocksError::ConnectionRefused
            | SocksError::TtlExpired,
        ) => Retry::Later,
        ProxyError::Http(ResponseError::Refused(refused)) => retry_refused(refused),
        ProxyError::Tls(error) => retry_tls(error),
        _ => Retry::Never,
    }
}

fn retry_refused(refused: &Refused) -> Retry {
    if !matches!(refused.status(), 408 | 425 | 429 | 500..=599) {
        return Retry::Never;
    }
    let after = refused.retry_after().and_then(|after| match after {
        RetryAfter::Delay(delay) => Some(delay),
        RetryAfter::Date(date) => {
            let date = httpdate::parse_http_date(date).ok()?;
            Some(date.duration_since(SystemTime::now()).unwrap_or_default())
        }
    });
    after.map_or(Retry::Later, Retry::After)
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(error) => error.fmt(f),
            Self::Origin(error) => error.fmt(f),
            Self::Request(error) => error.fmt(f),
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Tls(error) => write!(f, "TLS failed: {error}"),
            Self::NoTls => f.write_str("built without TLS"),
            Self::Handshake(error) => error.fmt(f),
            Self::Http2(error) => error.fmt(f),
            Self::Proxy(error) => error.fmt(f),
            Self::Redirect(error, _) => error.fmt(f),
            Self::Io(error) => write!(f, "handshake not completed: {error}"),
            Self::Timeout => f.write_str("connecting took too long"),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Uri(error) => Some(error),
            Self::Origin(error) => Some(error),
            Self::Request(error) => Some(error),
            Self::Connect(error) | Self::Tls(error) | Self::Io(error) => Some(error),
            Self::Handshake(error) => Some(error),
            Self::Http2(error) => Some(error),
            Self::Proxy(error) => Some(error),
            Self::Redirect(error, _) => Some(error),
            Self::NoTls | Self::Timeout => None,
        }
    }
}

/// Why there is no WebSocket over HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Http2Error {
    /// The server chose another protocol than HTTP/2 in TLS.
    NotNegotiated,
    /// The server's SETTINGS do not enable extended CONNECT (RFC 8441 §3).
    NotEnabled,
    /// The client's scheme, host or port are not those of the session.
    OtherServer,
}

impl fmt::Display for Http2Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotNegotiated => "the server does not speak HTTP/2",
            Self::NotEnabled => {
                "the server does not take WebSockets over HTTP/2: its SETTINGS lack ENABLE_CONNECT_PROTOCOL"
            }
            Self::OtherServer => "the address is not of the server that this session is connected to",
        })
    }
}

impl std::error::Error for Http2Error {}
