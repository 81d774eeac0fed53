//! Events as rows, and rows as events.

use std::sync::Arc;

use rusqlite::{
    Connection, OptionalExtension as _, Row, named_params, params,
    types::{FromSql, ToSqlOutput, Value, ValueRef},
};

use super::erase::Forgotten;
use crate::{
    core::{Author, Bounds, Chk, Claim, Event, MAX_MISSED, Mark, User, What},
    log::{Appended, HasBytes, PageSize, Sought, Start, Tail},
};

/// What the table of rooms has of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RoomRow {
    pub(super) id: i64,
    pub(super) head: Mark,
    /// The time of the newest event.
    pub(super) head_ts: u64,
    /// The newest event that is no longer kept.
    pub(super) floor: Mark,
    /// Events that are kept.
    pub(super) kept: u64,
}

impl RoomRow {
    /// Counts its newest event.
    pub(super) fn add(&mut self, event: &Event) {
        self.head = event.mark();
        self.head_ts = event.ts;
        self.kept += 1;
    }
}

/// The columns of `log` that make an event, in the order of [`event`].
const COLUMNS: &str =
    "seq, prev, id, ts, kind, target, body, author, user, name, avatar, cid, reply_to, meta";
/// How many those are.
pub(super) const WIDTH: usize = 14;

/// [`COLUMNS`] where other tables have some of these names, too.
pub(super) fn columns_of(table: &str) -> String {
    let columns = COLUMNS
        .split(", ")
        .map(|column| format!("{table}.{column}"));
    columns.collect::<Vec<_>>().join(", ")
}

mod kind {
    pub(super) const MESSAGE: i64 = 0;
    pub(super) const EDIT: i64 = 1;
    pub(super) const DELETE: i64 = 2;
    pub(super) const REACT: i64 = 3;
    pub(super) const UNREACT: i64 = 4;
    pub(super) const DATA: i64 = 5;
}

mod author {
    pub(super) const USER: i64 = 0;
    /// The claimed address is in the column for the user.
    pub(super) const PLAIN_JSON: i64 = 1;
    pub(super) const PLAIN_TEXT: i64 = 2;
}

pub(super) fn find_room(conn: &Connection, name: &str) -> rusqlite::Result<Option<RoomRow>> {
    conn.prepare_cached(
        "SELECT id, head, head_chk, floor, floor_chk, kept, head_ts FROM rooms WHERE name = ?",
    )?
    .query_row([name], room)
    .optional()
}

fn room(row: &Row<'_>) -> rusqlite::Result<RoomRow> {
    Ok(RoomRow {
        id: row.get(0)?,
        head: mark(row, 1)?,
        floor: mark(row, 3)?,
        kept: number(row, 5)?,
        head_ts: number(row, 6)?,
    })
}

/// Rooms of which something is kept, in the order of their ids.
pub(super) fn rooms_from(
    conn: &Connection,
    first: i64,
    max: usize,
) -> rusqlite::Result<Vec<(Arc<str>, RoomRow)>> {
    conn.prepare_cached(
        "SELECT id, head, head_chk, floor, floor_chk, kept, head_ts, name FROM rooms
            WHERE id >= ? AND kept > 0 ORDER BY id LIMIT ?",
    )?
    .query_map(params![first, integer(max as u64)], |row| {
        Ok((row.get(7)?, room(row)?))
    })?
    .collect()
}

pub(super) fn add_room(conn: &Connection, name: &str) -> rusqlite::Result<RoomRow> {
    let start = Mark::START;
    conn.prepare_cached(
        "INSERT INTO rooms (name, head, head_chk, head_ts, floor, floor_chk, kept) VALUES (?, ?, ?, 0, ?, ?, 0)",
    )?
    .execute(params![
        name,
        integer(start.seq),
        start.chk.as_str(),
        integer(start.seq),
        start.chk.as_str()
    ])?;
    Ok(RoomRow {
        id: conn.last_insert_rowid(),
        head: start,
        head_ts: 0,
        floor: start,
        kept: 0,
    })
}

pub(super) fn update_room(conn: &Connection, room: &RoomRow) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "UPDATE rooms SET head = ?, head_chk = ?, head_ts = ?, floor = ?, floor_chk = ?, kept = ? WHERE id = ?",
    )?
    .execute(params![
        integer(room.head.seq),
        room.head.chk.as_str(),
        integer(room.head_ts),
        integer(room.floor.seq),
        room.floor.chk.as_str(),
        integer(room.kept),
        room.id
    ])?;
    Ok(())
}

