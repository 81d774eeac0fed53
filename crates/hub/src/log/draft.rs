//! What is appended, and what comes of it.

use std::sync::Arc;

use super::{Chk, Lost, Mark};
use crate::core::{Author, Event, MAX_SEQ, What};

/// Something that somebody wants in the log.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The room's name.
    pub room: Arc<str>,
    /// Who it is from.
    pub from: Author,
    /// What it is.
    pub what: What,
    /// The client's own id of it. The same user's second draft for the same room with the same
    /// `cid` is not stored again.
    pub cid: Option<Arc<str>>,
    /// Whether who it is from may delete what anybody said in the room.
    pub moderates: bool,
    /// Milliseconds since 1970.
    pub now: u64,
}

/// The log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Its position.
    pub seq: u64,
    /// Its server-made id.
    pub id: Arc<str>,
    /// Its time, in milliseconds since 1970.
    pub ts: u64,
    /// Whether it was there already, or was so already; then the above are those of the event that made it so.
    pub duplicate: bool,
}

impl Appended {
    /// For what this event has said already.
    pub(super) fn again(event: &Event) -> Self {
        Self {
            seq: event.seq,
            id: Arc::clone(&event.id),
            ts: event.ts,
            duplicate: true,
        }
    }
}

/// Why the log does not have it, or may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The same user used the `cid` for something else in this room.
    #[error("this cid was used for something else")]
    Conflict,
    /// The message has [`MAX_REACTIONS`](super::MAX_REACTIONS) others.
    #[error("the message has as many different reactions as it may")]
    TooManyReactions,
    /// The message was edited [`MAX_EDITS`](super::MAX_EDITS) times.
    #[error("the message was edited as often as it may be")]
    TooManyEdits,
    /// What is to be changed is not there, or was deleted.
    #[error("there is no such message")]
    NotFound,
    /// What is to be changed is somebody else's.
    #[error("only its author may change a message")]
    Forbidden,
    /// The log has as many rooms as it may, and this would be one more. It is not stored.
    #[error("the log has as many rooms as it may")]
    TooManyRooms,
    /// The log has as much to do as it may have waiting. It is not stored.
    #[error("the log has too much to do right now")]
    Busy,
    /// The log can't take anything now. It is not stored.
    #[error("the log takes no messages right now")]
    Unavailable,
    /// It is unknown whether the log has it. Trying again with the same `cid` is safe.
    #[error("the log did not confirm it; send it again with the same cid")]
    Timeout,
}

impl Lost for AppendError {
    fn lost() -> Self {
        Self::Timeout
    }
}

/// User, room, `cid`.
pub(super) type Key = (Arc<str>, Arc<str>, Arc<str>);

impl Draft {
    /// What makes a second draft a repetition of the first. Plain clients have no ids.
    pub(super) fn key(&self) -> Option<Key> {
        key(&self.from, &self.room, self.cid.as_ref())
    }

    /// Whether it is the same as one that is in the log as `first`. Of what was deleted that can't be told: then it is.
    pub(super) fn repeats(&self, first: &What) -> bool {
        match (first, &self.what) {
            (What::Message { body: None, .. }, What::Message { .. })
            | (What::Edit { body: None, .. }, What::Edit { .. })
            | (What::Data { json: None }, What::Data { .. }) => true,
            (first, again) => first == again,
        }
    }

    /// The event this draft becomes once its place is decided, behind the room's event at `prev`.
    pub fn into_event(self, appended: &Appended, prev: u64) -> Event {
        Event {
            room: self.room,
            seq: appended.seq,
            prev,
            id: Arc::clone(&appended.id),
            ts: appended.ts,
            from: self.from,
            what: self.what,
            cid: self.cid,
        }
    }
}

/// The next position, as long as every client can read it exactly.
pub(super) fn position_after(last: u64) -> Option<u64> {
    (last < MAX_SEQ).then(|| last + 1)
}

/// Whether a draft may be about `target`: a message that is there, to be changed by its author alone, and to be deleted by moderators, too.
pub(super) fn may_change(draft: &Draft, target: &What, author: &Author) -> Result<(), AppendError> {
    let What::Message { body: Some(_), .. } = target else {
        return Err(AppendError::NotFound);
    };
    match (&draft.what, &draft.from, author) {
        (What::React { .. }, ..) => Ok(()),
        (What::Delete { .. }, ..) if draft.moderates => Ok(()),
        (_, Author::User(user), Author::User(author)) if user.id == author.id => Ok(()),
        _ => Err(AppendError::Forbidden),
    }
}

impl Event {
    /// Its position, with what tells it from another log's.
    pub fn mark(&self) -> Mark {
        Mark {
            seq: self.seq,
            chk: Chk::of_id(&self.id),
        }
    }

    /// As [`Draft::key`].
    pub(super) fn key(&self) -> Option<Key> {
        key(&self.from, &self.room, self.cid.as_ref())
    }
}

fn key(from: &Author, room: &Arc<str>, cid: Option<&Arc<str>>) -> Option<Key> {
    let Author::User(user) = from else {
        return None;
    };
    Some((Arc::clone(&user.id), Arc::clone(room), Arc::clone(cid?)))
}
