//! Which lines of a log somebody wants.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use fullduplex_tail::Line;
use regex::{RegexSet, RegexSetBuilder};
use tokio::{sync::Semaphore, task};

use crate::{
    level::Level,
    wire::{
        following::{self, Filter},
        reply::{ErrorCode, Failure},
    },
};

/// Bytes that a regular expression may come to: some classes of letters, each of which is large in Unicode, and any list of words.
/// It bounds the time for a line, too, which is at worst this times the line's length: half a second for the longest.
const MAX_COMPILED: usize = 128 << 10;
/// Bytes that looking for one may remember of the text, which makes it fast, in each thread that does.
const MAX_CACHE: usize = 128 << 10;
/// How long a regular expression may look before others have their turn, unless one line takes longer: little for those who read.
const MAX_TURN: Duration = Duration::from_millis(10);

/// A filter, ready for use.
#[derive(Debug)]
pub(super) struct Sieve {
    least: Option<Level>,
    with: With,
}

#[derive(Debug)]
enum With {
    Anything,
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
    /// That of the last one, if levels are asked for.
    pub(super) level: Level,
}

impl Sieve {
    pub(super) fn new(filter: &Filter<'_>) -> Result<Self, Failure> {
        let with = match &filter.with {
            following::With::Anything => With::Anything,
            following::With::Text(text) => With::Text((**text).into()),
            following::With::Regex(pattern) => With::Regex(compile(pattern)?),
        };
        let least = filter.least;
        Ok(Self { least, with })
    }

    /// Goes through lines, of which the one before had this level, until `max` are found or the turn is over. A regular expression
    /// waits for one of `turns`, and looks in a thread of its own.
    pub(super) async fn sift(
        self: Arc<Self>,
        lines: Vec<Line>,
        max: usize,
        level: Level,
        turns: Arc<Semaphore>,
    ) -> io::Result<Sifted> {
        if !matches!(self.with, With::Regex(_)) {
            return Ok(self.look(&lines, max, level, || false));
        }
        let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
        let look = move || {
            let begun = Instant::now();
            let sifted = self.look(&lines, max, level, || begun.elapsed() >= MAX_TURN);
            drop(turn);
            sifted
        };
        task::spawn_blocking(look).await.map_err(io::Error::other)
    }

    /// Looks at one line at least.
    fn look(
        &self,
        lines: &[Line],
        max: usize,
        before: Level,
        mut is_over: impl FnMut() -> bool,
    ) -> Sifted {
        // Who does not ask for levels does not look for them, and knows none.
        let mut level = self.least.map_or(Level::Info, |_| before);
        let mut wanted = Vec::new();
        let mut seen = 0;
        for line in lines {
            if wanted.len() == max || (seen > 0 && is_over()) {
                break;
            }
            seen += 1;
            if self.wants(line.text(), &mut level) {
                wanted.push(line.clone());
            }
        }
        Sifted {
            seen,
            wanted,
            level,
        }
    }

