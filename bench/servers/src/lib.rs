//! What the servers share: `NAME MODE [PORT]` read, the port announced, the runtime.

pub mod batched;
pub mod handshake;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::exit;

use tokio::net::TcpStream;

/// More than any row opens.
pub const MAX_CONNECTIONS: u32 = 20_000;

/// Connections not yet accepted: where there are more, the kernel drops some, and each of those comes a second later. A raw
/// server's client does not wait for an answer before it opens the next.
pub const BACKLOG: i32 = 4096;

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every message comes back.
    Echo,
    /// The same with messages of 64 KiB and more, for libraries that are better with other buffers then; `Echo` for all others.
    Large,
    /// The same with permessage-deflate: no context takeover, no threshold.
    Deflate,
    /// Every message goes to every open connection, the sender included.
    Broadcast,
}

/// Reads the arguments, listens on loopback, and says where. Ends the process with 2 if the mode is none of `modes`.
#[must_use]
pub fn start(modes: &[Mode]) -> (Mode, TcpListener) {
    start_with(modes, listen)
}

/// The same with a way of one's own to listen.
#[must_use]
pub fn start_with<L>(modes: &[Mode], listen: fn(u16) -> io::Result<(L, SocketAddr)>) -> (Mode, L) {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let mode = match arguments.next().as_deref() {
        Some("large") if modes.contains(&Mode::Large) => Mode::Large,
        Some("echo" | "large") => Mode::Echo,
        Some("deflate") => Mode::Deflate,
        Some("broadcast") => Mode::Broadcast,
        _ => refuse(&format!("{name} echo|large|deflate|broadcast [PORT]")),
    };
    if !modes.contains(&mode) {
        refuse(&format!("{name} has no mode {mode:?}"));
    }
    let port = match arguments.next().map(|port| port.parse()) {
        None => 0,
        Some(Ok(port)) => port,
        Some(Err(error)) => refuse(&format!("{name}: the port: {error}")),
    };
    match listen(port) {
        Ok((listener, address)) => {
            println!("listening on {address}");
            (mode, listener)
        }
        Err(error) => refuse(&format!("{name}: port {port}: {error}")),
    }
}

fn refuse(sentence: &str) -> ! {
    eprintln!("{sentence}");
    exit(2)
}

fn listen(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    rustix::net::listen(&listener, BACKLOG)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// The runtime of every tokio server: one thread.
///
/// # Errors
///
/// Those of the operating system.
pub fn run<F: Future>(future: F) -> io::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(future))
}

/// Accepts for ever; each connection is a task that tokio's budget does not interrupt.
///
/// # Errors
///
/// When accepting fails.
pub fn serve<F, C>(listener: TcpListener, connection: F) -> io::Result<()>
where
    F: Fn(TcpStream) -> C,
    C: Future<Output = ()> + Send + 'static,
{
    run(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(tokio::task::unconstrained(connection(stream)));
        }
    })?
}
