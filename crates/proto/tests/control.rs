//! Goal: pings, pongs and latency (RFC 6455 §5.5.2, §5.5.3), whatever the peer sends or leaves unsaid.
//! Method: one endpoint and wire literals; a pair where both ends matter.

use std::time::Duration;

use bytes::Bytes;
use fullduplex_proto::{CloseFrame, Config, Event, Message, PingError, Role};
use fullduplex_testkit::{
    Endpoint, Pair,
    wire::{self, Frame},
};

const MS: Duration = Duration::from_millis(1);

fn pong_event(payload: &str, latency: Option<Duration>) -> Event {
    Event::Pong {
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        latency,
    }
}

fn pings(count: usize) -> Vec<Frame> {
    (0..count).map(|i| wire::ping(i.to_string())).collect()
}

fn pongs(range: std::ops::Range<usize>) -> Vec<Frame> {
    range.map(|i| wire::pong(i.to_string())).collect()
}

#[test]
fn p51_a_pong_carries_what_its_ping_carried() {
    let all: Vec<u8> = (0..125).map(|byte| byte * 2).collect();
    for payload in [b"".as_slice(), b"a", &all] {
        let mut server = Endpoint::server();
        let events = server.receive(&[wire::ping(payload)]);
        assert_eq!(events, [Event::Ping(Bytes::copy_from_slice(payload))]);
        assert!(server.connection.wants_control_write());
        assert_eq!(server.transmit(), [wire::pong(payload)]);
        assert!(!server.connection.wants_control_write());
    }
}

#[test]
fn p51_pings_are_answered_in_their_order_in_one_write() {
    let mut server = Endpoint::server();
    assert_eq!(server.receive(&pings(10)).len(), 10);
    let written = server.write(usize::MAX);
    assert_eq!(wire::frames(&written), pongs(0..10));
    assert!(!server.connection.wants_write());
}

#[test]
fn p51_a_ping_that_came_before_the_peers_close_is_answered_before_ours() {
    // RFC 6455 §5.5.2: a pong is due unless a Close had been received already.
    let mut server = Endpoint::server();
    server.receive(&[wire::ping("a"), wire::close(1000, "")]);
    assert_eq!(server.transmit(), [wire::pong("a"), wire::close(1000, "")]);

    let mut server = Endpoint::server();
    server.receive(&[wire::ping("a")]);
    server.connection.close(server.now, CloseFrame::normal());
    assert_eq!(server.transmit(), [wire::pong("a"), wire::close(1000, "")]);
}

#[test]
fn p52_an_unsolicited_pong_is_reported_and_answers_nothing() {
    let mut server = Endpoint::server();
    let events = server.receive(&[wire::pong("unasked")]);
    assert_eq!(events, [pong_event("unasked", None)]);
    assert_eq!(server.connection.latency(), None);
    assert_eq!(server.transmit(), []);
}

#[test]
fn p52_a_pong_answers_its_ping_and_those_before_it() {
    let mut client = Endpoint::client();
    for payload in ["one", "two", "three"] {
        client.connection.ping(client.now, payload.into()).unwrap();
        client.wait(10 * MS);
    }
    assert_eq!(client.transmit().len(), 3);
    let events = client.receive(&[wire::pong("two")]);
    assert_eq!(events, [pong_event("two", Some(20 * MS))]);
    assert_eq!(client.connection.latency(), Some(20 * MS));
    // "one" counts as answered; a late pong for it is unsolicited.
    assert_eq!(
        client.receive(&[wire::pong("one")]),
        [pong_event("one", None)]
    );
    assert_eq!(
        client.receive(&[wire::pong("three")]),
        [pong_event("three", Some(10 * MS))]
    );
    assert_eq!(client.connection.latency(), Some(10 * MS));
}

#[test]
fn p52_a_pong_that_fits_several_pings_answers_the_latest() {
    let mut client = Endpoint::client();
    for _ in 0..3 {
        client.connection.ping(client.now, "same".into()).unwrap();
        client.wait(10 * MS);
    }
    let events = client.receive(&[wire::pong("same"), wire::pong("same")]);
    assert_eq!(
        events,
        [pong_event("same", Some(10 * MS)), pong_event("same", None)]
    );
}

#[test]
fn p52_latency_is_never_negative_when_the_clock_goes_back() {
    let mut client = Endpoint::client();
    client.wait(10 * MS);
    client.connection.ping(client.now, "x".into()).unwrap();
    client.now -= 10 * MS;
    let events = client.receive(&[wire::pong("x")]);
    assert_eq!(events, [pong_event("x", Some(Duration::ZERO))]);
}

#[test]
fn p53_a_ping_flood_at_a_peer_that_does_not_read_costs_bounded_memory() {
    const BOUND: usize = 64 << 10;
    let mut server = Endpoint::server();
    let max = server.connection.config().limits.max_pongs;
    let flood = pings(1000);
    for some in flood.chunks(7) {
        assert_eq!(server.receive(some).len(), some.len(), "reading goes on");
        assert!(server.connection.buffered() <= BOUND);
    }
    let sent = server.transmit();
    assert!(sent.len() <= max, "{} pongs", sent.len());
    assert_eq!(
        sent.last(),
        pongs(999..1000).last(),
        "the latest is answered"
    );
    assert_eq!(server.connection.buffered(), 0);
}

#[test]
fn p53_up_to_the_limit_every_ping_is_answered_and_from_there_the_latest() {
    let max = Config::default().limits.max_pongs;
    let mut server = Endpoint::server();
    server.receive(&pings(max));
    assert_eq!(server.transmit(), pongs(0..max));
    server.receive(&pings(max + 1));
    assert_eq!(server.transmit(), pongs(max..max + 1));
}

