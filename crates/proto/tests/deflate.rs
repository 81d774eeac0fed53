//! permessage-deflate between two endpoints, and with data as other implementations make it (RFC 7692).
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use bytes::Bytes;
use fullduplex_proto::{
    Config, Deflate, DeflateParams, Event, Limits, Message, MessageKind, Outcome, Prepared, Role,
    handshake::{ClientRequest, Progress, ServerHandshake, ServerOptions},
};
use fullduplex_testkit::{Endpoint, wire};

/// What both sides agree on when they are set up like this.
fn agree(client: Deflate, server: Deflate) -> DeflateParams {
    let request = ClientRequest::new("ws://example.com/".parse().unwrap()).deflate(client);
    let mut client = request.start([1; 16]);
    let options = ServerOptions {
        deflate: Some(server),
        ..ServerOptions::default()
    };
    let mut server = ServerHandshake::new(options);
    let Ok(Progress::Done { value, .. }) = server.receive(client.request()) else {
        panic!("the request is whole");
    };
    let acceptance = value.accept();
    let Ok(Progress::Done { value, .. }) = client.receive(&acceptance.to_bytes()) else {
        panic!("the response is whole");
    };
    assert_eq!(value.deflate(), acceptance.deflate());
    value.deflate().unwrap()
}

fn takeover() -> Deflate {
    let mut deflate = Deflate::for_client();
    deflate.threshold = 0;
    deflate
}

fn no_takeover() -> Deflate {
    let mut deflate = Deflate::for_server();
    deflate.threshold = 0;
    deflate
}

fn endpoint(role: Role, params: &DeflateParams) -> Endpoint {
    let mut endpoint = Endpoint::new(role, Config::default());
    endpoint.connection = endpoint.connection.with_deflate(params);
    endpoint
}

fn pair(params: &DeflateParams) -> (Endpoint, Endpoint) {
    (
        endpoint(Role::Client, params),
        endpoint(Role::Server, params),
    )
}

fn text(len: usize) -> String {
    (0..)
        .map(|n: u32| format!("line {n} of the log\n"))
        .flat_map(|line| line.chars().collect::<Vec<_>>())
        .take(len)
        .collect()
}

#[test]
fn messages_arrive_as_they_were_sent_with_and_without_takeover_in_both_directions() {
    for params in [
        agree(takeover(), takeover()),
        agree(takeover(), no_takeover()),
    ] {
        let (mut client, mut server) = pair(&params);
        for len in [1, 5, 100, 70_000, 3, 1_000_000] {
            let message = Message::text(text(len));
            client.send(message.clone());
            let bytes = client.transmit_bytes();
            assert!(
                len < 1000 || bytes.len() < len / 2,
                "{len} became {}",
                bytes.len()
            );
            assert_eq!(
                server.receive_bytes(&bytes),
                [Event::Message(message.clone())]
            );
            server.send(message.clone());
            let bytes = server.transmit_bytes();
            assert_eq!(client.receive_bytes(&bytes), [Event::Message(message)]);
        }
    }
}

#[test]
fn p64_later_messages_refer_to_earlier_ones_only_with_takeover() {
    let sizes = |params: &DeflateParams| {
        let (mut client, mut server) = pair(params);
        [0, 1].map(|_| {
            client.send("The quick brown fox jumps over the lazy dog.");
            let bytes = client.transmit_bytes();
            assert_eq!(server.receive_bytes(&bytes).len(), 1);
            bytes.len()
        })
    };
    let [first, second] = sizes(&agree(takeover(), takeover()));
    assert!(second < first / 2, "{first}, {second}");
    let [first, second] = sizes(&agree(takeover(), no_takeover()));
    assert_eq!(first, second);
}

#[test]
fn p85_what_later_messages_refer_to_is_never_dropped_for_a_new_one() {
    for (params, dropped) in [
        (agree(takeover(), takeover()), None),
        (agree(takeover(), no_takeover()), Some(3)),
    ] {
        let (mut client, mut server) = pair(&params);
        for n in 0..3 {
            server.send(format!("The quick brown fox jumps over {n} lazy dogs."));
        }
        let now = server.now;
        let displaced = server.connection.send_displacing(now, "the latest", 1);
        assert_eq!(displaced.ok(), dropped);
        let bytes = server.transmit_bytes();
        let received = client.receive_bytes(&bytes);
        assert_eq!(received.len(), if dropped.is_some() { 1 } else { 3 });
        // The contexts agree.
        server.send("The quick brown fox jumps over the lazy dog.");
        let bytes = server.transmit_bytes();
        assert_eq!(client.receive_bytes(&bytes).len(), 1);
    }
}

