//! Putting the write-ahead log into the database while nobody waits for it.
//!
//! SQLite would do it within the COMMIT that fills the log, and so keep all waiting that are in that one. Here it is done
//! after the answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::Limits;

/// Pages that the write-ahead log has when they are put into the database: 16 MiB. A page that is written often, as the newest
/// are, is then put there seldom; and it is read through in well under a second after a crash.
const CHECKPOINT_PAGES: u32 = 4_096;
/// Without a commit for so long, the log is emptied: what is in the database is then in its one file.
const IDLE: Duration = Duration::from_secs(5);
/// How long it may take to get those out of the way who read the log that is to be emptied. Nobody can write meanwhile.
const PATIENCE: Duration = Duration::from_millis(100);
/// When they did not go, the next attempt is made after this.
const RETRY: Duration = Duration::from_secs(1);

/// The write-ahead log, as the one who writes it knows it.
#[derive(Debug)]
pub(super) struct Wal {
    /// That it has, as SQLite says at each commit.
    pages: Arc<AtomicU32>,
    /// Those that were there when it was last put into the database.
    done: u32,
    /// When it is to be emptied.
    empty_at: Option<Instant>,
    /// Whether it holds what was deleted; then commits do not put that time off.
    holds_deleted: bool,
    limits: Limits,
    is_told: bool,
}

impl Wal {
    /// That of this connection.
    pub(super) fn of(conn: &mut Connection, limits: Limits) -> rusqlite::Result<Self> {
        conn.pragma_update(None, "wal_autocheckpoint", 0)?;
        let pages = Arc::new(AtomicU32::new(0));
        let told = Arc::clone(&pages);
        conn.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            told.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            pages,
            done: 0,
            // What an earlier process left.
            empty_at: Some(Instant::now()),
            holds_deleted: true,
            limits,
            is_told: false,
        })
    }

    /// Takes note of a commit, and whether it deleted what somebody said.
    pub(super) fn grew(&mut self, has_deleted: bool) {
        if !self.holds_deleted && self.pages() > 0 {
            let delay = if has_deleted { self.limits.erase } else { IDLE };
            self.empty_at = Some(Instant::now() + delay);
            self.holds_deleted = has_deleted;
        }
    }

    /// When [`tend`](Self::tend) has something to do, at the latest.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.empty_at
    }

    /// Whether no more may be written to it: somebody reads what is in it for so long that it can't begin anew.
    pub(super) fn is_full(&mut self, conn: &Connection) -> bool {
        self.pages() >= self.limits.wal_pages && !self.empty(conn)
    }

    /// Does what there is to be done.
    pub(super) fn tend(&mut self, conn: &Connection) {
        let pages = self.pages();
        // It has begun anew.
        self.done = self.done.min(pages);
        if self.empty_at.is_some_and(|at| at <= Instant::now()) {
            self.empty(conn);
        } else if pages - self.done >= CHECKPOINT_PAGES {
            self.done = pages;
            self.checkpoint(conn, "PRAGMA wal_checkpoint(PASSIVE)");
        }
    }

    /// Empties it, unless somebody reads it. Says whether it is empty.
    pub(super) fn empty(&mut self, conn: &Connection) -> bool {
        let is_empty = conn.busy_timeout(PATIENCE).is_ok()
            && self.checkpoint(conn, "PRAGMA wal_checkpoint(TRUNCATE)");
        if is_empty {
            self.pages.store(0, Ordering::Relaxed);
            self.done = 0;
            self.holds_deleted = false;
            self.empty_at = None;
        } else {
            self.empty_at = Some(Instant::now() + RETRY);
        }
        is_empty
    }

    /// Says whether all was done that was asked for.
    fn checkpoint(&mut self, conn: &Connection, sql: &str) -> bool {
        let done = conn.query_row(sql, [], |row| Ok(row.get::<_, i64>(0)? == 0));
        if let Err(error) = &done
            && !self.is_told
        {
            tracing::warn!(%error, "the write-ahead log can't be put into the database; it grows meanwhile");
        }
        self.is_told = done.is_err();
        done.unwrap_or(false)
    }

    fn pages(&self) -> u32 {
        self.pages.load(Ordering::Relaxed)
    }
}
