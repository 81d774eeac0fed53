//! How much a line of a log matters, as far as it says so in one of the usual ways.

use std::{borrow::Cow, iter};

use serde::Deserialize;

/// In their order: whoever wants one wants those after it, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Trace,
    Debug,
    /// Also what says nothing.
    #[default]
    Info,
    Warn,
    Error,
}

/// What levels are called.
const WORDS: [(Level, &[&str]); 5] = [
    (
        Level::Trace,
        &["trace", "trc", "trce", "verbose", "vrb", "finest", "finer"],
    ),
    (Level::Debug, &["debug", "dbug", "dbg"]),
    (
        Level::Info,
        &[
            "info",
            "inf",
            "information",
            "informational",
            "notice",
            "note",
            "log",
        ],
    ),
    (Level::Warn, &["warn", "warning", "wrn"]),
    (
        Level::Error,
        &[
            "error",
            "err",
            "fail",
            "fatal",
            "ftl",
            "crit",
            "critical",
            "severe",
            "alert",
            "emerg",
            "emergency",
            "panic",
        ],
    ),
];

/// Keys whose value is a level.
const KEYS: [&str; 6] = [
    "level",
    "lvl",
    "severity",
    "loglevel",
    "log_level",
    "levelname",
];

/// Bytes at the beginning of a line that is not JSON in which its level begins: time, host and program are before it, the message behind.
const HEAD: usize = 256;

impl Level {
    /// The level that a line has by itself. Takes time in proportion to its length.
    pub(crate) fn of(line: &str) -> Option<Self> {
        let is_json = line.starts_with('{');
        let line = &*without_colours(line.as_bytes());
        let head = if is_json { line.len() } else { HEAD };
        let mut words = words(line).take_while(|word| word.start < head);
        of_priority(line).or_else(|| {
            words.find_map(|word| {
                let marked = if is_json { None } else { word.marked() };
                marked.or_else(|| word.value(is_json))
            })
        })
    }

    /// The level of this name, which is ours.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = WORDS.map(|(level, _)| level);
        all.into_iter().find(|level| level.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    fn of_word(word: &[u8]) -> Option<Self> {
        let is_it = |known: &&str| known.as_bytes().eq_ignore_ascii_case(word);
        let mut words = WORDS.iter();
        words.find_map(|(level, words)| words.iter().any(&is_it).then_some(*level))
    }

    /// Those of syslog are up to 7, those of bunyan and pino from 10 on.
    fn of_number(number: u32) -> Option<Self> {
        Some(match number {
            0..=3 | 50..=60 => Self::Error,
            4 | 40..=49 => Self::Warn,
            5 | 6 | 30..=39 => Self::Info,
            7 | 20..=29 => Self::Debug,
            10..=19 => Self::Trace,
            _ => return None,
        })
    }
}

/// A word of a line: letters, digits, `_`, and whatever is not ASCII.
#[derive(Clone, Copy)]
struct Word<'a> {
    line: &'a [u8],
    start: usize,
    end: usize,
}

fn words(line: &[u8]) -> impl Iterator<Item = Word<'_>> {
    let is_in_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii();
    let mut at = 0;
    iter::from_fn(move || {
        let start = at + line[at..].iter().position(is_in_word)?;
        let len = line[start..]
            .iter()
            .take_while(|byte| is_in_word(byte))
            .count();
        at = start + len;
        Some(Word {
            line,
            start,
            end: at,
        })
    })
}

