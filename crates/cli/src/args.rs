//! The command line as data.

use std::{env, ffi::OsString, process::ExitCode};

use clap::{
    CommandFactory as _, Parser, Subcommand,
    error::{ContextKind, ContextValue, ErrorKind},
};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    commands::{
        backup::BackupArgs,
        check::CheckArgs,
        config::ConfigArgs,
        connect::ConnectArgs,
        echo::EchoArgs,
        export::ExportArgs,
        recover::RecoverArgs,
        serve::{self, ServeArgs},
        tail::TailArgs,
        token::TokenArgs,
    },
    exit::{self, Failure},
    output::{self, LogForm},
    settings::{Settings, lenient},
};

/// Chat rooms, live data, logs in the browser, and tools to talk to any WebSocket server
#[derive(Debug, Parser)]
#[command(name = "fdx", version, after_help = after_help(), max_term_width = 100)]
struct CommandLine {
    /// Says more on standard error (twice: everything)
    #[arg(short, long, action = clap::ArgAction::Count, global = true, display_order = LAST)]
    verbose: u8,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What to do. How each is described stands with its flags.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<ServeArgs>),
    Tail(Box<TailArgs>),
    Connect(ConnectArgs),
    Echo(EchoArgs),
    Backup(BackupArgs),
    Export(ExportArgs),
    Check(CheckArgs),
    Recover(RecoverArgs),
    Token(TokenArgs),
    Config(ConfigArgs),
}

/// Behind the flags of the command itself.
const LAST: usize = 900;

/// What the user wants.
#[derive(Debug)]
pub(crate) struct Args {
    pub(crate) verbose: u8,
    pub(crate) command: Command,
    /// What is not by default, and where it comes from, for the commands that have settings.
    pub(crate) settings: Settings,
}

/// The command line that there is.
pub(crate) fn line() -> clap::Command {
    let mut line = CommandLine::command();
    line.build();
    line
}

/// The flags of `serve` by these settings alone.
pub(crate) fn serving(settings: &Settings) -> Result<ServeArgs, Failure> {
    let words = settings.words(["fdx", serve::NAME].map(OsString::from));
    let line = CommandLine::try_parse_from(words).map_err(|error| mistake(&error))?;
    match line.command {
        Some(Command::Serve(args)) => Ok(*args),
        _ => Err(Failure::usage("no settings of fdx serve")),
    }
}

impl Args {
    /// Reads the command line, and what is set elsewhere. If that is all there is to do (help, a mistake), it has been said
    /// and this is the exit code.
    pub(crate) fn from_command_line() -> Result<Self, ExitCode> {
        let mut words: Vec<OsString> = env::args_os().collect();
        let settings = gather(&mut words).map_err(Failure::report)?;
        let line = CommandLine::try_parse_from(&words).map_err(|error| say(&error, &settings))?;
        let command = line
            .command
            .ok_or_else(|| Failure::usage("what to do? See fdx --help").report())?;
        Ok(Self {
            verbose: line.verbose,
            command,
            settings,
        })
    }

    /// How log lines look.
    pub(crate) fn log_form(&self) -> LogForm {
        match &self.command {
            Command::Serve(args) => args.log_form(),
            _ => LogForm::default(),
        }
    }

    /// What is logged when nothing else is asked for: a server tells what happens, a client has its own output.
    pub(crate) fn quiet_level(&self) -> LevelFilter {
        match &self.command {
            Command::Connect(_)
            | Command::Backup(_)
            | Command::Export(_)
            | Command::Check(_)
            | Command::Recover(_)
            | Command::Token(_)
            | Command::Config(_) => LevelFilter::WARN,
            Command::Serve(args) => args.log_level(),
            Command::Tail(_) | Command::Echo(_) => LevelFilter::INFO,
        }
    }
}

fn after_help() -> String {
    format!(
        "\
Examples:
  fdx                                    chat at http://127.0.0.1:8080
  fdx tail /var/log/syslog               the log at http://127.0.0.1:8081
  fdx connect wss://example.com/feed     type, read, Ctrl-D to leave

`fdx COMMAND --help` says more about each.

{}",
        exit::TABLE
    )
}

/// Brings together what a command with settings is told, and makes of it a command line that says all that. Without a command
/// it is the one that serves. A line that can't be read stays as it is.
fn gather(words: &mut Vec<OsString>) -> Result<Settings, Failure> {
    let read = |words: &[OsString]| {
        let lenient_dump = |config: clap::Command| config.mut_subcommand("dump", lenient);
        let line = line()
            .mut_subcommand(serve::NAME, lenient)
            .mut_subcommand("config", lenient_dump);
        line.try_get_matches_from(words)
    };
    let Ok(mut matches) = read(words) else {
        return Ok(Settings::default());
    };
    if matches.subcommand().is_none() {
        // Before the end of the flags, if that is marked.
        let end = words.iter().position(|word| word == "--");
        words.insert(end.unwrap_or(words.len()), serve::NAME.into());
        match read(words) {
            Ok(with_command) => matches = with_command,
            Err(_) => return Ok(Settings::default()),
        }
    }
    let (path, flags): (&[&str], _) = match matches.subcommand() {
        Some((serve::NAME, flags)) => (&[serve::NAME], flags),
        Some(("config", config)) => match config.subcommand() {
            Some(("dump", flags)) => (&["config", "dump"], flags),
            _ => return Ok(Settings::default()),
        },
        _ => return Ok(Settings::default()),
    };
    let settings = Settings::gather(&line(), path, flags)?;
    let program = words.first().cloned().unwrap_or_default();
    let verbose = std::iter::repeat_n("-v", matches.get_count("verbose").into());
    let command = path.iter().copied().chain(verbose).map(OsString::from);
    *words = settings.words([program].into_iter().chain(command));
    Ok(settings)
}

/// Prints help as it is, and a mistake in one line.
fn say(error: &clap::Error, settings: &Settings) -> ExitCode {
    if !error.use_stderr() {
        output::line(error.render().to_string().trim_end());
        return ExitCode::SUCCESS;
    }
    mistake(error).placed(settings).report()
}

fn mistake(error: &clap::Error) -> Failure {
    let hint = misplaced(error).unwrap_or_default();
    Failure::usage(format!("{}{hint} (see --help)", one_line(error)))
}

/// The message without usage and empty lines.
fn one_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let text = rendered.strip_prefix("error: ").unwrap_or(&rendered);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.take_while(|line| {
        !line.starts_with("Usage:") && !line.starts_with("For more information")
    });
    message.fold(String::new(), |mut text, line| {
        if !text.is_empty() {
            let glue = if line.starts_with("tip:") { "; " } else { " " };
            text.push_str(glue);
        }
        text + line
    })
}

/// For a flag that stands alone: the commands that would know it.
fn misplaced(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let name = flag.strip_prefix("--")?;
    let line = CommandLine::command();
    let is_lone = env::args_os().skip(1).all(|word| {
        word.to_str()
            .is_none_or(|word| line.find_subcommand(word).is_none())
    });
    if error.kind() != ErrorKind::UnknownArgument || !is_lone {
        return None;
    }
    let knowing = line.get_subcommands().find(|command| {
        command
            .get_arguments()
            .any(|arg| arg.get_long() == Some(name))
    })?;
    Some(format!(
        "; it belongs to a command: fdx {} {flag} ...",
        knowing.get_name()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
