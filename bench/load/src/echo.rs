//! Echo: as many messages on their way as allowed, on every connection, all the time.

use std::collections::VecDeque;
use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use clap::Args;

use crate::frames::{BINARY, Frames, Position, RSV1, TEXT, encode};
use crate::meter::{Meter, Window};
use crate::poll::{BUFFER, Poll, read, write};
use crate::replies::{Expected, Replies};
use crate::report::Report;
use crate::{Server, documents, upgrade};

#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    window: Window,
    /// Connections that send
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Connections that are only open
    #[arg(long, default_value_t = 0)]
    beside: usize,
    /// Messages without a reply, per connection
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    /// Bytes per message
    #[arg(long, default_value_t = 32)]
    size: usize,
    /// No WebSocket: bytes come back as they went
    #[arg(long)]
    raw: bool,
    /// Text messages
    #[arg(long)]
    text: bool,
    /// Never sleep: for the shortest latency
    #[arg(long)]
    spin: bool,
}

impl Load {
    pub(crate) fn echo(&self) -> io::Result<Report> {
        let payload: Vec<u8> = (b'a'..=b'z').cycle().take(self.size).collect();
        let first = if self.text { TEXT } else { BINARY };
        let frame = encode(first, &payload);
        let expected = if self.raw {
            Expected::Raw(frame.clone())
        } else {
            Expected::Messages {
                first,
                length: Some(self.size as u64),
                check: Box::new(move |reply| reply == payload),
            }
        };
        let frames = Frames::new(&[frame], self.in_flight);
        self.run(&Script {
            frames,
            expected,
            extension: None,
        })
    }

    pub(crate) fn deflate(&self) -> io::Result<Report> {
        let first = TEXT | RSV1;
        let frames = documents::all()
            .map(|document| Ok(encode(first, &documents::compress(document)?)))
            .collect::<io::Result<Vec<_>>>()?;
        let expected = Expected::Messages {
            first,
            length: None,
            check: Box::new(|reply| {
                documents::all()
                    .next()
                    .is_some_and(|document| documents::is(reply, document))
            }),
        };
        let frames = Frames::new(&frames, self.in_flight);
        self.run(&Script {
            frames,
            expected,
            extension: Some(documents::OFFER),
        })
    }

    fn run(&self, script: &Script) -> io::Result<Report> {
        let idle = self.open(self.beside, script)?;
        let mut connections = self.open(self.connections, script)?;
        let report = self.drive(&mut connections, script);
        drop(idle);
        report
    }

    fn open(&self, count: usize, script: &Script) -> io::Result<Vec<Connection>> {
        (0..count)
            .map(|_| {
                let (stream, behind) = if self.raw {
                    (upgrade::connect(&self.server)?, Vec::new())
                } else {
                    upgrade::open(&self.server, script.extension)?
                };
                stream.set_nonblocking(true)?;
                let mut connection = Connection::new(stream);
                connection.replies.take(&behind, &script.expected)?;
                Ok(connection)
            })
            .collect()
    }

    fn drive(&self, connections: &mut [Connection], script: &Script) -> io::Result<Report> {
        let mut poll = Poll::new()?;
        let mut buffer = vec![0; BUFFER];
        let mut meter = Meter::new(self.server.pid, &self.window);
        // How many may still be sent.
        let mut budget = self.window.messages.unwrap_or(u64::MAX);
        let mut now = Instant::now();
        for (index, connection) in connections.iter_mut().enumerate() {
            poll.add(&connection.stream, index)?;
            connection.ask(granted(self.in_flight as u64, &mut budget), script, now)?;
        }
        while let Some(left) = meter.turn(now)? {
            let wait = if self.spin { Duration::ZERO } else { left };
            poll.wait(wait)?;
            for (index, readable) in poll.events() {
                let connection = &mut connections[index];
                let mut done = 0;
                if readable {
                    done = connection.receive(&mut buffer, script, &mut meter)?;
                }
                now = Instant::now();
                connection.done(done, now, &mut meter);
                connection.ask(granted(done, &mut budget), script, now)?;
            }
            now = Instant::now();
        }
        meter.report()
    }
}

fn granted(wanted: u64, budget: &mut u64) -> u64 {
    let granted = wanted.min(*budget);
    *budget -= granted;
    granted
}

/// What goes out and what has to come back.
struct Script {
    frames: Frames,
    expected: Expected,
    /// What is offered in the handshake.
    extension: Option<&'static str>,
}

struct Connection {
    stream: TcpStream,
    position: Position,
    replies: Replies,
    /// When messages were sent together, and how many.
    sent: VecDeque<(Instant, u64)>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            position: Position::default(),
            replies: Replies::new(),
            sent: VecDeque::new(),
        }
    }

    /// Sends `count` more messages, and what an earlier write left.
    fn ask(&mut self, count: u64, script: &Script, now: Instant) -> io::Result<()> {
        if count > 0 {
            self.sent.push_back((now, count));
        }
        #[expect(clippy::cast_possible_truncation, reason = "at most what is in flight")]
        let due = script.frames.due(&mut self.position, count as usize);
        if due.is_empty() {
            return Ok(());
        }
        let written = write(&self.stream, due)?;
        script.frames.written(&mut self.position, written);
        Ok(())
    }

    /// Reads all that is there: the number of messages that it completes.
    fn receive(
        &mut self,
        buffer: &mut [u8],
        script: &Script,
        meter: &mut Meter,
    ) -> io::Result<u64> {
        let mut messages = 0;
        loop {
            let count = read(&self.stream, buffer)?;
            let came = self.replies.take(&buffer[..count], &script.expected)?;
            meter.count(came, count);
            messages += came;
            if count < buffer.len() {
                return Ok(messages);
            }
        }
    }

    /// The oldest `count` messages have come back.
    fn done(&mut self, mut count: u64, now: Instant, meter: &mut Meter) {
        while count > 0 {
            let Some((at, waiting)) = self.sent.front_mut() else {
                return;
            };
            let done = count.min(*waiting);
            meter.latency.add(now - *at, done);
            *waiting -= done;
            count -= done;
            if *waiting == 0 {
                self.sent.pop_front();
            }
        }
    }
}
