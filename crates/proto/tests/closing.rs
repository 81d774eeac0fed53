//! Goal: the closing handshake, failing and who ends the transport (RFC 6455 §5.5.1, §7).
//! Method: wire literals into one endpoint for each rule; a pair for the races; virtual time for deadlines.

use std::{io::ErrorKind, time::Duration};

use fullduplex_proto::{
    Cause, CloseCode, CloseFrame, Config, Deadline, Event, Initiator, Message, Role, SendErrorKind,
    State, Step, Violation,
};
use fullduplex_testkit::{Endpoint, Pair, assert_clean_close, assert_fails_with, wire};

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

#[expect(clippy::unwrap_used, reason = "the code and the reason are valid")]
fn bye() -> CloseFrame {
    CloseFrame::new(CloseCode::NORMAL_CLOSURE, "bye").unwrap()
}

fn endpoint(role: Role) -> Endpoint {
    Endpoint::new(role, Config::default())
}

fn close(endpoint: &mut Endpoint, frame: CloseFrame) {
    endpoint.connection.close(endpoint.now, frame);
}

fn as_client(frames: &[wire::Frame]) -> Vec<u8> {
    frames
        .iter()
        .flat_map(|frame| frame.clone().masked().bytes())
        .collect()
}

#[test]
fn p68_an_empty_close_is_1005_and_answered_with_an_empty_one() {
    for role in ROLES {
        let mut endpoint = endpoint(role);
        let events = endpoint.receive(&[wire::close_empty()]);
        assert_eq!(events, [Event::Close(CloseFrame::empty())]);
        assert_eq!(endpoint.transmit(), [wire::close_empty()]);
        endpoint.finish();
        let outcome = endpoint.outcome();
        assert_eq!(outcome.code(), CloseCode::NO_STATUS_RCVD);
        assert!(outcome.clean);
        assert_eq!(outcome.to_string(), "1005 by peer");
    }
}

#[test]
fn p69_a_body_of_one_byte_is_1002() {
    let input = as_client(&[wire::frame(0x8, [3])]);
    let outcome = assert_fails_with(Role::Server, CloseCode::PROTOCOL_ERROR, &input);
    assert_eq!(
        outcome.cause,
        Cause::Violation(Violation::CloseBodyTooShort)
    );
    assert_eq!(outcome.code(), CloseCode::ABNORMAL_CLOSURE);
    assert_eq!(
        outcome.to_string(),
        "1002 \"close frame with one byte\" by us: close frame with one byte"
    );
}

#[test]
fn p70_every_code_that_may_be_on_the_wire_is_echoed_and_every_other_is_1002() {
    for code in 0..=u16::MAX {
        let legal = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let mut server = endpoint(Role::Server);
        let events = server.receive(&[wire::close(code, "why")]);
        let sent = server.transmit();
        if legal {
            assert_eq!(sent, [wire::close(code, "")]);
            let frame = CloseFrame::new(CloseCode::new(code), "why").unwrap();
            assert_eq!(events, [Event::Close(frame)]);
        } else {
            assert_eq!(events, [], "{code}");
            let reason = format!("close code {code} not allowed");
            assert_eq!(sent, [wire::close(1002, reason)]);
        }
    }
}

