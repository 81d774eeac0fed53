//! Fan-out: one connection publishes, and every connection, the publisher too, gets each message.

use std::io;
use std::net::TcpStream;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;

use crate::frames::{Frames, Position, TEXT, encode};
use crate::meter::{Meter, Window};
use crate::poll::{BUFFER, Poll, read, write};
use crate::replies::{Expected, Replies};
use crate::report::Report;
use crate::{Server, upgrade};

/// For a server to make a subscriber of whom it has just let in.
const SETTLE: Duration = Duration::from_millis(300);

#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    measured: Window,
    /// Connections besides the publisher
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Messages that not all have yet
    #[arg(long, default_value_t = 1)]
    window: usize,
    /// Bytes per message
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Messages are those of the hub's plain mode
    #[arg(long)]
    json: bool,
}

impl Load {
    pub(crate) fn run(&self) -> io::Result<Report> {
        let payload = self.payload();
        let frames = Frames::new(&[encode(TEXT, &payload)], self.window);
        let expected = Expected::Messages {
            first: TEXT,
            length: Some(payload.len() as u64),
            check: Box::new(move |reply| reply == payload),
        };
        let subscribers = (0..=self.subscribers)
            .map(|_| Subscriber::open(&self.server))
            .collect::<io::Result<Vec<_>>>()?;
        sleep(SETTLE);
        Run {
            missing: vec![0; self.window],
            published: vec![Instant::now(); self.window],
            begun: 0,
            position: Position::default(),
            frames,
            expected,
            subscribers,
            meter: Meter::new(self.server.pid, &self.measured),
        }
        .drive()
    }

    fn payload(&self) -> Vec<u8> {
        let (head, tail) = if self.json {
            (
                r#"{"email":"ana@example.com","username":"Ana","message":""#,
                r#""}"#,
            )
        } else {
            ("", "")
        };
        let text = self.size.saturating_sub(head.len() + tail.len());
        let text = (b'a'..=b'z').cycle().take(text);
        head.bytes().chain(text).chain(tail.bytes()).collect()
    }
}

struct Subscriber {
    stream: TcpStream,
    replies: Replies,
    /// The number of the next message.
    next: usize,
}

impl Subscriber {
    fn open(server: &Server) -> io::Result<Self> {
        let (stream, behind) = upgrade::open(server, None)?;
        stream.set_nonblocking(true)?;
        if !behind.is_empty() {
            return Err(io::Error::other("a message came before any was sent"));
        }
        Ok(Self {
            stream,
            replies: Replies::new(),
            next: 0,
        })
    }
}

struct Run {
    frames: Frames,
    expected: Expected,
    /// The last one publishes.
    subscribers: Vec<Subscriber>,
    position: Position,
    /// How many messages were begun; the newest of them are those in the window.
    begun: usize,
    /// By a message's number, modulo the window: how many do not have it yet, and since when.
    missing: Vec<usize>,
    published: Vec<Instant>,
    meter: Meter,
}

impl Run {
    fn drive(mut self) -> io::Result<Report> {
        let mut poll = Poll::new()?;
        for (index, subscriber) in self.subscribers.iter().enumerate() {
            poll.add(&subscriber.stream, index)?;
        }
        let mut buffer = vec![0; BUFFER];
        self.publish(self.missing.len(), Instant::now())?;
        while let Some(wait) = self.meter.turn(Instant::now())? {
            poll.wait(wait)?;
            for (index, readable) in poll.events() {
                if readable {
                    let complete = self.receive(index, &mut buffer)?;
                    if complete > 0 {
                        self.publish(complete, Instant::now())?;
                    }
                } else if index + 1 == self.subscribers.len() {
                    self.publish(0, Instant::now())?;
                }
            }
        }
        self.meter.report()
    }

    /// Sends `count` more messages, and what an earlier write left.
    fn publish(&mut self, count: usize, now: Instant) -> io::Result<()> {
        let window = self.missing.len();
        for number in self.begun..self.begun + count {
            self.missing[number % window] = self.subscribers.len();
            self.published[number % window] = now;
        }
        self.begun += count;
        let due = self.frames.due(&mut self.position, count);
        if let (false, Some(publisher)) = (due.is_empty(), self.subscribers.last()) {
            let written = write(&publisher.stream, due)?;
            self.frames.written(&mut self.position, written);
        }
        Ok(())
    }

    /// Reads all that is there for one subscriber: how many messages nobody misses any more.
    fn receive(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let subscriber = &mut self.subscribers[index];
        let mut complete = 0;
        loop {
            let count = read(&subscriber.stream, buffer)?;
            let came = subscriber.replies.take(&buffer[..count], &self.expected)?;
            self.meter.count(came, count);
            for _ in 0..came {
                if subscriber.next == self.begun {
                    return Err(io::Error::other("a message came that was not sent"));
                }
                let slot = subscriber.next % self.missing.len();
                subscriber.next += 1;
                self.missing[slot] -= 1;
                if self.missing[slot] == 0 {
                    self.meter.latency.add(self.published[slot].elapsed(), 1);
                    complete += 1;
                }
            }
            if count < buffer.len() {
                return Ok(complete);
            }
        }
    }
}
