//! Who is sent away, from the server or from a room, and kept out.

use std::sync::Arc;

use crate::{
    auth::{Ban, BanError, Denied, Subject, Who},
    hub::Shared,
    session::Ended,
};

impl Shared {
    /// Lets nobody in who is banned.
    pub(crate) fn let_in(&self, who: Who<'_>) -> Result<(), Denied> {
        if self.bans.hold(who, None) {
            self.metrics.banned.add(1);
            return Err(Denied::Banned);
        }
        Ok(())
    }

    /// Keeps somebody out of a room or the server, and sends away whoever it is that is there. Blocks; for who has the turn to change
    /// bans, and settles it then.
    ///
    /// # Errors
    ///
    /// Nothing has changed.
    pub(crate) fn ban(
        &self,
        whom: Subject,
        room: Option<Arc<str>>,
        until: Option<u64>,
        by: Option<Arc<str>>,
    ) -> Result<Ban, BanError> {
        let ban = self.bans.add(whom, room, until, by)?;
        // Who comes in from now on finds the ban, and who is in is found.
        self.send_away(&ban.whom, ban.room.as_deref(), Ended::Banned);
        Ok(ban)
    }

    /// Sends whoever it is out of a room, or away altogether. Says whether anybody was there.
    pub(crate) fn send_away(&self, whom: &Subject, room: Option<&str>, why: Ended) -> bool {
        let sessions = self.open.send_away(whom, room, why);
        let visits = self.visits.send_away(whom, room, why);
        sessions + visits > 0
    }
}
