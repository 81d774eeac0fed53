//! The rules for each arriving byte: frames are read, unmasked and joined to messages.

use bytes::{BufMut, Bytes, BytesMut, buf::Limit};

use super::{
    assembly::{Assembly, Current, Delivery},
    usual,
};
use crate::{
    close::CloseFrame,
    config::Config,
    deflate::Inflater,
    frame::{FrameHeader, HeaderRules},
    message::{Message, MessageKind},
    opcode::Opcode,
    role::Role,
    violation::Violation,
};

/// From how many outstanding bytes on a payload is read straight into its message: below, the extra call costs more than the
/// copy. Also the least room that is made for it; beyond, room grows with what has arrived, never with the length declared.
const DIRECT_MIN: usize = 16 << 10;

/// Compressed data of a message that is handed out in parts is decompressed up to parts of this size.
const PART: usize = 64 << 10;

/// A frame, or a message, that is complete; or a part of a message.
#[derive(Debug)]
pub(super) enum Incoming {
    Message(Message),
    Part {
        kind: MessageKind,
        payload: Bytes,
        fin: bool,
    },
    Ping(Bytes),
    Pong(Bytes),
    Close(CloseFrame),
}

/// What has been received and is not complete. Owns no buffer while nothing is.
#[derive(Debug, Default)]
pub(super) struct Receive {
    /// Bytes of the last read behind the event that was handed out: not looked at yet.
    pending: Pending,
    frame: Option<Current>,
    /// What has arrived of a header, or of the payload of a control frame, while there is more to come. Boxed, as most come whole.
    #[expect(clippy::box_collection, reason = "the place of an empty one counts")]
    front: Option<Box<Vec<u8>>>,
    /// Boxed, as the usual message needs none.
    message: Option<Box<Assembly>>,
    delivery: Delivery,
    /// There if compression was agreed on.
    inflater: Option<Box<Inflater>>,
    /// Bytes of a data frame have arrived since that was last asked.
    data_seen: bool,
}

impl Receive {
    /// Messages may come compressed.
    pub(super) fn with_inflater(inflater: Inflater) -> Self {
        Self {
            inflater: Some(Box::new(inflater)),
            ..Self::default()
        }
    }

    /// How messages are handed out from now on, the one that is arriving included.
    pub(super) fn set_delivery(&mut self, delivery: Delivery) {
        self.delivery = delivery;
        if let (Delivery::Whole, Some(message)) = (delivery, &mut self.message) {
            message.end_parts();
        }
    }

    /// Messages are handed out as they arrive.
    pub(super) fn in_parts(&self) -> bool {
        self.delivery == Delivery::Parts
    }

