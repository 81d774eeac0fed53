//! Goal: what leaves, in how many writes, in which order, and what the queue may hold.
//! Method: the batches of one endpoint, taken whole or in part, and read back as frames.

use std::{io::IoSlice, time::Instant};

use bytes::Bytes;
use fullduplex_proto::{
    Batch, CloseFrame, Config, Event, Limits, Message, Outgoing, Prepared, Role, SendErrorKind,
};
use fullduplex_testkit::{
    Endpoint, Pair,
    wire::{self, Frame},
};

fn server_with(change: impl FnOnce(&mut Limits)) -> Endpoint {
    let mut config = Config::default();
    change(&mut config.limits);
    Endpoint::new(Role::Server, config)
}

#[test]
fn sixteen_replies_to_one_read_leave_in_one_write() {
    for role in [Role::Client, Role::Server] {
        let mut endpoint = Endpoint::new(role, Config::default());
        let requests: Vec<Frame> = (0..16)
            .map(|i| wire::text(format!("request {i}")))
            .collect();
        for event in endpoint.receive(&requests) {
            let Event::Message(message) = event else {
                panic!("only messages were sent: {event:?}");
            };
            endpoint.send(message);
        }
        let written = endpoint.write(usize::MAX);
        let replies: Vec<Frame> = wire::frames(&written)
            .into_iter()
            .map(Frame::without_key)
            .collect();
        assert_eq!(replies, requests);
        assert!(!endpoint.connection.wants_write());
    }
}

#[test]
fn a_long_message_leaves_in_fragments_of_the_limit() {
    let mut server = server_with(|limits| limits.fragment = 10);
    server.send("0123456789");
    server.send("0123456789a");
    server.send("");
    server.send(Bytes::from(vec![7; 30]));
    assert_eq!(
        server.transmit(),
        [
            wire::text("0123456789"),
            wire::text("0123456789").not_fin(),
            wire::continuation("a"),
            wire::text(""),
            wire::binary([7; 10]).not_fin(),
            wire::continuation([7; 10]).not_fin(),
            wire::continuation([7; 10]),
        ]
    );
}

#[test]
fn text_may_be_cut_inside_a_character() {
    let mut config = Config::default();
    config.limits.fragment = 1;
    let mut pair = Pair::new(config.clone(), config);
    pair.client.endpoint.send("é€😀");
    pair.server.endpoint.send("é€😀");
    pair.exchange();
    assert_eq!(pair.server.messages(), [Message::text("é€😀")]);
    assert_eq!(pair.client.messages(), [Message::text("é€😀")]);
    assert_eq!(pair.client.frames().len(), 9);
}

#[test]
fn what_a_write_leaves_over_goes_next_wherever_the_transport_stopped() {
    for role in [Role::Client, Role::Server] {
        let full = |endpoint: &mut Endpoint| {
            endpoint.send("short");
            endpoint.send(vec![3; 5000]);
            endpoint.send("");
            endpoint.receive(&[wire::ping("ping")]);
            let now = endpoint.now;
            endpoint.connection.ping(now, "mine".into()).unwrap();
            endpoint.connection.close(now, CloseFrame::normal());
        };
        let expected = [
            wire::pong("ping"),
            wire::ping("mine"),
            wire::text("short"),
            wire::binary([3; 5000]),
            wire::text(""),
            wire::close(1000, ""),
        ];
        let mut whole = Endpoint::new(role, Config::default());
        full(&mut whole);
        let len = whole.transmit_bytes().len();
        for first in 1..=len {
            let mut endpoint = Endpoint::new(role, Config::default());
            full(&mut endpoint);
            let mut sent = endpoint.write(first);
            assert_eq!(sent.len(), first);
            sent.extend(endpoint.write(1));
            sent.extend(endpoint.transmit_bytes());
            let frames: Vec<Frame> = wire::frames(&sent)
                .into_iter()
                .map(Frame::without_key)
                .collect();
            assert!(
                frames == expected,
                "{role:?} stopped at {first}: {frames:?}"
            );
            assert_eq!(endpoint.connection.buffered(), 0);
            assert_eq!(endpoint.connection.queued(), 0);
        }
    }
}

