//! Forgetting what a user said: all of it at once for whoever reads, and in the file in steps between which others write.
//!
//! That a user is to be forgotten is stored first, and is in force from that commit on: what is read is without what the user said until
//! then. So an erasure that was begun is whole, whatever fails after that: its steps are tried until they succeed, also after the next start.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::{
    decide,
    rows::{integer, number},
};
use crate::{core::Event, log::AppendError, seldom::Seldom};

/// Positions looked at in one transaction: some milliseconds.
const MAX_SCANNED: u64 = 10_000;
/// Events scrubbed in one transaction: about as long.
const MAX_SCRUBBED: u64 = 256;
/// Users that wait to be forgotten. Somebody asks for each.
const MAX_ERASING: usize = 64;
/// Who may wait for the same user to be forgotten: those who look after the server.
const MAX_ASKERS: usize = 16;
/// When a step that failed is tried again, twice as late each time: a disk is seldom emptied, or a lock let go, sooner.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// And then as often as this: that is a query or two.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Who is to be told how many events had something to forget.
pub(super) type Asker = oneshot::Sender<Result<u64, AppendError>>;

/// A user whom somebody wants forgotten.
pub(super) struct Request {
    pub(super) user: Arc<str>,
    pub(super) answer: Asker,
    pub(super) since: Instant,
}

/// Stores that what a user said up to `last` is to go; where that goes on already, up to there as well. Read marks, which are few, go at once.
pub(super) fn begin(conn: &Connection, user: &str, last: u64) -> rusqlite::Result<()> {
    conn.execute("DELETE FROM marks WHERE user = ?", [user])?;
    conn.execute(
        "INSERT INTO erasing (user, last, next, erased) VALUES (?, ?, 0, 0)
            ON CONFLICT (user) DO UPDATE SET last = excluded.last",
        params![user, integer(last)],
    )?;
    Ok(())
}

/// A user whose texts are to go.
pub(super) struct Erasing {
    pub(super) user: Arc<str>,
    /// The newest position that this is about.
    last: u64,
    progress: Progress,
    /// None if that was before a restart.
    askers: Vec<Asker>,
    /// When the next step is done.
    due: Instant,
    /// How long it was put off the last time; nothing since the last step that succeeded.
    wait: Duration,
}

/// How far it is done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Progress {
    /// The position that is looked at next.
    next: u64,
    erased: u64,
}

impl Erasing {
    fn new(user: Arc<str>, last: u64, progress: Progress) -> Self {
        Self {
            user,
            last,
            progress,
            askers: Vec::new(),
            due: Instant::now(),
            wait: Duration::ZERO,
        }
    }

    /// Does some of it, one event at least, and more until then. Returns how far it is done, once that is committed.
    pub(super) fn step(&self, conn: &Connection, until: Instant) -> rusqlite::Result<Progress> {
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
        let mut next = match theirs.last() {
            Some(last) if theirs.len() as u64 == MAX_SCRUBBED => last + 1,
            _ => end,
        };
        for seq in theirs {
            erased += u64::from(decide::erase(conn, seq, &self.user)?);
            if Instant::now() >= until {
                next = seq + 1;
                break;
            }
        }
        if next > self.last {
            // Unless more is to go than we know of, after a commit that failed and did happen.
            conn.prepare_cached("DELETE FROM erasing WHERE user = ? AND last = ?")?
                .execute(params![&*self.user, integer(self.last)])?;
        } else {
            conn.prepare_cached("UPDATE erasing SET next = ?, erased = ? WHERE user = ?")?
                .execute(params![integer(next), integer(erased), &*self.user])?;
        }
        Ok(Progress { next, erased })
    }
}

/// The users who are being forgotten: one after the other, but for those whose step failed.
pub(super) struct Erasures {
    all: VecDeque<Erasing>,
    failures: Seldom,
}

