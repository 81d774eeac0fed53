//! Frames as literals, for tests: also those that no encoder would write.
//!
//! ```
//! use fullduplex_testkit::wire::{self, LengthForm};
//!
//! assert_eq!(wire::text("Hello").bytes(), b"\x81\x05Hello");
//! // A header that lies, a length that is too long, a bit that nobody agreed on.
//! let wrong = [
//!     wire::binary("").declaring(1 << 40).masked(),
//!     wire::ping("x").length_form(LengthForm::Sixteen),
//!     wire::text("x").rsv(0b100).not_fin(),
//! ];
//! assert_eq!(wrong[1].to_string(), r#"ping "x", length Sixteen"#);
//! assert_eq!(wire::frames(&wire::bytes(&wrong[1..])), wrong[1..]);
//! ```
//!
//! Neither [`Frame::bytes`] nor [`frames`] shares code with the crate under test, so that a mistake there can't
//! hide itself here.

use std::fmt;

use fullduplex_proto::Role;

/// The masking key of literals that a client sends (RFC 6455 §5.7 uses the same).
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// How the payload length is written (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthForm {
    /// In as few bytes as it fits, as the RFC demands.
    Shortest,
    /// 126 and two bytes.
    Sixteen,
    /// 127 and eight bytes.
    SixtyFour,
}

/// One frame, right or wrong.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// The FIN bit.
    pub fin: bool,
    /// RSV1 to RSV3: 0b100 is RSV1.
    pub rsv: u8,
    /// The four opcode bits.
    pub opcode: u8,
    /// The masking key, if the MASK bit is set.
    pub mask: Option<[u8; 4]>,
    /// How the length is written.
    pub length_form: LengthForm,
    /// The length that the header states, if it is not that of the payload.
    pub declared: Option<u64>,
    /// The payload, not masked.
    pub payload: Vec<u8>,
}

/// A whole frame with these opcode bits, without a mask.
pub fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame {
        fin: true,
        rsv: 0,
        opcode,
        mask: None,
        length_form: LengthForm::Shortest,
        declared: None,
        payload: payload.as_ref().to_vec(),
    }
}

/// A text frame; the bytes need not be UTF-8.
pub fn text(payload: impl AsRef<[u8]>) -> Frame {
    frame(0x1, payload)
}

/// A binary frame.
pub fn binary(payload: impl AsRef<[u8]>) -> Frame {
    frame(0x2, payload)
}

/// A continuation frame.
pub fn continuation(payload: impl AsRef<[u8]>) -> Frame {
    frame(0x0, payload)
}

/// A Close with a code and a reason.
pub fn close(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    frame(0x8, [&code.to_be_bytes(), reason.as_ref()].concat())
}

/// A Close without a body.
pub fn close_empty() -> Frame {
    frame(0x8, [])
}

/// A ping.
pub fn ping(payload: impl AsRef<[u8]>) -> Frame {
    frame(0x9, payload)
}

/// A pong.
pub fn pong(payload: impl AsRef<[u8]>) -> Frame {
    frame(0xA, payload)
}

impl Frame {
    /// More fragments follow.
    #[must_use]
    pub fn not_fin(mut self) -> Self {
        self.fin = false;
        self
    }

    /// With these RSV bits: 0b100 is RSV1.
    #[must_use]
    pub fn rsv(mut self, bits: u8) -> Self {
        self.rsv = bits;
        self
    }

    /// Masked with [`KEY`], as if a client had sent it.
    #[must_use]
    pub fn masked(self) -> Self {
        self.mask(KEY)
    }

    /// Masked with this key.
    #[must_use]
    pub fn mask(mut self, key: [u8; 4]) -> Self {
        self.mask = Some(key);
        self
    }

    /// Masked if a client sends it, not masked if a server does.
    #[must_use]
    pub fn sent_by(self, role: Role) -> Self {
        match role {
            Role::Client => self.masked(),
            Role::Server => self.without_key(),
        }
    }

    /// Without MASK bit and key. What arrives from a client is compared like this.
    #[must_use]
    pub fn without_key(mut self) -> Self {
        self.mask = None;
        self
    }

    /// With the length written in this form, whether it is the shortest or not.
    #[must_use]
    pub fn length_form(mut self, form: LengthForm) -> Self {
        self.length_form = form;
        self
    }

    /// With a header that states this length, whatever the payload has.
    #[must_use]
    pub fn declaring(mut self, len: u64) -> Self {
        self.declared = Some(len);
        self
    }

    /// Whether this is a control frame.
    pub fn is_control(&self) -> bool {
        self.opcode & 0x8 != 0
    }

    /// The frame as bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        let key = self.mask.unwrap_or_default();
        let masked = self.payload.iter().zip(key.iter().cycle());
        bytes.extend(masked.map(|(byte, key)| byte ^ key));
        bytes
    }

    /// The header alone.
    pub fn header(&self) -> Vec<u8> {
        let len = self.declared.unwrap_or(self.payload.len() as u64);
        let mask_bit = u8::from(self.mask.is_some()) << 7;
        let mut bytes = vec![u8::from(self.fin) << 7 | self.rsv << 4 | self.opcode];
        match (self.length_form, len) {
            (LengthForm::Shortest, 0..=125) => bytes.push(mask_bit + len.to_be_bytes()[7]),
            (LengthForm::Shortest, 126..=0xffff) | (LengthForm::Sixteen, _) => {
                bytes.push(mask_bit + 126);
                bytes.extend(&len.to_be_bytes()[6..]);
            }
            (LengthForm::Shortest | LengthForm::SixtyFour, _) => {
                bytes.push(mask_bit + 127);
                bytes.extend(&len.to_be_bytes());
            }
        }
        bytes.extend(self.mask.iter().flatten());
        bytes
    }
}

