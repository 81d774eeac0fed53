//! The message that is being received, frame by frame (RFC 6455 §5.4).

use bytes::{Bytes, BytesMut};

use crate::{
    config::Limits,
    frame::FrameHeader,
    message::{Message, MessageKind, Utf8Bytes},
    utf8::Utf8Validator,
    violation::Violation,
};

/// How a message is handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Delivery {
    /// At its end, whole.
    #[default]
    Whole,
    /// As it arrives.
    Parts,
}

/// What has arrived of one message and was not handed out.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) kind: MessageKind,
    /// RSV1 of the first frame (RFC 7692 §6).
    pub(super) compressed: bool,
    utf8: Utf8Validator,
    payload: BytesMut,
    fragments: u32,
    /// Bytes of payload of the frames that have begun, as they are on the wire.
    announced: u64,
    /// A frame of it began while parts were wanted, so that its length was not held against the limits.
    unchecked: bool,
    /// Parts of it were handed out, so it cannot be handed out whole.
    parted: bool,
    /// Bytes thrown away since nobody wants more parts of it.
    skipped: Option<usize>,
}

impl Assembly {
    /// A message begins with a text or binary frame.
    pub(super) fn new(kind: MessageKind, compressed: bool) -> Self {
        Self {
            kind,
            compressed,
            utf8: Utf8Validator::default(),
            payload: BytesMut::new(),
            fragments: 0,
            announced: 0,
            unchecked: false,
            parted: false,
            skipped: None,
        }
    }

    /// Checks a frame of it against the limits, before a byte of it is kept. They bound what is kept, so a message that is
    /// handed out as it arrives may have any size.
    pub(super) fn begin_fragment(
        &mut self,
        payload_len: u64,
        delivery: Delivery,
        limits: &Limits,
    ) -> Result<(), Violation> {
        self.fragments = self.fragments.saturating_add(1);
        if delivery == Delivery::Parts || self.is_skipped() {
            self.unchecked = true;
            return Ok(());
        }
        self.announced = self
            .announced
            .checked_add(payload_len)
            .ok_or(Violation::MessageTooBig)?;
        if payload_len > self.on_wire(limits.max_frame, 1) {
            return Err(Violation::FrameTooBig);
        }
        if self.announced > self.on_wire(limits.max_message as u64, self.fragments) {
            return Err(Violation::MessageTooBig);
        }
        if self.fragments > limits.max_fragments {
            return Err(Violation::TooManyFragments);
        }
        Ok(())
    }

    /// How long a payload of at most `max` bytes may be on the wire: what cannot be compressed gets a little longer, and
    /// so does each fragment that can be read at once.
    fn on_wire(&self, max: u64, fragments: u32) -> u64 {
        if self.compressed {
            max.saturating_add(max / 64)
                .saturating_add(64 * u64::from(fragments))
        } else {
            max
        }
    }

    /// Its bytes may be kept as they come: whatever its frames hold is within the limits, and nothing has to be made of it.
    pub(super) fn is_direct(&self) -> bool {
        !(self.compressed || self.is_skipped() || self.unchecked)
    }

    /// No more parts of it are wanted: if there were any, what is still to come is thrown away.
    pub(super) fn end_parts(&mut self) {
        if self.parted {
            self.skipped.get_or_insert(0);
        }
    }

    /// What arrives is thrown away.
    pub(super) fn is_skipped(&self) -> bool {
        self.skipped.is_some()
    }

    /// Bytes of heap held.
    pub(super) fn capacity(&self) -> usize {
        self.payload.capacity()
    }

    /// Bytes kept.
    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    /// The buffer, for bytes to be appended; [`checked`](Self::checked) must be told of them.
    pub(super) fn payload(&mut self) -> &mut BytesMut {
        &mut self.payload
    }

    /// Keeps bytes of the payload, as the application will see them.
    pub(super) fn append(
        &mut self,
        piece: &[u8],
        delivery: Delivery,
        limits: &Limits,
    ) -> Result<(), Violation> {
        if let Some(skipped) = &mut self.skipped {
            *skipped = skipped.saturating_add(piece.len());
            return within(*skipped, limits);
        }
        if delivery == Delivery::Whole {
            within(self.len().saturating_add(piece.len()), limits)?;
        }
        self.payload.extend_from_slice(piece);
        self.checked(piece.len())
    }

    /// Takes note of the last `n` bytes, unmasked now: text is checked as it comes.
    pub(super) fn checked(&mut self, n: usize) -> Result<(), Violation> {
        if self.kind == MessageKind::Binary {
            return Ok(());
        }
        let piece = self
            .payload
            .get(self.payload.len() - n..)
            .unwrap_or_default();
        self.utf8.push(piece).map_err(|_| Violation::InvalidUtf8)
    }

    /// What has arrived since the last part.
    pub(super) fn take_part(&mut self) -> Bytes {
        self.parted = true;
        std::mem::take(&mut self.payload).freeze()
    }

    /// The last frame has arrived: text must not end within a character.
    pub(super) fn finish(&self) -> Result<(), Violation> {
        if self.kind == MessageKind::Binary || self.is_skipped() {
            return Ok(());
        }
        self.utf8.finish().map_err(|_| Violation::InvalidUtf8)
    }

    /// The whole message, once it is finished.
    pub(super) fn into_message(self) -> Message {
        let payload = self.payload.freeze();
        match self.kind {
            MessageKind::Binary => Message::Binary(payload),
            MessageKind::Text => Message::Text(Utf8Bytes::from_validated(payload)),
        }
    }
}

fn within(len: usize, limits: &Limits) -> Result<(), Violation> {
    if len > limits.max_message {
        Err(Violation::MessageTooBig)
    } else {
        Ok(())
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
