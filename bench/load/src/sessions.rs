//! What sessions cost in resident memory and CPU time that are in a room, where nothing happens but heartbeats.

use std::io;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use clap::Args;

use crate::Server;
use crate::dialect::Dialect;
use crate::frames::{FIN, TEXT, encode};
use crate::poll::{BUFFER, Poll, read, write};
use crate::replies::header;
use crate::report::Report;
use crate::usage::{Cpu, resident};

/// Opened and closed before anything is measured: buffers that are shared by all, and code, are nobody's.
const WARM: usize = 8;

const CLOSE: u8 = FIN | 8;
const PING: u8 = FIN | 9;
const PONG: u8 = 10;

#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    server: Server,
    /// What they speak
    #[arg(long)]
    speak: Dialect,
    #[arg(long, default_value_t = 10_000)]
    sessions: usize,
    /// Milliseconds between two heartbeats, where a client may choose
    #[arg(long, default_value_t = 20_000)]
    heartbeat: u64,
    /// Seconds for the server to come to rest before each look at its memory
    #[arg(long, default_value_t = 2.0)]
    settle: f64,
    /// Seconds of which the CPU time is taken
    #[arg(long, default_value_t = 60.0)]
    rest: f64,
}

struct Session {
    stream: TcpStream,
    /// A frame that came in part.
    begun: Vec<u8>,
}

impl Load {
    pub(crate) fn run(&self) -> io::Result<Report> {
        let settle = Duration::from_secs_f64(self.settle);
        Sessions::open(self, WARM)?.stay(settle)?;
        let before = self.resident()?;
        let mut sessions = Sessions::open(self, self.sessions)?;
        sessions.stay(settle)?;
        let idle = self.resident()?;
        let begun = Cpu::of(self.server.pid)?;
        sessions.stay(Duration::from_secs_f64(self.rest))?;
        let used = Cpu::of(self.server.pid)? - begun;
        let after = self.resident()?;
        drop(sessions);
        std::thread::sleep(settle);
        let closed = self.resident()?;
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
        let count = self.sessions as f64;
        #[expect(clippy::cast_precision_loss, reason = "bytes are far below 2^53")]
        let each = |bytes: u64| (bytes as f64 - before as f64) / count;
        let a_minute = |used: Duration| used.as_secs_f64() * 1e6 * 60.0 / self.rest / count;
        Ok(Report(vec![
            #[expect(clippy::cast_precision_loss, reason = "bytes are far below 2^53")]
            ("before_bytes", before as f64),
            ("idle_bytes", each(idle)),
            ("after_bytes", each(after)),
            ("closed_bytes", each(closed)),
            ("minute_cpu_us", a_minute(used.total)),
            ("minute_user_us", a_minute(used.user)),
        ]))
    }

    fn resident(&self) -> io::Result<u64> {
        resident(self.server.pid)
    }
}

struct Sessions {
    all: Vec<Session>,
    dialect: Dialect,
    poll: Poll,
    buffer: Vec<u8>,
}

impl Sessions {
    fn open(load: &Load, count: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let open = |index| {
            let stream = load.speak.join(&load.server, load.heartbeat)?;
            stream.set_nonblocking(true)?;
            poll.add(&stream, index)?;
            let begun = Vec::new();
            Ok(Session { stream, begun })
        };
        Ok(Self {
            all: (0..count).map(open).collect::<io::Result<_>>()?,
            dialect: load.speak,
            poll,
            buffer: vec![0; BUFFER],
        })
    }

    /// Does what a client does that has nothing to say.
    fn stay(&mut self, time: Duration) -> io::Result<()> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.poll.wait(left)?;
            for (index, readable) in self.poll.events() {
                if readable {
                    self.all[index].answer(self.dialect, &mut self.buffer)?;
                }
            }
        }
    }
}

impl Session {
    /// Reads what is there, and answers heartbeats and pings.
    fn answer(&mut self, dialect: Dialect, buffer: &mut [u8]) -> io::Result<()> {
        let (beat, answer) = dialect.heartbeat();
        let count = read(&self.stream, buffer)?;
        self.begun.extend_from_slice(&buffer[..count]);
        let mut rest = &self.begun[..];
        let mut answers = Vec::new();
        while let Some((length, declared)) = header(rest)?
            && let Ok(declared) = usize::try_from(declared)
            && let Some(payload) = rest.get(length..length + declared)
        {
            match rest[0] {
                CLOSE => return Err(io::Error::other("a Close came")),
                PING => answers.extend(encode(PONG, payload)),
                _ if payload == beat => answers.extend(encode(TEXT, answer)),
                _ => {}
            }
            rest = &rest[length + declared..];
        }
        self.begun = rest.to_vec();
        if !answers.is_empty() && write(&self.stream, &answers)? < answers.len() {
            return Err(io::Error::other("a socket that is idle takes nothing"));
        }
        Ok(())
    }
}