#[test]
fn p71_a_reason_that_is_not_utf8_is_1007() {
    let input = as_client(&[wire::close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")]);
    let outcome = assert_fails_with(Role::Server, CloseCode::INVALID_FRAME_PAYLOAD_DATA, &input);
    assert_eq!(outcome.cause, Cause::Violation(Violation::InvalidUtf8));
}

#[test]
fn p71_a_reason_of_123_bytes_is_read_whole() {
    let reason = "é".repeat(61) + "!";
    let mut server = endpoint(Role::Server);
    server.receive(&[wire::close(4000, &reason)]);
    server.transmit();
    server.finish();
    assert_eq!(server.outcome().reason(), reason);
}

#[test]
fn p72_the_answer_echoes_the_code_not_the_reason_and_nothing_follows_it() {
    for role in ROLES {
        let mut endpoint = endpoint(role);
        endpoint.receive(&[wire::close(4321, "because")]);
        assert_eq!(endpoint.connection.state(), State::Closing);
        let refused = endpoint.connection.send(endpoint.now, "late").unwrap_err();
        assert_eq!(refused.kind, SendErrorKind::Closed);
        assert_eq!(refused.to_string(), "the connection is closing");
        close(&mut endpoint, bye());
        assert_eq!(endpoint.transmit(), [wire::close(4321, "")]);
        assert_eq!(endpoint.transmit(), []);
    }
}

#[test]
fn p72_messages_between_our_close_and_the_peers_are_thrown_away_and_its_close_is_seen_at_once() {
    for role in ROLES {
        for count in 0..4 {
            let mut endpoint = endpoint(role);
            close(&mut endpoint, bye());
            assert_eq!(endpoint.transmit(), [wire::close(1000, "bye")]);
            let mut input = vec![wire::text("late"); count];
            input.push(wire::close(1000, ""));
            let events = endpoint.receive(&input);
            assert_eq!(events, [Event::Close(CloseFrame::normal())], "{count}");
            assert!(!endpoint.connection.has_pending_input());
        }
    }
}

#[test]
fn p72_messages_that_had_arrived_when_we_closed_are_thrown_away_too() {
    let mut server = endpoint(Role::Server);
    let mut input = as_client(&[wire::text("a"), wire::text("b"), wire::close(1001, "")]);
    let first = server.connection.handle_input(server.now, &mut input);
    assert_eq!(first, Some(Event::Message(Message::text("a"))));
    close(&mut server, bye());
    let close = CloseFrame::new(CloseCode::GOING_AWAY, "").unwrap();
    assert_eq!(server.poll_events(), [Event::Close(close)]);
}

#[test]
fn p72_a_violation_after_our_close_still_fails_the_connection() {
    let mut server = endpoint(Role::Server);
    close(&mut server, bye());
    server.receive(&[wire::text("late").rsv(1)]);
    assert_eq!(server.transmit(), [wire::close(1000, "bye")], "said once");
    server.finish();
    let outcome = server.outcome();
    assert_eq!(outcome.cause, Cause::Violation(Violation::ReservedBits));
    assert!(!outcome.clean);
}

#[test]
fn p73_what_comes_after_the_peers_close_is_ignored() {
    for role in ROLES {
        let mut endpoint = endpoint(role);
        let mut input = vec![wire::close(1000, "")];
        // Not even looked at: this would be a violation.
        input.push(wire::text("late").rsv(0b111));
        assert_eq!(endpoint.receive(&input).len(), 1);
        assert_eq!(endpoint.receive(&[wire::ping("later")]), []);
        assert!(endpoint.connection.payload_space().is_none());
        assert_eq!(endpoint.transmit(), [wire::close(1000, "")]);
        endpoint.finish();
        assert!(endpoint.outcome().clean);
    }
}

#[test]
fn p74_a_close_inside_a_message_drops_the_message() {
    let mut server = endpoint(Role::Server);
    let events = server.receive(&[wire::text("half").not_fin(), wire::close(1001, "leaving")]);
    let expected = CloseFrame::new(CloseCode::GOING_AWAY, "leaving").unwrap();
    assert_eq!(events, [Event::Close(expected)]);
    assert_eq!(server.transmit(), [wire::close(1001, "")]);
    assert_eq!(server.connection.buffered(), 0);
    server.finish();
    assert!(server.outcome().clean);
}

#[test]
fn p75_closes_that_cross_need_no_answer() {
    for chunk in [1, usize::MAX] {
        let mut pair = Pair::default().chunked(chunk);
        let other = CloseFrame::new(CloseCode::GOING_AWAY, "restart").unwrap();
        close(&mut pair.client.endpoint, bye());
        close(&mut pair.server.endpoint, other.clone());
        pair.exchange();
        assert_eq!(pair.client.frames(), [wire::close(1000, "bye")]);
        assert_eq!(pair.server.frames(), [wire::close(1001, "restart")]);
        for side in [&pair.client, &pair.server] {
            let outcome = side.endpoint.outcome();
            assert!(outcome.clean);
            assert_eq!(outcome.initiator, Initiator::Local);
        }
        let client = pair.client.endpoint.outcome();
        assert_eq!(client.received, Some(other));
        assert_eq!(client.sent, Some(bye()));
    }
}

#[test]
fn p75_either_side_may_begin() {
    for role in ROLES {
        for chunk in [1, 3, usize::MAX] {
            let mut pair = Pair::default().chunked(chunk);
            close(&mut pair.side(role).endpoint, bye());
            pair.exchange();
            assert_clean_close(&pair, CloseCode::NORMAL_CLOSURE, "bye");
        }
    }
}

#[test]
fn p76_the_server_ends_tcp_first_and_the_client_waits_for_it() {
    for initiator in ROLES {
        let mut server = endpoint(Role::Server);
        let mut client = endpoint(Role::Client);
        for endpoint in [&mut server, &mut client] {
            if endpoint.connection.role() == initiator {
                close(endpoint, bye());
                endpoint.transmit();
            }
            assert_eq!(endpoint.connection.step(), Step::Run);
            endpoint.receive(&[wire::close(1000, "")]);
            endpoint.transmit();
        }
        assert_eq!(server.connection.step(), Step::Shutdown);
        server.connection.shutdown_done();
        assert_eq!(server.connection.step(), Step::Run, "it drains");
        server.receive_bytes(b"whatever comes behind a Close");
        server.connection.handle_eof(server.now);
        assert_eq!(server.connection.step(), Step::Drop);
        assert!(server.outcome().clean);

        assert_eq!(client.connection.step(), Step::Run, "it waits");
        assert_eq!(client.connection.outcome(), None);
        client.connection.handle_eof(client.now);
        assert_eq!(client.connection.step(), Step::Drop);
        assert!(client.outcome().clean);
    }
}

#[test]
fn p76_a_client_waits_for_the_end_no_longer_than_the_close_timeout() {
    let mut client = endpoint(Role::Client);
    client.receive(&[wire::close(1000, "")]);
    client.transmit();
    assert_eq!(client.wait_for_deadline(), Some(CLOSE_TIMEOUT));
    assert_eq!(client.connection.step(), Step::Drop);
    let outcome = client.outcome();
    assert!(outcome.clean, "both Closes were exchanged: {outcome}");
    assert_eq!(outcome.cause, Cause::Close);
}

#[test]
fn p77_a_close_that_is_not_answered_ends_at_the_close_timeout() {
    for role in ROLES {
        let mut endpoint = endpoint(role);
        endpoint.wait(Duration::from_secs(3));
        close(&mut endpoint, bye());
        endpoint.transmit();
        assert_eq!(endpoint.wait_for_deadline(), Some(CLOSE_TIMEOUT));
        let outcome = endpoint.outcome();
        assert_eq!(outcome.cause, Cause::Timeout(Deadline::Close));
        assert_eq!(outcome.sent, Some(bye()));
        assert_eq!(outcome.received, None);
        assert!(!outcome.clean);
        assert_eq!(outcome.to_string(), "1000 \"bye\" by us: close timeout");
    }
}

#[test]
fn p77_the_close_timeout_also_ends_a_close_that_can_not_be_written() {
    for role in ROLES {
        let mut endpoint = endpoint(role);
        endpoint.send(vec![0; 10_000]);
        close(&mut endpoint, bye());
        endpoint.write(500);
        assert_eq!(endpoint.wait_for_deadline(), Some(CLOSE_TIMEOUT));
        assert_eq!(endpoint.connection.step(), Step::Drop);
        let outcome = endpoint.outcome();
        assert_eq!(outcome.sent, None, "it never left");
        assert_eq!(outcome.to_string(), "1006 by us: close timeout");
        assert!(
            !endpoint.connection.wants_write(),
            "there is nowhere to write to"
        );
        assert!(!endpoint.connection.wants_control_write());
        assert_eq!(endpoint.transmit_bytes(), []);
    }
}

#[test]
fn p77_a_close_counts_as_sent_when_its_last_byte_was_taken() {
    for role in ROLES {
        let mut whole = endpoint(role);
        whole.receive(&[wire::close(1000, "")]);
        let len = whole.transmit_bytes().len();
        for taken in 0..len {
            let mut endpoint = endpoint(role);
            endpoint.receive(&[wire::close(1000, "")]);
            endpoint.write(taken);
            assert_eq!(endpoint.connection.step(), Step::Run, "{taken} of {len}");
            // The peer may end its direction before it has read our answer.
            endpoint.connection.handle_eof(endpoint.now);
            assert_eq!(endpoint.connection.state(), State::Closing);
            assert!(endpoint.connection.wants_control_write());
            let rest = endpoint.transmit_bytes();
            assert_eq!(rest.len(), len - taken);
            if endpoint.connection.step() == Step::Shutdown {
                endpoint.connection.shutdown_done();
            }
            assert!(endpoint.outcome().clean);
        }
        for taken in 0..len {
            let mut endpoint = endpoint(role);
            endpoint.receive(&[wire::close(1000, "")]);
            endpoint.write(taken);
            endpoint
                .connection
                .handle_error(endpoint.now, ErrorKind::BrokenPipe);
            let outcome = endpoint.outcome();
            assert_eq!(outcome.sent, None, "{taken} of {len}");
            assert!(!outcome.clean);
        }
    }
}

#[test]
fn p78_an_end_without_close_is_1006_wherever_it_comes() {
    let input = as_client(&[wire::text("a").not_fin(), wire::continuation("bc")]);
    for at in 0..=input.len() {
        let mut server = endpoint(Role::Server);
        server.send("never leaves");
        server.receive_bytes(&input[..at]);
        server.connection.handle_eof(server.now);
        assert_eq!(server.connection.step(), Step::Drop);
        let outcome = server.outcome();
        assert_eq!(outcome.cause, Cause::Eof);
        assert_eq!(outcome.code(), CloseCode::ABNORMAL_CLOSURE);
        assert_eq!(outcome.initiator, Initiator::Peer);
        assert!(!outcome.clean);
        assert_eq!(
            outcome.to_string(),
            "1006 by peer: connection ended without Close"
        );
        assert!(!server.connection.wants_write());
    }
}

#[test]
fn p78_the_peer_may_end_its_direction_after_its_close() {
    for role in ROLES {
        let mut endpoint = endpoint(role);
        endpoint.receive(&[wire::close(1000, "")]);
        endpoint.connection.handle_eof(endpoint.now);
        assert_eq!(endpoint.transmit(), [wire::close(1000, "")], "still said");
        if endpoint.connection.step() == Step::Shutdown {
            endpoint.connection.shutdown_done();
        }
        assert!(endpoint.outcome().clean);
    }
}

#[test]
fn p78_the_transport_is_read_until_its_end_and_not_again() {
    for role in ROLES {
        let mut endpoint = endpoint(role);
        assert!(endpoint.connection.wants_read());
        endpoint.receive(&[wire::close(1000, "")]);
        assert!(endpoint.connection.wants_read(), "its end is awaited");
        endpoint.connection.handle_eof(endpoint.now);
        assert!(!endpoint.connection.wants_read());
        assert!(endpoint.connection.wants_write(), "though it is not over");

        let mut abandoned = Endpoint::new(role, Config::default());
        abandoned.connection.abandon(abandoned.now);
        assert!(!abandoned.connection.wants_read());
    }
}

#[test]
fn p78_an_end_instead_of_the_answer_to_our_close_is_not_clean() {
    for role in ROLES {
        let mut endpoint = endpoint(role);
        close(&mut endpoint, bye());
        endpoint.transmit();
        endpoint.connection.handle_eof(endpoint.now);
        assert_eq!(endpoint.connection.step(), Step::Drop);
        let outcome = endpoint.outcome();
        assert!(!outcome.clean);
        assert_eq!(outcome.sent, Some(bye()));
        assert_eq!(
            outcome.to_string(),
            "1000 \"bye\" by us: closing handshake not completed"
        );
    }
}

#[test]
fn p78_p79_a_broken_transport_after_both_closes_is_still_clean_and_before_is_1006() {
    for role in ROLES {
        for kind in [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof] {
            let mut endpoint = endpoint(role);
            endpoint.receive(&[wire::close(1000, "done")]);
            endpoint.transmit();
            endpoint.connection.handle_error(endpoint.now, kind);
            assert_eq!(endpoint.connection.step(), Step::Drop);
            let after = endpoint.outcome();
            assert!(after.clean);
            assert_eq!(after.to_string(), "1000 \"done\" by peer");

            let mut endpoint = Endpoint::new(role, Config::default());
            endpoint.connection.handle_error(endpoint.now, kind);
            let before = endpoint.outcome();
            assert!(!before.clean);
            assert_eq!(before.cause, Cause::Io(kind));
            assert_eq!(before.code(), CloseCode::ABNORMAL_CLOSURE);
        }
    }
}

#[test]
fn p80_after_failing_the_close_leaves_the_direction_ends_and_a_bounded_rest_is_drained() {
    let mut server = endpoint(Role::Server);
    let max = server.connection.config().limits.max_drain;
    let huge = wire::binary("").declaring(1 << 40).masked().bytes();
    assert_eq!(server.receive_bytes(&huge), []);
    assert_eq!(server.connection.step(), Step::Run, "first it is said");
    assert_eq!(server.transmit(), [wire::close(1009, "frame too big")]);
    assert_eq!(server.connection.step(), Step::Shutdown);
    server.connection.shutdown_done();

    let piece = vec![0; 1 << 16];
    let pieces = usize::try_from(max).unwrap() / piece.len();
    for _ in 0..pieces {
        assert_eq!(server.receive_bytes(&piece), []);
        assert_eq!(
            server.connection.step(),
            Step::Run,
            "the peer may still read"
        );
        assert_eq!(server.connection.buffered(), 0);
    }
    server.receive_bytes(&[0]);
    assert_eq!(server.connection.step(), Step::Drop);
    let outcome = server.outcome();
    assert_eq!(outcome.cause, Cause::Violation(Violation::FrameTooBig));
    assert_eq!(outcome.initiator, Initiator::Local);
}

#[test]
fn p80_the_drain_ends_with_the_close_timeout() {
    let mut server = endpoint(Role::Server);
    server.receive(&[wire::frame(0x3, "")]);
    server.transmit();
    server.connection.shutdown_done();
    assert_eq!(server.wait_for_deadline(), Some(CLOSE_TIMEOUT));
    let outcome = server.outcome();
    assert_eq!(
        outcome.cause,
        Cause::Violation(Violation::ReservedOpcode(3)),
        "the cause is what began it"
    );
}

#[test]
fn p80_the_close_of_a_failure_leaves_even_if_the_peers_direction_has_ended() {
    for role in ROLES {
        let mut endpoint = endpoint(role);
        endpoint.receive(&[wire::frame(0x3, "")]);
        endpoint.connection.handle_eof(endpoint.now);
        assert_eq!(
            endpoint.transmit(),
            [wire::close(1002, "reserved opcode 0x3")]
        );
        assert_eq!(endpoint.connection.step(), Step::Drop);
    }
}

#[test]
fn p81_a_server_that_goes_says_1001() {
    let mut pair = Pair::default();
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "").unwrap();
    close(&mut pair.server.endpoint, frame);
    pair.exchange();
    assert_clean_close(&pair, CloseCode::GOING_AWAY, "");
}

#[test]
fn p81_an_abandoned_connection_says_nothing_and_is_over_at_once() {
    for role in ROLES {
        let mut endpoint = endpoint(role);
        endpoint.send("never leaves");
        endpoint.connection.abandon(endpoint.now);
        assert_eq!(endpoint.connection.step(), Step::Drop);
        assert_eq!(endpoint.transmit_bytes(), []);
        assert!(!endpoint.connection.wants_write());
        assert_eq!(endpoint.connection.poll_timeout(), None);
        let outcome = endpoint.outcome();
        assert_eq!(outcome.cause, Cause::Abandoned);
        assert_eq!(outcome.to_string(), "1006 by us: dropped");
    }
}

#[test]
fn p82_the_outcome_says_who_what_and_why() {
    let mut pair = Pair::default();
    close(&mut pair.client.endpoint, bye());
    pair.exchange();
    let client = pair.client.endpoint.outcome();
    let server = pair.server.endpoint.outcome();
    assert_eq!(client.initiator, Initiator::Local);
    assert_eq!(server.initiator, Initiator::Peer);
    assert_eq!(client.sent, Some(bye()));
    assert_eq!(server.received, Some(bye()));
    assert_eq!(server.sent, Some(CloseFrame::normal()), "the code alone");
    assert_eq!(client.received, server.sent);
    assert_eq!((client.cause, server.cause), (Cause::Close, Cause::Close));
    assert_eq!(client.to_string(), "1000 \"bye\" by us");
    assert_eq!(server.to_string(), "1000 \"bye\" by peer");
}

#[test]
fn p87_row24_the_close_follows_all_data_that_was_accepted() {
    for role in ROLES {
        let mut pair = Pair::default();
        let end = &mut pair.side(role).endpoint;
        for i in 0..50 {
            end.send(format!("message {i}"));
        }
        end.send(vec![1; 500_000]);
        close(end, bye());
        pair.exchange();
        assert_clean_close(&pair, CloseCode::NORMAL_CLOSURE, "bye");
        let received = match role {
            Role::Client => pair.server.messages(),
            Role::Server => pair.client.messages(),
        };
        assert_eq!(received.len(), 51);
    }
}

#[test]
fn p88_closing_twice_is_closing_once() {
    let mut client = endpoint(Role::Client);
    close(&mut client, bye());
    close(&mut client, CloseFrame::empty());
    assert_eq!(client.transmit(), [wire::close(1000, "bye")]);
    close(&mut client, CloseFrame::empty());
    assert_eq!(client.transmit(), []);
}
