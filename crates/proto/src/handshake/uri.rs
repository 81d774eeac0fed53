//! `ws` and `wss` URIs (RFC 6455 §3).

use std::error::Error;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::authority::{Authority, AuthorityError};
use super::origin::is_scheme;

/// A `ws` or `wss` URI, taken apart and in normal form.
///
/// `http` and `https` are read as `ws` and `wss`, as browsers do. Printing it leaves the user name and password out.
///
/// # Examples
///
/// ```
/// use fullduplex_proto::handshake::Uri;
///
/// let uri: Uri = "wss://[::1]:443?room=blue".parse()?;
/// assert_eq!((uri.host(), uri.port(), uri.is_secure()), ("::1", 443, true));
/// assert_eq!((&*uri.authority(), uri.resource()), ("[::1]", "/?room=blue"));
/// # Ok::<(), fullduplex_proto::handshake::UriError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    secure: bool,
    /// Without the scheme's default port.
    authority: Authority,
    /// Starts with a slash; visible ASCII only.
    resource: String,
    userinfo: Option<Userinfo>,
}

impl Uri {
    /// Tells whether the scheme is `wss`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Returns `ws` or `wss`.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "wss" } else { "ws" }
    }

    /// Returns the host to dial and to check the certificate for: a name in ASCII, or an address without brackets.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// Returns the port to dial: the written one, else 80 or 443 (RFC 6455 §3).
    pub fn port(&self) -> u16 {
        self.authority
            .port()
            .unwrap_or_else(|| default_port(self.secure))
    }

    /// Returns the value for `Host`: IPv6 addresses in brackets, the port only where it is not the scheme's default
    /// (RFC 6455 §4.1 item 4).
    pub fn authority(&self) -> String {
        self.authority.to_string()
    }

    /// Returns path and query, what RFC 6455 §3 calls the resource name. Never empty.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// Returns the user name and password that stand before the host.
    pub fn userinfo(&self) -> Option<&Userinfo> {
        self.userinfo.as_ref()
    }

    pub(super) fn set_userinfo(&mut self, userinfo: Option<Userinfo>) {
        self.userinfo = userinfo;
    }

    /// Tells whether scheme, host and port are the same.
    pub fn is_same_origin(&self, other: &Self) -> bool {
        (self.secure, &self.authority) == (other.secure, &other.authority)
    }

    /// Resolves a reference such as a `Location` against this URI (RFC 3986 §5.2). Its fragment is dropped. A reference without
    /// a host of its own keeps user name and password.
    ///
    /// # Errors
    ///
    /// Returns [`UriError`] if the result cannot be connected to.
    ///
    /// # Examples
    ///
    /// ```
    /// use fullduplex_proto::handshake::Uri;
    ///
    /// let uri: Uri = "wss://a.example/rooms/blue?old".parse()?;
    /// assert_eq!(uri.join("../red?new")?.to_string(), "wss://a.example/red?new");
    /// assert_eq!(uri.join("//b.example")?.to_string(), "wss://b.example/");
    /// # Ok::<(), fullduplex_proto::handshake::UriError>(())
    /// ```
    pub fn join(&self, reference: &str) -> Result<Self, UriError> {
        let reference = split_before(reference, &['#']).0;
        let mut joined = if has_scheme(reference) {
            reference.parse()?
        } else if reference.starts_with("//") {
            format!("{}:{reference}", self.scheme()).parse()?
        } else {
            refuse_stray(reference)?;
            Self {
                resource: normal_resource(&merged(&self.resource, reference)),
                ..self.clone()
            }
        };
        joined.resource = without_dots(&joined.resource);
        Ok(joined)
    }
}

/// Splits before the first of these characters.
fn split_before<'t>(text: &'t str, marks: &[char]) -> (&'t str, &'t str) {
    text.split_at(text.find(marks).unwrap_or(text.len()))
}

/// RFC 3986 §3.1. A colon behind anything but a scheme belongs to a path.
fn has_scheme(reference: &str) -> bool {
    let (before, rest) = split_before(reference, &[':', '/', '?']);
    rest.starts_with(':') && is_scheme(before)
}

/// The resource that a reference without a host means (RFC 3986 §5.2.2 and §5.2.3).
fn merged(base: &str, reference: &str) -> String {
    let base_path = split_before(base, &['?']).0;
    let kept = match reference.as_bytes() {
        [] => base,
        [b'/', ..] => "",
        [b'?', ..] => base_path,
        // Up to the last slash; a path starts with one.
        _ => &base_path[..base_path.rfind('/').map_or(0, |slash| slash + 1)],
    };
    format!("{kept}{reference}")
}

