//! The way out of a group: one task that ends when there is nothing left to write.

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{runtime::Handle, task};

use crate::{outbox::Outbox, round::Round};

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
    /// Who has something queued and no place in the round.
    pub(crate) apart: Vec<Arc<Outbox>>,
    /// There is a task that will write it all.
    scheduled: bool,
}

impl Drain {
    pub(crate) fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock()
    }

    /// Sees to it that all is written once the task that sends has had its turn.
    fn schedule(self: &Arc<Self>) {
        let runtime = self.current().needs_task();
        if let Some(runtime) = runtime {
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

    /// Where a task is to be started now; none if there is one, or nothing to write.
    fn needs_task(&mut self) -> Option<Handle> {
        if self.scheduled {
            return None;
        }
        let runtime = match &self.round {
            Some(round) => round.runtime(),
            None => self.apart.first()?.runtime(),
        };
        self.scheduled = true;
        Some(runtime.clone())
    }

    /// Closes the round, or else makes one of those apart.
    fn next(&mut self) -> Option<Closed> {
        let apart = || Round::of(std::mem::take(&mut self.apart)).map(Closed);
        self.round.take().map(Closed).or_else(apart)
    }
}

/// Somebody sends. When that is done, also because a transport panicked to which it wrote, what was sent is scheduled.
pub(crate) struct Turn<'a>(pub(crate) &'a Arc<Drain>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.schedule();
    }
}

/// Lets somebody who sends write without its task's budget: once that is spent, all transports look full.
pub(crate) fn unbudgeted(f: impl FnOnce()) {
    let writes = pin!(task::unconstrained(async { f() }));
    // It waits for nothing.
    let _ = writes
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready();
}

/// The task. It keeps no group.
struct Drains(Arc<Drain>);

impl Drains {
    async fn run(self) {
        let runtime = Handle::current();
        // Counted through all rounds: somebody may send so often that there is always another.
        let mut written = 0;
        while let Some(round) = self.next() {
            let tasks = round.0.len() / WRITES_AT_ONCE;
            for _ in 1..tasks.min(runtime.metrics().num_workers()) {
                let round = Closed::clone(&round);
                let helps = async move { round.write_gently(&mut 0).await };
                runtime.spawn(task::unconstrained(helps));
            }
            round.write_gently(&mut written).await;
        }
    }

    /// What is to be written next. Without it, the task ends.
    fn next(&self) -> Option<Closed> {
        let mut current = self.0.current();
        let round = current.next();
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
/// it is left to the members.
#[derive(Clone)]
pub(crate) struct Closed(Arc<Round>);

impl Closed {
    /// Writes to all members that nobody has written to.
    pub(crate) fn write(self) {
        while self.0.write_next() {}
    }

    /// The same, letting others run from time to time, by how many this task has `written` to.
    async fn write_gently(self, written: &mut usize) {
        while self.0.write_next() {
            *written += 1;
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
