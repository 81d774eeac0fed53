//! Two ends that talk to each other, against a model of what an application may rely on.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fullduplex_proto::{
    Cause, CloseCode, CloseFrame, Config, Deflate, DeflateParams, Event, Message, MessageKind,
    Outgoing, Prepared, Role, State, Step,
};
use fullduplex_testkit::{Endpoint, wire};

use crate::{agreement::agree, input::Input};

/// Two connections do what the input says: send, ping, close, write and read in pieces, let time pass, lose the transport.
/// The model is two lists of messages: what one end was accepted is what the other is given, in order, whole and once, as far as
/// it was before either's Close; and after all is said both ends have closed cleanly, unless the transport or a deadline
/// kept them from it.
///
/// Input: settings, then acts.
pub fn session(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let now = Instant::now();
    let mut ends = [Role::Client, Role::Server].map(|role| End::new(role, config(flags), now));
    if flags & 0x10 != 0 {
        let deflate = [input.deflate(), input.deflate()];
        let params = agree(deflate[0], deflate[1]);
        ends = ends.map(|end| end.with_deflate(&params));
    }
    if flags & 0x20 != 0 {
        for end in &mut ends {
            end.endpoint.connection.receive_parts(now, true);
        }
    }
    while !input.is_empty() {
        act(&mut ends, &mut input);
    }
    exchange(&mut ends);
    judge_open(&ends, flags & 0x10 != 0);
    ends[0].close(CloseFrame::normal());
    exchange(&mut ends);
    judge_closed(&ends);
}

fn config(flags: u8) -> Config {
    let mut config = Config::default();
    if flags & 1 != 0 {
        config.limits.fragment = 100;
    }
    if flags & 2 != 0 {
        config.limits.soft_queue = 500;
        config.limits.hard_queue = 2000;
    }
    if flags & 4 != 0 {
        config.limits.max_pongs = 2;
        config.limits.max_pings = 3;
    }
    if flags & 8 != 0 {
        config.keepalive_interval = Some(Duration::from_secs(1));
        config.keepalive_timeout = Duration::from_secs(2);
    }
    config
}

/// One end, with what its application has done and been told.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, in any combination"
)]
struct End {
    endpoint: Endpoint,
    /// Bytes that left and have not arrived.
    in_flight: VecDeque<u8>,
    /// All that left.
    sent: Vec<u8>,
    accepted: Vec<Message>,
    pings: Vec<Bytes>,
    /// How many of the other end's messages were given to the application.
    heard: usize,
    /// How many of the other end's pings were.
    pinged: usize,
    /// How many of this end's pings were answered, or passed over by a later answer.
    ponged: usize,
    /// Its application has closed, before anything else ended the connection.
    closed: Option<CloseFrame>,
    /// The Close that arrived.
    close_heard: bool,
    /// The transport has lost what this end sent, or told it that the other has ended.
    cut: bool,
    ended: bool,
    eof_told: bool,
    /// What was sent of a message in parts.
    saying: Option<Vec<u8>>,
    /// What was heard of one.
    hearing: Vec<u8>,
}

impl End {
    fn new(role: Role, config: Config, now: Instant) -> Self {
        Self {
            endpoint: Endpoint::at(now, role, config),
            in_flight: VecDeque::new(),
            sent: Vec::new(),
            accepted: Vec::new(),
            pings: Vec::new(),
            heard: 0,
            pinged: 0,
            ponged: 0,
            closed: None,
            close_heard: false,
            cut: false,
            ended: false,
            eof_told: false,
            saying: None,
            hearing: Vec::new(),
        }
    }

    fn with_deflate(mut self, params: &DeflateParams) -> Self {
        self.endpoint.connection = self.endpoint.connection.with_deflate(params);
        self
    }

    /// The next part of a message in parts, or the first.
    fn send_part(&mut self, part: &[u8], fin: bool) {
        let now = self.endpoint.now;
        let payload = Bytes::copy_from_slice(part);
        let sent = self
            .endpoint
            .connection
            .send_part(now, MessageKind::Binary, payload, fin);
        if sent.is_err() {
            return;
        }
        let mut said = self.saying.take().unwrap_or_default();
        said.extend_from_slice(part);
        if fin {
            self.accepted.push(said.into());
        } else {
            self.saying = Some(said);
        }
    }

    fn send(&mut self, message: Message, form: Form) {
        let connection = &mut self.endpoint.connection;
        let (before, hard) = (connection.queued(), connection.config().limits.hard_queue);
        let outgoing = match form {
            Form::Plain => message.clone().into(),
            Form::Prepared => Outgoing::from(Prepared::new(&message)),
            Form::Compressed => Prepared::compressed(&message, &Deflate::for_server()).into(),
        };
        let open = connection.state() == State::Open;
        let len = message.len();
        if connection.send(self.endpoint.now, outgoing).is_ok() {
            assert!(open, "nothing is accepted once the end has begun");
            self.accepted.push(message);
            // The hard limit is one of payloads; each message counts for a little more.
            assert!(
                before == 0 || before + len <= hard,
                "the queue is over its limit"
            );
        } else {
            let able = open && before == 0 && self.saying.is_none();
            assert!(!able, "an empty queue takes any message");
        }
    }

