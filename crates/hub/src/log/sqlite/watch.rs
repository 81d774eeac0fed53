//! What a slow disk may cost those who wait: an answer in time, and a shutdown that ends.
//!
//! A thread in the middle of a sync can't be interrupted. So the answers that it owes are kept where another one finds them.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{queue::Queue, reader, writer::Work};
use crate::log::{AppendError, Appended, ReadError, ReadMark};

/// How often is looked whether somebody waits for too long.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often is looked whether threads have ended.
const END_INTERVAL: Duration = Duration::from_millis(2);

/// Who waits for what the writer works on.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) drafts: Vec<oneshot::Sender<Result<Appended, AppendError>>>,
    pub(super) marks: Vec<oneshot::Sender<Result<ReadMark, ReadError>>>,
}

impl Answers {
    /// Tells all that it is not done, or that nobody knows.
    pub(super) fn refuse(self, error: AppendError) {
        // Who does not wait any more needs no answer.
        for answer in self.drafts {
            answer.send(Err(error)).ok();
        }
        for answer in self.marks {
            answer.send(Err(ReadError::Unavailable)).ok();
        }
    }
}

/// The answers that the writer owes for what it works on.
#[derive(Debug, Default)]
pub(super) struct Owed(Mutex<Option<(Instant, Answers)>>);

impl Owed {
    /// From now on it works for these.
    pub(super) fn begin(&self, answers: Answers) {
        *self.lock() = Some((Instant::now(), answers));
    }

    /// Those who still wait: all, or none when it took too long.
    pub(super) fn end(&self) -> Answers {
        let owed = self.lock().take();
        owed.map(|(_, answers)| answers).unwrap_or_default()
    }

    /// Those who have waited for so long.
    fn late(&self, budget: Duration) -> Answers {
        let late = self.lock().take_if(|(since, _)| since.elapsed() >= budget);
        late.map(|(_, answers)| answers).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Answers)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers for a writer that takes longer than `budget`, and for readers that take longer than theirs, until the other end of `over` is dropped.
pub(super) fn watch(
    owed: Arc<Owed>,
    queue: Arc<Queue<Work>>,
    readers: [Arc<reader::Shared>; 3],
    budget: Duration,
    over: Receiver<()>,
) -> io::Result<()> {
    let interval = INTERVAL.min(budget);
    let work = move || {
        while over.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            // It waits for a lock as long as the budget says, and then knows more than we do.
            let unknown = owed.late(budget + interval);
            let waiting = queue.take_while(|work| work.since().elapsed() >= budget);
            let unknowns = unknown.drafts.len() + unknown.marks.len();
            let refused = waiting.len();
            if unknowns + refused > 0 {
                tracing::error!(
                    refused,
                    unknowns,
                    "the disk is too slow: messages are refused"
                );
            }
            unknown.refuse(AppendError::Timeout);
            for work in waiting {
                work.refuse(AppendError::Busy);
            }
            // A read that is under way looks at the clock itself, unless it waits for the disk.
            let late = readers.iter().map(|shared| shared.give_up_late(interval));
            let late = late.sum::<usize>();
            if late > 0 {
                tracing::error!(late, "the disk is too slow: reads are given up");
            }
        }
    };
    let thread = thread::Builder::new().name("log watch".into());
    thread.spawn(work).map(drop)
}

/// Waits for threads until `deadline`. Says whether they have ended. Not for the one that asks.
pub(super) fn join(threads: Vec<JoinHandle<()>>, deadline: Instant) -> bool {
    let mut others = threads
        .into_iter()
        .filter(|other| other.thread().id() != thread::current().id());
    others.all(|other| {
        while !other.is_finished() && Instant::now() < deadline {
            thread::sleep(END_INTERVAL);
        }
        // At its very end it may be about to let its connection go.
        other.is_finished() && other.join().is_ok()
    })
}