    /// Gives memory back that is not in use.
    pub(super) fn release_idle(&mut self) {
        if let Some(inflater) = &mut self.inflater {
            inflater.release_idle();
        }
    }

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
            self.pending = Pending::new(input.0);
        }
        Ok(incoming)
    }

    /// The message with which `input` begins, copied, if it is of the usual kind. What is behind it is kept; if there is none, all
    /// of `input` is still to be read.
    #[inline]
    pub(super) fn message(
        &mut self,
        input: &mut [u8],
        role: Role,
        config: &Config,
    ) -> Option<Message> {
        if !self.pending.is_empty() || !self.is_between_messages() {
            return None;
        }
        let (message, len) = usual::take(input, role, config)?;
        if let Some(left) = input.get(len..).filter(|left| !left.is_empty()) {
            self.pending = Pending::new(left);
        }
        Some(message)
    }

    /// The same, taken out of `buffer` if it fills at least half of it.
    #[inline]
    pub(super) fn split(
        &mut self,
        buffer: &mut BytesMut,
        role: Role,
        config: &Config,
    ) -> Option<Message> {
        if !self.pending.is_empty() || !self.is_between_messages() {
            return None;
        }
        let message = usual::split(buffer, role, config)?;
        self.hold(buffer);
        Some(message)
    }

    /// The next message, if an earlier read left one of the usual kind.
    #[inline]
    pub(super) fn next_message(&mut self, role: Role, config: &Config) -> Option<Message> {
        if self.pending.is_empty() || !self.is_between_messages() {
            return None;
        }
        let (message, len) = usual::take(self.pending.left(), role, config)?;
        self.pending.advance(len);
        Some(message)
    }

    /// A frame that comes now begins a message, to be handed out whole.
    fn is_between_messages(&self) -> bool {
        !self.is_mid_message() && !self.in_parts() && !self.is_inflating()
    }

    /// Keeps bytes for [`resume`](Self::resume).
    pub(super) fn hold(&mut self, input: &[u8]) {
        self.pending.append(input);
    }

    /// Goes on with what an earlier read left.
    pub(super) fn resume(
        &mut self,
        role: Role,
        config: &Config,
    ) -> Result<Option<Incoming>, Violation> {
        if !self.has_pending() {
            return Ok(None);
        }
        let mut pending = std::mem::take(&mut self.pending);
        let mut input = Input(pending.left());
        let incoming = self.parse(&mut input, role, config)?;
        let left = input.0.len();
        if left > 0 {
            pending.keep_last(left);
            self.pending = pending;
        }
        Ok(incoming)
    }

    /// Room for the payload that is being received, when so much is outstanding that it had better not be copied.
    pub(super) fn payload_space(&mut self) -> Option<Limit<&mut BytesMut>> {
        let frame = self.frame.as_ref()?;
        let remaining = usize::try_from(frame.remaining).unwrap_or(usize::MAX);
        if !self.pending.is_empty() || remaining < DIRECT_MIN || self.in_parts() {
            return None;
        }
        let message = self.message.as_mut()?;
        if !message.is_direct() {
            return None;
        }
        let payload = message.payload();
        if payload.capacity() - payload.len() < DIRECT_MIN {
            let more = payload.len().max(DIRECT_MIN);
            // A small rest gets its room as well, or all would be moved again for it.
            let rest = remaining.saturating_sub(more);
            payload.reserve(if rest < DIRECT_MIN { remaining } else { more });
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
        self.progress()
    }

    /// A message has begun and is not complete.
    pub(super) fn is_mid_message(&self) -> bool {
        self.message.is_some() || self.frame.is_some() || self.front.is_some()
    }

    /// Whether bytes of a data frame have arrived since this was last asked.
    pub(super) fn take_data_seen(&mut self) -> bool {
        std::mem::take(&mut self.data_seen)
    }

    /// There is something for [`resume`](Self::resume).
    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty() || self.is_inflating()
    }

    /// Compressed bytes were taken, and more may come of them.
    fn is_inflating(&self) -> bool {
        self.inflater
            .as_ref()
            .is_some_and(|inflater| inflater.has_more())
    }

    /// Bytes of heap that are held, for the tests that bound it.
    pub(super) fn held(&self) -> usize {
        self.pending.bytes.capacity()
            + self.front.as_ref().map_or(0, |front| front.capacity())
            + self
                .message
                .as_ref()
                .map_or(0, |message| message.capacity())
            + self.inflater.as_ref().map_or(0, |inflater| inflater.held())
    }

    fn parse(
        &mut self,
        input: &mut Input<'_>,
        role: Role,
        config: &Config,
    ) -> Result<Option<Incoming>, Violation> {
        loop {
            if self.is_inflating() {
                self.inflate(None, config)?;
                if let Some(incoming) = self.progress()? {
                    return Ok(Some(incoming));
                }
                continue;
            }
            if self.frame.is_none() {
                let Some(header) = self.read_header(input, role)? else {
                    return Ok(None);
                };
                self.begin_frame(header, config)?;
            }
            if let Some(incoming) = self.read_payload(input, config)? {
                return Ok(Some(incoming));
            }
            if input.0.is_empty() && !self.is_inflating() {
                return Ok(None);
            }
        }
    }

    fn rules(&self, role: Role) -> HeaderRules {
        HeaderRules {
            masked: role == Role::Server,
            rsv1: self.inflater.is_some(),
        }
    }

    /// Reads a header, which may have begun in an earlier read.
    fn read_header(
        &mut self,
        input: &mut Input<'_>,
        role: Role,
    ) -> Result<Option<FrameHeader>, Violation> {
        let rules = self.rules(role);
        if self.front.is_none()
            && let Some((header, len)) = FrameHeader::decode(input.0, rules)?
        {
            input.take(len);
            return Ok(Some(header));
        }
        // Not whole: gather it byte by byte, which needs no knowledge of how long it will be.
        while let [byte] = *input.take(1) {
            let front = self.front.get_or_insert_default();
            front.push(byte);
            if let Some((header, _)) = FrameHeader::decode(front, rules)? {
                self.front = None;
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
        let message = match (header.opcode.begins(), &mut self.message) {
            (None, None) => return Err(Violation::UnexpectedContinuation),
            (None, Some(message)) => message,
            (Some(_), Some(_)) => return Err(Violation::ExpectedContinuation),
            (Some(kind), None) if !config.accept.takes(kind) => {
                return Err(Violation::UnsupportedData);
            }
            (Some(kind), slot) => slot.insert(Box::new(Assembly::new(kind, header.rsv1))),
        };
        message.begin_fragment(header.payload_len, self.delivery, &config.limits)
    }

    /// Takes what `input` has of the current frame's payload.
    fn read_payload(
        &mut self,
        input: &mut Input<'_>,
        config: &Config,
    ) -> Result<Option<Incoming>, Violation> {
        let Some(frame) = &mut self.frame else {
            return Ok(None);
        };
        let piece = input.take(usize::try_from(frame.remaining).unwrap_or(usize::MAX));
        frame.take(piece);

        if frame.header.opcode.is_control() {
            if frame.remaining > 0 {
                self.front.get_or_insert_default().extend_from_slice(piece);
                return Ok(None);
            }
            return match self.front.take() {
                None => self.end_of_control(piece),
                Some(mut payload) => {
                    payload.extend_from_slice(piece);
                    self.end_of_control(&payload)
                }
            };
        }
        let Some(message) = &mut self.message else {
            return Ok(None);
        };
        self.data_seen = true;
        if message.compressed {
            self.inflate(Some(piece), config)?;
            return self.progress();
        }
        message.append(piece, self.delivery, &config.limits)?;
        self.progress()
    }

    /// Decompresses bytes of the message that is being received, or goes on with what was left of them.
    fn inflate(&mut self, piece: Option<&[u8]>, config: &Config) -> Result<(), Violation> {
        let (Some(message), Some(inflater)) = (&mut self.message, &mut self.inflater) else {
            return Ok(());
        };
        let delivery = self.delivery;
        let mut sink = |made: &[u8]| {
            message.append(made, delivery, &config.limits)?;
            Ok(delivery == Delivery::Whole || message.len() < PART)
        };
        match piece {
            Some(piece) => inflater.inflate(piece, &mut sink)?,
            None => inflater.resume(&mut sink)?,
        }
        let complete = self
            .frame
            .as_ref()
            .is_some_and(|frame| frame.remaining == 0 && frame.header.fin);
        if complete && !inflater.has_more() {
            inflater.finish(&mut sink)?;
        }
        Ok(())
    }

    /// What the bytes of a data frame have brought: a message, or a part of one.
    fn progress(&mut self) -> Result<Option<Incoming>, Violation> {
        let (Some(frame), Some(message)) = (&self.frame, &mut self.message) else {
            return Ok(None);
        };
        let ended = frame.remaining == 0
            && !self
                .inflater
                .as_ref()
                .is_some_and(|inflater| inflater.has_more());
        let fin = ended && frame.header.fin;
        if ended {
            self.frame = None;
        }
        if !fin {
            let part =
                self.delivery == Delivery::Parts && message.len() > 0 && !message.is_skipped();
            return Ok(part.then(|| Incoming::Part {
                kind: message.kind,
                payload: message.take_part(),
                fin: false,
            }));
        }
        message.finish()?;
        let Some(mut message) = self.message.take() else {
            return Ok(None);
        };
        if message.is_skipped() {
            return Ok(None);
        }
        Ok(match self.delivery {
            Delivery::Parts => Some(Incoming::Part {
                kind: message.kind,
                payload: message.take_part(),
                fin: true,
            }),
            Delivery::Whole => Some(Incoming::Message(message.into_message())),
        })
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

/// Bytes that were read and not looked at.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// How many of them have been looked at.
    gone: usize,
}

impl Pending {
    fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            gone: 0,
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn append(&mut self, bytes: &[u8]) {
        // Where something always waits, what is gone would otherwise never go.
        self.bytes.drain(..self.gone);
        self.gone = 0;
        self.bytes.extend_from_slice(bytes);
    }

    fn left(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.gone..).unwrap_or_default()
    }

    fn advance(&mut self, n: usize) {
        self.gone += n;
        if self.gone >= self.bytes.len() {
            *self = Self::default();
        }
    }

    fn keep_last(&mut self, n: usize) {
        self.gone = self.bytes.len() - n;
    }
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
