//! One connection that is fed bytes, in virtual time.

use std::{
    io::IoSlice,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{BufMut, BytesMut};
use fullduplex_proto::{Batch, Config, Connection, Event, Message, Outcome, Role, State, Step};

use crate::wire::{self, Frame};

/// More parts than any batch has.
const SLICES: usize = 1024;

/// One end of a connection: the core under test, with a clock that only the test moves.
///
/// ```
/// use std::time::Duration;
/// use fullduplex_proto::Event;
/// use fullduplex_testkit::{Endpoint, wire};
///
/// let mut server = Endpoint::server();
/// let events = server.receive(&[wire::ping("1"), wire::text("Hello")]);
/// assert_eq!(events, [Event::Ping("1".into()), Event::Message("Hello".into())]);
/// assert_eq!(server.transmit(), [wire::pong("1")]);
///
/// // Nothing more comes: a ping goes out after twenty seconds.
/// assert_eq!(server.wait_for_deadline(), Some(Duration::from_secs(20)));
/// assert_eq!(server.transmit()[0].opcode, 0x9);
/// ```
#[derive(Debug)]
pub struct Endpoint {
    /// The core itself.
    pub connection: Connection,
    /// The time that it is told.
    pub now: Instant,
    keys: u32,
}

impl Endpoint {
    /// An endpoint whose handshake has just succeeded.
    pub fn new(role: Role, config: Config) -> Self {
        Self::at(Instant::now(), role, config)
    }

    /// The same, at this time.
    pub fn at(now: Instant, role: Role, config: Config) -> Self {
        Self {
            connection: Connection::new(role, Arc::new(config), now),
            now,
            keys: 0,
        }
    }

    /// A server with default settings.
    pub fn server() -> Self {
        Self::new(Role::Server, Config::default())
    }

    /// A client with default settings.
    pub fn client() -> Self {
        Self::new(Role::Client, Config::default())
    }

    /// The role of the other end.
    pub fn peer(&self) -> Role {
        match self.connection.role() {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        }
    }

    /// Takes frames from the peer, masked or not as the peer's role demands, and returns all that they complete.
    pub fn receive<'a>(&mut self, frames: impl IntoIterator<Item = &'a Frame>) -> Vec<Event> {
        let peer = self.peer();
        let bytes: Vec<u8> = frames
            .into_iter()
            .flat_map(|frame| frame.clone().sent_by(peer).bytes())
            .collect();
        self.receive_bytes(&bytes)
    }

    /// Takes bytes of one read and returns all that they complete.
    pub fn receive_bytes(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut input = bytes.to_vec();
        let first = self.connection.handle_input(self.now, &mut input);
        first.into_iter().chain(self.poll_events()).collect()
    }

    /// Takes bytes of one read in a buffer that they fill, and returns all that they complete.
    pub fn receive_buffer(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut buffer = BytesMut::from(bytes);
        let first = self.connection.handle_buffer(self.now, &mut buffer);
        first.into_iter().chain(self.poll_events()).collect()
    }

    /// Takes bytes as a driver does that copies no big payload, and returns all that they complete.
    pub fn receive_direct(&mut self, mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            let Some(mut space) = self.connection.payload_space() else {
                events.extend(self.receive_buffer(bytes));
                break;
            };
            let n = space.remaining_mut().min(bytes.len());
            let (front, rest) = bytes.split_at(n);
            space.put_slice(front);
            events.extend(self.connection.handle_payload(self.now, n));
            bytes = rest;
        }
        events
    }

    /// Everything that bytes already taken complete.
    pub fn poll_events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.connection.poll_event(self.now)).collect()
    }

    /// Queues a message.
    ///
    /// # Panics
    ///
    /// If it is not accepted.
    pub fn send(&mut self, message: impl Into<Message>) {
        let sent = self.connection.send(self.now, message.into());
        assert!(sent.is_ok(), "a message was not accepted: {sent:?}");
    }

    /// One write, of which the transport takes at most `max` bytes: those bytes. Empty if there is nothing to write.
    pub fn write(&mut self, max: usize) -> Vec<u8> {
        let mut batch = Batch::default();
        let mut keys = self.keys;
        let key = || {
            keys = keys.wrapping_add(0x9e37_79b9);
            keys.to_be_bytes()
        };
        self.connection.poll_transmit(&mut batch, key);
        self.keys = keys;
        let mut taken = Vec::with_capacity(batch.len());
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = batch.slices(&mut slices);
        for slice in slices.iter().take(used) {
            taken.extend_from_slice(slice);
        }
        taken.truncate(max);
        self.connection.transmitted(self.now, &batch, taken.len());
        taken
    }

    /// All that is to be written, as bytes.
    pub fn transmit_bytes(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let bytes = self.write(usize::MAX);
            if bytes.is_empty() {
                return all;
            }
            all.extend(bytes);
        }
    }

    /// All that is to be written, as frames without their masking keys.
    ///
    /// # Panics
    ///
    /// If a frame is masked by a server or not masked by a client (RFC 6455 §5.1).
    pub fn transmit(&mut self) -> Vec<Frame> {
        let client = self.connection.role() == Role::Client;
        let frames = wire::frames(&self.transmit_bytes());
        for frame in &frames {
            assert_eq!(frame.mask.is_some(), client, "masking of {frame}");
        }
        frames.into_iter().map(Frame::without_key).collect()
    }

    /// Lets time pass without acting on deadlines.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Lets time pass until the next deadline and acts on it; returns how long it took, `None` if there is none. That a pong
    /// is [late](Event::Late) is no deadline.
    pub fn wait_for_deadline(&mut self) -> Option<Duration> {
        let begun = self.now;
        loop {
            let at = self.connection.poll_timeout()?;
            self.now = self.now.max(at);
            self.connection.handle_timeout(self.now);
            if self.connection.poll_event(self.now) != Some(Event::Late) {
                return Some(self.now - begun);
            }
        }
    }

    /// Ends the transport both ways as a driver would: shuts down when asked to, and the peer's direction ends.
    pub fn finish(&mut self) {
        if self.connection.step() == Step::Shutdown {
            self.connection.shutdown_done();
        }
        self.connection.handle_eof(self.now);
    }

    /// How the connection ended.
    ///
    /// # Panics
    ///
    /// If it has not, or if it wants anything else of its driver than to drop the transport.
    pub fn outcome(&self) -> Outcome {
        assert_eq!(self.connection.state(), State::Closed);
        assert_eq!(self.connection.step(), Step::Drop);
        assert_eq!(self.connection.poll_timeout(), None);
        assert!(!self.connection.wants_write());
        self.connection
            .outcome()
            .unwrap_or_else(|| unreachable!("a closed connection has an outcome"))
    }
}

/// The messages among events.
pub(crate) fn messages(events: &[Event]) -> Vec<Message> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Message(message) => Some(message.clone()),
            _ => None,
        })
        .collect()
}
