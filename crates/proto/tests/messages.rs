//! Goal: how frames make messages (RFC 6455 §5.4, §5.6, §8.1), and what a message may cost.
//! Method: wire literals into one endpoint; what it delivers, refuses and at which byte.

use bytes::BytesMut;
use fullduplex_proto::{
    Accept, Cause, CloseCode, Config, Event, Limits, Message, Outgoing, Prepared, Role, Utf8Bytes,
    Violation,
};
use fullduplex_testkit::{
    Endpoint, Pair, assert_fails_with,
    wire::{self, Frame},
};

fn server_with(change: impl FnOnce(&mut Config)) -> Endpoint {
    let mut config = Config::default();
    change(&mut config);
    Endpoint::new(Role::Server, config)
}

fn limited(max_frame: u64, max_message: usize, max_fragments: u32) -> Endpoint {
    server_with(|config| {
        let mut limits = Limits::default();
        limits.max_frame = max_frame;
        limits.max_message = max_message;
        limits.max_fragments = max_fragments;
        config.limits = limits;
    })
}

fn text(text: &str) -> Event {
    Event::Message(Message::text(text))
}

fn masked(frames: &[Frame]) -> Vec<u8> {
    frames
        .iter()
        .flat_map(|frame| frame.clone().masked().bytes())
        .collect()
}

#[test]
fn p41_control_frames_between_fragments_come_at_once_and_disturb_nothing() {
    let mut server = Endpoint::server();
    // "€" is cut inside its three bytes, the frames' payloads at lengths that shift the mask.
    assert_eq!(server.receive(&[wire::text(b"a\xe2").not_fin()]), []);
    assert_eq!(
        server.receive(&[wire::ping("one")]),
        [Event::Ping("one".into())]
    );
    assert_eq!(server.transmit(), [wire::pong("one")]);
    assert_eq!(server.receive(&[wire::continuation(b"\x82").not_fin()]), []);
    let events = server.receive(&[wire::pong("two"), wire::continuation(b"\xacb")]);
    let pong = Event::Pong {
        payload: "two".into(),
        latency: None,
    };
    assert_eq!(events, [pong, text("a€b")]);
}

#[test]
fn p41_a_control_frame_may_come_between_the_halves_of_any_message_byte_by_byte() {
    let frames = [
        wire::binary([1, 2, 3]).not_fin(),
        wire::ping("p"),
        wire::continuation([4]).not_fin(),
        wire::ping(""),
        wire::continuation([5, 6]),
    ];
    let mut server = Endpoint::server();
    let events: Vec<Event> = masked(&frames)
        .iter()
        .flat_map(|byte| server.receive_bytes(&[*byte]))
        .collect();
    let message = Event::Message(Message::binary([1, 2, 3, 4, 5, 6].to_vec()));
    assert_eq!(
        events,
        [Event::Ping("p".into()), Event::Ping("".into()), message]
    );
}

#[test]
fn p42_a_data_frame_inside_a_message_and_a_continuation_outside_are_1002() {
    for opcode in [0x1, 0x2] {
        for first in [0x1, 0x2] {
            let input = [wire::frame(first, "a").not_fin(), wire::frame(opcode, "b")];
            let outcome =
                assert_fails_with(Role::Server, CloseCode::PROTOCOL_ERROR, &masked(&input));
            let violation = Violation::ExpectedContinuation;
            assert_eq!(outcome.cause, Cause::Violation(violation));
        }
    }
    for stray in [wire::continuation("a"), wire::continuation("").not_fin()] {
        let input = masked(&[stray]);
        let outcome = assert_fails_with(Role::Server, CloseCode::PROTOCOL_ERROR, &input);
        let violation = Violation::UnexpectedContinuation;
        assert_eq!(outcome.cause, Cause::Violation(violation));
    }
    // The message before was complete.
    let mut server = Endpoint::server();
    let events = server.receive(&[wire::text("a"), wire::continuation("b")]);
    assert_eq!(events, [text("a")]);
    assert_eq!(
        server.transmit(),
        [wire::close(1002, "continuation without a message")]
    );
}