#[test]
fn p53_no_pong_once_a_close_was_sent_or_received() {
    let mut server = Endpoint::server();
    server.connection.close(server.now, CloseFrame::normal());
    let events = server.receive(&[wire::ping("late")]);
    assert_eq!(events, [Event::Ping("late".into())]);
    assert_eq!(server.transmit(), [wire::close(1000, "")]);

    let mut server = Endpoint::server();
    let events = server.receive(&[wire::close(1000, ""), wire::ping("late")]);
    assert_eq!(events, [Event::Close(CloseFrame::normal())]);
    assert_eq!(server.transmit(), [wire::close(1000, "")]);
}

#[test]
fn p49_a_ping_over_125_bytes_is_refused_by_value() {
    let mut client = Endpoint::client();
    let mut ping = |len: usize| client.connection.ping(client.now, vec![0; len].into());
    assert_eq!(ping(125), Ok(()));
    assert_eq!(ping(126), Err(PingError::TooLong(126)));
    assert_eq!(
        PingError::TooLong(126).to_string(),
        "ping of 126 bytes is over 125"
    );
    assert_eq!(client.transmit().len(), 1);
}

#[test]
fn pings_that_are_not_answered_are_limited() {
    let mut client = Endpoint::client();
    let max = client.connection.config().limits.max_pings;
    for i in 0..max {
        let payload = Bytes::from(i.to_string());
        client.connection.ping(client.now, payload).unwrap();
    }
    let refused = client.connection.ping(client.now, "more".into());
    assert_eq!(refused, Err(PingError::TooMany));
    client.transmit();
    client.receive(&[wire::pong("0")]);
    assert_eq!(client.connection.ping(client.now, "more".into()), Ok(()));
}

#[test]
fn nothing_can_be_pinged_while_closing() {
    let mut client = Endpoint::client();
    client.connection.close(client.now, CloseFrame::normal());
    let refused = client.connection.ping(client.now, Bytes::new());
    assert_eq!(refused, Err(PingError::Closed));
}

#[test]
fn row17_pings_and_pongs_are_seen_by_both_applications() {
    let mut pair = Pair::default();
    let client = &mut pair.client.endpoint;
    client
        .connection
        .ping(client.now, "are you there".into())
        .unwrap();
    pair.exchange();
    assert_eq!(pair.server.events, [Event::Ping("are you there".into())]);
    assert_eq!(
        pair.client.events,
        [pong_event("are you there", Some(Duration::ZERO))]
    );
}

#[test]
fn row24_pong_then_ping_precede_queued_data_at_the_next_frame_boundary() {
    let mut server = Endpoint::server();
    server.send("queued");
    server.send(vec![1; 100]);
    server.connection.ping(server.now, "ping".into()).unwrap();
    server.receive(&[wire::ping("a")]);
    assert_eq!(
        server.transmit(),
        [
            wire::pong("a"),
            wire::ping("ping"),
            wire::text("queued"),
            wire::binary([1; 100]),
        ]
    );
}

#[test]
fn row24_a_pong_never_cuts_into_a_frame_that_has_begun() {
    for role in [Role::Client, Role::Server] {
        for taken in 1..60 {
            let mut endpoint = Endpoint::new(role, Config::default());
            endpoint.send("x".repeat(40));
            endpoint.send("second");
            let mut wire_bytes = endpoint.write(taken);
            endpoint.receive(&[wire::ping("now")]);
            wire_bytes.extend(endpoint.transmit_bytes());
            let frames: Vec<Frame> = wire::frames(&wire_bytes)
                .into_iter()
                .map(Frame::without_key)
                .collect();
            let first = wire::text("x".repeat(40));
            let header = if role == Role::Client { 6 } else { 2 };
            let expected = if taken <= header + 40 {
                vec![first, wire::pong("now"), wire::text("second")]
            } else {
                vec![first, wire::text("second"), wire::pong("now")]
            };
            assert_eq!(frames, expected, "{role:?}, {taken} bytes taken");
        }
    }
}

#[test]
fn row24_a_pong_passes_inside_a_message_of_64_mib() {
    const SIZE: usize = 64 << 20;
    let mut server = Endpoint::server();
    server.send(vec![0; SIZE]);
    let before = server.write(100_000);
    server.receive(&[wire::ping("now")]);
    let mut after = server.write(usize::MAX);
    after.truncate(200_000);
    let pong = wire::pong("now").bytes();
    let at = after.windows(pong.len()).position(|bytes| bytes == pong);
    let limit = server.connection.config().limits.fragment;
    assert!(at.is_some_and(|at| at <= limit), "{at:?}");
    assert_eq!(before.len(), 100_000);
    assert!(server.connection.queued() > SIZE - (2 << 20));
}

#[test]
fn row24_a_prepared_message_lets_a_pong_pass_too() {
    let mut server = Endpoint::server();
    let message = Message::binary(vec![0; 1 << 20]);
    let prepared = fullduplex_proto::Prepared::new(&message);
    server.connection.send(server.now, prepared).unwrap();
    let mut sent = server.write(1000);
    server.receive(&[wire::ping("now")]);
    sent.extend(server.transmit_bytes());
    let frames = wire::frames(&sent);
    assert_eq!(
        frames[1],
        wire::pong("now"),
        "behind the frame that had begun"
    );
    let limit = server.connection.config().limits.fragment;
    assert!(frames.iter().all(|frame| frame.payload.len() <= limit));
}
