//! The command line as data.

use clap::{Parser, Subcommand};

use crate::{commands::echo::EchoArgs, exit};

/// Chat rooms, live data, logs in the browser, and tools to talk to any WebSocket server
#[derive(Debug, Parser)]
#[command(name = "fdx", version, after_help = exit::TABLE, max_term_width = 100)]
pub(crate) struct Args {
    /// Says more on standard error (twice: everything)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sends every message back, with the same type
    Echo(EchoArgs),
}
