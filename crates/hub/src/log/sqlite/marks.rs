//! How far users have read.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{self, RoomRow, integer, number};
use crate::log::{MAX_UNREAD, ReadMark};

/// Marks of one room: some 10 MB. Whose is dropped seems to have read nothing.
const MAX_IN_ROOM: u64 = 100_000;

/// A mark that somebody wants to set.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    pub(super) room: std::sync::Arc<str>,
    pub(super) user: std::sync::Arc<str>,
    pub(super) seq: u64,
}

/// Sets one forward, not beyond the newest event. Says whether it was further back before.
pub(super) fn raise(conn: &Connection, mark: &Mark) -> rusqlite::Result<bool> {
    let Some(room) = rows::find_room(conn, &mark.room)? else {
        return Ok(false);
    };
    let seq = mark.seq.min(room.head.seq);
    if seq <= room.floor.seq {
        // It is there without being set.
        return Ok(false);
    }
    let changed = conn
        .prepare_cached(
            "INSERT INTO marks (room, user, seq) VALUES (?, ?, ?)
            ON CONFLICT DO UPDATE SET seq = excluded.seq WHERE seq < excluded.seq",
        )?
        .execute(params![room.id, &*mark.user, integer(seq)])?;
    Ok(changed > 0)
}

/// Drops up to `max` of a room's marks: those that say nothing, as they are where there is no mark, and of too many the furthest back. Returns how
/// many.
pub(super) fn drop_surplus(conn: &Connection, room: &RoomRow, max: u64) -> rusqlite::Result<u64> {
    let empty = conn
        .prepare_cached(
            "DELETE FROM marks WHERE (room, user) IN
                (SELECT room, user FROM marks WHERE room = ? AND seq <= ? LIMIT ?)",
        )?
        .execute(params![room.id, integer(room.floor.seq), integer(max)])?;
    let max = max.saturating_sub(empty as u64);
    let surplus = conn
        .prepare_cached(
            "DELETE FROM marks WHERE (room, user) IN
                (SELECT room, user FROM marks WHERE room = ? ORDER BY seq DESC LIMIT ? OFFSET ?)",
        )?
        .execute(params![room.id, integer(max), integer(MAX_IN_ROOM)])?;
    Ok((empty + surplus) as u64)
}

pub(super) fn get(conn: &Connection, room: &str, user: &str) -> rusqlite::Result<ReadMark> {
    // One view of all.
    let conn = conn.unchecked_transaction()?;
    let Some(room) = rows::find_room(&conn, room)? else {
        return Ok(ReadMark::NONE);
    };
    let seq = conn
        .prepare_cached("SELECT seq FROM marks WHERE room = ? AND user = ?")?
        .query_row(params![room.id, user], |row| number(row, 0))
        .optional()?;
    let seq = seq.unwrap_or(0).max(room.floor.seq);
    let unread = conn
        .prepare_cached(
            "SELECT count(*) FROM (SELECT kind, body, author, user FROM log
                WHERE room = ? AND seq > ? AND target IS NULL ORDER BY seq LIMIT ?)
                WHERE kind = 0 AND typeof(body) = 'text' AND NOT (author = 0 AND user = ?)",
        )?
        .query_row(
            params![room.id, integer(seq), integer(MAX_UNREAD as u64), user],
            |row| number(row, 0),
        )?;
    let unread = usize::try_from(unread).unwrap_or(MAX_UNREAD);
    Ok(ReadMark {
        seq,
        unread,
        ..ReadMark::NONE
    })
}
