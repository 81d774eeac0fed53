//! What leaves, and in which order.
//!
//! A server's small messages are framed when they are given, one behind the other: see `framed.rs`. Everything else waits as it
//! was given, and [`Transmit::fill`] frames as much as one write can take into a [`Batch`] that the driver lends. So an idle
//! connection owns no output buffer, control frames go first at every frame boundary, and a frame that was written in part is
//! all that has to be kept.

use std::{collections::VecDeque, time::Instant};

use bytes::{Buf, Bytes};

use super::{
    batch::{Batch, Framer, Sent},
    error::SendErrorKind,
    framed::{Frames, Room},
    outgoing::{Outgoing, QUEUE_COST},
};
use crate::{
    close::CloseFrame, config::Limits, deflate::Deflater, mask::MaskingKey, message::MessageKind,
    opcode::Opcode, prepared::Encoded, role::Role, utf8::Utf8Validator,
};

/// A server's payloads from this size on are written from where they are; shorter ones are copied behind their header.
pub(super) const SHARE_MIN: usize = 4 << 10;

/// A data message on its way out, or a part of one.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, in any combination"
)]
#[derive(Debug)]
pub(super) struct Data {
    pub(super) opcode: Opcode,
    /// Payload that is not framed yet.
    pub(super) payload: Bytes,
    /// It is compressed, which the first frame says (RFC 7692 §6).
    pub(super) compressed: bool,
    /// The whole frame, if it came encoded and this endpoint need not mask.
    pub(super) encoded: bool,
    /// Some fragment of the message has gone, or stands before this part.
    pub(super) begun: bool,
    /// The message ends with it.
    pub(super) fin: bool,
    /// What comes behind it is compressed so that it refers to it.
    pub(super) referred_to: bool,
    /// What it counts for in `queued`.
    pub(super) cost: usize,
}

impl Data {
    /// Nobody misses it but the application at the other end: no part of it has gone, and nothing refers to it.
    fn is_droppable(&self) -> bool {
        !self.begun && !self.referred_to
    }
}

/// A message as it is going to leave: as frames of its own, or as one that was encoded before.
enum Form {
    Payload(Opcode, Bytes),
    Frame(Opcode, Encoded),
}

/// Everything that waits to be written.
#[derive(Debug, Default)]
pub(super) struct Transmit {
    /// Messages that are framed already. They were given before those in `data`.
    framed: Frames,
    data: VecDeque<Data>,
    /// What the messages in `data` count for.
    queued: usize,
    /// There if compression was agreed on.
    deflater: Option<Box<Deflater>>,
    /// The message that is being sent in parts.
    parts: Option<Box<Parts>>,
    /// Boxed, as is `rest`: most connections have neither most of the time, and idle connections are many.
    control: Option<Box<Control>>,
    rest: Option<Box<Rest>>,
}

/// The control frames that wait.
#[derive(Debug, Default)]
struct Control {
    pongs: VecDeque<Bytes>,
    pings: VecDeque<Bytes>,
    close: Option<CloseFrame>,
    /// The transport has taken some of the Close; what it has not is in the rest.
    close_begun: bool,
}

impl Control {
    fn is_empty(&self) -> bool {
        self.pongs.is_empty() && self.pings.is_empty() && self.close_to_write().is_none()
    }

    fn close_to_write(&self) -> Option<&CloseFrame> {
        self.close.as_ref().filter(|_| !self.close_begun)
    }
}

/// The rest of a frame of which the transport took a part: copied bytes, then shared ones.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) copied: Vec<u8>,
    pub(super) shared: Bytes,
}

impl Rest {
    pub(super) fn len(&self) -> usize {
        self.copied.len() + self.shared.len()
    }
}

/// A message of which not all parts have been queued.
#[derive(Debug)]
struct Parts {
    kind: MessageKind,
    utf8: Utf8Validator,
    compressed: bool,
    /// The first part has been queued.
    begun: bool,
}

impl Transmit {
    /// Messages may be compressed.
    pub(super) fn with_deflater(deflater: Deflater) -> Self {
        Self {
            deflater: Some(Box::new(deflater)),
            ..Self::default()
        }
    }

