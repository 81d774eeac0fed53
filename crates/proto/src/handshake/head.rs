//! Reads the head of an HTTP message from bytes that arrive in any pieces.
//!
//! Line ends are checked here, as they come, since `httparse` takes a bare LF for one; what `httparse`
//! then gets is known to be whole and goes through it once. So the cost is linear in the bytes, and a head that can be
//! read in two ways is refused rather than read in ours (RFC 9112 §2.2, §5, §11).

use std::error::Error;
use std::fmt;
use std::mem;

use super::headers::{Headers, Line};

/// How large the head of a request or response may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Most bytes of the head, with the blank line that ends it. Default 16 KiB: cookies of browsers fit, and
    /// it is what one connection can make us hold before it is checked.
    pub max_bytes: usize,
    /// Most bytes of the first line, with its line end. Default 8 KiB, which RFC 9112 §3 recommends as the least.
    pub max_request_line: usize,
    /// Most header lines. Default 100: browsers with several proxies in front send less than half of that.
    pub max_headers: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            max_bytes: 16 * 1024,
            max_request_line: 8 * 1024,
            max_headers: 100,
        }
    }
}

/// The version of HTTP that a message claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0, which knows no upgrade.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2, where a WebSocket is opened by an extended CONNECT (RFC 8441).
    Http2,
}

/// The head of a request: its first line and header lines, well-formed but not yet judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHead {
    method: String,
    target: String,
    version: Version,
    protocol: Option<String>,
    headers: Headers,
}

impl RequestHead {
    /// Puts together a head that was parsed elsewhere, for [`judge`](super::judge).
    ///
    /// `target` is as it stood in the request line; of HTTP/2, the URI that `:scheme`, `:authority` and `:path` make.
    /// Nothing is checked here.
    pub fn new(
        method: impl Into<String>,
        target: impl Into<String>,
        version: Version,
        headers: Headers,
    ) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            version,
            protocol: None,
            headers,
        }
    }

    /// Adds the pseudo-header `:protocol`, which makes a CONNECT of HTTP/2 an extended one (RFC 8441 §4).
    #[must_use]
    pub fn with_protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = Some(protocol.into());
        self
    }

    /// Returns the method, which is case-sensitive.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Returns the request target as it stood in the request line.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the version of HTTP.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns `:protocol`, which only an extended CONNECT has.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Returns the header lines.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }
}

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseHead {
    status: u16,
    reason: String,
    version: Version,
    headers: Headers,
}

impl ResponseHead {
    /// Puts together a head that was parsed elsewhere, without a reason phrase. Nothing is checked here.
    pub fn new(status: u16, version: Version, headers: Headers) -> Self {
        Self {
            status,
            reason: String::new(),
            version,
            headers,
        }
    }

    /// Returns the status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the reason phrase, which may be empty and has no meaning.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns the version of HTTP.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the header lines.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }
}

/// Collects the bytes of a head up to its blank line, one head after the other.
#[derive(Debug)]
pub(super) struct HeadReader {
    limits: HeadLimits,
    /// What came so far of this head. Never longer than `limits.max_bytes`.
    collected: Vec<u8>,
    /// Where the line in progress starts in `collected`.
    line_start: usize,
    /// Whether the first line is complete.
    started: bool,
    header_lines: usize,
    /// How often a byte was looked at, to test that this is linear.
    #[cfg(test)]
    examined: usize,
}

