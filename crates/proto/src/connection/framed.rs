//! Small messages that a server has framed and not written: frames one behind the other, as they go on the wire.
//!
//! What is to be known of them stands in their headers, so a message costs its copy and nothing else: no place in a queue, and
//! its own memory is free again before the next one comes.

use super::{
    batch::BATCH_INLINE,
    outgoing::{Outgoing, QUEUE_COST},
};
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

    /// Puts what is in `room` before what waits here, and keeps its memory as [lent](Self::reclaim).
    pub(super) fn put_before(&mut self, room: &mut Self) {
        if self.is_empty() && self.bytes.capacity() > 0 && room.is_empty() {
            return;
        }
        room.bytes.append(&mut self.bytes);
        std::mem::swap(&mut self.bytes, &mut room.bytes);
        self.cost += std::mem::take(&mut room.cost);
        self.lent = true;
    }

    /// Gives `room` back the memory that was lent. What waits there moves into memory of its own.
    pub(super) fn reclaim(&mut self, room: &mut Self) {
        if std::mem::take(&mut self.lent) {
            let own = self.bytes.clone();
            room.bytes = std::mem::replace(&mut self.bytes, own);
            room.bytes.clear();
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.cost = 0;
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

/// Where a driver collects a server's small messages apart from their connection, to [hand them over](crate::Connection::hand_over)
/// together: see [`Connection::open_room`](crate::Connection::open_room). It keeps its memory from one connection to the next.
#[derive(Debug, Default)]
pub struct Room {
    pub(super) frames: Frames,
    /// Messages of so many bytes, or more, are not taken.
    pub(super) max_len: usize,
    /// What is here counts for less than this.
    pub(super) max_cost: usize,
}

impl Room {
    /// Frames a message. If not, it has to be sent by the connection, after what is here was handed over.
    #[inline]
    pub fn push(&mut self, outgoing: &Outgoing) -> bool {
        let len = outgoing.len();
        let takes = len < self.max_len
            && self.frames.cost + len + QUEUE_COST < self.max_cost
            && !self.frames.is_full();
        if takes {
            self.frames.push(outgoing, len);
        }
        takes
    }

    /// What the messages count for that are here, as in [`Connection::queued`](crate::Connection::queued).
    pub fn queued(&self) -> usize {
        self.frames.cost
    }

    /// What is here, as it goes on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        self.frames.as_bytes()
    }

    /// Bytes of memory that it keeps.
    pub fn capacity(&self) -> usize {
        self.frames.bytes.capacity()
    }

    /// Throws away what is here.
    pub fn clear(&mut self) {
        self.frames.clear();
    }

    /// From now on nothing is taken.
    pub fn shut(&mut self) {
        self.max_len = 0;
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

    fn room(capacity: usize) -> Frames {
        Frames {
            bytes: Vec::with_capacity(capacity),
            ..Frames::default()
        }
    }

    #[test]
    fn lent_memory_comes_back_empty_and_what_waits_there_stays() {
        let (mut frames, mut room) = (Frames::default(), room(1000));
        room.push(&Message::text("waits").into(), 5);
        frames.put_before(&mut room);
        assert_eq!(frames.held(), 7);
        assert_eq!((room.bytes.capacity(), room.cost()), (0, 0));
        frames.reclaim(&mut room);
        assert_eq!((room.bytes.len(), room.bytes.capacity()), (0, 1000));
        assert_eq!(frames.as_bytes(), b"\x81\x05waits");
        assert_eq!(frames.cost(), 5 + QUEUE_COST);
        assert!(frames.held() < 100);
        frames.written(7);
        frames.release_when_empty();
        assert_eq!(frames.held(), 0);
    }

    #[test]
    fn what_is_in_a_room_goes_before_what_waits() {
        let (mut frames, mut room) = (three(), room(1000));
        room.push(&Message::text("first").into(), 5);
        frames.put_before(&mut room);
        assert_eq!(frames.as_bytes()[..7], *b"\x81\x05first");
        assert_eq!(frames.as_bytes()[7..], three().bytes);
        assert_eq!(frames.costs().collect::<Vec<_>>(), [69, 65, 66, 67]);
        assert_eq!(frames.cost(), 69 + 65 + 66 + 67);
        assert!(room.is_empty());
    }

    #[test]
    fn memory_is_not_lent_to_who_has_some() {
        let (mut frames, mut room) = (three(), room(1000));
        frames.written(12);
        frames.put_before(&mut room);
        assert_eq!(room.bytes.capacity(), 1000);
    }
}