    pub(super) fn push_data(
        &mut self,
        now: Instant,
        outgoing: Outgoing,
        role: Role,
        fragment: usize,
    ) {
        if self.push_small(&outgoing, role, fragment) {
            return;
        }
        let (form, is_compressed) = self.form(now, outgoing, role);
        let takes_over = self
            .deflater
            .as_ref()
            .is_some_and(|deflater| deflater.takes_over());
        let referred_to = is_compressed && takes_over;
        let (opcode, payload, encoded) = match form {
            Form::Payload(opcode, payload) => (opcode, payload, false),
            // As it is, unless it has to be masked or cut.
            Form::Frame(opcode, encoded)
                if role == Role::Server && encoded.payload_len() <= fragment =>
            {
                (opcode, encoded.frame, true)
            }
            Form::Frame(opcode, encoded) => (opcode, encoded.payload(), false),
        };
        self.push(Data {
            opcode,
            cost: payload.len() + QUEUE_COST,
            payload,
            compressed: is_compressed,
            encoded,
            begun: false,
            fin: true,
            referred_to,
        });
    }

    /// The length from which on a message may not be framed beside what waits here, before it: zero where none may be.
    pub(super) fn small_len(&self, role: Role, fragment: usize) -> usize {
        if role == Role::Client || !self.data.is_empty() || !self.framed.is_empty() {
            return 0;
        }
        let compressed = self
            .deflater
            .as_ref()
            .map_or(usize::MAX, |deflater| deflater.compresses_from());
        SHARE_MIN.min(fragment.saturating_add(1)).min(compressed)
    }

    /// Puts what was framed elsewhere before all other data, and keeps the memory in which that is until it is
    /// [taken back](Self::reclaim).
    pub(super) fn hand_over(&mut self, room: &mut Room) {
        self.framed.put_before(&mut room.frames);
    }

    /// Gives back the memory of what was handed over. What still waits in it is copied.
    pub(super) fn reclaim(&mut self, room: &mut Room) {
        self.framed.reclaim(&mut room.frames);
    }

    /// Frames a message at once, if it is small and goes as it is, and nothing is before it that is not framed.
    #[inline]
    pub(super) fn push_small(&mut self, outgoing: &Outgoing, role: Role, fragment: usize) -> bool {
        let len = outgoing.len();
        let small = role == Role::Server
            && len < SHARE_MIN
            && len <= fragment
            && self.data.is_empty()
            && !self.framed.is_full()
            && self
                .deflater
                .as_ref()
                .is_none_or(|deflater| deflater.leaves(len));
        if small {
            self.framed.push(outgoing, len);
        }
        small
    }

    /// What is to be queued of it, and whether it is compressed.
    fn form(&mut self, now: Instant, outgoing: Outgoing, role: Role) -> (Form, bool) {
        let (message, compressed) = match outgoing {
            Outgoing::Prepared(p) => {
                let takes = self.compresses_prepared(role, p.payload_len());
                let compressed = if takes { p.deflated() } else { None };
                let is_compressed = compressed.is_some();
                let frame = compressed.unwrap_or(p.plain);
                return (Form::Frame(p.opcode, frame), is_compressed);
            }
            Outgoing::Uncompressed(message) => (message, None),
            Outgoing::Message(message) => {
                let deflater = self.deflater.as_mut();
                let compressed = deflater.and_then(|d| d.message(now, message.as_bytes()));
                (message, compressed)
            }
        };
        let is_compressed = compressed.is_some();
        let opcode = message.kind().into();
        let payload = compressed.unwrap_or_else(|| message.into_bytes());
        (Form::Payload(opcode, payload), is_compressed)
    }

    /// Whether a message of this length leaves as it was compressed for many.
    pub(super) fn compresses_prepared(&self, role: Role, len: usize) -> bool {
        let deflater = self.deflater.as_ref();
        role == Role::Server && deflater.is_some_and(|deflater| deflater.takes_prepared(len))
    }

    /// Queues the next part of a message.
    pub(super) fn push_part(
        &mut self,
        now: Instant,
        kind: MessageKind,
        payload: Bytes,
        fin: bool,
    ) -> Result<(), SendErrorKind> {
        let mut parts = self.parts.take().unwrap_or_else(|| {
            Box::new(Parts {
                kind,
                utf8: Utf8Validator::default(),
                compressed: self
                    .deflater
                    .as_ref()
                    .is_some_and(|deflater| deflater.takes_parts()),
                begun: false,
            })
        });
        let mut utf8 = parts.utf8;
        let valid = parts.kind == MessageKind::Binary
            || (utf8.push(&payload).is_ok() && (!fin || utf8.finish().is_ok()));
        if !valid {
            self.parts = Some(parts).filter(|parts| parts.begun);
            return Err(SendErrorKind::NotUtf8);
        }
        parts.utf8 = utf8;
        if payload.is_empty() && !fin {
            self.parts = Some(parts).filter(|parts| parts.begun);
            return Ok(());
        }
        let payload = match &mut self.deflater {
            Some(deflater) if parts.compressed => deflater.part(now, &payload, fin),
            _ => payload,
        };
        self.push(Data {
            opcode: parts.kind.into(),
            cost: payload.len() + QUEUE_COST,
            payload,
            compressed: parts.compressed,
            encoded: false,
            begun: parts.begun,
            fin,
            // A part can't be left out.
            referred_to: true,
        });
        if !fin {
            parts.begun = true;
            self.parts = Some(parts);
        }
        Ok(())
    }

