//! What the log comes to: messages as they are now, and how they are found.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{Connection, Row, params, params_from_iter, types::Value};

use super::rows::{self, integer, number};
use crate::core::{Event, Mark, What};

/// A message as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The message, with its present body.
    pub event: Event,
    /// The position of the edit that its body is from.
    pub edited: Option<u64>,
    /// The reactions that are set, and the ids of those who set them.
    pub reactions: BTreeMap<String, Vec<String>>,
}

/// Messages of a room, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The event up to which all changes are in them: who then follows the events after it misses none.
    pub as_of: Mark,
    /// They.
    pub messages: Vec<Shown>,
    /// Whether the room has older ones.
    pub more: bool,
}

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Words that a message has to have, all of them; the last may be the beginning of one.
    pub words: String,
    /// The room, or any.
    pub room: Option<Arc<str>>,
    /// Only before this position.
    pub before: Option<u64>,
    /// At most so many, the newest first.
    pub limit: usize,
}

/// Adds the event that a message's present body is from, if it was edited.
const EDIT: &str =
    "LEFT JOIN edits ON edits.target = log.seq LEFT JOIN log AS edit ON edit.seq = edits.seq";

/// The newest messages of a room before a position, or of all.
pub(super) fn page(
    conn: &Connection,
    room: &Arc<str>,
    before: Option<u64>,
    limit: usize,
) -> rusqlite::Result<Page> {
    // One view of all.
    let conn = conn.unchecked_transaction()?;
    let found = rows::find_room(&conn, room)?;
    let before = before.map_or(i64::MAX, integer);
    let id = found.map(|room| room.id);
    let one_more = integer(limit as u64).saturating_add(1);
    let mut messages = conn
        .prepare_cached(&format!(
            "SELECT {}, edit.seq, edit.body FROM log {EDIT}
                WHERE log.room = ? AND log.seq < ? AND log.kind = 0 ORDER BY log.seq DESC LIMIT ?",
            rows::columns_of("log")
        ))?
        .query_map(params![id, before, one_more], |row| shown(row, room))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let more = messages.len() > limit;
    messages.truncate(limit);
    messages.reverse();
    for message in &mut messages {
        message.reactions = reactions(&conn, message.event.seq)?;
    }
    Ok(Page {
        as_of: found.map_or(Mark::START, |room| room.head),
        messages,
        more,
    })
}

/// The messages that match a query, the newest first.
pub(super) fn search(conn: &Connection, query: &Query) -> rusqlite::Result<Vec<Shown>> {
    let words = pattern(&query.words);
    if words.is_empty() {
        return Ok(Vec::new());
    }
    // One view of all.
    let conn = conn.unchecked_transaction()?;
    let before = query.before.map_or(i64::MAX, integer);
    let mut sql = format!(
        "SELECT {}, edit.seq, edit.body, rooms.name FROM search
            JOIN log ON log.seq = search.rowid JOIN rooms ON rooms.id = log.room {EDIT}
            WHERE search MATCH ? AND search.rowid < ?",
        rows::columns_of("log")
    );
    let mut values = vec![Value::from(words), Value::from(before)];
    if let Some(room) = &query.room {
        sql += " AND rooms.name = ?";
        values.push(Value::from(room.to_string()));
    }
    sql += " ORDER BY search.rowid DESC LIMIT ?";
    values.push(Value::from(integer(query.limit as u64)));
    let mut found = conn
        .prepare_cached(&sql)?
        .query_map(params_from_iter(values), |row| {
            let room = row.get(14)?;
            shown(row, &room)
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for message in &mut found {
        message.reactions = reactions(&conn, message.event.seq)?;
    }
    Ok(found)
}

/// A query of words as the index reads it: nothing in them has a meaning of its own.
fn pattern(words: &str) -> String {
    let quoted = |word: &str| format!("\"{}\"", word.replace('"', "\"\""));
    let words = words.split(|c: char| c.is_whitespace() || c.is_control());
    let words = words.filter(|word| !word.is_empty());
    let mut words: Vec<_> = words.map(quoted).collect();
    if let Some(last) = words.last_mut() {
        last.push('*');
    }
    words.join(" ")
}

/// A row with an event's columns, and then the position and body of its edit.
fn shown(row: &Row<'_>, room: &Arc<str>) -> rusqlite::Result<Shown> {
    let mut event = rows::event(row, room)?;
    let edited = match row.get_ref(12)? {
        rusqlite::types::ValueRef::Null => None,
        _ => Some(number(row, 12)?),
    };
    if edited.is_some() {
        event.what = What::Message {
            body: rows::body(row, 13)?,
        };
    }
    Ok(Shown {
        event,
        edited,
        reactions: BTreeMap::new(),
    })
}

fn reactions(conn: &Connection, target: u64) -> rusqlite::Result<BTreeMap<String, Vec<String>>> {
    let mut reactions: BTreeMap<_, Vec<_>> = BTreeMap::new();
    let mut statement =
        conn.prepare_cached("SELECT emoji, user FROM reactions WHERE target = ?")?;
    let mut rows = statement.query([integer(target)])?;
    while let Some(row) = rows.next()? {
        reactions.entry(row.get(0)?).or_default().push(row.get(1)?);
    }
    Ok(reactions)
}
