//! Which lines of a log somebody wants.

use fullduplex_tail::Line;
use regex::{RegexSet, RegexSetBuilder};

use crate::wire::{
    following::Filter,
    reply::{ErrorCode, Failure},
};

/// Bytes that a regular expression may come to: some classes of letters, each of which is large in Unicode, and any list of words.
/// It bounds the time for a line, too, which is at worst this times the line's length: half a second for the longest.
const MAX_COMPILED: usize = 128 << 10;
/// Bytes that looking for one may remember of the text, which makes it fast, in each thread that does.
const MAX_CACHE: usize = 128 << 10;

/// A filter, ready for use.
#[derive(Debug)]
pub(super) enum Sieve {
    All,
    Text(Box<str>),
    /// A set of one: it keeps no places of groups, of which an expression can have so many that they take far more than itself.
    Regex(RegexSet),
}

/// What came of some lines.
#[derive(Debug)]
pub(super) struct Sifted {
    /// How many were looked at.
    pub(super) seen: usize,
    pub(super) wanted: Vec<Line>,
}

impl Sieve {
    pub(super) fn new(filter: &Filter<'_>) -> Result<Self, Failure> {
        Ok(match filter {
            Filter::All => Self::All,
            Filter::Text(text) => Self::Text((**text).into()),
            Filter::Regex(pattern) => Self::Regex(compile(pattern)?),
        })
    }

    /// Whether it may take long.
    pub(super) const fn is_costly(&self) -> bool {
        matches!(self, Self::Regex(_))
    }

    /// Goes through lines until `max` are found.
    pub(super) fn sift(&self, lines: &[Line], max: usize) -> Sifted {
        let mut wanted = Vec::new();
        let mut seen = 0;
        for line in lines {
            if wanted.len() == max {
                break;
            }
            seen += 1;
            if self.wants(line.text()) {
                wanted.push(line.clone());
            }
        }
        Sifted { seen, wanted }
    }

    fn wants(&self, line: &str) -> bool {
        match self {
            Self::All => true,
            Self::Text(text) => line.contains(&**text),
            Self::Regex(regex) => regex.is_match(line),
        }
    }
}

fn compile(pattern: &str) -> Result<RegexSet, Failure> {
    RegexSetBuilder::new([pattern])
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_CACHE)
        .build()
        .map_err(|error| {
            let code = match error {
                regex::Error::CompiledTooBig(_) => ErrorCode::TooLarge,
                _ => ErrorCode::BadRequest,
            };
            Failure::new(code, error.to_string())
        })
}
