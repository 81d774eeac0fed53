//! What is sent compressed: sixteen JSON documents of 1,024 bytes each, such as a chat server sends.

use std::io;

use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::inflate::stream::InflateState;
use miniz_oxide::{DataFormat, MZFlush, deflate, inflate};

/// RFC 7692, sections 7.1.1.1 and 7.1.1.2; servers agree to it in their own order.
pub(crate) const OFFER: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// What ends each compressed message and is not sent, RFC 7692, section 7.2.1.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// zlib's default.
const LEVEL: i32 = 6;
/// A raw stream, with the largest window.
const WINDOW_BITS: i32 = -15;

pub(crate) fn all() -> impl Iterator<Item = &'static [u8]> {
    include_str!("../documents.jsonl")
        .lines()
        .map(str::as_bytes)
}

pub(crate) fn compress(document: &[u8]) -> io::Result<Vec<u8>> {
    let flags = create_comp_flags_from_zip_params(LEVEL, WINDOW_BITS, 0);
    let mut compressed = vec![0; 2 * document.len()];
    let mut compressor = CompressorOxide::new(flags);
    let result =
        deflate::stream::deflate(&mut compressor, document, &mut compressed, MZFlush::Sync);
    compressed.truncate(result.bytes_written);
    if result.status.is_err() || !compressed.ends_with(&TAIL) {
        return Err(io::Error::other("a document was not compressed"));
    }
    compressed.truncate(compressed.len() - TAIL.len());
    Ok(compressed)
}

/// Whether `compressed` is `document`.
pub(crate) fn is(compressed: &[u8], document: &[u8]) -> bool {
    let mut inflated = vec![0; document.len() + 1];
    let whole = [compressed, &TAIL].concat();
    let mut state = InflateState::new_boxed(DataFormat::Raw);
    let result = inflate::stream::inflate(&mut state, &whole, &mut inflated, MZFlush::Sync);
    result.status.is_ok() && inflated[..result.bytes_written] == *document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_survive() {
        for document in all() {
            assert_eq!(document.len(), 1024);
            let compressed = compress(document).unwrap();
            assert!(compressed.len() < 400);
            assert!(is(&compressed, document));
            assert!(!is(&compressed, &document[1..]));
        }
        assert_eq!(all().count(), 16);
    }
}
