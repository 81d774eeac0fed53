//! UTF-8 checked while it arrives (RFC 6455 §8.1), failing at the first bad byte.

use simdutf8::compat::from_utf8;

/// Checks a text message piece by piece.
///
/// Between pieces it keeps the one sequence that is not complete yet: at most three bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8Validator {
    /// The first `len` bytes are the beginning of a sequence, valid so far.
    begun: [u8; 4],
    len: u8,
}

/// The text holds a byte that no UTF-8 can hold there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidUtf8;

impl Utf8Validator {
    /// Checks the next piece. An error is found in the first byte that makes the text invalid, even when the
    /// sequence it stands in is not complete (surrogates, overlong forms, values above U+10FFFF).
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        let piece = self.complete_begun(piece)?;
        match from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                self.begin(piece.get(error.valid_up_to()..).unwrap_or_default());
                Ok(())
            }
            Err(_) => Err(InvalidUtf8),
        }
    }

    /// The text ends here: an incomplete sequence is an error.
    pub(crate) fn finish(self) -> Result<(), InvalidUtf8> {
        if self.len == 0 {
            Ok(())
        } else {
            Err(InvalidUtf8)
        }
    }

    /// Feeds the begun sequence byte by byte until it is complete; returns what is left of `piece`.
    fn complete_begun<'a>(&mut self, mut piece: &'a [u8]) -> Result<&'a [u8], InvalidUtf8> {
        while self.len > 0 {
            let Some((&byte, rest)) = piece.split_first() else {
                break;
            };
            piece = rest;
            let len = usize::from(self.len);
            let mut sequence = self.begun;
            if let Some(next) = sequence.get_mut(len) {
                *next = byte;
            }
            let sequence = sequence.get(..=len).unwrap_or_default();
            match std::str::from_utf8(sequence) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => self.begin(sequence),
                Err(_) => return Err(InvalidUtf8),
            }
        }
        Ok(piece)
    }

    fn begin(&mut self, sequence: &[u8]) {
        self.begun = [0; 4];
        self.len = 0;
        for (slot, byte) in self.begun.iter_mut().zip(sequence) {
            *slot = *byte;
            self.len += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]]) -> Result<(), InvalidUtf8> {
        let mut validator = Utf8Validator::default();
        for piece in pieces {
            validator.push(piece)?;
        }
        validator.finish()
    }

    #[test]
    fn every_split_of_valid_text_is_valid() {
        let text = "aé€😀\u{0}\u{feff}\u{ffff}".as_bytes();
        for i in 0..=text.len() {
            for j in i..=text.len() {
                assert_eq!(
                    check(&[&text[..i], &text[i..j], &text[j..]]),
                    Ok(()),
                    "{i}, {j}"
                );
            }
        }
    }

    #[test]
    fn the_first_bad_byte_is_noticed_when_it_arrives() {
        // (what is fine so far, the byte that spoils it)
        let cases: &[(&[u8], u8)] = &[
            (b"", 0x80),
            (b"", 0xc0),
            (b"", 0xc1),
            (b"", 0xf5),
            (b"", 0xff),
            (b"\xe0", 0x80),
            (b"\xe0", 0x9f),
            (b"\xed", 0xa0),
            (b"\xf0", 0x8f),
            (b"\xf4", 0x90),
            (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4", 0x90),
            (b"\xc3", b'a'),
            (b"\xe2\x82", b'a'),
            (b"\xf0\x9f\x98", b'a'),
        ];
        for (good, bad) in cases {
            for cut in 0..=good.len() {
                let mut validator = Utf8Validator::default();
                assert_eq!(validator.push(&good[..cut]), Ok(()));
                assert_eq!(validator.push(&good[cut..]), Ok(()));
                assert_eq!(
                    validator.push(&[*bad]),
                    Err(InvalidUtf8),
                    "{good:x?} {bad:x}"
                );
            }
        }
    }

    #[test]
    fn text_that_ends_inside_a_sequence_is_invalid() {
        for cut in [b"\xc3".as_slice(), b"\xe2\x82", b"\xf0\x9f\x98", b"ok \xf0"] {
            assert_eq!(check(&[cut]), Err(InvalidUtf8));
        }
    }

    #[test]
    fn any_bytes_in_any_pieces_agree_with_the_standard_library() {
        // Every string of up to four bytes from the bytes at which the grammar's ranges begin and end.
        let edges = [
            0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef,
            0xf0, 0xf4, 0xf5,
        ];
        let mut strings = vec![Vec::new()];
        for _ in 0..4 {
            strings = strings
                .iter()
                .flat_map(|s: &Vec<u8>| edges.iter().map(move |e| [s.as_slice(), &[*e]].concat()))
                .collect();
        }
        for string in &strings {
            let expected = std::str::from_utf8(string).is_ok();
            for cut in 0..=string.len() {
                assert_eq!(
                    check(&[&string[..cut], &string[cut..]]).is_ok(),
                    expected,
                    "{string:x?} at {cut}"
                );
            }
        }
    }
}
