//! How fast a client may go on.

use std::time::Duration;

use fullduplex::CloseCode;
use tokio::time::Instant;

use super::{Session, Stop};
use crate::{
    rooms::RoomRef,
    traffic::{Meter, Rate},
    wire::reply::Failure,
};

/// Refusals for going too fast that a connection may collect: after 500 at once, or more than 10 each second, it does not listen to
/// what it is told.
const PATIENCE: Rate = Rate::new(10, 500);

/// Too many requests: the client comes back later.
const TOO_MANY: CloseCode = CloseCode::new(4108);

/// What a connection has used up.
#[derive(Debug, Default)]
pub(super) struct Pace {
    commands: Meter,
    refusals: Meter,
    /// A plain client has no reply that could refuse a message: it is not read from until then.
    paused_until: Option<Instant>,
}

impl Pace {
    pub(super) const fn is_paused(&self) -> bool {
        self.paused_until.is_some()
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.paused_until
    }

    pub(super) fn on_alarm(&mut self, now: Instant) {
        self.paused_until.take_if(|until| *until <= now);
    }

    fn pause(&mut self, wait: Duration) {
        if !wait.is_zero() {
            self.paused_until = Some(Instant::now() + wait);
        }
    }
}

impl Session {
    /// Whether a command may be taken now.
    pub(super) fn admit(&mut self) -> Result<(), Failure> {
        if self.rooms.client().is_exempt {
            return Ok(());
        }
        let rate = self.hub.config.rates.commands_per_connection;
        let taken = self.pace.commands.take(rate, self.hub.traffic.now());
        taken.map_err(Failure::too_fast)
    }

    /// Whether a message for a room may be taken now, or what counts as so many of its author's.
    pub(super) fn admit_message(&self, room: RoomRef, weight: u32) -> Result<(), Failure> {
        let client = self.rooms.client();
        let Some(place) = self.rooms.get(room).filter(|_| !client.is_exempt) else {
            return Ok(());
        };
        let traffic = &self.hub.traffic;
        let admitted = traffic.message(client, self.client.id(), &place.name, weight);
        admitted.map_err(Failure::too_fast)
    }

    /// A command was refused. Who goes on as fast for long is sent away.
    pub(super) fn count_refusal(&mut self, failure: &Failure) -> Result<(), Stop> {
        if failure.retry_ms.is_none() {
            return Ok(());
        }
        let taken = self.pace.refusals.take(PATIENCE, self.hub.traffic.now());
        taken.map_err(|_| Stop::close(TOO_MANY, "too many requests"))
    }

    /// A plain client's message was taken: the next one is, when it may be.
    pub(super) fn pace_plain(&mut self, room: RoomRef) {
        let client = self.rooms.client();
        let Some(place) = self.rooms.get(room).filter(|_| !client.is_exempt) else {
            return;
        };
        let traffic = &self.hub.traffic;
        // Who has no token is a user of its own on each connection.
        let user = self.standing.grant().user_id();
        let shared = traffic.count_message(client, user, &place.name);
        let own = if user.is_none() {
            let (rate, now) = (self.hub.config.rates.messages_per_user, traffic.now());
            self.pace.commands.charge(rate, now);
            self.pace.commands.wait(rate, now)
        } else {
            Duration::ZERO
        };
        self.pace.pause(own.max(shared));
    }
}
