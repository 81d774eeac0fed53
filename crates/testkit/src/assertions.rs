//! Assertions in the words of RFC 6455 §7.1.

use fullduplex_proto::{CloseCode, Config, Event, Initiator, Outcome, Role, Step};

use crate::{Endpoint, Pair, wire};

/// Asserts that `input` makes an endpoint Fail the WebSocket Connection (RFC 6455 §7.1.7) with `code`: one Close with it and
/// nothing else leaves, no message is delivered, and nothing that comes later is looked at. Both when the input comes in one
/// piece and when it comes byte by byte. Returns what the endpoint reports.
///
/// ```
/// use fullduplex_proto::{Cause, CloseCode, Role, Violation};
/// use fullduplex_testkit::{assert_fails_with, wire};
///
/// // RFC 6455 §5.1: a client masks all that it sends.
/// let input = wire::text("not masked").bytes();
/// let outcome = assert_fails_with(Role::Server, CloseCode::PROTOCOL_ERROR, &input);
/// assert_eq!(outcome.cause, Cause::Violation(Violation::Unmasked));
/// ```
///
/// # Panics
///
/// If any of that does not hold.
pub fn assert_fails_with(role: Role, code: CloseCode, input: &[u8]) -> Outcome {
    let (whole, single) = (input.chunks(input.len().max(1)), input.chunks(1));
    let outcome = fail(role, code, whole);
    assert_eq!(outcome, fail(role, code, single), "byte by byte");
    outcome
}

fn fail<'a>(role: Role, code: CloseCode, pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut endpoint = Endpoint::new(role, Config::default());
    let events: Vec<Event> = pieces
        .flat_map(|piece| endpoint.receive_bytes(piece))
        .collect();
    assert_eq!(events, [], "nothing is delivered");
    let sent = endpoint.transmit();
    let shown = format!("{sent:?}");
    let [close] = sent.as_slice() else {
        panic_with(&format!("one Close was expected, not {shown}"));
    };
    assert_eq!(close.opcode, 0x8, "a Close was expected, not {shown}");
    assert_eq!(
        close.payload.get(..2),
        Some(code.get().to_be_bytes().as_slice()),
        "a Close with {code} was expected, not {shown}"
    );

    assert_eq!(endpoint.connection.step(), Step::Shutdown);
    assert_eq!(
        endpoint.receive(&[wire::ping("late"), wire::text("late")]),
        []
    );
    assert_eq!(endpoint.transmit(), [], "nothing follows a Close");
    endpoint.finish();
    endpoint.outcome()
}

/// Asserts that the WebSocket Connection was Closed Cleanly (RFC 6455 §7.1.4) on both sides: each has sent and received one
/// Close as its last frame, has nothing left to do, and the first Close carried this code and reason.
///
/// ```
/// use fullduplex_proto::{CloseCode, CloseFrame};
/// use fullduplex_testkit::{Pair, assert_clean_close};
///
/// let mut pair = Pair::default();
/// let client = &mut pair.client.endpoint;
/// client.connection.close(client.now, CloseFrame::normal());
/// pair.exchange();
/// assert_clean_close(&pair, CloseCode::NORMAL_CLOSURE, "");
/// ```
///
/// # Panics
///
/// If any of that does not hold.
pub fn assert_clean_close(pair: &Pair, code: CloseCode, reason: &str) {
    for side in [&pair.client, &pair.server] {
        let role = side.endpoint.connection.role();
        let frames = side.frames();
        let closes = frames.iter().filter(|frame| frame.opcode == 0x8).count();
        assert_eq!(closes, 1, "Closes of the {role:?} in {frames:?}");
        assert!(
            frames.last().is_some_and(|frame| frame.opcode == 0x8),
            "the {role:?}'s last frame is a Close: {frames:?}"
        );
        let outcome = side.endpoint.outcome();
        assert!(outcome.clean, "{role:?}: {outcome}");
        let first = match outcome.initiator {
            Initiator::Local => outcome.sent,
            Initiator::Peer => outcome.received,
        };
        let first = first.map(|close| (close.code(), close.reason().to_owned()));
        assert_eq!(first, Some((code, reason.to_owned())), "{role:?}");
    }
}

#[expect(clippy::panic, reason = "this is how an assertion fails")]
#[track_caller]
fn panic_with(message: &str) -> ! {
    panic!("{message}")
}
