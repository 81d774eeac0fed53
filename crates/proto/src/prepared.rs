//! A frame encoded once, for any number of connections.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{
    connection::QUEUE_COST,
    deflate::{Deflate, compress_once},
    frame::FrameHeader,
    message::Message,
    opcode::Opcode,
};

/// One message as the bytes a server sends: header and payload in one buffer.
///
/// Cloning shares the buffer, so sending it to a thousand connections encodes and copies nothing. A client
/// connection takes it too, but has to mask a copy of the payload for each frame (RFC 6455 §5.3).
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(crate) opcode: Opcode,
    pub(crate) plain: Encoded,
    deflated: Option<Arc<Deflated>>,
}

/// One frame as bytes.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    pub(crate) frame: Bytes,
    header_len: usize,
}

impl Encoded {
    fn new(opcode: Opcode, rsv1: bool, payload: &[u8]) -> Self {
        let header = FrameHeader {
            fin: true,
            rsv1,
            opcode,
            masking_key: None,
            payload_len: payload.len() as u64,
        };
        let header_len = header.encoded_len();
        let mut frame = Vec::with_capacity(header_len + payload.len());
        header.encode(&mut frame);
        frame.extend_from_slice(payload);
        Self {
            frame: frame.into(),
            header_len,
        }
    }

    pub(crate) fn payload_len(&self) -> usize {
        self.frame.len() - self.header_len
    }

    /// The payload alone, shared.
    pub(crate) fn payload(&self) -> Bytes {
        self.frame.slice(self.header_len..)
    }
}

/// The same message compressed, made when it is first asked for.
#[derive(Debug)]
struct Deflated {
    level: u8,
    /// `None` inside if it would not be shorter.
    frame: OnceLock<Option<Encoded>>,
}

impl Prepared {
    /// Encodes `message` as one frame.
    pub fn new(message: &Message) -> Self {
        let opcode = message.kind().into();
        Self {
            opcode,
            plain: Encoded::new(opcode, false, message.as_bytes()),
            deflated: None,
        }
    }

    /// As [`new`](Self::new), and compressed once, by the first connection that takes it so: a server's on which
    /// permessage-deflate was agreed on with `server_no_context_takeover` and the full window. Others get the plain
    /// frame, as do all if the message is shorter than the [threshold](Deflate::threshold) or compressing makes it no shorter.
    pub fn compressed(message: &Message, deflate: &Deflate) -> Self {
        let deflated = (message.len() >= deflate.threshold).then(|| {
            Arc::new(Deflated {
                level: deflate.level,
                frame: OnceLock::new(),
            })
        });
        Self {
            deflated,
            ..Self::new(message)
        }
    }

    /// Bytes on the wire, header included, where it is not compressed.
    pub fn len(&self) -> usize {
        self.plain.frame.len()
    }

    /// What it counts for in [`Connection::queued`](crate::Connection::queued) where it is not compressed.
    pub fn queue_cost(&self) -> usize {
        self.len() + QUEUE_COST
    }

    /// Never: a frame has at least its header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The frame as a server sends it where it is not compressed, shared.
    pub fn frame(&self) -> Bytes {
        self.plain.frame.clone()
    }

    /// The frame as a server sends it where it is [compressed](Self::compressed), shared. Who asks first compresses it; where that makes it
    /// no shorter, it is the one that all others get.
    pub fn compressed_frame(&self) -> Bytes {
        self.deflated().unwrap_or_else(|| self.plain.clone()).frame
    }

    /// The payload alone, shared.
    pub fn payload(&self) -> Bytes {
        self.plain.payload()
    }

    /// Some connections send it compressed: those of [`compressed`](Self::compressed).
    pub fn may_be_compressed(&self) -> bool {
        self.deflated.is_some()
    }

    pub(crate) fn payload_len(&self) -> usize {
        self.plain.payload_len()
    }

    /// The compressed frame, if there is to be one.
    pub(crate) fn deflated(&self) -> Option<Encoded> {
        let deflated = self.deflated.as_ref()?;
        let made = deflated.frame.get_or_init(|| {
            let payload = compress_once(&self.payload(), deflated.level)?;
            Some(Encoded::new(self.opcode, true, &payload))
        });
        made.clone()
    }
}

/// Those of the same message are equal, compressed or not.
impl PartialEq for Prepared {
    fn eq(&self, other: &Self) -> bool {
        self.plain.frame == other.plain.frame
    }
}

impl Eq for Prepared {}

impl From<&Message> for Prepared {
    fn from(message: &Message) -> Self {
        Self::new(message)
    }
}
