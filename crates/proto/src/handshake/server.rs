//! The server's side: reads a request, judges it, answers it (RFC 6455 §4.2).

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::authority::Authority;
use super::extended;
use super::grammar::{Offer, distinct_tokens, has_element, offers};
use super::head::{HeadLimits, HeadReader, RequestHead, Version};
use super::headers::{HeaderError, Headers, is_reserved};
use super::origin::{Hosts, Origin, Origins};
use super::rejection::{Refusal, Rejection, reason_phrase};
use super::uri::is_secure_scheme;
use super::{AcceptValue, Progress, WEBSOCKET_VERSION};
use crate::deflate::{self, Deflate, DeflateParams};

/// Room for a response without subprotocol, extension and headers of the application; more is made as needed.
const RESPONSE_SIZE: usize = 160;

/// What a server accepts.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Which pages may connect. Default: those that came from this server.
    pub origins: Origins,
    /// Under which names this server may be asked. Default: any.
    pub hosts: Hosts,
    /// Whether TLS ends in this process. If so, a same origin is an `https` one; otherwise a proxy may have ended it
    /// and the scheme is not compared. Default: false.
    pub tls: bool,
    /// The subprotocols that are spoken, best first. Default: none.
    pub subprotocols: Vec<String>,
    /// Whose order decides among common subprotocols. Default: the client's.
    pub preference: Preference,
    /// What happens where there is no common subprotocol. Default: accepted without one.
    pub no_common_subprotocol: NoCommonSubprotocol,
    /// How messages are compressed with clients that offer permessage-deflate. Default: not at all.
    pub deflate: Option<Deflate>,
    /// How large a request may be; used by [`ServerHandshake`] only.
    pub limits: HeadLimits,
    /// How a refused origin is allowed, as the 403 tells it: an order to which the origin is added, such as
    /// `pass --allow-origin`. Default: `add to the allowed origins`.
    pub origin_remedy: Cow<'static, str>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            origins: Origins::default(),
            hosts: Hosts::default(),
            tls: false,
            subprotocols: Vec::new(),
            preference: Preference::default(),
            no_common_subprotocol: NoCommonSubprotocol::default(),
            deflate: None,
            limits: HeadLimits::default(),
            origin_remedy: Cow::Borrowed("add to the allowed origins"),
        }
    }
}

/// Whose order decides among subprotocols that both sides speak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Preference {
    /// The order in which the client offers them, which RFC 6455 §4.1 item 10 calls its preference.
    #[default]
    Client,
    /// The order of [`ServerOptions::subprotocols`].
    Server,
}

/// What a server does with a client that speaks none of its subprotocols.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NoCommonSubprotocol {
    /// Goes on without one (RFC 6455 §4.2.2 item 5.5). Browsers that offered any then fail the connection themselves.
    #[default]
    Accept,
    /// Refuses a client that offered only others, and goes on with one that offered none.
    RefuseIfOffered,
    /// Refuses.
    Refuse,
}

/// The opening handshake as a server sees it, from the first byte of a connection.
#[derive(Debug)]
pub struct ServerHandshake {
    options: Arc<ServerOptions>,
    reader: HeadReader,
}

impl ServerHandshake {
    /// Starts waiting for a request. It takes memory only as bytes arrive.
    pub fn new(options: impl Into<Arc<ServerOptions>>) -> Self {
        let options = options.into();
        Self {
            reader: HeadReader::new(options.limits),
            options,
        }
    }

