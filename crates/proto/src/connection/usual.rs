//! The usual message: whole, here, in one frame, not compressed. It costs one copy into memory of its own, or none, and no state.
//!
//! What is not usual, or wrong, is left as it is for the rules in `receive.rs`.

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    config::Config,
    mask::{MaskingKey, apply_mask},
    message::{Message, MessageKind, Utf8Bytes},
    role::Role,
};

/// Copies the message with which `input` begins, and says how many bytes it took.
#[inline]
pub(super) fn take(input: &mut [u8], role: Role, config: &Config) -> Option<(Message, usize)> {
    let frame = Frame::find(input, role).filter(|frame| frame.is_within(config))?;
    let payload = input.get_mut(frame.start..frame.end)?;
    frame.unmask(payload)?;
    let message = frame.message(Bytes::copy_from_slice(payload));
    Some((message, frame.end))
}

/// Takes the message with which `buffer` begins out of it, if it fills at least half of it: whoever keeps it keeps no more than
/// twice its size.
pub(super) fn split(buffer: &mut BytesMut, role: Role, config: &Config) -> Option<Message> {
    let least = buffer.capacity() / 2;
    if buffer.len() < least {
        return None;
    }
    let frame = Frame::find(buffer, role).filter(|frame| frame.is_within(config))?;
    if frame.len() < least {
        return None;
    }
    frame.unmask(buffer.get_mut(frame.start..frame.end)?)?;
    buffer.advance(frame.start);
    let payload = buffer.split_to(frame.len()).freeze();
    Some(frame.message(payload))
}

/// Where it stands.
struct Frame {
    kind: MessageKind,
    key: Option<MaskingKey>,
    start: usize,
    end: usize,
}

impl Frame {
    /// RFC 6455 §5.2, for FIN set, no reserved bit, a whole message's opcode, and the shortest form of its length.
    #[inline]
    fn find(input: &[u8], role: Role) -> Option<Self> {
        let (&[first, second], rest) = input.split_first_chunk::<2>()?;
        let kind = match first {
            0x81 => MessageKind::Text,
            0x82 => MessageKind::Binary,
            _ => return None,
        };
        let (len, rest) = match second & 0x7f {
            len @ 0..=125 => (usize::from(len), rest),
            126 => {
                let (&len, rest) = rest.split_first_chunk::<2>()?;
                let len = u16::from_be_bytes(len);
                (usize::from(len).checked_sub(126)? + 126, rest)
            }
            _ => {
                let (&len, rest) = rest.split_first_chunk::<8>()?;
                let len = usize::try_from(u64::from_be_bytes(len)).ok()?;
                (len.checked_sub(1 << 16)? + (1 << 16), rest)
            }
        };
        // RFC 6455 §5.1: clients mask every frame, servers none.
        let masked = second & 0x80 != 0;
        let (key, rest) = match role {
            Role::Server if masked => {
                let (&key, rest) = rest.split_first_chunk::<4>()?;
                (Some(key), rest)
            }
            Role::Client if !masked => (None, rest),
            _ => return None,
        };
        let start = input.len() - rest.len();
        (rest.len() >= len).then(|| Self {
            kind,
            key,
            start,
            end: start + len,
        })
    }

    fn len(&self) -> usize {
        self.end - self.start
    }

    fn is_within(&self, config: &Config) -> bool {
        let limits = &config.limits;
        self.len() as u64 <= limits.max_frame
            && self.len() <= limits.max_message
            && config.accept.takes(self.kind)
    }

    /// Unmasks the payload, unless it is then no text but ought to be.
    #[inline]
    fn unmask(&self, payload: &mut [u8]) -> Option<()> {
        if let Some(key) = self.key {
            apply_mask(payload, key, 0);
        }
        if self.kind == MessageKind::Text && simdutf8::basic::from_utf8(payload).is_err() {
            self.mask_again(payload);
            return None;
        }
        Some(())
    }

    #[cold]
    fn mask_again(&self, payload: &mut [u8]) {
        if let Some(key) = self.key {
            apply_mask(payload, key, 0);
        }
    }

    /// The message, once its payload is unmasked.
    fn message(&self, payload: Bytes) -> Message {
        match self.kind {
            MessageKind::Binary => Message::Binary(payload),
            MessageKind::Text => Message::Text(Utf8Bytes::from_validated(payload)),
        }
    }
}
