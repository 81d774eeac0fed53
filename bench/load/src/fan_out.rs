//! Fan-out: one connection publishes, and every connection, the publisher too, gets each message. In one room or in several.

use std::io;
use std::mem::take;
use std::net::{Ipv4Addr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;

use crate::dialect::{Dialect, Sends};
use crate::frames::{Frames, Position, TEXT, encode};
use crate::meter::{Meter, Window};
use crate::poll::{BUFFER, Poll, read, write};
use crate::replies::{Expected, Replies};
use crate::report::Report;
use crate::{Server, upgrade};

/// For a server to make a subscriber of whom it has just let in.
const SETTLE: Duration = Duration::from_millis(300);

/// Rooms made from one address: below what the hub allows. Every address in 127.0.0.0/8 is this machine.
const ROOMS_PER_ADDRESS: usize = 900;

/// What stands around a text in the hub's plain mode.
const PLAIN_HEAD: &str = r#"{"email":"ana@example.com","username":"Ana","message":""#;
const PLAIN_TAIL: &str = r#""}"#;

#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    measured: Window,
    /// Connections besides the publisher, in each room
    #[arg(long, default_value_t = 1000)]
    subscribers: usize,
    /// Rooms in which messages are sent: `?room=` is added to the path; without it there is one, and the server does not know of rooms
    #[arg(long)]
    rooms: Option<usize>,
    /// Rooms besides, into which somebody has looked: they exist, and are empty
    #[arg(long, default_value_t = 0)]
    idle_rooms: usize,
    /// Messages that not all in the room have yet
    #[arg(long, default_value_t = 1)]
    window: usize,
    /// Bytes per message
    #[arg(long, default_value_t = 128)]
    size: usize,
    /// Messages are those of the hub's plain mode
    #[arg(long)]
    json: bool,
    /// All speak this, say what they would say in the hub's plain mode, and the publisher waits for acknowledgements too
    #[arg(long, conflicts_with_all = ["json", "rooms", "idle_rooms"])]
    speak: Option<Dialect>,
}

impl Load {
    pub(crate) fn run(&self) -> io::Result<Report> {
        let rooms = self.open()?;
        sleep(SETTLE);
        Run {
            expected: self.expected(),
            rooms,
            meter: Meter::new(self.server.pid, &self.measured),
        }
        .drive()
    }

    fn expected(&self) -> Expected {
        if let Some(dialect) = self.speak {
            return Expected::Said(dialect);
        }
        let payload = self.payload();
        Expected::Messages {
            first: TEXT,
            length: Some(payload.len() as u64),
            check: Box::new(move |reply| reply == payload),
        }
    }

    fn open(&self) -> io::Result<Vec<Room>> {
        for number in 0..self.idle_rooms {
            let server = self.room(&format!("idle-{number}"));
            let host = 2 + u8::try_from(number / ROOMS_PER_ADDRESS).map_err(io::Error::other)?;
            upgrade::open_from(Ipv4Addr::new(127, 0, 0, host), &server)?;
        }
        match self.rooms {
            None => Ok(vec![Room::open(&self.server, self)?]),
            Some(rooms) => (0..rooms)
                .map(|number| Room::open(&self.room(&format!("busy-{number}")), self))
                .collect(),
        }
    }

    fn room(&self, name: &str) -> Server {
        Server {
            path: format!("{}?room={name}", self.server.path),
            ..self.server.clone()
        }
    }

    fn payload(&self) -> Vec<u8> {
        let text = self.text();
        if self.json {
            format!("{PLAIN_HEAD}{text}{PLAIN_TAIL}").into_bytes()
        } else {
            text.into_bytes()
        }
    }

    /// What is said.
    fn text(&self) -> String {
        let around = if self.json || self.speak.is_some() {
            PLAIN_HEAD.len() + PLAIN_TAIL.len()
        } else {
            0
        };
        let text = self.size.saturating_sub(around);
        ('a'..='z').cycle().take(text).collect()
    }

    fn outgoing(&self) -> Outgoing {
        if let Some(dialect) = self.speak {
            return Outgoing::Each(Sends::new(dialect, self.text()));
        }
        let frames = Frames::new(&[encode(TEXT, &self.payload())], self.window);
        Outgoing::Same(frames, Position::default())
    }
}

/// What a publisher sends.
enum Outgoing {
    Same(Frames, Position),
    Each(Sends),
}

impl Outgoing {
    /// What is to be written now, after `count` more messages became due.
    fn due(&mut self, count: usize) -> &[u8] {
        match self {
            Self::Same(frames, position) => frames.due(position, count),
            Self::Each(sends) => sends.due(count),
        }
    }

    fn written(&mut self, bytes: usize) {
        match self {
            Self::Same(frames, position) => frames.written(position, bytes),
            Self::Each(sends) => sends.written(bytes),
        }
    }
}

