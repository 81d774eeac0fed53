//! How far users have read.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Marks that are kept, of those that were set last: some MiB.
const MAX_MARKS: usize = 16_384;

/// Room and user.
type Place = (Arc<str>, Arc<str>);

#[derive(Default)]
pub(super) struct Marks {
    /// Their positions, and when they were set.
    by_place: HashMap<Place, (u64, u64)>,
    /// Longest untouched first.
    by_turn: BTreeMap<u64, Place>,
    turns: u64,
}

impl Marks {
    pub(super) fn get(&self, room: &Arc<str>, user: &Arc<str>) -> u64 {
        let place = (Arc::clone(room), Arc::clone(user));
        self.by_place.get(&place).map_or(0, |&(seq, _)| seq)
    }

    /// Forgets those of a user.
    pub(super) fn forget(&mut self, user: &str) {
        self.by_place.retain(|(_, other), _| **other != *user);
        self.by_turn.retain(|_, (_, other)| **other != *user);
    }

    /// Sets one forward. Says whether it was further back before.
    pub(super) fn raise(&mut self, room: &Arc<str>, user: &Arc<str>, seq: u64) -> bool {
        let place = (Arc::clone(room), Arc::clone(user));
        self.turns += 1;
        let mark = self.by_place.entry(place.clone()).or_insert((0, 0));
        let is_raised = mark.0 < seq;
        self.by_turn.remove(&mark.1);
        *mark = (mark.0.max(seq), self.turns);
        self.by_turn.insert(self.turns, place);
        while self.by_place.len() > MAX_MARKS
            && let Some((_, place)) = self.by_turn.pop_first()
        {
            self.by_place.remove(&place);
        }
        is_raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_that_was_not_set_for_longest_makes_place() {
        let mut marks = Marks::default();
        let user = |n: usize| Arc::from(n.to_string());
        let room = Arc::from("general");
        for n in 0..MAX_MARKS {
            marks.raise(&room, &user(n), 7);
        }
        marks.raise(&room, &user(0), 5);
        marks.raise(&room, &user(MAX_MARKS), 9);
        let kept = [0, 1, 2, MAX_MARKS].map(|n| marks.get(&room, &user(n)));
        assert_eq!(kept, [7, 0, 7, 9]);
        assert_eq!(
            (marks.by_place.len(), marks.by_turn.len()),
            (MAX_MARKS, MAX_MARKS)
        );
    }
}
