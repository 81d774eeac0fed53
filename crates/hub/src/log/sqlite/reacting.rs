//! What a reaction would change.

use rusqlite::{Connection, params};

use super::rows::{self, integer};
use crate::{
    core::{Author, Event, What},
    log::{AppendError, Appended, Draft, MAX_REACTIONS},
};

/// The answer to a reaction to a message that changes nothing, or would be one too many.
pub(super) fn answered(
    conn: &Connection,
    draft: &Draft,
    message: &Event,
) -> rusqlite::Result<Option<Result<Appended, AppendError>>> {
    let (What::React { emoji, on, .. }, Author::User(user)) = (&draft.what, &draft.from) else {
        return Ok(None);
    };
    let target = integer(message.seq);
    let is_on = conn
        .prepare_cached("SELECT 1 FROM reacted WHERE target = ? AND emoji = ? AND user = ?")?
        .exists(params![target, &**emoji, &*user.id])?;
    if is_on == *on {
        let since = rows::find_reaction(conn, message.seq, emoji, &user.id)?;
        let since = since.unwrap_or_else(|| Appended::again(message));
        return Ok(Some(Ok(since)));
    }
    let is_too_much = *on && is_full(conn, target, emoji)?;
    Ok(is_too_much.then_some(Err(AppendError::TooManyReactions)))
}

/// How many different reactions a message has: from each the next one is looked up, whoever and however many set them.
const DIFFERENT: &str = "WITH RECURSIVE different (emoji) AS (
    SELECT min(emoji) FROM reactions WHERE target = ?1
    UNION ALL
    SELECT (SELECT min(emoji) FROM reactions WHERE target = ?1 AND emoji > different.emoji)
        FROM different WHERE emoji IS NOT NULL
) SELECT count(emoji) FROM different";

/// Whether a message has as many different reactions as it may, and not this one.
fn is_full(conn: &Connection, target: i64, emoji: &str) -> rusqlite::Result<bool> {
    let is_there = conn
        .prepare_cached("SELECT 1 FROM reactions WHERE target = ? AND emoji = ? LIMIT 1")?
        .exists(params![target, emoji])?;
    if is_there {
        return Ok(false);
    }
    let different = conn
        .prepare_cached(DIFFERENT)?
        .query_row([target], |row| rows::number(row, 0))?;
    Ok(different >= MAX_REACTIONS as u64)
}
