//! permessage-deflate between two endpoints, and with data as other implementations make it (RFC 7692).

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{Flush, Raw, agree, endpoint, no_takeover, pair, takeover, text};
use fullduplex_proto::{
    Config, Deflate, DeflateParams, Event, Limits, Message, MessageKind, Prepared, Role,
};
use fullduplex_testkit::{Endpoint, wire};

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

/// Deflate data of many kinds, each with what it is of and what a later message may refer to.
fn kinds() -> Vec<(&'static str, Vec<u8>, String)> {
    let text = text(40);
    let (front, back) = text.split_at(17);
    let empty_last: &[u8] = &[0x03, 0x00];
    let raw = |level| Raw::new(level, 15);
    let twice = |first: Raw, second: Raw| [first.bytes(), second.stripped()].concat();
    vec![
        (
            "one block",
            raw(6).push(text.as_bytes(), Flush::SyncFlush).stripped(),
        ),
        (
            "stored",
            raw(0).push(text.as_bytes(), Flush::SyncFlush).stripped(),
        ),
        (
            "a flush within",
            raw(6)
                .push(front.as_bytes(), Flush::SyncFlush)
                .push(back.as_bytes(), Flush::SyncFlush)
                .stripped(),
        ),
        (
            "several blocks, without an empty one between",
            raw(6)
                .push(front.as_bytes(), Flush::Block)
                .push(back.as_bytes(), Flush::SyncFlush)
                .stripped(),
        ),
        (
            "a full flush within",
            raw(6)
                .push(front.as_bytes(), Flush::FullFlush)
                .push(back.as_bytes(), Flush::SyncFlush)
                .stripped(),
        ),
        (
            "a last block, then others",
            twice(
                raw(6).push(front.as_bytes(), Flush::Finish),
                raw(6).push(back.as_bytes(), Flush::SyncFlush),
            ),
        ),
        (
            "a last block, then the begin of an empty one",
            [raw(6).push(text.as_bytes(), Flush::Finish).bytes(), vec![0]].concat(),
        ),
        (
            "a last block",
            raw(6).push(text.as_bytes(), Flush::Finish).bytes(),
        ),
        (
            "many last blocks",
            [
                empty_last.repeat(3),
                raw(6).push(text.as_bytes(), Flush::Finish).bytes(),
                empty_last.repeat(3),
                vec![0],
            ]
            .concat(),
        ),
    ]
    .into_iter()
    .map(|(what, data)| (what, data, text.clone()))
    .collect()
}

#[test]
fn p61_p63_any_kind_of_block_is_read_in_fragments_cut_anywhere() {
    for params in common::both() {
        let mut server = endpoint(Role::Server, &params);
        for (what, data, text) in kinds() {
            for cut in 0..=data.len() {
                let (front, back) = data.split_at(cut);
                // Each with an empty fragment before, between and behind, and something that is not of the message.
                let frames = [
                    wire::text("").rsv(0b100).not_fin(),
                    wire::continuation(front).not_fin(),
                    wire::ping("between"),
                    wire::continuation("").not_fin(),
                    wire::continuation(back).not_fin(),
                    wire::continuation(""),
                ];
                assert_eq!(
                    server.receive(&frames),
                    [
                        Event::Ping("between".into()),
                        Event::Message(Message::text(text.clone()))
                    ],
                    "{what}, cut at {cut}"
                );
                server.transmit();
            }
        }
    }
}

#[test]
fn p63_p64_later_messages_refer_to_earlier_ones_whatever_blocks_those_ended_with() {
    let params = agree(takeover(), takeover());
    let again = |text: &str| {
        // What refers to all of the text: made by a compressor that has seen it.
        let seen = Raw::new(6, 15).push(text.as_bytes(), Flush::SyncFlush);
        let skip = seen.len();
        seen.push(text.as_bytes(), Flush::SyncFlush)
            .stripped()
            .split_off(skip)
    };
    for (what, data, text) in kinds() {
        let again = again(&text);
        assert!(again.len() < 10, "it refers to it: {}", again.len());
        let mut server = endpoint(Role::Server, &params);
        let message = [Event::Message(Message::text(text.clone()))];
        assert_eq!(server.receive([&wire::text(&data).rsv(0b100)]), message);
        for cut in 0..again.len() {
            // Neither control frames, nor messages that are not compressed, nor empty ones are referred to.
            let frames = [
                wire::ping("p"),
                wire::text("not compressed"),
                wire::text("").rsv(0b100),
                wire::text(&again[..cut]).rsv(0b100).not_fin(),
                wire::pong("q"),
                wire::continuation(&again[cut..]),
            ];
            let events = server.receive(&frames);
            assert_eq!(events[events.len() - 1..], message, "{what}, cut at {cut}");
            assert_eq!(events.len(), 5);
        }
    }
}

