//! A room's newest events.

use std::{collections::VecDeque, sync::Arc};

use super::{
    event::{Entry, Event, What},
    position::{Bounds, Chk, Mark},
};

/// Positions that are not kept, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// The newest events of a room, oldest first, bounded in number and bytes.
#[derive(Debug)]
pub(crate) struct Ring<F> {
    /// How often each frame may be there: plain, and compressed, which is never longer.
    copies: usize,
    entries: VecDeque<Arc<Entry<F>>>,
    bytes: usize,
    /// The newest position that is not in here any more, or never was.
    dropped: u64,
    /// The check of the event there, where it is known.
    dropped_chk: Option<Chk>,
    /// Where a ring has fewer events than it may, as they are long: the positions before `dropped`, oldest first, so that it can tell where the newest
    /// begin. With the entries no more than there may be.
    before: VecDeque<u64>,
    /// Whether not even these positions are known of as many events as were wanted: those are too long.
    is_cut: bool,
    /// The newest event there ever was.
    head: Mark,
    /// Whether there may be edits in here.
    has_edits: bool,
}

impl<F> Ring<F> {
    pub(crate) const fn new(copies: usize) -> Self {
        Self {
            copies,
            entries: VecDeque::new(),
            bytes: 0,
            dropped: Mark::START.seq,
            dropped_chk: Some(Mark::START.chk),
            before: VecDeque::new(),
            is_cut: false,
            head: Mark::START,
            has_edits: false,
        }
    }

    pub(crate) const fn head(&self) -> Mark {
        self.head
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The newest position that is not in here, though it may be in the log.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The check of the event at a position, where it is known.
    pub(crate) fn chk_at(&self, seq: u64) -> Option<Chk> {
        if seq == self.head.seq {
            return Some(self.head.chk);
        }
        if seq == self.dropped {
            return self.dropped_chk;
        }
        let at = self.entries.binary_search_by_key(&seq, |e| e.event.seq);
        Some(self.entries[at.ok()?].event.mark().chk)
    }

    /// Appends an entry and drops the oldest ones over the bounds. The newest always stays.
    pub(crate) fn push(&mut self, entry: Entry<F>, max_entries: usize, max_bytes: usize) {
        if entry.event.prev > self.head.seq {
            // Something is missing, as in a ring that is still to be filled: the log has it.
            self.clear();
            (self.dropped, self.dropped_chk) = (entry.event.prev, None);
        }
        self.head = entry.event.mark();
        self.has_edits |= is_edit(&entry.event);
        self.bytes += self.weight(&entry);
        self.entries.push_back(Arc::new(entry));
        while self.entries.len() > 1 && (self.entries.len() > max_entries || self.bytes > max_bytes)
        {
            self.before.push_back(self.entries[0].event.prev);
            self.drop_oldest();
        }
        while self.known() > max_entries && self.before.pop_front().is_some() {}
    }

    /// Events whose positions it knows.
    fn known(&self) -> usize {
        self.entries.len() + self.before.len()
    }

    /// Whether there are more of the newest `wanted` events in the log than it knows of, which has them down to `floor`.
    pub(crate) fn lacks(&self, wanted: usize, floor: u64) -> bool {
        !self.is_cut && self.known() < wanted && floor < self.known_from()
    }

    /// The newest position before those of the events that it knows.
    fn known_from(&self) -> u64 {
        self.before.front().copied().unwrap_or(self.dropped)
    }

    /// Puts before the entries what the log has before them: the newest of `events`, which are a room's newest when it had
    /// these `bounds`; `is_cut` says that there are more, too long to be read.
    pub(crate) fn fill(
        &mut self,
        bounds: &Bounds,
        mut events: Vec<Event>,
        is_cut: bool,
        max_entries: usize,
        max_bytes: usize,
    ) {
        if self.entries.is_empty() && self.head.seq <= bounds.head.seq {
            self.head = bounds.head;
        }
        let first = self.entries.front().map(|entry| &entry.event);
        let (before, last) = first.map_or((u64::MAX, self.head.seq), |e| (e.seq, e.prev));
        while events.pop_if(|event| event.seq >= before).is_some() {}
        // Else more has happened since they were read than is in here, or it has them all.
        if events.last().is_some_and(|event| event.seq == last) {
            self.prepend(&mut events, max_entries, max_bytes);
            self.scrub_deleted();
            let older = events.iter().map(|event| event.prev);
            let most = max_entries.saturating_sub(self.entries.len());
            let before: VecDeque<_> = older.skip(events.len().saturating_sub(most)).collect();
            // It may know more than was read.
            if before.len() > self.before.len() {
                self.before = before;
            }
            self.is_cut = is_cut;
        }
        let dropped = self.entries.front().map_or(last, |e| e.event.prev);
        let read = events.last().map(Event::mark);
        let known = self.dropped_chk.filter(|_| self.dropped == dropped);
        self.dropped_chk = read
            .filter(|mark| mark.seq == dropped)
            .map(|mark| mark.chk)
            .or_else(|| bounds.chk_at(dropped))
            .or(known);
        self.dropped = dropped;
    }

    /// Takes the newest of `events` as far as they fit.
    fn prepend(&mut self, events: &mut Vec<Event>, max_entries: usize, max_bytes: usize) {
        while self.entries.len() < max_entries && self.bytes < max_bytes {
            let Some(event) = events.pop() else { return };
            let entry = Entry::new(event);
            self.has_edits |= is_edit(&entry.event);
            self.bytes += self.weight(&entry);
            self.entries.push_front(Arc::new(entry));
            self.before.pop_back();
        }
    }

    /// Forgets what was said in messages that were deleted after they were read from the log.
    fn scrub_deleted(&mut self) {
        let deleted = |entry: &Arc<Entry<F>>| match entry.event.what {
            What::Delete { target } => Some(target),
            _ => None,
        };
        let targets: Vec<_> = self.entries.iter().filter_map(deleted).collect();
        for target in targets {
            self.scrub(target);
        }
    }

    /// Forgets what a message said.
    pub(crate) fn scrub(&mut self, message: u64) {
        self.scrub_where(message, |event| event.what.is_about(event.seq, message));
    }

    /// Forgets what a user said.
    pub(crate) fn erase(&mut self, user: &str) {
        self.scrub_where(0, |event| event.from.is(user));
    }

    /// Forgets what these events from one position on said.
    fn scrub_where(&mut self, first: u64, is_gone: impl Fn(&Event) -> bool) {
        let first = self.entries.partition_point(|e| e.event.seq < first);
        for entry in self.entries.range_mut(first..) {
            if !is_gone(&entry.event) {
                continue;
            }
            let mut event = entry.event.clone();
            event.erase();
            let scrubbed = Entry::new(event);
            self.bytes -= self.copies * entry.weight();
            self.bytes += self.copies * scrubbed.weight();
            *entry = Arc::new(scrubbed);
        }
    }

    /// Drops what is not newer than a position, and what was made of it.
    pub(crate) fn trim(&mut self, seq: u64) {
        while self.entries.front().is_some_and(|e| e.event.seq <= seq) {
            self.drop_oldest();
        }
        while self.before.front().is_some_and(|before| *before < seq) {
            self.before.pop_front();
        }
        if self.has_edits {
            self.scrub_where(0, |event| {
                is_edit(event) && event.what.target().is_some_and(|target| target <= seq)
            });
            self.has_edits = self.entries.iter().any(|entry| is_edit(&entry.event));
        }
    }

    /// Begins anew behind this event.
    pub(crate) fn begin_at(&mut self, head: Mark) {
        self.head = head;
        self.clear();
    }

    /// Drops everything and gives the memory back.
    pub(crate) fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.before = VecDeque::new();
        self.is_cut = false;
        self.has_edits = false;
        self.bytes = 0;
        self.dropped = self.head.seq;
        self.dropped_chk = Some(self.head.chk);
    }