impl<'a> Word<'a> {
    const fn text(&self) -> &'a [u8] {
        self.line.split_at(self.end).0.split_at(self.start).1
    }

    /// The level that it is, where it stands as levels do.
    fn marked(&self) -> Option<Level> {
        let (before, text, behind) = (
            &self.line[..self.start],
            self.text(),
            &self.line[self.end..],
        );
        let is_capital = text.iter().all(u8::is_ascii_uppercase);
        let is_enclosed = matches!(
            (before.last(), behind.first()),
            (Some(b'[' | b':'), Some(b']')) | (Some(b'<'), Some(b'>'))
        );
        let is_first = before.is_empty() && behind.first() == Some(&b':');
        if is_capital || is_enclosed || is_first {
            return Level::of_word(text);
        }
        // As klog and glog have it, with month and day.
        match text {
            [letter, day @ ..] if before.is_empty() && day.len() == 4 => {
                let is_day = day.iter().all(u8::is_ascii_digit);
                let level = match letter {
                    b'I' => Level::Info,
                    b'W' => Level::Warn,
                    b'E' | b'F' => Level::Error,
                    _ => return None,
                };
                is_day.then_some(level)
            }
            _ => None,
        }
    }

    /// The level that is its value, if it is a key for one.
    fn value(&self, is_json: bool) -> Option<Level> {
        let is_it = |key: &&str| key.as_bytes().eq_ignore_ascii_case(self.text());
        if !KEYS.iter().any(is_it) {
            return None;
        }
        let unquoted = |rest: &'a [u8]| rest.strip_prefix(b"\"").unwrap_or(rest);
        let behind = &self.line[self.end..];
        // In JSON it would be a word of what somebody said.
        if is_json && !behind.starts_with(b"\"") {
            return None;
        }
        let rest = unquoted(behind).trim_ascii_start();
        let (b'=' | b':', rest) = rest.split_first()? else {
            return None;
        };
        let value = words(unquoted(rest.trim_ascii_start())).next()?;
        if value.start > 0 {
            return None;
        }
        let number = || str::from_utf8(value.text()).ok()?.parse().ok();
        Level::of_word(value.text()).or_else(|| Level::of_number(number()?))
    }
}

/// As syslog and systemd have it: `<N>` at the beginning, of which the last three bits tell.
fn of_priority(line: &[u8]) -> Option<Level> {
    let rest = line.strip_prefix(b"<")?;
    let number = words(rest).next().filter(|number| number.start == 0)?;
    rest[number.end..].strip_prefix(b">")?;
    let number: u8 = str::from_utf8(number.text()).ok()?.parse().ok()?;
    Level::of_number(u32::from(number & 7))
}

