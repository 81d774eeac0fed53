//! Goal: what a single frame may and may not be (RFC 6455 §5.1, §5.2, §5.3, §5.5).
//! Method: wire literals into one endpoint of each role; codes, moments and memory are asserted from outside.

use fullduplex_proto::{
    Cause, CloseCode, Config, Event, FrameHeader, HeaderRules, Limits, Message, Opcode, Role,
    Violation,
};
use fullduplex_testkit::{
    Endpoint, assert_fails_with,
    wire::{self, Frame, LengthForm},
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// A frame as the peer of an endpoint with this role sends it.
fn to(role: Role, frame: &Frame) -> Vec<u8> {
    let peer = Endpoint::new(role, Config::default()).peer();
    frame.clone().sent_by(peer).bytes()
}

fn protocol_error(role: Role, violation: Violation, input: &[u8]) {
    let outcome = assert_fails_with(role, CloseCode::PROTOCOL_ERROR, input);
    assert_eq!(outcome.cause, Cause::Violation(violation));
    assert!(!outcome.clean);
}

fn delivered(role: Role, frame: &Frame) -> Vec<Event> {
    let mut endpoint = Endpoint::new(role, Config::default());
    endpoint.receive_bytes(&to(role, frame))
}

#[test]
fn p35_any_rsv_bit_is_1002_from_the_first_byte_alone() {
    for role in ROLES {
        for rsv in 1..8 {
            for opcode in [0x0, 0x1, 0x2, 0x8, 0x9, 0xA] {
                let frame = wire::frame(opcode, "ab").rsv(rsv);
                protocol_error(role, Violation::ReservedBits, &frame.bytes()[..1]);
                protocol_error(role, Violation::ReservedBits, &to(role, &frame));
            }
        }
    }
}

#[test]
fn p35_rsv1_is_legal_where_an_extension_has_claimed_it_and_only_on_a_messages_first_frame() {
    let rules = HeaderRules {
        masked: false,
        rsv1: true,
    };
    for (opcode, rsv, legal) in [
        (0x1, 0b100, true),
        (0x2, 0b100, true),
        (0x0, 0b100, false),
        (0x8, 0b100, false),
        (0x9, 0b100, false),
        (0xA, 0b100, false),
        (0x1, 0b110, false),
        (0x2, 0b101, false),
    ] {
        let frame = wire::frame(opcode, "").rsv(rsv);
        let decoded = FrameHeader::decode(&frame.bytes(), rules);
        if legal {
            assert!(
                matches!(decoded, Ok(Some((header, 2))) if header.rsv1),
                "{frame}"
            );
        } else {
            assert_eq!(decoded, Err(Violation::ReservedBits), "{frame}");
        }
    }
}

#[test]
fn p36_reserved_opcodes_are_1002_from_the_first_byte_alone() {
    for role in ROLES {
        for opcode in (0x3..=0x7).chain(0xB..=0xF) {
            for frame in [
                wire::frame(opcode, "ab"),
                wire::frame(opcode, "ab").not_fin(),
            ] {
                let violation = Violation::ReservedOpcode(opcode);
                protocol_error(role, violation, &frame.bytes()[..1]);
            }
        }
    }
}

#[test]
fn p37_a_masked_frame_to_a_client_and_an_unmasked_one_to_a_server_are_1002_from_the_second_byte() {
    for opcode in [0x0, 0x1, 0x2, 0x8, 0x9, 0xA] {
        let frame = wire::frame(opcode, "");
        let masked = frame.clone().masked();
        protocol_error(Role::Client, Violation::Masked, &masked.bytes()[..2]);
        protocol_error(Role::Server, Violation::Unmasked, &frame.bytes()[..2]);
    }
}

#[test]
fn p37_a_zero_masking_key_is_legal() {
    let mut server = Endpoint::server();
    let frame = wire::text("Hello").mask([0; 4]);
    let events = server.receive_bytes(&frame.bytes());
    assert_eq!(events, [Event::Message(Message::text("Hello"))]);
}

#[test]
fn p38_a_length_that_is_not_minimal_is_1002() {
    let cases = [
        (0, LengthForm::Sixteen),
        (125, LengthForm::Sixteen),
        (0, LengthForm::SixtyFour),
        (125, LengthForm::SixtyFour),
        (126, LengthForm::SixtyFour),
        (65_535, LengthForm::SixtyFour),
    ];
    for role in ROLES {
        for (len, form) in cases {
            let frame = wire::binary(vec![0; len]).length_form(form);
            protocol_error(role, Violation::LengthNotMinimal, &to(role, &frame));
        }
    }
}

#[test]
fn p38_every_boundary_of_the_three_forms_is_read() {
    for role in ROLES {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537] {
            let payload = vec![0x5a; len];
            let expected = Event::Message(Message::binary(payload.clone()));
            assert_eq!(delivered(role, &wire::binary(payload)), [expected]);
        }
    }
}

