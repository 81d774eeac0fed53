//! Goal: every deadline of a connection, at its moment and with its code.
//! Method: virtual time; one endpoint where the peer's silence matters, a pair where its answers do.

use std::time::Duration;

use bytes::Bytes;
use fullduplex_proto::{
    Cause, CloseCode, CloseFrame, Config, ConfigError, Deadline, Event, Life, MessageKind, Role,
    State, Step,
};
use fullduplex_testkit::{
    Endpoint, Pair,
    wire::{self, Frame},
};

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// Only the deadlines that a test sets.
fn no_deadlines() -> Config {
    let mut config = Config::default();
    config.keepalive_interval = None;
    config.message_timeout = None;
    config
}

fn server(change: impl FnOnce(&mut Config)) -> Endpoint {
    let mut config = no_deadlines();
    change(&mut config);
    Endpoint::new(Role::Server, config)
}

fn cause(endpoint: &mut Endpoint) -> Cause {
    endpoint.finish();
    endpoint.outcome().cause
}

fn keepalive(life: Life) -> Endpoint {
    server(|config| {
        config.keepalive_interval = Some(20 * S);
        config.keepalive_timeout = 10 * S;
        config.keepalive_life = life;
    })
}

fn probe(number: u32) -> Frame {
    wire::ping(number.to_be_bytes())
}

#[test]
fn row18_p83_a_transport_that_takes_nothing_for_the_write_timeout_ends_the_connection() {
    let mut server = server(|config| config.write_timeout = 10 * S);
    assert_eq!(server.connection.poll_timeout(), None, "nothing is queued");
    server.send(vec![0; 1000]);
    server.wait(9 * S);
    server.send("more does not start the clock anew");
    assert_eq!(server.wait_for_deadline(), Some(S));
    assert_eq!(server.connection.step(), Step::Drop);
    let outcome = server.outcome();
    assert_eq!(outcome.cause, Cause::Timeout(Deadline::Write));
    assert_eq!(
        outcome.sent, None,
        "a transport that takes nothing takes no Close"
    );
    assert_eq!(outcome.to_string(), "1006 by us: write timeout");
    assert!(!server.connection.wants_write());
}

#[test]
fn row18_a_part_of_nothing_waits_for_no_transport() {
    let mut server = server(|_| {});
    let part = server
        .connection
        .send_part(server.now, MessageKind::Text, Bytes::new(), false);
    assert_eq!(part, Ok(()));
    assert!(!server.connection.wants_write());
    assert_eq!(server.connection.poll_timeout(), None);
}

#[test]
fn row18_any_progress_gives_the_transport_the_whole_time_again() {
    let mut server = server(|config| config.write_timeout = 10 * S);
    server.send(vec![0; 1000]);
    for _ in 0..50 {
        server.wait(9 * S);
        assert_eq!(server.write(1).len(), 1);
    }
    assert_eq!(server.connection.state(), State::Open);
    server.transmit_bytes();
    assert_eq!(server.connection.poll_timeout(), None);
    server.send("new");
    assert_eq!(server.wait_for_deadline(), Some(10 * S));
    assert_eq!(server.connection.step(), Step::Drop);
}

#[test]
fn row18_a_pong_that_can_not_be_written_counts_too() {
    let mut server = server(|config| config.write_timeout = 10 * S);
    server.receive(&[wire::ping("x")]);
    assert_eq!(server.wait_for_deadline(), Some(10 * S));
    assert_eq!(server.connection.step(), Step::Drop);
}

#[test]
fn row18_the_write_deadline_can_be_acted_on_alone() {
    let mut server = keepalive(Life::AnyByte);
    assert_eq!(server.connection.poll_write_timeout(), None);
    server.send("stuck");
    server.wait(9 * S);
    server.connection.handle_write_timeout(server.now);
    assert_eq!(server.connection.state(), State::Open, "too early");
    let due = server.now + S;
    assert_eq!(server.connection.poll_write_timeout(), Some(due));
    server.wait(S);
    server.connection.handle_write_timeout(server.now);
    assert_eq!(server.outcome().cause, Cause::Timeout(Deadline::Write));

    // Others that have passed as well are left alone: what would have put them off may not have been read.
    let mut quiet = keepalive(Life::AnyByte);
    quiet.wait(100 * S);
    quiet.connection.handle_write_timeout(quiet.now);
    assert_eq!(quiet.transmit(), []);
    quiet.send("leaves");
    quiet.transmit();
    assert_eq!(quiet.connection.poll_write_timeout(), None);
}

