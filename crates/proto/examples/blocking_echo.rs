//! An echo server on the standard library alone: `cargo run --example blocking_echo [ADDR]`.
#![expect(
    clippy::disallowed_types,
    reason = "the core has no sockets, the driver has"
)]
#![expect(clippy::disallowed_methods, reason = "nor threads and a clock")]
#![expect(
    clippy::print_stdout,
    reason = "says where it listens and how connections end"
)]

use fullduplex_proto::handshake::{Progress, ServerHandshake, ServerOptions};
use fullduplex_proto::{Batch, Config, Connection, Event, Outcome, Role, Step};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};
use std::{env, ops::Range, sync::Arc, thread};

fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    let listener = TcpListener::bind(addr.as_deref().unwrap_or("127.0.0.1:9002"))?;
    println!("listening on ws://{}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept()?;
        thread::spawn(move || println!("{peer}: {:?}", serve(stream)));
    }
}

fn serve(mut stream: TcpStream) -> io::Result<Outcome> {
    let mut buf = vec![0; 16 << 10];
    let early = handshake(&mut stream, &mut buf)?;
    let mut config = Config::default();
    config.limits.hard_queue = usize::MAX; // an echo queues no more than one read completes
    stream.set_write_timeout(Some(config.write_timeout))?;
    let mut ws = Connection::new(Role::Server, Arc::new(config), Instant::now());
    let mut event = ws.handle_input(Instant::now(), &mut buf[early]);
    loop {
        while let Some(happened) = event {
            if let Event::Message(message) = happened {
                let _refused_when_closing = ws.send(Instant::now(), message);
            }
            event = ws.poll_event(Instant::now());
        }
        write(&mut ws, &mut stream);
        if ws.step() == Step::Shutdown {
            stream.shutdown(Shutdown::Write)?;
            ws.shutdown_done();
        }
        if let Some(outcome) = ws.outcome() {
            return Ok(outcome);
        }
        wait_until(&stream, ws.poll_timeout())?;
        match stream.read(&mut buf) {
            Ok(0) => ws.handle_eof(Instant::now()),
            Ok(n) => event = ws.handle_input(Instant::now(), &mut buf[..n]),
            Err(error) => failed(&mut ws, &error),
        }
    }
}

/// Answers the request, and says where in `buf` the first frames are.
fn handshake(stream: &mut TcpStream, buf: &mut [u8]) -> io::Result<Range<usize>> {
    let mut handshake = ServerHandshake::new(ServerOptions::default());
    let deadline = Instant::now().checked_add(Duration::from_secs(10));
    loop {
        wait_until(stream, deadline)?;
        let n = stream.read(buf)?;
        let (answer, result) = match handshake.receive(&buf[..n]) {
            Ok(Progress::NeedMore) if n == 0 => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(Progress::NeedMore) => continue,
            Ok(Progress::Done { value, used }) => (value.accept().to_bytes(), Ok(used..n)),
            Err(refused) => (
                refused.to_bytes(),
                Err(io::Error::other(refused.to_string())),
            ),
        };
        stream.write_all(&answer)?;
        return result;
    }
}

fn write(ws: &mut Connection, stream: &mut TcpStream) {
    let mut batch = Batch::default();
    while ws.poll_transmit(&mut batch, || [0; 4]) {
        let mut slices = [IoSlice::new(&[]); 64];
        let used = batch.slices(&mut slices);
        match stream.write_vectored(&slices[..used]) {
            Ok(n) => ws.transmitted(Instant::now(), &batch, n),
            Err(error) => failed(ws, &error),
        }
    }
}

/// Lets the next read end at a deadline.
fn wait_until(stream: &TcpStream, at: Option<Instant>) -> io::Result<()> {
    let wait = at.map(|at| at.saturating_duration_since(Instant::now()));
    stream.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))
}

/// A read or write that ended at its deadline is no fault of the transport.
fn failed(ws: &mut Connection, error: &io::Error) {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => ws.handle_timeout(Instant::now()),
        ErrorKind::Interrupted => {}
        kind => ws.handle_error(Instant::now(), kind),
    }
}
