//! Close codes and the body of a Close frame (RFC 6455 §5.5.1, §7.4).

use std::fmt;

use bytes::Bytes;

use crate::{frame::MAX_CONTROL_PAYLOAD, message::Utf8Bytes, violation::Violation};

/// The most bytes of reason that a Close frame holds beside its code.
pub const MAX_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

/// A status code: why a connection ends.
///
/// A newtype, not an enum: 3000 to 4999 belong to libraries and applications.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection has been fulfilled.
    pub const NORMAL_CLOSURE: Self = Self(1000);
    /// 1001: the server goes down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a type of data that this endpoint does not accept.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005, never on the wire: a Close came without a code.
    pub const NO_STATUS_RCVD: Self = Self(1005);
    /// 1006, never on the wire: the connection ended without a Close.
    pub const ABNORMAL_CLOSURE: Self = Self(1006);
    /// 1007: data inconsistent with the message's type, such as text that is not UTF-8.
    pub const INVALID_FRAME_PAYLOAD_DATA: Self = Self(1007);
    /// 1008: a policy was violated; the general code when no other fits.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is too big to be processed.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the client wanted an extension that the server did not negotiate.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: something unexpected kept this endpoint from going on.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the service is overloaded; come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad response from the server behind it.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015, never on the wire: the TLS handshake failed.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// The code with this number, whatever it is.
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Whether the code may be in a Close frame (RFC 6455 §7.4.1, §7.4.2, and the IANA registry for 1012 to 1014).
    ///
    /// 1004, 1005, 1006 and 1015 are reserved, 1016 to 2999 not assigned, below 1000 unused, and from 5000 undefined.
    pub const fn is_allowed_on_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// The range that the code belongs to (RFC 6455 §7.4.2).
    pub const fn class(self) -> CloseClass {
        match self.0 {
            0..=999 => CloseClass::Unused,
            1000..=1999 => CloseClass::Protocol,
            2000..=2999 => CloseClass::Extension,
            3000..=3999 => CloseClass::Registered,
            4000..=4999 => CloseClass::Private,
            5000.. => CloseClass::Undefined,
        }
    }

    /// Who may put the code into a Close frame.
    pub const fn sender(self) -> CloseSender {
        match self.0 {
            1010 => CloseSender::Client,
            _ if self.is_allowed_on_wire() => CloseSender::Either,
            _ => CloseSender::Nobody,
        }
    }

    /// The registered name, if the code has one.
    pub const fn name(self) -> Option<&'static str> {
        match self.describe() {
            Some((name, _)) => Some(name),
            None => None,
        }
    }

    /// What the code means, in one line; for a code without a name, what its range is for.
    pub const fn meaning(self) -> &'static str {
        match self.describe() {
            Some((_, meaning)) => meaning,
            None => self.class().meaning(),
        }
    }

    const fn describe(self) -> Option<(&'static str, &'static str)> {
        Some(match self.0 {
            1000 => (
                "Normal Closure",
                "the purpose of the connection has been fulfilled",
            ),
            1001 => (
                "Going Away",
                "the server goes down, or the browser leaves the page",
            ),
            1002 => ("Protocol Error", "the protocol was broken"),
            1003 => (
                "Unsupported Data",
                "a type of data that is not accepted, such as binary for text",
            ),
            1004 => ("Reserved", "a meaning may be given in the future"),
            1005 => (
                "No Status Received",
                "a Close came without a code; never on the wire",
            ),
            1006 => (
                "Abnormal Closure",
                "the connection ended without a Close; never on the wire",
            ),
            1007 => (
                "Invalid Frame Payload Data",
                "data that does not fit its type, such as text that is not UTF-8",
            ),
            1008 => (
                "Policy Violation",
                "a policy was violated; no other code fits",
            ),
            1009 => ("Message Too Big", "a message is too big to be processed"),
            1010 => (
                "Mandatory Extension",
                "the client needs an extension that was not negotiated",
            ),
            1011 => (
                "Internal Error",
                "something unexpected kept the endpoint from going on",
            ),
            1012 => ("Service Restart", "the service restarts"),
            1013 => ("Try Again Later", "the service is overloaded"),
            1014 => (
                "Bad Gateway",
                "a gateway got a bad response from the server behind it",
            ),
            1015 => (
                "TLS Handshake",
                "the TLS handshake failed; never on the wire",
            ),
            3000 => ("Unauthorized", "the request has to be authorized"),
            3003 => ("Forbidden", "the endpoint will not serve this peer"),
            3008 => ("Timeout", "the endpoint took too long"),
            _ => return None,
        })
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({self})")
    }
}

/// The number alone: `1000`.
impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whom a range of codes belongs to (RFC 6455 §7.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseClass {
    /// 0 to 999.
    Unused,
    /// 1000 to 1999: the protocol and its successors.
    Protocol,
    /// 2000 to 2999: extensions.
    Extension,
    /// 3000 to 3999: libraries and frameworks, registered with IANA.
    Registered,
    /// 4000 to 4999: private use, by agreement between the applications.
    Private,
    /// 5000 and above.
    Undefined,
}

impl CloseClass {
    /// What the range is for, in one line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Unused => "not used",
            Self::Protocol => "reserved for the protocol",
            Self::Extension => "reserved for extensions",
            Self::Registered => "for libraries and frameworks, registered with IANA",
            Self::Private => "for applications, by private agreement",
            Self::Undefined => "not defined",
        }
    }
}

