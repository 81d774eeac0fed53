//! Commands that ask for what was stored, and note how far it was read.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    command::{bad, checked_room, fields},
    reply::Failure,
    writing::checked_position,
};
use crate::{core::MAX_SEQ, log::Span};

/// The most messages of one page: some screenfuls.
const MAX_PAGE: usize = 200;
const DEFAULT_PAGE: usize = 50;
/// The most hits of one reply: who wants more of them narrows the search.
const MAX_HITS: usize = 50;
const DEFAULT_HITS: usize = 20;
/// The longest search, in bytes: a sentence.
const MAX_QUERY_BYTES: usize = 256;
/// The longest place where a search goes on, in bytes: one of ours is a number.
const MAX_SEARCH_CURSOR_BYTES: usize = 64;

/// What a client wants to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask<'a> {
    /// A page of a room.
    History {
        room: Cow<'a, str>,
        span: Span,
        limit: usize,
    },
    Search(Search<'a>),
    /// That a room was read up to a position, and what is unread then.
    Read {
        room: Cow<'a, str>,
        seq: u64,
    },
}

/// What is looked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Search<'a> {
    pub(crate) words: Cow<'a, str>,
    pub(crate) room: Option<Cow<'a, str>>,
    pub(crate) from: Option<Cow<'a, str>>,
    pub(crate) after: Option<u64>,
    pub(crate) before: Option<u64>,
    pub(crate) limit: usize,
    pub(crate) cursor: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct History<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    before: Option<u64>,
    after: Option<u64>,
    around: Option<u64>,
    limit: Option<usize>,
}

/// A search as it was asked for.
#[derive(Debug, Deserialize)]
pub(crate) struct Query<'a> {
    #[serde(borrow)]
    pub(crate) q: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) from: Option<Cow<'a, str>>,
    pub(crate) after: Option<u64>,
    pub(crate) before: Option<u64>,
    pub(crate) limit: Option<usize>,
    #[serde(borrow)]
    pub(crate) cursor: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    seq: u64,
}

impl<'a> Ask<'a> {
    pub(super) fn history(text: &'a str) -> Result<Self, Failure> {
        let command: History<'_> = fields(text)?;
        Ok(Self::History {
            room: checked_room(command.room)?,
            span: span(command.after, command.before, command.around)?,
            limit: page_limit(command.limit)?,
        })
    }

    pub(super) fn search(text: &'a str) -> Result<Self, Failure> {
        let query: Query<'_> = fields(text)?;
        Ok(Self::Search(query.checked()?))
    }

    pub(super) fn read(text: &'a str) -> Result<Self, Failure> {
        let command: Read<'_> = fields(text)?;
        Ok(Self::Read {
            room: checked_room(command.room)?,
            seq: checked_start(command.seq)?,
        })
    }
}

impl<'a> Query<'a> {
    pub(crate) fn checked(self) -> Result<Search<'a>, Failure> {
        if self.q.trim().is_empty() || self.q.len() > MAX_QUERY_BYTES {
            return Err(bad(format!(
                "q has 1 to {MAX_QUERY_BYTES} bytes, and not only blanks"
            )));
        }
        let is_cursor = |cursor: &Cow<'_, str>| cursor.len() <= MAX_SEARCH_CURSOR_BYTES;
        if !self.cursor.as_ref().is_none_or(is_cursor) {
            return Err(bad("not the cursor of a search"));
        }
        let is_time = |time: &u64| *time <= MAX_SEQ;
        if !self.after.iter().chain(&self.before).all(is_time) {
            return Err(bad("a time is below 2^53"));
        }
        Ok(Search {
            words: self.q,
            room: self.room.map(checked_room).transpose()?,
            from: self.from,
            after: self.after,
            before: self.before,
            limit: checked_limit(self.limit, DEFAULT_HITS, MAX_HITS)?,
            cursor: self.cursor,
        })
    }
}

/// The part of a room that is asked for.
pub(crate) fn span(
    after: Option<u64>,
    before: Option<u64>,
    around: Option<u64>,
) -> Result<Span, Failure> {
    let after = after.map(checked_start).transpose()?;
    let before = before.map(checked_position).transpose()?;
    let around = around.map(checked_position).transpose()?;
    match (after, before, around) {
        (None, None, None) => Ok(Span::Newest),
        (None, Some(before), None) => Ok(Span::Before(before)),
        (Some(after), None, None) => Ok(Span::After(after)),
        (Some(after), Some(before), None) => Ok(Span::Between(after, before)),
        (None, None, Some(around)) => Ok(Span::Around(around)),
        _ => Err(bad("around has neither before nor after beside it")),
    }
}

/// How many messages a page has.
pub(crate) fn page_limit(asked: Option<usize>) -> Result<usize, Failure> {
    checked_limit(asked, DEFAULT_PAGE, MAX_PAGE)
}

/// A position after which something is; before the first event there is one, too.
fn checked_start(seq: u64) -> Result<u64, Failure> {
    if seq == 0 {
        Ok(seq)
    } else {
        checked_position(seq)
    }
}

fn checked_limit(limit: Option<usize>, default: usize, max: usize) -> Result<usize, Failure> {
    let limit = limit.unwrap_or(default);
    if (1..=max).contains(&limit) {
        Ok(limit)
    } else {
        Err(bad(format!("limit is 1 to {max}")))
    }
}

#[cfg(test)]
mod tests {
    use crate::wire::{command::Frame, reply::ErrorCode};

    #[test]
    fn what_can_not_be_asked_is_refused() {
        let long = format!(r#"{{"op":"search","q":"{}"}}"#, "x".repeat(257));
        for text in [
            r#"{"op":"history","room":"a","around":1,"after":2}"#,
            r#"{"op":"history","room":"a","before":0}"#,
            r#"{"op":"history","room":"a","around":9007199254740992}"#,
            r#"{"op":"history","room":"a","before":-1}"#,
            r#"{"op":"history","room":"a","limit":0}"#,
            r#"{"op":"history","room":"a","limit":201}"#,
            r#"{"op":"history","room":".."}"#,
            r#"{"op":"history"}"#,
            r#"{"op":"search"}"#,
            r#"{"op":"search","q":" "}"#,
            r#"{"op":"search","q":"a","limit":51}"#,
            r#"{"op":"search","q":"a","after":9007199254740992}"#,
            r#"{"op":"search","q":"a","room":"a/b"}"#,
            r#"{"op":"read","room":"a","seq":9007199254740992}"#,
            r#"{"op":"read","room":"a"}"#,
            &long,
        ] {
            let code = Frame::parse(text, 16)
                .command
                .map_err(|failure| failure.code);
            assert_eq!(code, Err(ErrorCode::BadRequest), "{text}");
        }
    }
}