#[test]
fn p43_empty_messages_and_empty_fragments_anywhere() {
    let cases: [(&[&str], &str); 7] = [
        (&[""], ""),
        (&["", "ab"], "ab"),
        (&["ab", ""], "ab"),
        (&["a", "", "b"], "ab"),
        (&["", ""], ""),
        (&["", "", "", ""], ""),
        (&["", "é", "", "", "b", ""], "éb"),
    ];
    for (pieces, whole) in cases {
        let frames: Vec<Frame> = pieces
            .iter()
            .enumerate()
            .map(|(i, piece)| {
                let opcode = u8::from(i == 0);
                let frame = wire::frame(opcode, piece);
                if i + 1 < pieces.len() {
                    frame.not_fin()
                } else {
                    frame
                }
            })
            .collect();
        let mut server = Endpoint::server();
        assert_eq!(server.receive(&frames), [text(whole)], "{frames:?}");
        assert_eq!(server.connection.buffered(), 0);
        let mut slow = Endpoint::server();
        let events: Vec<Event> = masked(&frames)
            .iter()
            .flat_map(|byte| slow.receive_bytes(&[*byte]))
            .collect();
        assert_eq!(events, [text(whole)], "{frames:?} byte by byte");
    }
}

#[test]
fn p43_so_many_fragments_are_taken_and_one_more_is_1009() {
    let fragments = |n: usize| {
        let mut frames = vec![wire::continuation("").not_fin(); n];
        frames[0] = wire::text("").not_fin();
        frames[n - 1].fin = true;
        frames
    };
    assert_eq!(limited(10, 10, 5).receive(&fragments(5)), [text("")]);
    let mut server = limited(10, 10, 5);
    assert_eq!(server.receive(&fragments(6)), []);
    assert_eq!(server.transmit(), [wire::close(1009, "too many fragments")]);
    // The count begins anew with each message.
    let mut server = limited(10, 10, 5);
    for _ in 0..3 {
        assert_eq!(server.receive(&fragments(5)), [text("")]);
    }
}

#[test]
fn p45_a_frame_and_a_message_exactly_at_the_limit_pass_and_one_byte_more_is_1009() {
    let at = wire::binary([0; 8]);
    assert_eq!(limited(8, 100, 9).receive([&at]).len(), 1);
    let mut server = limited(7, 100, 9);
    assert_eq!(server.receive(&[at]), []);
    assert_eq!(server.transmit(), [wire::close(1009, "frame too big")]);

    let fragments = [
        wire::binary([0; 4]).not_fin(),
        wire::continuation([0; 3]).not_fin(),
        wire::continuation([0; 1]),
    ];
    assert_eq!(limited(8, 8, 9).receive(&fragments).len(), 1);
    let mut server = limited(8, 7, 9);
    assert_eq!(server.receive(&fragments), []);
    assert_eq!(server.transmit(), [wire::close(1009, "message too big")]);
}

#[test]
fn p45_the_sum_of_fragments_can_not_overflow() {
    let mut server = server_with(|config| {
        config.limits.max_frame = u64::MAX;
        config.limits.max_message = usize::MAX;
    });
    let most = (1 << 63) - 1;
    // A first fragment of a few bytes, then frames that declare more than there is.
    let mut input = masked(&[wire::binary("abc").not_fin()]);
    input.extend(wire::continuation("").declaring(most).masked().bytes());
    assert_eq!(server.receive_bytes(&input), []);
    assert!(server.connection.payload_space().is_some());
    assert!(server.connection.buffered() < 256 << 10);
}

#[test]
fn p45_the_header_that_brings_a_message_over_its_limit_is_refused_before_its_payload() {
    let mut server = limited(100, 10, 9);
    server.receive(&[wire::binary([0; 6]).not_fin()]);
    let header = wire::continuation([0; 5]).masked().header();
    assert_eq!(server.receive_bytes(&header), []);
    assert_eq!(server.transmit(), [wire::close(1009, "message too big")]);
}

#[test]
fn p45_a_message_that_began_while_parts_were_wanted_keeps_to_the_limit_where_they_no_longer_are() {
    let begun = || {
        let mut server = limited(1 << 20, 100_000, 9);
        server.connection.receive_parts(server.now, true);
        let header = wire::binary("").declaring(200_000).masked().header();
        assert_eq!(server.receive_bytes(&header), []);
        server.connection.receive_parts(server.now, false);
        server
    };
    let payload = vec![0; 200_000];
    for piece in [1000, 70_000, 200_000] {
        let mut server = begun();
        for bytes in payload.chunks(piece) {
            assert_eq!(server.receive_direct(bytes), []);
            assert!(server.connection.buffered() <= 200_000);
        }
        assert_eq!(server.transmit(), [wire::close(1009, "message too big")]);
    }

    // Within the limit it is a message like any other.
    let mut server = limited(10, 10, 9);
    server.connection.receive_parts(server.now, true);
    let input = wire::binary([7; 10]).masked().bytes();
    assert_eq!(server.receive_bytes(&input[..6]), []);
    server.connection.receive_parts(server.now, false);
    assert_eq!(
        server.receive_bytes(&input[6..]),
        [Event::Message(Message::binary([7; 10].to_vec()))]
    );
}

