//! What who follows a log is told: a viewer, or a session, which names the stream.

use std::sync::Arc;

use fullduplex_tail::FileEvent;
use serde::Serialize;

use super::to_json;

#[derive(Serialize)]
struct Open<'a> {
    ev: &'static str,
    source: &'a str,
}

#[derive(Serialize)]
struct Lot<'a> {
    ev: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    lines: Vec<&'a str>,
}

#[derive(Serialize)]
struct Skip<'a> {
    ev: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    lines: u64,
}

#[derive(Serialize)]
struct File<'a> {
    ev: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    what: &'static str,
}

#[derive(Serialize)]
struct End<'a> {
    ev: &'static str,
    stream: &'a str,
    reason: &'static str,
}

/// The first event: which source this is.
pub(crate) fn open(source: &str) -> String {
    to_json(&Open {
        ev: "log.open",
        source,
    })
}

/// Lines, in their order.
pub(crate) fn lines(stream: Option<&str>, lines: &[Arc<str>]) -> String {
    to_json(&Lot {
        ev: "log",
        stream,
        lines: lines.iter().map(|line| &**line).collect(),
    })
}

/// Who follows was too slow for so many lines.
pub(crate) fn skip(stream: Option<&str>, lines: u64) -> String {
    to_json(&Skip {
        ev: "log.skip",
        stream,
        lines,
    })
}

/// Something happened to the file.
pub(crate) fn file(stream: Option<&str>, what: FileEvent) -> String {
    to_json(&File {
        ev: "log.file",
        stream,
        what: match what {
            FileEvent::Rotated => "rotated",
            FileEvent::Truncated => "truncated",
            FileEvent::Gone => "gone",
            FileEvent::Back => "back",
        },
    })
}

/// A stream is over.
pub(crate) fn end(stream: &str, reason: &'static str) -> String {
    to_json(&End {
        ev: "log.end",
        stream,
        reason,
    })
}
