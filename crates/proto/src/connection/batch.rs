//! Frames for one write, in memory that a driver lends.

use std::{io::IoSlice, ops::Range};

use bytes::Bytes;

use super::{
    framed::Frames,
    transmit::{Data, Rest, SHARE_MIN},
};
use crate::{
    close::CloseFrame,
    frame::FrameHeader,
    mask::{MaskingKey, apply_mask},
    opcode::Opcode,
    role::Role,
};

/// What one batch holds at most, in bytes that are copied and in all. One write of more takes the kernel longer than two: what the
/// peer acknowledges meanwhile has to wait for its end.
pub(super) const BATCH_INLINE: usize = 64 << 10;
const BATCH_TOTAL: usize = 512 << 10;

/// Frames ready for one write, in a buffer that a driver lends to one connection after the other.
///
/// What the transport does not take is framed anew next time, so a batch can be thrown away at any moment.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) inline: Vec<u8>,
    pub(super) frames: Vec<Framed>,
    total: usize,
}

/// One frame of a batch: copied bytes, then shared ones.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) inline: Range<usize>,
    pub(super) shared: Bytes,
    pub(super) sent: Sent,
}

impl Framed {
    /// What is left of this frame after its first `gone` bytes; `copied` are those that stand in the batch.
    pub(super) fn rest(&self, copied: &[u8], gone: usize) -> Option<Rest> {
        let shared_gone = gone.saturating_sub(copied.len());
        let rest = Rest {
            copied: copied.get(gone..).unwrap_or_default().to_vec(),
            shared: self.shared.slice(shared_gone..),
        };
        (rest.len() > 0).then_some(rest)
    }
}

/// What is done with, once the frame has gone.
#[derive(Debug)]
pub(super) enum Sent {
    Rest,
    /// All that was framed before.
    Framed,
    Pong,
    Ping,
    Data {
        fragment: usize,
        last: bool,
    },
    Close,
}

impl Batch {
    /// Bytes to write.
    pub fn len(&self) -> usize {
        self.total
    }

    /// Nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Points `slices` at the bytes to write, in order, and returns how many were needed. If `slices` is too short, it
    /// covers only the front.
    pub fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut used = 0;
        let mut run = 0..0;
        let mut put = |bytes: &'a [u8]| match slices.get_mut(used) {
            Some(slot) if !bytes.is_empty() => {
                *slot = IoSlice::new(bytes);
                used += 1;
            }
            _ => {}
        };
        for frame in &self.frames {
            run.end = frame.inline.end;
            if !frame.shared.is_empty() {
                put(self.inline.get(run.clone()).unwrap_or_default());
                put(&frame.shared);
                run.start = run.end;
            }
        }
        put(self.inline.get(run).unwrap_or_default());
        used
    }

    /// Drops what it holds and keeps its room.
    pub fn clear(&mut self) {
        self.inline.clear();
        self.frames.clear();
        self.total = 0;
    }

    fn push(&mut self, start: usize, shared: Bytes, sent: Sent) {
        let inline = start..self.inline.len();
        self.total += inline.len() + shared.len();
        self.frames.push(Framed {
            inline,
            shared,
            sent,
        });
    }

    fn is_full(&self) -> bool {
        self.inline.len() >= BATCH_INLINE || self.total >= BATCH_TOTAL
    }
}

/// Writes frames into a batch.
pub(super) struct Framer<'a> {
    pub(super) batch: &'a mut Batch,
    pub(super) role: Role,
    pub(super) key: &'a mut dyn FnMut() -> MaskingKey,
}

impl Framer<'_> {
    pub(super) fn rest(&mut self, rest: &Rest) {
        let start = self.batch.inline.len();
        self.batch.inline.extend_from_slice(&rest.copied);
        self.batch.push(start, rest.shared.clone(), Sent::Rest);
    }

    /// As it is, and all of it: it is never more than goes into one batch.
    pub(super) fn framed(&mut self, framed: &Frames) {
        if !framed.is_empty() {
            let start = self.batch.inline.len();
            self.batch.inline.extend_from_slice(framed.as_bytes());
            self.batch.push(start, Bytes::new(), Sent::Framed);
        }
    }

    pub(super) fn control(&mut self, opcode: Opcode, payload: &[u8], sent: Sent) {
        let start = self.batch.inline.len();
        let first = Start {
            fin: true,
            rsv1: false,
            opcode,
        };
        self.copied(first, payload);
        self.batch.push(start, Bytes::new(), sent);
    }

    pub(super) fn close(&mut self, close: &CloseFrame) {
        let mut payload = Vec::with_capacity(close.payload_len());
        close.encode(&mut payload);
        self.control(Opcode::Close, &payload, Sent::Close);
    }

    /// Frames a message as far as the batch goes; says whether the whole of it went in.
    pub(super) fn data(&mut self, data: &Data, fragment: usize) -> bool {
        if self.batch.is_full() {
            return false;
        }
        if data.encoded {
            self.encoded(data);
            return true;
        }
        let mut payload = data.payload.clone();
        let mut begun = data.begun;
        loop {
            let piece = payload.split_to(payload.len().min(fragment));
            let last = payload.is_empty();
            let start = Start {
                fin: last && data.fin,
                rsv1: data.compressed && !begun,
                opcode: if begun {
                    Opcode::Continuation
                } else {
                    data.opcode
                },
            };
            self.fragment(start, piece, last);
            begun = true;
            if last {
                return true;
            }
            if self.batch.is_full() {
                return false;
            }
        }
    }

    fn fragment(&mut self, first: Start, piece: Bytes, last: bool) {
        let start = self.batch.inline.len();
        let sent = Sent::Data {
            fragment: piece.len(),
            last,
        };
        if self.role == Role::Server && piece.len() >= SHARE_MIN {
            self.header(first, piece.len(), None);
            self.batch.push(start, piece, sent);
        } else {
            self.copied(first, &piece);
            self.batch.push(start, Bytes::new(), sent);
        }
    }

    /// A frame that came encoded.
    fn encoded(&mut self, data: &Data) {
        let start = self.batch.inline.len();
        let sent = Sent::Data {
            fragment: data.payload.len(),
            last: true,
        };
        if data.payload.len() >= SHARE_MIN {
            self.batch.push(start, data.payload.clone(), sent);
        } else {
            self.batch.inline.extend_from_slice(&data.payload);
            self.batch.push(start, Bytes::new(), sent);
        }
    }

    /// Header and payload one behind the other. A client masks each frame with a key of its own (RFC 6455 §5.3), in
    /// the copy: the caller's bytes may be shared.
    fn copied(&mut self, first: Start, payload: &[u8]) {
        let key = match self.role {
            Role::Client => Some((self.key)()),
            Role::Server => None,
        };
        self.header(first, payload.len(), key);
        let start = self.batch.inline.len();
        self.batch.inline.extend_from_slice(payload);
        if let (Some(key), Some(copy)) = (key, self.batch.inline.get_mut(start..)) {
            apply_mask(copy, key, 0);
        }
    }

    fn header(&mut self, first: Start, payload_len: usize, masking_key: Option<MaskingKey>) {
        let header = FrameHeader {
            fin: first.fin,
            rsv1: first.rsv1,
            opcode: first.opcode,
            masking_key,
            payload_len: payload_len as u64,
        };
        header.encode(&mut self.batch.inline);
    }
}

/// The first byte of a frame.
#[derive(Clone, Copy)]
struct Start {
    fin: bool,
    rsv1: bool,
    opcode: Opcode,
}