    /// Takes bytes that arrived.
    ///
    /// Call it until it returns [`Progress::Done`] or an error, then no more.
    ///
    /// # Errors
    ///
    /// Returns the [`Rejection`] to write before the connection is closed. The bytes that follow the request are then
    /// of no interest.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Progress<Request>, Rejection> {
        let Some((raw, used)) = self.reader.receive(bytes).map_err(Refusal::Head)? else {
            return Ok(Progress::NeedMore);
        };
        let head = raw.parse_request().map_err(Refusal::Head)?;
        judge(head, &self.options).map(|value| Progress::Done { value, used })
    }

    /// Returns the answer to a request that did not arrive whole before the deadline.
    ///
    /// The deadline counts from the start of the connection, not from the last byte: otherwise one byte a minute holds
    /// it forever.
    pub fn timed_out(&self) -> Rejection {
        Refusal::TimedOut.into()
    }
}

/// Checks everything that RFC 6455 §4.2.1, or over HTTP/2 RFC 8441, demands of a request, and the server's own rules.
///
/// # Errors
///
/// Returns the [`Rejection`] to answer with.
pub fn judge(head: RequestHead, options: &ServerOptions) -> Result<Request, Rejection> {
    let is_head = head.method() == "HEAD";
    let over_http2 = head.version() == Version::Http2;
    Request::judge(head, options).map_err(|refusal| {
        let mut rejection = Rejection::from(refusal);
        if over_http2 {
            rejection = rejection.over_http2();
        }
        // RFC 9110 §9.3.2: an answer to HEAD has no body.
        if is_head {
            rejection.without_body()
        } else {
            rejection
        }
    })
}

/// A request for a WebSocket that passed every check. Cheap to clone: it is shared.
#[derive(Debug, Clone)]
pub struct Request(Arc<Judged>);

#[derive(Debug)]
struct Judged {
    head: RequestHead,
    /// Where path and query start in the target.
    resource_start: usize,
    host: Authority,
    /// `Sec-WebSocket-Accept`. `None` over HTTP/2, which does without.
    accept: Option<AcceptValue>,
    origin: Option<Origin>,
    offered: Vec<String>,
    extensions: Vec<Offer>,
    subprotocol: Option<String>,
    deflate: Option<(DeflateParams, Offer)>,
}

impl Request {
    fn judge(head: RequestHead, options: &ServerOptions) -> Result<Self, Refusal> {
        let headers = head.headers();
        // RFC 6455 §4.2.1 item 1: HTTP/1.1 or higher, GET.
        match head.version() {
            Version::Http10 => return Err(Refusal::HttpVersion),
            Version::Http11 if head.method() != "GET" => return Err(Refusal::Method),
            Version::Http11 => {}
            Version::Http2 => extended::check(&head)?,
        }
        let (target_host, resource_start) = split_target(head.target()).ok_or(Refusal::Target)?;
        let host = one_host(target_host, &head).ok_or(Refusal::Host)?;
        if !options.hosts.allow(&host) {
            return Err(Refusal::Misdirected { host });
        }
        if has_body(headers) {
            return Err(Refusal::Body);
        }
        // RFC 6455 §4.2.1 items 3 and 4.
        let is_upgrade = head.version() != Version::Http2;
        if is_upgrade
            && !(has_element(headers, "Upgrade", "websocket")
                && has_element(headers, "Connection", "Upgrade"))
        {
            return Err(Refusal::NotAnUpgrade);
        }
        check_version(headers)?;
        // RFC 8441 §5: over HTTP/2 the key has no use and is not looked at.
        let accept = if is_upgrade {
            Some(AcceptValue::of(read_key(headers).ok_or(Refusal::Key)?))
        } else {
            None
        };
        let origin = read_origin(headers)?;
        if let Some(origin) = &origin
            && !options.origins.allow(origin, &head, &host, options.tls)
        {
            let (origin, remedy) = (origin.clone(), options.origin_remedy.clone());
            return Err(Refusal::OriginNotAllowed {
                origin,
                host,
                remedy,
            });
        }
        let offered = distinct_tokens(headers, "Sec-WebSocket-Protocol")
            .map_err(|_| Refusal::SubprotocolsMalformed)?;
        let subprotocol = choose(&offered, options)?;
        // RFC 6455 §9.1: extensions that are not known are ignored, so only the grammar counts.
        let extensions = offers(headers).map_err(|_| Refusal::ExtensionsMalformed)?;
        let deflate = options
            .deflate
            .and_then(|deflate| deflate::answer(&extensions, &deflate));
        Ok(Self(Arc::new(Judged {
            head,
            resource_start,
            host,
            accept,
            origin,
            offered,
            extensions,
            subprotocol,
            deflate,
        })))
    }