#[test]
fn p61_exactly_the_tail_is_stripped() {
    for params in common::both() {
        let (mut client, _) = pair(&params);
        for len in [100, 255, 256, 257, 600, 5000, 70_000] {
            client.send(text(len));
            let bytes = client.transmit_bytes();
            let frames = wire::frames(&bytes);
            let mut data: Vec<u8> = frames
                .iter()
                .flat_map(|frame| frame.payload.clone())
                .collect();
            assert!(!data.ends_with(&[0, 0, 0xff, 0xff]), "{len}");
            if params.client_no_context_takeover {
                data.extend([0, 0, 0xff, 0xff]);
                let mut zlib = zlib_rs::Inflate::new(false, 15);
                let mut out = vec![0; len + 1];
                zlib.decompress(&data, &mut out, zlib_rs::InflateFlush::SyncFlush)
                    .unwrap();
                // libdeflate's ends with a last block; behind it is only what completes an empty one.
                let behind = if cfg!(feature = "libdeflate") { 5 } else { 0 };
                assert_eq!(
                    (zlib.total_in(), zlib.total_out()),
                    (data.len() as u64 - behind, len as u64)
                );
            }
        }
    }
}

#[test]
fn p62_an_empty_message_in_parts_is_the_single_octet_zero() {
    for params in common::both() {
        let (mut client, mut server) = pair(&params);
        let mut part = |payload: &'static str, fin| {
            let part = Bytes::from(payload);
            client
                .connection
                .send_part(client.now, MessageKind::Text, part, fin)
                .unwrap();
            client.transmit()
        };
        let empty = part("", true);
        assert_eq!(empty, [wire::text([0]).rsv(0b100)]);
        let mut both = part("a", false);
        both.extend(part("", true));
        assert_eq!(both[1], wire::continuation([0]));
        let events = server.receive(empty.iter().chain(&both).chain(&empty));
        let texts = ["", "a", ""].map(|text| Event::Message(Message::text(text)));
        assert_eq!(events, texts);
    }
}

#[test]
fn p57_a_window_of_eight_bits_is_never_compressed_for_and_always_read() {
    let mut params = agree(takeover(), takeover());
    params.client_max_window_bits = 8;
    let (mut client, mut server) = pair(&params);
    let message = Message::text(text(5000));
    client.send(message.clone());
    client
        .connection
        .send_part(client.now, MessageKind::Text, text(5000).into(), true)
        .unwrap();
    let bytes = client.transmit_bytes();
    assert!(wire::frames(&bytes).iter().all(|frame| frame.rsv == 0));
    assert_eq!(
        server.receive_bytes(&bytes),
        [Event::Message(message.clone()), Event::Message(message)]
    );
    // A peer that can: a reference over 256 bytes is good, one over more is not.
    for (distance, reads) in [(256, true), (257, false)] {
        let mut server = endpoint(Role::Server, &params);
        let first = common::noise(distance + 5);
        let compressor = Raw::new(6, 15).push(&first, Flush::SyncFlush);
        let skip = compressor.len();
        let both = compressor.push(&first[5..], Flush::SyncFlush).stripped();
        let (_, second) = both.split_at(skip);
        assert!(second.len() < 20, "{}", second.len());
        let frames = [
            wire::binary(&both[..skip - 4]).rsv(0b100),
            wire::binary(second).rsv(0b100),
        ];
        assert_eq!(
            server.receive(&frames).len(),
            if reads { 2 } else { 1 },
            "{distance}"
        );
    }
}

#[test]
fn p66_p67_messages_left_out_of_compression_leave_what_is_remembered_as_it_is() {
    let mut params = agree(takeover(), takeover());
    params.threshold = 30;
    let (mut client, mut server) = pair(&params);
    let long = "The quick brown fox jumps over the lazy dog.";
    client.send(long);
    client.send("short");
    client
        .connection
        .send(client.now, Message::text(long).uncompressed())
        .unwrap();
    client
        .connection
        .send(
            client.now,
            Prepared::compressed(&Message::text(long), &takeover()),
        )
        .unwrap();
    client.send("");
    client.send(long);
    let bytes = client.transmit_bytes();
    let frames = wire::frames(&bytes);
    assert_eq!(
        frames
            .iter()
            .map(|frame| frame.rsv >> 2)
            .collect::<Vec<_>>(),
        [1, 0, 0, 0, 0, 1]
    );
    assert!(frames[5].payload.len() < 10);
    assert_eq!(server.receive_bytes(&bytes).len(), 6);
}

