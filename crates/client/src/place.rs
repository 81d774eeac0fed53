//! Where a client is in a room: what it goes on from, and how it knows that it has everything up to there.

use crate::wire::{Joined, Placed, Resume};

/// What an event is to a client that has the room up to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The one that follows.
    Next,
    /// It was there before.
    Known,
    /// Something is missing before it.
    Broken,
}

#[derive(Debug, Default)]
pub(crate) struct Place {
    epoch: String,
    /// Position of the newest event; none while there was none.
    seq: Option<u64>,
    /// Whether the next event has to follow that one directly.
    chained: bool,
    cursor: Option<String>,
}

impl Place {
    /// What a join goes on from.
    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The first position that is not there yet.
    pub(crate) fn next(&self) -> u64 {
        self.seq.map_or(1, |seq| seq + 1)
    }

    /// A join that asked for so many events was answered.
    pub(crate) fn joined(&mut self, reply: &Joined, backlog: usize) {
        if reply.resume == Some(Resume::Ok) {
            return;
        }
        let nothing_comes = backlog == 0 || reply.floor > reply.head;
        *self = Self {
            epoch: reply.epoch.clone(),
            seq: nothing_comes.then_some(reply.head),
            chained: nothing_comes,
            cursor: nothing_comes.then(|| reply.cursor.clone()),
        };
    }

    /// Whether an event is the next one; nothing changes.
    pub(crate) fn find(&self, event: &Placed) -> Found {
        match self.seq {
            Some(seq) if event.seq <= seq => Found::Known,
            Some(seq) if self.chained && event.prev != seq => Found::Broken,
            _ => Found::Next,
        }
    }

    /// The next event was taken.
    pub(crate) fn advance(&mut self, event: &Placed) {
        let chk: Vec<char> = event.id.chars().rev().take(6).collect();
        let chk: String = chk.into_iter().rev().collect();
        self.cursor = Some(format!("{}.{}.{chk}", self.epoch, event.seq));
        self.seq = Some(event.seq);
        self.chained = true;
    }

    /// Something is missing before the next event, and will not come.
    pub(crate) fn skip(&mut self) {
        self.chained = false;
    }
}