    /// Returns the request as it came.
    pub fn head(&self) -> &RequestHead {
        &self.0.head
    }

    /// Returns path and query, percent-encoded as they came.
    pub fn resource(&self) -> &str {
        // An absolute target may have no path.
        match self.0.head.target().get(self.0.resource_start..) {
            None | Some("") => "/",
            Some(resource) => resource,
        }
    }

    /// Returns the path, percent-encoded as it came; it starts with a slash.
    pub fn path(&self) -> &str {
        match self.resource().split('?').next() {
            None | Some("") => "/",
            Some(path) => path,
        }
    }

    /// Returns what follows the first question mark, percent-encoded as it came.
    pub fn query(&self) -> Option<&str> {
        self.resource().split_once('?').map(|(_, query)| query)
    }

    /// Returns the value on the first header line of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().get(name)
    }

    /// Returns the header lines.
    pub fn headers(&self) -> &Headers {
        self.0.head.headers()
    }

    /// Returns the host under which the server was asked.
    pub fn host(&self) -> &Authority {
        &self.0.host
    }

    /// Returns the origin of the page; `None` if the client is no browser.
    pub fn origin(&self) -> Option<&Origin> {
        self.0.origin.as_ref()
    }

    /// Returns the subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> &[String] {
        &self.0.offered
    }

    /// Returns the subprotocol chosen by [`ServerOptions`].
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.subprotocol.as_deref()
    }

    /// Returns the extensions that the client offers, in its order of preference.
    pub fn extensions(&self) -> &[Offer] {
        &self.0.extensions
    }

    /// Accepts the request, with the subprotocol and the compression that [`ServerOptions`] chose.
    pub fn accept(&self) -> Acceptance {
        Acceptance {
            accept: self.0.accept,
            offered: self.0.offered.clone(),
            subprotocol: self.0.subprotocol.clone(),
            deflate: self.0.deflate.clone(),
            extra: Headers::new(),
        }
    }
}

/// The response that accepts a request: a 101, or a 200 over HTTP/2.
#[derive(Debug, Clone)]
#[must_use]
pub struct Acceptance {
    /// `None` over HTTP/2.
    accept: Option<AcceptValue>,
    offered: Vec<String>,
    subprotocol: Option<String>,
    deflate: Option<(DeflateParams, Offer)>,
    extra: Headers,
}

impl Acceptance {
    /// Chooses a subprotocol in place of the one that the options chose.
    ///
    /// # Errors
    ///
    /// Returns [`AcceptanceError::NotOffered`] for one that the client did not offer: it would have to fail the
    /// connection (RFC 6455 §4.1).
    pub fn subprotocol(mut self, name: &str) -> Result<Self, AcceptanceError> {
        if !self.offered.iter().any(|offered| offered == name) {
            return Err(AcceptanceError::NotOffered(name.to_owned()));
        }
        self.subprotocol = Some(name.to_owned());
        Ok(self)
    }

    /// Answers without a subprotocol, whatever the options chose.
    pub fn without_subprotocol(mut self) -> Self {
        self.subprotocol = None;
        self
    }

    /// Answers without permessage-deflate, whatever the options chose.
    pub fn without_deflate(mut self) -> Self {
        self.deflate = None;
        self
    }

