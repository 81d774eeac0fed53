//! The log: the one place where the order of events is decided, and where they are kept.
//!
//! Publishing is append, committed, ring, in that order and never otherwise: a session hands a
//! [`Draft`] to [`Log::append`] and gets an [`Answer`] to wait for. The log decides the position,
//! makes the event durable as its policy says, hands it to [`Committed`], and answers. Nobody sees
//! an event that did not come back from the log, not even its author.
//!
//! Reading is by room: [`Log::bounds`] says what is kept, [`Log::seek`] where a client's [`Cursor`] is in it, and
//! [`Log::tail`] gives what follows a position. Whoever implements this may have other writers beside it: positions may
//! leave numbers out, and events that nobody here appended may be committed.
//!
//! What messages have become, after edits, reactions and deletes, is read from a [`Projection`]. The logs here are their own; one
//! that is kept elsewhere has a projection that follows it.

mod answer;
#[cfg(test)]
pub(crate) mod conformance;
mod draft;
mod load;
mod memory;
mod projection;
#[cfg(test)]
mod projection_conformance;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod stamp;

use std::{fmt, sync::Arc, time::Duration};

pub use self::{
    answer::{Answer, Lost},
    draft::{AppendError, Appended, Draft},
    load::{Load, Timings},
    memory::{MemoryLimits, MemoryLog},
    projection::{
        Found, MAX_EDITS, MAX_REACTIONS, MAX_REACTORS, MAX_SCANNED, MAX_SCANNED_BYTES,
        MAX_SEARCHED, MAX_UNREAD, MAX_WORDS, Page, PageQuery, Projection, Reaction, ReadMark,
        SearchQuery, Shown, Span,
    },
};
use crate::core::Event;
pub use crate::core::{Bounds, Chk, Cursor, MAX_MISSED, Mark, NoCursor, Reset, judge};

/// The log's decision about a draft.
pub type Append = Answer<Appended, AppendError>;

/// Orders and keeps events.
///
/// Positions grow strictly within a room, from 1, and leave numbers out as they like; the position before each event
/// is in [`Event::prev`]. [`Committed::committed`] is called in the order of the positions of a room, once per stored
/// event, whoever appended it, before its [`Append`] resolves, and never before the event is as durable as the log's policy
/// says. What a reader is given was committed before.
pub trait Log: Send + Sync + 'static {
    /// Takes a draft. Drafts of one caller are ordered as they were handed over, whenever their
    /// [`Append`]s are waited for; an `Append` that is dropped is stored all the same.
    ///
    /// The same user's second draft for a room with the same `cid` is not stored: it is answered with the first one's place, once that
    /// is decided.
    fn append(&self, draft: Draft) -> Append;

    /// What the log has of a room; of one it never heard of, nothing.
    fn bounds(&self, room: &Arc<str>) -> Answer<Bounds, ReadError>;

    /// Where a position is in a room: what [`judge`] has to know of a cursor.
    fn seek(&self, room: &Arc<str>, seq: u64) -> Answer<Sought, ReadError>;

    /// A room's events from `start` on, oldest first: at most `max_events`, and no more once their texts pass
    /// `max_bytes`, but at least one if there is one.
    fn tail(&self, room: &Arc<str>, start: Start, max: PageSize) -> Answer<Tail, ReadError>;

    /// Forgets what a user said so far, in all rooms: texts, reactions and read marks. Places, times, ids and the name that was shown stay,
    /// so that nobody's cursor is lost. It is all or nothing: an error is from before it has begun, but for [`AppendError::Timeout`], after which nobody
    /// knows; from when [`Committed::erased`] is called nothing that the user said is given to a reader any more. Answers with how many events
    /// had something to forget, once they have. That is done also if nobody waits, and goes on after a restart.
    fn erase(&self, user: &Arc<str>) -> Answer<u64, AppendError>;

    /// Whether it takes drafts, as far as is known. It is for people and balancers: who has a draft appends it, and so finds out.
    fn health(&self) -> Health {
        Health::Well
    }

    /// What it has to do. None if it does all at once.
    fn load(&self) -> Option<Load> {
        None
    }

    /// What the ids of users are made from, for as long as there are events of theirs. None makes ids that last
    /// as long as the process.
    fn secret(&self) -> Option<[u8; 32]> {
        None
    }
}

