//! The fuzzer's bytes as decisions.

use fullduplex_proto::Deflate;

/// Bytes that are taken from the front. Where there are none left, every decision is zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    pub(crate) fn short(&mut self) -> usize {
        usize::from(u16::from_be_bytes([self.byte(), self.byte()]))
    }

    pub(crate) fn take(&mut self, n: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        front
    }

    /// How an endpoint wants to compress.
    pub(crate) fn deflate(&mut self) -> Deflate {
        let (flags, bits) = (self.byte(), self.byte());
        let mut deflate = Deflate::for_client();
        deflate.server_no_context_takeover = flags & 1 != 0;
        deflate.client_no_context_takeover = flags & 2 != 0;
        deflate.threshold = if flags & 4 == 0 { 0 } else { 300 };
        deflate.level = 1 + (flags >> 3) % 9;
        deflate.server_max_window_bits = 15 - (bits & 0xf) % 7;
        deflate.client_max_window_bits = 15 - (bits >> 4) % 7;
        deflate
    }

    /// Three sizes of pieces, from one byte to the whole.
    pub(crate) fn cuts(&mut self) -> [usize; 3] {
        std::array::from_fn(|_| match self.byte() {
            small @ 0..=127 => usize::from(small) + 1,
            large => 1 << (large & 0xf),
        })
    }
}

/// Cuts bytes into pieces of these sizes, over and over.
pub(crate) fn pieces<'a>(mut bytes: &'a [u8], cuts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = cuts.iter().cycle();
    std::iter::from_fn(move || {
        let size = sizes.next()?;
        let (front, rest) = bytes.split_at((*size).min(bytes.len()));
        bytes = rest;
        (!front.is_empty()).then_some(front)
    })
}
