//! Forgetting what a user said, in steps between which others write.

use std::{sync::Arc, time::Instant};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::{
    decide,
    rows::{integer, number},
};
use crate::log::AppendError;

/// Positions looked at in one transaction: some milliseconds.
const MAX_SCANNED: u64 = 10_000;
/// Events scrubbed in one transaction: about as long.
const MAX_SCRUBBED: u64 = 256;

/// A user whose texts are to go, and who is to be told how many events those were.
pub(super) struct Erasing {
    pub(super) user: Arc<str>,
    pub(super) answer: oneshot::Sender<Result<u64, AppendError>>,
    pub(super) since: Instant,
    /// The position that is looked at next.
    pub(super) next: u64,
    pub(super) erased: u64,
}

impl Erasing {
    /// Does some of it, of the events up to `last`. Says whether that was all.
    pub(super) fn go_on(&mut self, conn: &Connection, last: u64) -> rusqlite::Result<bool> {
        let end = self.next + MAX_SCANNED;
        let theirs = conn
            .prepare_cached(
                "SELECT seq FROM log WHERE seq >= ? AND seq < ? AND author = 0 AND user = ? ORDER BY seq LIMIT ?",
            )?
            .query_map(
                params![integer(self.next), integer(end), &*self.user, integer(MAX_SCRUBBED)],
                |row| number(row, 0),
            )?
            .collect::<rusqlite::Result<Vec<_>>>()?;
        for &seq in &theirs {
            self.erased += u64::from(decide::erase(conn, seq, &self.user)?);
        }
        self.next = match theirs.last() {
            Some(last) if theirs.len() as u64 == MAX_SCRUBBED => last + 1,
            _ => end,
        };
        let is_done = self.next > last;
        if is_done {
            conn.execute("DELETE FROM marks WHERE user = ?", [&*self.user])?;
        }
        Ok(is_done)
    }
}
