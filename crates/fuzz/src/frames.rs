//! A stream of frames, right or wrong, in pieces.

use std::time::Instant;

use fullduplex_proto::{CloseFrame, Config, Event, Limits, Outcome, Role, State, Violation};
use fullduplex_testkit::Endpoint;

use crate::input::{Input, pieces};

/// What a connection holds beyond what has arrived: the smallest buffer for a big payload, and replies.
const SLACK: usize = 128 << 10;

/// A connection takes a stream in one piece, in pieces, and byte by byte: it has to say the same each time, and may never hold
/// much more than it was given.
///
/// Input: role and settings, three sizes of pieces, the stream.
pub fn frames(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let cuts = input.cuts();
    let stream = input.0;
    let whole = observe(flags, stream, &[usize::MAX], false);
    for (cuts, direct) in [(&cuts[..], false), (&cuts[..], true), (&[1][..], true)] {
        let cut = observe(flags, stream, cuts, direct);
        assert_eq!(whole, cut, "in pieces of {cuts:?}, direct: {direct}");
    }
}

#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<Event>,
    /// As it was before the peer's direction ended.
    state: State,
    outcome: Outcome,
    sent: Vec<u8>,
}

fn observe(flags: u8, stream: &[u8], cuts: &[usize], direct: bool) -> Seen {
    let mut config = Config::default();
    if flags & 2 != 0 {
        config.limits = Limits::with_max_message(1000);
        config.limits.max_frame = 600;
        config.limits.max_fragments = 5;
    }
    if flags & 4 != 0 {
        config.limits = Limits::with_max_message(1 << 40);
    }
    // All pongs are kept until the end, where what was sent is compared.
    config.limits.max_pongs = usize::MAX;
    config.limits.max_drain = u64::MAX;
    let role = if flags & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let now = Instant::now();
    let mut endpoint = Endpoint::at(now, role, config);
    let mut events = Vec::new();
    let mut received = 0;
    for piece in pieces(stream, cuts) {
        received += piece.len();
        events.extend(if direct {
            endpoint.receive_direct(piece)
        } else {
            endpoint.receive_bytes(piece)
        });
        let buffered = endpoint.connection.buffered();
        assert!(
            buffered <= 2 * received + SLACK,
            "{buffered} bytes are held of {received}"
        );
        let deadline = endpoint.connection.poll_timeout();
        assert!(deadline.is_none_or(|at| at > now), "a deadline is due");
    }
    let state = endpoint.connection.state();
    let sent = unmasked(endpoint.transmit());
    endpoint.finish();
    let outcome = endpoint.outcome();
    judge(&events, &outcome);
    Seen {
        events,
        state,
        outcome,
        sent,
    }
}

/// The masking keys that an endpoint draws depend on how often it was asked to write.
fn unmasked(frames: Vec<fullduplex_testkit::wire::Frame>) -> Vec<u8> {
    frames
        .into_iter()
        .flat_map(|frame| frame.without_key().bytes())
        .collect()
}

/// What holds for any stream.
fn judge(events: &[Event], outcome: &Outcome) {
    let is_close = |event: &Event| matches!(event, Event::Close(_));
    let close = events.iter().position(is_close);
    assert!(
        close.is_none_or(|at| at + 1 == events.len()),
        "something is told behind a Close: {events:?}"
    );
    assert_eq!(outcome.clean, close.is_some(), "{outcome:?}");
    if let fullduplex_proto::Cause::Violation(violation) = outcome.cause {
        let sent = outcome.sent.as_ref().map(CloseFrame::code);
        assert_eq!(sent, Some(Violation::code(violation)));
        assert!(!outcome.clean);
    }
}
