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
    asker::{Asker, UnderWay},
    queue::{Queue, Refused, Taken},
    watch::join,
};
use crate::{
    log::{Answer, Lost as _, ReadError},
    seldom::Seldom,
};

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
/// For pages of history: a client may ask for one after the other, of the largest, and who comes into a room does not wait for them.
pub(super) const PAGING: Desks = Desks {
    threads: 1,
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

/// Something to be read.
trait Job: Send {
    /// Whether nobody waits for it any more.
    fn is_void(&self) -> bool;

    /// When it has to be done.
    fn turn_by(&self) -> Instant;

    /// Tells who waits that there was no time for it.
    fn refuse(self: Box<Self>);

    fn run(self: Box<Self>, conn: &mut Connection, under_way: &UnderWay);
}

/// What readers and those who ask them share.
pub(super) struct Shared {
    jobs: Queue<Box<dyn Job>>,
    /// Of each thread.
    under_way: Vec<UnderWay>,
    /// Whether nobody is to be read for any more.
    is_closing: AtomicBool,
    late: Seldom,
    failed: Seldom,
}

impl Shared {
    fn new(desks: Desks) -> Self {
        Self {
            jobs: Queue::new(desks.waiting, usize::MAX),
            under_way: (0..desks.threads).map(|_| UnderWay::default()).collect(),
            is_closing: AtomicBool::new(false),
            late: Seldom::new(1),
            failed: Seldom::new(1),
        }
    }

    /// Answers for threads that hang in a slow disk, once something is later than it may be by so much. Says how many were told so.
    pub(super) fn give_up_late(&self, late: Duration) -> usize {
        let given_up = self.under_way.iter().filter(|one| one.give_up_late(late));
        let given_up = given_up.count();
        let waiting = self.jobs.take_while(|job| job.turn_by().elapsed() >= late);
        let waited = waiting.len();
        waiting.into_iter().for_each(Job::refuse);
        given_up + waited
    }

    /// What to tell who waits for something that can't be read.
    fn why(&self, error: &rusqlite::Error) -> ReadError {
        match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => ReadError::TooLong,
            Some(ErrorCode::DatabaseBusy) => ReadError::Busy,
            _ => {
                self.failed.tell(|left_out| {
                    tracing::error!(%error, left_out, "the log can't be read");
                });
                ReadError::Unavailable
            }
        }
    }
}

