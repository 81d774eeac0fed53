//! What comes in, as the application takes it: events, messages, parts of messages; and what the peer may send in a time.

use std::{
    collections::VecDeque,
    ops::ControlFlow::{Break, Continue},
    task::{Context, Poll, ready},
};

use fullduplex_proto::{CloseCode, CloseFrame, Event, Message, State};

use super::{Driver, now};
use crate::{
    error::Error,
    rate::{Limiter, RateLimit, Verdict},
    reader::Part,
};

impl Driver {
    /// The next event, or the end: clean, or an error.
    pub(crate) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Event>, Error>> {
        self.deliver_parts(false);
        let event = ready!(self.poll_for(cx, Some));
        self.or_end(event)
    }

    /// The next message, or the end.
    #[inline]
    pub(crate) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Message>, Error>> {
        if let Some(message) = self.next_message() {
            return Poll::Ready(Ok(Some(message)));
        }
        if !self.only_reads() {
            return self.poll_message_after(cx, None);
        }
        let came = match self.poll_read(cx) {
            Poll::Ready(came) => came,
            Poll::Pending => {
                ready!(self.poll_timeout(cx));
                self.connection.handle_timeout(now());
                None
            }
        };
        match came {
            Some(Event::Message(message)) => Poll::Ready(Ok(Some(message))),
            came => self.poll_message_after(cx, came),
        }
    }

    /// Nothing is here that an earlier read brought, and nothing is to be done but to read whole messages.
    pub(super) fn only_reads(&self) -> bool {
        self.is_corked()
            && self.connection.state() == State::Open
            && !self.connection.has_events()
            && self.rate.is_none()
            && !self.in_parts
    }

    // Apart, so that what is usual stays small enough to become part of what calls it.
    #[inline(never)]
    pub(super) fn poll_message_after(
        &mut self,
        cx: &mut Context<'_>,
        came: Option<Event>,
    ) -> Poll<Result<Option<Message>, Error>> {
        self.deliver_parts(false);
        let message_of = |event| match event {
            Event::Message(message) => Some(message),
            _ => None,
        };
        let message = match self.pick(cx, came, message_of) {
            Break(picked) => picked,
            Continue(()) => ready!(self.poll_for(cx, message_of)),
        };
        self.or_end(message)
    }

    /// What came, or that nothing more will: because of a clean end, or because of another.
    pub(super) fn or_end<T>(&self, came: Option<T>) -> Poll<Result<Option<T>, Error>> {
        let is_clean = || self.connection.outcome().is_some_and(|end| end.clean);
        Poll::Ready(if came.is_some() || is_clean() {
            Ok(came)
        } else {
            Err(self.closed())
        })
    }

    /// The next message, if it is here and nothing else has to be looked at.
    #[inline]
    pub(super) fn next_message(&mut self) -> Option<Message> {
        if !self.has_messages() {
            return None;
        }
        self.connection.poll_message(self.clock.now())
    }

    /// There may be more messages here, and nothing else has to be looked at.
    #[inline]
    pub(crate) fn has_messages(&self) -> bool {
        self.connection.has_events()
            && self.rate.is_none()
            && !self.in_parts
            && !self.connection.wants_control_write()
    }

    /// Takes messages that are here, if there [are](Self::has_messages) such.
    pub(crate) fn take_messages(
        &mut self,
        messages: &mut VecDeque<Message>,
        max: usize,
        enough: usize,
    ) {
        let now = self.clock.now();
        self.connection.poll_messages(now, messages, max, enough);
    }

    /// The next part of a message, or the end. A clean one, too, if no message has begun.
    pub(crate) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        begun: bool,
    ) -> Poll<Result<Option<Part>, Error>> {
        self.deliver_parts(true);
        let part = ready!(self.poll_for(cx, |event| match event {
            Event::Part { kind, payload, fin } => Some(Part { kind, payload, fin }),
            _ => None,
        }));
        if part.is_none() && begun {
            return Poll::Ready(Err(self.closed()));
        }
        self.or_end(part)
    }

    /// Whether messages are handed out in parts, or whole again: then what is left of one in parts is thrown away.
    pub(crate) fn deliver_parts(&mut self, on: bool) {
        if self.in_parts != on {
            self.in_parts = on;
            self.connection.receive_parts(now(), on);
        }
    }

    /// Waits until the rate limit lets more be read. What is queued leaves meanwhile; deadlines are not looked at, since what
    /// would have kept them may not have been read.
    pub(super) fn poll_hold(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.connection.state() == State::Open
            && let Some(until) = self.rate.as_mut().and_then(|rate| rate.hold_until(now()))
        {
            self.settle(cx);
            if self.connection.state() == State::Open {
                ready!(self.poll_deadline(cx, Some(until)));
            }
        }
        Poll::Ready(())
    }

    /// Whether an event is within the rate limit. If not, it is thrown away, and perhaps the connection closed.
    pub(super) fn admits(&mut self, event: &Event) -> bool {
        let Some(rate) = &mut self.rate else {
            return true;
        };
        let verdict = match event {
            Event::Message(message) => rate.message(now(), message.len()),
            Event::Part { payload, fin, .. } => rate.part(now(), payload.len(), *fin),
            _ => return true,
        };
        if verdict == Verdict::Close
            && let Ok(frame) = CloseFrame::new(CloseCode::POLICY_VIOLATION, "rate limit")
        {
            self.close(frame);
        }
        verdict == Verdict::Take
    }

    /// From now on the peer may send no more than this.
    pub(crate) fn limit_rate(&mut self, limit: RateLimit) {
        self.rate = Some(Box::new(Limiter::new(limit, now())));
    }

    /// How often the limit was met.
    pub(crate) fn rate_limited(&self) -> u64 {
        self.rate.as_ref().map_or(0, |rate| rate.met)
    }
}
