//! Clients that are sent away, from the server or from a room, and those that are not let in.

use std::sync::{Arc, Weak};

use super::{Dialect, Ended, Open, Seat, Session, Stop, standing::stop};
use crate::{
    auth::{Right, Subject, Who},
    wire::{
        event,
        reply::{ErrorCode, Failure},
    },
};

impl Open {
    /// Sends whoever it is out of a room, or away altogether. Says how many sessions that were. Looks at all there are, a fifth of a
    /// microsecond each at most: 2 ms with as many as there are by default, 10 with 50,000.
    pub(crate) fn send_away(&self, whom: &Subject, room: Option<&str>, why: Ended) -> usize {
        let seats = self.entries().into_iter();
        let seats = seats.filter_map(|(_, seat, _)| Weak::upgrade(&seat));
        // Those that are not meant are not woken.
        let meant = seats.filter(|seat| {
            let is_meant = seat.look(|session| session.is_meant(whom, room));
            is_meant.unwrap_or(false)
        });
        let send_away = |seat: Arc<Seat>| {
            seat.change(|session| {
                if session.is_meant(whom, room) {
                    session.send_away(room, why)
                } else {
                    Ok(())
                }
            });
        };
        meant.map(send_away).count()
    }
}

impl Session {
    /// Ends it if it came in while its client was banned. Clients of `fdx.v1.json` are looked at when they have said who they are.
    pub(super) fn check_entry(&mut self) -> Result<(), Stop> {
        match self.dialect {
            Dialect::V1 { .. } => Ok(()),
            Dialect::Json | Dialect::Text => self.check_banned(),
        }
    }

    /// Ends it if its client is banned, and takes it out of rooms that it may not be in, or no longer.
    pub(super) fn check_banned(&mut self) -> Result<(), Stop> {
        let let_in = self.hub.let_in(self.who());
        let_in.map_err(|denied| stop(&denied))?;
        let names = self.rooms.names().cloned();
        let lost = names.filter_map(|name| Some((self.lost(&name)?, name)));
        for (why, room) in lost.collect::<Vec<_>>() {
            self.put_out(&room, why)?;
        }
        Ok(())
    }

    /// Why the client may not be in a room, if it may not.
    fn lost(&self, room: &str) -> Option<Ended> {
        if self.hub.bans.hold(self.who(), Some(room)) {
            Some(Ended::Banned)
        } else if self.may(room, Right::Read).is_err() {
            Some(Ended::Forbidden)
        } else {
            None
        }
    }

    /// Whether the client may come into a room.
    pub(crate) fn may_enter(&self, room: &str) -> Result<(), Failure> {
        self.may(room, Right::Read)?;
        if self.hub.bans.hold(self.who(), Some(room)) {
            let why = "you are banned from this room";
            return Err(Failure::new(ErrorCode::Forbidden, why));
        }
        Ok(())
    }

    fn who(&self) -> Who<'_> {
        Who {
            user: self.user_id(),
            address: self.rooms.address(),
        }
    }

    fn is_meant(&self, whom: &Subject, room: Option<&str>) -> bool {
        let is_there = room.is_none_or(|room| self.rooms.find(room).is_some());
        is_there && whom.is(self.who())
    }

    pub(super) fn send_away(&mut self, room: Option<&str>, why: Ended) -> Result<(), Stop> {
        match room {
            Some(room) => self.put_out(room, why),
            None => Err(why.into()),
        }
    }

    /// Takes the client out of a room. One that is in no other has no more to do here.
    fn put_out(&mut self, room: &str, why: Ended) -> Result<(), Stop> {
        let Dialect::V1 { .. } = self.dialect else {
            return Err(why.into());
        };
        self.leave(room);
        if !self.joins_in_vain(room) {
            self.outbox.push(event::kick(room, why.reason()));
        }
        Ok(())
    }
}