    /// A message in parts is not complete.
    pub(super) fn in_parts(&self) -> bool {
        self.parts.is_some()
    }

    fn push(&mut self, data: Data) {
        self.queued += data.cost;
        self.data.push_back(data);
    }

    /// Drops the oldest messages that may be dropped until less than `below` is queued, and says how many; drops none if
    /// even all of them are not enough.
    pub(super) fn drop_oldest_until(&mut self, below: usize) -> Option<usize> {
        let Some(mut excess) = (self.queued() + 1).checked_sub(below) else {
            return Some(0);
        };
        let mut dropped = 0;
        let framed = self.framed.costs();
        let data = self.data.iter().filter(|data| data.is_droppable());
        for cost in framed.chain(data.map(|data| data.cost)) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(cost);
            dropped += 1;
        }
        if excess > 0 {
            return None;
        }
        let framed = self.framed.drop_oldest(dropped);
        for _ in framed..dropped {
            let oldest = self.data.iter().position(Data::is_droppable)?;
            self.queued -= self.data.remove(oldest)?.cost;
        }
        Some(dropped)
    }

    /// When the compressor has not been in use for long enough to be [released](Self::release_idle).
    pub(super) fn idle_at(&self) -> Option<Instant> {
        let deflater = self.deflater.as_ref();
        // A message that is sent in parts needs it to its end.
        deflater.filter(|_| self.parts.is_none())?.idle_at()
    }

    /// Drops the compressor if it is idle.
    pub(super) fn release_idle(&mut self, now: Instant) {
        if self.idle_at().is_some_and(|at| at <= now)
            && let Some(deflater) = &mut self.deflater
        {
            deflater.release();
        }
    }

    /// Pongs that wait to be written.
    pub(super) fn pongs(&self) -> usize {
        self.control
            .as_ref()
            .map_or(0, |control| control.pongs.len())
    }

    /// Owes the peer a pong. From `max` owed ones on only the latest is kept (RFC 6455 §5.5.3).
    pub(super) fn push_pong(&mut self, payload: Bytes, max: usize) {
        let pongs = &mut self.control.get_or_insert_default().pongs;
        if pongs.len() >= max {
            pongs.clear();
        }
        pongs.push_back(payload);
    }

    pub(super) fn push_ping(&mut self, payload: Bytes) {
        self.control
            .get_or_insert_default()
            .pings
            .push_back(payload);
    }

    /// Drops a ping that has not gone, if it is still here.
    pub(super) fn drop_ping(&mut self, payload: &[u8]) {
        if let Some(control) = &mut self.control
            && control
                .pings
                .front()
                .is_some_and(|oldest| oldest == payload)
        {
            control.pings.pop_front();
        }
    }

    /// The Close goes behind all that was accepted: also the pongs, which are owed for pings that came before a Close
    /// did (RFC 6455 §5.5.2).
    pub(super) fn push_close(&mut self, frame: CloseFrame) {
        self.control.get_or_insert_default().close = Some(frame);
    }

    /// Bytes of data accepted and not written, with a fixed cost for each message.
    pub(super) fn queued(&self) -> usize {
        self.framed.cost() + self.queued + self.rest.as_ref().map_or(0, |rest| rest.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.framed.is_empty() && self.data.is_empty() && !self.has_control()
    }

    /// Something waits that should not wait for the application: a control frame, or the rest of a frame, before which
    /// no control frame can go.
    pub(super) fn has_control(&self) -> bool {
        self.rest.is_some()
            || self
                .control
                .as_ref()
                .is_some_and(|control| !control.is_empty())
    }

    /// The transport has taken some of the Close, behind which nothing goes.
    pub(super) fn close_begun(&self) -> bool {
        self.control
            .as_ref()
            .is_some_and(|control| control.close_begun)
    }

    /// The transport has taken the whole Close.
    pub(super) fn close_written(&self) -> bool {
        self.rest.is_none() && self.close_begun()
    }

    /// Bytes of heap that are held, for the tests that bound it.
    pub(super) fn held(&self) -> usize {
        let control = self.control.as_ref().map_or(0, |control| {
            (control.pongs.capacity() + control.pings.capacity()) * size_of::<Bytes>()
        });
        let rest = self.rest.as_ref().map_or(0, |rest| rest.len());
        let deflater = self.deflater.as_ref().map_or(0, |deflater| deflater.held());
        self.framed.held() + self.data.capacity() * size_of::<Data>() + control + rest + deflater
    }

    /// Frames what one write can take, in order: what is left of a frame, pongs, pings, data, Close.
    pub(super) fn fill(
        &self,
        batch: &mut Batch,
        role: Role,
        limits: &Limits,
        key: &mut dyn FnMut() -> MaskingKey,
    ) {
        batch.clear();
        let mut framer = Framer { batch, role, key };
        if let Some(rest) = &self.rest {
            framer.rest(rest);
        }
        if let Some(control) = &self.control {
            for payload in &control.pongs {
                framer.control(Opcode::Pong, payload, Sent::Pong);
            }
            for payload in &control.pings {
                framer.control(Opcode::Ping, payload, Sent::Ping);
            }
        }
        framer.framed(&self.framed);
        for data in &self.data {
            // A fragment of nothing would never come to an end.
            if !framer.data(data, limits.fragment.max(1)) {
                return;
            }
        }
        if let Some(close) = self
            .control
            .as_ref()
            .and_then(|control| control.close_to_write())
        {
            framer.close(close);
        }
    }

    /// The transport took the first `n` bytes of `batch`.
    pub(super) fn written(&mut self, batch: &Batch, n: usize) {
        let mut left = n;
        for frame in &batch.frames {
            if left == 0 {
                break;
            }
            let copied = batch.inline.get(frame.inline.clone()).unwrap_or_default();
            let gone = left.min(copied.len() + frame.shared.len());
            left -= gone;
            if let Sent::Framed = frame.sent {
                self.framed_written(gone);
                continue;
            }
            self.sent(&frame.sent);
            self.rest = frame.rest(copied, gone).map(Box::new);
        }
        self.release_when_empty();
    }

    /// What is framed, if nothing else is to be written.
    pub(super) fn only_framed(&self) -> Option<&[u8]> {
        let only = self.data.is_empty() && !self.has_control() && !self.framed.is_empty();
        only.then(|| self.framed.as_bytes())
    }

    /// So many bytes have gone of what is framed.
    pub(super) fn framed_written(&mut self, n: usize) {
        let copied = self.framed.written(n);
        let shared = Bytes::new();
        self.rest = copied.map(|copied| Box::new(Rest { copied, shared }));
        self.framed.release_when_empty();
    }

    /// The frame has gone, or what is left of it becomes the rest.
    fn sent(&mut self, sent: &Sent) {
        match (sent, &mut self.control) {
            (Sent::Pong, Some(control)) => drop(control.pongs.pop_front()),
            (Sent::Ping, Some(control)) => drop(control.pings.pop_front()),
            (Sent::Close, Some(control)) => control.close_begun = true,
            (Sent::Data { fragment, last }, _) => self.sent_data(*fragment, *last),
            (Sent::Rest | Sent::Framed | Sent::Pong | Sent::Ping | Sent::Close, _) => {}
        }
    }

    fn sent_data(&mut self, fragment: usize, last: bool) {
        if last {
            let gone = self.data.pop_front();
            self.queued -= gone.map_or(0, |data| data.cost);
        } else if let Some(data) = self.data.front_mut() {
            data.begun = true;
            data.payload.advance(fragment.min(data.payload.len()));
            data.cost -= fragment;
            self.queued -= fragment;
        }
    }

    /// An idle connection holds no heap.
    fn release_when_empty(&mut self) {
        self.framed.release_when_empty();
        release(&mut self.data);
        if let Some(control) = &mut self.control {
            release(&mut control.pongs);
            release(&mut control.pings);
            // Once there is a Close, what became of it has to be known.
            if control.is_empty() && control.close.is_none() {
                self.control = None;
            }
        }
    }
}

/// Gives an empty queue's heap back.
fn release<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() {
        *queue = VecDeque::new();
    }
}
