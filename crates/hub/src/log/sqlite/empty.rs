//! Rooms of which nothing is kept but where they ended, so that who has read all of one can go on.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{integer, number};

/// How long that is known: longer than people are away and expect to find all as it was. After that a client which had read all is told
/// `reset`.
const LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Forgets some of the rooms where nothing was said for that long, with all that is kept for them, but for those that somebody goes on
/// from. Returns their names.
pub(super) fn forget(
    conn: &Connection,
    now: u64,
    max: usize,
    is_followed: impl Fn(&str) -> bool,
) -> rusqlite::Result<Vec<Arc<str>>> {
    let life = u64::try_from(LIFE.as_millis()).unwrap_or(u64::MAX);
    let rooms = conn
        .prepare_cached("SELECT id, name, head, head_ts FROM rooms WHERE kept = 0 AND head_ts < ?")?
        .query_map([integer(now.saturating_sub(life))], |row| {
            let name: Arc<str> = row.get(1)?;
            Ok((row.get(0)?, name, number(row, 2)?, number(row, 3)?))
        })?
        .filter(|room| !room.as_ref().is_ok_and(|(_, name, ..)| is_followed(name)))
        .take(max)
        .collect::<rusqlite::Result<Vec<(i64, Arc<str>, u64, u64)>>>()?;
    let mut names = Vec::with_capacity(rooms.len());
    for (id, name, head, head_ts) in rooms {
        remember(conn, "forgotten_head", head)?;
        remember(conn, "forgotten_ts", head_ts)?;
        // Another room may get its id.
        for sql in [
            "DELETE FROM marks WHERE room = ?",
            "DELETE FROM cids WHERE room = ?",
            "DELETE FROM rooms WHERE id = ?",
        ] {
            conn.prepare_cached(sql)?.execute([id])?;
        }
        names.push(name);
    }
    Ok(names)
}

/// The greatest position and time of those that were forgotten: neither is given out again.
pub(super) fn forgotten(conn: &Connection) -> rusqlite::Result<(u64, u64)> {
    let get = |key: &str| {
        conn.prepare_cached("SELECT value FROM meta WHERE key = ?")?
            .query_row([key], |row| number(row, 0))
            .optional()
    };
    let [head, ts] = ["forgotten_head", "forgotten_ts"].map(get);
    Ok((head?.unwrap_or(0), ts?.unwrap_or(0)))
}

fn remember(conn: &Connection, key: &str, value: u64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?, ?)
            ON CONFLICT DO UPDATE SET value = excluded.value WHERE value < excluded.value",
    )?
    .execute(params![key, integer(value)])?;
    Ok(())
}