#[test]
fn a_servers_big_payload_is_not_copied() {
    let mut server = Endpoint::server();
    let payload = Bytes::from(vec![1; 32 << 10]);
    server.send(payload.clone());
    let mut batch = Batch::default();
    let draw = || unreachable!("a server draws no masking key");
    assert!(server.connection.poll_transmit(&mut batch, draw));
    let mut slices = [IoSlice::new(&[]); 8];
    assert_eq!(batch.slices(&mut slices), 2);
    assert_eq!(slices[0].len(), 4);
    assert_eq!(slices[1].as_ptr(), payload.as_ptr());
    assert_eq!(batch.len(), 4 + payload.len());
    assert!(!batch.is_empty());

    // Also what is left of it when the transport took a part.
    server.connection.transmitted(server.now, &batch, 1000);
    server.connection.poll_transmit(&mut batch, draw);
    let mut slices = [IoSlice::new(&[]); 8];
    assert_eq!(batch.slices(&mut slices), 1);
    assert_eq!(slices[0].as_ptr(), payload[996..].as_ptr());
}

#[test]
fn a_prepared_frame_is_shared_by_all_servers_that_send_it() {
    let prepared = Prepared::new(&Message::binary(vec![1; 32 << 10]));
    let mut pointers = Vec::new();
    for _ in 0..2 {
        let mut server = Endpoint::server();
        let outgoing = Outgoing::from(prepared.clone());
        server.connection.send(server.now, outgoing).unwrap();
        let mut batch = Batch::default();
        server.connection.poll_transmit(&mut batch, || [0; 4]);
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(batch.slices(&mut slices), 1);
        pointers.push(slices[0].as_ptr());
    }
    assert_eq!(pointers[0], pointers[1]);
}

#[test]
fn too_few_slices_cover_the_front_of_the_batch() {
    let mut server = Endpoint::server();
    for _ in 0..3 {
        server.send(vec![1; 8 << 10]);
        server.send("x");
    }
    let mut batch = Batch::default();
    server.connection.poll_transmit(&mut batch, || [0; 4]);
    let whole = {
        let mut slices = [IoSlice::new(&[]); 16];
        let used = batch.slices(&mut slices);
        assert_eq!(used, 7);
        slices[..used]
            .iter()
            .flat_map(|s| s.to_vec())
            .collect::<Vec<u8>>()
    };
    assert_eq!(whole.len(), batch.len());
    for room in 0..7 {
        let mut slices = vec![IoSlice::new(&[]); room];
        assert_eq!(batch.slices(&mut slices), room);
        let front: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(whole.starts_with(&front));
    }
    batch.clear();
    assert!(batch.is_empty());
    assert_eq!(batch.slices(&mut [IoSlice::new(&[]); 2]), 0);
}

#[test]
fn a_batch_is_bounded_however_much_is_queued() {
    for role in [Role::Client, Role::Server] {
        let mut endpoint = Endpoint::new(role, Config::default());
        endpoint.send(vec![0; 16 << 20]);
        let written = endpoint.write(usize::MAX);
        assert!(
            written.len() <= (1 << 20) + (128 << 10),
            "{}",
            written.len()
        );

        let mut small = Endpoint::new(role, Config::default());
        for _ in 0..5000 {
            small.send("x".repeat(100));
        }
        assert!(small.write(usize::MAX).len() <= 80 << 10);
    }
}

#[test]
fn a_batch_that_was_not_written_is_framed_anew() {
    let mut client = Endpoint::client();
    client.send("hello");
    let mut batch = Batch::default();
    for _ in 0..3 {
        assert!(client.connection.poll_transmit(&mut batch, || [1; 4]));
        client.connection.transmitted(client.now, &batch, 0);
    }
    assert_eq!(client.transmit(), [wire::text("hello")]);
}

#[test]
fn p85_the_queue_takes_up_to_its_hard_limit_and_then_gives_the_message_back() {
    let mut server = server_with(|limits| {
        limits.soft_queue = 500;
        limits.hard_queue = 1000;
    });
    let now = server.now;
    server.send(vec![1; 600]);
    assert!(server.connection.queued() >= server.connection.config().limits.soft_queue);
    let error = server.connection.send(now, vec![2; 500]).unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Full);
    assert_eq!(error.to_string(), "the queue is full");
    let Outgoing::Message(message) = error.outgoing else {
        panic!("what was given is given back");
    };
    assert_eq!(message, Message::binary(vec![2; 500]));
    server.send(vec![3; 300]);
    assert_eq!(
        server.transmit(),
        [wire::binary([1; 600]), wire::binary([3; 300])],
        "what was refused is not sent"
    );
    server.send(message);
}

