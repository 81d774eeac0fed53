//! What is dropped, and when.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, params};

use super::{
    decide, empty, marks,
    rows::{self, RoomRow, integer, number},
};
use crate::core::{Chk, Mark};

/// How much of each room is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Events. Default 100,000: years of a team's talk, and some 30 MB.
    pub events: u64,
    /// How long. Default for ever.
    pub age: Option<Duration>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: 100_000,
            age: None,
        }
    }
}

/// How much is kept of some rooms.
#[derive(Debug, Clone)]
pub struct RoomRetention {
    /// Their names: `*` in it stands for any characters, also none.
    pub rooms: String,
    /// What is kept of each.
    pub keep: Retention,
}

/// How long a client's own id of a message is known at least: that of a message that was dropped before.
const CID_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Events looked at in one transaction to be dropped: some milliseconds, in which nobody writes, where they are short.
pub(super) const MAX_DROPPED: u64 = 512;
/// How often the clock's time is noted in the database, for the next start.
const CLOCK_NOTED: Duration = Duration::from_secs(60 * 60);
/// Rooms looked at in one transaction: about as long.
const MAX_ROOMS: usize = 256;
/// Rooms that are remembered because marks were set there: some MiB. With more a pass looks at those of all.
const MAX_MARKED: usize = 16_384;

/// How much is kept of which room.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// Of rooms that nothing else is said about.
    pub(super) others: Retention,
    /// The first that fits counts.
    pub(super) rooms: Vec<RoomRetention>,
}

impl Rules {
    fn of(&self, room: &str) -> Retention {
        let rule = self.rooms.iter().find(|rule| fits(&rule.rooms, room));
        rule.map_or(self.others, |rule| rule.keep)
    }

    /// How many of a room's oldest events there are too many.
    pub(super) fn surplus(&self, name: &str, room: &RoomRow) -> u64 {
        room.kept.saturating_sub(self.of(name).events)
    }

    /// Remembers rooms as they are now. Returns those where something is to be dropped.
    pub(super) fn take_note(
        &self,
        known: &mut HashMap<Arc<str>, RoomRow>,
        touched: HashMap<Arc<str>, RoomRow>,
    ) -> Vec<Arc<str>> {
        let mut crowded = Vec::new();
        for (name, room) in touched {
            if self.is_crowded(&name, &room) {
                crowded.push(Arc::clone(&name));
            }
            known.insert(name, room);
        }
        crowded
    }

    /// Whether some are to be dropped now. An eighth more than wanted may stay, so that it is not done for each.
    fn is_crowded(&self, name: &str, room: &RoomRow) -> bool {
        let slack = (self.of(name).events / 8).clamp(1, MAX_DROPPED / 2);
        self.surplus(name, room) > slack
    }
}

/// Whether a pattern is one of this name.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut left) = name.strip_prefix(start) else {
        return false;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        match left.split_once(part) {
            Some((_, after)) => left = after,
            None => return false,
        }
    }
    left.ends_with(end)
}

/// The time that ages are counted by. A clock that is set forward by mistake does not make all too old at once: by this one a day takes an
/// hour at least. So it lags for a while behind one that was right to leap, as after a server was off for long.
#[derive(Debug)]
struct Clock {
    /// The latest time that it may show, in milliseconds since 1970.
    reached: u64,
}

impl Clock {
    /// How much faster than time it goes at most.
    const PACE: u64 = 24;

    /// What it shows after it ran for so long, when the system's clock shows this.
    fn advance(&mut self, system: u64, ran: Duration) -> u64 {
        let may_reach = self
            .reached
            .saturating_add(millis(ran).saturating_mul(Self::PACE));
        self.reached = system.min(may_reach).max(self.reached);
        system.min(self.reached)
    }
}

/// The pass over all rooms, also those where nobody says anything, that drops what is not to be kept any more.
#[derive(Debug)]
pub(super) struct Sweep {
    clock: Clock,
    /// The time of the clock that the database has.
    noted: u64,
    /// When the clock was last looked at.
    at: Instant,
    /// The room that is looked at next.
    room: i64,
    /// The rooms whose marks this pass looks at. None is all.
    looks_at: Option<HashSet<Arc<str>>>,
    /// The rooms whose marks the next one looks at: those where some were set since.
    marked: Option<HashSet<Arc<str>>>,
}

