//! Events on their way into the log.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Dialect, Session, rights::Right};
use crate::{
    auth,
    core::{Author, What},
    hub::now,
    log::{Append, AppendError, Appended, Draft},
    rooms::RoomRef,
    wire::{
        command::Id,
        reply::{self, ErrorCode, Failure},
        writing::Write,
    },
};

/// One of them, and whom to tell.
#[derive(Debug)]
pub(super) struct Writing {
    id: Option<Id>,
    room: RoomRef,
    append: Append,
}

/// What an edit or a deletion counts as, to its author and the author's address: the log takes as long for it as for some ten messages, as the words
/// that were in the message have to be taken out of the index.
const CHANGE_WEIGHT: u32 = 10;

/// Those of one session, in the order of their commands.
pub(super) type AllWriting = VecDeque<Writing>;

const fn weight(what: &What) -> u32 {
    match what {
        What::Edit { .. } | What::Delete { .. } => CHANGE_WEIGHT,
        _ => 1,
    }
}

impl Session {
    /// Has something stored that a client of `fdx.v1.json` wrote.
    pub(super) fn write(&mut self, write: Write<'_>, id: Option<&Id>) -> Result<(), Failure> {
        let right = if self.moderates(&write.room, &write.what) {
            Right::Moderate
        } else {
            Right::Write
        };
        let room = self.allowed(right, &write.room)?;
        self.admit_message(room, weight(&write.what))?;
        if let Some(user) = self.client.user() {
            let from = Author::User(Arc::clone(user));
            let cid = write.cid.map(Arc::from);
            self.publish(room, from, write.what, cid, id.cloned());
        }
        Ok(())
    }

    /// Whether it is something that who moderates the room may do, whoever said what it is about.
    fn moderates(&self, room: &str, what: &What) -> bool {
        let is_for_moderators = matches!(what, What::Delete { .. });
        is_for_moderators && self.may(room, auth::Right::Admin).is_ok()
    }

    /// Hands an event to the log.
    pub(super) fn publish(
        &mut self,
        room: RoomRef,
        from: Author,
        what: What,
        cid: Option<Arc<str>>,
        id: Option<Id>,
    ) {
        let Some(place) = self.rooms.get(room) else {
            return;
        };
        let draft = Draft {
            moderates: self.moderates(&place.name, &what),
            room: Arc::clone(&place.name),
            from,
            what,
            cid,
            now: now(),
        };
        let append = self.hub.log.append(draft);
        self.writing.push_back(Writing { id, room, append });
    }

    /// Takes the log's decisions about events under way, the oldest first.
    pub(super) fn poll_writing(&mut self, cx: &mut Context<'_>) {
        while let Some(first) = self.writing.front_mut()
            && let Poll::Ready(result) = Pin::new(&mut first.append).poll(cx)
        {
            if let Some(Writing { id, room, .. }) = self.writing.pop_front() {
                self.written(id.as_ref(), room, result);
            }
        }
    }

    /// The log has decided about an event for a room.
    fn written(&mut self, id: Option<&Id>, room: RoomRef, result: Result<Appended, AppendError>) {
        if let Err(error) = result {
            self.hub.refusals.count(error);
        }
        if let Dialect::V1 { .. } = self.dialect {
            if result.is_ok() && !self.ready.contains(&room) {
                // The event leaves with the reply, and not in a write of its own.
                self.ready.push_back(room);
            }
            self.answer_write(id, result);
        } else {
            self.decided_plain(room, result.err());
        }
    }

    fn answer_write(&mut self, id: Option<&Id>, result: Result<Appended, AppendError>) {
        match result {
            Ok(Appended {
                seq,
                id: event,
                ts,
                duplicate,
            }) => {
                let stored = reply::Sent {
                    seq,
                    id: &event,
                    ts,
                    dup: duplicate,
                };
                self.reply(id, &stored);
            }
            Err(error) => {
                let failure = Failure::from(error);
                self.outbox.push(reply::refusal(id, &failure));
            }
        }
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        let code = match error {
            AppendError::Conflict | AppendError::TooManyReactions | AppendError::TooManyEdits => {
                ErrorCode::Conflict
            }
            AppendError::NotFound => ErrorCode::NotFound,
            AppendError::Forbidden => ErrorCode::Forbidden,
            AppendError::TooManyRooms | AppendError::Busy | AppendError::Unavailable => {
                ErrorCode::Unavailable
            }
            AppendError::Timeout => ErrorCode::Timeout,
        };
        Self::new(code, error.to_string())
    }
}