struct Subscriber {
    stream: TcpStream,
    replies: Replies,
    /// The number of the next message.
    next: usize,
}

impl Subscriber {
    fn open(server: &Server, speak: Option<Dialect>) -> io::Result<Self> {
        let stream = if let Some(dialect) = speak {
            dialect.join(server, 0)?
        } else {
            let (stream, behind) = upgrade::open(server, None)?;
            if !behind.is_empty() {
                return Err(io::Error::other("a message came before any was sent"));
            }
            stream
        };
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            replies: Replies::new(),
            next: 0,
        })
    }
}

struct Room {
    /// The last one publishes.
    subscribers: Vec<Subscriber>,
    outgoing: Outgoing,
    /// How many messages were begun; the newest of them are those in the window.
    begun: usize,
    /// How many were acknowledged, if they are.
    acknowledged: Option<usize>,
    /// By a message's number, modulo the window: how many do not have it yet, and since when.
    missing: Vec<usize>,
    published: Vec<Instant>,
}

struct Run {
    expected: Expected,
    rooms: Vec<Room>,
    meter: Meter,
}

impl Run {
    fn drive(mut self) -> io::Result<Report> {
        let mut poll = Poll::new()?;
        let members = self.rooms[0].subscribers.len();
        let connections = self.rooms.iter().flat_map(|room| &room.subscribers);
        for (index, subscriber) in connections.enumerate() {
            poll.add(&subscriber.stream, index)?;
        }
        let mut buffer = vec![0; BUFFER];
        for room in &mut self.rooms {
            room.publish(room.missing.len(), Instant::now())?;
        }
        while let Some(wait) = self.meter.turn(Instant::now())? {
            poll.wait(wait)?;
            for (index, readable) in poll.events() {
                let (room, index) = (&mut self.rooms[index / members], index % members);
                if readable {
                    let complete =
                        room.receive(index, &mut buffer, &self.expected, &mut self.meter)?;
                    if complete > 0 {
                        room.publish(complete, Instant::now())?;
                    }
                } else if index + 1 == members {
                    room.publish(0, Instant::now())?;
                }
            }
        }
        self.meter.report()
    }
}

impl Room {
    fn open(server: &Server, load: &Load) -> io::Result<Self> {
        Ok(Self {
            subscribers: (0..=load.subscribers)
                .map(|_| Subscriber::open(server, load.speak))
                .collect::<io::Result<_>>()?,
            outgoing: load.outgoing(),
            begun: 0,
            acknowledged: load.speak.map(|_| 0),
            missing: vec![0; load.window],
            published: vec![Instant::now(); load.window],
        })
    }

    /// Sends `count` more messages, and what an earlier write left.
    fn publish(&mut self, count: usize, now: Instant) -> io::Result<()> {
        let window = self.missing.len();
        let each = self.subscribers.len() + usize::from(self.acknowledged.is_some());
        for number in self.begun..self.begun + count {
            self.missing[number % window] = each;
            self.published[number % window] = now;
        }
        self.begun += count;
        let due = self.outgoing.due(count);
        if let (false, Some(publisher)) = (due.is_empty(), self.subscribers.last()) {
            let written = write(&publisher.stream, due)?;
            self.outgoing.written(written);
        }
        Ok(())
    }

    /// Reads all that is there for one subscriber: how many messages nobody misses any more.
    fn receive(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        expected: &Expected,
        meter: &mut Meter,
    ) -> io::Result<usize> {
        let mut complete = 0;
        loop {
            let subscriber = &mut self.subscribers[index];
            let count = read(&subscriber.stream, buffer)?;
            let came = subscriber.replies.take(&buffer[..count], expected)?;
            let acknowledged = take(&mut subscriber.replies.acknowledged);
            meter.count(came, count);
            for _ in 0..came {
                let number = self.subscribers[index].next;
                self.subscribers[index].next += 1;
                complete += self.arrived(number, meter)?;
            }
            for _ in 0..acknowledged {
                let number = self.acknowledged.unwrap_or(self.begun);
                self.acknowledged = Some(number + 1);
                complete += self.arrived(number, meter)?;
            }
            if count < buffer.len() {
                return Ok(complete);
            }
        }
    }

    /// A message is where it was missing: 1 if that was the last place.
    fn arrived(&mut self, number: usize, meter: &mut Meter) -> io::Result<usize> {
        if number == self.begun {
            return Err(io::Error::other("a message came that was not sent"));
        }
        let slot = number % self.missing.len();
        self.missing[slot] -= 1;
        if self.missing[slot] > 0 {
            return Ok(0);
        }
        meter.latency.add(self.published[slot].elapsed(), 1);
        Ok(1)
    }
}