#[test]
fn p48_text_fails_with_1007_at_its_first_bad_byte_inside_an_unfinished_frame() {
    let cases: [(&[u8], u8); 8] = [
        (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed", 0xa0),
        (b"ok", 0xc0),
        (b"ok", 0xc1),
        (b"ok \xe0", 0x80),
        (b"ok \xf4", 0x90),
        (b"ok", 0xf5),
        (b"ok \xe2\x82", 0x20),
        (b"ok", 0x80),
    ];
    for (good, bad) in cases {
        let mut payload = good.to_vec();
        payload.push(bad);
        payload.extend([b'x'; 1000]);
        let input = wire::text(&payload).masked().bytes();
        let good_end = input.len() - 1001;

        let mut server = Endpoint::server();
        for byte in &input[..good_end] {
            assert_eq!(server.receive_bytes(&[*byte]), []);
        }
        assert_eq!(server.transmit(), [], "nothing is wrong before {bad:#x}");
        assert_eq!(server.receive_bytes(&input[good_end..=good_end]), []);
        assert_eq!(server.transmit(), [wire::close(1007, "text is not UTF-8")]);

        // The same inside a fragment, and with the whole frame there at once.
        let split = [
            wire::text(good).not_fin(),
            wire::continuation([bad]).not_fin(),
        ];
        assert_fails_with(
            Role::Server,
            CloseCode::INVALID_FRAME_PAYLOAD_DATA,
            &masked(&split),
        );
        assert_fails_with(Role::Server, CloseCode::INVALID_FRAME_PAYLOAD_DATA, &input);
    }
}

#[test]
fn p48_text_that_ends_inside_a_character_is_1007() {
    for cut in [b"\xc3".as_slice(), b"\xe2\x82", b"\xf0\x9f\x98"] {
        let whole = masked(&[wire::text(cut)]);
        let fragments = masked(&[wire::text(cut).not_fin(), wire::continuation("")]);
        for input in [whole, fragments] {
            assert_fails_with(Role::Server, CloseCode::INVALID_FRAME_PAYLOAD_DATA, &input);
        }
    }
}

#[test]
fn p48_every_character_is_legal_wherever_it_is_cut() {
    let legal = "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{feff}\u{fdd0}\u{fffe}\u{ffff}\u{10000}\u{10ffff}";
    for cut in 0..=legal.len() {
        let frames = [
            wire::text(&legal.as_bytes()[..cut]).not_fin(),
            wire::continuation(&legal.as_bytes()[cut..]),
        ];
        assert_eq!(Endpoint::server().receive(&frames), [text(legal)]);
    }
}

#[test]
fn p48_text_read_straight_into_its_buffer_is_checked_as_it_comes() {
    let mut payload = vec![b'a'; 50_000];
    payload[40_000] = 0xff;
    let input = wire::text(&payload).masked().bytes();
    let mut server = Endpoint::server();
    for piece in input[..40_000].chunks(1000) {
        assert_eq!(server.receive_direct(piece), []);
    }
    assert_eq!(server.transmit(), []);
    assert_eq!(server.receive_direct(&input[40_000..41_000]), []);
    assert_eq!(server.transmit(), [wire::close(1007, "text is not UTF-8")]);
    assert_eq!(server.receive_direct(&input[41_000..]), []);
}

#[test]
fn p48_binary_is_not_text() {
    let bytes = [0xff, 0xfe, 0x80];
    let expected = Event::Message(Message::binary(bytes.to_vec()));
    assert_eq!(
        Endpoint::server().receive(&[wire::binary(bytes)]),
        [expected]
    );
}

#[test]
fn p49_text_is_text_by_type() {
    assert!(Utf8Bytes::try_from(bytes::Bytes::from_static(b"\xff")).is_err());
    let text = Utf8Bytes::try_from(bytes::Bytes::from_static("é".as_bytes())).unwrap();
    assert_eq!(text, "é");
    assert_eq!(text.len(), 2);
    assert_eq!(text.to_string(), "é");
    assert_eq!(format!("{text:?}"), "\"é\"");
    assert_eq!(format!("{:?}", Message::text("secret")), "Text(6 bytes)");
    assert_eq!(Message::from("é"), Message::Text(text));
}

#[test]
fn row25_the_dialogue_of_the_seeds_frame_by_frame() {
    // Client: FIN=1, opcode=0x1, msg="hello". Server: Hi.
    let mut server = Endpoint::server();
    assert_eq!(server.receive(&[wire::text("hello")]), [text("hello")]);
    server.send("Hi.");
    assert_eq!(server.transmit(), [wire::text("Hi.")]);
    // FIN=0, opcode=0x1, "and a": the message goes on.
    assert_eq!(server.receive(&[wire::text("and a").not_fin()]), []);
    assert_eq!(server.transmit(), []);
    // FIN=0, opcode=0x0, "happy new".
    let frame = wire::continuation("happy new").not_fin();
    assert_eq!(server.receive(&[frame]), []);
    assert_eq!(server.transmit(), []);
    // FIN=1, opcode=0x0, "year!": now it is whole.
    assert_eq!(
        server.receive(&[wire::continuation("year!")]),
        [text("and ahappy newyear!")]
    );
    server.send("Happy new year to you too!");
    assert_eq!(
        server.transmit(),
        [wire::text("Happy new year to you too!")]
    );
    assert_eq!(server.connection.buffered(), 0);
}

#[test]
fn row29_a_type_that_is_not_accepted_is_1003_from_its_header() {
    for (accept, good, bad) in [(Accept::TextOnly, 0x1, 0x2), (Accept::BinaryOnly, 0x2, 0x1)] {
        let mut server = server_with(|config| config.accept = accept);
        let fragments = [wire::frame(good, "a").not_fin(), wire::continuation("b")];
        assert_eq!(server.receive(&fragments).len(), 1);
        let header = wire::frame(bad, "abc").masked().header();
        assert_eq!(server.receive_bytes(&header), []);
        assert_eq!(
            server.transmit(),
            [wire::close(1003, "type of message not accepted")]
        );
    }
}

#[test]
fn p92_a_prepared_message_arrives_as_any_other_in_both_directions() {
    let mut pair = Pair::default();
    let big = Message::binary(vec![9; 200_000]);
    let messages = [Message::text(""), Message::text("é"), big];
    for message in &messages {
        let prepared = Prepared::new(message);
        assert_eq!(prepared.payload(), message.as_bytes());
        assert!(prepared.len() > message.len() && !prepared.is_empty());
        for side in [&mut pair.client, &mut pair.server] {
            let endpoint = &mut side.endpoint;
            let outgoing = Outgoing::from(prepared.clone());
            assert_eq!(outgoing.len(), message.len());
            assert_eq!(outgoing.is_empty(), message.is_empty());
            endpoint.connection.send(endpoint.now, outgoing).unwrap();
        }
    }
    pair.exchange();
    assert_eq!(pair.client.messages(), messages);
    assert_eq!(pair.server.messages(), messages);
}

#[test]
fn an_idle_connection_owns_no_buffer_before_between_and_after_traffic_of_all_kinds() {
    for chunk in [1, 1000, usize::MAX] {
        let mut pair = Pair::default().chunked(chunk);
        let idle = |pair: &Pair| {
            assert_eq!(pair.client.endpoint.connection.buffered(), 0);
            assert_eq!(pair.server.endpoint.connection.buffered(), 0);
        };
        idle(&pair);
        let kinds: [fn(&mut Endpoint); 5] = [
            |end| end.send("short"),
            |end| end.send(vec![1; 300_000]),
            |end| end.send(""),
            |end| end.connection.ping(end.now, "ping".into()).unwrap(),
            |end| (0..100).for_each(|i| end.send(format!("message {i}"))),
        ];
        for kind in kinds {
            kind(&mut pair.client.endpoint);
            kind(&mut pair.server.endpoint);
            pair.exchange();
            idle(&pair);
        }
        assert_eq!(pair.client.messages().len(), 103);
        assert_eq!(pair.client.messages(), pair.server.messages());
    }
}

#[test]
fn bytes_behind_an_event_are_given_back_when_they_have_been_read() {
    let mut server = Endpoint::server();
    let mut input = masked(&vec![wire::text("abc"); 100]);
    let total = input.len();
    let first = server.connection.handle_input(server.now, &mut input);
    assert_eq!(first, Some(text("abc")));
    assert!(server.connection.has_pending_input());
    assert!((1..=total).contains(&server.connection.buffered()));
    assert_eq!(server.poll_events().len(), 99);
    assert!(!server.connection.has_pending_input());
    assert_eq!(server.connection.buffered(), 0);
}

#[test]
fn bytes_that_came_with_the_handshake_are_kept_until_they_are_asked_for() {
    let mut server = Endpoint::server();
    let early = masked(&[wire::text("early"), wire::text("cut")]);
    let (held, rest) = early.split_at(early.len() - 2);
    server.connection.hold_input(held);
    assert!(server.connection.has_pending_input());
    assert_eq!(server.receive_bytes(rest), [text("early"), text("cut")]);
    assert!(!server.connection.has_pending_input());

    let mut server = Endpoint::server();
    server.connection.hold_input(&early);
    assert_eq!(server.poll_events(), [text("early"), text("cut")]);
    assert_eq!(server.connection.buffered(), 0);
}

/// A buffer of a hundred bytes in which so many have been read.
fn read(bytes: &[u8]) -> BytesMut {
    let mut buffer = BytesMut::with_capacity(100);
    buffer.extend_from_slice(bytes);
    buffer
}

#[test]
fn a_message_that_fills_half_of_the_buffer_is_taken_out_of_it_and_others_are_copied() {
    for (len, taken) in [(0, false), (1, false), (49, false), (50, true), (90, true)] {
        for (message, frame) in [
            (Message::from(vec![7; len]), wire::binary(vec![7; len])),
            (Message::from("a".repeat(len)), wire::text("a".repeat(len))),
        ] {
            let mut server = Endpoint::server();
            let mut buffer = read(&masked(&[frame]));
            let place = buffer.as_ptr_range();
            let event = server.connection.handle_buffer(server.now, &mut buffer);
            let Some(Event::Message(received)) = event else {
                panic!("{event:?}");
            };
            assert_eq!(received, message);
            assert_eq!(
                place.contains(&received.as_bytes().as_ptr()),
                taken,
                "{len}"
            );
            assert_eq!(server.connection.buffered(), 0);
            buffer.clear();
            assert_ne!(buffer.try_reclaim(100), taken, "it is kept");
            drop(received);
            assert!(buffer.try_reclaim(100), "its memory serves again");
        }
    }
}

#[test]
fn what_is_behind_a_message_that_was_taken_comes_next() {
    let mut server = Endpoint::server();
    let kept = server.receive_buffer(&masked(&[
        wire::binary([1; 80]),
        wire::ping("p"),
        wire::text("whole"),
        wire::text("be").not_fin(),
    ]));
    assert_eq!(
        kept,
        [
            Event::Message(vec![1; 80].into()),
            Event::Ping("p".into()),
            text("whole")
        ]
    );
    // Within a message nothing is taken for another.
    let events = server.receive_buffer(&masked(&[wire::continuation("gun")]));
    assert_eq!(events, [text("begun")]);
}

#[test]
fn a_message_is_judged_before_it_is_taken() {
    for bad in [
        wire::text(b"\xff"),
        wire::binary([0; 11]),
        wire::continuation("x"),
        wire::binary("x").rsv(4),
    ] {
        let [mut copied, mut taken] = [limited(10, 10, 1), limited(10, 10, 1)];
        let bytes = masked(&[bad]);
        assert_eq!(copied.receive_bytes(&bytes), []);
        assert_eq!(taken.receive_buffer(&bytes), []);
        let said = taken.transmit();
        assert_eq!(said.len(), 1);
        assert_eq!(said, copied.transmit());
    }
}

#[test]
fn a_driver_that_reads_while_a_message_waits_keeps_what_waits_and_no_more() {
    let mut server = Endpoint::new(Role::Server, Config::default());
    let one = masked(&[wire::binary(vec![7; 100])]);
    let mut input = one.repeat(2);
    server.connection.handle_input(server.now, &mut input);
    for _ in 0..1000 {
        let event = server.connection.handle_input(server.now, &mut one.clone());
        assert_eq!(event, Some(Event::Message(vec![7; 100].into())));
    }
    let held = server.connection.buffered();
    assert!(held < 4 * one.len(), "{held} bytes for one message");
}