/// The frames one after the other, as bytes.
pub fn bytes<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> Vec<u8> {
    frames.into_iter().flat_map(Frame::bytes).collect()
}

/// Reads back what was sent. Masked payloads are unmasked; nothing is judged.
///
/// # Panics
///
/// If the bytes do not end where a frame does.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = split_frame(bytes);
        frames.push(frame);
        bytes = rest;
    }
    frames
}

fn split_frame(bytes: &[u8]) -> (Frame, &[u8]) {
    let (first, bytes) = split(bytes, 2);
    let (opcode, second) = (first[0], first[1]);
    let (length_form, extra) = match second & 0x7f {
        126 => (LengthForm::Sixteen, 2),
        127 => (LengthForm::SixtyFour, 8),
        _ => (LengthForm::Shortest, 0),
    };
    let (extended, bytes) = split(bytes, extra);
    let len = match length_form {
        LengthForm::Shortest => usize::from(second & 0x7f),
        _ => extended
            .iter()
            .fold(0, |len, byte| len << 8 | usize::from(*byte)),
    };
    let (key, bytes) = split(bytes, if second & 0x80 == 0 { 0 } else { 4 });
    let mask = <[u8; 4]>::try_from(key).ok();
    let (payload, rest) = split(bytes, len);
    let mut frame = Frame {
        fin: opcode & 0x80 != 0,
        rsv: opcode >> 4 & 0x7,
        opcode: opcode & 0xf,
        mask,
        length_form,
        declared: None,
        payload: payload.to_vec(),
    };
    if let Some(key) = mask {
        let keys = key.iter().cycle();
        for (byte, key) in frame.payload.iter_mut().zip(keys) {
            *byte ^= key;
        }
    }
    // A form is only worth telling where it is not the shortest.
    let shortest = frame.clone().length_form(LengthForm::Shortest);
    if shortest.header() == frame.header() {
        frame = shortest;
    }
    (frame, rest)
}

fn split(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    assert!(
        bytes.len() >= at,
        "the bytes end inside a frame: {} of {at} bytes are there",
        bytes.len()
    );
    bytes.split_at(at)
}

/// `text "Hello"`, `close 1002 "bye", masked`, `binary 70000 bytes, not fin`.
impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Longer payloads are counted rather than shown.
        const SHOWN: usize = 64;
        match self.opcode {
            0x0 => f.write_str("continuation")?,
            0x1 => f.write_str("text")?,
            0x2 => f.write_str("binary")?,
            0x8 => f.write_str("close")?,
            0x9 => f.write_str("ping")?,
            0xA => f.write_str("pong")?,
            other => write!(f, "opcode {other:#x}")?,
        }
        match (self.opcode, self.payload.split_first_chunk::<2>()) {
            (0x8, Some((code, reason))) => {
                write!(f, " {} ", u16::from_be_bytes(*code))?;
                write!(f, "\"{}\"", reason.escape_ascii())?;
            }
            _ if self.payload.len() > SHOWN => write!(f, " {} bytes", self.payload.len())?,
            _ => write!(f, " \"{}\"", self.payload.escape_ascii())?,
        }
        if let Some(len) = self.declared {
            write!(f, ", declaring {len}")?;
        }
        if self.length_form != LengthForm::Shortest {
            write!(f, ", length {:?}", self.length_form)?;
        }
        if self.rsv != 0 {
            write!(f, ", rsv {:03b}", self.rsv)?;
        }
        if self.mask.is_some() {
            f.write_str(", masked")?;
        }
        if !self.fin {
            f.write_str(", not fin")?;
        }
        Ok(())
    }
}

/// As [`Display`](fmt::Display): failed assertions show frames, not bytes.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{self}>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_section_5_7_are_written_as_printed_there() {
        assert_eq!(
            text("Hello").bytes(),
            [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]
        );
        assert_eq!(
            text("Hello").masked().bytes(),
            [
                0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58
            ]
        );
        assert_eq!(
            text("Hel").not_fin().bytes(),
            [0x01, 0x03, 0x48, 0x65, 0x6c]
        );
        assert_eq!(binary([0; 256]).header(), [0x82, 0x7e, 0x01, 0x00]);
        assert_eq!(
            binary(vec![0; 65536]).header(),
            [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let sent = [
            text("a").not_fin().rsv(0b100),
            ping("b").masked(),
            continuation([7; 300]).length_form(LengthForm::SixtyFour),
            close(1000, "bye"),
        ];
        assert_eq!(frames(&bytes(&sent)), sent);
        assert_eq!(
            format!("{sent:?}"),
            "[<text \"a\", rsv 100, not fin>, <ping \"b\", masked>, \
             <continuation 300 bytes, length SixtyFour>, <close 1000 \"bye\">]"
        );
    }
}