pub(super) fn add_event(conn: &Connection, room: i64, event: &Event) -> rusqlite::Result<()> {
    let known = |kind: i64| ToSqlOutput::Owned(Value::Integer(kind));
    let (kind, body) = match &event.what {
        What::Message { body, .. } => (known(kind::MESSAGE), body.as_deref()),
        What::Edit { body, .. } => (known(kind::EDIT), body.as_deref()),
        What::Delete { .. } => (known(kind::DELETE), None),
        What::React {
            emoji, on: true, ..
        } => (known(kind::REACT), Some(&**emoji)),
        What::React { emoji, .. } => (known(kind::UNREACT), Some(&**emoji)),
        What::Data { json } => (known(kind::DATA), json.as_deref()),
        What::Other { kind, json } => (ToSqlOutput::from(&**kind), json.as_deref()),
    };
    let (reply_to, meta) = match &event.what {
        What::Message { reply_to, meta, .. } => (reply_to.map(integer), meta.as_deref()),
        _ => (None, None),
    };
    let (author, user, name, avatar) = match &event.from {
        Author::User(user) => (author::USER, &*user.id, &*user.name, &*user.avatar),
        Author::PlainJson(claim) => (
            author::PLAIN_JSON,
            &*claim.email,
            &*claim.username,
            &*claim.avatar,
        ),
        Author::PlainText => (author::PLAIN_TEXT, "", "", ""),
    };
    conn.prepare_cached(
        "INSERT INTO log (seq, room, prev, id, ts, kind, target, body, author, user, name, avatar, cid, reply_to, meta)
         VALUES (:seq, :room, :prev, :id, :ts, :kind, :target, :body, :author, :user, :name, :avatar, :cid, :reply_to, :meta)",
    )?
    .execute(named_params! {
        ":seq": integer(event.seq),
        ":room": room,
        ":prev": integer(event.prev),
        ":id": &*event.id,
        ":ts": integer(event.ts),
        ":kind": kind,
        ":target": event.what.target().map(integer),
        ":body": body,
        ":author": author,
        ":user": user,
        ":name": name,
        ":avatar": avatar,
        ":cid": event.cid.as_deref(),
        ":reply_to": reply_to,
        ":meta": meta,
    })?;
    Ok(())
}

/// A room's event at a position.
pub(super) fn find_event(
    conn: &Connection,
    room: i64,
    name: &Arc<str>,
    seq: u64,
) -> rusqlite::Result<Option<Event>> {
    let found = conn
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM log WHERE seq = ? AND room = ?"
        ))?
        .query_row(params![integer(seq), room], |row| event(row, name))
        .optional()?;
    let forgotten = Forgotten::read(conn)?;
    Ok(found.map(|event| forgotten.scrubbed(event)))
}

/// The place of a user's newest event that sets a reaction to a message, or takes it back.
pub(super) fn find_reaction(
    conn: &Connection,
    target: u64,
    emoji: &str,
    user: &str,
) -> rusqlite::Result<Option<Appended>> {
    conn.prepare_cached(
        "SELECT seq, id, ts FROM log WHERE kind IN (3, 4) AND target = ? AND user = ? AND body = ?
            ORDER BY seq DESC LIMIT 1",
    )?
    .query_row(params![integer(target), user, emoji], place)
    .optional()
}

/// A row with the position, id and time of something that is there already.
pub(super) fn place(row: &Row<'_>) -> rusqlite::Result<Appended> {
    Ok(Appended {
        seq: number(row, 0)?,
        id: row.get(1)?,
        ts: number(row, 2)?,
        duplicate: true,
    })
}

pub(super) fn bounds(
    conn: &Connection,
    epoch: &Arc<str>,
    name: &str,
) -> rusqlite::Result<(Option<i64>, Bounds)> {
    let bounds = Bounds::empty(Arc::clone(epoch));
    Ok(match find_room(conn, name)? {
        Some(RoomRow {
            id, head, floor, ..
        }) => (
            Some(id),
            Bounds {
                floor,
                head,
                ..bounds
            },
        ),
        None => (None, bounds),
    })
}

pub(super) fn seek(
    conn: &Connection,
    epoch: &Arc<str>,
    name: &str,
    seq: u64,
) -> rusqlite::Result<Sought> {
    // One view of both.
    let conn = conn.unchecked_transaction()?;
    let (room, bounds) = bounds(&conn, epoch, name)?;
    let mut chk = bounds.chk_at(seq);
    if chk.is_none() {
        let there = conn
            .prepare_cached("SELECT id FROM log WHERE seq = ? AND room = ?")?
            .query_row(params![integer(seq), room], |row| row.get::<_, String>(0))
            .optional()?;
        chk = there.map(|id| Chk::of_id(&id));
    }
    let following = conn
        .prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM log WHERE room = ? AND seq > ? LIMIT ?)",
        )?
        .query_row(
            params![room, integer(seq), integer(MAX_MISSED as u64 + 1)],
            |row| number(row, 0),
        )?;
    Ok(Sought {
        bounds,
        chk,
        following: usize::try_from(following).unwrap_or(usize::MAX),
    })
}