/// What a part of the pass did.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// Rooms that lost their oldest events.
    pub(super) trimmed: Vec<(Arc<str>, Mark)>,
    /// Rooms of which nothing is known any more.
    pub(super) forgotten: Vec<Arc<str>>,
    /// Whether the pass is at its end.
    pub(super) is_done: bool,
}

impl Sweep {
    /// One that goes on with the clock of the one before.
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let clock = "SELECT value FROM meta WHERE key = 'clock'";
        let reached = conn.query_row(clock, [], |row| number(row, 0))?;
        Ok(Self {
            clock: Clock { reached },
            noted: reached,
            at: Instant::now(),
            room: 0,
            looks_at: None,
            marked: None,
        })
    }

    /// Has the next pass look at the marks of a room.
    pub(super) fn mark(&mut self, room: &Arc<str>) {
        self.marked = self.marked.take().filter(|rooms| rooms.len() < MAX_MARKED);
        if let Some(rooms) = &mut self.marked {
            rooms.insert(Arc::clone(room));
        }
    }

    /// Does some of it, one event or mark at least, and more until then. `system` is what the system's clock shows.
    pub(super) fn go_on(
        &mut self,
        conn: &Connection,
        rules: &Rules,
        system: u64,
        until: Instant,
        is_followed: impl Fn(&str) -> bool,
    ) -> rusqlite::Result<Swept> {
        let now = self.now(conn, system)?;
        if self.room == 0 {
            self.looks_at = self.marked.replace(HashSet::new());
        }
        let has_cids = !drop_cids(conn, now)?;
        let forgotten = empty::forget(conn, now, MAX_ROOMS, is_followed)?;
        let has_rooms = forgotten.len() == MAX_ROOMS;
        let rooms = rows::rooms_from(conn, self.room, MAX_ROOMS)?;
        let is_last = rooms.len() < MAX_ROOMS;
        let mut trimmed = Vec::new();
        let mut left = MAX_DROPPED;
        for (name, mut room) in rooms {
            // Also if this fails: then others come first.
            self.room = room.id + 1;
            let surplus = surplus(conn, rules.of(&name), &room, now, left)?;
            let mut dropped = 0;
            if surplus > 0 {
                dropped = drop_first(conn, &mut room, surplus, until)?;
                rows::update_room(conn, &room)?;
                trimmed.push((Arc::clone(&name), room.floor));
            }
            left -= dropped;
            let looks_at = self.looks_at.as_ref();
            if dropped > 0 || looks_at.is_none_or(|rooms| rooms.contains(&name)) {
                left -= marks::drop_surplus(conn, &room, left)?;
            }
            let may_have_more = left == 0 || dropped < surplus;
            if may_have_more {
                self.room = room.id;
            }
            if may_have_more || Instant::now() >= until {
                return Ok(Swept {
                    trimmed,
                    forgotten,
                    is_done: false,
                });
            }
        }
        if is_last {
            self.room = 0;
        }
        Ok(Swept {
            trimmed,
            forgotten,
            is_done: is_last && !has_cids && !has_rooms,
        })
    }

    fn now(&mut self, conn: &Connection, system: u64) -> rusqlite::Result<u64> {
        let ran = self.at.elapsed();
        self.at += ran;
        let now = self.clock.advance(system, ran);
        if self.clock.reached > self.noted + millis(CLOCK_NOTED) {
            conn.prepare_cached("UPDATE meta SET value = ? WHERE key = 'clock'")?
                .execute([integer(self.clock.reached)])?;
            self.noted = self.clock.reached;
        }
        Ok(now)
    }
}

/// How many of a room's oldest events are not to be kept, up to `max`.
fn surplus(
    conn: &Connection,
    keep: Retention,
    room: &RoomRow,
    now: u64,
    max: u64,
) -> rusqlite::Result<u64> {
    let mut surplus = room.kept.saturating_sub(keep.events).min(max);
    if let Some(age) = keep.age {
        let oldest = now.saturating_sub(millis(age));
        let mut statement =
            conn.prepare_cached("SELECT ts FROM log WHERE room = ? ORDER BY seq LIMIT ?")?;
        let mut times = statement.query(params![room.id, integer(max)])?;
        let mut aged = 0;
        // They never go back within a room.
        while let Some(row) = times.next()?
            && number(row, 0)? < oldest
        {
            aged += 1;
        }
        surplus = surplus.max(aged);
    }
    Ok(surplus)
}

