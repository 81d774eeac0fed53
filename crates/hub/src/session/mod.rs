//! One connection's session: reads what the client says, writes what it is owed.
//!
//! What a session is owed lives in two places: replies in a small outbox, messages and presence
//! in the rooms, at the session's cursors. [`Session::pack`] moves from there into a [`Parcel`] as
//! much as the connection takes, and everything moved leaves in one write. When the
//! connection takes no more, the outbox fills and commands are no longer read; rooms simply go on.
//! Who calls it is in `seat.rs`.

mod alarm;
mod anew;
mod asking;
mod away;
#[cfg(test)]
mod away_tests;
mod bye;
mod catch_up;
mod encoder;
mod heartbeat;
mod joining;
#[cfg(test)]
mod life_tests;
mod listed;
mod memberships;
mod open;
mod outbox;
mod pace;
mod parcel;
mod people;
mod place;
mod plain;
mod refusals;
#[cfg(test)]
mod resume_tests;
mod rights;
mod seat;
#[cfg(test)]
mod seat_tests;
mod sieve;
mod standing;
mod status;
mod stream;
#[cfg(test)]
mod stream_tests;
mod streams;
mod takeover;
mod v1;
mod writing;

use std::{collections::VecDeque, future::Future, sync::Arc, task::Context, time::Duration};

use fullduplex::{CloseCode, CloseFrame, Forwarded, Message, Prepared, WebSocket};
use tokio::time::Instant;

pub(crate) use self::{
    alarm::Alarm,
    asking::{page_size, search_query},
    bye::jitter,
    encoder::Encoder,
    heartbeat::{Heartbeat, INTERVALS as HEARTBEATS},
    listed::{Ended, Listed},
    open::Open,
    parcel::Parcel,
    refusals::Refusals,
    seat::{Followed, Seat},
    standing::token_expired,
};
use self::{
    asking::Asking, bye::Leaving, catch_up::CatchUp, joining::Joining, memberships::Memberships,
    outbox::Outbox, pace::Pace, standing::Standing, streams::Streams, writing::AllWriting,
};
use crate::{
    core::{Batch, Claim, Entry, Form, Need, SessionId},
    hub::Shared,
    metrics::Kind,
    rooms::{RoomRef, Visitor, delivery::Delivery},
    traffic::Client,
    users::Present,
    wire::event,
};

/// Bytes handed to a connection before they must be flushed: what one write takes.
pub(crate) const HIGH_WATER: usize = 64 << 10;
/// Events taken from a room in one go, under its lock.
pub(crate) const MAX_BATCH: usize = 64;
/// Commands handled in one turn. Before the next one others of the runtime had theirs, and what is owed has been flushed, so
/// that a client that only ever talks holds up nobody and gets its replies too.
const MAX_COMMANDS_PER_TURN: usize = 64;
/// How long a session may take to catch up before its lag is looked at, and then how often.
const LAG_CHECK: Duration = Duration::from_secs(1);

/// There was no `hello`, or a bad one.
const BAD_HELLO: CloseCode = CloseCode::new(4000);

/// The client took nothing for too long.
const SLOW_CONSUMER: CloseCode = CloseCode::new(4202);

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `fdx.v1.json`, with visible heartbeats at this interval if they were asked for.
    V1 { heartbeat: Option<Duration> },
    /// Plain JSON.
    Json,
    /// Plain text.
    Text,
}

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The connection is over.
    Over,
    /// We close it.
    Close(CloseFrame),
}

impl Stop {
    pub(crate) fn close(code: CloseCode, reason: &str) -> Self {
        Self::Close(close_frame(code, reason))
    }

    /// What to close the connection with, if it has not ended.
    pub(crate) fn frame(self) -> CloseFrame {
        match self {
            Self::Over => CloseFrame::empty(),
            Self::Close(frame) => frame,
        }
    }
}

/// A Close with a code that may be sent, its reason cut to what fits.
pub(crate) fn close_frame(code: CloseCode, reason: &str) -> CloseFrame {
    CloseFrame::truncated(code, reason).unwrap_or(CloseFrame::empty())
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    hub: Arc<Shared>,
    id: SessionId,
    dialect: Dialect,
    rooms: Memberships,
    /// Rooms with something to read, in turn.
    ready: VecDeque<RoomRef>,
    outbox: Outbox,
    writing: AllWriting,
    /// While a join waits no other command is taken.
    joining: Option<Box<Joining>>,
    /// Nor while a question does.
    asking: Option<Box<Asking>>,
    /// Logs that it follows.
    streams: Option<Box<Streams>>,
    catch_up: CatchUp,
    client: v1::Client,
    standing: Standing,
    /// Its place among its user's sessions, once it has said who that is.
    present: Option<Present>,
    heartbeat: Option<Heartbeat>,
    hello_by: Option<Instant>,
    /// What a plain JSON client claimed to be with its last message.
    claim: Option<Arc<Claim>>,
    pace: Pace,
    /// Why a plain session ends, once it has all it is owed.
    parting: Option<&'static str>,
    /// While the session has more to read than the connection took: when to look how far it is behind.
    check_lag_at: Option<Instant>,
    leaving: Leaving,
    /// Whether the client was told that nothing is stored.
    knows_read_only: bool,
}