/// Where events go that came back from the log.
pub trait Committed: Send + Sync + 'static {
    /// Takes the next event of its room. Must not call the log, and not wait.
    fn committed(&self, event: Event);

    /// Learns that everything up to `floor` is no longer kept of a room. As [`committed`](Self::committed).
    fn trimmed(&self, room: &str, floor: Mark);

    /// Learns that a room has another history from now on, of which the log has this much: the log went back in time, or was replaced.
    /// `bounds.epoch` is none that the room had before. What is committed after this follows `bounds.head`. What is read before this is of
    /// the old history, and after it of the new one; else as [`committed`](Self::committed).
    ///
    /// Neither log of this crate calls it: they begin another history only when they are opened. It is for a log of several nodes, or one that
    /// can be put back while it runs.
    fn forked(&self, room: &str, bounds: &Bounds);

    /// Whether somebody goes on from where this room is now: as long as that is so, it is not forgotten where that was. As
    /// [`committed`](Self::committed).
    fn follows(&self, room: &str) -> bool;

    /// Learns that what a user said so far is [erased](Log::erase). As [`committed`](Self::committed).
    fn erased(&self, user: &str);
}

/// A log, and the projection that follows it.
#[derive(Clone)]
pub struct Store {
    /// What orders and keeps.
    pub log: Arc<dyn Log>,
    /// What it comes to.
    pub projection: Arc<dyn Projection>,
}

impl<T: Log + Projection> From<Arc<T>> for Store {
    fn from(both: Arc<T>) -> Self {
        Self {
            log: Arc::clone(&both) as _,
            projection: both,
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// Whether a log takes drafts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Well,
    /// It is read from, and takes nothing at present.
    ReadOnly {
        /// What is the matter, for the operator.
        why: Arc<str>,
        /// When trying again may make sense.
        retry: Duration,
    },
}

/// Where a [`Tail`] starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At this position, or the next one that there is.
    At(u64),
    /// Where the page ends with the newest event.
    Newest,
}

/// How much is read in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize {
    /// So many events at most.
    pub events: usize,
    /// No more once their texts have so many bytes.
    pub bytes: usize,
}

impl PageSize {
    /// As many of the first events as fit.
    fn take<E: HasBytes>(self, events: impl Iterator<Item = E>) -> impl Iterator<Item = E> {
        let mut bytes = 0;
        events.take(self.events).take_while(move |event| {
            let fits = bytes == 0 || bytes < self.bytes;
            bytes += event.bytes().max(1);
            fits
        })
    }

    /// Half of it, and the other half.
    const fn halves(self) -> [Self; 2] {
        let half = Self {
            events: self.events / 2,
            bytes: self.bytes / 2,
        };
        let rest = Self {
            events: self.events - half.events,
            bytes: self.bytes - half.bytes,
        };
        [half, rest]
    }
}

/// What counts in a [`PageSize`].
trait HasBytes {
    /// Bytes of its texts.
    fn bytes(&self) -> usize;
}

impl HasBytes for Event {
    fn bytes(&self) -> usize {
        self.what.bytes()
    }
}

impl<T: HasBytes> HasBytes for &T {
    fn bytes(&self) -> usize {
        (*self).bytes()
    }
}

/// Events that follow each other in a room, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// What the log had of the room when they were read.
    pub bounds: Bounds,
    /// They, oldest first.
    pub events: Vec<Event>,
}

impl Tail {
    /// The newest position that can't be had any more. A log that has nothing at all, of who knows that there was something up to
    /// `until`, has lost that: who asked again would ask for ever.
    pub(crate) fn gone(&self, until: u64) -> u64 {
        let floor = self.bounds.floor.seq;
        if self.events.is_empty() {
            floor.max(until)
        } else {
            floor
        }
    }
}

/// A position in a room, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// What the log has of the room.
    pub bounds: Bounds,
    /// The check of the event at the position, if one is there or was the newest that is no longer kept.
    pub chk: Option<Chk>,
    /// How many events follow it; counted up to one more than [`MAX_MISSED`].
    pub following: usize,
}

/// Why the log can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It has as many readers waiting as it may.
    #[error("the log has too many readers")]
    Busy,
    /// What was asked for takes longer than it may.
    #[error("this takes too long to read: ask for less")]
    TooLong,
    /// It can't be read now.
    #[error("the log can't be read right now")]
    Unavailable,
}

impl Lost for ReadError {
    fn lost() -> Self {
        Self::Unavailable
    }
}
