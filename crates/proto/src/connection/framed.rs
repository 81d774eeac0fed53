//! Small messages that a server has framed and not written: frames one behind the other, as they go on the wire.
//!
//! What is to be known of them stands in their headers, so a message costs its copy and nothing else: no place in a queue, and
//! its own memory is free again before the next one comes.

use super::transmit::{BATCH_INLINE, Outgoing, QUEUE_COST};
use crate::frame::{FrameHeader, HeaderRules, MAX_HEADER_LEN};

/// Whole frames, at most as many as one batch holds, and one.
#[derive(Debug, Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    /// What the messages count for that wait here.
    cost: usize,
    /// The room is a driver's, who takes it back.
    lent: bool,
}

impl Frames {
    #[inline]
    pub(super) fn push(&mut self, outgoing: &Outgoing, payload_len: usize) {
        match outgoing {
            Outgoing::Message(message) | Outgoing::Uncompressed(message) => {
                let payload = message.as_bytes();
                self.bytes.reserve(MAX_HEADER_LEN + payload_len);
                let header = FrameHeader {
                    fin: true,
                    rsv1: false,
                    opcode: message.kind().into(),
                    masking_key: None,
                    payload_len: payload_len as u64,
                };
                header.encode(&mut self.bytes);
                self.bytes.extend_from_slice(payload);
            }
            Outgoing::Prepared(prepared) => self.bytes.extend_from_slice(&prepared.plain.frame),
        }
        self.cost += payload_len + QUEUE_COST;
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next message has to wait elsewhere.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_INLINE
    }

    /// What the messages count for in the queue.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// What each message counts for, the oldest first.
    pub(super) fn costs(&self) -> impl Iterator<Item = usize> {
        self.iter().map(|frame| frame.cost)
    }

    /// Drops so many messages, or all if there are fewer; says how many.
    pub(super) fn drop_oldest(&mut self, count: usize) -> usize {
        let (mut dropped, mut end, mut cost) = (0, 0, 0);
        for frame in self.iter().take(count) {
            dropped += 1;
            end += frame.len;
            cost += frame.cost;
        }
        self.remove(end, cost);
        dropped
    }

    /// The first `n` bytes have gone. What is left of the frame in which they end is to be kept elsewhere.
    pub(super) fn written(&mut self, n: usize) -> Option<Vec<u8>> {
        if n == self.bytes.len() {
            self.bytes.clear();
            self.cost = 0;
            return None;
        }
        let (mut end, mut cost) = (0, 0);
        for frame in self.iter() {
            if end >= n {
                break;
            }
            end += frame.len;
            cost += frame.cost;
        }
        let rest = self.bytes.get(n..end).unwrap_or_default().to_vec();
        self.remove(end, cost);
        (!rest.is_empty()).then_some(rest)
    }

    /// From now on frames stand here; unless some wait already, and then the room comes back.
    pub(super) fn lend_room(&mut self, room: Vec<u8>) -> Option<Vec<u8>> {
        if self.bytes.capacity() > 0 {
            return Some(room);
        }
        self.bytes = room;
        self.bytes.clear();
        self.lent = true;
        None
    }

    /// Gives back what was lent, empty. What waits there moves into room of its own.
    pub(super) fn take_room(&mut self) -> Vec<u8> {
        if !std::mem::take(&mut self.lent) {
            return Vec::new();
        }
        let own = self.bytes.clone();
        let mut room = std::mem::replace(&mut self.bytes, own);
        room.clear();
        room
    }

    /// Gives memory back, unless it is lent.
    pub(super) fn release_when_empty(&mut self) {
        if self.bytes.is_empty() && !self.lent {
            self.bytes = Vec::new();
        }
    }

    /// Bytes of heap that are held.
    pub(super) fn held(&self) -> usize {
        if self.lent {
            self.bytes.len()
        } else {
            self.bytes.capacity()
        }
    }

    fn iter(&self) -> impl Iterator<Item = Frame> {
        let mut left = self.as_bytes();
        std::iter::from_fn(move || {
            let rules = HeaderRules {
                masked: false,
                rsv1: false,
            };
            let (header, header_len) = FrameHeader::decode(left, rules).ok()??;
            let payload_len = usize::try_from(header.payload_len).ok()?;
            let len = header_len + payload_len;
            left = left.get(len..)?;
            let cost = payload_len + QUEUE_COST;
            Some(Frame { len, cost })
        })
    }

    /// Removes whole frames from the front.
    fn remove(&mut self, bytes: usize, cost: usize) {
        self.bytes.drain(..bytes.min(self.bytes.len()));
        self.cost = self.cost.saturating_sub(cost);
    }
}

/// A frame as it stands here.
struct Frame {
    /// Its bytes.
    len: usize,
    /// What its message counts for in the queue.
    cost: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    /// Three messages, of 1, 2 and 3 bytes: frames of 3, 4 and 5.
    fn three() -> Frames {
        let mut frames = Frames::default();
        for payload in ["a", "bb", "ccc"] {
            frames.push(&Message::text(payload).into(), payload.len());
        }
        frames
    }

    #[test]
    fn wherever_a_write_ends_the_rest_of_that_frame_is_given_out_and_whole_frames_stay() {
        let all = three().bytes;
        let ends = [0, 3, 7, 12];
        for n in 0..=all.len() {
            let mut frames = three();
            let rest = frames.written(n).unwrap_or_default();
            let end = ends.into_iter().find(|end| *end >= n).unwrap();
            assert_eq!(rest, all[n..end], "after {n} bytes");
            assert_eq!(frames.as_bytes(), &all[end..], "after {n} bytes");
            let left = ends.iter().filter(|at| **at > end).count();
            let payloads: usize = [1, 2, 3].iter().rev().take(left).sum();
            assert_eq!(
                frames.cost(),
                left * QUEUE_COST + payloads,
                "after {n} bytes"
            );
        }
    }

    #[test]
    fn the_oldest_are_dropped_first_and_no_more_than_there_are() {
        let mut frames = three();
        assert_eq!(frames.costs().collect::<Vec<_>>(), [65, 66, 67]);
        assert_eq!(frames.drop_oldest(2), 2);
        assert_eq!(frames.as_bytes(), b"\x81\x03ccc");
        assert_eq!(frames.drop_oldest(2), 1);
        assert_eq!((frames.is_empty(), frames.cost()), (true, 0));
    }

    #[test]
    fn lent_room_comes_back_empty_and_what_waits_there_stays() {
        let mut frames = Frames::default();
        assert_eq!(frames.lend_room(Vec::with_capacity(1000)), None);
        frames.push(&Message::text("waits").into(), 5);
        assert_eq!(frames.held(), 7);
        let room = frames.take_room();
        assert_eq!((room.len(), room.capacity()), (0, 1000));
        assert_eq!(frames.as_bytes(), b"\x81\x05waits");
        assert!(frames.held() < 100);
        frames.written(7);
        frames.release_when_empty();
        assert_eq!(frames.held(), 0);
    }

    #[test]
    fn room_is_lent_once_and_not_over_what_waits() {
        let mut frames = three();
        let back = frames.lend_room(Vec::with_capacity(1000));
        assert_eq!(back.map(|room| room.capacity()), Some(1000));
        assert_eq!(frames.as_bytes().len(), 12);
        assert_eq!(frames.take_room().capacity(), 0);
    }
}