#[test]
fn p38_the_top_bit_of_a_64_bit_length_is_1002_before_any_limit_is_looked_at() {
    for role in ROLES {
        for len in [1 << 63, u64::MAX, (1 << 63) + 1] {
            let frame = wire::binary("").declaring(len);
            protocol_error(role, Violation::LengthTopBit, &to(role, &frame));
        }
    }
}

#[test]
fn p38_a_length_over_the_limit_is_1009_from_the_header_before_anything_is_allocated() {
    for role in ROLES {
        for len in [(1 << 63) - 1, u64::from(u32::MAX), (4 << 20) + 1] {
            let frame = wire::binary("").declaring(len);
            let outcome = assert_fails_with(role, CloseCode::MESSAGE_TOO_BIG, &to(role, &frame));
            assert_eq!(outcome.cause, Cause::Violation(Violation::FrameTooBig));

            let mut endpoint = Endpoint::new(role, Config::default());
            endpoint.receive_bytes(&to(role, &frame));
            assert!(endpoint.connection.payload_space().is_none());
            endpoint.transmit();
            assert_eq!(endpoint.connection.buffered(), 0);
        }
    }
}

#[test]
fn p39_a_header_split_at_every_byte_reads_the_same() {
    for role in ROLES {
        for len in [0, 1, 125, 126, 65_536] {
            let input = to(role, &wire::binary(vec![7; len]));
            let expected = [Event::Message(Message::binary(vec![7; len]))];
            for first in 0..input.len().min(20) {
                for second in first..input.len().min(20) {
                    let mut endpoint = Endpoint::new(role, Config::default());
                    let mut events = endpoint.receive_bytes(&input[..first]);
                    events.extend(endpoint.receive_bytes(&input[first..second]));
                    events.extend(endpoint.receive_bytes(&input[second..]));
                    assert!(
                        events == expected,
                        "{len} bytes cut at {first} and {second}"
                    );
                }
            }
        }
    }
}

#[test]
fn p40_control_frames_are_whole_and_short_which_their_header_decides() {
    for role in ROLES {
        for opcode in [0x8, 0x9, 0xA] {
            let fragment = wire::frame(opcode, "").not_fin();
            protocol_error(role, Violation::FragmentedControl, &fragment.bytes()[..1]);
            let long = to(role, &wire::frame(opcode, vec![0; 126]));
            protocol_error(role, Violation::ControlTooLong, &long[..2]);
            let longer = to(role, &wire::frame(opcode, vec![0; 65_536]));
            protocol_error(role, Violation::ControlTooLong, &longer[..2]);
        }
        let full = wire::ping([1; 125]);
        assert_eq!(delivered(role, &full), [Event::Ping(vec![1; 125].into())]);
    }
}

