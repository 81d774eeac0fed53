//! A client and a server that talk to each other, in virtual time.

use std::time::{Duration, Instant};

use fullduplex_proto::{Config, Event, Message, Role, Step};

use crate::{
    endpoint::{Endpoint, messages},
    wire::{self, Frame},
};

/// One end of a [`Pair`], with all that it has said and heard.
#[derive(Debug)]
pub struct Side {
    /// The core and its clock.
    pub endpoint: Endpoint,
    /// What the application of this side was told, in order.
    pub events: Vec<Event>,
    /// Every byte that this side has put onto the transport.
    pub sent: Vec<u8>,
    /// The transport takes nothing from this side.
    pub stalled: bool,
    /// How much of the other side's `sent` has arrived here.
    arrived: usize,
    /// This side's direction of the transport has been ended.
    ended: bool,
    /// This side has been told of the end of the other direction.
    eof_told: bool,
}

impl Side {
    fn new(now: Instant, role: Role, config: Config) -> Self {
        Self {
            endpoint: Endpoint::at(now, role, config),
            events: Vec::new(),
            sent: Vec::new(),
            stalled: false,
            arrived: 0,
            ended: false,
            eof_told: false,
        }
    }

    /// The messages that this side's application was given.
    pub fn messages(&self) -> Vec<Message> {
        messages(&self.events)
    }

    /// The frames that this side has sent, without their masking keys.
    pub fn frames(&self) -> Vec<Frame> {
        let frames = wire::frames(&self.sent);
        frames.into_iter().map(Frame::without_key).collect()
    }

    fn write(&mut self) -> bool {
        if self.stalled || self.ended {
            return false;
        }
        let bytes = self.endpoint.write(usize::MAX);
        self.sent.extend(&bytes);
        !bytes.is_empty()
    }

    /// What a driver does when nothing is left to write.
    fn step(&mut self) -> bool {
        let connection = &mut self.endpoint.connection;
        match connection.step() {
            Step::Shutdown if !connection.wants_write() => connection.shutdown_done(),
            Step::Drop => {}
            Step::Run | Step::Shutdown => return false,
        }
        !std::mem::replace(&mut self.ended, true)
    }

    fn read(&mut self, from: &Self, chunk: usize) -> bool {
        let connection = &mut self.endpoint.connection;
        if connection.step() == Step::Drop {
            return false;
        }
        let new = from.sent.get(self.arrived..).unwrap_or_default();
        let new = new.get(..chunk.min(new.len())).unwrap_or_default();
        if new.is_empty() {
            if !from.ended || self.eof_told {
                return false;
            }
            self.eof_told = true;
            connection.handle_eof(self.endpoint.now);
            return true;
        }
        self.arrived += new.len();
        self.events.extend(self.endpoint.receive_bytes(new));
        true
    }
}

/// A client and a server with a transport between them that loses nothing and takes no time.
///
/// ```
/// use std::time::Duration;
/// use fullduplex_proto::{Cause, Deadline};
/// use fullduplex_testkit::Pair;
///
/// let mut pair = Pair::default().chunked(1);
/// pair.client.endpoint.send("byte by byte");
/// pair.exchange();
/// assert_eq!(pair.server.messages(), ["byte by byte".into()]);
///
/// // The transport takes nothing any more: the client notices when it wants to ping.
/// pair.client.stalled = true;
/// pair.advance(Duration::from_secs(60));
/// let outcome = pair.client.endpoint.outcome();
/// assert_eq!(outcome.cause, Cause::Timeout(Deadline::Write));
/// ```
#[derive(Debug)]
pub struct Pair {
    /// The client's side.
    pub client: Side,
    /// The server's side.
    pub server: Side,
    chunk: usize,
}

impl Default for Pair {
    fn default() -> Self {
        Self::new(Config::default(), Config::default())
    }
}

impl Pair {
    /// Two ends whose handshake has just succeeded.
    pub fn new(client: Config, server: Config) -> Self {
        let now = Instant::now();
        Self {
            client: Side::new(now, Role::Client, client),
            server: Side::new(now, Role::Server, server),
            chunk: usize::MAX,
        }
    }

    /// Lets bytes arrive in pieces of at most `chunk`.
    ///
    /// # Panics
    ///
    /// If `chunk` is zero.
    #[must_use]
    pub fn chunked(mut self, chunk: usize) -> Self {
        assert!(chunk > 0, "nothing would ever arrive");
        self.chunk = chunk;
        self
    }

    /// The side with this role.
    pub fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// Moves bytes and ends of the transport until nothing moves any more.
    pub fn exchange(&mut self) {
        while self.client.write()
            | self.server.write()
            | self.client.step()
            | self.server.step()
            | self.server.read(&self.client, self.chunk)
            | self.client.read(&self.server, self.chunk)
        {}
    }

    /// Lets this much time pass, acting on every deadline on the way at its moment.
    pub fn advance(&mut self, time: Duration) {
        let end = self.client.endpoint.now + time;
        self.exchange();
        while let Some(at) = self.next_deadline().filter(|at| *at <= end) {
            self.set_time(at);
            for side in [&mut self.client, &mut self.server] {
                side.endpoint.connection.handle_timeout(at);
            }
            self.exchange();
        }
        self.set_time(end);
    }

    fn next_deadline(&self) -> Option<Instant> {
        [&self.client, &self.server]
            .into_iter()
            .filter_map(|side| side.endpoint.connection.poll_timeout())
            .min()
    }

    fn set_time(&mut self, now: Instant) {
        self.client.endpoint.now = now;
        self.server.endpoint.now = now;
    }
}
