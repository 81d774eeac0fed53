//! One WebSocket connection after its handshake: bytes in, events out, bytes out, deadlines.
//!
//! | family | methods | rule |
//! | --- | --- | --- |
//! | what happened | [`handle_input`](Connection::handle_input), [`handle_payload`](Connection::handle_payload), [`handle_eof`](Connection::handle_eof), [`handle_error`](Connection::handle_error), [`handle_timeout`](Connection::handle_timeout), [`transmitted`](Connection::transmitted) | never fail, whatever the peer did |
//! | what the application wants | [`send`](Connection::send), [`ping`](Connection::ping), [`close`](Connection::close) | give back what they refuse |
//! | what must be done | [`poll_event`](Connection::poll_event), [`poll_transmit`](Connection::poll_transmit), [`poll_timeout`](Connection::poll_timeout), [`step`](Connection::step) | asked after any of the above |
//! | what is | [`state`](Connection::state), [`outcome`](Connection::outcome), [`queued`](Connection::queued), … | cheap |
//!
//! A driver reads into a buffer of its own, hands over what was read, takes one event at a time until there is none, writes
//! what `poll_transmit` frames, and only then reads again. So nothing queues up: a slow application stops the
//! reading, and TCP stops the peer.

mod assembly;
mod batch;
mod closing;
mod elapsed;
mod error;
mod event;
mod framed;
mod handle;
mod outcome;
mod outgoing;
mod poll;
mod receive;
mod send;
mod timer;
mod transmit;
mod usual;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::outgoing::QUEUE_COST;
pub use self::{
    batch::Batch,
    error::{PingError, SendError, SendErrorKind},
    event::{Event, Step},
    framed::Room,
    outcome::{Cause, Deadline, Initiator, Outcome},
    outgoing::Outgoing,
};
use self::{closing::Closing, receive::Receive, timer::Timers, transmit::Transmit};
use crate::{
    config::Config,
    deflate::{DeflateParams, Deflater, Inflater},
    role::Role,
};

/// Where a connection stands. CONNECTING is the handshake's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// The end has begun: nothing more can be sent.
    Closing,
    /// The transport can be dropped.
    Closed,
}

/// The state of one connection, without I/O, clock or randomness.
pub struct Connection {
    role: Role,
    config: Arc<Config>,
    receive: Receive,
    transmit: Transmit,
    timers: Timers,
    probes: u32,
    /// That the peer's sign of life is late is to be told.
    late: bool,
    closing: Option<Box<Closing>>,
}

impl Connection {
    /// A connection whose opening handshake has just succeeded.
    pub fn new(role: Role, config: Arc<Config>, now: Instant) -> Self {
        Self {
            role,
            config,
            receive: Receive::default(),
            transmit: Transmit::default(),
            timers: Timers::new(now),
            probes: 0,
            late: false,
            closing: None,
        }
    }

    /// With messages compressed as the handshake agreed. To be called before anything is received or sent.
    #[must_use]
    pub fn with_deflate(mut self, params: &DeflateParams) -> Self {
        self.receive = Receive::with_inflater(Inflater::new(self.role, params));
        self.transmit = Transmit::with_deflater(Deflater::new(self.role, params));
        self
    }

    /// Where the connection stands.
    #[inline]
    pub fn state(&self) -> State {
        match &self.closing {
            None => State::Open,
            Some(closing) => closing.state(),
        }
    }

    /// When it began.
    pub fn opened(&self) -> Instant {
        self.timers.begun()
    }

    /// Which end this is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How the connection ended; `None` until it is closed.
    pub fn outcome(&self) -> Option<Outcome> {
        self.closing
            .as_ref()
            .filter(|closing| closing.is_over())
            .map(|closing| closing.outcome())
    }

    /// Bytes accepted and not yet written, with a fixed cost for each message.
    pub fn queued(&self) -> usize {
        self.transmit.queued()
    }

    /// Something is to be written.
    pub fn wants_write(&self) -> bool {
        !self.is_mute() && !self.transmit.is_empty()
    }

    /// A pong, ping or Close is to be written, or the rest of a frame that the transport took in part. None of them
    /// should wait for the application.
    pub fn wants_control_write(&self) -> bool {
        !self.is_mute() && self.transmit.has_control()
    }

    /// Whether a frame of so many bytes, sent now, would leave at once and as it is. Then a driver may write it without queueing it here: the
    /// [plain](crate::Prepared::frame) one, or the [compressed](crate::Prepared::compressed_frame) one where this connection
    /// [compresses](Self::compresses_prepared).
    pub fn forwards(&self, len: usize) -> bool {
        self.closing.is_none()
            && self.role == Role::Server
            && len <= self.config.limits.fragment
            && self.transmit.is_empty()
            && !self.transmit.in_parts()
    }

    /// Whether a message of so many bytes that was [prepared to be compressed](crate::Prepared::compressed) leaves compressed. Longer ones
    /// do, then, too.
    pub fn compresses_prepared(&self, len: usize) -> bool {
        self.transmit.compresses_prepared(self.role, len)
    }

    /// Whether the transport is to be read: until its end was reported.
    pub fn wants_read(&self) -> bool {
        self.closing
            .as_ref()
            .is_none_or(|closing| !closing.eof && !closing.over)
    }

    /// Bytes already taken may complete more events.
    pub fn has_pending_input(&self) -> bool {
        !self.is_deaf() && self.receive.has_pending()
    }

    /// The round trip of the last ping that was answered.
    pub fn latency(&self) -> Option<Duration> {
        self.timers.latency()
    }

    /// Whether a ping with this payload was sent and no pong has answered it, or a later one.
    pub fn awaits_pong(&self, payload: &[u8]) -> bool {
        self.timers.awaits_pong(payload)
    }

    /// Bytes of heap held for unfinished input and output: zero when idle.
    pub fn buffered(&self) -> usize {
        self.receive.held() + self.transmit.held()
    }

    /// Nothing that arrives is looked at: the connection failed, or the peer has said its last.
    fn is_deaf(&self) -> bool {
        self.closing
            .as_ref()
            .is_some_and(|closing| closing.failed || closing.over || closing.received.is_some())
    }

    /// Nothing leaves any more: our direction of the transport has been ended, or all is over.
    fn is_mute(&self) -> bool {
        self.closing
            .as_ref()
            .is_some_and(|closing| closing.shut || closing.is_over())
    }
}

/// Where it stands, not what it carries: payloads do not belong into logs.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("state", &self.state())
            .field("queued", &self.queued())
            .field("outcome", &self.outcome())
            .finish_non_exhaustive()
    }
}