#[test]
fn row20_idle_is_1001_with_a_closing_handshake() {
    let mut server = server(|config| config.idle_timeout = Some(30 * S));
    assert_eq!(server.wait_for_deadline(), Some(30 * S));
    assert_eq!(server.transmit(), [wire::close(1001, "idle")]);
    server.receive(&[wire::close(1001, "")]);
    assert_eq!(cause(&mut server), Cause::Timeout(Deadline::Idle));
    let outcome = server.outcome();
    assert!(outcome.clean, "the peer lives and has answered");
    assert_eq!(outcome.to_string(), "1001 \"idle\" by us: idle");
}

#[test]
fn row20_p83_any_byte_ends_idleness() {
    let mut server = server(|config| config.idle_timeout = Some(30 * S));
    for byte in wire::text("trickle").masked().bytes() {
        server.wait(29 * S);
        server.receive_bytes(&[byte]);
    }
    server.wait(29 * S);
    server.receive(&[wire::pong("")]);
    assert_eq!(server.wait_for_deadline(), Some(30 * S));
    assert_eq!(server.transmit(), [wire::close(1001, "idle")]);
}

#[test]
fn row20_with_strict_life_only_data_frames_end_idleness() {
    let strict = || {
        server(|config| {
            config.idle_timeout = Some(30 * S);
            config.idle_life = Life::Strict;
        })
    };
    let mut pinged = strict();
    pinged.wait(20 * S);
    pinged.receive(&[wire::ping(""), wire::pong("")]);
    assert_eq!(pinged.transmit(), [wire::pong("")]);
    assert_eq!(pinged.wait_for_deadline(), Some(10 * S));
    assert_eq!(pinged.transmit(), [wire::close(1001, "idle")]);

    let mut messaged = strict();
    messaged.wait(20 * S);
    messaged.receive(&[wire::text("data")]);
    assert_eq!(messaged.wait_for_deadline(), Some(30 * S));
}

#[test]
fn row20_with_strict_life_the_parts_of_a_long_message_end_idleness_and_pings_inside_it_do_not() {
    let mut server = server(|config| {
        config.idle_timeout = Some(30 * S);
        config.idle_life = Life::Strict;
    });
    server.receive(&[wire::binary("first").not_fin()]);
    for _ in 0..5 {
        server.wait(20 * S);
        server.receive(&[wire::continuation("next").not_fin()]);
    }
    let long = wire::continuation(vec![0; 40_000]).masked().bytes();
    for piece in long.chunks(10_000) {
        server.wait(20 * S);
        server.receive_direct(piece);
    }
    server.wait(20 * S);
    server.receive(&[wire::binary("again").not_fin()]);
    server.wait(20 * S);
    server.receive(&[wire::ping("not data")]);
    assert_eq!(server.transmit(), [wire::pong("not data")]);
    assert_eq!(server.wait_for_deadline(), Some(10 * S));
    assert_eq!(server.transmit(), [wire::close(1001, "idle")]);
}

#[test]
fn row20_a_missing_pong_is_1011_keepalive_timeout() {
    for life in [Life::AnyByte, Life::Strict] {
        let mut server = keepalive(life);
        assert_eq!(server.wait_for_deadline(), Some(20 * S));
        assert_eq!(server.transmit(), [probe(1)]);
        assert_eq!(server.wait_for_deadline(), Some(10 * S));
        assert_eq!(server.transmit(), [wire::close(1011, "keepalive timeout")]);
        assert_eq!(server.connection.step(), Step::Shutdown);
        assert_eq!(cause(&mut server), Cause::Timeout(Deadline::Keepalive));
        assert!(!server.outcome().clean);
    }
}

#[test]
fn row20_a_peer_that_takes_what_waits_for_it_is_not_gone() {
    for life in [Life::AnyByte, Life::Strict] {
        let mut server = keepalive(life);
        server.send(vec![0; 2000]);
        for _ in 0..100 {
            server.wait(9 * S);
            server.connection.handle_timeout(server.now);
            assert!(!server.write(10).is_empty());
        }
        assert_eq!(server.connection.step(), Step::Run);
        server.transmit_bytes();
        server.send("what it takes at once proves nothing");
        server.wait(9 * S);
        server.transmit_bytes();
        assert_eq!(server.wait_for_deadline(), Some(S));
        let closed = server.transmit();
        assert_eq!(closed, [wire::close(1011, "keepalive timeout")]);
    }
}

