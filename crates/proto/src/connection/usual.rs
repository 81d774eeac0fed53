//! The usual message: whole, here, in one frame, not compressed. It costs one copy into memory of its own, and no state.
//!
//! What is not usual, or wrong, is left as it is for the rules in `receive.rs`.

use bytes::Bytes;

use crate::{
    config::Config,
    mask::{MaskingKey, apply_mask},
    message::{Message, MessageKind, Utf8Bytes},
    role::Role,
};

/// Takes the message with which `input` begins, and says how many bytes it took.
#[inline]
pub(super) fn take(input: &mut [u8], role: Role, config: &Config) -> Option<(Message, usize)> {
    let frame = Frame::find(input, role)?;
    let len = frame.end - frame.start;
    let limits = &config.limits;
    if len as u64 > limits.max_frame || len > limits.max_message || !config.accept.takes(frame.kind)
    {
        return None;
    }
    let payload = input.get_mut(frame.start..frame.end)?;
    frame.mask(payload);
    let message = match frame.kind {
        MessageKind::Binary => Message::Binary(Bytes::copy_from_slice(payload)),
        MessageKind::Text if simdutf8::basic::from_utf8(payload).is_err() => {
            frame.mask(payload);
            return None;
        }
        MessageKind::Text => {
            Message::Text(Utf8Bytes::from_validated(Bytes::copy_from_slice(payload)))
        }
    };
    Some((message, frame.end))
}

/// Where it stands.
struct Frame {
    kind: MessageKind,
    key: Option<MaskingKey>,
    start: usize,
    end: usize,
}

impl Frame {
    /// RFC 6455 §5.2, for FIN set, no reserved bit, a whole message's opcode, and less than 64 KiB in the shortest form.
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
            _ => return None,
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
        (rest.len() >= len).then_some(Self {
            kind,
            key,
            start,
            end: start + len,
        })
    }

    /// Masks or unmasks.
    fn mask(&self, payload: &mut [u8]) {
        if let Some(key) = self.key {
            apply_mask(payload, key, 0);
        }
    }
}