/// RFC 3986 §5.2.4: `.` is here, and `..` one up, but never above the root.
fn without_dots(resource: &str) -> String {
    let (path, query) = split_before(resource, &['?']);
    let mut kept = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if segment == ".." {
            kept.pop();
        }
        if !matches!(segment, "." | "..") {
            kept.push(segment);
        } else if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// Browsers read a backslash as a slash, others don't: two readers of one URI would see two hosts.
fn refuse_stray(text: &str) -> Result<(), UriError> {
    let stray = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if text.contains(stray) {
        Err(UriError::Character)
    } else {
        Ok(())
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        refuse_stray(text)?;
        // RFC 6455 §3: fragments have no meaning here and must not be used.
        if text.contains('#') {
            return Err(UriError::Fragment);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UriError::Scheme)?;
        let secure = is_secure_scheme(scheme).ok_or(UriError::Scheme)?;
        let (before, resource) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (userinfo, authority) = match before.split_once('@') {
            Some((userinfo, authority)) => (Some(userinfo.parse()?), authority),
            None => (None, before),
        };
        let authority: Authority = authority.parse().map_err(UriError::Authority)?;
        Ok(Self {
            secure,
            authority: authority.without_default_port(Some(default_port(secure))),
            resource: normal_resource(resource),
            userinfo,
        })
    }
}

/// Writes the URI in normal form, without user name and password.
impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority, self.resource)
    }
}

/// The user name and password of a URI, percent-decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Userinfo {
    username: Vec<u8>,
    password: Vec<u8>,
}

impl Userinfo {
    /// Returns the user name, which holds no colon and no control character.
    pub fn username(&self) -> &[u8] {
        &self.username
    }

    /// Returns the password; empty if there is none.
    pub fn password(&self) -> &[u8] {
        &self.password
    }
}

impl FromStr for Userinfo {
    type Err = UriError;

    /// Reads `username:password` or `username`, percent-encoded, as it stands before the `@` of a URI.
    fn from_str(text: &str) -> Result<Self, UriError> {
        let (username, password) = text.split_once(':').unwrap_or((text, ""));
        let username = percent_decode(username).ok_or(UriError::Userinfo)?;
        let password = percent_decode(password).ok_or(UriError::Userinfo)?;
        // RFC 7617 §2: neither can be sent by Basic otherwise.
        let unsendable =
            username.contains(&b':') || username.iter().chain(&password).any(u8::is_ascii_control);
        if unsendable {
            Err(UriError::Userinfo)
        } else {
            Ok(Self { username, password })
        }
    }
}

/// Shows that there are credentials, not which.
impl fmt::Debug for Userinfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Userinfo(hidden)")
    }
}

/// Tells whether a scheme is a secure one; `None` if it is none of ours.
pub(super) fn is_secure_scheme(scheme: &str) -> Option<bool> {
    let is = |names: [&str; 2]| names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
    if is(["ws", "http"]) {
        Some(false)
    } else if is(["wss", "https"]) {
        Some(true)
    } else {
        None
    }
}

pub(super) fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// Puts a slash in front where there is no path, and percent-encodes what a request line cannot carry.
///
/// Percent signs stay: what is encoded already is not encoded twice.
fn normal_resource(text: &str) -> String {
    let mut resource = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        resource.push('/');
    }
    for byte in text.bytes() {
        if byte.is_ascii() && !b"\"<>^`{|}".contains(&byte) {
            resource.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(resource, "%{byte:02X}");
        }
    }
    resource
}

fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            16 * hex(bytes.next()?)? + hex(bytes.next()?)?
        } else {
            byte
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Why a text is not a URI that can be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UriError {
    /// Host or port are missing or wrong.
    Authority(AuthorityError),
    /// There is a space, control character or backslash.
    Character,
    /// There is a fragment (RFC 6455 §3).
    Fragment,
    /// The scheme is not `ws`, `wss`, `http` or `https`, or there is none.
    Scheme,
    /// The user name or password cannot be sent by Basic authentication (RFC 7617 §2), or a percent sign in them is not
    /// followed by two hexadecimal digits.
    Userinfo,
}

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority(error) => return error.fmt(f),
            Self::Character => "a URI holds no spaces, control characters or backslashes",
            Self::Fragment => "a WebSocket URI has no fragment; write # as %23",
            Self::Scheme => "a WebSocket URI starts with ws:// or wss://",
            Self::Userinfo => "the user name or password is not rightly encoded",
        })
    }
}

