//! What the client wants and what the server said: no connection and no clock of its own.

use std::{collections::VecDeque, time::Duration};

use serde_json::{Map, Value, json};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    Event, RequestError,
    place::{Found, Place},
    wire::{Bye, Frame, Gap, Joined, Kick, Placed, Refusal, Sent, Welcome, from},
};

/// Commands that may wait for their reply at once; more messages stay in the outbox until replies come.
const MAX_WAITING: usize = 64;
/// Messages that may wait to be sent or acknowledged. `send` waits for a place.
const MAX_OUTBOX: usize = 1_000;
/// Other commands that may wait to be written.
const MAX_CALLS: usize = 64;
/// Events that may wait to be taken by the application. With as many nothing more is read, unless a reply is waited for: then a room
/// goes on later, from the log.
const MAX_EVENTS: usize = 1_024;
/// Nothing heard for so long while a reply is due means a dead connection.
const REPLY_TIME: Duration = Duration::from_secs(10);
/// A command fails after this, though others are answered: long enough for a busy server that takes a full window one by one.
const MAX_REPLY_TIME: Duration = Duration::from_secs(60);
/// Times that one message is written, because there was no reply or a refusal that passes, before it fails.
const MAX_TRIES: u32 = 5;
/// The longest wait before something is tried again for the first time, a connection or what was refused for now; doubled each time.
pub(crate) const FIRST_DELAY: Duration = Duration::from_millis(500);
/// No such wait is longer.
pub(crate) const MAX_DELAY: Duration = Duration::from_secs(30);
/// No server's hint when to come back or to try again is followed for longer than this.
pub(crate) const MAX_HINT: Duration = Duration::from_secs(300);

pub(crate) type Done<T> = oneshot::Sender<Result<T, RequestError>>;

/// What the application asks for.
#[derive(Debug)]
pub(crate) enum Ask {
    Enter {
        entry: Entry,
        room: String,
        backlog: usize,
        done: Done<Joined>,
    },
    Leave {
        room: String,
    },
    Send(Message),
    Call {
        command: Map<String, Value>,
        done: Done<Value>,
    },
    Close,
}

/// How to be in a room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry {
    Join,
    Subscribe,
}

impl Entry {
    const fn op(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Subscribe => "sub",
        }
    }
}

/// A message on its way into a room.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) room: String,
    pub(crate) cid: String,
    /// All of the command but `id`.
    pub(crate) command: Map<String, Value>,
    pub(crate) done: Done<Sent>,
}

/// What the state of the session asks of its connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    GoOn,
    /// The connection is of no use; another one may be.
    Lost(String),
    /// The server will not have this client.
    Refused(String),
}

#[derive(Debug)]
struct Room {
    name: String,
    entry: Entry,
    backlog: usize,
    place: Place,
    stand: Stand,
    /// Joined again because something was missing, and nothing came since.
    is_repairing: bool,
    /// Joins since it was in.
    tries: u32,
    not_before: Option<Instant>,
    /// Who waits for the first join.
    done: Option<Done<Joined>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Out,
    Asked,
    In,
    /// In, and passed over events that the application had no room for.
    Behind,
}

impl Room {
    const fn is_joined(&self) -> bool {
        matches!(self.stand, Stand::In | Stand::Behind)
    }

    /// Whether the application knows that it is in it. Else a kick is out of a stay before, and the reply to the join tells more.
    const fn is_known(&self) -> bool {
        self.done.is_none()
    }
}

#[derive(Debug)]
struct Unsent {
    message: Message,
    /// Times that it was written, on any connection.
    tries: u32,
    /// On this connection, and there is no reply.
    is_written: bool,
    /// Written before, and nobody said what became of that.
    is_unsure: bool,
    not_before: Option<Instant>,
}

impl Unsent {
    const fn may_be_stored(&self) -> bool {
        self.is_written || self.is_unsure
    }
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    since: Instant,
    asked: Asked,
}

#[derive(Debug)]
enum Asked {
    Hello,
    Join(String),
    /// By `cid`.
    Send(String),
    Call(Done<Value>),
    Auth,
}

