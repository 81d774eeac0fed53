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

/// Two: a long search holds up no join.
const THREADS: usize = 2;
/// Reads that may wait: all rooms of a storm of reconnects.
const MAX_WAITING: usize = 20_000;

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
    pub(super) fn start(path: &Path) -> rusqlite::Result<Self> {
        let shared = Arc::new(Shared {
            jobs: Queue::new(MAX_WAITING, usize::MAX),
            is_closing: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for _ in 0..THREADS {
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

    /// Has this read, within so much time.
    pub(super) fn read<T: Send + 'static>(
        &self,
        budget: Duration,
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
        budget: Duration,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<(), ReadError> {
        let deadline = Instant::now() + budget;
        let shared = Arc::clone(&self.0);
        let job = move |conn: &mut Connection| {
            let result = limit(conn, deadline, shared)
                .and_then(|()| read(conn))
                .map_err(|error| why(&error));
            // Who does not wait any more needs no answer.
            answer.send(result).ok();
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

/// Has what is read from now on end at `deadline`, or when the log is closed.
fn limit(conn: &mut Connection, deadline: Instant, shared: Arc<Shared>) -> rusqlite::Result<()> {
    conn.busy_timeout(deadline.saturating_duration_since(Instant::now()))?;
    let is_over = move || shared.is_closing.load(Ordering::Relaxed) || Instant::now() >= deadline;
    if is_over() {
        let interrupted = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT);
        return Err(rusqlite::Error::SqliteFailure(interrupted, None));
    }
    conn.progress_handler(STEPS, Some(is_over))
}

fn why(error: &rusqlite::Error) -> ReadError {
    let code = error.sqlite_error_code();
    if let Some(ErrorCode::OperationInterrupted | ErrorCode::DatabaseBusy) = code {
        tracing::warn!("the log is not read in time");
        ReadError::Busy
    } else {
        tracing::error!(%error, "the log can't be read");
        ReadError::Unavailable
    }
}

/// A connection that can't write.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(super::LOCK_PATIENCE)?;
    Ok(conn)
}
