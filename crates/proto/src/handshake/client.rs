//! The client's side: builds a request, judges the response (RFC 6455 §4.1).

use std::error::Error;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::credentials::Credentials;
use super::grammar::{elements, has_element, is_token, offers};
use super::head::{HeadError, HeadLimits, ResponseHead, Version};
use super::headers::{HeaderError, Headers, is_reserved};
use super::origin::Origin;
use super::refused::Refused;
use super::response::{DEFAULT_MAX_BODY, ResponseError, ResponseReader};
use super::uri::Uri;
use super::{Progress, accept_for};
use crate::deflate::{self, Deflate, DeflateError, DeflateParams, EXTENSION};

/// What a client asks for. It can be sent any number of times, each with a new key.
///
/// # Examples
///
/// ```
/// use fullduplex_proto::handshake::ClientRequest;
/// let request = ClientRequest::new("ws://example.com/feed".parse()?)
///     .header("Cookie", "id=7")?
///     .origin("https://example.com".parse()?)
///     .subprotocol("v2.chat")?
///     .subprotocol("v1.chat")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ClientRequest {
    uri: Uri,
    origin: Option<Origin>,
    terms: Terms,
    extra: Headers,
    limits: HeadLimits,
    max_body: usize,
}

/// What the response is held against.
#[derive(Debug, Clone, Default)]
pub(super) struct Terms {
    subprotocols: Vec<String>,
    require_subprotocol: bool,
    deflate: Option<Deflate>,
    require_deflate: bool,
}

impl ClientRequest {
    /// Starts a request for this URI. A user name and password in it become `Authorization: Basic`, unless
    /// [`header`](Self::header) gives an `Authorization` of its own.
    pub fn new(uri: Uri) -> Self {
        Self {
            uri,
            origin: None,
            terms: Terms::default(),
            extra: Headers::new(),
            limits: HeadLimits::default(),
            max_body: DEFAULT_MAX_BODY,
        }
    }

    /// Adds a header line.
    ///
    /// # Errors
    ///
    /// Returns [`RequestError::Header`] if the line cannot be sent or is one that the request writes itself: `Host`,
    /// `Origin` (see [`origin`](Self::origin)), `Upgrade`, `Connection`, those starting with `Sec-WebSocket-`, and those that
    /// announce a body.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, RequestError> {
        if is_reserved(name)
            || ["Host", "Origin"]
                .iter()
                .any(|own| name.eq_ignore_ascii_case(own))
        {
            return Err(RequestError::Header(HeaderError::Reserved(name.to_owned())));
        }
        self.extra
            .append(name, value)
            .map_err(RequestError::Header)?;
        Ok(self)
    }

    /// Sends these credentials, in place of any given before, in the URI or as a header.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.extra
            .retain(|name| !name.eq_ignore_ascii_case(AUTHORIZATION));
        self.extra
            .append_checked(AUTHORIZATION, credentials.header_value());
        self
    }

    /// Sends an `Origin`. By default none is sent, since this is no browser.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Offers a subprotocol, after those already offered.
    ///
    /// # Errors
    ///
    /// Returns [`RequestError::Subprotocol`] if it is not a token or offered already (RFC 6455 §4.1 item 10).
    pub fn subprotocol(mut self, name: impl Into<String>) -> Result<Self, RequestError> {
        let name = name.into();
        if !is_token(name.as_bytes()) || self.terms.subprotocols.contains(&name) {
            return Err(RequestError::Subprotocol(name));
        }
        self.terms.subprotocols.push(name);
        Ok(self)
    }

    /// Makes a response without subprotocol an error where some were offered, as browsers do. RFC 6455 permits it and so
    /// does the default.
    pub fn require_subprotocol(mut self, require: bool) -> Self {
        self.terms.require_subprotocol = require;
        self
    }

    /// Offers permessage-deflate (RFC 7692).
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.terms.deflate = Some(deflate);
        self
    }

    /// Makes a response without permessage-deflate one that [lacks an extension](Response::missing_extension), where it was
    /// offered.
    pub fn require_deflate(mut self, require: bool) -> Self {
        self.terms.require_deflate = require;
        self
    }

    /// Sets how large the head of the response may be.
    pub fn limits(mut self, limits: HeadLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many bytes of the body of a refusing response are read, [`DEFAULT_MAX_BODY`] by default.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Returns where the request goes.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// Starts one attempt with 16 random bytes, which must be new for each (RFC 6455 §4.1 item 7).
    pub fn start(&self, key: [u8; 16]) -> ClientHandshake {
        let key = STANDARD.encode(key);
        ClientHandshake {
            accept: accept_for(key.as_bytes()),
            request: self.to_bytes(key),
            terms: self.terms.clone(),
            reader: ResponseReader::new(|status| status == 101, self.limits, self.max_body),
        }
    }

    /// The same request for another URI, with only those header lines of the caller whose names `keep` wants.
    pub(super) fn sent_to(&self, uri: Uri, keep: impl Fn(&str) -> bool) -> Self {
        let mut request = self.clone();
        request.uri = uri;
        request.extra.retain(keep);
        request
    }

    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(super) fn body_limit(&self) -> usize {
        self.max_body
    }

    /// Writes the request. Names are spelled as in RFC 6455, for servers that compare them as they stand.
    fn to_bytes(&self, key: String) -> Vec<u8> {
        let mut headers = Headers::new();
        headers.append_checked("Host", self.uri.authority());
        headers.append_checked("Upgrade", "websocket");
        headers.append_checked("Connection", "Upgrade");
        headers.append_checked("Sec-WebSocket-Key", key);
        headers.extend(&self.lines());
        let mut out = format!("GET {} HTTP/1.1\r\n", self.uri.resource()).into_bytes();
        headers.write_to(&mut out);
        out.extend_from_slice(b"\r\n");
        out
    }

    /// The header lines that are the same in every version of HTTP.
    pub(super) fn lines(&self) -> Headers {
        let mut headers = Headers::new();
        headers.append_checked("Sec-WebSocket-Version", "13");
        if let Some(origin) = &self.origin {
            headers.append_checked("Origin", origin.to_string());
        }
        if !self.terms.subprotocols.is_empty() {
            headers.append_checked("Sec-WebSocket-Protocol", self.terms.subprotocols.join(", "));
        }
        if let Some(deflate) = &self.terms.deflate {
            let offer = deflate::offer(deflate).to_string();
            headers.append_checked("Sec-WebSocket-Extensions", offer);
        }
        if let Some(userinfo) = self.uri.userinfo()
            && !self.extra.contains(AUTHORIZATION)
        {
            let basic = Credentials::from(userinfo);
            headers.append_checked(AUTHORIZATION, basic.header_value());
        }
        headers.extend(&self.extra);
        headers
    }
}

