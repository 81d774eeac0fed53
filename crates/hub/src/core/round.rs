//! What a room has for all its members at once.

use std::sync::Arc;

use super::{event::Entry, fork::History, members::Listener};

/// Events that came one after the other, and who was in the room then. Those who had read all before them need the same.
#[derive(Debug)]
pub(crate) struct Round<F, W> {
    history: History,
    /// The position of the room's event before the first.
    after: u64,
    first: u64,
    last: u64,
    pub(crate) entries: Vec<Arc<Entry<F>>>,
    pub(crate) listeners: Arc<[Listener<W>]>,
}

/// What a round is to the one at a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Exactly what comes next.
    All,
    /// Known already.
    Nothing,
    /// It needs something before it, or not all of it.
    Other,
}

impl<F, W> Round<F, W> {
    /// None without events.
    pub(super) fn new(
        history: History,
        entries: Vec<Arc<Entry<F>>>,
        listeners: impl FnOnce() -> Arc<[Listener<W>]>,
    ) -> Option<Self> {
        let (first, last) = (entries.first()?, entries.last()?);
        Some(Self {
            history,
            after: first.event.prev,
            first: first.event.seq,
            last: last.event.seq,
            listeners: listeners(),
            entries,
        })
    }

    /// What the one at `cursor` in `history` needs of it.
    pub(crate) const fn need(&self, history: History, cursor: u64) -> Need {
        if self.history.is_older_than(history) {
            // Of what is no more.
            Need::Nothing
        } else if history.is_older_than(self.history) {
            Need::Other
        } else if cursor > self.last {
            Need::Nothing
        } else if self.after < cursor && cursor <= self.first {
            Need::All
        } else {
            Need::Other
        }
    }

    /// The cursor of the one who has read it.
    pub(crate) const fn next(&self) -> u64 {
        self.last + 1
    }
}
