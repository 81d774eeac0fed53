//! Who is in a room and who types there, for one client.

use super::{Session, rights::Right};
use crate::{
    rooms::RoomRef,
    wire::{
        command::Id,
        people::MembersForm,
        reply::{ErrorCode, Failure},
    },
};

impl Session {
    pub(super) fn members(
        &mut self,
        room: &str,
        limit: usize,
        cursor: Option<&str>,
        id: Option<&Id>,
    ) -> Result<(), Failure> {
        let room = self.seen_in(Right::Read, room)?;
        let page = self.hub.rooms.page(room, cursor, limit);
        let (people, has_more, count) = page.ok_or_else(not_joined)?;
        self.reply(id, &MembersForm::new(&people, has_more, count));
        Ok(())
    }

    pub(super) fn typing(&self, room: &str, is_on: bool) -> Result<(), Failure> {
        let room = self.seen_in(Right::Write, room)?;
        self.hub.rooms.typing(room, self.id, is_on);
        Ok(())
    }

    /// A room that was joined to be seen there.
    fn seen_in(&self, right: Right, room: &str) -> Result<RoomRef, Failure> {
        let room = self.allowed(right, room)?;
        let place = self.rooms.get(room);
        let is_seen = place.is_some_and(|place| !place.is_channel);
        is_seen.then_some(room).ok_or_else(not_joined)
    }
}

fn not_joined() -> Failure {
    Failure::new(ErrorCode::NotJoined, "join the room first")
}
