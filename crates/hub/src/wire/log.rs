//! What who follows a log is told: a viewer, or a session, which names the stream.

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
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
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
struct Anew<'a> {
    ev: &'static str,
    stream: &'a str,
    reason: &'static str,
    cursor: Option<&'a str>,
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
pub(crate) fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lot(None, lines, None)
}

/// Lines of a stream, in their order, and the cursor behind the last that was looked at.
pub(crate) fn stream_lines<'a>(
    stream: &'a str,
    lines: impl Iterator<Item = &'a str>,
    cursor: &'a str,
) -> String {
    lot(Some(stream), lines, Some(cursor))
}

fn lot<'a>(
    stream: Option<&'a str>,
    lines: impl Iterator<Item = &'a str>,
    cursor: Option<&'a str>,
) -> String {
    to_json(&Lot {
        ev: "log",
        stream,
        lines: lines.collect(),
        cursor,
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

/// A stream does not begin where it was to, but as any other, where this cursor is.
pub(crate) fn anew(stream: &str, reason: &'static str, cursor: Option<&str>) -> String {
    to_json(&Anew {
        ev: "log.reset",
        stream,
        reason,
        cursor,
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
