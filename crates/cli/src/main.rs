//! `fdx`: chat rooms, live data, logs in the browser, and tools to talk to any WebSocket server.

mod args;
mod commands;
mod exit;
mod listen;
mod output;
mod signal;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

fn main() -> ExitCode {
    let args = Args::parse();
    output::init_logs(args.verbose);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::Failure::run(format!("cannot start: {error}")).report(),
    };
    let result = runtime.block_on(async {
        match args.command {
            Command::Echo(echo) => commands::echo::run(echo).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