#[test]
fn row19_p83_a_pong_keeps_the_connection_and_the_next_ping_counts_up() {
    for life in [Life::AnyByte, Life::Strict] {
        let mut server = keepalive(life);
        for number in 1_u32..100 {
            assert_eq!(server.wait_for_deadline(), Some(20 * S));
            assert_eq!(server.transmit(), [probe(number)]);
            server.wait(9 * S);
            let events = server.receive(&[wire::pong(number.to_be_bytes())]);
            let payload = number.to_be_bytes().to_vec().into();
            let latency = Some(9 * S);
            assert_eq!(events, [Event::Pong { payload, latency }]);
        }
        assert_eq!(server.connection.latency(), Some(9 * S));
        assert_eq!(server.connection.buffered(), 0);
    }
}

#[test]
fn row19_a_late_pong_is_not_taken_for_a_fresh_one() {
    let mut server = keepalive(Life::Strict);
    server.wait_for_deadline();
    server.transmit();
    server.receive(&[wire::pong(1_u32.to_be_bytes())]);
    server.wait_for_deadline();
    assert_eq!(server.transmit(), [probe(2)]);
    server.receive(&[wire::pong(1_u32.to_be_bytes()), wire::pong("")]);
    assert_eq!(server.wait_for_deadline(), Some(10 * S));
    assert_eq!(server.transmit(), [wire::close(1011, "keepalive timeout")]);
}

#[test]
fn p83_any_byte_puts_the_ping_off_unless_life_is_strict() {
    let mut any = keepalive(Life::AnyByte);
    any.wait(15 * S);
    any.receive(&[wire::text("data")]);
    assert_eq!(any.wait_for_deadline(), Some(20 * S));
    assert_eq!(any.transmit(), [probe(1)]);
    any.wait(5 * S);
    any.receive(&[wire::text("data")]);
    assert_eq!(
        any.wait_for_deadline(),
        Some(20 * S),
        "that was life enough"
    );
    assert_eq!(any.transmit(), [probe(2)]);

    let mut strict = keepalive(Life::Strict);
    strict.wait(15 * S);
    strict.receive(&[wire::text("data")]);
    assert_eq!(strict.wait_for_deadline(), Some(5 * S));
    assert_eq!(strict.transmit(), [probe(1)]);
    strict.wait(5 * S);
    strict.receive(&[wire::text("data")]);
    assert_eq!(strict.wait_for_deadline(), Some(5 * S));
    assert_eq!(strict.transmit(), [wire::close(1011, "keepalive timeout")]);
}

#[test]
fn keepalive_pings_are_bounded_though_the_peer_sends_and_never_answers() {
    let mut server = keepalive(Life::AnyByte);
    for number in 1_u32..1000 {
        assert_eq!(server.wait_for_deadline(), Some(20 * S));
        assert_eq!(server.transmit(), [probe(number)]);
        assert_eq!(server.receive(&[wire::text("busy")]).len(), 1);
    }
    // The oldest are not waited for any more, the newest still are.
    let events = server.receive(&[
        wire::pong(1_u32.to_be_bytes()),
        wire::pong(999_u32.to_be_bytes()),
    ]);
    let latencies: Vec<bool> = events
        .iter()
        .map(|event| {
            matches!(
                event,
                Event::Pong {
                    latency: Some(_),
                    ..
                }
            )
        })
        .collect();
    assert_eq!(latencies, [false, true]);
}

#[test]
fn keepalive_pings_are_bounded_though_the_peer_sends_and_hardly_reads() {
    let mut server = keepalive(Life::AnyByte);
    let max = server.connection.config().limits.max_pings;
    server.send(vec![0; 60_000]);
    for _ in 0..1000 {
        server.write(1);
        server.receive(&[wire::text("busy")]);
        server.wait(7 * S);
        server.write(1);
        server.wait(7 * S);
        server.write(1);
        server.wait(6 * S);
        server.connection.handle_timeout(server.now);
    }
    assert_eq!(server.connection.state(), State::Open);
    let rest = server.transmit_bytes();
    let tail = &rest[60_000 + 4 - 3000..];
    let pings = wire::frames(tail);
    assert_eq!(pings.len(), max);
    assert_eq!(pings.last(), Some(&probe(1000)), "the newest is kept");
}

#[test]
fn p84_a_large_message_that_is_still_arriving_is_life_but_has_its_own_deadline() {
    let mut server = server(|config| {
        config.keepalive_interval = Some(20 * S);
        config.idle_timeout = Some(30 * S);
        config.message_timeout = Some(60 * S);
    });
    let input = wire::binary(vec![0; 1000]).masked().bytes();
    let mut waited = Duration::ZERO;
    for byte in &input[..10] {
        server.receive_bytes(&[*byte]);
        if waited < 55 * S {
            server.wait(11 * S / 2);
            waited += 11 * S / 2;
        }
        assert_eq!(server.transmit(), [], "no ping, not idle");
    }
    assert_eq!(server.wait_for_deadline(), (60 * S).checked_sub(waited));
    assert_eq!(server.transmit(), [wire::close(1008, "message timeout")]);
    assert_eq!(cause(&mut server), Cause::Timeout(Deadline::Message));
}

