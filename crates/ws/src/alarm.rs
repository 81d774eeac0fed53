//! A connection's timer. Its deadline moves with every read, and nearly always away, so the timer stays where it is and looks
//! again when it fires; and a task that it is going to wake need not ask it each time.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::{
    task::unconstrained,
    time::{Instant, Sleep, sleep_until},
};

#[derive(Debug)]
pub(crate) struct Alarm {
    sleep: Pin<Box<Sleep>>,
    /// Whom it wakes when it fires.
    waker: Option<Waker>,
    /// Its deadline moves only away until something else is said.
    lasts: bool,
}

impl Alarm {
    pub(crate) fn new(deadline: Instant) -> Self {
        Self {
            sleep: Box::pin(sleep_until(deadline)),
            waker: None,
            lasts: false,
        }
    }

    /// Whether there is no need to [`poll`](Self::poll) it: it will wake this task early enough.
    pub(crate) fn is_set_for(&self, waker: &Waker) -> bool {
        self.lasts && self.wakes(waker) && !self.sleep.is_elapsed()
    }

    /// Says whether the deadline of the last poll moves only away.
    pub(crate) fn set_lasts(&mut self, lasts: bool) {
        self.lasts = lasts;
    }

    /// `Ready` when `deadline` has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        self.lasts = false;
        if self.sleep.deadline() > deadline {
            self.move_to(deadline);
        }
        if !self.sleep.is_elapsed() && self.wakes(cx.waker()) {
            return Poll::Pending;
        }
        loop {
            // Without budget it would not note who asks, and nobody asks again.
            let mut sleep = unconstrained(self.sleep.as_mut());
            if Pin::new(&mut sleep).poll(cx).is_pending() {
                self.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
            if deadline <= Instant::now() {
                self.waker = None;
                return Poll::Ready(());
            }
            self.move_to(deadline);
        }
    }

    fn wakes(&self, waker: &Waker) -> bool {
        self.waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
    }

    /// A moved timer knows nobody any more.
    fn move_to(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline);
        self.waker = None;
    }
}
