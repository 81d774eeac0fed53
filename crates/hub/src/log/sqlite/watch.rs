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

use super::{queue::Queue, writer::Work};
use crate::log::{AppendError, Appended};

/// How often is looked whether somebody waits for too long.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often is looked whether threads have ended.
const END_INTERVAL: Duration = Duration::from_millis(2);

type Waiting = oneshot::Sender<Result<Appended, AppendError>>;

/// The answers that the writer owes for what it works on.
#[derive(Debug, Default)]
pub(super) struct Owed(Mutex<Option<(Instant, Vec<Waiting>)>>);

impl Owed {
    /// From now on it works for these.
    pub(super) fn begin(&self, answers: Vec<Waiting>) {
        *self.lock() = Some((Instant::now(), answers));
    }

    /// Those who still wait: all, or none when it took too long.
    pub(super) fn end(&self) -> Vec<Waiting> {
        let owed = self.lock().take();
        owed.map(|(_, answers)| answers).unwrap_or_default()
    }

    /// Those who have waited for so long.
    fn late(&self, budget: Duration) -> Vec<Waiting> {
        let late = self.lock().take_if(|(since, _)| since.elapsed() >= budget);
        late.map(|(_, answers)| answers).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Vec<Waiting>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers for a writer that takes longer than `budget`, until the other end of `over` is dropped.
pub(super) fn watch(
    owed: Arc<Owed>,
    queue: Arc<Queue<Work>>,
    budget: Duration,
    over: Receiver<()>,
) -> io::Result<()> {
    let interval = INTERVAL.min(budget);
    let work = move || {
        while over.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            // It waits for a lock as long as the budget says, and then knows more than we do.
            let unknown = owed.late(budget + interval);
            let waiting = queue.take_while(|work| work.since().elapsed() >= budget);
            let (unknowns, refused) = (unknown.len(), waiting.len());
            if unknowns + refused > 0 {
                tracing::error!(
                    refused,
                    unknowns,
                    "the disk is too slow: messages are refused"
                );
            }
            for answer in unknown {
                answer.send(Err(AppendError::Timeout)).ok();
            }
            for work in waiting {
                work.refuse(AppendError::Busy);
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