#[derive(Debug)]
pub(crate) struct Session {
    hello: Map<String, Value>,
    /// A random part of a wait.
    jitter: fn(Duration) -> Duration,
    is_ready: bool,
    rooms: Vec<Room>,
    outbox: VecDeque<Unsent>,
    calls: VecDeque<(Map<String, Value>, Done<Value>)>,
    /// The oldest first.
    waiting: VecDeque<Waiting>,
    /// When a frame came last.
    heard: Option<Instant>,
    last_id: u64,
    commands: VecDeque<String>,
    events: VecDeque<Event>,
    bye: Option<Bye>,
    /// Time that is left of the token, as far as the server has just said.
    token_left: Option<Duration>,
}

impl Session {
    /// One that will say hello with these fields.
    pub(crate) fn new(hello: Map<String, Value>, jitter: fn(Duration) -> Duration) -> Self {
        Self {
            hello,
            jitter,
            is_ready: false,
            rooms: Vec::new(),
            outbox: VecDeque::new(),
            calls: VecDeque::new(),
            waiting: VecDeque::new(),
            heard: None,
            last_id: 0,
            commands: VecDeque::new(),
            events: VecDeque::new(),
            bye: None,
            token_left: None,
        }
    }

    /// Whether the application may ask for more.
    pub(crate) fn has_room(&self) -> bool {
        self.outbox.len() < MAX_OUTBOX && self.calls.len() < MAX_CALLS
    }

    /// Whether more may be read from the connection.
    pub(crate) fn may_read(&self) -> bool {
        let is_in = |room: &Room| room.stand == Stand::In;
        !self.is_full() || !self.waiting.is_empty() || !self.rooms.iter().any(is_in)
    }

    /// Whether the application has as many events to take as there may be.
    fn is_full(&self) -> bool {
        self.events.len() >= MAX_EVENTS
    }

    pub(crate) fn has_command(&self) -> bool {
        !self.commands.is_empty()
    }

    pub(crate) fn next_command(&mut self) -> Option<String> {
        self.commands.pop_front()
    }

