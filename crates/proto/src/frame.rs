//! Frames: the header of RFC 6455 §5.2, read and written.
//!
//! ```text
//!  byte 0            byte 1            then
//! +-+-+-+-+-------+ +-+-------------+ +-----------------+ +-------------+ +---------+
//! |F|R|R|R| opcode| |M| length      | | 126: 2 bytes    | | masking key | | payload |
//! |I|S|S|S|       | |A| 0..=125,    | | 127: 8 bytes    | | 4 bytes     | |         |
//! |N|V|V|V|       | |S| 126 or 127  | | of length       | | if MASK     | |         |
//! | |1|2|3|       | |K|             | |                 | |             | |         |
//! +-+-+-+-+-------+ +-+-------------+ +-----------------+ +-------------+ +---------+
//! ```

use std::fmt;

use crate::{mask::MaskingKey, opcode::Opcode, violation::Violation};

/// The most bytes a header can have: two, eight of length, four of masking key.
pub const MAX_HEADER_LEN: usize = 14;

/// The most payload a control frame may carry (RFC 6455 §5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// All of a frame but its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// FIN: the last frame of its message. Control frames always carry it.
    pub fin: bool,
    /// RSV1, which an extension may claim. The other two have no user, and always fail the connection.
    pub rsv1: bool,
    /// What the frame is for.
    pub opcode: Opcode,
    /// The key, if the payload is masked.
    pub masking_key: Option<MaskingKey>,
    /// Bytes of payload, at most 2^63 - 1.
    pub payload_len: u64,
}

/// What an endpoint may find in the headers it reads.
#[derive(Clone, Copy, Debug)]
pub struct HeaderRules {
    /// Frames are masked: the reader is a server (RFC 6455 §5.1).
    pub masked: bool,
    /// An extension was negotiated that uses RSV1 (RFC 6455 §5.2).
    pub rsv1: bool,
}

impl FrameHeader {
    /// Reads the header at the front of `bytes`, and says how many bytes it took.
    ///
    /// `Ok(None)` asks for more bytes. Whatever is wrong is said as early as the bytes allow it: opcode and RSV
    /// bits after one byte, masking and a control frame's length after two.
    ///
    /// # Errors
    ///
    /// The rule that the header breaks.
    #[inline]
    pub fn decode(bytes: &[u8], rules: HeaderRules) -> Result<Option<(Self, usize)>, Violation> {
        let Some(&first) = bytes.first() else {
            return Ok(None);
        };
        let fin = first & 0x80 != 0;
        let opcode = check_first_byte(first, fin, rules)?;
        let Some(&second) = bytes.get(1) else {
            return Ok(None);
        };
        let masked = second & 0x80 != 0;
        let short_len = second & 0x7f;
        check_second_byte(opcode, masked, short_len, rules)?;

        let Some((payload_len, len_end)) = decode_len(bytes, short_len)? else {
            return Ok(None);
        };
        let (masking_key, end) = if masked {
            let Some(key) = bytes.get(len_end..).and_then(<[u8]>::first_chunk::<4>) else {
                return Ok(None);
            };
            (Some(*key), len_end + 4)
        } else {
            (None, len_end)
        };
        Ok(Some((
            Self {
                fin,
                rsv1: first & 0x40 != 0,
                opcode,
                masking_key,
                payload_len,
            },
            end,
        )))
    }

    /// Appends the header to `out`, its length in the shortest form (RFC 6455 §5.2).
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6;
        let mask_bit = if self.masking_key.is_some() { 0x80 } else { 0 };
        let first = flags | self.opcode.bits();
        match self.payload_len {
            len @ 0..=125 => out.extend_from_slice(&[first, mask_bit + len.to_le_bytes()[0]]),
            len @ 126..=0xffff => {
                let [.., high, low] = len.to_be_bytes();
                out.extend_from_slice(&[first, mask_bit + 126, high, low]);
            }
            len => {
                out.extend_from_slice(&[first, mask_bit + 127]);
                out.extend_from_slice(&len.to_be_bytes());
            }
        }
        if let Some(key) = self.masking_key {
            out.extend_from_slice(&key);
        }
    }

    /// Bytes that [`encode`](Self::encode) appends.
    pub fn encoded_len(&self) -> usize {
        let len_bytes = match self.payload_len {
            0..=125 => 0,
            126..=0xffff => 2,
            _ => 8,
        };
        2 + len_bytes + if self.masking_key.is_some() { 4 } else { 0 }
    }
}

/// What the first byte decides: RSV bits, opcode, and that control frames are whole.
#[inline]
fn check_first_byte(first: u8, fin: bool, rules: HeaderRules) -> Result<Opcode, Violation> {
    let opcode = Opcode::from_bits(first & 0x0f).ok_or(Violation::ReservedOpcode(first & 0x0f))?;
    // RFC 6455 §5.2: a set bit that no negotiated extension defines fails the connection.
    let allowed = if rules.rsv1 && (opcode == Opcode::Text || opcode == Opcode::Binary) {
        0x40
    } else {
        0
    };
    if first & 0x70 & !allowed != 0 {
        return Err(Violation::ReservedBits);
    }
    // RFC 6455 §5.5: control frames must not be fragmented.
    if opcode.is_control() && !fin {
        return Err(Violation::FragmentedControl);
    }
    Ok(opcode)
}

/// What the second byte decides: masking, and that control frames are short.
#[inline]
fn check_second_byte(
    opcode: Opcode,
    masked: bool,
    short_len: u8,
    rules: HeaderRules,
) -> Result<(), Violation> {
    // RFC 6455 §5.1: clients mask every frame, servers none.
    match (rules.masked, masked) {
        (true, false) => return Err(Violation::Unmasked),
        (false, true) => return Err(Violation::Masked),
        (true, true) | (false, false) => {}
    }
    // RFC 6455 §5.5: at most 125 bytes, which the short form always can say.
    if opcode.is_control() && short_len > 125 {
        return Err(Violation::ControlTooLong);
    }
    Ok(())
}

/// The payload length and where in the header it ends; `None` asks for more bytes.
fn decode_len(bytes: &[u8], short_len: u8) -> Result<Option<(u64, usize)>, Violation> {
    let (len, shortest, end) = match short_len {
        126 => {
            let Some(len) = bytes.get(2..).and_then(<[u8]>::first_chunk::<2>) else {
                return Ok(None);
            };
            (u64::from(u16::from_be_bytes(*len)), 126, 4)
        }
        127 => {
            let Some(len) = bytes.get(2..).and_then(<[u8]>::first_chunk::<8>) else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(*len);
            // RFC 6455 §5.2: the most significant bit must be 0. Said before any limit is looked at.
            if len >> 63 != 0 {
                return Err(Violation::LengthTopBit);
            }
            (len, 0x1_0000, 10)
        }
        short => (u64::from(short), 0, 2),
    };
    // RFC 6455 §5.2: the minimal number of bytes must be used.
    if len < shortest {
        Err(Violation::LengthNotMinimal)
    } else {
        Ok(Some((len, end)))
    }
}

/// One line for logs: `text, 5 bytes, masked, not fin`. Payloads are never part of it.
impl fmt::Display for FrameHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.payload_len == 1 { "" } else { "s" };
        write!(f, "{}, {} byte{plural}", self.opcode, self.payload_len)?;
        if self.masking_key.is_some() {
            f.write_str(", masked")?;
        }
        if self.rsv1 {
            f.write_str(", rsv1")?;
        }
        if !self.fin {
            f.write_str(", not fin")?;
        }
        Ok(())
    }
}