#[test]
fn p61_p62_p63_data_of_other_implementations_is_read() {
    // The examples of RFC 7692 §7.2.3.
    let params = agree(takeover(), takeover());
    let hello: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let again: &[u8] = &[0xf2, 0x00, 0x11, 0x00, 0x00];
    let stored: &[u8] = &[
        0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00,
    ];
    let last: &[u8] = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let two: &[u8] = &[
        0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
    ];
    let mut server = endpoint(Role::Server, &params);
    for data in [hello, again, stored, again, last, again, last, two, again] {
        let frame = wire::text(data).rsv(0b100);
        assert_eq!(
            server.receive([&frame]),
            [Event::Message(Message::text("Hello"))],
            "{data:x?}"
        );
    }
    for data in [&[0x00][..], &[]] {
        let frame = wire::text(data).rsv(0b100);
        assert_eq!(
            server.receive([&frame]),
            [Event::Message(Message::text(""))],
            "{data:x?}"
        );
    }
}

#[test]
fn a_last_block_that_fills_what_is_decompressed_at_once_is_the_end() {
    // 8 KiB that were not compressed, in a block that says that it is the last.
    let data = [&[0x01, 0x00, 0x20, 0xff, 0xdf], &[b'a'; 8 << 10][..]].concat();
    let mut server = endpoint(Role::Server, &agree(takeover(), takeover()));
    assert_eq!(
        server.receive([&wire::binary(data).rsv(0b100)]),
        [Event::Message(vec![b'a'; 8 << 10].into())]
    );
}

#[test]
fn p54_a_bomb_ends_in_1009_at_the_limit_and_holds_no_more_than_the_limit() {
    for (client, server) in [(takeover(), takeover()), (takeover(), no_takeover())] {
        let params = agree(client, server);
        let mut bomber = endpoint(Role::Client, &params);
        let mut config = Config::default();
        config.limits = Limits::with_max_message(1 << 20);
        let mut server = Endpoint::new(Role::Server, config);
        server.connection = server.connection.with_deflate(&params);
        // Exactly at the limit it passes, twice.
        for _ in 0..2 {
            bomber.send(Message::binary(vec![0; 1 << 20]));
            let bytes = bomber.transmit_bytes();
            assert!(bytes.len() < 2000, "a thousandfold: {}", bytes.len());
            assert_eq!(server.receive_bytes(&bytes).len(), 1);
        }
        bomber
            .connection
            .send_part(
                bomber.now,
                MessageKind::Binary,
                vec![0; 512 << 10].into(),
                false,
            )
            .unwrap();
        bomber
            .connection
            .send_part(
                bomber.now,
                MessageKind::Binary,
                vec![0; (512 << 10) + 1].into(),
                true,
            )
            .unwrap();
        let bytes = bomber.transmit_bytes();
        let mut most = 0;
        for byte in bytes.chunks(7) {
            assert_eq!(server.receive_bytes(byte), []);
            most = most.max(server.connection.buffered());
        }
        assert!(most <= 3 << 20, "{most}");
        let sent = server.transmit();
        assert!(
            matches!(sent.as_slice(), [close] if close.payload.starts_with(&1009_u16.to_be_bytes())),
            "{sent:?}"
        );
    }
}

#[test]
fn p65_data_that_is_not_deflate_ends_in_1007() {
    let full = agree(takeover(), no_takeover());
    let cases: [(&str, &DeflateParams, &[u8]); 4] = [
        ("reserved block type", &full, &[0x07, 0, 0]),
        (
            "stored block with a wrong length",
            &full,
            &[0x00, 0x05, 0x00, 0x00, 0x00, 1, 2],
        ),
        (
            "a reference to nothing",
            &full,
            &[0xf2, 0x00, 0x11, 0x00, 0x00],
        ),
        ("an end within a block", &full, &[0xf2, 0x48, 0xcd]),
    ];
    for (what, params, data) in cases {
        let mut server = endpoint(Role::Server, params);
        assert_eq!(
            server.receive([&wire::binary(data).rsv(0b100)]),
            [],
            "{what}"
        );
        let sent = server.transmit();
        assert!(
            matches!(sent.as_slice(), [close] if close.payload.starts_with(&1007_u16.to_be_bytes())),
            "{what}: {sent:?}"
        );
    }
}