/// Leaves the values of the caller's header lines out: only the caller knows which of them are secret.
impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.extra.iter().map(|(name, _)| name).collect();
        f.debug_struct("ClientRequest")
            .field("uri", &self.uri)
            .field("origin", &self.origin)
            .field("terms", &self.terms)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

/// What cannot be put into a [`ClientRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The user name, password or token cannot be sent.
    Credentials,
    /// The header line cannot be sent.
    Header(HeaderError),
    /// The subprotocol is not a token, or offered already.
    Subprotocol(String),
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credentials => f.write_str(
                "a user name holds no colon, a token no spaces, and none of them control characters",
            ),
            Self::Header(error) => error.fmt(f),
            Self::Subprotocol(name) => {
                write!(f, "the subprotocol {name:?} is no token or offered twice")
            }
        }
    }
}

impl Error for RequestError {}

const AUTHORIZATION: &str = "Authorization";

/// One attempt of the opening handshake as a client sees it.
pub struct ClientHandshake {
    request: Vec<u8>,
    /// The only right value of `Sec-WebSocket-Accept`.
    accept: String,
    terms: Terms,
    reader: ResponseReader,
}

/// Leaves the request out, which holds what the server lets us in for.
impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake")
            .field("terms", &self.terms)
            .field("reader", &self.reader)
            .finish_non_exhaustive()
    }
}

impl ClientHandshake {
    /// Returns the bytes to send first.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Takes bytes that arrived.
    ///
    /// Call it until it returns [`Progress::Done`] or an error, then no more. When the peer ends the connection or the
    /// deadline passes, call [`eof`](Self::eof).
    ///
    /// # Errors
    ///
    /// Returns [`ClientError`] if the server refuses or does not speak the protocol. Either way the connection is to be
    /// closed, and no WebSocket close frame sent.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Progress<Response>, ClientError> {
        Ok(match self.reader.receive(bytes)? {
            Progress::NeedMore => Progress::NeedMore,
            Progress::Done { value, used } => Progress::Done {
                value: judge(value, &self.accept, &self.terms)?,
                used,
            },
        })
    }

    /// Says that no more bytes come, because the peer ended the connection or because they took too long.
    ///
    /// A response that refuses is reported with as much of its body as came.
    pub fn eof(&mut self) -> ClientError {
        self.reader.eof().into()
    }
}

