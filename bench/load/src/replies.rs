//! What comes back, counted and checked.

use std::io;

use crate::dialect::{Dialect, OPENING, Said};
use crate::frames::{CONTINUATION, FIN, LONG, MASKED, MEDIUM, TEXT};

/// Whether a payload is the right one.
pub(crate) type Check = dyn Fn(&[u8]) -> bool;

/// What every reply has to be.
pub(crate) enum Expected {
    /// These bytes, over and over: no frames.
    Raw(Vec<u8>),
    Messages {
        /// The first octet of a message, without FIN.
        first: u8,
        /// Of the payload; none if replies are compressed.
        length: Option<u64>,
        /// Is told the payload of a connection's first message.
        check: Box<Check>,
    },
    /// Texts of a room: events of what was said count, and acknowledgements are counted apart.
    Said(Dialect),
}

/// Where one connection is in its replies.
pub(crate) struct Replies {
    /// A header that came in part.
    header: Vec<u8>,
    /// Of the frame that is being received.
    left: u64,
    fin: bool,
    control: bool,
    /// Whether a message has begun, and how much of it has come, or is declared.
    begun: bool,
    length: u64,
    /// The first message, until it is complete; of texts of a room, how each begins.
    sample: Option<Vec<u8>>,
    /// Since somebody looked.
    pub(crate) acknowledged: u64,
}

impl Replies {
    pub(crate) fn new() -> Self {
        Self {
            header: Vec::new(),
            left: 0,
            fin: false,
            control: false,
            begun: false,
            length: 0,
            sample: Some(Vec::new()),
            acknowledged: 0,
        }
    }

    /// How many messages `bytes` complete.
    pub(crate) fn take(&mut self, bytes: &[u8], expected: &Expected) -> io::Result<u64> {
        match expected {
            Expected::Raw(message) => self.take_raw(bytes, message),
            Expected::Messages { first, .. } => {
                self.take_frames(bytes, *first, usize::MAX, expected)
            }
            Expected::Said(_) => self.take_frames(bytes, TEXT, OPENING, expected),
        }
    }

    fn take_raw(&mut self, bytes: &[u8], message: &[u8]) -> io::Result<u64> {
        if let Some(sample) = &mut self.sample {
            let wanted = &message[sample.len()..];
            let piece = &bytes[..wanted.len().min(bytes.len())];
            if !wanted.starts_with(piece) {
                return Err(io::Error::other("other bytes came back"));
            }
            sample.extend_from_slice(piece);
            if sample.len() == message.len() {
                self.sample = None;
            }
        }
        let length = message.len() as u64;
        self.length += bytes.len() as u64;
        let messages = self.length / length;
        self.length %= length;
        Ok(messages)
    }

    fn take_frames(
        &mut self,
        mut bytes: &[u8],
        first: u8,
        kept: usize,
        expected: &Expected,
    ) -> io::Result<u64> {
        let mut messages = 0;
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.take_header(bytes, first)?;
            }
            let piece =
                usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
            if let Some(sample) = &mut self.sample
                && !self.control
            {
                sample.extend_from_slice(&bytes[..piece.min(kept - sample.len())]);
            }
            self.left -= piece as u64;
            bytes = &bytes[piece..];
            if self.left == 0 && self.begun && self.fin && self.header.is_empty() && !self.control {
                messages += self.complete(expected)?;
            }
        }
        Ok(messages)
    }

    /// Takes the header, or what is there of it; gives what is behind.
    fn take_header<'a>(&mut self, bytes: &'a [u8], first: u8) -> io::Result<&'a [u8]> {
        if self.header.is_empty()
            && let Some((length, declared)) = header(bytes)?
        {
            self.begin(bytes[0], declared, first)?;
            return Ok(&bytes[length..]);
        }
        let mut taken = 0;
        while taken < bytes.len() {
            self.header.push(bytes[taken]);
            taken += 1;
            if let Some((_, declared)) = header(&self.header)? {
                let octet = self.header[0];
                self.header.clear();
                self.begin(octet, declared, first)?;
                break;
            }
        }
        Ok(&bytes[taken..])
    }

    fn begin(&mut self, octet: u8, declared: u64, first: u8) -> io::Result<()> {
        self.left = declared;
        self.control = octet & 0x08 != 0;
        if self.control {
            // Pings are not answered: a run is shorter than any server's patience.
            return if octet & 0x0f == 8 {
                Err(io::Error::other("a Close came"))
            } else {
                Ok(())
            };
        }
        let wanted = if self.begun { CONTINUATION } else { first };
        if octet & !FIN != wanted {
            return Err(io::Error::other(format!(
                "a frame began with {octet:#x}, not {wanted:#x}"
            )));
        }
        self.fin = octet & FIN != 0;
        self.begun = true;
        self.length += declared;
        Ok(())
    }

    /// A message has come: how much it counts.
    fn complete(&mut self, expected: &Expected) -> io::Result<u64> {
        let counts = match expected {
            Expected::Messages { length, check, .. } => self.check(*length, check)?,
            Expected::Said(dialect) => self.said(*dialect)?,
            Expected::Raw(_) => 0,
        };
        self.begun = false;
        self.length = 0;
        Ok(counts)
    }

    fn check(&mut self, length: Option<u64>, check: &Check) -> io::Result<u64> {
        if let Some(length) = length.filter(|length| *length != self.length) {
            let came = self.length;
            return Err(io::Error::other(format!(
                "{came} bytes came back instead of {length}"
            )));
        }
        if self.sample.take().is_some_and(|sample| !check(&sample)) {
            return Err(io::Error::other("another message came back"));
        }
        Ok(1)
    }

    fn said(&mut self, dialect: Dialect) -> io::Result<u64> {
        let opening = self.sample.get_or_insert_default();
        let counts = match dialect.said(opening) {
            Some(Said::Message) => 1,
            Some(Said::Acknowledgement) => {
                self.acknowledged += 1;
                0
            }
            Some(Said::Other) => 0,
            None => {
                let other = String::from_utf8_lossy(opening);
                return Err(io::Error::other(format!("{other} came")));
            }
        };
        opening.clear();
        Ok(counts)
    }
}

