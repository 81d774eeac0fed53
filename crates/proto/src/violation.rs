//! What a peer can do wrong, and the close code that answers it.

use std::fmt;

use crate::close::CloseCode;

/// A rule that the peer broke. The connection is failed with [`code`](Self::code) (RFC 6455 §7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// An RSV bit is set that no negotiated extension defines.
    ReservedBits,
    /// The opcode is one of 0x3-0x7 or 0xB-0xF.
    ReservedOpcode(u8),
    /// A client's frame is not masked.
    Unmasked,
    /// A server's frame is masked.
    Masked,
    /// The payload length is not in its shortest form.
    LengthNotMinimal,
    /// The top bit of the 64-bit payload length is set.
    LengthTopBit,
    /// A control frame without FIN.
    FragmentedControl,
    /// A control frame with more than 125 bytes of payload.
    ControlTooLong,
    /// A continuation frame while no message is open.
    UnexpectedContinuation,
    /// A text or binary frame while a message is open.
    ExpectedContinuation,
    /// A text message, or the reason of a Close, is not UTF-8.
    InvalidUtf8,
    /// A compressed message cannot be decompressed.
    InvalidDeflate,
    /// A Close with a body of one byte.
    CloseBodyTooShort,
    /// A close code that must not be on the wire.
    InvalidCloseCode(u16),
    /// A frame longer than [`Limits::max_frame`](crate::Limits::max_frame).
    FrameTooBig,
    /// A message longer than [`Limits::max_message`](crate::Limits::max_message).
    MessageTooBig,
    /// A message in more than [`Limits::max_fragments`](crate::Limits::max_fragments) frames.
    TooManyFragments,
    /// A text message where only binary is accepted, or the other way round.
    UnsupportedData,
}

impl Violation {
    /// The close code that tells the peer (RFC 6455 §7.4.1).
    pub const fn code(self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::Unmasked
            | Self::Masked
            | Self::LengthNotMinimal
            | Self::LengthTopBit
            | Self::FragmentedControl
            | Self::ControlTooLong
            | Self::UnexpectedContinuation
            | Self::ExpectedContinuation
            | Self::CloseBodyTooShort
            | Self::InvalidCloseCode(_) => CloseCode::PROTOCOL_ERROR,
            Self::InvalidUtf8 | Self::InvalidDeflate => CloseCode::INVALID_FRAME_PAYLOAD_DATA,
            Self::FrameTooBig | Self::MessageTooBig | Self::TooManyFragments => {
                CloseCode::MESSAGE_TOO_BIG
            }
            Self::UnsupportedData => CloseCode::UNSUPPORTED_DATA,
        }
    }

    /// The section that has the rule, or that allows ours; of RFC 6455 unless it names another.
    pub const fn section(self) -> &'static str {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::LengthNotMinimal
            | Self::LengthTopBit => "5.2",
            Self::Unmasked | Self::Masked => "5.1",
            Self::FragmentedControl | Self::ControlTooLong => "5.5",
            Self::UnexpectedContinuation | Self::ExpectedContinuation => "5.4",
            Self::InvalidUtf8 => "8.1",
            Self::InvalidDeflate => "RFC 7692 §7.2.2",
            Self::CloseBodyTooShort => "5.5.1",
            Self::InvalidCloseCode(_) => "7.4",
            Self::FrameTooBig | Self::MessageTooBig | Self::TooManyFragments => "10.4",
            Self::UnsupportedData => "7.4.1",
        }
    }
}

/// A few plain words, short enough to be the reason of the Close.
impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReservedBits => f.write_str("reserved bit set"),
            Self::ReservedOpcode(opcode) => write!(f, "reserved opcode {opcode:#x}"),
            Self::Unmasked => f.write_str("client frame not masked"),
            Self::Masked => f.write_str("server frame masked"),
            Self::LengthNotMinimal => f.write_str("payload length not in its shortest form"),
            Self::LengthTopBit => f.write_str("payload length above 2^63-1"),
            Self::FragmentedControl => f.write_str("control frame without FIN"),
            Self::ControlTooLong => f.write_str("control frame over 125 bytes"),
            Self::UnexpectedContinuation => f.write_str("continuation without a message"),
            Self::ExpectedContinuation => f.write_str("new message inside a message"),
            Self::InvalidUtf8 => f.write_str("text is not UTF-8"),
            Self::InvalidDeflate => f.write_str("compressed data not valid"),
            Self::CloseBodyTooShort => f.write_str("close frame with one byte"),
            Self::InvalidCloseCode(code) => write!(f, "close code {code} not allowed"),
            Self::FrameTooBig => f.write_str("frame too big"),
            Self::MessageTooBig => f.write_str("message too big"),
            Self::TooManyFragments => f.write_str("too many fragments"),
            Self::UnsupportedData => f.write_str("type of message not accepted"),
        }
    }
}

impl std::error::Error for Violation {}
