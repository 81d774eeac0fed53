//! Who waits for a read that a thread works on: kept where somebody else can answer, too, should the disk hang.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use crate::log::ReadError;

/// Somebody who waits for an answer, and gets one.
pub(super) struct Asker<T>(Mutex<Option<oneshot::Sender<Result<T, ReadError>>>>);

impl<T> Asker<T> {
    pub(super) const fn new(answer: oneshot::Sender<Result<T, ReadError>>) -> Self {
        Self(Mutex::new(Some(answer)))
    }

    /// Whether somebody waits for it still.
    pub(super) fn waits(&self) -> bool {
        self.lock()
            .as_ref()
            .is_some_and(|answer| !answer.is_closed())
    }

    /// Gives the answer, unless another one was given.
    pub(super) fn answer(&self, result: Result<T, ReadError>) {
        let asker = self.lock().take();
        // Who does not wait any more needs no answer.
        asker.map(|asker| asker.send(result));
    }

    fn lock(&self) -> MutexGuard<'_, Option<oneshot::Sender<Result<T, ReadError>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An [`Asker`], whatever for.
pub(super) trait Waits: Send + Sync {
    /// Tells who waits that nothing could be read in time.
    fn give_up(&self);
}

impl<T: Send> Waits for Asker<T> {
    fn give_up(&self) {
        self.answer(Err(ReadError::Unavailable));
    }
}

/// What one thread works on, and until when it is to be done.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<Option<(Instant, Arc<dyn Waits>)>>);

impl UnderWay {
    pub(super) fn begin(&self, deadline: Instant, asker: Arc<dyn Waits>) {
        *self.lock() = Some((deadline, asker));
    }

    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    /// Gives it up if it is later than it may be by so much. Says whether it did.
    pub(super) fn give_up_late(&self, late: Duration) -> bool {
        let given_up = self
            .lock()
            .take_if(|(deadline, _)| deadline.elapsed() >= late);
        given_up.is_some_and(|(_, asker)| {
            asker.give_up();
            true
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, Arc<dyn Waits>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
