//! `fdx config`: what `fdx serve` would be told.

mod check;
mod doc;
mod dump;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::serve::ServeArgs;
use crate::{exit::Failure, settings::Settings};

const HELP: &str = "\
Settings come from the flags of fdx serve, from variables of the environment, and from the file of
--config or FDX_CONFIG; a flag overrides a variable, and that the file.

Examples:
  fdx config check /etc/fullduplex/fdx.toml
  fdx config dump --config fdx.toml --listen :8000
  fdx config doc

Exit codes of check: 0 all is well, 2 something is wrong, 3 the file can't be read.";

/// Checks, shows and explains the settings of fdx serve
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Says what is wrong with a file and the environment: where, what, and what to do
    Check {
        /// The file; without it the one that `FDX_CONFIG` names
        file: Option<PathBuf>,
    },
    /// Shows all settings, and where each comes from, for the same flags as serve
    #[command(after_help = "It is a file as --config takes it.")]
    Dump(Box<ServeArgs>),
    /// Explains every setting: its type, its default, and the reason
    Doc,
}

/// Does it.
pub(crate) async fn run(args: ConfigArgs, settings: &Settings) -> Result<(), Failure> {
    match args.command {
        Command::Check { file } => check::run(file).await,
        Command::Dump(args) => dump::run(*args, settings),
        Command::Doc => {
            doc::run();
            Ok(())
        }
    }
}
