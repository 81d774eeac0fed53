//! The message that is being received, frame by frame (RFC 6455 §5.4).

use bytes::BytesMut;

use crate::{
    frame::FrameHeader,
    message::{Message, Utf8Bytes},
    opcode::Opcode,
    utf8::Utf8Validator,
    violation::Violation,
};

/// What has arrived of one message.
#[derive(Debug)]
pub(super) struct Assembly {
    text: bool,
    utf8: Utf8Validator,
    payload: BytesMut,
    fragments: u32,
}

impl Assembly {
    /// A message begins with a text or binary frame.
    pub(super) fn new(opcode: Opcode) -> Self {
        Self {
            text: opcode == Opcode::Text,
            utf8: Utf8Validator::default(),
            payload: BytesMut::new(),
            fragments: 0,
        }
    }

    /// Counts one more frame and says how many there are.
    pub(super) fn begin_fragment(&mut self) -> u32 {
        self.fragments = self.fragments.saturating_add(1);
        self.fragments
    }

    /// Nothing has been kept, and this is the first frame.
    pub(super) fn is_single(&self) -> bool {
        self.fragments == 1 && self.payload.is_empty()
    }

    /// Bytes of heap held.
    pub(super) fn capacity(&self) -> usize {
        self.payload.capacity()
    }

    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    /// The buffer, for bytes to be appended; [`checked`](Self::checked) must be told of them.
    pub(super) fn payload(&mut self) -> &mut BytesMut {
        &mut self.payload
    }

    /// Takes note of the last `n` bytes, unmasked now: text is checked as it comes.
    pub(super) fn checked(&mut self, n: usize) -> Result<(), Violation> {
        if !self.text {
            return Ok(());
        }
        let piece = self
            .payload
            .get(self.payload.len() - n..)
            .unwrap_or_default();
        self.utf8.push(piece).map_err(|_| Violation::InvalidUtf8)
    }

    /// The last frame has arrived.
    pub(super) fn finish(self) -> Result<Message, Violation> {
        let payload = self.payload.freeze();
        if !self.text {
            return Ok(Message::Binary(payload));
        }
        self.utf8.finish().map_err(|_| Violation::InvalidUtf8)?;
        Ok(Message::Text(Utf8Bytes::from_validated(payload)))
    }
}

/// The frame whose payload is being received.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) header: FrameHeader,
    /// Bytes of payload still to come.
    pub(super) remaining: u64,
}

impl Current {
    pub(super) fn new(header: FrameHeader) -> Self {
        Self {
            header,
            remaining: header.payload_len,
        }
    }

    /// Unmasks the next bytes of this frame's payload and counts them.
    pub(super) fn take(&mut self, bytes: &mut [u8]) {
        if let Some(key) = self.header.masking_key {
            // Only the value modulo 4 matters.
            let phase = ((self.header.payload_len - self.remaining) % 4) as usize;
            crate::mask::apply_mask(bytes, key, phase);
        }
        self.remaining -= bytes.len() as u64;
    }
}
