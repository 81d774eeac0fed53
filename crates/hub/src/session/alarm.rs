//! One timer for all of a session's deadlines.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Rings at the earliest deadline it was set to, or earlier, never later. Deadlines that move away
/// with every message cost nothing: the timer stays and rings once in vain.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    pub(crate) fn set(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        match &mut self.0 {
            None => self.0 = Some(Box::pin(sleep_until(deadline))),
            Some(sleep) if deadline < sleep.deadline() => sleep.as_mut().reset(deadline),
            Some(_) => {}
        }
    }

    /// Waits for the deadline; for ever if none is set. Cancel safe.
    pub(crate) async fn rings(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.0 else {
            return Poll::Pending;
        };
        ready!(sleep.as_mut().poll(cx));
        self.0 = None;
        Poll::Ready(())
    }
}
