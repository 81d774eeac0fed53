//! What becomes of one draft, within a transaction.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    reacting,
    rows::{self, RoomRow, integer},
    writer::State,
};
use crate::{
    core::{Author, Event, What},
    log::{
        AppendError, Appended, Draft, MAX_EDITS,
        draft::{may_change, position_after},
        projection::searched,
    },
};

/// The decision about a draft, to be told once its transaction is committed.
pub(super) enum Decided {
    New(Event, Appended),
    Known(Result<Appended, AppendError>),
}

/// Decides about a draft and stores what is new. The rows of rooms that change are left to the caller, in `touched`.
pub(super) fn decide(
    conn: &Connection,
    state: &mut State,
    touched: &mut HashMap<Arc<str>, RoomRow>,
    draft: &Draft,
) -> rusqlite::Result<Decided> {
    let known = touched
        .get(&draft.room)
        .or_else(|| state.rooms.get(&draft.room));
    let room = match known {
        Some(room) => Some(*room),
        None => rows::find_room(conn, &draft.room)?,
    };
    if let Some(room) = &room
        && let Some(first) = find_repeated(conn, room.id, draft)?
    {
        return Ok(Decided::Known(first));
    }
    if let Some(target) = draft.what.target()
        && let Some(answer) = check_target(conn, room.as_ref(), draft, target)?
    {
        return Ok(Decided::Known(answer));
    }
    if room.is_none() && !state.takes_room(conn)? {
        return Ok(Decided::Known(Err(AppendError::TooManyRooms)));
    }
    let next = (position_after(state.last_seq), state.stamps.next(draft.now));
    let (Some(seq), Some((ts, id))) = next else {
        return Ok(Decided::Known(Err(AppendError::Unavailable)));
    };
    let mut room = match room {
        Some(room) => room,
        None => rows::add_room(conn, &draft.room)?,
    };
    state.last_seq = seq;
    let appended = Appended {
        seq,
        id,
        ts,
        duplicate: false,
    };
    let event = draft.clone().into_event(&appended, room.head.seq);
    store(conn, room.id, &event)?;
    apply(conn, &event)?;
    room.add(&event);
    touched.insert(Arc::clone(&event.room), room);
    Ok(Decided::New(event, appended))
}

/// The answer to a draft that repeats another one.
fn find_repeated(
    conn: &Connection,
    room: i64,
    draft: &Draft,
) -> rusqlite::Result<Option<Result<Appended, AppendError>>> {
    let (Author::User(user), Some(cid)) = (&draft.from, &draft.cid) else {
        return Ok(None);
    };
    let first = conn
        .prepare_cached("SELECT seq, id, ts FROM cids WHERE room = ? AND user = ? AND cid = ?")?
        .query_row(params![room, &*user.id, &**cid], rows::place)
        .optional()?;
    let Some(first) = first else { return Ok(None) };
    // Of what is no longer kept can't be told whether it said the same: it is taken to have.
    let there = rows::find_event(conn, room, &draft.room, first.seq)?;
    let is_same = there.is_none_or(|there| draft.repeats(&there.what));
    Ok(Some(if is_same {
        Ok(first)
    } else {
        Err(AppendError::Conflict)
    }))
}

/// The answer to a draft that may not change what it is about, or would not.
fn check_target(
    conn: &Connection,
    room: Option<&RoomRow>,
    draft: &Draft,
    target: u64,
) -> rusqlite::Result<Option<Result<Appended, AppendError>>> {
    let there = match room {
        Some(room) => rows::find_event(conn, room.id, &draft.room, target)?,
        None => None,
    };
    let Some(there) = there else {
        return Ok(Some(Err(AppendError::NotFound)));
    };
    match may_change(draft, &there.what, &there.from) {
        Ok(()) if is_edited_enough(conn, draft)? => Ok(Some(Err(AppendError::TooManyEdits))),
        Ok(()) => reacting::answered(conn, draft, &there),
        Err(error) => Ok(Some(Err(error))),
    }
}

/// Whether it would be an edit too many.
fn is_edited_enough(conn: &Connection, draft: &Draft) -> rusqlite::Result<bool> {
    let What::Edit { target, .. } = draft.what else {
        return Ok(false);
    };
    conn.prepare_cached("SELECT 1 FROM log WHERE kind = 1 AND target = ? LIMIT 1 OFFSET ?")?
        .exists([integer(target), integer(MAX_EDITS as u64 - 1)])
}

/// Stores an event, and the id that its client gave it.
pub(super) fn store(conn: &Connection, room: i64, event: &Event) -> rusqlite::Result<()> {
    rows::add_event(conn, room, event)?;
    if let (Author::User(user), Some(cid)) = (&event.from, &event.cid) {
        conn.prepare_cached(
            "INSERT INTO cids (room, user, cid, seq, id, ts) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            room,
            &*user.id,
            &**cid,
            integer(event.seq),
            &*event.id,
            integer(event.ts)
        ])?;
    }
    Ok(())
}

