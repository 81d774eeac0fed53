//! What happens in a shard's rooms besides events: people come, get lost, leave, and type.

use std::{mem, sync::Arc, time::Duration};

use super::{
    event::User,
    members::{SessionId, Wake},
    notice::Watch,
    presence::{Exit, Person},
    room::Room,
    shard::{Shard, Slot},
};

/// Users at most who are waited for in the rooms of a shard: about a MiB. With more of them, who is lost has left at once.
const MAX_WAITS: usize = 4_096;

/// How a session leaves a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departure {
    /// As it wanted to, or for good.
    Left,
    /// Its connection was lost, and the user may be back soon.
    Lost,
}

impl<F, W: Wake + Clone> Shard<F, W> {
    /// One more connection of `user` is in a room.
    pub(super) fn enter(&mut self, slot: Slot, user: &Arc<User>) {
        let Some(room) = self.slots[slot.0].as_mut() else {
            return;
        };
        if let Some(due) = room.presence.enter(user) {
            self.waits.remove(&(due, slot, Arc::clone(&user.id)));
        }
        self.news_changed(slot);
    }

    /// A connection that entered as `user` is no longer in a room.
    pub(super) fn exit(&mut self, slot: Slot, user: &Arc<User>, how: Departure, now: Duration) {
        let Some(room) = self.slots[slot.0].as_mut() else {
            return;
        };
        let limits = &self.limits;
        let waits =
            how == Departure::Lost && !limits.left_after.is_zero() && self.waits.len() < MAX_WAITS;
        let due = now + limits.away_after.min(limits.left_after);
        let exit = room.presence.exit(user, waits.then_some(due));
        if exit != Exit::Connected {
            room.typing.end(&user.id);
        }
        if exit == Exit::Waits {
            self.waits.insert((due, slot, Arc::clone(&user.id)));
        }
        self.news_changed(slot);
    }

    /// A member watches a room so from now on.
    pub(crate) fn watch(&mut self, slot: Slot, session: SessionId, watch: Watch) {
        let room = self.room_mut(slot);
        if let Some(member) = room.and_then(|room| room.members.get_mut(session)) {
            member.watch = watch;
        }
    }

    /// A member types, or types no more. Nothing happens if it has no name, or if more are in the room than are listed: there it
    /// would be told all the time.
    pub(crate) fn typing(&mut self, slot: Slot, session: SessionId, is_on: bool, now: Duration) {
        let max_listed = self.limits.listed_users;
        let Some(room) = self.slots[slot.0].as_mut() else {
            return;
        };
        let Some(user) = room.members.get_mut(session).and_then(|m| m.user.clone()) else {
            return;
        };
        let was_quiet = room.typing.is_empty();
        if !is_on {
            room.typing.end(&user.id);
        } else if !room.is_crowded(max_listed) {
            room.typing.begin(&user, now);
        }
        if was_quiet && !room.typing.is_empty() {
            self.typing.push(slot);
        }
        self.news_changed(slot);
    }

    /// The first people of a room after this id, by their ids, and whether there are more; and how many there are.
    pub(crate) fn page(
        &self,
        slot: Slot,
        after: Option<&str>,
        max: usize,
    ) -> Option<(Vec<Person>, bool, usize)> {
        let presence = &self.slots.get(slot.0)?.as_ref()?.presence;
        let (people, has_more) = presence.page(after, max);
        Some((people, has_more, presence.count()))
    }

    /// Whether a room has something to tell.
    pub(crate) const fn is_news_due(&self) -> bool {
        !self.news_due.is_empty()
    }

    /// Tells what happened in each room so far, as far as it is time for it, and wakes those concerned.
    pub(crate) fn tell_news(&mut self, now: Duration) {
        let (max_listed, pause) = (self.limits.listed_users, self.limits.crowd_pause);
        for slot in mem::take(&mut self.news_due) {
            if let Some(room) = self.room_mut(slot) {
                room.news_due = false;
                room.tell_news(slot, max_listed, pause, now);
                self.news_changed(slot);
            }
        }
    }

    /// Moves on those who have been waited for, or have not said for a while that they type.
    pub(super) fn sweep_people(&mut self, now: Duration) {
        let limits = &self.limits;
        let more = limits.left_after.saturating_sub(limits.away_after);
        while let Some((due, slot, id)) = self.waits.pop_first() {
            if now < due {
                self.waits.insert((due, slot, id));
                break;
            }
            if let Some(room) = self.room_mut(slot)
                && let Some(due) = room.presence.wait_is_over(&id, more)
            {
                self.waits.insert((due, slot, id));
            }
            self.news_changed(slot);
        }
        for slot in mem::take(&mut self.typing) {
            let Some(room) = self.room_mut(slot) else {
                continue;
            };
            for silent in room.typing.expire(now) {
                room.notices.forget_typing(&silent);
            }
            if !room.typing.is_empty() {
                self.typing.push(slot);
            }
        }
    }

    /// Notes a room that has something to tell.
    pub(super) fn news_changed(&mut self, slot: Slot) {
        let Some(room) = self.slots[slot.0].as_mut() else {
            return;
        };
        if (room.presence.has_changed() || room.typing.is_due()) && !room.news_due {
            room.news_due = true;
            self.news_due.push(slot);
        }
    }
}

impl<F, W: Wake + Clone> Room<F, W> {
    /// Whether what is told here goes to many.
    fn is_crowded(&self, max_listed: usize) -> bool {
        self.members.len().max(self.presence.count()) > max_listed
    }

    fn tell_news(&mut self, slot: Slot, max_listed: usize, pause: Duration, now: Duration) {
        let mut watches_count = false;
        let before = self.notices.number();
        let told = self.presence_told.filter(|_| self.is_crowded(max_listed));
        if told.is_none_or(|told| now.saturating_sub(told) >= pause)
            && let Some(changes) = self.presence.changes(max_listed)
        {
            self.presence_told = Some(now);
            watches_count = changes.is_count_new;
            self.notices.tell_presence(&self.name, changes);
        }
        for (user, is_on) in self.typing.news(now) {
            watches_count = true;
            self.notices.tell_typing(&self.name, user, is_on);
        }
        if self.notices.number() > before {
            let watches = |watch| match watch {
                Watch::List => true,
                Watch::Count => watches_count,
                Watch::Nothing => false,
            };
            self.members.rouse_watching(watches, slot);
        }
    }
}