/// Checks everything that RFC 6455 §4.1 demands of a 101 response.
fn judge(head: ResponseHead, accept: &str, terms: &Terms) -> Result<Response, ClientError> {
    let headers = head.headers();
    if head.version() == Version::Http10 {
        return Err(ClientError::HttpVersion);
    }
    // Item 2: every protocol named has to be this one, for the connection now speaks all that are.
    let is_websocket = |name: &[u8]| name.eq_ignore_ascii_case(b"websocket");
    if !headers.contains("Upgrade") || !elements(headers, "Upgrade").all(is_websocket) {
        return Err(ClientError::Upgrade);
    }
    // Item 3.
    if !has_element(headers, "Connection", "Upgrade") {
        return Err(ClientError::Connection);
    }
    // Item 4. The value stands alone and in one form, so it is compared as text.
    match headers.get_once("Sec-WebSocket-Accept") {
        Ok(Some(value)) if value == accept.as_bytes() => {}
        Ok(None) => return Err(ClientError::AcceptMissing),
        Ok(Some(_)) | Err(_) => return Err(ClientError::AcceptWrong),
    }
    agree(head, terms)
}

/// Checks what a response that accepts has chosen, in any version of HTTP.
pub(super) fn agree(head: ResponseHead, terms: &Terms) -> Result<Response, ClientError> {
    let deflate = check_extensions(head.headers(), terms.deflate.as_ref())?;
    let subprotocol = check_subprotocol(head.headers(), terms)?;
    let missing = terms.deflate.is_some() && terms.require_deflate && deflate.is_none();
    Ok(Response {
        head,
        subprotocol,
        deflate,
        missing_extension: missing.then_some(EXTENSION),
    })
}

/// Item 5, and RFC 6455 §9.1: the server may accept what was offered, each once.
fn check_extensions(
    headers: &Headers,
    offered: Option<&Deflate>,
) -> Result<Option<DeflateParams>, ClientError> {
    let accepted = offers(headers).map_err(|_| ClientError::ExtensionsMalformed)?;
    let mut agreed = None;
    for extension in accepted {
        match offered {
            Some(deflate) if extension.name == EXTENSION && agreed.is_none() => {
                let params = deflate::judge_answer(&extension, deflate);
                agreed = Some(params.map_err(ClientError::Deflate)?);
            }
            _ => return Err(ClientError::ExtensionNotOffered(extension.name)),
        }
    }
    Ok(agreed)
}

/// Item 6, and RFC 6455 §11.3.4: one of those offered, as it was written, or none.
fn check_subprotocol(headers: &Headers, terms: &Terms) -> Result<Option<String>, ClientError> {
    let Ok(value) = headers.get_once("Sec-WebSocket-Protocol") else {
        return Err(ClientError::SubprotocolRepeated);
    };
    let Some(value) = value else {
        let missing = terms.require_subprotocol && !terms.subprotocols.is_empty();
        return if missing {
            Err(ClientError::SubprotocolMissing)
        } else {
            Ok(None)
        };
    };
    match terms
        .subprotocols
        .iter()
        .find(|offered| offered.as_bytes() == value)
    {
        Some(offered) => Ok(Some(offered.clone())),
        None => Err(ClientError::SubprotocolNotOffered(
            String::from_utf8_lossy(value).into_owned(),
        )),
    }
}

/// The response that opened the WebSocket: a 101, or over HTTP/2 a 2xx.
#[derive(Debug, Clone)]
pub struct Response {
    head: ResponseHead,
    subprotocol: Option<String>,
    deflate: Option<DeflateParams>,
    missing_extension: Option<&'static str>,
}

impl Response {
    /// Returns the response as it came.
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// Returns the value on the first header line of this name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().get(name)
    }

    /// Returns the header lines.
    pub fn headers(&self) -> &Headers {
        self.head.headers()
    }

    /// Returns the subprotocol that the server chose from those offered.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Returns how messages are to be compressed, if they are, for
    /// [`Connection::with_deflate`](crate::Connection::with_deflate).
    pub fn deflate(&self) -> Option<DeflateParams> {
        self.deflate
    }

    /// Returns the extension that was required and not accepted. The connection is then to be closed with 1010 and this
    /// name as the reason (RFC 6455 §7.4.1).
    pub fn missing_extension(&self) -> Option<&'static str> {
        self.missing_extension
    }
}

/// Why there is no WebSocket.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ClientError {
    /// The response is not well-formed HTTP/1, or too large.
    Head(HeadError),
    /// The connection ended before the response was complete.
    Eof,
    /// More than [`MAX_INTERIM_RESPONSES`](super::MAX_INTERIM_RESPONSES) interim responses came.
    TooManyInterim,
    /// The response is not a 101, or over HTTP/2 not a 2xx.
    Refused(Box<Refused>),
    /// The 101 is one of HTTP/1.0, which knows no upgrade.
    HttpVersion,
    /// The 101 lacks `Upgrade: websocket`, or names another protocol.
    Upgrade,
    /// The 101 lacks `Connection: Upgrade`.
    Connection,
    /// The 101 lacks `Sec-WebSocket-Accept`.
    AcceptMissing,
    /// The `Sec-WebSocket-Accept` is not the one for our key, or stands twice.
    AcceptWrong,
    /// The 101 names this extension, which was not offered or is accepted twice.
    ExtensionNotOffered(String),
    /// The 101 accepts permessage-deflate with parameters that it may not have.
    Deflate(DeflateError),
    /// The 101 does not accept this extension, which is required.
    ExtensionMissing(&'static str),
    /// `Sec-WebSocket-Extensions` does not follow its grammar.
    ExtensionsMalformed,
    /// The 101 names this subprotocol, which was not offered.
    SubprotocolNotOffered(String),
    /// `Sec-WebSocket-Protocol` stands twice.
    SubprotocolRepeated,
    /// The 101 names no subprotocol, and one is required.
    SubprotocolMissing,
}