impl HeadReader {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            collected: Vec::new(),
            line_start: 0,
            started: false,
            header_lines: 0,
            #[cfg(test)]
            examined: 0,
        }
    }

    /// Takes bytes up to the end of the head. Once it is whole, returns it and how many of the bytes it took; the
    /// next call starts the next head.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Result<Option<(RawHead, usize)>, HeadError> {
        let room = self.limits.max_bytes.saturating_sub(self.collected.len());
        self.collected.reserve(bytes.len().min(room));
        let mut used = 0;
        while used < bytes.len() {
            let piece = up_to_mark(&bytes[used..]);
            self.push(piece)?;
            used += piece.len();
            if piece.ends_with(b"\n") && self.end_line()? {
                return Ok(Some((self.take(), used)));
            }
        }
        Ok(None)
    }

    /// Takes what comes up to the next mark, and that.
    fn push(&mut self, piece: &[u8]) -> Result<(), HeadError> {
        #[cfg(test)]
        {
            self.examined += piece.len();
        }
        let after_cr = self.collected.last() == Some(&b'\r');
        if after_cr && piece.first() != Some(&b'\n') {
            return Err(HeadError::BareCr);
        }
        let plain = match piece {
            [plain @ .., mark] if is_mark(*mark) => plain,
            plain => plain,
        };
        // The first of two faults counts, however the bytes arrive.
        self.has_room(plain.len())?;
        match piece.last() {
            Some(b'\n') if !after_cr => return Err(HeadError::BareLf),
            Some(0) => return Err(HeadError::Nul),
            _ => self.has_room(piece.len())?,
        }
        self.collected.extend_from_slice(piece);
        Ok(())
    }

    /// Whether so many bytes more are within the limits. If not, the lower of two counts.
    fn has_room(&self, more: usize) -> Result<(), HeadError> {
        let len = self.collected.len();
        let in_all = self.limits.max_bytes.saturating_sub(len);
        let in_line = self
            .limits
            .max_request_line
            .saturating_sub(len - self.line_start);
        if !self.started && more > in_line && in_line <= in_all {
            Err(HeadError::StartLineTooLong)
        } else if more > in_all {
            Err(HeadError::TooLarge)
        } else {
            Ok(())
        }
    }

    /// Looks at the line that just ended. Returns whether it was the blank one that ends the head.
    fn end_line(&mut self) -> Result<bool, HeadError> {
        let line = &self.collected[self.line_start..];
        match line.first() {
            // RFC 9112 §2.2: empty lines before the first line are ignored. They count towards `max_bytes`.
            Some(b'\r') if self.started => return Ok(true),
            Some(b'\r') => {}
            _ if !self.started => self.started = true,
            // RFC 9112 §5.2: a line that continues the one before it; §2.2: white space before the first header.
            Some(b' ' | b'\t') => return Err(HeadError::Fold),
            _ if self.header_lines == self.limits.max_headers => {
                return Err(HeadError::TooManyHeaders);
            }
            _ => self.header_lines += 1,
        }
        self.line_start = self.collected.len();
        Ok(false)
    }

    fn take(&mut self) -> RawHead {
        #[cfg(test)]
        {
            // `httparse` goes over all of them once more.
            self.examined += self.collected.len();
        }
        self.line_start = 0;
        self.started = false;
        RawHead {
            bytes: mem::take(&mut self.collected),
            header_lines: mem::take(&mut self.header_lines),
        }
    }
}

/// What comes before the first mark, and that: blocks without control characters are passed over at once.
fn up_to_mark(bytes: &[u8]) -> &[u8] {
    let is_plain = |block: &&[u8]| block.iter().fold(b' ', |low, &byte| low.min(byte)) == b' ';
    let plain = BLOCK * bytes.chunks_exact(BLOCK).take_while(is_plain).count();
    let mark = bytes[plain..].iter().position(|&byte| is_mark(byte));
    &bytes[..mark.map_or(bytes.len(), |at| plain + at + 1)]
}

/// As many bytes as the smallest vector registers hold.
const BLOCK: usize = 16;

