//! What a viewer of a log is told.

use std::sync::Arc;

use serde::Serialize;

use super::to_json;

#[derive(Serialize)]
struct Open<'a> {
    ev: &'static str,
    source: &'a str,
}

#[derive(Serialize)]
struct Lines<'a> {
    ev: &'static str,
    lines: Vec<&'a str>,
}

#[derive(Serialize)]
struct Skip {
    ev: &'static str,
    lines: u64,
}

#[derive(Serialize)]
struct File {
    ev: &'static str,
    what: &'static str,
}

/// The first event: which source this is.
pub(crate) fn open(source: &str) -> String {
    to_json(&Open {
        ev: "log.open",
        source,
    })
}

/// Lines, in their order.
pub(crate) fn lines(lines: &[Arc<str>]) -> String {
    to_json(&Lines {
        ev: "log",
        lines: lines.iter().map(|line| &**line).collect(),
    })
}

/// This viewer was too slow for so many lines.
pub(crate) fn skip(lines: u64) -> String {
    to_json(&Skip {
        ev: "log.skip",
        lines,
    })
}

/// Something happened to the file.
pub(crate) fn file(what: &'static str) -> String {
    to_json(&File {
        ev: "log.file",
        what,
    })
}