/// Does to messages what an event that was stored says.
pub(super) fn apply(conn: &Connection, event: &Event) -> rusqlite::Result<()> {
    match &event.what {
        What::Message {
            body: Some(body), ..
        } => index(conn, event.seq, body),
        What::Edit {
            target,
            body: Some(body),
        } => edit(conn, event.seq, *target, body),
        What::Delete { target } => delete(conn, *target),
        What::React { target, emoji, on } => react(conn, event, *target, emoji, *on),
        What::Message { body: None, .. }
        | What::Edit { body: None, .. }
        | What::Data { .. }
        | What::Other { .. } => Ok(()),
    }
}

fn index(conn: &Connection, seq: u64, body: &str) -> rusqlite::Result<()> {
    // As `said` has it, from where it is taken out again.
    conn.prepare_cached("INSERT INTO search (rowid, body) VALUES (?, ?)")?
        .execute(params![integer(seq), searched(body)])?;
    Ok(())
}

/// Before the body changes: the index asks for the words that it is to forget.
fn unindex(conn: &Connection, seq: u64) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM search WHERE rowid = ?")?
        .execute([integer(seq)])?;
    Ok(())
}

fn edit(conn: &Connection, seq: u64, target: u64, body: &str) -> rusqlite::Result<()> {
    unindex(conn, target)?;
    conn.prepare_cached("REPLACE INTO edits (target, seq) VALUES (?, ?)")?
        .execute([integer(target), integer(seq)])?;
    index(conn, target, body)
}

/// Makes nothing of what is said at a position.
const SCRUB: &str = "UPDATE log SET body = zeroblob(length(CAST(body AS BLOB))),
    meta = zeroblob(length(CAST(meta AS BLOB))) WHERE seq = ?";

/// The same of the address that a plain client gave.
const FORGET_ADDRESS: &str =
    "UPDATE log SET user = zeroblob(length(CAST(user AS BLOB))) WHERE seq = ? AND author = 1";

/// A message's body goes, wherever it was. Where rows keep their size they stay where they are.
fn delete(conn: &Connection, target: u64) -> rusqlite::Result<()> {
    unmake(conn, target)?;
    for sql in [SCRUB, FORGET_ADDRESS] {
        conn.prepare_cached(sql)?.execute([integer(target)])?;
    }
    Ok(())
}

/// What was made of a message goes.
pub(super) fn unmake(conn: &Connection, target: u64) -> rusqlite::Result<()> {
    unindex(conn, target)?;
    let seq = integer(target);
    for sql in [
        // An edit's body is a message's; a reaction's is not.
        "UPDATE log SET body = zeroblob(length(CAST(body AS BLOB))) WHERE target = ? AND kind = 1",
        "DELETE FROM edits WHERE target = ?",
        "DELETE FROM reactions WHERE target = ?",
    ] {
        conn.prepare_cached(sql)?.execute([seq])?;
    }
    Ok(())
}

/// Forgets what its author said in an event. Says whether that was anything.
pub(super) fn erase(conn: &Connection, seq: u64, user: &str) -> rusqlite::Result<bool> {
    let kept =
        "SELECT kind = 0 FROM log WHERE seq = ? AND typeof(body) = 'text' AND kind NOT IN (3, 4)";
    let is_message = conn
        .prepare_cached(kept)?
        .query_row([integer(seq)], |row| row.get(0))
        .optional()?;
    let Some(is_message) = is_message else {
        return take_back(conn, integer(seq), user);
    };
    if is_message {
        unindex(conn, seq)?;
        conn.prepare_cached("DELETE FROM edits WHERE target = ?")?
            .execute([integer(seq)])?;
    }
    conn.prepare_cached(SCRUB)?.execute([integer(seq)])?;
    Ok(true)
}

/// Makes a reaction one that was taken back, if it is one.
fn take_back(conn: &Connection, seq: i64, user: &str) -> rusqlite::Result<bool> {
    let taken_back = conn
        .prepare_cached("UPDATE log SET kind = 4 WHERE seq = ? AND kind = 3")?
        .execute([seq])?;
    // Unless it was set again since that began.
    conn.prepare_cached(
        "DELETE FROM reactions WHERE user = ?1 AND target = (SELECT target FROM log WHERE seq = ?2)
            AND emoji = (SELECT body FROM log WHERE seq = ?2)
            AND NOT EXISTS (SELECT 1 FROM reacted WHERE reacted.target = reactions.target
                AND reacted.emoji = reactions.emoji AND reacted.user = reactions.user)",
    )?
    .execute(params![user, seq])?;
    Ok(taken_back > 0)
}

fn react(
    conn: &Connection,
    event: &Event,
    target: u64,
    emoji: &str,
    on: bool,
) -> rusqlite::Result<()> {
    let Author::User(user) = &event.from else {
        return Ok(());
    };
    let sql = if on {
        "INSERT OR IGNORE INTO reactions (target, emoji, user) VALUES (?, ?, ?)"
    } else {
        "DELETE FROM reactions WHERE target = ? AND emoji = ? AND user = ?"
    };
    conn.prepare_cached(sql)?
        .execute(params![integer(target), emoji, &*user.id])?;
    Ok(())
}
