//! Threads that read, each with a connection of its own, so that no reader waits for the writer.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
    thread::{self, JoinHandle},
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::queue::{Queue, Refused, Taken};
use crate::log::{Answer, Lost as _, ReadError};

/// Two: a long search holds up no join.
const THREADS: usize = 2;
/// Reads that may wait: all rooms of a storm of reconnects.
const MAX_WAITING: usize = 20_000;

type Job = Box<dyn FnOnce(&Connection) + Send>;

pub(super) struct Readers {
    queue: Arc<Queue<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(path: &Path) -> rusqlite::Result<Self> {
        let queue = Arc::new(Queue::<Job>::new(MAX_WAITING, usize::MAX));
        let mut threads = Vec::new();
        for _ in 0..THREADS {
            let conn = open(path)?;
            // Now it has all files that it will ever want by their names.
            conn.query_row("SELECT 1 FROM sqlite_schema", [], |_| Ok(()))?;
            let queue = Arc::clone(&queue);
            let work = move || {
                while let Taken::Items(jobs) = queue.take(1, usize::MAX, None) {
                    for job in jobs {
                        // Who waits for one that panics is told that it is lost; others are read for as before.
                        catch_unwind(AssertUnwindSafe(|| job(&conn))).ok();
                    }
                }
            };
            let thread = thread::Builder::new().name("log reader".into()).spawn(work);
            threads.extend(thread.inspect_err(|error| tracing::error!(%error, "no reader")));
        }
        Ok(Self { queue, threads })
    }

    /// Has this read.
    pub(super) fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Answer<T, ReadError> {
        let (answer, later) = Answer::later();
        match self.desk().ask(answer, read) {
            Ok(()) => later,
            Err(error) => Answer::given(Err(error)),
        }
    }

    /// Where to ask them from elsewhere.
    pub(super) fn desk(&self) -> Desk {
        Desk(Arc::clone(&self.queue))
    }

    /// Ends what is under way, and their connections.
    pub(super) fn close(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            if thread.thread().id() != thread::current().id() {
                thread.join().ok();
            }
        }
    }
}

/// Takes questions for readers.
pub(super) struct Desk(Arc<Queue<Job>>);

impl Desk {
    /// Has this read, and its result sent.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        answer: oneshot::Sender<Result<T, ReadError>>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<(), ReadError> {
        let job = move |conn: &Connection| {
            let result = read(conn).map_err(|error| {
                tracing::error!(%error, "the log can't be read");
                ReadError::Unavailable
            });
            // Who does not wait any more needs no answer.
            answer.send(result).ok();
        };
        self.0
            .push(Box::new(job), 1)
            .map_err(|refused| match refused {
                Refused::Full => ReadError::Busy,
                Refused::Closed => ReadError::lost(),
            })
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.close();
    }
}

/// A connection that can't write.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(super::LOCK_PATIENCE)?;
    Ok(conn)
}