#[test]
fn a_compressor_that_is_not_used_for_thirty_seconds_is_dropped_with_and_without_keepalive() {
    for keepalive in [None, Some(Duration::from_secs(7))] {
        let mut config = Config::default();
        config.keepalive_interval = keepalive;
        let params = agree(takeover(), takeover());
        let mut client = common::endpoint_with(Role::Client, config, &params);
        let mut server = endpoint(Role::Server, &params);
        let mut elapsed = Duration::ZERO;
        let mut wait = |client: &mut Endpoint| {
            elapsed += client.wait_for_deadline().unwrap();
            for ping in client.transmit() {
                client.receive([&wire::pong(&ping.payload)]);
            }
            elapsed
        };
        // A message in parts keeps it, however long it takes.
        client
            .connection
            .send_part(client.now, MessageKind::Text, text(1000).into(), false)
            .unwrap();
        let mut bytes = client.transmit_bytes();
        client.wait(Duration::from_secs(100));
        client.connection.handle_timeout(client.now);
        client.transmit();
        client.receive([&wire::pong([0, 0, 0, 1])]);
        assert!(client.connection.buffered() > 100_000);
        client
            .connection
            .send_part(client.now, MessageKind::Text, text(1000).into(), true)
            .unwrap();
        bytes.extend(client.transmit_bytes());
        assert_eq!(server.receive_bytes(&bytes).len(), 1);

        while client.connection.buffered() > 100_000 {
            wait(&mut client);
        }
        assert_eq!(elapsed, Duration::from_secs(30), "{keepalive:?}");
        if keepalive.is_none() {
            assert_eq!(client.connection.poll_timeout(), None);
        }
        client.send(text(1000));
        assert_eq!(server.receive_bytes(&client.transmit_bytes()).len(), 1);
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
    let mut spares_work = agree(takeover(), no_takeover());
    spares_work.threshold = 2001;
    let cases = [
        (Some(agree(takeover(), no_takeover())), true),
        (Some(spares_work), false),
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
            // Who writes it past the connection has to know, and to have the same bytes.
            let foretold = server.connection.compresses_prepared(2000);
            assert_eq!(foretold, is_compressed);
            let frame = if foretold {
                prepared.compressed_frame()
            } else {
                prepared.frame()
            };
            assert_eq!(frame, bytes);
            assert_eq!(
                client.receive_bytes(&bytes),
                [Event::Message(message.clone())]
            );
        }
        client
            .connection
            .send(client.now, prepared.clone())
            .unwrap();
        assert!(!client.connection.compresses_prepared(2000));
        assert_eq!(
            server.receive_bytes(&client.transmit_bytes()),
            [Event::Message(message.clone())]
        );
    }
    // What gets no shorter has one frame, and so has what is too short.
    for payload in [common::noise(2000), vec![b'x'; 10]] {
        let prepared = Prepared::compressed(&Message::binary(payload), &Deflate::for_server());
        assert_eq!(prepared.compressed_frame(), prepared.frame());
    }
}

#[test]
fn p92_a_prepared_message_that_is_long_leaves_compressed_in_fragments() {
    let params = agree(takeover(), no_takeover());
    let (mut client, mut server) = pair(&params);
    let noise: Vec<u8> = common::noise(100_000)
        .iter()
        .map(|byte| byte & 0x3f)
        .collect();
    let message = Message::binary(noise);
    let prepared = Prepared::compressed(&message, &no_takeover());
    server.connection.send(server.now, prepared).unwrap();
    let bytes = server.transmit_bytes();
    let frames = wire::frames(&bytes);
    assert_eq!(frames.len(), 2);
    assert_eq!((frames[0].rsv, frames[0].payload.len()), (0b100, 64 << 10));
    assert_eq!((frames[1].rsv, frames[1].opcode), (0, 0));
    assert_eq!(client.receive_bytes(&bytes), [Event::Message(message)]);
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
    // The keepalive ping, then the compressor.
    assert_eq!(client.wait_for_deadline(), Some(Duration::from_secs(20)));
    let ping = client.transmit();
    assert_eq!(ping.len(), 1);
    client.receive([&wire::pong(&ping[0].payload)]);
    assert!(client.connection.buffered() > 100_000);
    assert_eq!(client.wait_for_deadline(), Some(Duration::from_secs(10)));
    assert_eq!(client.connection.buffered(), 0);
    client.send(text(1000));
    assert_eq!(server.receive_bytes(&client.transmit_bytes()).len(), 1);
}
