//! `CONNECT`: asks an HTTP proxy for a tunnel to a server (RFC 9110 §9.3.6).

use std::fmt;

use super::Progress;
use super::credentials::Credentials;
use super::head::{HeadLimits, ResponseHead};
use super::headers::{HeaderError, Headers, is_reserved};
use super::response::{DEFAULT_MAX_BODY, ResponseError, ResponseReader};
use super::uri::Uri;

/// What is said to an HTTP proxy. It can be sent any number of times, for any server.
///
/// # Examples
///
/// ```
/// use fullduplex_proto::handshake::{Credentials, Progress, TunnelRequest};
///
/// let request = TunnelRequest::new().credentials(Credentials::basic("aladdin", "opensesame")?);
/// let mut tunnel = request.start(&"ws://example.com/chat".parse()?);
/// assert!(tunnel.request().starts_with(b"CONNECT example.com:80 HTTP/1.1\r\n"));
/// let answer = tunnel.receive(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
/// assert!(matches!(answer, Progress::Done { .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct TunnelRequest {
    credentials: Option<Credentials>,
    extra: Headers,
}

impl TunnelRequest {
    /// Makes a request without credentials.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends these as `Proxy-Authorization`, unless [`header`](Self::header) gives one of its own.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Adds a header line.
    ///
    /// # Errors
    ///
    /// Returns [`HeaderError`] if the line cannot be sent or is one that the request writes itself.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, HeaderError> {
        if is_reserved(name) || name.eq_ignore_ascii_case("Host") {
            return Err(HeaderError::Reserved(name.to_owned()));
        }
        self.extra.append(name, value)?;
        Ok(self)
    }

    /// Starts an attempt to reach the server of this URI, of which the proxy learns host and port only.
    pub fn start(&self, uri: &Uri) -> TunnelHandshake {
        TunnelHandshake {
            request: self.to_bytes(uri),
            reader: ResponseReader::new(
                |status| (200..=299).contains(&status),
                HeadLimits::default(),
                DEFAULT_MAX_BODY,
            ),
        }
    }

    fn to_bytes(&self, uri: &Uri) -> Vec<u8> {
        let target = target(uri);
        let mut headers = Headers::new();
        headers.append_checked("Host", target.clone());
        if let Some(credentials) = &self.credentials
            && !self.extra.contains("Proxy-Authorization")
        {
            headers.append_checked("Proxy-Authorization", credentials.clone().header_value());
        }
        headers.extend(&self.extra);
        let mut out = format!("CONNECT {target} HTTP/1.1\r\n").into_bytes();
        headers.write_to(&mut out);
        out.extend_from_slice(b"\r\n");
        out
    }
}

/// Leaves the values of the caller's header lines out: only the caller knows which of them are secret.
impl fmt::Debug for TunnelRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.extra.iter().map(|(name, _)| name).collect();
        f.debug_struct("TunnelRequest")
            .field("credentials", &self.credentials)
            .field("headers", &names)
            .finish()
    }
}

/// RFC 9112 §3.2.3: host and port, the scheme's default port too.
fn target(uri: &Uri) -> String {
    let (host, port) = (uri.host(), uri.port());
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// One attempt to open a tunnel.
pub struct TunnelHandshake {
    request: Vec<u8>,
    reader: ResponseReader,
}

impl TunnelHandshake {
    /// Returns the bytes to send first. They may hold credentials.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Takes bytes that arrived from the proxy.
    ///
    /// Call it until it returns [`Progress::Done`] or an error, then no more. What comes behind the head of the response is
    /// the server's: a body has none (RFC 9110 §9.3.6). When the proxy ends the connection or the deadline passes, call
    /// [`eof`](Self::eof).
    ///
    /// # Errors
    ///
    /// Returns [`ResponseError`] if the proxy answers anything but 2xx, or no HTTP.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Progress<ResponseHead>, ResponseError> {
        self.reader.receive(bytes)
    }

    /// Says that no more bytes come, because the proxy ended the connection or because they took too long.
    ///
    /// A response that refuses is reported with as much of its body as came.
    pub fn eof(&mut self) -> ResponseError {
        self.reader.eof()
    }
}

/// Leaves the request out, which may hold credentials.
impl fmt::Debug for TunnelHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelHandshake")
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}
