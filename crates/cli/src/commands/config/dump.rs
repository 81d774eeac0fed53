//! `fdx config dump`.

use std::{borrow::Cow, ffi::OsString, fmt::Write as _};

use crate::{
    args,
    commands::serve::{self, ServeArgs},
    exit::Failure,
    output,
    settings::{Key, Kind, Settings, keys},
};

/// Prints all settings with where they come from, once it is clear that they can go together.
pub(super) fn run(args: ServeArgs, settings: &Settings) -> Result<(), Failure> {
    args.plan()?;
    let line = args::line();
    let command = line.find_subcommand(serve::NAME).unwrap_or(&line);
    let mut text = String::new();
    for key in keys(command) {
        let default = || default(command, &key);
        let (values, origin) = match settings.get(&key.name) {
            Some(setting) => (setting.values.clone(), setting.origin.to_string()),
            None => (default(), "default".to_owned()),
        };
        let said = match value(&key, &values) {
            Some(value) => format!("{} = {value}", key.name),
            None => format!("# {} is not set", key.name),
        };
        // A string takes what is written into it.
        writeln!(text, "{said:<48} # {origin}").ok();
    }
    output::line(text.trim_end());
    Ok(())
}

fn default(command: &clap::Command, key: &Key) -> Vec<OsString> {
    let arg = command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(&key.name));
    let values = arg.into_iter().flat_map(clap::Arg::get_default_values);
    values.map(|value| value.as_os_str().to_owned()).collect()
}

/// In TOML. None for what is not there, and has no form there.
fn value(key: &Key, values: &[OsString]) -> Option<String> {
    let mut items = values.iter().map(|value| scalar(&value.to_string_lossy()));
    match (key.kind, values) {
        (Kind::List, _) => Some(format!("[{}]", items.collect::<Vec<_>>().join(", "))),
        (Kind::Switch, []) => Some("false".to_owned()),
        (Kind::Switch, [said, ..]) => Some(said.to_string_lossy().into_owned()),
        (Kind::One | Kind::OneOrSwitch, _) => items.next(),
    }
}

fn scalar(text: &str) -> String {
    if text
        .parse::<i64>()
        .is_ok_and(|number| number.to_string() == text)
    {
        return text.to_owned();
    }
    // The escapes of JSON's strings are also those of TOML's.
    serde_json::to_string(&Cow::from(text)).unwrap_or_default()
}
