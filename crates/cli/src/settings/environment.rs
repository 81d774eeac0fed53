//! Settings by variables of the environment.

use std::ffi::{OsStr, OsString};

use super::{FILE_VARIABLE, Key, Kind, Mistake, Origin, Settings, key};

/// How the variables begin.
const PREFIX: &str = "FDX_";

/// The variable for a key.
pub(crate) fn variable(key: &str) -> String {
    let upper = key.to_ascii_uppercase();
    format!("{PREFIX}{}", upper.replace(['-', '.'], "_"))
}

/// Takes over what variables say. An empty one says nothing.
pub(super) fn read(
    variables: impl Iterator<Item = (OsString, OsString)>,
    keys: &[Key],
    settings: &mut Settings,
    mistakes: &mut Vec<Mistake>,
) {
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        if value.is_empty() || name == FILE_VARIABLE {
            continue;
        }
        let Some(key) = keys.iter().find(|key| key.variable() == name) else {
            settings.slips.extend(unknown(name, keys));
            continue;
        };
        match values(key.kind, &value) {
            Ok(values) => settings.set(key, values, Origin::Variable(name.to_owned())),
            Err(text) => mistakes.push(Mistake::new(name, text)),
        }
    }
}

/// A variable that looks like one of ours, if there is one that was perhaps meant; others may begin so, too.
fn unknown(name: &str, keys: &[Key]) -> Option<Mistake> {
    let meant = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    let meant = key::similar(keys, &meant.replace('_', "-"))?;
    let text = format!("no such setting; did you mean {}?", variable(meant));
    Some(Mistake::new(name, text))
}

fn values(kind: Kind, value: &OsStr) -> Result<Vec<OsString>, String> {
    let text = value.to_str();
    match kind {
        Kind::List => {
            let text = text.ok_or("not UTF-8")?;
            Ok(text.split(',').map(|item| item.trim().into()).collect())
        }
        Kind::Switch => match text {
            Some("true" | "1") => Ok(vec!["true".into()]),
            Some("false" | "0") => Ok(vec!["false".into()]),
            _ => Err("write true or false".to_owned()),
        },
        Kind::One | Kind::OneOrSwitch => Ok(vec![value.to_owned()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Vec<Key> {
        use clap::{Arg, ArgAction, Command};
        let command = Command::new("x").args([
            Arg::new("a").long("tls-cert"),
            Arg::new("b").long("host").action(ArgAction::Append),
            Arg::new("c").long("memory").action(ArgAction::SetTrue),
            Arg::new("d").long("limits.rooms"),
        ]);
        super::super::keys(&command)
    }

    fn told(variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let (mut settings, mut mistakes) = (Settings::default(), Vec::new());
        let variables = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        read(variables, &keys(), &mut settings, &mut mistakes);
        (settings, mistakes.iter().map(Mistake::to_string).collect())
    }

    #[test]
    fn a_variable_is_the_key_in_capitals_and_a_list_has_commas() {
        let (settings, mistakes) = told(&[
            ("FDX_TLS_CERT", "a, b"),
            ("FDX_HOST", "one, two"),
            ("FDX_MEMORY", "0"),
            ("FDX_LIMITS_ROOMS", "7"),
            ("FDX_CONFIG", "x"),
            ("PATH", "/bin"),
            ("FDX_WINDOW_SIZE", "12"),
        ]);
        assert_eq!(mistakes, [""; 0]);
        assert!(settings.slips().is_empty());
        let values = |key| &settings.get(key).unwrap().values[..];
        assert_eq!(values("tls-cert"), ["a, b"]);
        assert_eq!(values("host"), ["one", "two"]);
        assert_eq!(values("memory"), ["false"]);
        assert_eq!(values("limits.rooms"), ["7"]);
    }

    #[test]
    fn an_empty_variable_says_nothing_and_a_slip_is_told() {
        let (settings, mistakes) = told(&[
            ("FDX_HOST", ""),
            ("FDX_TLS_CRET", "x"),
            ("FDX_MEMORY", "yes"),
        ]);
        assert!(settings.get("host").is_none());
        assert_eq!(mistakes, ["FDX_MEMORY: write true or false"]);
        let slips = settings.slips().iter().map(Mistake::to_string);
        let slip = "FDX_TLS_CRET: no such setting; did you mean FDX_TLS_CERT?";
        assert_eq!(slips.collect::<Vec<_>>(), [slip]);
    }
}
