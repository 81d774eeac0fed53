//! Who is in a room and who types there, for one client.

use super::Session;
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
        let room = self.seen_in(room)?;
        let page = self.hub.rooms.page(room, cursor, limit);
        let (people, has_more, count) = page.ok_or_else(not_joined)?;
        self.reply(id, &MembersForm::new(&people, has_more, count));
        Ok(())
    }

    pub(super) fn typing(&self, room: &str, is_on: bool) -> Result<(), Failure> {
        if self.client.user().is_none() {
            return Err(Failure::new(ErrorCode::Forbidden, "choose a name first"));
        }
        let room = self.seen_in(room)?;
        self.hub.rooms.typing(room, self.id, is_on);
        Ok(())
    }

    /// A room that was joined to be seen there.
    fn seen_in(&self, room: &str) -> Result<RoomRef, Failure> {
        let is_seen = |room: &RoomRef| {
            let place = self.rooms.get(*room);
            place.is_some_and(|place| !place.is_channel)
        };
        let room = self.rooms.find(room).filter(is_seen);
        room.ok_or_else(not_joined)
    }
}

fn not_joined() -> Failure {
    Failure::new(ErrorCode::NotJoined, "join the room first")
}