    fn ping(&mut self, payload: Bytes) {
        let now = self.endpoint.now;
        if self.endpoint.connection.ping(now, payload.clone()).is_ok() {
            self.pings.push(payload);
        }
    }

    fn close(&mut self, frame: CloseFrame) {
        let connection = &mut self.endpoint.connection;
        if connection.state() == State::Open {
            // RFC 6455 §7.4.1: a server does not say 1010.
            let code = match (connection.role(), frame.code()) {
                (Role::Server, CloseCode::MANDATORY_EXTENSION) => CloseCode::INTERNAL_ERROR,
                (_, code) => code,
            };
            self.closed = CloseFrame::new(code, frame.reason()).ok();
        }
        connection.close(self.endpoint.now, frame);
    }

    fn write(&mut self, max: usize) -> bool {
        if self.ended {
            return false;
        }
        let bytes = self.endpoint.write(max);
        self.sent.extend(&bytes);
        self.in_flight.extend(&bytes);
        !bytes.is_empty()
    }

    /// Takes what the other end has put onto the transport.
    fn read(&mut self, from: &mut Self, max: usize, direct: bool) -> bool {
        if self.endpoint.connection.step() == Step::Drop {
            return false;
        }
        let n = max.min(from.in_flight.len());
        let bytes: Vec<u8> = from.in_flight.drain(..n).collect();
        if bytes.is_empty() {
            let ended = from.ended && from.in_flight.is_empty();
            if !ended || self.eof_told {
                return false;
            }
            self.eof_told = true;
            self.endpoint.connection.handle_eof(self.endpoint.now);
            return true;
        }
        let events = if direct {
            self.endpoint.receive_direct(&bytes)
        } else {
            self.endpoint.receive_bytes(&bytes)
        };
        for event in events {
            self.hear(event, from);
        }
        true
    }

    fn hear(&mut self, event: Event, from: &Self) {
        assert!(!self.close_heard, "behind a Close comes {event:?}");
        match event {
            Event::Part { payload, fin, kind } => {
                self.hearing.extend(payload);
                if fin {
                    let whole = std::mem::take(&mut self.hearing);
                    self.hear(whole_message(kind, whole), from);
                }
            }
            Event::Message(message) => {
                assert!(self.closed.is_none(), "heard after our own Close");
                assert!(
                    from.accepted.get(self.heard) == Some(&message),
                    "not the message number {}",
                    self.heard
                );
                self.heard += 1;
            }
            // Keepalive pings, of four bytes, are the connection's own.
            Event::Ping(payload) => {
                if from.pings.get(self.pinged) == Some(&payload) {
                    self.pinged += 1;
                }
            }
            Event::Pong { payload, .. } if payload.len() == 8 => {
                let rest = self.pings.get(self.ponged..).unwrap_or_default();
                let answered = rest.iter().position(|ping| *ping == payload);
                assert!(answered.is_some(), "a pong out of order");
                self.ponged += answered.unwrap_or_default() + 1;
            }
            Event::Pong { .. } | Event::Late => {}
            Event::Close(_) => self.close_heard = true,
            other => unreachable!("{other:?}"),
        }
    }

    /// What a driver does once nothing is left to write.
    fn step(&mut self) -> bool {
        let connection = &mut self.endpoint.connection;
        match connection.step() {
            Step::Shutdown if !connection.wants_write() => connection.shutdown_done(),
            Step::Drop => {}
            Step::Run | Step::Shutdown => return false,
        }
        !std::mem::replace(&mut self.ended, true)
    }

    fn wait(&mut self, time: Duration) {
        self.endpoint.wait(time);
        let now = self.endpoint.now;
        let due = |end: &Self| {
            let next = end.endpoint.connection.poll_timeout();
            next.is_some_and(|at| at <= now)
        };
        // A ping, that its pong is late, that it has not come.
        for _ in 0..3 {
            if due(self) {
                self.endpoint.connection.handle_timeout(now);
                let told = self.endpoint.poll_events();
                assert!(told.iter().all(|event| *event == Event::Late), "{told:?}");
            }
        }
        assert!(!due(self), "a deadline stays due");
    }

    /// A keepalive ping may take the place of one that has not left.
    fn gives_up_pings(&self) -> bool {
        let config = self.endpoint.connection.config();
        let interval = config.keepalive_interval.unwrap_or(Duration::MAX);
        interval < config.write_timeout
    }

    /// Nothing but its application and the other's has ended it.
    fn is_sound(&self) -> bool {
        let outcome = self.endpoint.connection.outcome();
        !self.cut && outcome.is_none_or(|outcome| outcome.cause == Cause::Close)
    }
}

