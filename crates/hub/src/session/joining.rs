//! Joins on their way: the room may first have to come out of the log.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::Session;
use crate::{
    core::{Begin, Cursor, JoinRefused, NoCursor, Reset, RoomState, judge},
    log::{Answer, ReadError, Sought},
    wire::{
        command::Id,
        reply::{ErrorCode, Failure, Resume},
    },
};

/// A join that waits.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) id: Option<Id>,
    pub(super) room: Arc<str>,
    /// The newest messages wanted, where it does not go on from a cursor.
    pub(super) backlog: usize,
    /// Where those begin, once the room is open.
    pub(super) from: u64,
    /// What the client has.
    pub(super) since: Option<Result<Cursor, NoCursor>>,
    pub(super) step: Step,
}

/// What it waits for.
#[derive(Debug)]
pub(super) enum Step {
    Opening(Answer<u64, JoinRefused>),
    /// For where the cursor is, which the ring can't tell.
    Seeking(Answer<Sought, ReadError>),
}

/// A room that was joined.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) state: RoomState,
    pub(super) resume: Option<Resume>,
}

impl Session {
    /// Goes on with the join that is under way.
    pub(super) fn poll_joining(&mut self, cx: &mut Context<'_>) {
        let Some(mut joining) = self.joining.take() else {
            return;
        };
        match self.poll_enter(&mut joining, cx) {
            Poll::Pending => self.joining = Some(joining),
            Poll::Ready(result) => self.answer_join(&joining.room, joining.id.as_ref(), result),
        }
    }

    fn poll_enter(
        &mut self,
        joining: &mut Joining,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Entered, Failure>> {
        loop {
            let judged = ready!(self.poll_judged(joining, cx))?;
            let begin = match (judged, &joining.since) {
                (Some(Ok(())), Some(Ok(cursor))) => Begin::After(cursor.mark.seq),
                _ => Begin::Newest {
                    count: joining.backlog,
                    from: joining.from,
                },
            };
            let user = self.client.user();
            if let Some((room, state)) = self.rooms.join(&joining.room, user, begin) {
                self.ready.push_back(room);
                let resume = judged.map(Resume::from);
                return Poll::Ready(Ok(Entered { state, resume }));
            }
            // Forgotten between the two, as nobody was in it.
            joining.step = self.opening(&joining.room, joining.backlog);
        }
    }

    /// Waits for the room, and says whether the client goes on from its cursor, if it has one.
    fn poll_judged(
        &self,
        joining: &mut Joining,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Result<(), Reset>>, Failure>> {
        if let Step::Opening(opening) = &mut joining.step {
            joining.from = ready!(Pin::new(opening).poll(cx))?;
        }
        let cursor = match &joining.since {
            None => return Poll::Ready(Ok(None)),
            Some(Err(NoCursor)) => return Poll::Ready(Ok(Some(Err(Reset::Mismatch)))),
            Some(Ok(cursor)) => cursor,
        };
        if let Step::Opening(_) = joining.step {
            let judged = self.hub.rooms.judge(&joining.room, cursor);
            if judged.is_some() {
                return Poll::Ready(Ok(judged));
            }
            let sought = self.hub.log.seek(&joining.room, cursor.mark.seq);
            joining.step = Step::Seeking(sought);
        }
        let Step::Seeking(seeking) = &mut joining.step else {
            return Poll::Pending;
        };
        let sought = ready!(Pin::new(seeking).poll(cx)).map_err(|_| JoinRefused::Unreadable)?;
        let judged = judge(cursor, &sought.bounds, sought.chk, sought.following);
        Poll::Ready(Ok(Some(judged)))
    }

    /// The first step of a join.
    pub(super) fn opening(&self, room: &Arc<str>, wanted: usize) -> Step {
        Step::Opening(self.hub.open_room(room, self.rooms.address(), wanted))
    }
}

impl From<JoinRefused> for Failure {
    fn from(refused: JoinRefused) -> Self {
        match refused {
            JoinRefused::Full => Self::new(
                ErrorCode::Unavailable,
                "the server has as many rooms as it may",
            ),
            JoinRefused::ShareUsed => Self::new(
                ErrorCode::RateLimited,
                "too many rooms were made from your address",
            ),
            JoinRefused::Unreadable => {
                Self::new(ErrorCode::Unavailable, "the room can't be read right now")
            }
        }
    }
}
