//! What `fdx serve` is told by flags, by the environment and by a file, each of which can say all of it.
//!
//! There is one list of settings: the flags. A key of the file is a flag without its hyphens, a variable that in capitals after
//! `FDX_`. What is said elsewhere becomes flags before the command line is read, so that one parser judges everything.

mod environment;
mod file;
mod key;
mod mistake;

use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fmt,
    path::{Path, PathBuf},
};

use clap::{
    Arg, ArgAction, ArgMatches, Command,
    builder::{Resettable, ValueParser},
    parser::ValueSource,
};

pub(crate) use self::{
    environment::variable,
    key::{Key, Kind, keys},
    mistake::{Mistake, failure},
};
use crate::{exit::Failure, output};

/// The variable that names a file when no flag does.
const FILE_VARIABLE: &str = "FDX_CONFIG";

/// Who said it. A later one overrides an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// What a setting is set to: several values where it is a list.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    kind: Kind,
    pub(crate) values: Vec<OsString>,
    pub(crate) origin: Origin,
}

/// All that is not as it is by default.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    set: BTreeMap<String, Setting>,
    /// Variables that look as if they were meant for us.
    slips: Vec<Mistake>,
}

impl Settings {
    /// Brings together what the environment, a file and `flags` say. `line` is the whole command line, and `path` the command in it
    /// that has the flags.
    ///
    /// # Errors
    ///
    /// The file can't be read, or there is something wrong with what it or the environment says: all of that.
    pub(crate) fn gather(
        line: &Command,
        path: &[&str],
        flags: &ArgMatches,
    ) -> Result<Self, Failure> {
        let flag = flags.try_get_raw("config").ok().flatten();
        let file = flag.and_then(|mut values| values.next()).map(PathBuf::from);
        let (mut settings, mistakes) = Self::elsewhere(line, path, file.as_deref())?;
        if !mistakes.is_empty() {
            return Err(failure(&mistakes));
        }
        for slip in &settings.slips {
            output::warning(&slip.to_string());
        }
        settings.add_flags(&keys(command(line, path)), flags);
        Ok(settings)
    }

    /// What the environment and a file say, and what is wrong with it: `file`, or else the one that the environment names.
    ///
    /// # Errors
    ///
    /// The file can't be read.
    pub(crate) fn elsewhere(
        line: &Command,
        path: &[&str],
        file: Option<&Path>,
    ) -> Result<(Self, Vec<Mistake>), Failure> {
        let keys = keys(command(line, path));
        let (mut settings, mut mistakes) = (Self::default(), Vec::new());
        if let Some(file) = file.map(Path::to_owned).or_else(file_of_environment) {
            file::read(&file, &keys, &mut settings, &mut mistakes)?;
        }
        environment::read(env::vars_os(), &keys, &mut settings, &mut mistakes);
        mistakes.extend(settings.judge(line, path));
        mistakes.sort_by_key(Mistake::line);
        Ok((settings, mistakes))
    }

    /// Variables that nobody reads, and that are named much like ones that are read.
    pub(crate) fn slips(&self) -> &[Mistake] {
        &self.slips
    }

    /// What a key is set to, if it is.
    pub(crate) fn get(&self, key: &str) -> Option<&Setting> {
        self.set.get(key)
    }

    fn set(&mut self, key: &Key, values: Vec<OsString>, origin: Origin) {
        let setting = Setting {
            kind: key.kind,
            values,
            origin,
        };
        self.set.insert(key.name.clone(), setting);
    }

    fn add_flags(&mut self, keys: &[Key], flags: &ArgMatches) {
        for key in keys {
            if flags.value_source(&key.id) == Some(ValueSource::CommandLine) {
                let values = flags.get_raw(&key.id).into_iter().flatten();
                let values = values.map(OsStr::to_owned).collect();
                self.set(key, values, Origin::Flag);
            }
        }
    }

    /// All of it as a command line, after the words that name the command.
    pub(crate) fn words(&self, command: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
        let settings = self.set.iter();
        let flags = settings.flat_map(|(name, setting)| words(name, setting));
        command.into_iter().chain(flags).collect()
    }

    /// What is wrong with each setting, looked at alone, and with what it needs.
    fn judge(&self, line: &Command, path: &[&str]) -> Vec<Mistake> {
        let mistakes = self.set.iter().filter_map(|(name, setting)| {
            let beginning = ["fdx"].iter().chain(path).map(OsString::from);
            let words = beginning.chain(words(name, setting));
            let error = line.clone().try_get_matches_from(words).err()?;
            let text =
                mistake::of_one(name, setting, &error, |other| self.set.contains_key(other))?;
            Some(match &setting.origin {
                Origin::File { path, line } => Mistake::in_file(path, *line, text),
                other => Mistake::new(other, text),
            })
        });
        mistakes.collect()
    }

    /// Where to look for what a message is about: where the first setting was made that it names by its flag or by its value, unless
    /// that is on the command line.
    pub(crate) fn place(&self, message: &str) -> Option<&Origin> {
        let is_named = |name: &str| {
            let flag = format!("--{name}");
            message.match_indices(&flag).any(|(at, _)| {
                let next = message[at + flag.len()..].chars().next();
                !next.is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
            })
        };
        let is_quoted = |value: &OsString| {
            let value = value.to_string_lossy();
            value.contains('/') && message.contains(&*value)
        };
        let named = self.set.iter().find(|(name, setting)| {
            setting.origin != Origin::Flag
                && (is_named(name) || setting.values.iter().any(is_quoted))
        });
        named.map(|(_, setting)| &setting.origin)
    }
}

/// A setting as flags.
fn words(name: &str, setting: &Setting) -> Vec<OsString> {
    let may_be_bare = matches!(setting.kind, Kind::Switch | Kind::OneOrSwitch);
    let word = |value: &OsString| match value.to_str() {
        Some("false") if may_be_bare => None,
        Some("true") if may_be_bare => Some(format!("--{name}").into()),
        _ => {
            let mut word = OsString::from(format!("--{name}="));
            word.push(value);
            Some(word)
        }
    };
    setting.values.iter().filter_map(word).collect()
}

fn file_of_environment() -> Option<PathBuf> {
    let path = env::var_os(FILE_VARIABLE)?;
    (!path.is_empty()).then(|| path.into())
}

/// A command by its path of names.
fn command<'a>(line: &'a Command, path: &[&str]) -> &'a Command {
    path.iter().fold(line, |command, name| {
        command.find_subcommand(name).unwrap_or(command)
    })
}

/// A command whose flags are taken as they come: what each of them needs, and its value, is judged once all is brought together. Flags
/// without a value may be denied here, as in `--memory=false`.
pub(crate) fn lenient(command: Command) -> Command {
    command.mut_args(|arg: Arg| {
        let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
        let arg = arg
            .requires(Resettable::Reset)
            .conflicts_with(Resettable::Reset);
        if is_switch {
            arg.action(ArgAction::Set)
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(["true", "false"])
        } else if arg.get_action().takes_values() {
            arg.value_parser(ValueParser::os_string())
        } else {
            arg
        }
    })
}