    /// Adds a header line, such as `Set-Cookie`.
    ///
    /// # Errors
    ///
    /// Returns [`AcceptanceError::Header`] if the line cannot be sent or is one that the response writes itself.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, AcceptanceError> {
        if is_reserved(name) {
            return Err(AcceptanceError::Header(HeaderError::Reserved(
                name.to_owned(),
            )));
        }
        self.extra
            .append(name, value)
            .map_err(AcceptanceError::Header)?;
        Ok(self)
    }

    /// Says whether this was made from that request, as far as their keys and offers show. Another client would have to fail the
    /// connection (RFC 6455 §4.1).
    pub fn answers(&self, request: &Request) -> bool {
        self.accept == request.0.accept && self.offered == request.0.offered
    }

    /// Returns the subprotocol that is to be spoken.
    pub fn chosen_subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Returns how messages are to be compressed, if they are, for
    /// [`Connection::with_deflate`](crate::Connection::with_deflate).
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.deflate.as_ref().map(|(params, _)| *params)
    }

    /// Returns the status code: 101, or 200 over HTTP/2.
    pub fn status(&self) -> u16 {
        if self.accept.is_some() { 101 } else { 200 }
    }

    /// Returns all header lines of the response, for a server whose HTTP library writes them.
    pub fn headers(&self) -> Headers {
        let mut headers = Headers::new();
        self.each_line(|name, value| {
            headers.append_checked(name, value);
        });
        headers.extend(&self.extra);
        headers
    }

    /// The lines of the handshake itself.
    fn each_line(&self, mut line: impl FnMut(&'static str, &str)) {
        if let Some(accept) = &self.accept {
            line("Upgrade", "websocket");
            line("Connection", "Upgrade");
            line("Sec-WebSocket-Accept", accept.as_str());
        }
        // RFC 6455 §11.3.4: at most one, and as the client wrote it.
        if let Some(subprotocol) = &self.subprotocol {
            line("Sec-WebSocket-Protocol", subprotocol);
        }
        if let Some((_, answer)) = &self.deflate {
            line("Sec-WebSocket-Extensions", &answer.to_string());
        }
    }

    /// Returns the response as it goes on the wire of HTTP/1.1. Frames follow right after it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let status = self.status();
        let mut out = Vec::with_capacity(RESPONSE_SIZE);
        // Writing to a vector cannot fail.
        write!(out, "HTTP/1.1 {status} {}\r\n", reason_phrase(status)).ok();
        self.each_line(|name, value| push_all(&mut out, [name, ": ", value, "\r\n"]));
        self.extra.write_to(&mut out);
        out.extend_from_slice(b"\r\n");
        out
    }
}

fn push_all<const N: usize>(out: &mut Vec<u8>, texts: [&str; N]) {
    for text in texts {
        out.extend_from_slice(text.as_bytes());
    }
}

/// What cannot be put into an [`Acceptance`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptanceError {
    /// The header line cannot be sent.
    Header(HeaderError),
    /// The client did not offer this subprotocol.
    NotOffered(String),
}

impl fmt::Display for AcceptanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(error) => error.fmt(f),
            Self::NotOffered(name) => {
                write!(f, "the client did not offer the subprotocol {name:?}")
            }
        }
    }
}

impl Error for AcceptanceError {}

/// Takes a target apart into its host, if it is absolute, and the place where path and query start.
///
/// RFC 9112 §3.2: servers accept the absolute form beside the origin form; the others belong to CONNECT and OPTIONS. A
/// fragment is never sent (RFC 9112 §3.2.1).
fn split_target(target: &str) -> Option<(Option<Authority>, usize)> {
    if !target
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return None;
    }
    if target.starts_with('/') {
        return Some((None, 0));
    }
    let (scheme, rest) = target.split_once("://")?;
    is_secure_scheme(scheme)?;
    let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
    let resource_start = target.len() - rest.len() + authority.len();
    Some((Some(authority.parse().ok()?), resource_start))
}