#[test]
fn p84_the_deadline_of_a_message_counts_from_its_own_first_byte() {
    let mut server = server(|config| config.message_timeout = Some(60 * S));
    let one = wire::text("one").masked().bytes();
    let two = wire::text("two").masked().bytes();
    assert_eq!(server.connection.poll_timeout(), None);
    server.receive_bytes(&one[..3]);
    server.wait(50 * S);
    // The end of one and the beginning of the next in one read.
    let events = server.receive_bytes(&[&one[3..], &two[..1]].concat());
    assert_eq!(events.len(), 1);
    server.wait(50 * S);
    assert_eq!(server.receive_bytes(&two[1..]).len(), 1);
    assert_eq!(server.connection.poll_timeout(), None);
}

#[test]
fn deadlines_are_exact_in_a_connection_of_584_years_and_passed_at_once_in_an_older_one() {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let half = wire::text("half").not_fin();
    let aged = |age| {
        let mut server = server(|config| config.message_timeout = Some(60 * S));
        server.now += age;
        server.receive([&half]);
        server
    };
    assert_eq!(aged(584 * YEAR + MS).wait_for_deadline(), Some(60 * S));
    let late = wire::close(1008, "message timeout");
    assert_eq!(aged(600 * YEAR).transmit(), [late]);
}

#[test]
fn p84_control_frames_do_not_put_the_deadline_of_a_message_off() {
    let mut server = server(|config| config.message_timeout = Some(60 * S));
    server.receive(&[wire::text("half").not_fin()]);
    for _ in 0..5 {
        server.wait(10 * S);
        server.receive(&[wire::ping("")]);
        server.transmit();
    }
    assert_eq!(server.wait_for_deadline(), Some(10 * S));
    assert_eq!(server.transmit(), [wire::close(1008, "message timeout")]);
    assert_eq!(server.connection.buffered(), 0, "it is given back");
}

#[test]
fn p83_a_clock_that_jumps_does_no_harm() {
    let mut server = keepalive(Life::AnyByte);
    server.send("queued");
    server.wait(5 * S);
    server.now -= 3 * S;
    server.receive(&[wire::text("back"), wire::ping("")]);
    server.transmit();
    server.connection.handle_timeout(server.now);
    assert_eq!(server.connection.state(), State::Open);
    // Far ahead, as after a suspended machine: one ping, and the peer has its time to answer.
    server.wait(100_000 * S);
    server.connection.handle_timeout(server.now);
    assert_eq!(server.transmit(), [probe(1)]);
    assert_eq!(server.wait_for_deadline(), Some(10 * S));
}

#[test]
fn a_deadline_that_was_acted_on_is_never_still_due() {
    let mut config = Config::default();
    config.idle_timeout = Some(50 * S);
    for role in [Role::Client, Role::Server] {
        let mut endpoint = Endpoint::new(role, config.clone());
        endpoint.receive(&[wire::text("half").not_fin()]);
        let mut deadlines = 0;
        while let Some(at) = endpoint.connection.poll_timeout() {
            endpoint.wait_for_deadline();
            let next = endpoint.connection.poll_timeout();
            assert!(next.is_none_or(|next| next > at));
            deadlines += 1;
            assert!(deadlines < 10);
        }
        assert_eq!(endpoint.connection.step(), Step::Drop);
    }
}

#[test]
fn acting_too_early_does_nothing() {
    let mut server = keepalive(Life::AnyByte);
    server.wait(19_999 * MS);
    server.connection.handle_timeout(server.now);
    assert_eq!(server.transmit(), []);
    assert_eq!(server.wait_for_deadline(), Some(MS));
    assert_eq!(server.transmit().len(), 1);
}

#[test]
fn no_deadline_but_that_of_closing_is_left_once_the_end_has_begun() {
    let mut server = keepalive(Life::Strict);
    server.connection.close(server.now, CloseFrame::normal());
    server.transmit();
    assert_eq!(server.wait_for_deadline(), Some(5 * S));
    assert_eq!(server.connection.state(), State::Closed);
}

#[test]
fn two_quiet_ends_keep_each_other_alive_for_a_day() {
    let mut pair = Pair::default();
    pair.advance(86_400 * S);
    for side in [&pair.client, &pair.server] {
        assert_eq!(side.endpoint.connection.state(), State::Open);
        assert_eq!(side.endpoint.connection.buffered(), 0);
        assert_eq!(side.endpoint.connection.latency(), Some(Duration::ZERO));
    }
}