#[test]
fn p65_a_reference_beyond_the_window_that_was_agreed_on_ends_in_1007() {
    let noise: Vec<u8> = (0..5000_u64)
        .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .map(|n| {
            (n ^ (n >> 29))
                .wrapping_mul(0xbf58_476d_1ce4_e5b9)
                .to_be_bytes()[0]
        })
        .collect();
    let full = agree(takeover(), takeover());
    let mut small = takeover();
    small.client_max_window_bits = 9;
    let small = agree(takeover(), small);
    for (params, read) in [(full, 1), (small, 0)] {
        let mut client = endpoint(Role::Client, &full);
        let mut server = endpoint(Role::Server, &params);
        client.send(Message::binary(noise.clone()));
        assert_eq!(server.receive_bytes(&client.transmit_bytes()).len(), 1);
        client.send(Message::binary(noise.clone()));
        assert_eq!(server.receive_bytes(&client.transmit_bytes()).len(), read);
    }
}

#[test]
fn p35_rsv1_stands_only_on_the_first_frame_of_a_message_and_needs_an_agreement() {
    let params = agree(takeover(), no_takeover());
    let data: &[u8] = &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let frames = [
        vec![
            wire::text(&data[..3]).rsv(0b100).not_fin(),
            wire::continuation(&data[3..]).rsv(0b100),
        ],
        vec![wire::ping("").rsv(0b100)],
        vec![wire::text(data).rsv(0b010)],
        vec![wire::text(data).rsv(0b101)],
    ];
    for frames in frames {
        let mut server = endpoint(Role::Server, &params);
        assert_eq!(server.receive(&frames), []);
        assert!(
            server.transmit()[0]
                .payload
                .starts_with(&1002_u16.to_be_bytes()),
            "{frames:?}"
        );
    }
    let mut server = Endpoint::server();
    assert_eq!(server.receive([&wire::text(data).rsv(0b100)]), []);
    assert!(
        server.transmit()[0]
            .payload
            .starts_with(&1002_u16.to_be_bytes())
    );
}

#[test]
fn text_is_checked_after_it_was_decompressed() {
    let params = agree(takeover(), no_takeover());
    let mut client = endpoint(Role::Client, &params);
    client.send(Message::binary(&b"\xed\xa0\x80"[..]));
    let data = wire::frames(&client.transmit_bytes())[0].payload.clone();
    let mut server = endpoint(Role::Server, &params);
    assert_eq!(server.receive([&wire::text(data).rsv(0b100)]), []);
    assert!(
        server.transmit()[0]
            .payload
            .starts_with(&1007_u16.to_be_bytes())
    );
}

#[test]
fn p92_a_prepared_frame_goes_compressed_to_those_who_can_take_it_and_plain_to_others() {
    let message = Message::text(text(2000));
    let prepared = Prepared::compressed(&message, &no_takeover());
    let small = {
        let mut deflate = no_takeover();
        deflate.server_max_window_bits = 10;
        deflate
    };
    let cases = [
        (Some(agree(takeover(), no_takeover())), true),
        (Some(agree(takeover(), takeover())), false),
        (Some(agree(small, no_takeover())), false),
        (None, false),
    ];
    for (params, is_compressed) in cases {
        let (mut client, mut server) = match &params {
            Some(params) => pair(params),
            None => (Endpoint::client(), Endpoint::server()),
        };
        // In between, so that what the connection remembers would be spoilt if it were told of the frame.
        for _ in 0..2 {
            server.send(message.clone());
            assert_eq!(
                client.receive_bytes(&server.transmit_bytes()),
                [Event::Message(message.clone())]
            );
            server
                .connection
                .send(server.now, prepared.clone())
                .unwrap();
            let bytes = server.transmit_bytes();
            assert_eq!(
                bytes.len() < 1000,
                is_compressed,
                "{params:?}: {}",
                bytes.len()
            );
            assert_eq!(
                client.receive_bytes(&bytes),
                [Event::Message(message.clone())]
            );
        }
        client
            .connection
            .send(client.now, prepared.clone())
            .unwrap();
        assert_eq!(
            server.receive_bytes(&client.transmit_bytes()),
            [Event::Message(message.clone())]
        );
    }
}

