//! `fdx config doc`, which is also `docs/configuration.md`.

use std::fmt::Write as _;

use clap::{Arg, Command, builder::PossibleValue};

use crate::{
    args,
    commands::serve,
    output,
    settings::{Key, Kind, keys},
};

const INTRODUCTION: &str = "\
# Configuration

`fdx config doc` writes this page; a test compares the two.

Everything that `fdx serve` can be told has one name, and three ways to be said:

- a flag: `--limits.connections 5000`;
- a variable: `FDX_LIMITS_CONNECTIONS=5000`, which is the name in capitals, with `_` for hyphens and dots, after `FDX_`. A list has commas between its items; an empty
  variable says nothing;
- a key of the TOML file that `--config FILE` or `FDX_CONFIG` names: `limits.connections = 5000`, or `connections = 5000` in the section `[limits]`. A flag that needs no value is
  `true` or `false` there.

A flag overrides the variable, the variable the file, and that the default. A list is overridden as a whole. Nothing is read from a file that was not named, and relative paths begin where `fdx` was
started.

`fdx config check FILE` says what is wrong with a file, by line, and what to do (exit code 2; 3 if it can't be read); `fdx config dump`, with the same flags as `fdx serve`,
shows what is in force and where each value comes from.

SECONDS is a number of seconds, perhaps with decimals, or a number with its unit: `500ms`, `10s`, `5m`, `1h`, `7d`. SIZE is a number of bytes, or `64KiB`, `1MiB`, `1GiB`.
RATE is how many each second, a slash, and how many at once, or `none`.
";

/// Prints it.
pub(super) fn run() {
    let line = args::line();
    let command = line.find_subcommand(serve::NAME).unwrap_or(&line);
    output::line(page(command).trim_end());
}

fn page(command: &Command) -> String {
    let settings: Vec<_> = keys(command)
        .into_iter()
        .filter_map(|key| {
            let arg = |arg: &&Arg| arg.get_long() == Some(&key.name);
            let arg = command.get_arguments().find(arg)?;
            Some((arg.get_help_heading().unwrap_or("What is served"), arg, key))
        })
        .collect();
    let mut headings: Vec<&str> = Vec::new();
    for (heading, ..) in &settings {
        if !headings.contains(heading) {
            headings.push(heading);
        }
    }
    let mut page = INTRODUCTION.to_owned();
    for heading in headings {
        let rows = settings.iter().filter(|(of, ..)| *of == heading);
        let rows: String = rows.map(|(_, arg, key)| row(arg, key)).collect();
        // A string takes what is written into it.
        write!(
            page,
            "\n## {heading}\n\n| name | type | default | what it is for |\n| --- | --- | --- | --- |\n{rows}"
        )
        .ok();
    }
    page
}

fn row(arg: &Arg, key: &Key) -> String {
    let default: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| format!("`{}`", value.to_string_lossy()))
        .collect();
    let default = match (key.kind, &default[..]) {
        (Kind::Switch, _) => "`false`".to_owned(),
        (_, []) => String::new(),
        (_, default) => default.join(", "),
    };
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let cells = [format!("`{}`", key.name), kind(arg, key), default, help];
    let cells = cells.map(|cell| cell.replace('|', "\\|"));
    format!("| {} |\n", cells.join(" | "))
}

fn kind(arg: &Arg, key: &Key) -> String {
    if key.kind == Kind::Switch {
        return "true or false".to_owned();
    }
    let possible = arg.get_possible_values();
    let names: Vec<_> = possible.iter().map(PossibleValue::get_name).collect();
    let value = match &names[..] {
        [] => arg.get_value_names().unwrap_or_default().join(" "),
        names => names.join(" or "),
    };
    match key.kind {
        Kind::List => format!("list of {value}"),
        Kind::OneOrSwitch => format!("{value}, or true"),
        Kind::One | Kind::Switch => value,
    }
}
