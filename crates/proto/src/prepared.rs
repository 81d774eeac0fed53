//! A frame encoded once, for any number of connections.

use bytes::Bytes;

use crate::{frame::FrameHeader, message::Message, opcode::Opcode};

/// One message as the bytes a server sends: header and payload in one buffer.
///
/// Cloning shares the buffer, so sending it to a thousand connections encodes and copies nothing. A client
/// connection takes it too, but has to mask a copy of the payload for each frame (RFC 6455 §5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    pub(crate) opcode: Opcode,
    pub(crate) frame: Bytes,
    pub(crate) header_len: usize,
}

impl Prepared {
    /// Encodes `message` as one frame.
    pub fn new(message: &Message) -> Self {
        let opcode = match message {
            Message::Text(_) => Opcode::Text,
            Message::Binary(_) => Opcode::Binary,
        };
        let payload = message.as_bytes();
        let header = FrameHeader {
            fin: true,
            rsv1: false,
            opcode,
            masking_key: None,
            payload_len: payload.len() as u64,
        };
        let mut frame = Vec::with_capacity(header.encoded_len() + payload.len());
        header.encode(&mut frame);
        let header_len = frame.len();
        frame.extend_from_slice(payload);
        Self {
            opcode,
            frame: frame.into(),
            header_len,
        }
    }

    /// Bytes on the wire, header included.
    pub fn len(&self) -> usize {
        self.frame.len()
    }

    /// Never: a frame has at least its header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The payload alone, shared.
    pub fn payload(&self) -> Bytes {
        self.frame.slice(self.header_len..)
    }
}

impl From<&Message> for Prepared {
    fn from(message: &Message) -> Self {
        Self::new(message)
    }
}
