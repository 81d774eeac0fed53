//! Masking: the XOR that protects intermediaries from what a client sends (RFC 6455 §5.3, §10.3).

/// The four bytes that a client draws afresh for every frame, unpredictably.
pub type MaskingKey = [u8; 4];

/// Words from which on a call costs less than it brings.
const MANY: usize = 16;

/// Times this, four bytes stand in eight, twice.
const TWICE: u64 = 1 << 32 | 1;

/// Masks or unmasks `payload` in place; the two are the same.
///
/// `phase` is how many bytes of this frame's payload came before (only its value modulo 4 matters),
/// so that a payload arriving in pieces is unmasked as if it had come whole.
#[inline]
pub fn apply_mask(payload: &mut [u8], key: MaskingKey, phase: usize) {
    let mut key = key;
    key.rotate_left(phase % 4);
    let key = u64::from(u32::from_ne_bytes(key)) * TWICE;
    let (words, rest) = payload.as_chunks_mut::<8>();
    if words.len() >= MANY {
        mask_words(words, key);
    } else {
        for word in words {
            mask_word(word, key);
        }
    }
    if !rest.is_empty() {
        mask_rest(rest, key);
    }
}

/// Apart, so that short payloads are masked where they are, and as plain as it is, so that the compiler turns it into the widest
/// vectors the target has: with blocks of more than a word it made fifteen times as slow code for some targets.
#[inline(never)]
fn mask_words(words: &mut [[u8; 8]], key: u64) {
    for word in words {
        mask_word(word, key);
    }
}

#[inline]
fn mask_word(word: &mut [u8; 8], key: u64) {
    *word = (u64::from_ne_bytes(*word) ^ key).to_ne_bytes();
}

/// Less than a word.
fn mask_rest(rest: &mut [u8], key: u64) {
    for (byte, key_byte) in rest.iter_mut().zip(key.to_ne_bytes()) {
        *byte ^= key_byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask_by_the_book(payload: &mut [u8], key: MaskingKey, phase: usize) {
        for (i, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[(phase + i) % 4];
        }
    }

    #[test]
    fn every_length_alignment_and_phase_agrees_with_the_definition_of_section_5_3() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let bytes: Vec<u8> = (0..=190).collect();
        for start in 0..9 {
            for end in start..bytes.len() {
                for phase in 0..5 {
                    let (mut ours, mut theirs) = (bytes.clone(), bytes.clone());
                    apply_mask(&mut ours[start..end], key, phase);
                    mask_by_the_book(&mut theirs[start..end], key, phase);
                    assert_eq!(ours, theirs, "start {start}, end {end}, phase {phase}");
                }
            }
        }
    }

    #[test]
    fn the_masked_hello_of_section_5_7() {
        let mut payload = *b"Hello";
        apply_mask(&mut payload, [0x37, 0xfa, 0x21, 0x3d], 0);
        assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }
}
