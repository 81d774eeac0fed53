//! Something that happens once, and that everybody waits for beside what they do.

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};

use tokio::sync::Notify;

/// Raised once. Whoever waits for it beside other things looks at a flag when it is polled, and at nothing else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Signal(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_raised: AtomicBool,
    notify: Notify,
}

impl Signal {
    pub(crate) fn raise(&self) {
        self.0.is_raised.store(true, Ordering::Release);
        self.0.notify.notify_waiters();
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.is_raised.load(Ordering::Acquire)
    }

    /// Waits until it is raised. Cancel safe.
    pub(crate) async fn raised(&self) {
        self.until(pending::<()>()).await;
    }

    /// What comes of `future`; nothing if it is not done when this is raised.
    ///
    /// Cancel safe as `future` is.
    pub(crate) async fn until<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut notified = pin!(self.0.notify.notified());
        let mut future = pin!(future);
        let mut known: Option<Waker> = None;
        poll_fn(|cx| {
            if !known
                .as_ref()
                .is_some_and(|known| known.will_wake(cx.waker()))
            {
                known = Some(cx.waker().clone());
                // Whether it is ready, the flag says, too; this is to be woken.
                let _ = notified.as_mut().poll(cx).is_ready();
            }
            if self.is_raised() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
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