fn act(ends: &mut [End; 2], input: &mut Input<'_>) {
    let what = input.byte();
    let [client, server] = ends;
    let (near, far) = if what & 1 == 0 {
        (client, server)
    } else {
        (server, client)
    };
    match (what >> 1) % 13 {
        0 => near.send(message(input, near.accepted.len()), Form::Plain),
        1 => {
            let form = if what & 0x80 == 0 {
                Form::Prepared
            } else {
                Form::Compressed
            };
            near.send(message(input, near.accepted.len()), form);
        }
        12 => {
            let len = input.short() % 2000;
            near.send_part(&filling(len, len), what & 0x80 != 0);
        }
        2 => near.ping(Bytes::copy_from_slice(&near.pings.len().to_be_bytes())),
        3 => near.close(close(input)),
        4 => drop(near.write(input.short())),
        5 => drop(near.write(usize::MAX)),
        6 => drop(near.read(far, input.short() + 1, what & 0x80 != 0)),
        7 => drop(near.read(far, usize::MAX, what & 0x80 != 0)),
        8 => drop(near.step()),
        9 => {
            let time = Duration::from_millis(10 * u64::from(input.byte()));
            near.wait(time);
            far.wait(time);
        }
        10 => exchange(ends),
        _ if input.byte() == 0x55 => {
            near.in_flight.clear();
            (near.cut, near.ended, far.cut) = (true, true, true);
        }
        _ => {}
    }
}

/// How a message is given.
#[derive(Clone, Copy)]
enum Form {
    Plain,
    Prepared,
    Compressed,
}

/// A message that says which one it is, of any length and kind.
fn message(input: &mut Input<'_>, number: usize) -> Message {
    let kind = input.byte();
    let len = match kind >> 1 & 3 {
        0 => usize::from(input.byte()) % 8,
        1 => usize::from(input.byte()),
        2 => input.short() % 3000,
        _ => input.short() * 2,
    };
    match (kind & 1, kind & 8) {
        (0, _) => {
            let mut text = format!("{number} é漢😀 ").repeat(len / 8 + 1);
            let end = (0..=len).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
            text.into()
        }
        (_, 0) => filling(number, len).into(),
        _ => input.take(len).to_vec().into(),
    }
}

/// Bytes of which no two beginnings are alike.
fn filling(number: usize, len: usize) -> Vec<u8> {
    let number = number.to_be_bytes().into_iter().cycle();
    number
        .zip(0..len)
        .map(|(byte, at)| byte ^ at.to_be_bytes()[7])
        .collect()
}

fn whole_message(kind: MessageKind, payload: Vec<u8>) -> Event {
    Event::Message(match kind {
        MessageKind::Binary => payload.into(),
        MessageKind::Text => match String::from_utf8(payload) {
            Ok(text) => text.into(),
            Err(error) => unreachable!("{error}"),
        },
    })
}

fn close(input: &mut Input<'_>) -> CloseFrame {
    let code = CloseCode::new(1000 + (u16::from_be_bytes([input.byte(), input.byte()]) % 4000));
    let reason = String::from_utf8_lossy(input.take(3)).into_owned();
    CloseFrame::new(code, reason).unwrap_or_else(|_| CloseFrame::normal())
}

/// Moves bytes and ends of the transport until nothing moves any more.
fn exchange(ends: &mut [End; 2]) {
    let [client, server] = ends;
    while client.write(usize::MAX)
        | server.write(usize::MAX)
        | client.step()
        | server.step()
        | server.read(client, usize::MAX, false)
        | client.read(server, usize::MAX, false)
    {}
}

/// Once all that was sent has arrived. Connections that compress `remember` what they have seen.
fn judge_open(ends: &[End; 2], remember: bool) {
    if !ends.iter().all(End::is_sound) {
        return;
    }
    for (near, far) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
        // Whoever has not closed is given all: what the other has accepted leaves before its Close.
        if near.closed.is_none() {
            assert_eq!(near.heard, far.accepted.len(), "messages were lost");
        }
        if near.closed.is_none() && far.closed.is_none() && !far.gives_up_pings() {
            assert_eq!(near.pinged, far.pings.len(), "pings were lost");
            let connection = &near.endpoint.connection;
            assert_eq!(connection.queued(), 0);
            let between = near.saying.is_none() && far.saying.is_none();
            assert!(remember || !between || connection.buffered() == 0);
        }
    }
}

/// Once one of them has closed, and the other has had time to answer.
fn judge_closed(ends: &[End; 2]) {
    if !ends.iter().all(End::is_sound) {
        return;
    }
    for (near, far) in [(&ends[0], &ends[1]), (&ends[1], &ends[0])] {
        let frames = wire::frames(&near.sent);
        let close = frames.iter().position(|frame| frame.opcode == 0x8);
        assert_eq!(
            close,
            Some(frames.len() - 1),
            "one Close, at the end: {frames:?}"
        );
        let outcome = near.endpoint.outcome();
        assert!(outcome.clean, "{outcome}");
        let (ours, theirs) = (outcome.sent, outcome.received);
        if let Some(close) = &near.closed {
            assert_eq!(ours.as_ref(), Some(close), "what the application said");
        }
        assert_eq!(
            theirs.map(|close| (close.code(), close.reason().to_owned())),
            far.endpoint
                .connection
                .outcome()
                .and_then(|outcome| outcome.sent)
                .map(|close| (close.code(), close.reason().to_owned()))
        );
    }
}
