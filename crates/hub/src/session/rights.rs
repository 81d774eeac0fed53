//! What a client may do in a room, decided in one place.

use super::Session;
use crate::{
    auth,
    rooms::RoomRef,
    wire::reply::{ErrorCode, Failure},
};

/// Something that a client wants to do in a room it has joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// To read what was stored there, and to keep a mark of how far.
    Read,
    /// To store something there. Whose messages it may change is for the log to say, which knows them.
    Write,
    /// To delete what anybody said there.
    Moderate,
}

impl Right {
    /// What a token has to allow for it.
    const fn of_token(self) -> auth::Right {
        match self {
            Self::Read => auth::Right::Read,
            Self::Write => auth::Right::Write,
            Self::Moderate => auth::Right::Admin,
        }
    }
}

impl Session {
    /// Where a room is, if the client is there and may do this.
    pub(super) fn allowed(&self, right: Right, room: &str) -> Result<RoomRef, Failure> {
        if right != Right::Read && self.client.user().is_none() {
            return Err(Failure::new(ErrorCode::Forbidden, "choose a name first"));
        }
        let Some(found) = self.rooms.find(room) else {
            return Err(Failure::new(ErrorCode::NotJoined, "join the room first"));
        };
        self.may(room, right.of_token())?;
        Ok(found)
    }
}