    /// The cursor from which the newest `n` events are read.
    pub(crate) fn cursor_of_newest(&self, n: usize) -> u64 {
        if n == 0 {
            return self.head.seq + 1;
        }
        if let Some(index) = self.entries.len().checked_sub(n) {
            return self.entries[index].event.seq;
        }
        let older = self.known().checked_sub(n);
        let before = older.map_or_else(|| self.known_from(), |index| self.before[index]);
        before + 1
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

    /// What an entry is charged with.
    const fn weight(&self, entry: &Entry<F>) -> usize {
        self.copies * entry.weight()
    }

    fn drop_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= self.weight(&entry);
            let Mark { seq, chk } = entry.event.mark();
            (self.dropped, self.dropped_chk) = (seq, Some(chk));
        }
    }
}

/// Whether it says what a message says now.
const fn is_edit(event: &Event) -> bool {
    matches!(event.what, What::Edit { body: Some(_), .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::Author;

    fn entry(seq: u64) -> Entry<()> {
        Entry::new(Event {
            room: "a".into(),
            seq,
            prev: seq - 1,
            id: "x".into(),
            ts: 0,
            from: Author::PlainText,
            what: What::message("x".repeat(1000)),
            cid: None,
        })
    }

    #[test]
    fn frames_that_may_be_there_twice_are_charged_twice_and_given_back() {
        let (mut once, mut twice) = (Ring::new(1), Ring::new(2));
        let max_bytes = 4 * entry(1).weight();
        for (ring, copies, kept) in [(&mut once, 1, 4), (&mut twice, 2, 2)] {
            for seq in 1..=10 {
                ring.push(entry(seq), 100, max_bytes);
            }
            assert_eq!((ring.from(0).len(), ring.bytes()), (kept, max_bytes));
            let bounds = Bounds {
                epoch: "e".into(),
                floor: Mark::START,
                head: ring.head(),
            };
            let before = (1..=ring.dropped()).map(|seq| entry(seq).event).collect();
            ring.fill(&bounds, before, false, 100, usize::MAX);
            ring.scrub(10);
            let weights: usize = ring.from(0).map(|entry| entry.weight()).sum();
            assert_eq!((ring.from(0).len(), ring.bytes()), (10, copies * weights));
            ring.trim(10);
            assert_eq!(ring.bytes(), 0);
        }
    }
}
