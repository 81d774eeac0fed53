//! Header lines: an ordered list with case-insensitive names and values that are bytes.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use super::grammar::{is_token, trim};

/// Header lines in the order in which they were sent or will be sent.
///
/// A name may stand on several lines. Names compare without regard to case and are kept as written. Values are
/// bytes, since RFC 9110 §5.5 allows any above 0x7F. No name or value in here can break out of its line.
#[derive(Clone, Default)]
pub struct Headers {
    /// What names and values are parts of, such as the head that was received: one piece of memory, however many lines.
    text: Vec<u8>,
    lines: Vec<Line>,
}

/// Where name and value of a line stand in the text.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

impl Headers {
    /// Creates an empty list.
    pub fn new() -> Self {
        Self::default()
    }

    /// The lines of a text, which are known to be right.
    pub(super) fn of_text(lines: Vec<Line>, text: Vec<u8>) -> Self {
        Self { text, lines }
    }

    /// Adds a line at the end, beside any others of the same name.
    ///
    /// Spaces and tabs around the value are dropped: they are not part of it (RFC 9110 §5.5).
    ///
    /// # Errors
    ///
    /// Returns [`HeaderError`] if the name is not a token, or if the value holds a control character other than a
    /// tab: a line end in a value would let its writer add headers or a whole response of his own.
    pub fn append(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HeaderError> {
        if !is_token(name.as_bytes()) {
            return Err(HeaderError::Name(name.to_owned()));
        }
        let value = trim(value.as_ref());
        if value
            .iter()
            .any(|&byte| byte.is_ascii_control() && byte != b'\t')
        {
            return Err(HeaderError::Value(name.to_owned()));
        }
        self.append_checked(name, value);
        Ok(())
    }

    /// Adds a line whose name and value are known to be right.
    pub(super) fn append_checked(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let line = Line {
            name: self.push(name.as_bytes()),
            value: self.push(value.as_ref()),
        };
        self.lines.push(line);
    }

    fn push(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.text.len();
        self.text.extend_from_slice(part);
        start..self.text.len()
    }

    /// Adds all lines of another list at the end.
    pub(super) fn extend(&mut self, other: &Self) {
        for (name, value) in other.iter() {
            self.append_checked(name, value);
        }
    }

    /// Keeps only the lines whose names are wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        let text = &self.text;
        self.lines.retain(|line| wanted(name_in(text, line)));
    }

    /// Returns the value on the first line of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// Returns the value on the first line of this name, if it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name)
            .and_then(|value| std::str::from_utf8(value).ok())
    }

    /// Returns the values on all lines of this name, in order.
    pub fn get_all<'h>(&'h self, name: &str) -> impl Iterator<Item = &'h [u8]> + Clone {
        self.lines
            .iter()
            .filter(move |line| is_same(&self.text[line.name.clone()], name.as_bytes()))
            .map(|line| &self.text[line.value.clone()])
    }

    /// Tells whether there is a line of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Returns the value of a header that may stand on one line only.
    pub(super) fn get_once(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self.get_all(name);
        let value = values.next();
        if values.next().is_some() {
            Err(Repeated)
        } else {
            Ok(value)
        }
    }

    /// Returns name and value of every line, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> + Clone {
        self.lines
            .iter()
            .map(|line| (name_in(&self.text, line), &self.text[line.value.clone()]))
    }

    /// Returns how many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Tells whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Writes the lines as they stand in a message, without the blank line that ends them.
    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        for (name, value) in self.iter() {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Tells whether two words are the same without regard to case. Nearly all are written as in their RFC, and those are compared at once.
pub(super) fn is_same(a: &[u8], b: &[u8]) -> bool {
    a == b || a.eq_ignore_ascii_case(b)
}

/// A name is a token, and so ASCII.
fn name_in<'t>(text: &'t [u8], line: &Line) -> &'t str {
    std::str::from_utf8(&text[line.name.clone()]).unwrap_or_default()
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

/// Shows the lines with credentials left out, so that they don't end up in logs.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|(name, value)| {
            let secret = SECRET
                .iter()
                .any(|secret| name.eq_ignore_ascii_case(secret));
            (
                name,
                if secret {
                    "(hidden)".into()
                } else {
                    String::from_utf8_lossy(value)
                },
            )
        });
        f.debug_map().entries(shown).finish()
    }
}

/// A header that may stand once stands on several lines.
pub(super) struct Repeated;

/// Tells whether a header is written by the handshake itself, so that an application may not set it: the protocol's
/// own, and those that would change where the message ends.
pub(super) fn is_reserved(name: &str) -> bool {
    let prefix = name.as_bytes().get(..RESERVED_PREFIX.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_PREFIX))
        || RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// A header that cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is empty or holds a character that names may not hold (RFC 9110 §5.1).
    Name(String),
    /// The value of the named header holds a control character (RFC 9110 §5.5).
    Value(String),
    /// The named header is written by the handshake itself.
    Reserved(String),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?} is not a header name"),
            Self::Value(name) => write!(f, "the value of {name} holds a control character"),
            Self::Reserved(name) => write!(f, "{name} is written by the handshake itself"),
        }
    }
}

impl Error for HeaderError {}

/// Headers whose values are credentials.
const SECRET: [&str; 4] = [
    "Authorization",
    "Cookie",
    "Proxy-Authorization",
    "Set-Cookie",
];

const RESERVED: [&str; 4] = [
    "Connection",
    "Content-Length",
    "Transfer-Encoding",
    "Upgrade",
];
const RESERVED_PREFIX: &[u8] = b"Sec-WebSocket-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_compare_without_regard_to_case_and_lines_keep_their_order() {
        let mut headers = Headers::new();
        headers.append("Accept", "a").unwrap();
        headers.append("X-Other", " b\t").unwrap();
        headers.append("accept", "c").unwrap();
        assert_eq!(headers.get("ACCEPT"), Some(&b"a"[..]));
        assert_eq!(headers.get_all("Accept").collect::<Vec<_>>(), [b"a", b"c"]);
        assert_eq!(headers.get_str("x-other"), Some("b"));
        let mut out = Vec::new();
        headers.write_to(&mut out);
        assert_eq!(out, b"Accept: a\r\nX-Other: b\r\naccept: c\r\n");
    }

    #[test]
    fn credentials_are_not_shown_in_debug_output() {
        let mut headers = Headers::new();
        headers.append("Cookie", "id=secret").unwrap();
        headers.append("authorization", "Basic secret").unwrap();
        headers.append("Host", "example.com").unwrap();
        let shown = format!("{headers:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("example.com"), "{shown}");
    }

    #[test]
    fn the_protocols_own_headers_are_reserved_in_any_case() {
        for name in [
            "upgrade",
            "CONNECTION",
            "sec-websocket-accept",
            "Sec-WebSocket-Key",
            "Content-length",
        ] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["Sec-WebSocket", "Sec-Fetch-Mode", "Cookie", "é"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
