//! The end of a connection: asked for, gone through, or at once.

use std::task::{Context, Poll, ready};

use fullduplex_proto::{CloseFrame, Outcome, State};

use super::{Driver, Handler, now};
use crate::error::Error;

impl Driver {
    /// Begins the closing handshake, or does nothing if it has begun.
    pub(crate) fn close(&mut self, frame: CloseFrame) {
        if self.connection.state() == State::Open {
            self.queue_owed();
            self.connection.close(now(), frame);
        }
    }

    /// Closes, and goes through the closing handshake to its end. Messages that still arrive are thrown away.
    pub(crate) fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        slot: &mut Option<CloseFrame>,
    ) -> Poll<Outcome> {
        if let Some(frame) = slot.take() {
            self.close(frame);
        }
        loop {
            ready!(self.poll_end(cx));
            if let Some(outcome) = self.connection.outcome() {
                return Poll::Ready(outcome);
            }
        }
    }

    /// The same, and an error unless it was clean.
    pub(crate) fn poll_close_cleanly(
        &mut self,
        cx: &mut Context<'_>,
        frame: CloseFrame,
    ) -> Poll<Result<(), Error>> {
        let outcome = ready!(self.poll_close(cx, &mut Some(frame)));
        Poll::Ready(if outcome.clean {
            Ok(())
        } else {
            Err(Error::Ended(Box::new(outcome)))
        })
    }

    /// Writes all; if the end has begun, goes through it to its end.
    pub(crate) fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.connection.state() == State::Open {
            ready!(self.poll_write(cx));
        }
        if self.connection.state() != State::Open {
            ready!(self.poll_end(cx));
        }
        Poll::Ready(())
    }

    /// Goes through the closing handshake, or on until there is one. Messages that arrive are thrown away.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_for(cx, |_| None::<()>).map(|_| ())
    }

    /// Lets go of the transport at once.
    pub(crate) fn abandon(&mut self) {
        if !self.is_over() {
            self.connection.abandon(now());
            self.drop_transport();
        }
    }

    /// Lets go of the transport if nobody is left who could use it. A handler that runs may yet be done, and then its helper has
    /// things to do.
    pub(crate) fn abandon_if_deserted(&mut self) {
        if self.owners == 0 || (self.owners == 1 && self.handler == Handler::Waits) {
            self.abandon();
        }
    }

    /// What the application is told when it uses a connection that has ended or is about to.
    pub(crate) fn closed(&self) -> Error {
        match self.connection.outcome() {
            Some(outcome) => Error::Ended(Box::new(outcome)),
            None => Error::Closing,
        }
    }

    /// Whether a stream has yielded the error that the connection ended with; from now on it has.
    pub(crate) fn was_told(&mut self) -> bool {
        std::mem::replace(&mut self.told, true)
    }
}