impl Error for UriError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse()
            .unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn p29_schemes_and_default_ports() {
        for (text, secure, port, shown) in [
            ("ws://a/x", false, 80, "ws://a/x"),
            ("WSS://a/x", true, 443, "wss://a/x"),
            ("http://a/x", false, 80, "ws://a/x"),
            ("https://a/x", true, 443, "wss://a/x"),
            ("ws://a:80", false, 80, "ws://a/"),
            ("wss://a:443", true, 443, "wss://a/"),
            ("ws://a:443", false, 443, "ws://a:443/"),
            ("wss://a:80", true, 80, "wss://a:80/"),
            ("ws://a:", false, 80, "ws://a/"),
        ] {
            let uri = uri(text);
            assert_eq!(
                (uri.is_secure(), uri.port(), &*uri.to_string()),
                (secure, port, shown),
                "{text}"
            );
        }
    }

    #[test]
    fn p29_an_ipv6_literal_has_brackets_in_host_and_none_for_dialing() {
        let uri = uri("ws://[::1]:9001/x");
        assert_eq!((uri.host(), &*uri.authority()), ("::1", "[::1]:9001"));
    }

    #[test]
    fn p29_an_empty_path_becomes_a_slash() {
        assert_eq!(uri("ws://a").resource(), "/");
        assert_eq!(uri("ws://a?b=/c").resource(), "/?b=/c");
        assert_eq!(uri("ws://a/b?c=d@e:f").resource(), "/b?c=d@e:f");
        assert_eq!(uri("ws://a//b").resource(), "//b");
    }

    #[test]
    fn p29_a_fragment_is_refused() {
        for text in ["ws://a/#b", "ws://a#", "ws://a/?b#c"] {
            assert_eq!(text.parse::<Uri>(), Err(UriError::Fragment), "{text}");
        }
        assert_eq!(uri("ws://a/%23b").resource(), "/%23b");
    }

    #[test]
    fn p29_userinfo_is_split_off_decoded_and_not_printed() {
        let uri = uri("ws://us%40er:p%3Ass@a:8080/x");
        let userinfo = uri.userinfo().unwrap();
        assert_eq!(
            (userinfo.username(), userinfo.password()),
            (&b"us@er"[..], &b"p:ss"[..])
        );
        assert_eq!((&*uri.authority(), uri.resource()), ("a:8080", "/x"));
        for shown in [uri.to_string(), format!("{uri:?}")] {
            assert!(
                !shown.contains("ss@") && !shown.contains("us@er") && !shown.contains("p:ss"),
                "{shown}"
            );
        }
        for text in [
            "ws://a%3Ab:c@h/",
            "ws://a%0Ab@h/",
            "ws://a%4@h/",
            "ws://a%zz@h/",
        ] {
            assert_eq!(text.parse::<Uri>(), Err(UriError::Userinfo), "{text}");
        }
    }

    #[test]
    fn p29_host_names_are_sent_in_ascii() {
        assert_eq!(uri("ws://Bücher.example/").host(), "xn--bcher-kva.example");
        assert_eq!(
            uri("ws://日本語.example:8080/").authority(),
            "xn--wgv71a119e.example:8080"
        );
    }

    #[test]
    fn characters_outside_ascii_are_percent_encoded_in_the_resource() {
        assert_eq!(uri("ws://a/é?q=ü").resource(), "/%C3%A9?q=%C3%BC");
        assert_eq!(uri("ws://a/%C3%A9").resource(), "/%C3%A9");
        assert_eq!(uri("ws://a/{\"x\"}[1]").resource(), "/%7B%22x%22%7D[1]");
    }

    /// The examples of RFC 3986 §5.4 that can be connected to.
    #[test]
    fn p27_references_are_resolved_as_rfc_3986_says() {
        let base = uri("ws://a/b/c/d;p?q");
        for (reference, joined) in [
            ("ws://g", "ws://g/"),
            ("https://g/h?i", "wss://g/h?i"),
            ("WS://a/x", "ws://a/x"),
            ("g", "ws://a/b/c/g"),
            ("./g", "ws://a/b/c/g"),
            ("g/", "ws://a/b/c/g/"),
            ("/g", "ws://a/g"),
            ("//g", "ws://g/"),
            ("//g?y", "ws://g/?y"),
            ("?y", "ws://a/b/c/d;p?y"),
            ("g?y", "ws://a/b/c/g?y"),
            ("#s", "ws://a/b/c/d;p?q"),
            ("g#s", "ws://a/b/c/g"),
            ("g?y#s", "ws://a/b/c/g?y"),
            (";x", "ws://a/b/c/;x"),
            ("g;x?y#s", "ws://a/b/c/g;x?y"),
            ("", "ws://a/b/c/d;p?q"),
            (".", "ws://a/b/c/"),
            ("./", "ws://a/b/c/"),
            ("..", "ws://a/b/"),
            ("../", "ws://a/b/"),
            ("../g", "ws://a/b/g"),
            ("../..", "ws://a/"),
            ("../../", "ws://a/"),
            ("../../g", "ws://a/g"),
            ("../../../g", "ws://a/g"),
            ("../../../../g", "ws://a/g"),
            ("/./g", "ws://a/g"),
            ("/../g", "ws://a/g"),
            ("g.", "ws://a/b/c/g."),
            ("..g", "ws://a/b/c/..g"),
            ("./../g", "ws://a/b/g"),
            ("./g/.", "ws://a/b/c/g/"),
            ("g/./h", "ws://a/b/c/g/h"),
            ("g/../h", "ws://a/b/c/h"),
            ("g;x=1/../y", "ws://a/b/c/y"),
            ("g?y/../x", "ws://a/b/c/g?y/../x"),
            ("g#s/../x", "ws://a/b/c/g"),
            ("ws://a/b/../c", "ws://a/c"),
            ("ws://a:8080/", "ws://a:8080/"),
            ("/:80/x", "ws://a/:80/x"),
            ("?a:b", "ws://a/b/c/d;p?a:b"),
            ("1a:b", "ws://a/b/c/1a:b"),
            ("/é ".trim_end(), "ws://a/%C3%A9"),
        ] {
            let found = base.join(reference).map(|uri| uri.to_string());
            assert_eq!(found.as_deref(), Ok(joined), "{reference:?}");
        }
        let root = uri("ws://a").join("g").unwrap();
        assert_eq!(root.to_string(), "ws://a/g");
        for (reference, error) in [
            ("g:h", UriError::Scheme),
            ("ws:g", UriError::Scheme),
            ("javascript:alert(1)", UriError::Scheme),
            ("ftp://a/", UriError::Scheme),
            ("/\\evil.example", UriError::Character),
            ("/a b", UriError::Character),
            ("//", UriError::Authority(AuthorityError::Empty)),
            ("///g", UriError::Authority(AuthorityError::Empty)),
            ("ws://a:x/", UriError::Authority(AuthorityError::Port)),
        ] {
            assert_eq!(base.join(reference), Err(error), "{reference:?}");
        }
    }

    #[test]
    fn p27_a_reference_without_a_host_keeps_the_user_and_one_with_a_host_does_not() {
        let base = uri("ws://me:secret@a/b");
        assert_eq!(base.join("c").unwrap().userinfo(), base.userinfo());
        assert_eq!(base.join("//a/c").unwrap().userinfo(), None);
        assert_eq!(base.join("ws://a/c").unwrap().userinfo(), None);
    }

    #[test]
    fn what_cannot_be_connected_to_is_refused() {
        for (text, error) in [
            ("", UriError::Scheme),
            ("a", UriError::Scheme),
            ("/chat", UriError::Scheme),
            ("ws:/a", UriError::Scheme),
            ("ftp://a", UriError::Scheme),
            ("ws ://a", UriError::Character),
            ("ws://a/b c", UriError::Character),
            ("ws://a/\r\nX: y", UriError::Character),
            ("ws://a/\u{85}", UriError::Character),
            ("ws://good.example\\@evil.example/", UriError::Character),
            ("ws://", UriError::Authority(AuthorityError::Empty)),
            ("ws:///x", UriError::Authority(AuthorityError::Empty)),
            ("ws://u:p@/x", UriError::Authority(AuthorityError::Empty)),
            ("ws://a@b@c/", UriError::Authority(AuthorityError::Host)),
            ("ws://::1/", UriError::Authority(AuthorityError::Empty)),
            ("ws://a:99999/", UriError::Authority(AuthorityError::Port)),
            ("ws://a:b/", UriError::Authority(AuthorityError::Port)),
        ] {
            assert_eq!(text.parse::<Uri>(), Err(error), "{text:?}");
        }
    }
}