pub(super) struct Readers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(path: &Path, desks: Desks) -> rusqlite::Result<Self> {
        let shared = Arc::new(Shared::new(desks));
        let mut threads = Vec::new();
        for at in 0..desks.threads {
            let mut conn = open(path)?;
            // Now it has all files that it will ever want by their names.
            conn.query_row("SELECT 1 FROM sqlite_schema", [], |_| Ok(()))?;
            let shared = Arc::clone(&shared);
            let work = move || {
                while let Taken::Items(jobs) = shared.jobs.take(1, usize::MAX, None) {
                    for job in jobs {
                        // Who waits for one that panics is told that it is lost; others are read for as before.
                        let run = || job.run(&mut conn, &shared.under_way[at]);
                        catch_unwind(AssertUnwindSafe(run)).ok();
                        shared.under_way[at].end();
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

    /// What somebody who watches over them has to know.
    pub(super) fn watched(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
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
        let Self(shared) = self;
        let question = Question {
            answer,
            turn_by: Instant::now() + budget.whole,
            turn: budget.turn,
            read,
            shared: Arc::clone(shared),
        };
        shared.jobs.make_room(|job| job.is_void());
        let asked = shared.jobs.push(Box::new(question), 1);
        asked.map_err(|refused| match refused {
            Refused::Full => ReadError::Busy,
            Refused::Closed => ReadError::lost(),
        })
    }
}

/// Something to be read, and who wants to know.
struct Question<T, F> {
    answer: oneshot::Sender<Result<T, ReadError>>,
    /// When it has to be done.
    turn_by: Instant,
    /// How long it may take once it is its turn.
    turn: Duration,
    read: F,
    shared: Arc<Shared>,
}

impl<T, F> Job for Question<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
{
    fn is_void(&self) -> bool {
        self.answer.is_closed()
    }

    fn turn_by(&self) -> Instant {
        self.turn_by
    }

    fn refuse(self: Box<Self>) {
        self.shared.late.tell(|left_out| {
            tracing::warn!(left_out, "the log has more to read than it can in time");
        });
        self.answer.send(Err(ReadError::Busy)).ok();
    }

    fn run(self: Box<Self>, conn: &mut Connection, under_way: &UnderWay) {
        if self.is_void() {
            return;
        }
        let begun = Instant::now();
        if begun >= self.turn_by {
            self.refuse();
            return;
        }
        let Self {
            answer,
            turn_by,
            turn,
            read,
            shared,
        } = *self;
        let asker = Arc::new(Asker::new(answer));
        let deadline = turn_by.min(begun + turn);
        under_way.begin(deadline, Arc::clone(&asker) as _);
        let is_over = {
            let (asker, shared) = (Arc::downgrade(&asker), Arc::clone(&shared));
            move || {
                shared.is_closing.load(Ordering::Relaxed)
                    || asker.upgrade().is_none_or(|asker| !asker.waits())
                    || Instant::now() >= deadline
            }
        };
        let result = limited(conn, deadline - begun, is_over, read);
        let result = result.map_err(|error| shared.why(&error));
        under_way.end();
        asker.answer(result);
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

/// A connection that can't write.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(super::LOCK_PATIENCE)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tracing::{Event, Metadata, Subscriber, span};

    use super::*;

    const HOUR: Budget = Budget {
        whole: Duration::from_secs(3_600),
        turn: Duration::from_secs(3_600),
    };

    /// Readers that nobody has started.
    fn asleep(waiting: usize) -> Readers {
        Readers {
            shared: Arc::new(Shared::new(Desks {
                threads: 1,
                waiting,
            })),
            threads: Vec::new(),
        }
    }

    /// Does what waits, here.
    fn work(readers: &Readers, conn: &mut Connection) {
        let jobs = readers.shared.jobs.take(usize::MAX, usize::MAX, None);
        let Taken::Items(jobs) = jobs else {
            panic!("nothing to do");
        };
        for job in jobs {
            job.run(conn, &readers.shared.under_way[0]);
        }
    }

    #[tokio::test]
    async fn what_nobody_waits_for_takes_no_place() {
        let readers = asleep(3);
        let first = readers.read(HOUR, |_| Ok(1));
        for _ in 0..9 {
            drop(readers.read(HOUR, |_| Ok(0)));
        }
        let others = [2, 3].map(|n| readers.read(HOUR, move |_| Ok(n)));
        let refused = readers.read(HOUR, |_| Ok(4)).await;
        assert_eq!(refused, Err(ReadError::Busy));
        work(&readers, &mut Connection::open_in_memory().unwrap());
        let [second, third] = others;
        assert_eq!(
            [first.await, second.await, third.await],
            [Ok(1), Ok(2), Ok(3)]
        );
    }

    /// Counts lines in the log.
    struct Lines(Arc<AtomicUsize>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }

        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn enter(&self, _: &span::Id) {}

        fn exit(&self, _: &span::Id) {}
    }

    #[tokio::test]
    async fn however_many_ask_in_vain_the_operator_is_told_seldom() {
        let readers = asleep(1_000);
        let late = Budget {
            whole: Duration::ZERO,
            ..HOUR
        };
        let nowhere = |conn: &Connection| conn.query_row("SELECT x FROM y", [], |row| row.get(0));
        let mut asked: Vec<Answer<i64, _>> = Vec::new();
        for _ in 0..100 {
            asked.push(readers.read(late, |_| Ok(1)));
            asked.push(readers.read(HOUR, nowhere));
        }
        let lines = Arc::new(AtomicUsize::new(0));
        tracing::subscriber::with_default(Lines(Arc::clone(&lines)), || {
            work(&readers, &mut Connection::open_in_memory().unwrap());
        });
        assert_eq!(lines.load(Ordering::Relaxed), 2, "one of each kind");
        for (n, answer) in asked.into_iter().enumerate() {
            let why = [ReadError::Busy, ReadError::Unavailable][n % 2];
            assert_eq!(answer.await, Err(why));
        }
    }
}