#[test]
fn a_peer_behind_a_stalled_transport_is_noticed_by_both_ends() {
    let mut pair = Pair::default();
    pair.client.stalled = true;
    pair.server.stalled = true;
    pair.advance(120 * S);
    for side in [&pair.client, &pair.server] {
        let outcome = side.endpoint.outcome();
        // The ping could not even be written.
        assert_eq!(outcome.cause, Cause::Timeout(Deadline::Write));
        assert_eq!(outcome.code(), CloseCode::ABNORMAL_CLOSURE);
    }
}

#[test]
fn row19_settings_that_can_not_work_together_are_refused_with_their_names() {
    type Change = fn(&mut Config);
    let check = |change: Change| {
        let mut config = Config::default();
        change(&mut config);
        config
            .check()
            .map_err(|error: ConfigError| error.to_string())
    };
    assert_eq!(Config::default().check(), Ok(()));
    let refused: [(Change, &str); 13] = [
        (
            |c| c.keepalive_interval = Some(Duration::ZERO),
            "keepalive_interval",
        ),
        (
            |c| c.keepalive_timeout = Duration::ZERO,
            "keepalive_timeout",
        ),
        (|c| c.idle_timeout = Some(Duration::ZERO), "idle_timeout"),
        (
            |c| c.message_timeout = Some(Duration::ZERO),
            "message_timeout",
        ),
        (|c| c.write_timeout = Duration::ZERO, "write_timeout"),
        (|c| c.close_timeout = Duration::ZERO, "close_timeout"),
        (|c| c.idle_timeout = Some(20 * S), "idle_timeout"),
        (|c| c.limits.max_message = 0, "messages"),
        (|c| c.limits.max_frame = 0, "frames"),
        (|c| c.limits.max_fragments = 0, "fragments"),
        (|c| c.limits.fragment = 0, "fragment"),
        (|c| c.limits.soft_queue = 0, "soft_queue"),
        (
            |c| c.limits.hard_queue = c.limits.soft_queue - 1,
            "hard_queue",
        ),
    ];
    for (change, name) in refused {
        let sentence = check(change).unwrap_err();
        assert!(sentence.contains(name), "{sentence}");
    }
    let allowed: [Change; 4] = [
        |c| c.idle_timeout = Some(21 * S),
        |c| {
            c.idle_timeout = Some(S);
            c.idle_life = Life::Strict;
        },
        |c| {
            c.idle_timeout = Some(S);
            c.keepalive_interval = None;
        },
        |c| c.message_timeout = None,
    ];
    for change in allowed {
        assert_eq!(check(change), Ok(()));
    }
}

#[test]
fn row_21_what_is_late_but_comes_is_not_told_and_what_is_too_late_ends_the_connection_at_once() {
    let mut server = Endpoint::server();
    let interval = server.connection.config().keepalive_interval.unwrap();
    let timeout = server.connection.config().keepalive_timeout;
    let mut probed = || {
        server.wait(interval);
        server.connection.handle_timeout(server.now);
        server.transmit()[0].payload.clone()
    };
    let ping = probed();
    server.wait(timeout / 2);
    server.connection.handle_timeout(server.now);
    let events = server.receive([&wire::pong(&ping)]);
    assert!(
        matches!(events.as_slice(), [Event::Pong { .. }]),
        "{events:?}"
    );

    let mut server = Endpoint::server();
    server.wait(interval);
    server.connection.handle_timeout(server.now);
    server.transmit();
    // The machine slept.
    server.wait(timeout);
    server.connection.handle_timeout(server.now);
    assert_eq!(server.poll_events(), []);
    assert_eq!(server.transmit(), [wire::close(1011, "keepalive timeout")]);
}

#[test]
fn row_21_half_the_keepalive_timeout_without_a_sign_of_life_is_told_once() {
    let mut server = Endpoint::server();
    let interval = server.connection.config().keepalive_interval.unwrap();
    let timeout = server.connection.config().keepalive_timeout;
    let mut wait = |time| {
        server.wait(time);
        server.connection.handle_timeout(server.now);
        server.transmit();
        server.poll_events()
    };
    assert_eq!(wait(interval), []);
    assert_eq!(wait(timeout / 2), [Event::Late]);
    assert_eq!(wait(timeout / 4), []);
    wait(timeout / 4);
    server.finish();
    assert_eq!(server.outcome().cause.to_string(), "keepalive timeout");
}
