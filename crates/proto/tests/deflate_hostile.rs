//! Deflate data that no honest peer sends: bombs, endless nothing, ends where none should be.
//! For each: the right close code, memory that stays flat, and an end.
#![expect(clippy::panic, reason = "helpers of tests")]

mod common;

use bytes::Bytes;
use common::{Flush, Raw, assert_closed_with, both, endpoint, endpoint_with, noise, text};
use fullduplex_proto::{
    Config, Deflate, DeflateParams, Event, Limits, Message, MessageKind, Prepared, Role,
};
use fullduplex_testkit::{
    Endpoint,
    wire::{self, Frame},
};

/// What a server may hold beside a message: a history of one and a half windows, and what is decompressed at a time.
const ROOM: usize = (48 + 8) << 10;

fn limited(params: &DeflateParams, max_message: usize) -> Endpoint {
    let mut config = Config::default();
    config.limits = Limits::with_max_message(max_message);
    endpoint_with(Role::Server, config, params)
}

/// One message in fragments of these payloads, compressed.
fn fragments(payloads: &[&[u8]]) -> Vec<Frame> {
    let last = payloads.len() - 1;
    (0..)
        .zip(payloads)
        .map(|(n, payload)| {
            let mut frame = match n {
                0 => wire::binary(payload).rsv(0b100),
                _ => wire::continuation(payload),
            };
            frame.fin = n == last;
            frame
        })
        .collect()
}

