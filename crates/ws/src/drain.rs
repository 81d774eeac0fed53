//! The way out of a group: one task that ends when there is nothing left to write.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use tokio::{runtime::Handle, task};

use crate::round::Round;

/// Members that a task writes to before it lets others run, and for which another task is worth its start.
const WRITES_AT_ONCE: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Drain {
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
pub(crate) struct Current {
    /// The round that messages are added to.
    pub(crate) round: Option<Arc<Round>>,
    /// There is a task that will write it.
    scheduled: bool,
}

impl Drain {
    pub(crate) fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock()
    }

    /// Sees to it that the current round is written once the task that sends has had its turn.
    pub(crate) fn schedule(self: &Arc<Self>, runtime: &Handle) {
        let scheduled = std::mem::replace(&mut self.current().scheduled, true);
        if !scheduled {
            let drains = Drains(Arc::clone(self));
            // What a transport takes is for it to say, not for a budget that counts writes.
            runtime.spawn(task::unconstrained(drains.run()));
        }
    }
}

impl Current {
    /// Closes the round.
    pub(crate) fn close(&mut self) -> Option<Closed> {
        self.round.take().map(Closed)
    }
}

/// The task. It keeps no group.
struct Drains(Arc<Drain>);

impl Drains {
    async fn run(self) {
        let runtime = Handle::current();
        while let Some(round) = self.next() {
            let tasks = round.0.len() / WRITES_AT_ONCE;
            for _ in 1..tasks.min(runtime.metrics().num_workers()) {
                runtime.spawn(task::unconstrained(Closed::clone(&round).write_gently()));
            }
            round.write_gently().await;
        }
    }

    /// Closes the current round. Without one, the task ends.
    fn next(&self) -> Option<Closed> {
        let mut current = self.0.current();
        let round = current.close();
        current.scheduled = round.is_some();
        round
    }
}

impl Drop for Drains {
    fn drop(&mut self) {
        while let Some(unwritten) = self.next() {
            drop(unwritten);
        }
    }
}

/// A round that nothing is added to any more. Dropped before it is written, because the runtime has ended or a transport panicked,
/// it leaves to each member what that is owed.
#[derive(Clone)]
pub(crate) struct Closed(Arc<Round>);

impl Closed {
    /// Writes to all members that nobody has written to.
    pub(crate) fn write(self) {
        while self.0.write_next() {}
    }

    /// The same, letting others run from time to time.
    async fn write_gently(self) {
        let mut written = 0_usize;
        while self.0.write_next() {
            written += 1;
            if written.is_multiple_of(WRITES_AT_ONCE) {
                task::yield_now().await;
            }
        }
    }
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
