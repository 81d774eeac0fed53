//! What a reaction would change.

use std::collections::{HashMap, HashSet};

use super::Room;
use crate::{
    core::{Author, Event, What},
    log::{AppendError, Appended, Draft, MAX_REACTIONS},
};

impl Room {
    /// The answer to a reaction to a message that changes nothing. An error if it would be one too many.
    pub(super) fn answered(
        &self,
        draft: &Draft,
        message: &Event,
    ) -> Result<Option<Appended>, AppendError> {
        let (What::React { emoji, on, .. }, Author::User(user)) = (&draft.what, &draft.from) else {
            return Ok(None);
        };
        let mut set: HashMap<&str, HashSet<&str>> = HashMap::new();
        let mut since = message;
        let first = self
            .events
            .partition_point(|event| event.seq <= message.seq);
        for event in self.events.range(first..) {
            let (
                What::React {
                    target,
                    emoji: chosen,
                    on,
                },
                Author::User(by),
            ) = (&event.what, &event.from)
            else {
                continue;
            };
            if *target != message.seq {
                continue;
            }
            let users = set.entry(chosen).or_default();
            if *on {
                users.insert(&by.id);
            } else {
                users.remove(&*by.id);
            }
            if chosen == emoji && by.id == user.id {
                since = event;
            }
        }
        set.retain(|_, users| !users.is_empty());
        let of_this = set.get(&**emoji);
        if of_this.is_some_and(|users| users.contains(&*user.id)) == *on {
            return Ok(Some(Appended::again(since)));
        }
        if *on && of_this.is_none() && set.len() >= MAX_REACTIONS {
            return Err(AppendError::TooManyReactions);
        }
        Ok(None)
    }
}
