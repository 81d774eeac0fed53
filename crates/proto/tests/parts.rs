//! Goal: messages sent and received in parts: of any size, in little memory, and never mixed with others.
//! Method: two endpoints, plain and with permessage-deflate; parts cut by the sender and by the reads.
#![expect(clippy::panic, reason = "helpers of tests")]

mod common;

use bytes::Bytes;
use common::{agree, no_takeover, pair, takeover, text};
use fullduplex_proto::{Event, Message, MessageKind, SendErrorKind};
use fullduplex_testkit::{Endpoint, wire};

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
    let send = |client: &mut Endpoint, bytes: &'static [u8], fin| {
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
    assert!(send(&mut client, b"\xff", false).is_err());
    assert!(send(&mut client, b"\xe2\x82", false).is_ok());
    assert!(
        send(&mut client, b"x", false).is_err(),
        "the refused part is as if never given"
    );
    assert!(send(&mut client, b"", true).is_err(), "within a character");
    let other_kind = client.connection.send_part(
        client.now,
        MessageKind::Binary,
        Bytes::from_static(b"\xff"),
        true,
    );
    assert!(
        other_kind.is_err(),
        "the first part decides what it is made of"
    );
    assert!(send(&mut client, b"\xac", true).is_ok());
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
    assert_eq!(refused.kind, SendErrorKind::InParts);
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
