//! What is wrong with a setting.

use std::{error::Error as _, fmt, path::Path};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Setting;
use crate::exit::Failure;

/// Something wrong, and where.
#[derive(Clone, Debug)]
pub(crate) struct Mistake {
    place: String,
    line: usize,
    text: String,
}

impl Mistake {
    pub(crate) fn new(place: impl fmt::Display, text: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            line: 0,
            text: text.into(),
        }
    }

    pub(super) fn in_file(path: &Path, line: usize, text: String) -> Self {
        Self {
            place: format!("{}:{line}", path.display()),
            line,
            text,
        }
    }

    pub(super) const fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// All of them, of which there is at least one, as the reason to end.
pub(crate) fn failure(mistakes: &[Mistake]) -> Failure {
    match mistakes {
        [one] => Failure::usage(one.to_string()),
        all => {
            let lines = all.iter().map(Mistake::to_string).collect();
            Failure::usage(format!("{} settings are wrong", all.len())).with_details(lines)
        }
    }
}

/// What the command line's parser says of one setting alone. Nothing, if it only lacks another that is set, too, or can't go with another, which is
/// judged when all are together.
pub(super) fn of_one(
    name: &str,
    setting: &Setting,
    error: &clap::Error,
    is_set: impl Fn(&str) -> bool,
) -> Option<String> {
    let values: Vec<_> = setting.values.iter().map(|v| v.to_string_lossy()).collect();
    let value = values.join(", ");
    match error.kind() {
        ErrorKind::ArgumentConflict => None,
        ErrorKind::MissingRequiredArgument => {
            let missing = strings(error, ContextKind::InvalidArg)
                .into_iter()
                .filter_map(|usage| Some(key_of(usage)?.to_owned()))
                .filter(|key| !is_set(key));
            let missing: Vec<_> = missing.collect();
            (!missing.is_empty()).then(|| format!("{name} needs {}, too", missing.join(" and ")))
        }
        ErrorKind::InvalidValue => {
            let possible = strings(error, ContextKind::ValidValue).join(" or ");
            Some(format!("{name} can't be \"{value}\": write {possible}"))
        }
        _ => {
            let why = error.source().map(ToString::to_string);
            let why = why.unwrap_or_else(|| error.kind().to_string());
            Some(format!("{name} can't be \"{value}\": {why}"))
        }
    }
}

/// The key in `--key <VALUE>`.
fn key_of(usage: &str) -> Option<&str> {
    usage.strip_prefix("--")?.split([' ', '=', '[']).next()
}

fn strings(error: &clap::Error, kind: ContextKind) -> Vec<&str> {
    match error.get(kind) {
        Some(ContextValue::Strings(strings)) => strings.iter().map(String::as_str).collect(),
        Some(ContextValue::String(string)) => vec![string],
        _ => Vec::new(),
    }
}