#[test]
fn p44_a_declared_length_allocates_at_most_a_small_constant() {
    const CONSTANT: usize = 128 << 10;
    let limits = Limits::with_max_message(1 << 30);
    for role in ROLES {
        let mut config = Config::default();
        config.limits = limits;
        let mut endpoint = Endpoint::new(role, config);
        let declaring = wire::binary("").declaring(1 << 30);
        let declaring = to(role, &declaring);
        endpoint.receive_bytes(&declaring);
        assert_eq!(endpoint.connection.buffered(), 0, "a header costs nothing");

        for received in [1, 1000, 100_000, 1_000_000] {
            endpoint.receive_direct(&vec![0; received]);
            // Asking for room is what allocates.
            assert!(endpoint.connection.payload_space().is_some());
            let buffered = endpoint.connection.buffered();
            assert!(
                buffered <= 2 * 1_101_001 + CONSTANT,
                "{buffered} bytes after {received} more"
            );
            if received == 1 {
                assert!(buffered <= CONSTANT, "{buffered} bytes for one byte");
            }
        }
    }
}

#[test]
fn p44_memory_stays_within_twice_of_what_was_received() {
    let mut config = Config::default();
    config.limits = Limits::with_max_message(1 << 30);
    for direct in [false, true] {
        let mut server = Endpoint::new(Role::Server, config.clone());
        server.receive_bytes(&to(Role::Server, &wire::binary("").declaring(1 << 30)));
        let mut received = 0;
        for piece in [1, 10, 1_000, 16_384, 65_536, 300_000, 70_000] {
            let piece = vec![0; piece];
            let events = if direct {
                server.receive_direct(&piece)
            } else {
                server.receive_bytes(&piece)
            };
            assert_eq!(events, []);
            received += piece.len();
            let buffered = server.connection.buffered();
            assert!(
                buffered <= 2 * received + (128 << 10),
                "{buffered} for {received}, direct: {direct}"
            );
        }
    }
}

#[test]
fn p46_the_mask_goes_on_across_reads_of_any_size() {
    let payload: Vec<u8> = (0..=255).cycle().take(40_000).collect();
    let input = to(Role::Server, &wire::binary(&payload));
    for chunk in [
        1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 1021, 4096, 16_384, 39_999,
    ] {
        for direct in [false, true] {
            let mut server = Endpoint::server();
            let events: Vec<Event> = input
                .chunks(chunk)
                .flat_map(|piece| {
                    if direct {
                        server.receive_direct(piece)
                    } else {
                        server.receive_bytes(piece)
                    }
                })
                .collect();
            assert!(
                events == [Event::Message(Message::binary(payload.clone()))],
                "chunks of {chunk}, direct: {direct}"
            );
        }
    }
}

#[test]
fn p46_masking_leaves_the_callers_bytes_alone() {
    let mut client = Endpoint::client();
    let shared = bytes::Bytes::from(vec![0x11; 100_000]);
    client.send(shared.clone());
    client.send(shared.slice(..10));
    let frames = client.transmit();
    assert_eq!(frames.last(), Some(&wire::binary([0x11; 10])));
    assert!(shared.iter().all(|byte| *byte == 0x11));
}

#[test]
fn p47_each_frame_is_masked_with_the_key_that_was_drawn_for_it() {
    let mut client = Endpoint::client();
    client.send("one");
    client.send(vec![0; 200_000]);
    client
        .connection
        .ping(client.now, bytes::Bytes::new())
        .unwrap();
    client
        .connection
        .close(client.now, fullduplex_proto::CloseFrame::normal());
    let keys: Vec<_> = wire::frames(&client.transmit_bytes())
        .iter()
        .map(|frame| frame.mask.unwrap())
        .collect();
    let distinct: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len(), "{keys:x?}");
    assert!(
        keys.len() >= 6,
        "text, four fragments, close: {}",
        keys.len()
    );
}