#[test]
fn p67_a_message_can_be_kept_out_of_compression() {
    let params = agree(takeover(), takeover());
    let (mut client, mut server) = pair(&params);
    let message = Message::text(text(2000));
    client.send("before");
    client
        .connection
        .send(client.now, message.clone().uncompressed())
        .unwrap();
    client.send(message);
    let bytes = client.transmit_bytes();
    let frames = wire::frames(&bytes);
    assert_eq!(
        frames.iter().map(|frame| frame.rsv).collect::<Vec<_>>(),
        [0b100, 0, 0b100]
    );
    assert_eq!(server.receive_bytes(&bytes).len(), 3);
}

#[test]
fn p66_short_messages_go_as_they_are() {
    let mut params = agree(takeover(), takeover());
    params.threshold = 100;
    let (mut client, mut server) = pair(&params);
    client.send(text(99));
    client.send(text(100));
    client.send(text(99));
    let bytes = client.transmit_bytes();
    let rsv: Vec<_> = wire::frames(&bytes).iter().map(|frame| frame.rsv).collect();
    assert_eq!(rsv, [0, 0b100, 0]);
    assert_eq!(server.receive_bytes(&bytes).len(), 3);
}

#[test]
fn an_idle_connection_holds_no_compressor() {
    let params = agree(takeover(), takeover());
    let (mut client, mut server) = pair(&params);
    assert_eq!(client.connection.buffered(), 0);
    client.send(text(1000));
    assert_eq!(server.receive_bytes(&client.transmit_bytes()).len(), 1);
    assert!(client.connection.buffered() > 100_000);
    assert!(
        server.connection.buffered() < 2000,
        "a history of what came: {}",
        server.connection.buffered()
    );
    for _ in 0..2 {
        client.wait_for_deadline();
        let ping = client.transmit();
        assert_eq!(ping.len(), 1);
        client.receive([&wire::pong(&ping[0].payload)]);
    }
    assert_eq!(client.connection.buffered(), 0);
    client.send(text(1000));
    assert_eq!(server.receive_bytes(&client.transmit_bytes()).len(), 1);
}

