//! Rooms that have grown beyond what is kept of them: some of their oldest events are dropped, apart from the messages that made them grow.

use std::{
    collections::BTreeSet,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
    time::Instant,
};

use rusqlite::Connection;

use super::{
    marks,
    retention::{MAX_DROPPED, Rules, drop_first},
    rows::{self, RoomRow},
};

/// Rooms that are known to have too much. What is more is found by the sweep.
const MAX_ROOMS: usize = 16_384;

/// The rooms where something is to be dropped. Each has its turn, however fast another one grows.
#[derive(Debug, Default)]
pub(super) struct Crowded {
    rooms: BTreeSet<Arc<str>>,
    /// Which had its turn last.
    last: Option<Arc<str>>,
}

impl Crowded {
    pub(super) fn add(&mut self, room: &Arc<str>) {
        if self.rooms.len() < MAX_ROOMS {
            self.rooms.insert(Arc::clone(room));
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.rooms.is_empty()).then(Instant::now)
    }

    /// Takes out the next.
    pub(super) fn take(&mut self) -> Option<Arc<str>> {
        let after = self.last.take().and_then(|last| {
            let mut after = self.rooms.range::<str, _>((Excluded(&*last), Unbounded));
            after.next().cloned()
        });
        let next = after.or_else(|| self.rooms.first().cloned())?;
        self.rooms.remove(&next);
        self.last = Some(Arc::clone(&next));
        Some(next)
    }
}

/// Drops some of a room's events until then, if it has too many. Returns what the room is after that.
pub(super) fn trim(
    conn: &Connection,
    rules: &Rules,
    name: &str,
    until: Instant,
) -> rusqlite::Result<Option<RoomRow>> {
    let Some(mut room) = rows::find_room(conn, name)? else {
        return Ok(None);
    };
    let surplus = rules.surplus(name, &room).min(MAX_DROPPED);
    if surplus == 0 {
        return Ok(None);
    }
    let dropped = drop_first(conn, &mut room, surplus, until)?;
    rows::update_room(conn, &room)?;
    marks::drop_surplus(conn, &room, MAX_DROPPED - dropped)?;
    Ok(Some(room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_room_has_its_turn_and_is_there_once() {
        let mut crowded = Crowded::default();
        let rooms = ["b", "a", "b", "c"].map(Arc::from);
        for room in &rooms {
            crowded.add(room);
        }
        let mut turns = Vec::new();
        for _ in 0..4 {
            let room = crowded.take().unwrap();
            turns.push(room.to_string());
            // It goes on growing.
            crowded.add(&room);
        }
        assert_eq!(turns, ["a", "b", "c", "a"]);
        for _ in 0..3 {
            crowded.take().unwrap();
        }
        assert!(crowded.take().is_none() && crowded.due().is_none());
    }
}