#[test]
fn p85_a_message_over_the_limit_is_taken_by_an_empty_queue_only() {
    let mut server = server_with(|limits| limits.hard_queue = limits.soft_queue);
    let big = Bytes::from(vec![0; 1 << 20]);
    server.send(big.clone());
    assert!(server.connection.send(server.now, big.clone()).is_err());
    server.write(1000);
    assert!(
        server.connection.send(server.now, "x").is_err(),
        "still over it"
    );
    server.transmit_bytes();
    server.send(big);
}

#[test]
fn p85_empty_messages_count_as_well() {
    let mut server = Endpoint::server();
    let hard = server.connection.config().limits.hard_queue;
    let mut taken = 0;
    while server.connection.send(server.now, "").is_ok() {
        taken += 1;
        assert!(taken <= hard, "a queue without an end");
    }
    assert!(server.connection.queued() <= hard + 64);
    assert_eq!(server.transmit().len(), taken);
    assert_eq!(server.connection.queued(), 0);
}

#[test]
fn p85_queued_falls_as_bytes_leave_and_ends_at_zero() {
    for role in [Role::Client, Role::Server] {
        let mut endpoint = Endpoint::new(role, Config::default());
        endpoint.send(vec![0; 200_000]);
        endpoint.send("text");
        let mut queued = endpoint.connection.queued();
        assert!(queued >= 200_004);
        while endpoint.connection.wants_write() {
            endpoint.write(7001);
            // A masked or framed rest may be a header longer than what it was made of.
            assert!(endpoint.connection.queued() <= queued + 14);
            queued = endpoint.connection.queued();
        }
        assert_eq!(queued, 0);
    }
}

#[test]
fn p85_what_is_left_of_a_frame_counts_as_queued() {
    for len in [1000, 60_000] {
        for taken in [1, 4, 5, len] {
            let mut server = Endpoint::server();
            server.send(vec![0; len]);
            server.write(taken);
            assert_eq!(server.connection.queued(), len + 4 - taken);
        }
    }
}

#[test]
fn p87_a_message_is_queued_whole_or_not_at_all() {
    let mut pair = Pair::default();
    let client = &mut pair.client.endpoint;
    let mut accepted = Vec::new();
    for i in 0_u32..200 {
        let size = usize::try_from(i).unwrap() * 1000;
        let message = Message::binary([i.to_be_bytes().to_vec(), vec![1; size]].concat());
        if client.connection.send(client.now, message.clone()).is_ok() {
            accepted.push(message);
        }
    }
    assert!(accepted.len() < 200, "some were refused");
    pair.exchange();
    assert!(pair.server.messages() == accepted);
}

#[test]
fn p90_reading_goes_on_while_nothing_can_be_written() {
    let mut server = Endpoint::server();
    for i in 0..100 {
        server.send(vec![0; 100]);
        let text = format!("message {i}");
        let events = server.receive(&[wire::text(&text), wire::ping(&text)]);
        assert_eq!(events.len(), 2);
    }
    server.write(10);
    assert_eq!(server.receive(&[wire::text("and on")]).len(), 1);
}

#[test]
fn p90_a_write_that_is_stuck_gets_through_when_the_transport_moves_again() {
    let mut pair = Pair::default();
    pair.server.stalled = true;
    pair.server.endpoint.send("reply");
    pair.client.endpoint.send("request");
    pair.exchange();
    assert_eq!(pair.server.messages(), [Message::text("request")]);
    assert_eq!(pair.client.messages(), []);
    pair.server.stalled = false;
    pair.exchange();
    assert_eq!(pair.client.messages(), [Message::text("reply")]);
}

#[test]
fn the_state_of_a_connection_is_small() {
    let now: Instant = Endpoint::server().now;
    let connection = fullduplex_proto::Connection::new(Role::Server, Config::default().into(), now);
    let size = size_of_val(&connection);
    assert!(size <= 640, "{size} bytes for each idle connection");
    assert_eq!(connection.buffered(), 0);
}