/// Where lines may end, and what may stand nowhere.
fn is_mark(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// A whole head: a first line and header lines, each ended by CRLF, and the blank line.
pub(super) struct RawHead {
    bytes: Vec<u8>,
    header_lines: usize,
}

impl RawHead {
    pub(super) fn parse_request(self) -> Result<RequestHead, HeadError> {
        let mut lines = vec![httparse::EMPTY_HEADER; self.header_lines];
        let mut parsed = httparse::Request::new(&mut lines);
        let complete = parsed
            .parse(&self.bytes)
            .map_err(|error| self.explain(error))?;
        match (complete, parsed.method, parsed.path, parsed.version) {
            (httparse::Status::Complete(_), Some(method), Some(target), Some(minor)) => {
                Ok(RequestHead {
                    method: method.to_owned(),
                    target: target.to_owned(),
                    version: version(minor),
                    protocol: None,
                    headers: Headers::of_text(lines_in(&self.bytes, parsed.headers), self.bytes),
                })
            }
            _ => Err(HeadError::StartLine),
        }
    }

    pub(super) fn parse_response(self) -> Result<ResponseHead, HeadError> {
        let mut lines = vec![httparse::EMPTY_HEADER; self.header_lines];
        let mut parsed = httparse::Response::new(&mut lines);
        let complete = parsed
            .parse(&self.bytes)
            .map_err(|error| self.explain(error))?;
        match (complete, parsed.code, parsed.version) {
            (httparse::Status::Complete(_), Some(status), Some(minor)) => Ok(ResponseHead {
                status,
                reason: parsed.reason.unwrap_or_default().to_owned(),
                version: version(minor),
                headers: Headers::of_text(lines_in(&self.bytes, parsed.headers), self.bytes),
            }),
            _ => Err(HeadError::StartLine),
        }
    }

    fn explain(&self, error: httparse::Error) -> HeadError {
        match error {
            httparse::Error::HeaderName => HeadError::HeaderName,
            httparse::Error::HeaderValue => HeadError::HeaderValue,
            httparse::Error::TooManyHeaders => HeadError::TooManyHeaders,
            httparse::Error::Version => self.explain_version(),
            httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => {
                HeadError::StartLine
            }
        }
    }

    /// Tells another version of HTTP from something that is no version at all.
    fn explain_version(&self) -> HeadError {
        let head = self.bytes.trim_ascii_start();
        let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
        if line == HTTP2_PREFACE {
            return HeadError::Http2;
        }
        let is_version = |word: &[u8]| {
            matches!(word, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
                if major.is_ascii_digit() && minor.is_ascii_digit())
        };
        let words: Vec<_> = line.split(|&byte| byte == b' ').take(4).collect();
        match words[..] {
            // A status line.
            [first, ..] if is_version(first) => HeadError::HttpVersion,
            // A request line.
            [_, target, last] if !target.is_empty() && is_version(last) => HeadError::HttpVersion,
            _ => HeadError::StartLine,
        }
    }
}

/// Where the lines that `httparse` found stand in the head.
fn lines_in(head: &[u8], lines: &[httparse::Header<'_>]) -> Vec<Line> {
    let place = |part: &[u8]| {
        let start = part.as_ptr().addr() - head.as_ptr().addr();
        start..start + part.len()
    };
    lines
        .iter()
        .map(|line| Line {
            name: place(line.name.as_bytes()),
            value: place(line.value),
        })
        .collect()
}

/// `httparse` knows 0 and 1 only.
fn version(minor: u8) -> Version {
    if minor == 0 {
        Version::Http10
    } else {
        Version::Http11
    }
}

/// Why bytes are not the head of an HTTP/1 message that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadError {
    /// A CR without LF after it (RFC 9112 §2.2).
    BareCr,
    /// An LF without CR before it, which is allowed to be read as a line end and read so by some only (RFC 9112 §2.2).
    BareLf,
    /// A header continued on the next line (RFC 9112 §5.2), or white space before the first header.
    Fold,
    /// A header name with a wrong character, such as a space before the colon (RFC 9112 §5.1).
    HeaderName,
    /// A control character in a header value (RFC 9110 §5.5).
    HeaderValue,
    /// The first bytes of HTTP/2 (RFC 9113 §3.4).
    Http2,
    /// A version of HTTP other than 1.0 and 1.1.
    HttpVersion,
    /// A NUL character (RFC 9110 §5.5).
    Nul,
    /// The first line is neither a request line nor a status line (RFC 9112 §3, §4).
    StartLine,
    /// The first line is longer than [`HeadLimits::max_request_line`].
    StartLineTooLong,
    /// The head is longer than [`HeadLimits::max_bytes`].
    TooLarge,
    /// There are more header lines than [`HeadLimits::max_headers`].
    TooManyHeaders,
}

impl HeadError {
    /// Returns the section of the RFC whose rule was broken; `None` for limits, which are ours.
    pub fn rfc_section(self) -> Option<&'static str> {
        match self {
            Self::BareCr | Self::BareLf => Some("RFC 9112 §2.2"),
            Self::Fold => Some("RFC 9112 §5.2"),
            Self::HeaderName => Some("RFC 9112 §5.1"),
            Self::HeaderValue | Self::Nul => Some("RFC 9110 §5.5"),
            Self::Http2 | Self::HttpVersion => Some("RFC 6455 §4.1"),
            Self::StartLine => Some("RFC 9112 §2.1"),
            Self::StartLineTooLong | Self::TooLarge | Self::TooManyHeaders => None,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BareCr => "a carriage return stands without a line feed",
            Self::BareLf => "a line feed stands without a carriage return",
            Self::Fold => "a header line starts with white space",
            Self::HeaderName => "a header name holds a character that names may not hold",
            Self::HeaderValue => "a header value holds a control character",
            Self::Http2 => "this is HTTP/2, and HTTP/1.1 is spoken here",
            Self::HttpVersion => "the version of HTTP is not 1.1",
            Self::Nul => "there is a NUL character",
            Self::StartLine => "the first line is not one of HTTP",
            Self::StartLineTooLong => "the first line is too long",
            Self::TooLarge => "the headers are too large",
            Self::TooManyHeaders => "there are too many headers",
        })
    }
}