/// The payloads of the parts that arrive, put together.
fn joined(events: &[Event]) -> Vec<u8> {
    events
        .iter()
        .flat_map(|event| match event {
            Event::Message(message) => message.as_bytes().to_vec(),
            Event::Part { payload, .. } => payload.to_vec(),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn p54_the_limit_is_exact_for_the_sum_of_compressed_fragments() {
    const LIMIT: usize = 300_000;
    for params in both() {
        for (len, passes) in [(LIMIT, true), (LIMIT + 1, false)] {
            let mut server = limited(&params, LIMIT);
            let data = Raw::new(9, 15)
                .push(&vec![0; len], Flush::SyncFlush)
                .stripped();
            let (front, back) = data.split_at(data.len() / 2);
            let (middle, back) = back.split_at(back.len() / 2);
            // With takeover the second refers to the first.
            for _ in 0..2 {
                let events = server.receive(&fragments(&[front, b"", middle, back]));
                assert_eq!(events.len(), usize::from(passes));
                assert_eq!(joined(&events), vec![0; if passes { len } else { 0 }]);
            }
            if !passes {
                assert_closed_with(&server.transmit(), 1009, "one more");
            }
        }
    }
}

#[test]
fn p54_a_bomb_across_fragments_and_messages_holds_the_limit_and_a_window() {
    const LIMIT: usize = 200_000;
    let zeros = vec![0; 100_000_000];
    let data = Raw::new(9, 15).push(&zeros, Flush::SyncFlush).stripped();
    assert!(data.len() < zeros.len() / 900, "a thousandfold");
    for params in both() {
        for fragment in [1, 50, data.len()] {
            let mut server = limited(&params, LIMIT);
            server.receive([&wire::binary(
                Raw::new(9, 15)
                    .push(&zeros[..LIMIT], Flush::SyncFlush)
                    .stripped(),
            )
            .rsv(0b100)]);
            let mut most = 0;
            for frame in fragments(&data.chunks(fragment).take(1000).collect::<Vec<_>>()) {
                assert_eq!(server.receive([&frame]), []);
                most = most.max(server.connection.buffered());
            }
            assert!(most <= 2 * LIMIT + ROOM, "{most} bytes");
            assert_closed_with(&server.transmit(), 1009, "the bomb");
        }
    }
}

#[test]
fn p54_a_bomb_in_parts_comes_in_parts_that_are_bounded_and_no_faster_than_they_are_taken() {
    let zeros = vec![0; 30_000_000];
    let data = Raw::new(9, 15).push(&zeros, Flush::SyncFlush).stripped();
    for params in both() {
        let mut server = endpoint(Role::Server, &params);
        let now = server.now;
        server.connection.receive_parts(now, true);
        let mut bytes = wire::binary(&data).rsv(0b100).masked().bytes();
        let mut event = server.connection.handle_input(now, &mut bytes);
        let (mut received, mut most, mut fin) = (0, 0, false);
        while let Some(Event::Part {
            payload, fin: last, ..
        }) = event
        {
            received += payload.len();
            fin |= last;
            most = most.max(payload.len());
            let held = server.connection.buffered();
            assert!(held <= ROOM + data.len(), "{held} bytes");
            event = server.connection.poll_event(now);
        }
        assert_eq!((received, fin), (zeros.len(), true));
        assert!(most <= (64 + 8) << 10, "{most} bytes");
    }
}

#[test]
fn p54_compressed_bytes_that_come_to_nothing_are_bounded_too() {
    // Empty stored blocks: five bytes each, and nothing to decompress.
    let nothing = [0, 0, 0, 0xff, 0xff].repeat(1000);
    for params in both() {
        let mut server = limited(&params, 100_000);
        let mut sent = 0;
        let mut frame = wire::binary(&nothing).rsv(0b100).not_fin();
        while server.connection.state() == fullduplex_proto::State::Open {
            assert_eq!(server.receive([&frame]), []);
            assert!(server.connection.buffered() <= 1000);
            frame = wire::continuation(&nothing).not_fin();
            sent += nothing.len();
            assert!(sent < 110_000);
        }
        assert_closed_with(&server.transmit(), 1009, "nothing without end");

        let mut server = endpoint(Role::Server, &params);
        let huge = wire::binary("")
            .rsv(0b100)
            .declaring(5 << 20)
            .masked()
            .header();
        assert_eq!(server.receive_bytes(&huge), []);
        assert_closed_with(&server.transmit(), 1009, "before a byte of it has come");
    }
}

#[test]
fn p54_what_cannot_be_compressed_passes_at_the_limit_though_it_is_longer_on_the_wire() {
    const LIMIT: usize = 100_000;
    for params in both() {
        let data = noise(LIMIT as u64);
        let stored = Raw::new(0, 15).push(&data, Flush::SyncFlush).stripped();
        assert!(stored.len() > LIMIT);
        let events = limited(&params, LIMIT).receive([&wire::binary(&stored).rsv(0b100)]);
        assert_eq!(joined(&events), data);
    }
}

#[test]
fn p54_what_cannot_be_compressed_passes_at_the_limit_in_small_parts_too() {
    const LIMIT: usize = 100_000;
    for params in both() {
        let data = noise(LIMIT as u64);
        let mut client = endpoint(Role::Client, &params);
        let mut server = limited(&params, LIMIT);
        let mut events = Vec::new();
        for (n, part) in data.chunks(100).enumerate() {
            let fin = (n + 1) * 100 >= LIMIT;
            let part = Bytes::copy_from_slice(part);
            let queued = client
                .connection
                .send_part(client.now, MessageKind::Binary, part, fin);
            assert_eq!(queued, Ok(()));
            events.extend(server.receive_bytes(&client.transmit_bytes()));
        }
        assert_eq!(joined(&events), data);
    }
}

#[test]
fn what_is_wrong_first_is_what_is_said_however_the_bytes_are_cut() {
    // Text that is not UTF-8, then a block of a type that does not exist.
    let mut data = Raw::new(6, 15)
        .push(b"not text: \xff", Flush::SyncFlush)
        .bytes();
    data.push(0b110);
    let bytes = wire::text(&data).rsv(0b100).sent_by(Role::Client).bytes();
    for params in both() {
        for piece in [1, 7, bytes.len()] {
            let mut server = endpoint(Role::Server, &params);
            for bytes in bytes.chunks(piece) {
                assert_eq!(server.receive_bytes(bytes), []);
            }
            assert_eq!(server.transmit(), [wire::close(1007, "text is not UTF-8")]);
        }
    }
}

#[test]
fn p63_a_last_block_may_end_where_a_chunk_of_the_decompressor_does() {
    // Decompressed in steps of 8 KiB: a block that ends with a step leaves nothing to go on with, and nothing to wait for.
    for params in both() {
        for steps in [1, 2, 8, 16] {
            for parts in [false, true] {
                let data = vec![7; steps * 8192];
                let last = Raw::new(6, 15).push(&data, Flush::Finish).bytes();
                let mut server = endpoint(Role::Server, &params);
                server.connection.receive_parts(server.now, parts);
                let events = server.receive([&wire::binary(&last).rsv(0b100)]);
                assert_eq!(joined(&events), data, "{steps} steps, in parts: {parts}");
            }
        }
    }
}

#[test]
fn p65_a_message_that_ends_before_its_data_does_is_never_delivered() {
    let message = text(700);
    for level in [0, 1, 9] {
        let whole = Raw::new(level, 15)
            .push(message.as_bytes(), Flush::SyncFlush)
            .stripped();
        for params in both() {
            // A stored block begins with what an empty message is.
            for len in 1 + usize::from(level == 0)..=whole.len() {
                let mut server = endpoint(Role::Server, &params);
                let events = server.receive([&wire::text(&whole[..len]).rsv(0b100)]);
                if len == whole.len() {
                    assert_eq!(events, [Event::Message(Message::text(message.clone()))]);
                } else {
                    assert_eq!(events, [], "{len} of {} bytes", whole.len());
                    assert_closed_with(&server.transmit(), 1007, "no end");
                }
            }
        }
    }
}

#[test]
fn p65_any_byte_changed_ends_in_1007_or_in_another_message_and_nothing_worse() {
    let message = text(300);
    let whole = Raw::new(6, 15)
        .push(message.as_bytes(), Flush::SyncFlush)
        .stripped();
    for params in both() {
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut data = whole.clone();
                data[at] ^= 1 << bit;
                let mut server = endpoint(Role::Server, &params);
                let events = server.receive([&wire::binary(&data).rsv(0b100)]);
                if events.is_empty() {
                    assert_closed_with(&server.transmit(), 1007, "broken");
                }
                // What is shared by the connections of this thread is in order.
                let mut other = endpoint(Role::Server, &params);
                let events = other.receive([&wire::text(&whole).rsv(0b100)]);
                assert_eq!(joined(&events), message.as_bytes());
            }
        }
    }
}

#[test]
fn a_connection_that_is_dropped_within_a_message_spoils_nothing_for_others() {
    for params in both() {
        let data = Raw::new(6, 15)
            .push(text(5000).as_bytes(), Flush::SyncFlush)
            .stripped();
        for _ in 0..3 {
            let mut server = endpoint(Role::Server, &params);
            server.receive([&wire::text(&data[..data.len() / 2]).rsv(0b100).not_fin()]);
            drop(server);
            let mut server = endpoint(Role::Server, &params);
            let events = server.receive([&wire::text(&data).rsv(0b100)]);
            assert_eq!(joined(&events), text(5000).as_bytes());
        }
    }
}

#[test]
fn a_message_waits_no_longer_with_its_history_than_the_agreement_allows() {
    let [takeover, none] = both();
    let mut small = takeover;
    small.client_max_window_bits = 10;
    for (params, window) in [(takeover, 32 << 10), (none, 0), (small, 1 << 10)] {
        let mut server = endpoint(Role::Server, &params);
        let mut most = 0;
        for len in [1, 500, 100_000, 3000, 70_000] {
            let data = Raw::new(6, 9)
                .push(text(len).as_bytes(), Flush::SyncFlush)
                .stripped();
            assert_eq!(server.receive([&wire::text(&data).rsv(0b100)]).len(), 1);
            most = most.max(server.connection.buffered());
        }
        assert!(most <= window * 3 / 2, "{most} bytes for {window}");
        // Until the keepalive's ping.
        server.wait_for_deadline();
        assert!(server.connection.buffered() <= window + 200);
    }
}

#[test]
fn settings_that_make_no_sense_neither_panic_nor_lose_messages() {
    let message = Message::text(text(3000));
    for (level, bits, threshold) in [(0, 0, 0), (200, 255, 0), (255, 8, 1), (3, 15, usize::MAX)] {
        let mut silly = Deflate::for_client();
        silly.level = level;
        silly.threshold = threshold;
        silly.server_max_window_bits = bits;
        silly.client_max_window_bits = bits;
        let mut params = common::agree(silly, silly);
        for broken in [false, true] {
            if broken {
                params.client_max_window_bits = bits;
                params.server_max_window_bits = bits;
            }
            let (mut client, mut server) = common::pair(&params);
            for _ in 0..2 {
                client.send(message.clone());
                let events = server.receive_bytes(&client.transmit_bytes());
                assert_eq!(events, [Event::Message(message.clone())], "{params:?}");
            }
            let sent = server
                .connection
                .send(server.now, Prepared::compressed(&message, &silly));
            assert!(sent.is_ok());
            let events = client.receive_bytes(&server.transmit_bytes());
            assert_eq!(events, [Event::Message(message.clone())], "{params:?}");
        }
    }
}