#[test]
fn p85_for_a_new_message_the_oldest_are_dropped_that_have_not_begun_to_leave() {
    let mut server = server_with(|limits| limits.fragment = 1000);
    server.send(vec![1; 3000]);
    // A fragment, and a bit of the next.
    let mut sent = server.write(1004 + 10);
    server.send("second");
    server.send("third");
    server.send("fourth");
    let now = server.now;
    let below = server.connection.queued() - 80;
    let displaced = server.connection.send_displacing(now, "fifth", below);
    assert_eq!(displaced.unwrap(), 2, "a message counts 64 bytes more");
    sent.extend(server.transmit_bytes());
    let expected = [
        wire::binary([1; 1000]).not_fin(),
        wire::continuation([1; 1000]).not_fin(),
        wire::continuation([1; 1000]),
        wire::text("fourth"),
        wire::text("fifth"),
    ];
    assert_eq!(wire::frames(&sent), expected);
    assert_eq!(server.connection.queued(), 0);
    assert_eq!(server.connection.buffered(), 0);
}

#[test]
fn p85_where_dropping_does_not_help_nothing_is_dropped() {
    let mut server = server_with(|limits| limits.fragment = 1000);
    server.send(vec![1; 3000]);
    let mut sent = server.write(1010);
    server.send("would be dropped in vain");
    let now = server.now;
    let refused = server.connection.send_displacing(now, "too late", 500);
    let error = refused.unwrap_err();
    assert_eq!(error.kind, SendErrorKind::Full);
    assert_eq!(error.outgoing.len(), 8);
    let room = server.connection.send_displacing(now, "room", usize::MAX);
    assert_eq!(room.unwrap(), 0);
    sent.extend(server.transmit_bytes());
    let kept = ["would be dropped in vain", "room"].map(wire::text);
    assert_eq!(wire::frames(&sent)[3..], kept);
}

#[test]
fn p85_no_more_is_dropped_than_has_to_be() {
    for (less, dropped) in [(0, 1), (1, 2), (65, 2), (66, 3)] {
        let mut server = Endpoint::server();
        for text in ["a", "b", "c"] {
            server.send(text);
        }
        let now = server.now;
        // With one of three gone, two times 65 bytes are left.
        let below = 2 * 65 + 1 - less;
        let displaced = server.connection.send_displacing(now, "new", below);
        assert_eq!(displaced.unwrap(), dropped, "below {below}");
        assert_eq!(server.transmit().len(), 4 - dropped);
    }
}

#[test]
fn p85_dropping_old_messages_for_new_ones_does_not_put_off_the_write_deadline() {
    let mut server = Endpoint::server();
    let started = server.now;
    server.send("first");
    for _ in 0..12 {
        let now = server.now;
        let displaced = server.connection.send_displacing(now, "next", 1);
        assert_eq!(displaced.unwrap(), 1);
        server.wait(std::time::Duration::from_secs(1));
    }
    let deadline = server.connection.poll_write_timeout().unwrap();
    assert_eq!(deadline - started, Config::default().write_timeout);
}

#[test]
fn p87_a_reserved_message_is_taken_over_every_limit_but_not_after_the_close() {
    let mut server = server_with(|limits| {
        limits.soft_queue = 10;
        limits.hard_queue = 10;
    });
    server.send("fills the queue");
    let now = server.now;
    let taken = server.connection.send_reserved(now, "was promised room");
    assert!(taken.is_ok());
    server.connection.close(now, CloseFrame::normal());
    let late = server.connection.send_reserved(now, "late").unwrap_err();
    assert_eq!(late.kind, SendErrorKind::Closed);
    let late = server.connection.send_displacing(now, "late", 1);
    assert_eq!(late.unwrap_err().kind, SendErrorKind::Closed);
    let accepted = server.connection.send_accepted(now, "was accepted before");
    assert!(accepted.is_ok());
    let expected = [
        wire::text("fills the queue"),
        wire::text("was promised room"),
        wire::text("was accepted before"),
        wire::close(1000, ""),
    ];
    assert_eq!(server.transmit(), expected);
    let late = server.connection.send_accepted(now, "late").unwrap_err();
    assert_eq!(late.kind, SendErrorKind::Closed);
}
