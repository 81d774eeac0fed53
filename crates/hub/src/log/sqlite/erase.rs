//! Forgetting what a user said: all of it at once for whoever reads, and in the file in steps between which others write.
//!
//! That a user is to be forgotten is stored first, and is in force from that commit on: what is read is without what the user said until
//! then. So an erasure that was begun is whole, whatever fails after that: its steps are tried until they succeed, also after the next start.

use std::{sync::Arc, time::Instant};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::{
    decide,
    rows::{integer, number},
};
use crate::{core::Event, log::AppendError};

/// Positions looked at in one transaction: some milliseconds.
const MAX_SCANNED: u64 = 10_000;
/// Events scrubbed in one transaction: about as long.
const MAX_SCRUBBED: u64 = 256;

/// Who is to be told how many events had something to forget.
pub(super) type Asker = oneshot::Sender<Result<u64, AppendError>>;

/// A user whom somebody wants forgotten.
pub(super) struct Request {
    pub(super) user: Arc<str>,
    pub(super) answer: Asker,
    pub(super) since: Instant,
}

/// A user whose texts are to go.
pub(super) struct Erasing {
    pub(super) user: Arc<str>,
    /// The newest position that this is about.
    last: u64,
    progress: Progress,
    /// None if that was before a restart.
    pub(super) asker: Option<Asker>,
}

/// How far it is done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// The position that is looked at next.
    next: u64,
    pub(super) erased: u64,
}

impl Erasing {
    /// Stores that what a user said up to `last` is to go. Read marks, which are few, go at once.
    pub(super) fn begin(conn: &Connection, user: &Arc<str>, last: u64) -> rusqlite::Result<Self> {
        conn.execute("DELETE FROM marks WHERE user = ?", [&**user])?;
        conn.execute(
            "INSERT OR IGNORE INTO erasing (user, last, next, erased) VALUES (?, ?, 0, 0)",
            params![&**user, integer(last)],
        )?;
        Ok(Self {
            user: Arc::clone(user),
            last,
            progress: Progress::default(),
            asker: None,
        })
    }

    /// Those that were begun, and not ended.
    pub(super) fn unfinished<C: FromIterator<Self>>(conn: &Connection) -> rusqlite::Result<C> {
        conn.prepare("SELECT user, last, next, erased FROM erasing ORDER BY last")?
            .query_map([], |row| {
                let progress = Progress {
                    next: number(row, 2)?,
                    erased: number(row, 3)?,
                };
                Ok(Self {
                    user: row.get(0)?,
                    last: number(row, 1)?,
                    progress,
                    asker: None,
                })
            })?
            .collect()
    }

    /// Does some of it. Returns how far it is done then, once that is committed.
    pub(super) fn step(&self, conn: &Connection) -> rusqlite::Result<Progress> {
        let Progress { next, mut erased } = self.progress;
        let end = (next + MAX_SCANNED).min(self.last + 1);
        let theirs = conn
            .prepare_cached(
                "SELECT seq FROM log WHERE seq >= ? AND seq < ? AND author = 0 AND user = ? ORDER BY seq LIMIT ?",
            )?
            .query_map(
                params![integer(next), integer(end), &*self.user, integer(MAX_SCRUBBED)],
                |row| number(row, 0),
            )?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for &seq in &theirs {
            erased += u64::from(decide::erase(conn, seq, &self.user)?);
        }
        let next = match theirs.last() {
            Some(last) if theirs.len() as u64 == MAX_SCRUBBED => last + 1,
            _ => end,
        };
        if next > self.last {
            conn.prepare_cached("DELETE FROM erasing WHERE user = ? AND last = ?")?
                .execute(params![&*self.user, integer(self.last)])?;
        } else {
            conn.prepare_cached(
                "UPDATE erasing SET next = ?, erased = ? WHERE user = ? AND last = ?",
            )?
            .execute(params![
                integer(next),
                integer(erased),
                &*self.user,
                integer(self.last)
            ])?;
        }
        Ok(Progress { next, erased })
    }

    /// Takes note of a step that was committed. Says whether that was all.
    pub(super) const fn advance(&mut self, progress: Progress) -> bool {
        self.progress = progress;
        progress.next > self.last
    }
}

/// The users who are being forgotten, each with the newest position that this is about.
pub(super) struct Forgotten(Vec<(Arc<str>, u64)>);

impl Forgotten {
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let all = conn
            .prepare_cached("SELECT user, last FROM erasing")?
            .query_map([], |row| Ok((row.get(0)?, number(row, 1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self(all))
    }

    /// Whether what an event says is to be read no more.
    pub(super) fn covers(&self, event: &Event) -> bool {
        let mut all = self.0.iter();
        all.any(|(user, last)| event.seq <= *last && event.from.is(user))
    }

    /// An event as it may be read.
    pub(super) fn scrubbed(&self, mut event: Event) -> Event {
        if self.covers(&event) {
            event.what.erase();
        }
        event
    }
}
