//! A room that has another history while the session is there.

use fullduplex::CloseCode;

use super::{Dialect, Session, Stop};
use crate::{core::Forked, rooms::RoomRef, wire::event};

impl Session {
    /// Goes on in a room's new history. Who can't be told, and has not got all of the one before, is sent away.
    pub(super) fn begin_anew(&mut self, room: RoomRef, forked: &Forked) -> Result<(), Stop> {
        self.catch_up.leave(room);
        let Some(place) = self.rooms.get_mut(room) else {
            return Ok(());
        };
        place.history = forked.history;
        place.cursor = forked.head.seq + 1;
        match self.dialect {
            Dialect::V1 { .. } => self.outbox.push(event::reset(&place.name, forked)),
            Dialect::Json | Dialect::Text if forked.had_all => {}
            Dialect::Json | Dialect::Text => {
                let reason = "the room begins anew";
                return Err(Stop::close(CloseCode::TRY_AGAIN_LATER, reason));
            }
        }
        Ok(())
    }
}
