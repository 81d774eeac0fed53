//! What the log comes to, read from the tables that follow it.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};
use serde_json::Value;

use super::{
    erase::Forgotten,
    rows::{self, integer, optional_number},
};
use crate::{
    core::{What, may_begin},
    log::{
        Found, MAX_REACTIONS, MAX_REACTORS, MAX_WORDS, Page, PageQuery, PageSize, Reaction,
        SearchQuery, Shown, Span,
        projection::{Finding, folded_words},
    },
};

/// No room has this id.
const NO_ROOM: i64 = -1;
/// One message.
const ONE: PageSize = PageSize {
    events: 1,
    bytes: 1,
};

/// Adds the event that a message's present body is from, if it was edited.
const EDIT: &str =
    "LEFT JOIN edits ON edits.target = log.seq LEFT JOIN log AS edit ON edit.seq = edits.seq";

/// The newest before the first parameter.
pub(super) const BEFORE: &str = "log.seq < ?2 AND log.seq > ?3 ORDER BY log.seq DESC";
/// The oldest from the first parameter on.
pub(super) const FROM: &str = "log.seq >= ?2 AND log.seq < ?3 ORDER BY log.seq";

/// A page of a room.
pub(super) fn page(
    conn: &Connection,
    epoch: &Arc<str>,
    query: &PageQuery,
) -> rusqlite::Result<Page> {
    // One view of all.
    let conn = conn.unchecked_transaction()?;
    let (id, as_of) = rows::bounds(&conn, epoch, &query.room)?;
    let room = Room {
        conn: &conn,
        name: &query.room,
        id: id.unwrap_or(NO_ROOM),
        forgotten: Forgotten::read(&conn)?,
    };
    let max = query.max;
    // And where the page would be, were it empty.
    let (mut messages, place) = match query.span {
        Span::Newest => (room.before(u64::MAX, max)?, u64::MAX),
        Span::Before(seq) => (room.before(seq, max)?, seq),
        Span::After(seq) => (
            room.from(seq.saturating_add(1), u64::MAX, max)?,
            seq.saturating_add(1),
        ),
        Span::Between(low, high) => (
            room.from(low.saturating_add(1), high, max)?,
            low.saturating_add(1),
        ),
        Span::Around(seq) => {
            let [half, rest] = max.halves();
            let mut messages = room.before(seq, half)?;
            messages.append(&mut room.from(seq, u64::MAX, rest)?);
            (messages, seq)
        }
    };
    for message in &mut messages {
        message.reactions = reactions(&conn, message.event.seq, query.viewer.as_deref())?;
    }
    let first = messages.first().map_or(place, |first| first.event.seq);
    let end = messages.last().map_or(place, |last| last.event.seq + 1);
    Ok(Page {
        as_of,
        more_before: !room.before(first, ONE)?.is_empty(),
        more_after: !room.from(end, u64::MAX, ONE)?.is_empty(),
        messages,
    })
}

/// The messages of a room.
struct Room<'a> {
    conn: &'a Connection,
    name: &'a Arc<str>,
    id: i64,
    forgotten: Forgotten,
}

impl Room<'_> {
    /// The newest before a position, oldest first.
    fn before(&self, end: u64, max: PageSize) -> rusqlite::Result<Vec<Shown>> {
        let mut messages = self.some(BEFORE, end, 0, max)?;
        messages.reverse();
        Ok(messages)
    }

    /// The oldest from one position on and before the other.
    fn from(&self, first: u64, end: u64, max: PageSize) -> rusqlite::Result<Vec<Shown>> {
        self.some(FROM, first, end, max)
    }

    fn some(
        &self,
        span: &str,
        one: u64,
        other: u64,
        max: PageSize,
    ) -> rusqlite::Result<Vec<Shown>> {
        let sql = page_sql(span);
        let limit = integer(max.events as u64);
        let mut statement = self.conn.prepare_cached(&sql)?;
        let rows = statement.query_map(
            params![self.id, integer(one), integer(other), limit],
            |row| {
                let mut shown = shown(row, self.name)?;
                if self.forgotten.covers(&shown.event) {
                    shown.event.erase();
                    shown.edited = None;
                }
                Ok(shown)
            },
        )?;
        rows::take(max, rows)
    }
}

/// Reads some of a room's messages.
pub(super) fn page_sql(span: &str) -> String {
    format!(
        "SELECT {}, edit.seq, edit.body FROM log {EDIT}
            WHERE log.room = ?1 AND log.target IS NULL AND {span} LIMIT ?4",
        rows::columns_of("log")
    )
}

