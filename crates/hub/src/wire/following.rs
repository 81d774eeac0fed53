//! Commands that follow logs.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    command::{bad, checked_length, fields},
    reply::Failure,
};
use crate::level::Level;

/// The most lines that a stream may be owed: more than a client shows, and some seconds of a busy log.
pub(crate) const MAX_CREDIT: usize = 100_000;
/// The lines a stream gets that does not say how many: some screenfuls.
const DEFAULT_CREDIT: usize = 1_000;
/// The most older lines a stream may begin with: what a filter goes through in a second or so.
const MAX_LOG_BACKLOG: u64 = 1_000_000;
/// The longest filter, in bytes: a line on a screen.
const MAX_FILTER_BYTES: usize = 256;
/// The longest cursor in a log, in bytes: twice what ours have.
const MAX_CURSOR_BYTES: usize = 128;

/// What a client wants with logs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Follow<'a> {
    /// To know which there are.
    List,
    Open(Open<'a>),
    Set {
        stream: Cow<'a, str>,
        filter: Filter<'a>,
    },
    Close {
        stream: Cow<'a, str>,
    },
    /// To get so many lines more.
    Credit {
        stream: Cow<'a, str>,
        n: usize,
    },
}

/// A stream that a client wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Open<'a> {
    pub(crate) log: Cow<'a, str>,
    /// The cursor of an earlier stream.
    pub(crate) from: Option<Cow<'a, str>>,
    /// As many as viewers get if none.
    pub(crate) backlog: Option<u64>,
    pub(crate) filter: Filter<'a>,
    pub(crate) credit: usize,
}

/// Which lines are wanted: those that pass both.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter<'a> {
    /// Of this level, or a higher one.
    pub(crate) least: Option<Level>,
    pub(crate) with: With<'a>,
}

/// What wanted lines have in them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum With<'a> {
    #[default]
    Anything,
    /// This, as it is written.
    Text(Cow<'a, str>),
    /// Something that this regular expression describes.
    Regex(Cow<'a, str>),
}

#[derive(Deserialize)]
struct OpenForm<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    from: Option<Cow<'a, str>>,
    backlog: Option<u64>,
    #[serde(borrow)]
    filter: Option<FilterForm<'a>>,
    credit: Option<usize>,
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    filter: Option<FilterForm<'a>>,
}

#[derive(Deserialize)]
struct Close<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Credit<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    n: usize,
}

#[derive(Deserialize)]
struct FilterForm<'a> {
    level: Option<Level>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    regex: Option<Cow<'a, str>>,
}

impl<'a> Follow<'a> {
    pub(super) fn open(text: &'a str) -> Result<Self, Failure> {
        let command: OpenForm<'_> = fields(text)?;
        if command.backlog.is_some_and(|lines| lines > MAX_LOG_BACKLOG) {
            return Err(bad(format!("backlog is at most {MAX_LOG_BACKLOG}")));
        }
        if let Some(from) = &command.from {
            checked_length(from, "a cursor", MAX_CURSOR_BYTES)?;
        }
        Ok(Self::Open(Open {
            log: command.log,
            from: command.from,
            backlog: command.backlog,
            filter: Filter::new(command.filter)?,
            credit: checked_credit(command.credit.unwrap_or(DEFAULT_CREDIT))?,
        }))
    }

    pub(super) fn set(text: &'a str) -> Result<Self, Failure> {
        let Set { stream, filter } = fields(text)?;
        let filter = Filter::new(filter)?;
        Ok(Self::Set { stream, filter })
    }

    pub(super) fn close(text: &'a str) -> Result<Self, Failure> {
        let Close { stream } = fields(text)?;
        Ok(Self::Close { stream })
    }

    pub(super) fn credit(text: &'a str) -> Result<Self, Failure> {
        let Credit { stream, n } = fields(text)?;
        let n = checked_credit(n)?;
        Ok(Self::Credit { stream, n })
    }
}

impl<'a> Filter<'a> {
    fn new(form: Option<FilterForm<'a>>) -> Result<Self, Failure> {
        let Some(FilterForm { level, text, regex }) = form else {
            return Ok(Self::default());
        };
        let with = match (text, regex) {
            (None, None) if level.is_none() => {
                return Err(bad("a filter has a level, a text or a regex"));
            }
            (None, None) => With::Anything,
            (Some(text), None) => With::Text(text),
            (None, Some(regex)) => With::Regex(regex),
            (Some(_), Some(_)) => return Err(bad("a filter has a text or a regex, not both")),
        };
        if let With::Text(what) | With::Regex(what) = &with {
            checked_length(what, "a filter", MAX_FILTER_BYTES)?;
        }
        let least = level;
        Ok(Self { least, with })
    }
}

/// Refuses more than a stream may be owed.
pub(crate) fn checked_credit(credit: usize) -> Result<usize, Failure> {
    if credit > MAX_CREDIT {
        return Err(bad(format!("a stream has at most {MAX_CREDIT} of credit")));
    }
    Ok(credit)
}

#[cfg(test)]
mod tests {
    use crate::wire::{command::Frame, reply::ErrorCode};

    #[test]
    fn what_can_not_be_followed_so_is_refused() {
        let long = format!(
            r#"{{"op":"log.open","log":"a","filter":{{"text":"{}"}}}}"#,
            "x".repeat(257)
        );
        for (text, expected) in [
            (r#"{"op":"log.open"}"#, ErrorCode::BadRequest),
            (
                r#"{"op":"log.open","log":"a","backlog":1000001}"#,
                ErrorCode::BadRequest,
            ),
            (
                r#"{"op":"log.open","log":"a","credit":100001}"#,
                ErrorCode::BadRequest,
            ),
            (
                r#"{"op":"log.open","log":"a","filter":{}}"#,
                ErrorCode::BadRequest,
            ),
            (
                r#"{"op":"log.open","log":"a","filter":"error"}"#,
                ErrorCode::BadRequest,
            ),
            (
                r#"{"op":"log.set","stream":"l1","filter":{"text":"a","regex":"a"}}"#,
                ErrorCode::BadRequest,
            ),
            (
                r#"{"op":"log.set","stream":"l1","filter":{"level":"high"}}"#,
                ErrorCode::BadRequest,
            ),
            (r#"{"op":"log.set"}"#, ErrorCode::BadRequest),
            (r#"{"op":"log.close"}"#, ErrorCode::BadRequest),
            (r#"{"op":"credit","stream":"l1"}"#, ErrorCode::BadRequest),
            (
                r#"{"op":"credit","stream":"l1","n":-1}"#,
                ErrorCode::BadRequest,
            ),
            (&long, ErrorCode::TooLarge),
        ] {
            let code = Frame::parse(text, 16)
                .command
                .map_err(|failure| failure.code);
            assert_eq!(code, Err(expected), "{text}");
        }
    }
}