/// The length of a frame's header and of its payload, once the header is there.
pub(crate) fn header(bytes: &[u8]) -> io::Result<Option<(usize, u64)>> {
    let Some(&second) = bytes.get(1) else {
        return Ok(None);
    };
    if second & MASKED != 0 {
        return Err(io::Error::other("a masked frame came"));
    }
    Ok(match second {
        MEDIUM => bytes.get(2..4).map(|length| (4, big_endian(length))),
        LONG => bytes.get(2..10).map(|length| (10, big_endian(length))),
        short => Some((2, u64::from(short))),
    })
}

fn big_endian(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_chunking_counts_the_same() {
        // A message of 3, one of 3 in two frames with a Ping between, one of 3.
        let wire = b"\x82\x03abc\x02\x01a\x89\x00\x80\x02bc\x82\x7e\x00\x03abc";
        let expected = Expected::Messages {
            first: 2,
            length: Some(3),
            check: Box::new(|payload| payload == b"abc"),
        };
        for size in 1..=wire.len() {
            let mut replies = Replies::new();
            let counts = wire
                .chunks(size)
                .map(|chunk| replies.take(chunk, &expected).unwrap());
            assert_eq!(counts.sum::<u64>(), 3, "in chunks of {size}");
        }
    }

    #[test]
    fn wrong_answers_are_errors() {
        let expected = |length| Expected::Messages {
            first: 2,
            length,
            check: Box::new(|payload| payload == b"abc"),
        };
        for wire in [
            &b"\x81\x03abc"[..],
            b"\x82\x02ab",
            b"\x82\x83abcd",
            b"\x88\x00",
            b"\x80\x03abc",
        ] {
            assert!(Replies::new().take(wire, &expected(Some(3))).is_err());
        }
        assert!(
            Replies::new()
                .take(b"\x82\x03abd", &expected(None))
                .is_err()
        );
    }

    #[test]
    fn what_is_said_in_a_room_counts_in_any_chunking() {
        let v1 = [
            r#"{"ev":"pres","room":"r"}"#,
            r#"{"ev":"msg","room":"r"}"#,
            r#"{"re":1,"ok":{"seq":1}}"#,
            r#"{"ev":"msg","room":"r"}"#,
        ];
        let socket_io = ["2", r#"42["msg","a"]"#, "431[]", r#"42["msg","b"]"#];
        for (dialect, texts) in [(Dialect::V1, v1), (Dialect::SocketIo, socket_io)] {
            let expected = Expected::Said(dialect);
            let all: Vec<u8> = texts.iter().flat_map(|text| wire(text)).collect();
            for size in 1..=all.len() {
                let mut replies = Replies::new();
                let counts = all
                    .chunks(size)
                    .map(|chunk| replies.take(chunk, &expected).unwrap());
                assert_eq!(counts.sum::<u64>(), 2, "in chunks of {size}");
                assert_eq!(replies.acknowledged, 1);
            }
        }
        for (dialect, refused) in [
            (Dialect::V1, r#"{"re":1,"err":{"code":"timeout"}}"#),
            (Dialect::SocketIo, r#"44{"message":"no"}"#),
        ] {
            let expected = Expected::Said(dialect);
            assert!(Replies::new().take(&wire(refused), &expected).is_err());
        }
    }

    fn wire(text: &str) -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        [&[FIN | TEXT, length], text.as_bytes()].concat()
    }
}
