//! The load generator: one thread, one kind of load, one JSON object on standard output.
//!
//! It sends frames that were encoded before with masks that never change, and checks what comes back: length and opcode of
//! every message, the content of each connection's first. A wrong answer ends it with status 1.

mod connect;
mod dialect;
mod documents;
mod echo;
mod fan_out;
mod frames;
mod idle;
mod latency;
mod meter;
mod poll;
mod replies;
mod report;
mod sessions;
mod upgrade;
mod usage;

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Subcommand)]
enum Kind {
    /// Keeps messages on their way on every connection; each comes back
    Echo(echo::Load),
    /// The same with permessage-deflate, without context takeover, and documents of 1 KiB
    Deflate(echo::Load),
    /// One connection sends, all others get each message
    FanOut(fan_out::Load),
    /// Connections are opened and closed
    Connect(connect::Load),
    /// Connections are only open
    Idle(idle::Load),
    /// Sessions are in a room, where nothing happens
    Sessions(sessions::Load),
}

/// Whom to load.
#[derive(Args, Clone)]
struct Server {
    /// Where it listens
    #[arg(long)]
    address: SocketAddr,
    /// Its process, whose CPU time and memory are read
    #[arg(long)]
    pid: u32,
    /// The resource of the opening handshake
    #[arg(long, default_value = "/")]
    path: String,
    /// The subprotocol that is offered
    #[arg(skip)]
    protocol: Option<&'static str>,
}

fn main() -> ExitCode {
    match run(Arguments::parse().kind) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(kind: Kind) -> io::Result<report::Report> {
    match kind {
        Kind::Echo(load) => load.echo(),
        Kind::Deflate(load) => load.deflate(),
        Kind::FanOut(load) => load.run(),
        Kind::Connect(load) => load.run(),
        Kind::Idle(load) => load.run(),
        Kind::Sessions(load) => load.run(),
    }
}