pub(super) fn tail(
    conn: &Connection,
    epoch: &Arc<str>,
    name: &Arc<str>,
    start: Start,
    max: PageSize,
) -> rusqlite::Result<Tail> {
    // One view of both.
    let conn = conn.unchecked_transaction()?;
    let (room, bounds) = bounds(&conn, epoch, name)?;
    let (from, order) = match start {
        Start::At(seq) => (seq, "ASC"),
        Start::Newest => (0, "DESC"),
    };
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM log WHERE room = ? AND seq >= ? ORDER BY seq {order} LIMIT ?"
    ))?;
    let limit = integer(max.events as u64);
    let forgotten = Forgotten::read(&conn)?;
    let rows = statement.query_map(params![room, integer(from), limit], |row| {
        Ok(forgotten.scrubbed(event(row, name)?))
    })?;
    let mut events = take(max, rows)?;
    if start == Start::Newest {
        events.reverse();
    }
    Ok(Tail { bounds, events })
}

/// As many of these as fit.
pub(super) fn take<T: HasBytes>(
    max: PageSize,
    rows: impl Iterator<Item = rusqlite::Result<T>>,
) -> rusqlite::Result<Vec<T>> {
    let mut failed = None;
    // The first row that can't be read ends it.
    let rows = rows.map_while(|row| row.map_err(|error| failed = Some(error)).ok());
    let taken = max.take(rows).collect();
    match failed {
        Some(error) => Err(error),
        None => Ok(taken),
    }
}

/// A row that begins with [`COLUMNS`].
pub(super) fn event(row: &Row<'_>, room: &Arc<str>) -> rusqlite::Result<Event> {
    let target = || number(row, 5);
    let (body, meta): (Option<Arc<str>>, _) = (text(row, 6)?, text(row, 13)?);
    let reaction = |on| {
        Ok::<_, rusqlite::Error>(What::React {
            target: target()?,
            emoji: body.clone().unwrap_or_default(),
            on,
        })
    };
    let what = match row.get_ref(4)? {
        ValueRef::Integer(kind::MESSAGE) => What::Message {
            body,
            reply_to: optional_number(row, 12)?,
            meta,
        },
        ValueRef::Integer(kind::EDIT) => What::Edit {
            target: target()?,
            body,
        },
        ValueRef::Integer(kind::DELETE) => What::Delete { target: target()? },
        ValueRef::Integer(kind::REACT) => reaction(true)?,
        ValueRef::Integer(kind::UNREACT) => reaction(false)?,
        ValueRef::Integer(kind::DATA) => What::Data { json: body },
        ValueRef::Integer(other) => {
            return Err(rusqlite::Error::IntegralValueOutOfRange(4, other));
        }
        _ => What::Other {
            kind: row.get(4)?,
            json: body,
        },
    };
    let from = match row.get(7)? {
        author::USER => Author::User(Arc::new(User {
            id: row.get(8)?,
            name: row.get(9)?,
            avatar: row.get(10)?,
        })),
        author::PLAIN_JSON => Author::PlainJson(Arc::new(Claim {
            email: text(row, 8)?.unwrap_or_default(),
            username: row.get(9)?,
            avatar: row.get(10)?,
        })),
        author::PLAIN_TEXT => Author::PlainText,
        other => return Err(rusqlite::Error::IntegralValueOutOfRange(7, other)),
    };
    Ok(Event {
        room: Arc::clone(room),
        seq: number(row, 0)?,
        prev: number(row, 1)?,
        id: row.get(2)?,
        ts: number(row, 3)?,
        from,
        what,
        cid: row.get(11)?,
    })
}

/// What is said there. The zeros of a tombstone are nothing.
pub(super) fn text<T: FromSql>(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<T>> {
    match row.get_ref(at)? {
        ValueRef::Blob(_) => Ok(None),
        _ => row.get(at),
    }
}

fn mark(row: &Row<'_>, at: usize) -> rusqlite::Result<Mark> {
    let chk = row.get::<_, String>(at + 1)?;
    Ok(Mark {
        seq: number(row, at)?,
        chk: Chk::of_id(&chk),
    })
}

/// A column of ours, which holds no negative number.
pub(super) fn number(row: &Row<'_>, at: usize) -> rusqlite::Result<u64> {
    let value = row.get::<_, i64>(at)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(at, value))
}

/// As [`number`], where there may be none.
pub(super) fn optional_number(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<u64>> {
    match row.get_ref(at)? {
        ValueRef::Null => Ok(None),
        _ => number(row, at).map(Some),
    }
}

/// As SQLite has it. Ours are far below the end of either.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