#[test]
fn p50_nothing_behind_a_fatal_error_is_looked_at_even_if_it_has_arrived() {
    let mut server = Endpoint::server();
    let good = wire::text("before");
    let bad = wire::text("bad").rsv(0b010);
    let late = [
        wire::text("after"),
        wire::ping("after"),
        wire::close(1000, ""),
    ];
    let mut input = vec![good, bad];
    input.extend(late);
    let events = server.receive(&input);
    assert_eq!(events, [Event::Message(Message::text("before"))]);
    assert_eq!(server.transmit(), [wire::close(1002, "reserved bit set")]);
    assert_eq!(server.receive(&[wire::text("later")]), []);
    assert_eq!(server.transmit(), []);
}

#[test]
fn p50_the_first_message_is_out_before_the_next_bytes_can_fail_the_connection() {
    let mut server = Endpoint::server();
    let mut input = wire::bytes(&[
        wire::text("before").masked(),
        wire::text("bad").rsv(0b010).masked(),
    ]);
    let event = server.connection.handle_input(server.now, &mut input);
    assert_eq!(event, Some(Event::Message(Message::text("before"))));
    assert_eq!(server.connection.outcome(), None);
    server.send("reply");
    assert_eq!(server.transmit(), [wire::text("reply")]);
    assert_eq!(server.poll_events(), []);
    assert_eq!(server.transmit(), [wire::close(1002, "reserved bit set")]);
}

#[test]
fn the_examples_of_section_5_7_are_read() {
    let mut client = Endpoint::client();
    let input = [
        0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f,
    ];
    assert_eq!(
        client.receive_bytes(&input),
        [
            Event::Message(Message::text("Hello")),
            Event::Ping("Hello".into())
        ]
    );
    assert_eq!(client.transmit(), [wire::pong("Hello")]);
    let mut server = Endpoint::server();
    let input = [
        0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
    ];
    assert_eq!(
        server.receive_bytes(&input),
        [Event::Message(Message::text("Hello"))]
    );
}

#[test]
fn headers_are_written_in_their_shortest_form_and_shown_without_payload() {
    for len in [0, 125, 126, 65_535, 65_536, (1 << 63) - 1] {
        for masking_key in [None, Some([1, 2, 3, 4])] {
            let header = FrameHeader {
                fin: true,
                rsv1: false,
                opcode: Opcode::Binary,
                masking_key,
                payload_len: len,
            };
            let mut bytes = Vec::new();
            header.encode(&mut bytes);
            let mut literal = wire::binary("").declaring(len);
            literal.mask = masking_key;
            assert_eq!(bytes, literal.header());
            assert_eq!(bytes.len(), header.encoded_len());
        }
    }
    let header = FrameHeader {
        fin: false,
        rsv1: true,
        opcode: Opcode::Text,
        masking_key: Some([0; 4]),
        payload_len: 1,
    };
    assert_eq!(header.to_string(), "text, 1 byte, masked, rsv1, not fin");
}

#[test]
fn every_violation_has_a_code_a_section_and_words_that_fit_a_close() {
    let all = [
        (Violation::ReservedBits, 1002),
        (Violation::ReservedOpcode(3), 1002),
        (Violation::Unmasked, 1002),
        (Violation::Masked, 1002),
        (Violation::LengthNotMinimal, 1002),
        (Violation::LengthTopBit, 1002),
        (Violation::FragmentedControl, 1002),
        (Violation::ControlTooLong, 1002),
        (Violation::UnexpectedContinuation, 1002),
        (Violation::ExpectedContinuation, 1002),
        (Violation::CloseBodyTooShort, 1002),
        (Violation::InvalidCloseCode(65_535), 1002),
        (Violation::InvalidUtf8, 1007),
        (Violation::FrameTooBig, 1009),
        (Violation::MessageTooBig, 1009),
        (Violation::TooManyFragments, 1009),
        (Violation::UnsupportedData, 1003),
    ];
    for (violation, code) in all {
        assert_eq!(violation.code().get(), code, "{violation}");
        assert!(!violation.section().is_empty());
        let words = violation.to_string();
        assert!(!words.is_empty() && words.len() <= fullduplex_proto::MAX_REASON);
    }
}
