//! Connections that come and go: opened, upgraded, closed with a closing handshake, and the next.

use std::io;
use std::net::TcpStream;
use std::time::Instant;

use clap::Args;

use crate::frames::encode;
use crate::meter::{Meter, Window};
use crate::poll::{Poll, read, write};
use crate::report::Report;
use crate::{Server, upgrade};

const CLOSE: u8 = 8;
const NORMAL: [u8; 2] = 1000_u16.to_be_bytes();

/// Nothing that comes is longer.
const BUFFER: usize = 4096;

#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    window: Window,
    /// Connections at a time
    #[arg(long, default_value_t = 32)]
    at_once: usize,
}

struct Attempt {
    stream: TcpStream,
    begun: Instant,
    received: Vec<u8>,
    open: bool,
}

impl Load {
    pub(crate) fn run(&self) -> io::Result<Report> {
        let request = upgrade::request(&self.server, None);
        let close = encode(CLOSE, &NORMAL);
        let mut poll = Poll::new()?;
        let mut meter = Meter::new(self.server.pid, &self.window);
        let mut attempts = (0..self.at_once)
            .map(|index| Attempt::begin(&self.server, &request, &poll, index))
            .collect::<io::Result<Vec<_>>>()?;
        while let Some(wait) = meter.turn(Instant::now())? {
            poll.wait(wait)?;
            for (index, readable) in poll.events() {
                let attempt = &mut attempts[index];
                if readable && attempt.advance(&close)? {
                    meter.latency.add(attempt.begun.elapsed(), 1);
                    meter.count(1, 0);
                    *attempt = Attempt::begin(&self.server, &request, &poll, index)?;
                }
            }
        }
        meter.report()
    }
}

impl Attempt {
    fn begin(server: &Server, request: &[u8], poll: &Poll, index: usize) -> io::Result<Self> {
        let begun = Instant::now();
        let stream = upgrade::connect(server)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, index)?;
        write_all(&stream, request)?;
        Ok(Self {
            stream,
            begun,
            received: Vec::with_capacity(BUFFER),
            open: false,
        })
    }

    /// Whether it is over, as it should be.
    fn advance(&mut self, close: &[u8]) -> io::Result<bool> {
        let mut buffer = [0; BUFFER];
        let count = read(&self.stream, &mut buffer)?;
        self.received.extend_from_slice(&buffer[..count]);
        if !self.open {
            let Some(length) = upgrade::response(&self.received, None)? else {
                return Ok(false);
            };
            self.received.drain(..length);
            self.open = true;
            write_all(&self.stream, close)?;
        }
        match self.received[..] {
            [] => Ok(false),
            [0x88, ..] => Ok(true),
            _ => Err(io::Error::other("something else than a Close came")),
        }
    }
}

/// The socket is new: it has room.
fn write_all(stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    match write(stream, bytes)? {
        count if count == bytes.len() => Ok(()),
        _ => Err(io::Error::other("a new socket took nothing")),
    }
}