/// The one host that a request is for, if that is beyond doubt.
fn one_host(target: Option<Authority>, head: &RequestHead) -> Option<Authority> {
    let header = match head.headers().get_once("Host").ok()? {
        Some(value) => Some(ascii(value)?.parse().ok()?),
        None => None,
    };
    match (target, header) {
        // RFC 9113 §8.3.1: `:authority` stands in for Host, and a Host that differs makes the request malformed.
        (Some(target), Some(header)) if head.version() == Version::Http2 && target != header => {
            None
        }
        (target, None) if head.version() == Version::Http2 => target,
        // RFC 9112 §3.2, §3.2.2: an absolute target counts more than Host, which still has to be there.
        (_, None) => None,
        (target, Some(header)) => Some(target.unwrap_or(header)),
    }
}

/// RFC 9112 §6: what looks like a body could be read as frames, or as the next request by something in between.
fn has_body(headers: &Headers) -> bool {
    let is_zero = |value: &[u8]| !value.is_empty() && value.iter().all(|&byte| byte == b'0');
    headers.contains("Transfer-Encoding")
        || !headers
            .get_once("Content-Length")
            .is_ok_and(|length| length.is_none_or(is_zero))
}

/// RFC 6455 §4.2.1 item 6, §4.4, §11.3.5: one version, a number from 0 to 255 without leading zeros.
fn check_version(headers: &Headers) -> Result<(), Refusal> {
    let value = headers
        .get_once("Sec-WebSocket-Version")
        .map_err(|_| Refusal::VersionMalformed)?;
    let Some(value) = value else {
        return Err(Refusal::VersionUnsupported);
    };
    let version: u8 = ascii(value)
        .and_then(|text| text.parse().ok())
        .ok_or(Refusal::VersionMalformed)?;
    if matches!(value, [b'+', ..] | [b'0', _, ..]) {
        return Err(Refusal::VersionMalformed);
    }
    if version == WEBSOCKET_VERSION {
        Ok(())
    } else {
        Err(Refusal::VersionUnsupported)
    }
}

/// RFC 6455 §4.2.1 item 5, §11.3.1: one key, which decodes to 16 bytes.
fn read_key(headers: &Headers) -> Option<&[u8]> {
    let value = headers.get_once("Sec-WebSocket-Key").ok()??;
    let mut nonce = [0; KEY_DECODED_BOUND];
    let length = STANDARD.decode_slice(value, &mut nonce).ok()?;
    (length == 16).then_some(value)
}

/// RFC 6454 §7.3: at most one `Origin`, with one origin in it.
fn read_origin(headers: &Headers) -> Result<Option<Origin>, Refusal> {
    match headers.get_once("Origin") {
        Ok(None) => Ok(None),
        Ok(Some(value)) => ascii(value)
            .and_then(|text| text.parse().ok())
            .map(Some)
            .ok_or(Refusal::OriginMalformed),
        Err(_) => Err(Refusal::OriginMalformed),
    }
}

/// RFC 6455 §4.2.2 item 5.5: one of those offered, or none.
fn choose(offered: &[String], options: &ServerOptions) -> Result<Option<String>, Refusal> {
    let spoken = &options.subprotocols;
    let (first, second) = match options.preference {
        Preference::Client => (offered, &**spoken),
        Preference::Server => (&**spoken, offered),
    };
    let chosen = first.iter().find(|name| second.contains(name));
    let refused = match options.no_common_subprotocol {
        NoCommonSubprotocol::Accept => false,
        NoCommonSubprotocol::RefuseIfOffered => !offered.is_empty(),
        NoCommonSubprotocol::Refuse => true,
    };
    if chosen.is_none() && refused {
        return Err(Refusal::NoCommonSubprotocol {
            spoken: spoken.clone(),
        });
    }
    Ok(chosen.cloned())
}

fn ascii(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value)
        .ok()
        .filter(|text| text.is_ascii())
}

/// What 24 characters of base64 may decode to, so that a longer value fails for want of room.
const KEY_DECODED_BOUND: usize = 18;