impl From<Dialect> for Kind {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::V1 { .. } => Self::V1,
            Dialect::Json => Self::Json,
            Dialect::Text => Self::Text,
        }
    }
}

impl Dialect {
    const fn form(self) -> Form {
        match self {
            Self::V1 { .. } => Form::V1,
            Self::Json => Form::Json,
            Self::Text => Form::Text,
        }
    }

    /// The client takes less than there is for it.
    fn too_slow(self) -> Stop {
        let code = match self {
            Self::V1 { .. } => SLOW_CONSUMER,
            Self::Json | Self::Text => CloseCode::TRY_AGAIN_LATER,
        };
        Stop::close(code, "too slow")
    }
}

impl Session {
    /// A session that is in no room yet. Boxed, as each future it is handed through would hold it anew.
    pub(crate) fn new(hub: &Arc<Shared>, dialect: Dialect, client: Client) -> Box<Self> {
        let id = hub.next_session();
        let is_v1 = matches!(dialect, Dialect::V1 { .. });
        let visitor = Visitor {
            session: id,
            seat: Seat::new(Arc::clone(hub.rooms.lanes().of(id.0))),
        };
        let rooms = Memberships::new(Arc::clone(&hub.rooms), visitor, client);
        let heartbeat = match dialect {
            Dialect::V1 { heartbeat } => heartbeat.map(Heartbeat::new),
            Dialect::Json | Dialect::Text => None,
        };
        Box::new(Self {
            hub: Arc::clone(hub),
            id,
            dialect,
            rooms,
            ready: VecDeque::new(),
            outbox: Outbox::default(),
            writing: AllWriting::new(),
            joining: None,
            asking: None,
            streams: None,
            catch_up: CatchUp::default(),
            client: if is_v1 {
                v1::Client::new(hub, id)
            } else {
                v1::Client::default()
            },
            standing: Standing::new(hub.gate.initial()),
            present: None,
            heartbeat,
            hello_by: is_v1.then(|| Instant::now() + hub.config.timeouts.hello),
            claim: None,
            pace: Pace::default(),
            parting: None,
            check_lag_at: None,
            leaving: Leaving::No,
            knows_read_only: false,
        })
    }

    /// Lives as long as the connection does.
    pub(crate) fn run(self: Box<Self>, ws: WebSocket) -> impl Future<Output = ()> + Send {
        Arc::clone(self.rooms.seat()).run(self, ws)
    }

    /// Whether another command may be taken: its replies have room.
    fn has_room(&self) -> bool {
        self.leaving == Leaving::No
            && self.parting.is_none()
            && !self.pace.is_paused()
            && self.joining.is_none()
            && self.asking.is_none()
            && !self.standing.is_checking()
            && self.outbox.has_room(self.writing.len())
    }

