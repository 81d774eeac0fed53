//! What a log answers with, now or later.

use std::{
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot;

/// Resolves when the log has decided.
///
/// Cancel safe: polling again after a drop of an outer future goes on where it was. It resolves once; polled after that it is
/// [`Lost::lost`].
#[must_use = "what is not waited for can't be known"]
#[derive(Debug)]
pub struct Answer<T, E>(State<T, E>);

#[derive(Debug)]
enum State<T, E> {
    Given(Result<T, E>),
    Waiting(oneshot::Receiver<Result<T, E>>),
    Taken,
}

/// An error for what nobody answers any more.
pub trait Lost {
    /// That error.
    fn lost() -> Self;
}

impl<T, E> Answer<T, E> {
    /// One that is there already.
    pub const fn given(result: Result<T, E>) -> Self {
        Self(State::Given(result))
    }

    /// One that comes through the sender, say after a group commit. Dropping the sender means [`Lost::lost`].
    pub fn later() -> (oneshot::Sender<Result<T, E>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(State::Waiting(receiver)))
    }
}

impl<T: Unpin, E: Lost + Unpin> Future for Answer<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answered = match &mut self.0 {
            State::Waiting(receiver) => ready!(Pin::new(receiver).poll(cx)).ok(),
            State::Given(_) | State::Taken => None,
        };
        let given = match mem::replace(&mut self.0, State::Taken) {
            State::Given(result) => Some(result),
            State::Waiting(_) | State::Taken => answered,
        };
        Poll::Ready(given.unwrap_or_else(|| Err(E::lost())))
    }
}

#[cfg(test)]
mod tests {
    use crate::log::{Append, AppendError};

    #[tokio::test]
    async fn what_nobody_answers_any_more_has_an_unknown_outcome() {
        let (sender, append) = Append::later();
        drop(sender);
        assert_eq!(append.await, Err(AppendError::Timeout));
    }
}
