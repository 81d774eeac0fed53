//! Threads that read, each with a connection of its own, so that no reader waits for the writer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::oneshot;

use super::{
    queue::{Queue, Refused, Taken},
    watch::join,
};
use crate::log::{Answer, Lost as _, ReadError};

/// How many threads read, and what may wait for them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Desks {
    threads: usize,
    waiting: usize,
}

/// For what is small: two, so that one which has to wait for the disk does not hold up all. All rooms of a storm of reconnects may wait.
pub(super) const READING: Desks = Desks {
    threads: 2,
    waiting: 20_000,
};
/// For searches: they have a thread of their own, and so hold up nobody but each other. More than wait get no answer in time.
pub(super) const SEARCHING: Desks = Desks {
    threads: 1,
    waiting: 1_000,
};

/// How long something may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// With the wait for its turn.
    pub(super) whole: Duration,
    /// Once it is its turn.
    pub(super) turn: Duration,
}

/// Steps of SQLite's machine between looks at the clock: far less than a millisecond.
const STEPS: i32 = 10_000;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// What readers and those who ask them share.
struct Shared {
    jobs: Queue<Job>,
    /// Whether nobody is to be read for any more.
    is_closing: AtomicBool,
}

pub(super) struct Readers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(path: &Path, desks: Desks) -> rusqlite::Result<Self> {
        let shared = Arc::new(Shared {
            jobs: Queue::new(desks.waiting, usize::MAX),
            is_closing: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for _ in 0..desks.threads {
            let mut conn = open(path)?;
            // Now it has all files that it will ever want by their names.
            conn.query_row("SELECT 1 FROM sqlite_schema", [], |_| Ok(()))?;
            let shared = Arc::clone(&shared);
            let work = move || {
                while let Taken::Items(jobs) = shared.jobs.take(1, usize::MAX, None) {
                    for job in jobs {
                        // Who waits for one that panics is told that it is lost; others are read for as before.
                        catch_unwind(AssertUnwindSafe(|| job(&mut conn))).ok();
                    }
                }
            };
            let thread = thread::Builder::new().name("log reader".into()).spawn(work);
            threads.extend(thread.inspect_err(|error| tracing::error!(%error, "no reader")));
        }
        Ok(Self { shared, threads })
    }

    /// Has this read, within so much time, unless nobody waits for it any more.
    pub(super) fn read<T: Send + 'static>(
        &self,
        budget: Budget,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<T, ReadError> {
        let (answer, later) = Answer::later();
        match self.desk().ask(answer, budget, read) {
            Ok(()) => later,
            Err(error) => Answer::given(Err(error)),
        }
    }

    /// Where to ask them from elsewhere.
    pub(super) fn desk(&self) -> Desk {
        Desk(Arc::clone(&self.shared))
    }

    /// Ends what is under way, and waits for that until `deadline`. Says whether all have ended.
    pub(super) fn close(&mut self, deadline: Instant) -> bool {
        self.shared.is_closing.store(true, Ordering::Relaxed);
        self.shared.jobs.abandon();
        join(std::mem::take(&mut self.threads), deadline)
    }
}

/// Takes questions for readers.
pub(super) struct Desk(Arc<Shared>);

impl Desk {
    /// Has this read within so much time, and its result sent.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        answer: oneshot::Sender<Result<T, ReadError>>,
        budget: Budget,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<(), ReadError> {
        let turn_by = Instant::now() + budget.whole;
        let shared = Arc::clone(&self.0);
        let job = move |conn: &mut Connection| {
            if answer.is_closed() {
                return;
            }
            let begun = Instant::now();
            if begun >= turn_by {
                tracing::warn!("the log has more to read than it can in time");
                answer.send(Err(ReadError::Busy)).ok();
                return;
            }
            let answer = Arc::new(answer);
            let deadline = turn_by.min(begun + budget.turn);
            let awaited = Arc::downgrade(&answer);
            let is_over = move || {
                shared.is_closing.load(Ordering::Relaxed)
                    || awaited.upgrade().is_none_or(|answer| answer.is_closed())
                    || Instant::now() >= deadline
            };
            let result =
                limited(conn, deadline - begun, is_over, read).map_err(|error| why(&error));
            // Who does not wait any more needs no answer.
            if let Some(answer) = Arc::into_inner(answer) {
                answer.send(result).ok();
            }
        };
        self.0
            .jobs
            .push(Box::new(job), 1)
            .map_err(|refused| match refused {
                Refused::Full => ReadError::Busy,
                Refused::Closed => ReadError::lost(),
            })
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close(Instant::now());
    }
}

/// Reads until it `is_over`, and waits for a lock no longer than `patience`.
fn limited<T>(
    conn: &mut Connection,
    patience: Duration,
    is_over: impl FnMut() -> bool + Send + 'static,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    conn.busy_timeout(patience)?;
    conn.progress_handler(STEPS, Some(is_over))?;
    read(conn)
}

fn why(error: &rusqlite::Error) -> ReadError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => ReadError::TooLong,
        Some(ErrorCode::DatabaseBusy) => ReadError::Busy,
        _ => {
            tracing::error!(%error, "the log can't be read");
            ReadError::Unavailable
        }
    }
}

/// A connection that can't write.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(super::LOCK_PATIENCE)?;
    Ok(conn)
}