/// Who may send a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseSender {
    /// Client and server.
    Either,
    /// Only a client.
    Client,
    /// Nobody: the code is for local reports, or has no meaning.
    Nobody,
}

/// The body of a Close frame: a code and a reason, or nothing.
///
/// It can always be sent: the code is one that may be on the wire and the reason fits. The empty body reads as
/// [`CloseCode::NO_STATUS_RCVD`] (RFC 6455 §7.1.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    code: CloseCode,
    reason: Utf8Bytes,
}

impl CloseFrame {
    /// A Close with a code and a reason, which may be empty.
    ///
    /// # Errors
    ///
    /// [`InvalidClose`] if the code must not be on the wire, or the reason is over [`MAX_REASON`] bytes.
    pub fn new(code: CloseCode, reason: impl Into<Utf8Bytes>) -> Result<Self, InvalidClose> {
        let reason = reason.into();
        if !code.is_allowed_on_wire() {
            return Err(InvalidClose::Code(code));
        }
        if reason.len() > MAX_REASON {
            return Err(InvalidClose::ReasonTooLong(reason.len()));
        }
        Ok(Self { code, reason })
    }

    /// Like [`new`](Self::new), with a reason that is too long cut at a character's boundary.
    ///
    /// # Errors
    ///
    /// [`InvalidClose::Code`] if the code must not be on the wire.
    pub fn truncated(code: CloseCode, reason: &str) -> Result<Self, InvalidClose> {
        let cut = (0..=reason.len().min(MAX_REASON))
            .rev()
            .find_map(|end| reason.get(..end));
        Self::new(code, cut.unwrap_or_default())
    }

    /// A Close without code and reason.
    pub const fn empty() -> Self {
        Self {
            code: CloseCode::NO_STATUS_RCVD,
            reason: Utf8Bytes::new(),
        }
    }

    /// 1000, without a reason.
    pub const fn normal() -> Self {
        Self {
            code: CloseCode::NORMAL_CLOSURE,
            reason: Utf8Bytes::new(),
        }
    }

    /// The code; [`CloseCode::NO_STATUS_RCVD`] for the empty body.
    pub const fn code(&self) -> CloseCode {
        self.code
    }

    /// The reason, often empty.
    pub fn reason(&self) -> &str {
        self.reason.as_str()
    }

    /// The Close that answers `received`: the same code (RFC 6455 §5.5.1). The reason was the peer's, and is not repeated.
    pub(crate) fn answer_to(received: &Self) -> Self {
        Self {
            code: received.code,
            reason: Utf8Bytes::new(),
        }
    }

    /// For this crate's own codes and reasons, which are known to be valid.
    pub(crate) fn known(code: CloseCode, reason: impl Into<Utf8Bytes>) -> Self {
        let frame = Self {
            code,
            reason: reason.into(),
        };
        debug_assert!(frame.code.is_allowed_on_wire() && frame.reason.len() <= MAX_REASON);
        frame
    }

    /// Reads the payload of a Close frame.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Violation> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            // RFC 6455 §5.5.1: the body may be empty; if there is one, it begins with two bytes of code.
            return if payload.is_empty() {
                Ok(Self::empty())
            } else {
                Err(Violation::CloseBodyTooShort)
            };
        };
        let code = CloseCode(u16::from_be_bytes(*code));
        if !code.is_allowed_on_wire() {
            return Err(Violation::InvalidCloseCode(code.0));
        }
        // RFC 6455 §5.5.1: the reason is UTF-8.
        let reason = Utf8Bytes::try_from(Bytes::copy_from_slice(reason))
            .map_err(|_| Violation::InvalidUtf8)?;
        Ok(Self { code, reason })
    }

    /// Appends the payload of a Close frame.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        if self.code != CloseCode::NO_STATUS_RCVD {
            out.extend_from_slice(&self.code.0.to_be_bytes());
            out.extend_from_slice(self.reason.as_bytes());
        }
    }

    /// Bytes that [`encode`](Self::encode) appends.
    pub(crate) fn payload_len(&self) -> usize {
        if self.code == CloseCode::NO_STATUS_RCVD {
            0
        } else {
            2 + self.reason.len()
        }
    }
}

/// `1000 "bye"`, or the number alone when there is no reason.
impl fmt::Display for CloseFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if self.reason.is_empty() {
            Ok(())
        } else {
            write!(f, " {:?}", self.reason())
        }
    }
}

/// Why a [`CloseFrame`] cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidClose {
    /// The code must not be on the wire.
    Code(CloseCode),
    /// The reason has this many bytes, more than [`MAX_REASON`].
    ReasonTooLong(usize),
}

impl fmt::Display for InvalidClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "close code {code} must not be sent"),
            Self::ReasonTooLong(len) => {
                write!(f, "close reason of {len} bytes is over {MAX_REASON}")
            }
        }
    }
}

impl std::error::Error for InvalidClose {}
