//! The settings that there are.

use clap::{Arg, ArgAction, Command};

use super::variable;

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// In the file, and after two hyphens on the command line.
    pub(crate) name: String,
    /// What the parser of the command line calls it.
    pub(super) id: String,
    pub(crate) kind: Kind,
}

/// How much is said by a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Yes or no.
    Switch,
    /// A value.
    One,
    /// A value, or yes for the usual one.
    OneOrSwitch,
    /// Any number of values.
    List,
}

impl Key {
    /// The variable of the same meaning.
    pub(crate) fn variable(&self) -> String {
        variable(&self.name)
    }

    /// None for what is no setting: what says which others there are, and what goes with every command.
    fn of(arg: &Arg) -> Option<Self> {
        let name = arg.get_long()?;
        if matches!(name, "config" | "help" | "verbose" | "version") {
            return None;
        }
        let may_be_bare = arg.get_num_args().is_some_and(|n| n.min_values() == 0);
        let kind = match arg.get_action() {
            ArgAction::SetTrue => Kind::Switch,
            ArgAction::Append => Kind::List,
            _ if may_be_bare => Kind::OneOrSwitch,
            _ => Kind::One,
        };
        Some(Self {
            name: name.to_owned(),
            id: arg.get_id().to_string(),
            kind,
        })
    }
}

/// The settings of a command: its flags.
pub(crate) fn keys(command: &Command) -> Vec<Key> {
    command.get_arguments().filter_map(Key::of).collect()
}

/// The key that was perhaps meant.
pub(super) fn similar<'a>(keys: &'a [Key], name: &str) -> Option<&'a str> {
    most_similar(keys.iter().map(|key| &*key.name), name)
}

/// The section that was perhaps meant.
pub(super) fn similar_section<'a>(keys: &'a [Key], name: &str) -> Option<&'a str> {
    let sections = keys.iter().filter_map(|key| key.name.split_once('.'));
    most_similar(sections.map(|(section, _)| section), name)
}

fn most_similar<'a>(known: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    /// As similar as the parser of the command line wants it.
    const ENOUGH: f64 = 0.7;
    let likeness = |known: &str| {
        let end = known.rsplit('.').next().unwrap_or(known);
        strsim::jaro(known, name).max(strsim::jaro(end, name))
    };
    let best = known
        .map(|known| (likeness(known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > ENOUGH).then_some(best.1)
}
