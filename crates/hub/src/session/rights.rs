//! What a client may do in a room, decided in one place.

use super::Session;
use crate::{
    rooms::RoomRef,
    wire::reply::{ErrorCode, Failure},
};

/// Something that a client wants to do in a room it has joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// To read what was stored there.
    Read,
    /// To keep a mark of how far it has read.
    Mark,
    /// To store something there. Whose messages it may change is for the log to say, which knows them.
    Write,
}

impl Session {
    /// Where a room is, if the client is there and may do this.
    pub(super) fn allowed(&self, right: Right, room: &str) -> Result<RoomRef, Failure> {
        match right {
            Right::Read => {}
            Right::Mark if self.client.is_lasting() => {}
            Right::Mark => {
                let why = "marks are for who says hello with a guest secret";
                return Err(Failure::new(ErrorCode::Forbidden, why));
            }
            Right::Write if self.client.user().is_some() => {}
            Right::Write => {
                return Err(Failure::new(ErrorCode::Forbidden, "choose a name first"));
            }
        }
        let room = self.rooms.find(room);
        room.ok_or_else(|| Failure::new(ErrorCode::NotJoined, "join the room first"))
    }
}
