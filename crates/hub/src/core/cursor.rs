//! Cursors: how far a client has read in a room, and whether it can go on from there.

use std::{fmt, str::FromStr, sync::Arc};

use super::position::{Bounds, Chk, Mark};

/// Events that a client which comes back is sent one by one. Default 1,000, some seconds of reading; for more the newest page is
/// kinder than a flood.
pub const MAX_MISSED: usize = 1_000;

/// The greatest position that every client can read: below 2^53 the numbers of JavaScript are exact.
pub(crate) const MAX_SEQ: u64 = (1 << 53) - 1;

/// The newest event a client has, as text `epoch.seq.chk`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The history it belongs to.
    pub epoch: Arc<str>,
    /// The event.
    pub mark: Mark,
}

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor")]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let mut parts = text.split('.');
        let (Some(epoch), Some(seq), Some(chk), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoCursor);
        };
        let is_number = !seq.is_empty() && seq.bytes().all(|byte| byte.is_ascii_digit());
        let is_position = |seq: &u64| is_number && *seq <= MAX_SEQ;
        let seq = seq.parse().ok().filter(is_position).ok_or(NoCursor)?;
        let chk = Chk::parse(chk).ok_or(NoCursor)?;
        Ok(Self {
            epoch: epoch.into(),
            mark: Mark { seq, chk },
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mark { seq, chk } = self.mark;
        write!(f, "{}.{seq}.{}", self.epoch, chk.as_str())
    }
}

/// Why a client can't go on from its cursor and has to begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    /// The cursor is of another history.
    Epoch,
    /// Some of what follows the cursor is no longer kept.
    Truncated,
    /// The cursor is ahead of the log, which therefore went back in time.
    Ahead,
    /// The cursor's event is not in the log, or the text is no cursor.
    Mismatch,
    /// More than [`MAX_MISSED`] events follow.
    TooFar,
}

impl Reset {
    /// As it is told.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Truncated => "truncated",
            Self::Ahead => "ahead",
            Self::Mismatch => "mismatch",
            Self::TooFar => "too_far",
        }
    }
}

/// Whether all that follows `cursor` can be had: in a room with these `bounds`, where the event at the cursor's position has the check
/// `chk` and so many events follow.
///
/// # Errors
///
/// The reason why not.
pub fn judge(
    cursor: &Cursor,
    bounds: &Bounds,
    chk: Option<Chk>,
    following: usize,
) -> Result<(), Reset> {
    let Mark { seq, chk: expected } = cursor.mark;
    if cursor.epoch != bounds.epoch {
        Err(Reset::Epoch)
    } else if seq > bounds.head.seq {
        Err(Reset::Ahead)
    } else if seq < bounds.floor.seq {
        Err(Reset::Truncated)
    } else if chk != Some(expected) {
        Err(Reset::Mismatch)
    } else if following > MAX_MISSED {
        Err(Reset::TooFar)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written_and_nothing_else_is_one() {
        for text in [
            "k3f9.1050.8Q2ZTM",
            "k3f9.0.000000",
            "k3f9.9007199254740991.8Q2ZTM",
        ] {
            assert_eq!(text.parse::<Cursor>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "k3f9",
            "k3f9.1050",
            "k3f9.1050.8Q2ZT",
            "k3f9.+1.8Q2ZTM",
            "k3f9.-1.8Q2ZTM",
            "k3f9.1e3.8Q2ZTM",
            "k3f9.99999999999999999999.8Q2ZTM",
            "k3f9.18446744073709551615.8Q2ZTM",
            "k3f9.9007199254740992.8Q2ZTM",
            "k3f9.1050.8Q2ZTM.",
            "k3f9.1050.8Q2é",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(NoCursor), "{text}");
        }
    }
}
