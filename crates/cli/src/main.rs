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

use std::{io, process::ExitCode};

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
    let run = async {
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
    };
    wait_for(run).unwrap_or_else(|error| Err(Failure::run(format!("cannot start: {error}"))))
}

/// Does not wait for what a thread still waits for by then: a name that nobody resolves, or a disk that hangs.
fn wait_for<T>(work: impl Future<Output = T>) -> io::Result<T> {
    let runtime = tokio::runtime::Runtime::new()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread, time::Duration};

    use super::*;

    #[test]
    fn a_thread_that_hangs_does_not_keep_the_program() {
        let (release, hangs) = mpsc::channel::<()>();
        let (tell, ended) = mpsc::channel();
        thread::spawn(move || {
            wait_for(async { drop(tokio::task::spawn_blocking(move || hangs.recv())) }).unwrap();
            tell.send(()).unwrap();
        });
        assert_eq!(ended.recv_timeout(Duration::from_secs(30)), Ok(()));
        drop(release);
    }
}