    /// Takes one message from the client.
    fn take(&mut self, message: Message) -> Result<(), Stop> {
        self.hub.metrics.received(self.dialect.into());
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.heard();
        }
        let Message::Text(text) = message else {
            // The connection's own rules refuse binary messages before.
            return Err(Stop::close(CloseCode::UNSUPPORTED_DATA, "text only"));
        };
        match self.dialect {
            Dialect::V1 { .. } => self.take_command(&text),
            Dialect::Json => self.take_json(&text),
            Dialect::Text => self.take_line(&text),
        }
    }

    /// Packs what the session is owed, as much as its connection takes; replies first. Says whether that was all.
    fn pack(&mut self, parcel: &mut Parcel) -> Result<bool, Stop> {
        self.rooms.seat().take(&mut self.ready);
        self.say_status();
        let holds_rooms = self.holds_rooms();
        while !parcel.is_full() {
            if let Some(reply) = self.outbox.pop() {
                parcel.push(reply);
            } else if !holds_rooms && let Some(room) = self.ready.pop_front() {
                if !self.pack_room(room, parcel)? {
                    self.ready.push_back(room);
                }
            } else if let Some(event) = self.next_of_streams() {
                parcel.push(encoder::uncompressed(event));
            } else {
                break;
            }
        }
        if !parcel.is_empty()
            && let Some(heartbeat) = &mut self.heartbeat
        {
            heartbeat.sent();
        }
        self.check_lag_at = match self.check_lag_at {
            _ if self.ready.is_empty() => None,
            None => Some(Instant::now() + LAG_CHECK),
            at => at,
        };
        let all = (holds_rooms || self.ready.is_empty())
            && self.outbox.is_empty()
            && !self.streams_have_more()
            && !self.catch_up.is_new();
        if all {
            self.part()?;
        }
        Ok(all)
    }

    /// Packs what a room has for this session. Says whether that was all.
    fn pack_room(&mut self, room: RoomRef, parcel: &mut Parcel) -> Result<bool, Stop> {
        if self.pack_caught_up(room, parcel).is_some() {
            return Ok(false);
        }
        let batch = match self.rooms.read(room, MAX_BATCH, HIGH_WATER) {
            Some(Ok(batch)) => batch,
            Some(Err(forked)) => {
                self.begin_anew(room, &forked)?;
                return Ok(false);
            }
            None => return Ok(true),
        };
        if batch.gap.is_some() {
            if !matches!(self.dialect, Dialect::V1 { .. }) && !self.catch_up.is_of(room) {
                return Err(self.dialect.too_slow());
            }
            self.fall_behind(room);
            return Ok(true);
        }
        let entries = match self.dialect {
            Dialect::Text => self.pack_lines(room, &batch, parcel),
            Dialect::V1 { .. } | Dialect::Json => self.pack_entries(room, &batch, parcel),
        };
        let notices = self.pack_notices(room, &batch, parcel);
        Ok(
            batch.reaches_head()
                && entries == batch.entries.len()
                && notices == batch.notices.len(),
        )
    }

    fn pack_entries(
        &mut self,
        room: RoomRef,
        batch: &Batch<Prepared>,
        parcel: &mut Parcel,
    ) -> usize {
        let mut packed = 0;
        for entry in &batch.entries {
            if parcel.is_full() {
                break;
            }
            if self.dialect.form().says(&entry.event.what) {
                parcel.push(self.frame(entry));
            }
            packed += 1;
        }
        self.hub.rooms.delivered(packed);
        if let Some(last) = batch.entries[..packed].last()
            && let Some(place) = self.rooms.get_mut(room)
        {
            place.cursor = last.event.seq + 1;
        }
        packed
    }

    fn pack_notices(
        &mut self,
        room: RoomRef,
        batch: &Batch<Prepared>,
        parcel: &mut Parcel,
    ) -> usize {
        for (packed, notice) in batch.notices.iter().enumerate() {
            if parcel.is_full() {
                return packed;
            }
            parcel.push(self.hub.encoder.notice(notice));
            if let Some(place) = self.rooms.get_mut(room) {
                place.notices = notice.number;
            }
        }
        if let Some(place) = self.rooms.get_mut(room) {
            // Some were not for this session.
            place.notices = place.notices.max(batch.notices_read);
        }
        batch.notices.len()
    }

    /// The frame of an entry in this session's dialect.
    fn frame(&self, entry: &Entry<Prepared>) -> Prepared {
        self.hub.encoder.frame(entry, self.dialect.form())
    }

    /// Gets what a room has for all, if that is what comes next here, too. None if it needs none of it.
    fn follow(&mut self, delivery: &Delivery, ws: &mut WebSocket) -> Option<Forwarded> {
        let is_next = self.outbox.is_empty() && !self.holds_rooms();
        let place = self.rooms.get_mut(delivery.room)?;
        match delivery.need(place.history, place.cursor) {
            Need::All if is_next => {}
            Need::All | Need::Other => return Some(Forwarded::Refused),
            Need::Nothing => return None,
        }
        let bundle = delivery.bundle(self.dialect.form(), &self.hub.encoder);
        let forwarded = ws.forward(bundle);
        if forwarded != Forwarded::Refused {
            place.cursor = delivery.next_cursor();
            if let Some(heartbeat) = &mut self.heartbeat {
                heartbeat.sent();
            }
        }
        Some(forwarded)
    }

    /// Has this session not caught up since the last look, and does it lag too far? A burst that the
    /// connection takes within that time is no lag.
    fn check_lag(&mut self) -> Result<(), Stop> {
        let is_plain = matches!(self.dialect, Dialect::Json | Dialect::Text);
        if is_plain
            && self
                .rooms
                .lags(&self.ready, self.hub.config.limits.plain_lag)
        {
            return Err(self.dialect.too_slow());
        }
        self.check_lag_at = Some(Instant::now() + LAG_CHECK);
        Ok(())
    }

    fn next_deadline(&self) -> Option<Instant> {
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
        [
            self.hello_by,
            self.check_lag_at,
            self.pace.deadline(),
            heartbeat,
            self.end_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Some deadline passed, perhaps one that has moved since.
    fn on_alarm(&mut self, is_writing: bool) -> Result<(), Stop> {
        let now = Instant::now();
        if self.hello_by.is_some_and(|by| by <= now) {
            return Err(Stop::close(BAD_HELLO, "no hello"));
        }
        self.pace.on_alarm(now);
        if self.check_lag_at.is_some_and(|at| at <= now) {
            self.check_lag()?;
        }
        self.check_end(now)?;
        let Some(heartbeat) = &mut self.heartbeat else {
            return Ok(());
        };
        if heartbeat.is_due(is_writing)? {
            self.outbox.push(event::HB.to_owned());
        }
        Ok(())
    }

    /// Takes what the log has answered.
    fn poll_log(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        self.poll_checking(cx)?;
        self.poll_writing(cx);
        self.poll_joining(cx);
        self.poll_asking(cx);
        self.poll_catch_up(cx)?;
        self.say_bye();
        Ok(())
    }
}