/// All that arrives, as parts.
fn parts(endpoint: &mut Endpoint, bytes: &[u8]) -> Vec<(MessageKind, Bytes, bool)> {
    let now = endpoint.now;
    endpoint.connection.receive_parts(now, true);
    endpoint
        .receive_bytes(bytes)
        .into_iter()
        .map(|event| match event {
            Event::Part { kind, payload, fin } => (kind, payload, fin),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_message_in_parts_passes_whatever_its_size_and_holds_little() {
    for params in [
        None,
        Some(agree(takeover(), takeover())),
        Some(agree(takeover(), no_takeover())),
    ] {
        let (mut client, mut server) = match &params {
            Some(params) => pair(params),
            None => (Endpoint::client(), Endpoint::server()),
        };
        let part = Bytes::from(text(100_000));
        let (mut received, mut fins, mut most, mut last) = (0, 0, 0, false);
        for n in 0..100 {
            client
                .connection
                .send_part(client.now, MessageKind::Text, part.clone(), n == 99)
                .unwrap();
            let bytes = client.transmit_bytes();
            for bytes in bytes.chunks(50_000) {
                for (kind, payload, fin) in parts(&mut server, bytes) {
                    assert_eq!(kind, MessageKind::Text);
                    received += payload.len();
                    most = most.max(payload.len()).max(server.connection.buffered());
                    fins += usize::from(fin);
                    last = fin;
                }
            }
        }
        assert_eq!((received, fins, last), (10_000_000, 1, true), "{params:?}");
        assert!(most < 300_000, "{most}");
        // And whole messages again.
        server.connection.receive_parts(server.now, false);
        client.send("whole");
        assert_eq!(
            server.receive_bytes(&client.transmit_bytes()),
            [Event::Message(Message::text("whole"))]
        );
    }
}

#[test]
fn the_rest_of_a_message_of_which_no_more_parts_are_wanted_is_skipped() {
    for params in [None, Some(agree(takeover(), takeover()))] {
        let (mut client, mut server) = match &params {
            Some(params) => pair(params),
            None => (Endpoint::client(), Endpoint::server()),
        };
        let mut send = |text: String, fin| {
            client
                .connection
                .send_part(client.now, MessageKind::Text, text.into(), fin)
                .unwrap();
            client.transmit_bytes()
        };
        let first = send(text(1000), false);
        assert_eq!(parts(&mut server, &first).len(), 1);
        server.connection.receive_parts(server.now, false);
        assert_eq!(server.receive_bytes(&send(text(100_000), false)), []);
        // Also when parts are wanted again: they are those of another message.
        assert_eq!(parts(&mut server, &send(text(1000), false)), []);
        assert_eq!(parts(&mut server, &send(text(1000), true)), []);
        server.connection.receive_parts(server.now, false);
        assert_eq!(
            server.receive_bytes(&send("next".into(), true)),
            [Event::Message(Message::text("next"))]
        );

        let first = send(text(1000), false);
        assert_eq!(parts(&mut server, &first).len(), 1);
        server.connection.receive_parts(server.now, false);
        assert_eq!(server.receive_bytes(&send(text(5 << 20), true)), []);
        assert!(
            server.transmit()[0]
                .payload
                .starts_with(&1009_u16.to_be_bytes()),
            "skipping has its bound"
        );
    }
}

#[test]
fn parts_of_text_must_be_utf8_together() {
    let (mut client, mut server) = (Endpoint::client(), Endpoint::server());
    let mut send = |bytes: &'static [u8], fin| {
        client
            .connection
            .send_part(
                client.now,
                MessageKind::Text,
                Bytes::from_static(bytes),
                fin,
            )
            .map_err(|error| error.to_string())
    };
    assert!(send(b"\xff", false).is_err());
    assert!(send(b"\xe2\x82", false).is_ok());
    assert!(
        send(b"x", false).is_err(),
        "the refused part is as if never given"
    );
    assert!(send(b"", true).is_err(), "within a character");
    assert!(send(b"\xac", true).is_ok());
    assert_eq!(
        server.receive_bytes(&client.transmit_bytes()),
        [Event::Message(Message::text("€"))]
    );
}

#[test]
fn while_a_message_is_sent_in_parts_only_control_frames_go_between() {
    let mut client = Endpoint::client();
    client
        .connection
        .send_part(
            client.now,
            MessageKind::Binary,
            Bytes::from_static(b"a"),
            false,
        )
        .unwrap();
    assert!(client.connection.is_sending_parts());
    let refused = client.connection.send(client.now, "other").unwrap_err();
    assert_eq!(refused.kind, fullduplex_proto::SendErrorKind::InParts);
    client
        .connection
        .ping(client.now, Bytes::from_static(b"p"))
        .unwrap();
    client
        .connection
        .send_part(
            client.now,
            MessageKind::Binary,
            Bytes::from_static(b"b"),
            true,
        )
        .unwrap();
    assert!(!client.connection.is_sending_parts());
    let frames = client.transmit();
    assert_eq!(
        frames,
        [
            wire::ping("p"),
            wire::binary("a").not_fin(),
            wire::continuation("b")
        ]
    );
}

#[test]
fn row_30_a_server_does_not_say_1010() {
    let mut server = Endpoint::server();
    let frame =
        fullduplex_proto::CloseFrame::new(fullduplex_proto::CloseCode::MANDATORY_EXTENSION, "x")
            .unwrap();
    server.connection.close(server.now, frame.clone());
    assert_eq!(server.transmit(), [wire::close(1011, "x")]);
    let mut client = Endpoint::client();
    client.connection.close(client.now, frame);
    assert_eq!(client.transmit(), [wire::close(1010, "x")]);
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
    let outcome: Outcome = server.outcome();
    assert_eq!(outcome.cause.to_string(), "keepalive timeout");
}
