//! A room's newest events.

use std::{collections::VecDeque, sync::Arc};

use super::event::Entry;

/// Positions that are no longer kept, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The newest events of a room, oldest first, bounded in number and bytes.
#[derive(Debug)]
pub(crate) struct Ring<F> {
    entries: VecDeque<Arc<Entry<F>>>,
    bytes: usize,
    /// The newest position that is no longer kept; where the ring starts if none was dropped.
    dropped: u64,
    /// The newest position ever appended; where the ring starts if none was.
    head: u64,
    /// The id of the event at `head`.
    head_id: Option<Arc<str>>,
}

impl<F> Ring<F> {
    /// A ring for what comes after position `start`.
    pub(crate) const fn new(start: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            dropped: start,
            head: start,
            head_id: None,
        }
    }

    pub(crate) const fn head(&self) -> u64 {
        self.head
    }

    /// The oldest position kept; the one after the head when nothing is.
    pub(crate) fn floor(&self) -> u64 {
        self.entries
            .front()
            .map_or(self.head + 1, |entry| entry.event.seq)
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn head_id(&self) -> Option<&Arc<str>> {
        self.head_id.as_ref()
    }

    /// Appends an entry and drops the oldest ones over the bounds. The newest always stays.
    pub(crate) fn push(&mut self, entry: Entry<F>, max_entries: usize, max_bytes: usize) {
        self.head = entry.event.seq;
        self.head_id = Some(Arc::clone(&entry.event.id));
        self.bytes += entry.weight();
        self.entries.push_back(Arc::new(entry));
        while self.entries.len() > 1 && (self.entries.len() > max_entries || self.bytes > max_bytes)
        {
            self.drop_oldest();
        }
    }

    /// Drops everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
        self.dropped = self.head;
    }

    /// The cursor from which the newest `n` events are read.
    pub(crate) fn cursor_of_newest(&self, n: usize) -> u64 {
        match self.entries.len().checked_sub(n) {
            _ if n == 0 => self.head + 1,
            Some(index) => self.entries[index].event.seq,
            None => self.floor(),
        }
    }

    /// What `cursor` needs and the ring no longer has.
    pub(crate) fn gap(&self, cursor: u64) -> Option<Gap> {
        (cursor <= self.dropped).then_some(Gap {
            from: cursor,
            to: self.dropped,
        })
    }

    /// The entries from `cursor` on, oldest first.
    pub(crate) fn from(&self, cursor: u64) -> impl ExactSizeIterator<Item = &Arc<Entry<F>>> {
        let start = self
            .entries
            .partition_point(|entry| entry.event.seq < cursor);
        self.entries.range(start..)
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.weight();
            self.dropped = entry.event.seq;
        }
    }
}
