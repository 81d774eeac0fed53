//! The rules for each arriving byte: frames are read, unmasked and joined to messages.

use bytes::{Buf, BufMut, Bytes, BytesMut, buf::Limit};

use super::assembly::{Assembly, Current};
use crate::{
    close::CloseFrame,
    config::{Accept, Config, Limits},
    frame::{FrameHeader, HeaderRules, MAX_HEADER_LEN},
    message::{Message, Utf8Bytes},
    opcode::Opcode,
    role::Role,
    violation::Violation,
};

/// From how many outstanding bytes on a payload is read straight into its message: below, the extra call costs more than the
/// copy. Also the least room that is made for it; beyond, room grows with what has arrived, never with the length declared.
const DIRECT_MIN: usize = 16 << 10;

/// A frame, or a message, that is complete.
#[derive(Debug)]
pub(super) enum Incoming {
    Message(Message),
    Ping(Bytes),
    Pong(Bytes),
    Close(CloseFrame),
}

/// What has been received and is not complete. Owns no buffer while nothing is.
#[derive(Debug, Default)]
pub(super) struct Receive {
    /// Bytes of the last read behind the event that was handed out: not looked at yet.
    pending: BytesMut,
    /// The front of a header that has not wholly arrived.
    head: [u8; MAX_HEADER_LEN],
    head_len: u8,
    frame: Option<Current>,
    /// What has arrived of a control frame's payload.
    control: Vec<u8>,
    message: Option<Assembly>,
    /// Bytes of a data frame have arrived since that was last asked.
    data_seen: bool,
}

impl Receive {
    /// Reads `input` up to the first thing that is complete. What is behind it is kept for [`resume`](Self::resume).
    pub(super) fn input(
        &mut self,
        input: &mut [u8],
        role: Role,
        config: &Config,
    ) -> Result<Option<Incoming>, Violation> {
        if !self.pending.is_empty() {
            self.hold(input);
            return self.resume(role, config);
        }
        let mut input = Input(input);
        let incoming = self.parse(&mut input, role, config)?;
        if !input.0.is_empty() {
            self.pending = BytesMut::from(&*input.0);
        }
        Ok(incoming)
    }

    /// Keeps bytes for [`resume`](Self::resume).
    pub(super) fn hold(&mut self, input: &[u8]) {
        self.pending.extend_from_slice(input);
    }