    fn wants(&self, line: &str, level: &mut Level) -> bool {
        if let Some(least) = self.least {
            // Of a message of several lines the first has it.
            *level = Level::of(line).unwrap_or(*level);
            if *level < least {
                return false;
            }
        }
        match &self.with {
            With::Anything => true,
            With::Text(text) => line.contains(&**text),
            With::Regex(regex) => regex.is_match(line),
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

#[cfg(test)]
mod tests {
    use fullduplex_tail::{Backlog, Item, Options, Source};

    use super::*;

    async fn lines(text: impl Into<Vec<u8>>) -> Vec<Line> {
        let source = Source::stream(io::Cursor::new(text.into()), &Options::default()).unwrap();
        let mut reader = source.reader(Backlog::All);
        let mut all = Vec::new();
        while let Some(item) = reader.next().await.unwrap() {
            let Item::Lines(lines) = item else {
                panic!("{item:?}")
            };
            all.extend(lines);
        }
        all
    }

    fn texts(sifted: &Sifted) -> Vec<&str> {
        let lines = sifted.wanted.iter();
        lines.map(|line| &**line.text()).collect()
    }

    #[tokio::test]
    async fn a_turn_that_is_over_ends_behind_a_line_and_the_next_goes_on_there() {
        let lines = lines("a1\nb1\na2\nERROR a3\na4\n").await;
        let filter = Filter {
            least: Some(Level::Error),
            with: following::With::Regex("^.*a".into()),
        };
        let sieve = Sieve::new(&filter).unwrap();
        let (mut left, mut level, mut wanted) = (&lines[..], Level::Info, Vec::new());
        for _ in &lines {
            let sifted = sieve.look(left, 9, level, || true);
            assert_eq!(sifted.seen, 1, "one at least, and no more");
            (left, level) = (&left[1..], sifted.level);
            wanted.extend(texts(&sifted).into_iter().map(str::to_owned));
        }
        assert_eq!(wanted, ["ERROR a3", "a4"]);
        let mut lines_left = 3;
        let sifted = sieve.look(&lines, 9, Level::Error, || {
            lines_left -= 1;
            lines_left == 0
        });
        assert_eq!((sifted.seen, texts(&sifted)), (3, vec!["a1", "a2"]));
    }

    /// Method: an expression that takes far longer for all lines than a turn may.
    #[tokio::test]
    async fn a_slow_expression_lets_others_have_their_turn_before_it_is_through() {
        const LINES: usize = 40;
        let mut random = 1_u32;
        // Without a pattern in it that could be remembered.
        let line = |_| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            ['a', 'b'][random as usize % 2]
        };
        let line: String = (0..3_000).map(line).collect();
        let lines = lines(format!("{line}\n").repeat(LINES)).await;
        let slow = Filter {
            least: None,
            with: following::With::Regex("a[ab]{600}[^ab]".into()),
        };
        let turns = Arc::new(Semaphore::new(1));
        let sieve = Arc::new(Sieve::new(&slow).unwrap());
        let sifted = sieve.sift(lines, 9, Level::Info, Arc::clone(&turns)).await;
        assert!((1..LINES).contains(&sifted.unwrap().seen));
        assert_eq!(turns.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_line_without_a_level_has_that_of_the_line_before() {
        let lines =
            lines("a\nDEBUG b\n  c\nWARN d\n  e\n\n[info] f\n  g\n{\"level\":50}\nERROR h\n  i\n")
                .await;
        let passed = |least: &str, before, text: Option<&'static str>| {
            let filter = Filter {
                least: Level::named(least),
                with: text.map_or(following::With::Anything, |text| {
                    following::With::Text(text.into())
                }),
            };
            let sieve = Sieve::new(&filter).unwrap();
            let sifted = sieve.look(&lines, 99, before, || false);
            assert_eq!(sifted.seen, lines.len());
            assert_eq!(sifted.level, Level::Error);
            texts(&sifted).join("|").replace("  ", "")
        };
        let all = "a|DEBUG b|c|WARN d|e||[info] f|g|{\"level\":50}|ERROR h|i";
        assert_eq!(passed("trace", Level::Trace, None), all);
        assert_eq!(passed("debug", Level::Trace, None), all[2..]);
        assert_eq!(
            passed("info", Level::Info, None),
            "a|WARN d|e||[info] f|g|{\"level\":50}|ERROR h|i"
        );
        assert_eq!(
            passed("warn", Level::Info, None),
            "WARN d|e||{\"level\":50}|ERROR h|i"
        );
        assert_eq!(
            passed("error", Level::Error, None),
            "a|{\"level\":50}|ERROR h|i"
        );
        // Of the error that is left out the next line has its level.
        assert_eq!(passed("error", Level::Info, Some("  ")), "i");
        let all = Sieve::new(&Filter::default()).unwrap();
        let sifted = all.look(&lines, 99, Level::Error, || false);
        assert_eq!(sifted.level, Level::Info, "it is of before");
    }
}