impl Erasures {
    /// Those that were begun, and not ended.
    pub(super) fn unfinished(conn: &Connection) -> rusqlite::Result<Self> {
        let all = conn
            .prepare("SELECT user, last, next, erased FROM erasing ORDER BY last")?
            .query_map([], |row| {
                let progress = Progress {
                    next: number(row, 2)?,
                    erased: number(row, 3)?,
                };
                Ok(Erasing::new(row.get(0)?, number(row, 1)?, progress))
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self {
            all,
            failures: Seldom::new(1),
        })
    }

    /// Whether one more may ask for this user.
    pub(super) fn takes(&mut self, user: &str) -> bool {
        match self.find(user) {
            Some(known) => {
                known.askers.retain(|asker| !asker.is_closed());
                known.askers.len() < MAX_ASKERS
            }
            None => self.all.len() < MAX_ERASING,
        }
    }

    /// Takes what has begun. A user who is being forgotten already is so up to this position now, and without a wait.
    pub(super) fn add(&mut self, user: Arc<str>, last: u64, asker: Asker) {
        if let Some(known) = self.find(&user) {
            known.last = last;
            known.due = Instant::now();
            known.askers.push(asker);
        } else {
            let mut new = Erasing::new(user, last, Progress::default());
            new.askers.push(asker);
            self.all.push_back(new);
        }
    }

    fn find(&mut self, user: &str) -> Option<&mut Erasing> {
        self.all.iter_mut().find(|erasing| *erasing.user == *user)
    }

    /// When the next step is to be done.
    pub(super) fn due(&self) -> Option<Instant> {
        self.all.iter().map(|erasing| erasing.due).min()
    }

    /// The first for whom it is time.
    pub(super) fn take_due(&mut self) -> Option<Erasing> {
        let now = Instant::now();
        let at = self.all.iter().position(|erasing| erasing.due <= now)?;
        self.all.remove(at)
    }

    /// Takes note of a step that was committed, and tells those who asked if that was all.
    pub(super) fn advance(&mut self, mut erasing: Erasing, progress: Progress) {
        if progress.next > erasing.last {
            for asker in erasing.askers {
                asker.send(Ok(progress.erased)).ok();
            }
        } else {
            erasing.progress = progress;
            erasing.wait = Duration::ZERO;
            self.all.push_front(erasing);
        }
    }

    /// Leaves one whose step failed for later: others come first.
    pub(super) fn put_off(&mut self, mut erasing: Erasing) {
        erasing.wait = (2 * erasing.wait).clamp(FIRST_RETRY, LAST_RETRY);
        erasing.due = Instant::now() + erasing.wait;
        self.all.push_back(erasing);
    }

    /// Tells the operator why something failed.
    pub(super) fn tell(&self, user: &str, error: &rusqlite::Error) {
        self.failures.tell(|left_out| {
            tracing::warn!(%user, %error, left_out, "what a user said can't be erased now; what was begun is tried again");
        });
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
            event.erase();
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_fails_is_put_off_for_longer_each_time_and_others_come_first() {
        let mut all = Erasures {
            all: VecDeque::new(),
            failures: Seldom::new(1),
        };
        for user in ["a", "b"] {
            let (asker, _) = oneshot::channel();
            all.add(user.into(), 9, asker);
        }
        let mut waits = Vec::new();
        for _ in 0..7 {
            let mut first = all.take_due().unwrap();
            assert_eq!(*first.user, *"a");
            waits.push(first.wait.as_secs());
            first.due = Instant::now();
            all.put_off(first);
            assert_eq!(*all.take_due().unwrap().user, *"b");
            assert!(all.take_due().is_none(), "it is not time");
            let (asker, _) = oneshot::channel();
            // Who asks again does not wait.
            all.add("a".into(), 9, asker);
            let (asker, _) = oneshot::channel();
            all.add("b".into(), 9, asker);
        }
        assert_eq!(waits, [0, 2, 4, 8, 16, 32, 60]);
    }
}