impl ClientError {
    /// Returns the response, if there was a whole one that refuses.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) => Some(refused),
            _ => None,
        }
    }

    /// Returns the section of the RFC whose rule the server broke; `None` if it broke none.
    pub fn rfc_section(&self) -> Option<&'static str> {
        match self {
            Self::Head(error) => error.rfc_section(),
            Self::Eof | Self::TooManyInterim | Self::Refused(_) | Self::SubprotocolMissing => None,
            Self::ExtensionMissing(_) => Some("RFC 6455 §7.4.1"),
            Self::Deflate(_) => Some("RFC 7692 §7.1"),
            Self::HttpVersion
            | Self::Upgrade
            | Self::Connection
            | Self::AcceptMissing
            | Self::AcceptWrong
            | Self::ExtensionNotOffered(_)
            | Self::SubprotocolNotOffered(_) => Some("RFC 6455 §4.1"),
            Self::ExtensionsMalformed => Some("RFC 6455 §9.1"),
            Self::SubprotocolRepeated => Some("RFC 6455 §11.3.4"),
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head(error) => return write!(f, "the response is not usable: {error}"),
            Self::Refused(refused) => {
                return write!(
                    f,
                    "the server answered {} {}",
                    refused.status(),
                    refused.reason()
                );
            }
            Self::ExtensionNotOffered(name) => {
                return write!(
                    f,
                    "the server accepted the extension {name:?}, which was not offered so"
                );
            }
            Self::Deflate(error) => return write!(f, "the server accepted {error}"),
            Self::ExtensionMissing(name) => {
                return write!(f, "the server did not accept the extension {name:?}");
            }
            Self::SubprotocolNotOffered(name) => {
                return write!(
                    f,
                    "the server chose the subprotocol {name:?}, which was not offered"
                );
            }
            Self::Eof => "the server ended the connection before its response was complete",
            Self::TooManyInterim => "the server sent too many interim responses",
            Self::HttpVersion => "the server switched protocols in HTTP/1.0, which cannot",
            Self::Upgrade => "the server's 101 response lacks Upgrade: websocket",
            Self::Connection => "the server's 101 response lacks Connection: Upgrade",
            Self::AcceptMissing => "the server's 101 response lacks Sec-WebSocket-Accept",
            Self::AcceptWrong => "the server's Sec-WebSocket-Accept does not belong to our key",
            Self::ExtensionsMalformed => {
                "the server's Sec-WebSocket-Extensions header is malformed"
            }
            Self::SubprotocolRepeated => "the server chose more than one subprotocol",
            Self::SubprotocolMissing => "the server chose none of the offered subprotocols",
        })
    }
}

impl Error for ClientError {}

impl From<ResponseError> for ClientError {
    fn from(error: ResponseError) -> Self {
        match error {
            ResponseError::Head(error) => Self::Head(error),
            ResponseError::Eof => Self::Eof,
            ResponseError::TooManyInterim => Self::TooManyInterim,
            ResponseError::Refused(refused) => Self::Refused(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p24_an_offered_extension_may_be_accepted_once() {
        let check = |value: &str, offered: Option<&Deflate>| {
            let mut headers = Headers::new();
            headers.append("Sec-WebSocket-Extensions", value).unwrap();
            check_extensions(&headers, offered)
        };
        let offered = Some(&Deflate::for_client());
        assert!(matches!(check("permessage-deflate", offered), Ok(Some(_))));
        for (value, name) in [
            ("x", "x"),
            ("permessage-deflate, x", "x"),
            (
                "permessage-deflate, permessage-deflate",
                "permessage-deflate",
            ),
            ("Permessage-Deflate", "Permessage-Deflate"),
            ("x-permessage-deflate-frame", "x-permessage-deflate-frame"),
        ] {
            let error = check(value, offered).unwrap_err();
            assert!(
                matches!(&error, ClientError::ExtensionNotOffered(other) if other == name),
                "{error}"
            );
        }
        let error = check("permessage-deflate", None).unwrap_err();
        assert!(
            matches!(error, ClientError::ExtensionNotOffered(_)),
            "{error}"
        );
    }
}
