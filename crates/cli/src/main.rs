//! `fdx`: chat rooms, live data, logs in the browser, and tools to talk to any WebSocket server.

mod args;
mod bounds;
mod commands;
mod descriptors;
mod exit;
mod listen;
mod output;
mod seconds;
mod service;
mod settings;
mod signal;
mod visible;

use std::process::ExitCode;

use crate::{
    args::{Args, Command},
    commands::{backup, check, config, connect, echo, export, recover, serve, tail, token},
    exit::Failure,
    settings::Settings,
};

fn main() -> ExitCode {
    let args = match Args::from_command_line() {
        Ok(args) => args,
        Err(ended) => return ended,
    };
    output::init_logs(args.log_form(), args.quiet_level(), args.verbose);
    match run(args.command, &args.settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.placed(&args.settings).report(),
    }
}

fn run(command: Command, settings: &Settings) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::run(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(*args).await,
            Command::Tail(args) => tail::run(*args).await,
            Command::Connect(args) => connect::run(args).await,
            Command::Echo(args) => echo::run(args).await,
            Command::Backup(args) => backup::run(args),
            Command::Export(args) => export::run(args),
            Command::Check(args) => check::run(args),
            Command::Recover(args) => recover::run(args),
            Command::Token(args) => token::run(args),
            Command::Config(args) => config::run(args, settings).await,
        }
    })
}
