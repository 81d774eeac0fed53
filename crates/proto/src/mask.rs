//! Masking: the XOR that protects intermediaries from what a client sends (RFC 6455 §5.3, §10.3).

/// The four bytes that a client draws afresh for every frame, unpredictably.
pub type MaskingKey = [u8; 4];

/// What the compiler turns into the widest vectors the target has, four of them at a time.
const LONG: usize = 128;

/// Masks or unmasks `payload` in place; the two are the same.
///
/// `phase` is how many bytes of this frame's payload came before (only its value modulo 4 matters),
/// so that a payload arriving in pieces is unmasked as if it had come whole.
#[inline]
pub fn apply_mask(payload: &mut [u8], key: MaskingKey, phase: usize) {
    let mut key = key;
    key.rotate_left(phase % 4);
    let rest = if payload.len() < LONG {
        payload
    } else {
        mask_blocks(payload, key)
    };
    let (blocks, rest) = rest.as_chunks_mut::<16>();
    for block in blocks {
        xor(block, key);
    }
    let (words, rest) = rest.as_chunks_mut::<4>();
    for word in words {
        xor(word, key);
    }
    for (byte, key_byte) in rest.iter_mut().zip(key) {
        *byte ^= key_byte;
    }
}

/// Masks whole blocks, and returns what is left. Apart, so that short payloads are masked where they are.
#[inline(never)]
fn mask_blocks(payload: &mut [u8], key: MaskingKey) -> &mut [u8] {
    let (blocks, rest) = payload.as_chunks_mut::<LONG>();
    for block in blocks {
        xor(block, key);
    }
    rest
}

fn xor<const N: usize>(block: &mut [u8; N], key: MaskingKey) {
    let (words, _) = block.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
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
