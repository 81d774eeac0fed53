//! Something that happens once, and that everybody waits for beside what they do.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use pin_project_lite::pin_project;
use tokio::sync::{Notify, futures::OwnedNotified};

/// Raised once. Whoever waits for it beside other things looks at a flag when it is polled, and at nothing else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signal {
    is_raised: Arc<AtomicBool>,
    notify: Arc<Notify>,
}

impl Signal {
    pub(crate) fn raise(&self) {
        self.is_raised.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.is_raised.load(Ordering::Acquire)
    }

    /// Waits until it is raised. Cancel safe.
    pub(crate) async fn raised(&self) {
        self.until(pending::<()>()).await;
    }

    /// What comes of `future`; nothing if it is not done when this is raised.
    ///
    /// Cancel safe as `future` is.
    pub(crate) fn until<F: Future>(&self, future: F) -> Until<F> {
        Until {
            is_raised: Arc::clone(&self.is_raised),
            notified: Arc::clone(&self.notify).notified_owned(),
            known: None,
            future,
        }
    }
}

pin_project! {
    /// See [`Signal::until`]. Every connection has one, and an async function would hold its future twice.
    #[derive(Debug)]
    pub(crate) struct Until<F> {
        is_raised: Arc<AtomicBool>,
        #[pin]
        notified: OwnedNotified,
        // Who is woken when it is raised.
        known: Option<Waker>,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Until<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let is_known = |known: &Waker| known.will_wake(cx.waker());
        if !this.known.as_ref().is_some_and(is_known) {
            *this.known = Some(cx.waker().clone());
            // Whether it is ready, the flag says, too; this is to be woken.
            let _ = this.notified.poll(cx).is_ready();
        }
        if this.is_raised.load(Ordering::Acquire) {
            return Poll::Ready(None);
        }
        this.future.poll(cx).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn it_ends_what_waits_and_what_comes_later() {
        let signal = Signal::default();
        let waits = signal.clone();
        let task = tokio::spawn(async move { waits.until(pending::<()>()).await });
        yield_now().await;
        assert!(!task.is_finished());
        signal.raise();
        assert_eq!(task.await.unwrap(), None);
        assert_eq!(signal.until(async { 1 }).await, None);
        signal.raised().await;
    }

    #[tokio::test]
    async fn what_is_done_before_has_its_output() {
        let signal = Signal::default();
        let done = signal.until(async {
            yield_now().await;
            1
        });
        assert_eq!(done.await, Some(1));
    }

    #[tokio::test]
    async fn whoever_polls_last_is_woken() {
        let signal = Signal::default();
        let waits = signal.clone();
        let mut moved = Box::pin(async move { waits.until(pending::<()>()).await });
        // Polled here first, and then by a task.
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(moved.as_mut().poll(cx).is_pending());
        let task = tokio::spawn(moved);
        yield_now().await;
        signal.raise();
        assert_eq!(task.await.unwrap(), None);
    }
}