    /// Goes on with what an earlier read left.
    pub(super) fn resume(
        &mut self,
        role: Role,
        config: &Config,
    ) -> Result<Option<Incoming>, Violation> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        let mut pending = std::mem::take(&mut self.pending);
        let mut input = Input(&mut pending);
        let incoming = self.parse(&mut input, role, config)?;
        let left = input.0.len();
        if left > 0 {
            pending.advance(pending.len() - left);
            self.pending = pending;
        }
        Ok(incoming)
    }

    /// Room for the payload that is being received, when so much is outstanding that it had better not be copied.
    pub(super) fn payload_space(&mut self) -> Option<Limit<&mut BytesMut>> {
        let frame = self.frame.as_ref()?;
        let remaining = usize::try_from(frame.remaining).unwrap_or(usize::MAX);
        if !self.pending.is_empty() || remaining < DIRECT_MIN {
            return None;
        }
        let payload = self.message.as_mut()?.payload();
        if payload.capacity() - payload.len() < DIRECT_MIN {
            payload.reserve(remaining.min(payload.len().max(DIRECT_MIN)));
        }
        let room = payload.capacity() - payload.len();
        Some(payload.limit(remaining.min(room)))
    }

    /// The last `n` bytes of the message are fresh from the transport.
    pub(super) fn payload_received(&mut self, n: usize) -> Result<Option<Incoming>, Violation> {
        let (Some(frame), Some(message)) = (&mut self.frame, &mut self.message) else {
            return Ok(None);
        };
        self.data_seen = true;
        let payload = message.payload();
        let start = payload.len() - n;
        frame.take(payload.get_mut(start..).unwrap_or_default());
        message.checked(n)?;
        self.end_of_frame()
    }

    /// A message has begun and is not complete.
    pub(super) fn is_mid_message(&self) -> bool {
        self.message.is_some() || self.frame.is_some() || self.head_len > 0
    }

    /// Whether bytes of a data frame have arrived since this was last asked.
    pub(super) fn take_data_seen(&mut self) -> bool {
        std::mem::take(&mut self.data_seen)
    }

    /// Bytes are waiting for [`resume`](Self::resume).
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Bytes of heap that are held, for the tests that bound it.
    pub(super) fn held(&self) -> usize {
        self.pending.capacity()
            + self.control.capacity()
            + self.message.as_ref().map_or(0, Assembly::capacity)
    }

    fn parse(
        &mut self,
        input: &mut Input<'_>,
        role: Role,
        config: &Config,
    ) -> Result<Option<Incoming>, Violation> {
        loop {
            if self.frame.is_none() {
                let Some(header) = self.read_header(input, role)? else {
                    return Ok(None);
                };
                self.begin_frame(header, config)?;
            }
            if let Some(incoming) = self.read_payload(input)? {
                return Ok(Some(incoming));
            }
            if input.0.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Reads a header, which may have begun in an earlier read.
    fn read_header(
        &mut self,
        input: &mut Input<'_>,
        role: Role,
    ) -> Result<Option<FrameHeader>, Violation> {
        let rules = HeaderRules {
            masked: role == Role::Server,
            rsv1: false,
        };
        if self.head_len == 0
            && let Some((header, len)) = FrameHeader::decode(input.0, rules)?
        {
            input.take(len);
            return Ok(Some(header));
        }
        // Not whole: gather it byte by byte, which needs no knowledge of how long it will be.
        while let [byte] = *input.take(1) {
            if let Some(slot) = self.head.get_mut(usize::from(self.head_len)) {
                *slot = byte;
                self.head_len += 1;
            }
            let head = self
                .head
                .get(..usize::from(self.head_len))
                .unwrap_or_default();
            if let Some((header, _)) = FrameHeader::decode(head, rules)? {
                self.head_len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// What the header alone decides: order of frames, limits, accepted types.
    fn begin_frame(&mut self, header: FrameHeader, config: &Config) -> Result<(), Violation> {
        if header.opcode.is_data() {
            self.begin_data_frame(header, config)?;
        }
        self.frame = Some(Current::new(header));
        Ok(())
    }

    fn begin_data_frame(&mut self, header: FrameHeader, config: &Config) -> Result<(), Violation> {
        // RFC 6455 §5.4: the fragments of one message are not interleaved with those of another.
        match (header.opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(Violation::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(Violation::ExpectedContinuation);
            }
            _ => {}
        }
        match (config.accept, header.opcode) {
            (Accept::TextOnly, Opcode::Binary) | (Accept::BinaryOnly, Opcode::Text) => {
                return Err(Violation::UnsupportedData);
            }
            _ => {}
        }
        let message = self
            .message
            .get_or_insert_with(|| Assembly::new(header.opcode));
        check_size(header.payload_len, message, &config.limits)
    }

    /// Takes what `input` has of the current frame's payload.
    fn read_payload(&mut self, input: &mut Input<'_>) -> Result<Option<Incoming>, Violation> {
        let Some(frame) = &mut self.frame else {
            return Ok(None);
        };
        let piece = input.take(usize::try_from(frame.remaining).unwrap_or(usize::MAX));
        frame.take(piece);

        if frame.header.opcode.is_control() {
            if frame.remaining == 0 && self.control.is_empty() {
                return self.end_of_control(piece);
            }
            self.control.extend_from_slice(piece);
            return self.end_of_frame();
        }
        let Some(message) = &mut self.message else {
            return Ok(None);
        };
        self.data_seen = true;
        if frame.remaining == 0 && frame.header.fin && message.is_single() {
            // The usual case: the whole message is here, in one frame. It costs one copy into memory of its own.
            let message = whole_message(frame.header.opcode, piece)?;
            self.frame = None;
            self.message = None;
            return Ok(Some(Incoming::Message(message)));
        }
        message.payload().extend_from_slice(piece);
        message.checked(piece.len())?;
        self.end_of_frame()
    }

    /// If the current frame's payload is complete: what it completes.
    fn end_of_frame(&mut self) -> Result<Option<Incoming>, Violation> {
        let Some(frame) = &self.frame else {
            return Ok(None);
        };
        if frame.remaining > 0 {
            return Ok(None);
        }
        let header = frame.header;
        if header.opcode.is_control() {
            let payload = std::mem::take(&mut self.control);
            return self.end_of_control(&payload);
        }
        self.frame = None;
        if !header.fin {
            return Ok(None);
        }
        let Some(message) = self.message.take() else {
            return Ok(None);
        };
        message
            .finish()
            .map(|message| Some(Incoming::Message(message)))
    }

    fn end_of_control(&mut self, payload: &[u8]) -> Result<Option<Incoming>, Violation> {
        let Some(frame) = self.frame.take() else {
            return Ok(None);
        };
        Ok(Some(match frame.header.opcode {
            Opcode::Ping => Incoming::Ping(Bytes::copy_from_slice(payload)),
            Opcode::Pong => Incoming::Pong(Bytes::copy_from_slice(payload)),
            _ => Incoming::Close(CloseFrame::decode(payload)?),
        }))
    }
}

/// Checks a data frame against the limits before a byte of it is kept.
fn check_size(payload_len: u64, message: &mut Assembly, limits: &Limits) -> Result<(), Violation> {
    if payload_len > limits.max_frame {
        return Err(Violation::FrameTooBig);
    }
    let total = payload_len
        .checked_add(message.len() as u64)
        .ok_or(Violation::MessageTooBig)?;
    if total > limits.max_message as u64 {
        return Err(Violation::MessageTooBig);
    }
    if message.begin_fragment() > limits.max_fragments {
        return Err(Violation::TooManyFragments);
    }
    Ok(())
}

fn whole_message(opcode: Opcode, payload: &[u8]) -> Result<Message, Violation> {
    if opcode == Opcode::Text {
        if simdutf8::basic::from_utf8(payload).is_err() {
            return Err(Violation::InvalidUtf8);
        }
        return Ok(Message::Text(Utf8Bytes::from_validated(
            Bytes::copy_from_slice(payload),
        )));
    }
    Ok(Message::Binary(Bytes::copy_from_slice(payload)))
}

/// Bytes that arrived and were not looked at yet.
struct Input<'a>(&'a mut [u8]);

impl<'a> Input<'a> {
    /// Splits off the first `n` bytes, or all if there are fewer.
    fn take(&mut self, n: usize) -> &'a mut [u8] {
        let all = std::mem::take(&mut self.0);
        let (front, rest) = all.split_at_mut(n.min(all.len()));
        self.0 = rest;
        front
    }
}