/// Leaves out what has a terminal show colours.
fn without_colours(line: &[u8]) -> Cow<'_, [u8]> {
    const BEGIN: &[u8] = b"\x1b[";
    if !line.contains(&BEGIN[0]) {
        return Cow::Borrowed(line);
    }
    let (mut plain, mut rest) = (Vec::with_capacity(line.len()), line);
    while let Some((first, behind)) = rest.split_first() {
        if let Some(sequence) = rest.strip_prefix(BEGIN) {
            let is_last = |byte: &u8| (0x40..=0x7e).contains(byte);
            let end = sequence.iter().position(is_last);
            rest = end.map_or(&[], |end| &sequence[end + 1..]);
        } else {
            plain.push(*first);
            rest = behind;
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines, and the level that each has by itself.
    const LINES: &[(&str, &str)] = &[
        // Words in capitals.
        (
            "2026-11-22 10:00:00,123 ERROR [main] com.acme.App - failed",
            "error",
        ),
        ("2026-11-22T10:00:00Z  WARN app::net: slow", "warn"),
        (
            "\x1b[2m2026-11-22T10:00:00Z\x1b[0m \x1b[31mERROR\x1b[0m app: no",
            "error",
        ),
        ("2026-11-22 10:00:00 - app - DEBUG - x", "debug"),
        ("CRITICAL:root:the end", "error"),
        ("[10:00:00 INF] started", "info"),
        ("[10:00:00 WRN] slow", "warn"),
        (
            "2026-11-22 10:00:00 UTC [123] FATAL:  the database is starting up",
            "error",
        ),
        (
            "2026-11-22 10:00:00 UTC [123] LOG:  checkpoint ERROR",
            "info",
        ),
        ("[2026-11-22 10:00:00] production.ERROR: no", "error"),
        ("Nov 22 10:00:00 host app[1]: TRACE x", "trace"),
        ("INFO no ERROR here", "info"),
        ("SEVERE: no", "error"),
        // Marked words.
        ("2026/11/22 10:00:00 [error] 1#1: *1 open() failed", "error"),
        (
            "[Sun Nov 22 10:00:00 2026] [core:error] [pid 1] no",
            "error",
        ),
        (
            "2026-11-22T10:00:00Z 0 [Warning] [MY-010068] [Server] x",
            "warn",
        ),
        ("2026-11-22T10:00:00Z 0 [Note] x", "info"),
        ("<notice> x", "info"),
        ("warn: Acme.App[0]", "warn"),
        ("\x1b[31mfail\x1b[39m: Acme.App[0]", "error"),
        ("Error: no such file", "error"),
        ("warning: unused variable", "warn"),
        // Keys.
        (
            "time=2026-11-22T10:00:00Z level=warn msg=\"an ERROR\"",
            "warn",
        ),
        ("ts=1 lvl=dbug caller=x.go:1", "debug"),
        ("level: error", "error"),
        (r#"{"time":1,"level":"error","msg":"x"}"#, "error"),
        (r#"{"msg":"log level: debug now","level":"error"}"#, "error"),
        (r#"{"msg":"set level=error","level":"info"}"#, "info"),
        (r#"{"msg":"\"level\":\"debug\"","level":"error"}"#, "error"),
        (
            r#"{"msg":"INFO [error] level","severity" : "WARNING"}"#,
            "warn",
        ),
        (r#"{"log.level":"Information","message":"x"}"#, "info"),
        (r#"{"level":50,"time":1,"pid":1,"msg":"x"}"#, "error"),
        (r#"{"level":20}"#, "debug"),
        (r#"{"version":"1.1","host":"x","level":4}"#, "warn"),
        (r#"{"levelname": "CRITICAL"}"#, "error"),
        (r#"{"level":"x","severity":"debug"}"#, "debug"),
        // Numbers and letters at the beginning.
        ("<11>Nov 22 10:00:00 host app: INFO", "error"),
        ("<4>x", "warn"),
        ("<190>1 2026-11-22T10:00:00Z host", "info"),
        ("<7>x", "debug"),
        ("E1122 10:00:00.000000       1 main.go:1] no", "error"),
        ("I1122 10:00:00.000000       1 main.go:1] an ERROR", "info"),
        ("W1122 x", "warn"),
        ("F1122 x", "error"),
        // None of all this.
        ("", "-"),
        ("no error here", "-"),
        ("    at com.acme.Error.main(Error.java:1)", "-"),
        ("Caused by: java.io.IOException: error", "-"),
        ("ValueError: no", "-"),
        ("NO_ERROR ERRORS ÜERROR", "-"),
        ("the level is error", "-"),
        ("level=high log_levels=error", "-"),
        (
            "127.0.0.1 - - [22/Nov/2026:10:00:00 +0000] \"GET /error HTTP/1.1\" 500 1",
            "-",
        ),
        ("X1122 x", "-"),
        ("E112 x", "-"),
        ("x E1122", "-"),
        ("<x>", "-"),
        ("<300>x", "-"),
        ("<3", "-"),
        ("\x1b[", "-"),
        (r#"{"msg":"ERROR: {\"level\":\"error\"}"}"#, "-"),
        (r#"{"level":null,"level":99,"level"#, "-"),
    ];

    #[test]
    fn the_level_of_a_line_is_found_in_the_usual_formats() {
        for (line, level) in LINES {
            let found = Level::of(line).map_or("-", Level::name);
            assert_eq!(found, *level, "{line}");
        }
    }

    #[test]
    fn a_level_is_looked_for_at_the_beginning_and_in_all_of_json() {
        let long = "x".repeat(HEAD - 2);
        let level = |end: &str| Level::of(&format!("{long}{end}"));
        assert_eq!(level(" ERROR"), Some(Level::Error));
        assert_eq!(level("  ERROR"), None);
        let json = format!(r#"{{"message":"{long}{long}","level":"error"}}"#);
        assert_eq!(Level::of(&json), Some(Level::Error));
    }

    #[test]
    fn a_level_is_known_by_its_name_and_they_have_an_order() {
        let names = ["trace", "debug", "info", "warn", "error"];
        let levels = names.map(|name| Level::named(name).unwrap());
        assert!(levels.is_sorted());
        assert_eq!(levels.map(Level::name), names);
        assert_eq!(Level::named("warning"), None);
    }
}