impl Error for HeadError {}

const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0";

#[cfg(test)]
mod tests {
    use super::*;

    fn largest_head() -> Vec<u8> {
        let limits = HeadLimits::default();
        let mut head = b"GET / HTTP/1.1\r\n".to_vec();
        while head.len() + 200 < limits.max_bytes {
            head.extend_from_slice(format!("X-{}: {}\r\n", head.len(), "y".repeat(170)).as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    }

    #[test]
    fn p10_every_byte_is_looked_at_twice_however_the_head_arrives() {
        let head = largest_head();
        for piece in [1, 2, 7, 1000, head.len()] {
            let mut reader = HeadReader::new(HeadLimits::default());
            let mut whole = None;
            for bytes in head.chunks(piece) {
                whole = reader.receive(bytes).unwrap();
            }
            let (raw, used) = whole.unwrap();
            assert_eq!(used, (head.len() - 1) % piece + 1);
            let header_lines = raw.header_lines;
            assert_eq!(raw.parse_request().unwrap().headers().len(), header_lines);
            assert_eq!(reader.examined, 2 * head.len(), "pieces of {piece}");
        }
    }

    #[test]
    fn p25_bytes_after_the_blank_line_are_not_taken() {
        let mut reader = HeadReader::new(HeadLimits::default());
        let bytes = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x88\x02\x03\xe8";
        let (raw, used) = reader.receive(bytes).unwrap().unwrap();
        assert_eq!(&bytes[used..], b"\x88\x02\x03\xe8");
        assert_eq!(raw.parse_response().unwrap().status(), 101);
    }

    #[test]
    fn one_reader_reads_one_head_after_the_other() {
        let mut reader = HeadReader::new(HeadLimits::default());
        let bytes = b"HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 404\r\n\r\n";
        let (first, used) = reader.receive(bytes).unwrap().unwrap();
        let (second, rest) = reader.receive(&bytes[used..]).unwrap().unwrap();
        assert_eq!(used + rest, bytes.len());
        assert_eq!(
            first.parse_response().unwrap().headers().get("a"),
            Some(&b"b"[..])
        );
        let second = second.parse_response().unwrap();
        assert_eq!(
            (second.status(), second.reason(), second.headers().len()),
            (404, "", 0)
        );
    }

    #[test]
    fn empty_lines_before_the_first_line_are_ignored_but_bounded() {
        let mut reader = HeadReader::new(HeadLimits::default());
        let (raw, _) = reader
            .receive(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n")
            .unwrap()
            .unwrap();
        assert_eq!(raw.parse_request().unwrap().target(), "/");
        let endless = b"\r\n".repeat(16 * 1024);
        assert_eq!(reader.receive(&endless).err(), Some(HeadError::TooLarge));
    }

    #[test]
    fn each_limit_admits_its_number_and_no_more() {
        let limits = HeadLimits {
            max_bytes: 40,
            max_request_line: 20,
            max_headers: 2,
        };
        let read = |head: &str| {
            HeadReader::new(limits)
                .receive(head.as_bytes())
                .map(|whole| whole.map(|(_, used)| used))
        };
        assert_eq!(read("GET /2345 HTTP/1.1\r\n\r\n"), Ok(Some(22)));
        assert_eq!(
            read("GET /23456 HTTP/1.1\r\n\r\n"),
            Err(HeadError::StartLineTooLong)
        );
        assert_eq!(read("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\n\r\n"), Ok(Some(30)));
        assert_eq!(
            read("GET / HTTP/1.1\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n"),
            Err(HeadError::TooManyHeaders)
        );
        assert_eq!(
            read("GET / HTTP/1.1\r\na: 34567890123456789\r\n\r\n"),
            Ok(Some(40))
        );
        assert_eq!(
            read("GET / HTTP/1.1\r\na: 345678901234567890\r\n\r\n"),
            Err(HeadError::TooLarge)
        );
    }
}