/// Drops a room's oldest events, up to so many, one at least, and more until then. Returns how many.
pub(super) fn drop_first(
    conn: &Connection,
    room: &mut RoomRow,
    max: u64,
    until: Instant,
) -> rusqlite::Result<u64> {
    let mut dropped = 0;
    for oldest in oldest(conn, room.id, max)? {
        oldest.drop(conn, room.id)?;
        room.floor = oldest.mark;
        room.kept = room.kept.saturating_sub(1);
        dropped += 1;
        if Instant::now() >= until {
            break;
        }
    }
    Ok(dropped)
}

/// An event that is to be dropped.
struct Oldest {
    mark: Mark,
    ts: u64,
    is_message: bool,
    user: String,
    cid: Option<String>,
}

fn oldest(conn: &Connection, room: i64, max: u64) -> rusqlite::Result<Vec<Oldest>> {
    conn.prepare_cached(
        "SELECT seq, id, ts, kind = 0, user, cid FROM log WHERE room = ? ORDER BY seq LIMIT ?",
    )?
    .query_map(params![room, integer(max)], |row| {
        Ok(Oldest {
            mark: Mark {
                seq: number(row, 0)?,
                chk: Chk::of_id(&row.get::<_, String>(1)?),
            },
            ts: number(row, 2)?,
            is_message: row.get(3)?,
            user: row.get(4)?,
            cid: row.get(5)?,
        })
    })?
    .collect()
}

impl Oldest {
    /// Drops it, and all that follows from it.
    fn drop(&self, conn: &Connection, room: i64) -> rusqlite::Result<()> {
        if let Some(cid) = &self.cid {
            let expires = self.ts.saturating_add(millis(CID_LIFE));
            conn.prepare_cached(
                "UPDATE cids SET expires = ? WHERE room = ? AND user = ? AND cid = ?",
            )?
            .execute(params![integer(expires), room, self.user, cid])?;
        }
        if self.is_message {
            // What was made of it goes with it.
            decide::unmake(conn, self.mark.seq)?;
        }
        conn.prepare_cached("DELETE FROM log WHERE seq = ?")?
            .execute([integer(self.mark.seq)])?;
        Ok(())
    }
}

fn drop_cids(conn: &Connection, now: u64) -> rusqlite::Result<bool> {
    let dropped = conn
        .prepare_cached(
            "DELETE FROM cids WHERE (room, user, cid) IN
                (SELECT room, user, cid FROM cids WHERE expires < ? LIMIT ?)",
        )?
        .execute(params![integer(now), integer(MAX_DROPPED)])?;
    Ok((dropped as u64) < MAX_DROPPED)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_whole_names() {
        for (pattern, name, expected) in [
            ("general", "general", true),
            ("general", "generals", false),
            ("*", "", true),
            ("*", "any", true),
            ("team-*", "team-a", true),
            ("team-*", "my team-a", false),
            ("*-log", "a-log", true),
            ("*-log", "a-log-b", false),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "ac", false),
            ("a*b*c", "abc", true),
            ("ab*bc", "abc", false),
            ("a**c", "ac", true),
            ("*é*", "caféx", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn s51_the_time_that_ages_are_counted_by_leaps_with_no_clock() {
        const HOUR: Duration = Duration::from_secs(60 * 60);
        let hours = |n: u64| n * millis(HOUR);
        let start = hours(100_000);
        let mut clock = Clock { reached: start };
        assert_eq!(clock.advance(start + hours(1), HOUR), start + hours(1));
        // Ten years ahead, by mistake.
        let wrong = start + hours(10 * 365 * 24);
        assert_eq!(clock.advance(wrong, Duration::ZERO), start + hours(1));
        assert_eq!(clock.advance(wrong, HOUR), start + hours(25));
        // It is put right; and is wrong the other way.
        assert_eq!(clock.advance(start + hours(3), HOUR), start + hours(3));
        assert_eq!(clock.advance(0, HOUR), 0);
        assert_eq!(clock.advance(start + hours(5), HOUR), start + hours(5));
        // A leap that was right is followed, in time.
        let right = start + hours(30 * 24);
        for _ in 0..30 {
            clock.advance(right, HOUR);
        }
        assert_eq!(clock.advance(right, HOUR), right);
    }
}
