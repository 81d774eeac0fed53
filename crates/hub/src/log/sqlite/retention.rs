//! What is dropped, and when.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::rows::{RoomRow, integer, number};
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

/// How long a client's own id of a message is known at least: that of a message that was dropped before.
const CID_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Events dropped in one transaction: some milliseconds, in which nobody writes.
const MAX_DROPPED: u64 = 512;

impl Retention {
    /// Drops the oldest events of a room that has too many. An eighth more than wanted may stay, so that it is not done for each.
    pub(super) fn drop_surplus(
        &self,
        conn: &Connection,
        room: &mut RoomRow,
    ) -> rusqlite::Result<()> {
        let slack = (self.events / 8).clamp(1, MAX_DROPPED / 2);
        if room.kept <= self.events.saturating_add(slack) {
            return Ok(());
        }
        let surplus = (room.kept - self.events).min(MAX_DROPPED);
        let last = conn
            .prepare_cached("SELECT seq, id FROM log WHERE room = ? ORDER BY seq LIMIT 1 OFFSET ?")?
            .query_row(params![room.id, integer(surplus - 1)], |row| {
                Ok(Mark {
                    seq: number(row, 0)?,
                    chk: Chk::of_id(&row.get::<_, String>(1)?),
                })
            })?;
        room.floor = last;
        room.kept -= drop_through(conn, room.id, last.seq)?;
        Ok(())
    }
}

/// Drops some of what is too old. Says whether that was all.
pub(super) fn sweep(conn: &Connection, retention: &Retention, now: u64) -> rusqlite::Result<bool> {
    let mut is_done = drop_cids(conn, now)?;
    if let Some(age) = retention.age {
        is_done &= drop_aged(conn, now.saturating_sub(millis(age)))?;
    }
    Ok(is_done)
}

/// Drops events from before `oldest`. Times grow with positions, so these are the first ones of all.
fn drop_aged(conn: &Connection, oldest: u64) -> rusqlite::Result<bool> {
    let aged = "SELECT room, max(seq), count(*) FROM
        (SELECT room, seq, ts FROM log ORDER BY seq LIMIT ?) WHERE ts < ? GROUP BY room";
    let rooms = conn
        .prepare_cached(aged)?
        .query_map(params![integer(MAX_DROPPED), integer(oldest)], |row| {
            Ok((row.get(0)?, number(row, 1)?, number(row, 2)?))
        })?
        .collect::<rusqlite::Result<Vec<(i64, u64, u64)>>>()?;
    for &(room, seq, _) in &rooms {
        conn.prepare_cached(
            "UPDATE rooms SET floor = ?1,
                floor_chk = (SELECT substr(id, -6) FROM log WHERE seq = ?1) WHERE id = ?2",
        )?
        .execute(params![integer(seq), room])?;
        let dropped = drop_through(conn, room, seq)?;
        conn.prepare_cached("UPDATE rooms SET kept = kept - ? WHERE id = ?")?
            .execute(params![integer(dropped), room])?;
    }
    let dropped: u64 = rooms.iter().map(|&(_, _, count)| count).sum();
    Ok(dropped < MAX_DROPPED)
}

/// Drops a room's events up to this position. Returns how many those were.
fn drop_through(conn: &Connection, room: i64, seq: u64) -> rusqlite::Result<u64> {
    let seq = integer(seq);
    conn.prepare_cached(
        "UPDATE cids SET expires = log.ts + ?3 FROM log
            WHERE log.room = ?1 AND log.seq <= ?2 AND log.cid IS NOT NULL
            AND cids.room = ?1 AND cids.user = log.user AND cids.cid = log.cid",
    )?
    .execute(params![room, seq, integer(millis(CID_LIFE))])?;
    for sql in [
        "DELETE FROM search WHERE rowid IN
            (SELECT seq FROM log WHERE room = ? AND seq <= ? AND kind = 0 AND body IS NOT NULL)",
        "DELETE FROM edits WHERE target IN (SELECT seq FROM log WHERE room = ? AND seq <= ?)",
        "DELETE FROM reactions WHERE target IN (SELECT seq FROM log WHERE room = ? AND seq <= ?)",
    ] {
        conn.prepare_cached(sql)?.execute(params![room, seq])?;
    }
    let dropped = conn
        .prepare_cached("DELETE FROM log WHERE room = ? AND seq <= ?")?
        .execute(params![room, seq])?;
    Ok(dropped as u64)
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
