//! Joins on their way: the room may first have to come out of the log.

use std::task::{Context, Poll, ready};

use super::Session;
use crate::{
    core::{JoinRefused, RoomState},
    entrance::Entrance,
    wire::{
        command::Id,
        reply::{ErrorCode, Failure, Resume},
    },
};

/// A join that waits.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) id: Option<Id>,
    pub(super) entrance: Entrance,
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
        match self.poll_enter(&mut joining.entrance, cx) {
            Poll::Pending => self.joining = Some(joining),
            Poll::Ready(result) => {
                self.answer_join(&joining.entrance.room, joining.id.as_ref(), result);
            }
        }
    }

    fn poll_enter(
        &mut self,
        entrance: &mut Entrance,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Entered, Failure>> {
        loop {
            let (begin, judged) = ready!(entrance.poll(&self.hub, cx))?;
            let user = self.client.user();
            if let Some((room, state)) = self.rooms.join(&entrance.room, user, begin) {
                self.ready.push_back(room);
                let resume = judged.map(Resume::from);
                return Poll::Ready(Ok(Entered { state, resume }));
            }
            entrance.again(&self.hub);
        }
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