    pub(crate) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next event for the application, which has taken those before.
    pub(crate) fn next_event(&mut self, now: Instant) -> Option<Event> {
        let was_full = self.is_full();
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.catch_up(now);
        } else if was_full {
            self.pump(now);
        }
        event
    }

    /// How long the server asked this client to stay away: at least, and spread over how much more. Said once.
    pub(crate) fn take_bye(&mut self) -> Option<(Duration, Duration)> {
        let bye = self.bye.take()?;
        Some((hint(bye.reconnect_ms), hint(bye.jitter_ms)))
    }

    /// When something is to be done though nothing happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if !self.is_ready && self.waiting.is_empty() {
            return None;
        }
        let rooms = self.rooms.iter().filter_map(|room| room.not_before);
        let sends = self.outbox.iter().filter_map(|unsent| unsent.not_before);
        let replies = self.silent_at().into_iter().chain(self.late_at());
        replies.chain(rooms).chain(sends).min()
    }

    /// When the connection is dead unless something is heard.
    fn silent_at(&self) -> Option<Instant> {
        let oldest = self.waiting.front()?;
        Some(self.heard.max(Some(oldest.since))? + REPLY_TIME)
    }

    /// When a reply has been waited for long enough.
    fn late_at(&self) -> Option<Instant> {
        let oldest = self.waiting.front()?;
        Some(oldest.since + MAX_REPLY_TIME)
    }

    /// That time has come.
    pub(crate) fn handle_deadline(&mut self, now: Instant) -> Verdict {
        if self.silent_at().is_some_and(|at| at <= now) {
            return Verdict::Lost("no answer".into());
        }
        while self.late_at().is_some_and(|at| at <= now) {
            let verdict = self.settle(0, Err(RequestError::Timeout), now);
            if verdict != Verdict::GoOn {
                return verdict;
            }
        }
        for room in &mut self.rooms {
            room.not_before.take_if(|at| *at <= now);
        }
        for unsent in &mut self.outbox {
            unsent.not_before.take_if(|at| *at <= now);
        }
        self.pump(now);
        Verdict::GoOn
    }

    /// There is a connection.
    pub(crate) fn opened(&mut self, now: Instant) {
        let mut hello = self.hello.clone();
        hello.insert("op".into(), "hello".into());
        self.write(hello, Asked::Hello, now);
    }

    /// The connection could not be opened, or was lost.
    pub(crate) fn tell_lost(&mut self, reason: String) {
        if !self.is_full() {
            self.events.push_back(Event::Lost { reason });
        }
    }

    /// There is none any more.
    pub(crate) fn lost(&mut self) {
        self.is_ready = false;
        self.token_left = None;
        self.commands.clear();
        for waiting in std::mem::take(&mut self.waiting) {
            if let Asked::Call(done) = waiting.asked {
                drop(done.send(Err(RequestError::Lost)));
            }
        }
        for room in &mut self.rooms {
            room.stand = Stand::Out;
            room.is_repairing = false;
            room.not_before = None;
        }
        for unsent in &mut self.outbox {
            unsent.is_unsure |= unsent.is_written;
            unsent.is_written = false;
            unsent.not_before = None;
        }
        let is_tried_enough = |unsent: &Unsent| unsent.tries >= MAX_TRIES;
        self.give_up(is_tried_enough, &RequestError::Timeout);
    }

    /// There will be no connection any more.
    pub(crate) fn ended(&mut self, why: &RequestError) {
        self.lost();
        self.give_up(|_| true, why);
        for (_, done) in std::mem::take(&mut self.calls) {
            drop(done.send(Err(why.clone())));
        }
        for room in std::mem::take(&mut self.rooms) {
            if let Some(done) = room.done {
                drop(done.send(Err(why.clone())));
            }
        }
    }

    /// The application asks for something other than the end.
    pub(crate) fn ask(&mut self, ask: Ask, now: Instant) {
        match ask {
            Ask::Enter {
                entry,
                room,
                backlog,
                done,
            } => self.enter(entry, room, backlog, done),
            Ask::Leave { room } => self.leave(&room),
            Ask::Send(message) => self.send(message),
            Ask::Call { command, done } => self.calls.push_back((command, done)),
            Ask::Close => {}
        }
        self.pump(now);
    }

    /// A frame came.
    pub(crate) fn received(&mut self, text: &str, now: Instant) -> Verdict {
        self.heard = Some(now);
        match Frame::parse(text) {
            None => {}
            Some(Frame::Reply { id, result }) => return self.answered(id, result, now),
            Some(Frame::Placed(event)) => self.placed(event, now),
            Some(Frame::Gap(gap)) => self.gap(gap),
            Some(Frame::Heartbeat) => self.beat(),
            Some(Frame::Bye(bye)) => self.bye = Some(bye),
            Some(Frame::Kick(kick)) => self.kicked(kick),
            Some(Frame::Reset(reset)) => self.join_again(&reset.room, now),
            Some(Frame::Other(event)) if event.get("ev").is_some_and(|ev| ev == "expiring") => {
                self.expires(event);
            }
            // What has no place may be left out: who has no time for it will get the next one.
            Some(Frame::Other(_)) if self.is_full() => {}
            Some(Frame::Other(event)) => self.events.push_back(Event::Other(event)),
        }
        Verdict::GoOn
    }

    /// The server will not have this client in a room any more.
    fn kicked(&mut self, kick: Kick) {
        let is_it = |room: &Room| room.name == kick.room && room.is_known();
        let Some(at) = self.rooms.iter().position(is_it) else {
            return;
        };
        // The way back to what was missing has crossed it, and leads in again.
        if self.rooms[at].stand == Stand::Asked {
            self.commands.push_back(leave(&kick.room));
        }
        let error = RequestError::Refused {
            code: kick.reason,
            message: "the server took this client out of the room".into(),
            retry_ms: None,
        };
        self.forget(at, error);
    }

    /// A room's history is replaced: a join with what there is of the old one is answered with that, and with the newest events.
    fn join_again(&mut self, name: &str, now: Instant) {
        let is_it = |room: &&mut Room| room.name == name && room.is_joined();
        if let Some(room) = self.rooms.iter_mut().find(is_it) {
            room.stand = Stand::Out;
            self.commands.push_back(leave(name));
            self.pump(now);
        }
    }

    /// The token ends soon.
    fn expires(&mut self, event: Map<String, Value>) {
        let left = event.get("in_ms").and_then(Value::as_u64);
        self.token_left = left.map(Duration::from_millis);
        if !self.is_full() {
            self.events.push_back(Event::Other(event));
        }
    }

    /// How much time the server says is left of the token. Said once.
    pub(crate) const fn take_token_left(&mut self) -> Option<Duration> {
        self.token_left.take()
    }

    /// Says hello with this token from now on.
    pub(crate) fn set_token(&mut self, token: &str) {
        self.hello.insert("token".into(), token.into());
    }

    /// Gives the server this token in place of the one that ends. What becomes of it the connection's end tells, if it is not taken.
    pub(crate) fn renew(&mut self, token: &str, now: Instant) {
        self.set_token(token);
        let auth = object(json!({"op": "auth", "token": token}));
        self.write(auth, Asked::Auth, now);
    }

    fn enter(&mut self, entry: Entry, name: String, backlog: usize, done: Done<Joined>) {
        if self.rooms.iter().any(|room| room.name == name) {
            drop(done.send(Err(RequestError::Joined)));
            return;
        }
        self.rooms.push(Room {
            name,
            entry,
            backlog,
            place: Place::default(),
            stand: Stand::Out,
            is_repairing: false,
            tries: 0,
            not_before: None,
            done: Some(done),
        });
    }

    fn leave(&mut self, name: &str) {
        let Some(at) = self.rooms.iter().position(|room| room.name == name) else {
            return;
        };
        let room = self.rooms.remove(at);
        if room.stand != Stand::Out {
            self.commands.push_back(leave(name));
        }
        if let Some(done) = room.done {
            drop(done.send(Err(RequestError::NotJoined)));
        }
        self.give_up(
            |unsent| unsent.message.room == name,
            &RequestError::NotJoined,
        );
    }

    fn send(&mut self, message: Message) {
        if self.rooms.iter().all(|room| room.name != message.room) {
            drop(message.done.send(Err(RequestError::NotJoined)));
            return;
        }
        self.outbox.push_back(Unsent {
            message,
            tries: 0,
            is_written: false,
            is_unsure: false,
            not_before: None,
        });
    }

    /// Writes what may be written: first the joins, then the messages for rooms it is in, in their order, then the rest.
    fn pump(&mut self, now: Instant) {
        if !self.is_ready {
            return;
        }
        let mut places = MAX_WAITING.saturating_sub(self.waiting.len());
        // What a join brings needs room.
        let is_full = self.is_full();
        for at in 0..self.rooms.len() {
            let room = &mut self.rooms[at];
            if places == 0 {
                return;
            }
            if room.stand != Stand::Out || room.not_before.is_some() || is_full {
                continue;
            }
            room.stand = Stand::Asked;
            room.tries += 1;
            let mut command =
                object(json!({"op": room.entry.op(), "room": room.name, "backlog": room.backlog}));
            if let Some(cursor) = room.place.cursor() {
                command.insert("since".into(), cursor.into());
            }
            let asked = Asked::Join(room.name.clone());
            self.write(command, asked, now);
            places -= 1;
        }
        for at in 0..self.outbox.len() {
            let unsent = &self.outbox[at];
            if places == 0 {
                return;
            }
            if unsent.is_written || unsent.not_before.is_some() || !self.is_in(&unsent.message.room)
            {
                continue;
            }
            let unsent = &mut self.outbox[at];
            unsent.is_written = true;
            unsent.tries += 1;
            let (command, cid) = (unsent.message.command.clone(), unsent.message.cid.clone());
            self.write(command, Asked::Send(cid), now);
            places -= 1;
        }
        while places > 0
            && let Some((command, done)) = self.calls.pop_front()
        {
            self.write(command, Asked::Call(done), now);
            places -= 1;
        }
    }

    fn is_in(&self, name: &str) -> bool {
        let found = self.rooms.iter().find(|room| room.name == name);
        found.is_some_and(Room::is_joined)
    }

    fn write(&mut self, mut command: Map<String, Value>, asked: Asked, now: Instant) {
        self.last_id += 1;
        command.insert("id".into(), self.last_id.into());
        self.commands.push_back(Value::Object(command).to_string());
        self.waiting.push_back(Waiting {
            id: self.last_id,
            since: now,
            asked,
        });
    }

    fn answered(&mut self, id: u64, result: Result<Value, Refusal>, now: Instant) -> Verdict {
        match self.waiting.iter().position(|waiting| waiting.id == id) {
            Some(at) => self.settle(at, result.map_err(RequestError::from), now),
            None => Verdict::GoOn,
        }
    }

    /// What became of the command that waits at this place.
    fn settle(&mut self, at: usize, result: Result<Value, RequestError>, now: Instant) -> Verdict {
        let Some(waiting) = self.waiting.remove(at) else {
            return Verdict::GoOn;
        };
        match waiting.asked {
            Asked::Hello => match result.map(from::<Welcome>) {
                Ok(Some(welcome)) => {
                    self.is_ready = true;
                    if !self.is_full() {
                        self.events.push_back(Event::Welcome(Box::new(welcome)));
                    }
                }
                Ok(None) => return Verdict::Refused("the answer to hello is none".into()),
                Err(error) if error.passes() => return Verdict::Lost(error.to_string()),
                Err(error) => return Verdict::Refused(error.to_string()),
            },
            Asked::Join(room) => self.join_answered(&room, result.and_then(typed), now),
            Asked::Send(cid) => self.send_answered(&cid, result.and_then(typed), now),
            Asked::Call(done) => drop(done.send(result)),
            Asked::Auth => {}
        }
        self.pump(now);
        Verdict::GoOn
    }

    fn join_answered(&mut self, name: &str, result: Result<Joined, RequestError>, now: Instant) {
        let Some(at) = self.rooms.iter().position(|room| room.name == name) else {
            return;
        };
        let is_newer =
            |waiting: &Waiting| matches!(&waiting.asked, Asked::Join(room) if room == name);
        let is_asked_again = self.waiting.iter().any(is_newer);
        let room = &mut self.rooms[at];
        // Left and joined again before the first answer came.
        if room.stand != Stand::Asked || is_asked_again {
            return;
        }
        // It may be answered yet, and does not count any more.
        if result.as_ref().is_err_and(RequestError::is_unsure) {
            self.commands.push_back(leave(name));
        }
        match result {
            Ok(joined) => {
                room.stand = Stand::In;
                room.tries = 0;
                room.place.joined(&joined, room.backlog);
                if let Some(done) = room.done.take() {
                    drop(done.send(Ok(joined.clone())));
                }
                self.events.push_back(Event::Joined(Box::new(joined)));
            }
            Err(error) if room.is_known() && error.passes() => {
                room.stand = Stand::Out;
                room.not_before = Some(now + retry_after(&error, room.tries, self.jitter));
            }
            Err(error) => {
                self.forget(at, error);
            }
        }
    }

    /// A room that this client is not to be in.
    fn forget(&mut self, at: usize, error: RequestError) {
        let room = self.rooms.remove(at);
        self.give_up(|unsent| unsent.message.room == room.name, &error);
        if let Some(done) = room.done {
            drop(done.send(Err(error)));
        } else {
            self.events.push_back(Event::Refused {
                room: room.name,
                error,
            });
        }
    }

    fn send_answered(&mut self, cid: &str, result: Result<Sent, RequestError>, now: Instant) {
        let is_it = |unsent: &Unsent| unsent.message.cid == cid;
        let Some(at) = self.outbox.iter().position(is_it) else {
            return;
        };
        if let Err(error) = &result
            && error.passes()
            && let Some(unsent) = self.outbox.get_mut(at)
            && unsent.tries < MAX_TRIES
        {
            unsent.is_unsure |= error.is_unsure();
            unsent.is_written = false;
            unsent.not_before = Some(now + retry_after(error, unsent.tries, self.jitter));
            return;
        }
        if let Some(unsent) = self.outbox.remove(at) {
            // A refusal says nothing of what was written before.
            let result = match result {
                Err(_) if unsent.is_unsure => Err(RequestError::Timeout),
                result => result,
            };
            drop(unsent.message.done.send(result));
        }
    }

    /// An event with a place: given on once, and only behind all that come before it.
    fn placed(&mut self, event: Placed, now: Instant) {
        let Some(room) = self.rooms.iter_mut().find(|room| room.name == event.room) else {
            return;
        };
        // What comes before a join is answered belongs to one that was given up.
        if room.stand != Stand::In {
            return;
        }
        match room.place.find(&event) {
            Found::Known => return,
            Found::Broken if !room.is_repairing => {
                room.is_repairing = true;
                room.stand = Stand::Out;
                self.commands.push_back(leave(&event.room));
                self.pump(now);
                return;
            }
            found => {
                if self.events.len() >= MAX_EVENTS {
                    room.stand = Stand::Behind;
                    return;
                }
                if found == Found::Broken {
                    self.events.push_back(Event::Gap(Gap {
                        room: event.room.clone(),
                        from: room.place.next(),
                        to: event.seq - 1,
                        reason: "missing".into(),
                    }));
                }
            }
        }
        room.is_repairing = false;
        room.place.advance(&event);
        self.events.push_back(Event::Placed(Box::new(event)));
    }

    fn gap(&mut self, gap: Gap) {
        let Some(room) = self.rooms.iter_mut().find(|room| room.name == gap.room) else {
            return;
        };
        match room.stand {
            Stand::In if self.events.len() >= MAX_EVENTS => room.stand = Stand::Behind,
            Stand::In => {
                room.place.skip();
                self.events.push_back(Event::Gap(gap));
            }
            Stand::Out | Stand::Asked | Stand::Behind => {}
        }
    }

    /// Answers the server's heartbeat, unless enough else is to be written.
    fn beat(&mut self) {
        if self.commands.len() < MAX_WAITING {
            self.commands.push_back(r#"{"op":"hb"}"#.into());
        }
    }

    /// Rooms that passed events over go on from where they were.
    fn catch_up(&mut self, now: Instant) {
        for at in 0..self.rooms.len() {
            let room = &mut self.rooms[at];
            if room.stand == Stand::Behind {
                room.stand = Stand::Out;
                let command = leave(&room.name);
                self.commands.push_back(command);
            }
        }
        self.pump(now);
    }

    /// Gives messages up, for this reason those that are certainly not stored.
    fn give_up(&mut self, which: impl Fn(&Unsent) -> bool, why: &RequestError) {
        let mut at = 0;
        while let Some(unsent) = self.outbox.get(at) {
            if !which(unsent) {
                at += 1;
            } else if let Some(unsent) = self.outbox.remove(at) {
                let may_be_stored = unsent.may_be_stored();
                let why = if may_be_stored {
                    &RequestError::Timeout
                } else {
                    why
                };
                drop(unsent.message.done.send(Err(why.clone())));
            }
        }
    }
}

/// How long what was refused for now is left alone after so many tries: as the server says, else as before coming back.
fn retry_after(error: &RequestError, tries: u32, jitter: fn(Duration) -> Duration) -> Duration {
    let said = error.retry_after().filter(|wait| !wait.is_zero());
    said.unwrap_or_else(|| {
        let longest = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
        jitter(longest.min(MAX_DELAY))
    })
}

fn leave(room: &str) -> String {
    json!({"op": "leave", "room": room}).to_string()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

fn typed<T: for<'de> serde::Deserialize<'de>>(value: Value) -> Result<T, RequestError> {
    from(value).ok_or(RequestError::Answer)
}

/// A wait that a server asks for, within bounds.
pub(crate) fn hint(ms: u64) -> Duration {
    Duration::from_millis(ms).min(MAX_HINT)
}
