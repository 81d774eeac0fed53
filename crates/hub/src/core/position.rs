//! Positions in a room, with their checks.

use std::{fmt, sync::Arc};

/// The end of the id of the event at a position. Of a log that went back in time it tells that another event has the position now.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Chk([u8; Self::LEN]);

impl Chk {
    const LEN: usize = 6;

    /// Where no event is.
    pub const NONE: Self = Self(*b"000000");

    /// The check of the event with this id.
    pub fn of_id(id: &str) -> Self {
        let end = id.len().checked_sub(Self::LEN).and_then(|at| id.get(at..));
        end.and_then(Self::parse).unwrap_or(Self::NONE)
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_alphanumeric)
            .then_some(Self(bytes))
    }

    /// It as text.
    pub fn as_str(&self) -> &str {
        // All are ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Chk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A position, and what tells it from another log's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The position.
    pub seq: u64,
    /// The check of the event there.
    pub chk: Chk,
}

impl Mark {
    /// Before the first event.
    pub const START: Self = Self {
        seq: 0,
        chk: Chk::NONE,
    };
}

/// What a log has of a room: the events after `floor`, up to `head`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// The name of the room's present history: positions of different epochs can't be compared.
    pub epoch: Arc<str>,
    /// The newest event that is no longer kept.
    pub floor: Mark,
    /// The newest event.
    pub head: Mark,
}

impl Bounds {
    /// Those of a room where nothing was ever said.
    pub const fn empty(epoch: Arc<str>) -> Self {
        Self {
            epoch,
            floor: Mark::START,
            head: Mark::START,
        }
    }

    /// The check of a position, where these know it.
    pub fn chk_at(&self, seq: u64) -> Option<Chk> {
        [self.head, self.floor]
            .iter()
            .find(|mark| mark.seq == seq)
            .map(|mark| mark.chk)
    }
}