/// The messages that match a query, the newest first.
pub(super) fn search(conn: &Connection, query: &SearchQuery) -> rusqlite::Result<Found> {
    let words = pattern(&query.words);
    // One of ours is a position.
    let before = match &query.cursor {
        None => Some(i64::MAX),
        Some(cursor) => cursor.parse().ok(),
    };
    let (false, Some(before)) = (words.is_empty(), before) else {
        return Ok(Found::default());
    };
    // One view of all.
    let conn = conn.unchecked_transaction()?;
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {}, edit.seq, edit.body, rooms.name FROM search
            JOIN log ON log.seq = search.rowid JOIN rooms ON rooms.id = log.room {EDIT}
            WHERE search MATCH ?1 AND search.rowid < ?2 AND (?3 IS NULL OR rooms.name IN (SELECT value FROM json_each(?3)))
            ORDER BY search.rowid DESC",
        rows::columns_of("log")
    ))?;
    // Rooms are left out here: what is looked at and not found would tell of them.
    let only = query.rooms.as_ref().map(|rooms| json(rooms));
    let mut rows = statement.query(params![words, before, only])?;
    let forgotten = Forgotten::read(&conn)?;
    let mut finding = Finding::new(query.max);
    while let Some(row) = rows.next()?
        && finding.goes_on()
    {
        let room = row.get(rows::WIDTH + 2)?;
        let message = shown(row, &room)?;
        let cursor = message.event.seq.to_string().into();
        let fits = query.fits(&message.event) && !forgotten.covers(&message.event);
        let bytes = message.event.what.text().len();
        finding.look(cursor, bytes, fits.then_some(message));
    }
    let mut found = finding.found;
    for message in &mut found.messages {
        message.reactions = reactions(&conn, message.event.seq, query.viewer.as_deref())?;
    }
    Ok(found)
}

/// A list of texts, as SQLite takes one.
fn json(texts: &[Arc<str>]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| Value::from(&**text)).collect();
    Value::from(texts).to_string()
}

/// A query of words as the index reads it: nothing in them has a meaning of its own.
fn pattern(words: &str) -> String {
    let quoted = |word: &str| format!("\"{}\"", word.replace('"', "\"\""));
    let words = words.split(|c: char| c.is_whitespace() || c.is_control());
    let words = words.filter(|word| !word.is_empty()).take(MAX_WORDS);
    let words: Vec<_> = words.collect();
    let last = words.last().and_then(|word| folded_words(word).last());
    let mut pattern = words.into_iter().map(quoted).collect::<Vec<_>>().join(" ");
    // All words that begin so are put in order before the first is found, which nothing interrupts.
    if last.is_some_and(|last| may_begin(&last)) {
        pattern.push('*');
    }
    pattern
}

/// A row with an event's columns, and then the position and body of its edit.
fn shown(row: &Row<'_>, room: &Arc<str>) -> rusqlite::Result<Shown> {
    let mut shown = Shown::new(rows::event(row, room)?);
    shown.edited = optional_number(row, rows::WIDTH)?;
    if shown.edited.is_some()
        && let What::Message { body, .. } = &mut shown.event.what
    {
        *body = rows::text(row, rows::WIDTH + 1)?;
    }
    Ok(shown)
}

fn reactions(
    conn: &Connection,
    target: u64,
    viewer: Option<&str>,
) -> rusqlite::Result<Vec<Reaction>> {
    let target = integer(target);
    let mut counted = conn.prepare_cached(
        "SELECT emoji, count(*) FROM reacted WHERE target = ? GROUP BY emoji
            ORDER BY count(*) DESC, emoji LIMIT ?",
    )?;
    let mut listed = conn.prepare_cached(
        "SELECT user FROM reacted WHERE target = ? AND emoji = ?
            ORDER BY user IS NOT ?, user LIMIT ?",
    )?;
    let counted = counted.query_map(params![target, integer(MAX_REACTIONS as u64)], |row| {
        Ok((row.get::<_, Arc<str>>(0)?, row.get::<_, i64>(1)?))
    })?;
    counted
        .map(|counted| {
            let (emoji, count) = counted?;
            let max = integer(MAX_REACTORS as u64);
            let users = listed
                .query_map(params![target, &*emoji, viewer, max], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(Reaction {
                emoji,
                count: usize::try_from(count).unwrap_or(0),
                users,
            })
        })
        .collect()
}
