//! Which parameters of permessage-deflate are agreed on, by a server and by a client (RFC 7692 §5, §7.1).
#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{endpoint, takeover};
use fullduplex_proto::{
    Deflate, DeflateParams, Event, Message, Role,
    handshake::{ClientError, ClientRequest, Progress, ServerHandshake, ServerOptions},
};
use fullduplex_testkit::wire;

/// What a server answers to these offers, one for each header line; `None` if it declines them all.
fn answer_to(offers: &[&str], deflate: Deflate) -> Option<(String, DeflateParams)> {
    let mut request =
        "GET / HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            .to_owned();
    let lines = offers
        .iter()
        .map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n"));
    request.extend(lines.chain(["\r\n".to_owned()]));
    let options = ServerOptions {
        deflate: Some(deflate),
        ..ServerOptions::default()
    };
    let Ok(Progress::Done { value, .. }) =
        ServerHandshake::new(options).receive(request.as_bytes())
    else {
        panic!("the request is whole and right: {offers:?}");
    };
    let acceptance = value.accept();
    let response = String::from_utf8(acceptance.to_bytes()).unwrap();
    let mut lines = response.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("Sec-WebSocket-Extensions")
            .then(|| value.to_owned())
    });
    let line = lines.next();
    assert_eq!(lines.next(), None, "accepted once");
    assert_eq!(line.is_some(), acceptance.deflate().is_some());
    Some((line?, acceptance.deflate()?))
}

/// The answer of a server with default settings but for remembering.
fn answer(offers: &str) -> Option<String> {
    Some(answer_to(&[offers], Deflate::for_client())?.0)
}

/// What a client that has offered as set up makes of this answer.
fn judge(deflate: Deflate, answer: &str) -> Result<Option<DeflateParams>, ClientError> {
    let request = ClientRequest::new("ws://example.com/".parse().unwrap()).deflate(deflate);
    let mut client = request.start([1; 16]);
    let mut server = ServerHandshake::new(ServerOptions::default());
    let Ok(Progress::Done { value, .. }) = server.receive(client.request()) else {
        panic!("the request is whole");
    };
    let response = String::from_utf8(value.accept().to_bytes()).unwrap();
    let line = format!("\r\nSec-WebSocket-Extensions: {answer}\r\n\r\n");
    let response = response.replacen("\r\n\r\n", &line, 1);
    match client.receive(response.as_bytes())? {
        Progress::Done { value, .. } => Ok(value.deflate()),
        Progress::NeedMore => panic!("the response is whole"),
    }
}

fn with_windows(server: u8, client: u8) -> Deflate {
    let mut deflate = Deflate::for_client();
    deflate.server_max_window_bits = server;
    deflate.client_max_window_bits = client;
    deflate
}

#[test]
fn p55_the_extension_is_known_by_its_whole_name() {
    for offer in [
        "x-permessage-deflate-foo",
        "permessage-deflate-foo",
        "x-permessage-deflate",
        "x-webkit-deflate-frame",
        "permessage",
        "foo; permessage-deflate",
        "foo; bar=permessage-deflate",
        "foo; bar=\"permessage-deflate\"",
        "PERMESSAGE-DEFLATE",
    ] {
        assert_eq!(answer(offer), None, "{offer}");
        assert!(judge(takeover(), offer).is_err(), "{offer}");
    }
    assert_eq!(
        answer("permessage-deflate-foo, foo; permessage-deflate, permessage-deflate").unwrap(),
        "permessage-deflate"
    );
}

#[test]
fn p56_a_faulty_offer_is_declined_and_the_next_one_taken_and_a_faulty_answer_fails() {
    let faults = [
        "foo",
        "foo=1",
        "Server_no_context_takeover",
        "server_no_context_takeover=1",
        "server_no_context_takeover=true",
        "client_no_context_takeover=\"x\"",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; foo; client_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=10; server_max_window_bits=10",
        "client_max_window_bits=7",
        "client_max_window_bits=99999999999999999999",
        "client_max_window_bits=10; client_max_window_bits=11",
        "client_max_window_bits; client_max_window_bits",
        "client_max_window_bits; client_max_window_bits=10",
        "server_no_context_takeover; unknown; client_no_context_takeover",
    ];
    for fault in faults {
        let offer = format!("permessage-deflate; {fault}");
        assert_eq!(answer(&offer), None, "{fault}");
        assert_eq!(
            answer(&format!(
                "{offer}, permessage-deflate; server_no_context_takeover"
            ))
            .unwrap(),
            "permessage-deflate; server_no_context_takeover",
            "{fault}"
        );
        let error = judge(Deflate::for_client(), &offer).unwrap_err();
        assert!(
            matches!(error, ClientError::Deflate(_)),
            "{fault}: {error:?}"
        );
    }
}

#[test]
fn p57_windows_are_numbers_from_8_to_15_without_sign_or_leading_zero_quoted_or_not() {
    for bits in 8..=15_u8 {
        for form in [format!("{bits}"), format!("\"{bits}\"")] {
            let client = answer(&format!(
                "permessage-deflate; client_max_window_bits={form}"
            ));
            let expected = match bits {
                15 => "permessage-deflate".to_owned(),
                _ => format!("permessage-deflate; client_max_window_bits={bits}"),
            };
            assert_eq!(client.unwrap(), expected);
            let server = answer(&format!(
                "permessage-deflate; server_max_window_bits={form}"
            ));
            let expected =
                (bits > 8).then(|| format!("permessage-deflate; server_max_window_bits={bits}"));
            assert_eq!(server, expected, "8 is declined, and never answered with 9");

            let params = judge(
                Deflate::for_client(),
                &format!("permessage-deflate; server_max_window_bits={form}; client_max_window_bits={form}"),
            )
            .unwrap()
            .unwrap();
            assert_eq!(
                (params.server_max_window_bits, params.client_max_window_bits),
                (bits, bits)
            );
        }
    }
    for wrong in [
        "08", "010", "+10", "-10", "0", "10.0", "0xa", "1e1", "\"010\"", "1", "16", "100", "256",
        "264", "a",
    ] {
        for name in ["client_max_window_bits", "server_max_window_bits"] {
            let faulty = format!("permessage-deflate; {name}={wrong}");
            assert_eq!(answer(&faulty), None, "{faulty}");
            assert!(judge(Deflate::for_client(), &faulty).is_err(), "{faulty}");
        }
    }
}

#[test]
fn p57_no_window_is_larger_than_what_was_offered() {
    for own in 9..=15 {
        for offered in 9..=15 {
            let offer = format!(
                "permessage-deflate; server_max_window_bits={offered}; client_max_window_bits={offered}"
            );
            let (_, params) = answer_to(&[&offer], with_windows(own, own)).unwrap();
            assert_eq!(params.server_max_window_bits, own.min(offered));
            assert_eq!(params.client_max_window_bits, own.min(offered));
            let larger = format!("permessage-deflate; server_max_window_bits={offered}");
            assert_eq!(
                judge(with_windows(own, 15), &larger).is_ok(),
                offered <= own
            );
            let larger = format!("permessage-deflate; client_max_window_bits={offered}");
            assert_eq!(
                judge(with_windows(15, own), &larger).is_ok(),
                offered <= own
            );
        }
        // Asked for, and not answered: it may be anything.
        assert_eq!(
            judge(with_windows(own, 15), "permessage-deflate").is_ok(),
            own == 15
        );
    }
}

#[test]
fn p57_a_client_that_is_told_to_use_a_window_of_256_bytes_sends_as_it_is_and_reads_what_comes() {
    let params = judge(takeover(), "permessage-deflate; client_max_window_bits=8")
        .unwrap()
        .unwrap();
    assert_eq!(params.client_max_window_bits, 8);
    let mut client = endpoint(Role::Client, &params);
    client.send(common::text(3000));
    assert!(client.transmit().iter().all(|frame| frame.rsv == 0));
    let hello = wire::text([0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]).rsv(0b100);
    assert_eq!(
        client.receive([&hello]),
        [Event::Message(Message::text("Hello"))]
    );
}

#[test]
fn p58_the_clients_window_is_limited_only_where_it_was_offered_and_with_a_value_in_the_answer() {
    let small = with_windows(15, 10);
    let offered = answer_to(&["permessage-deflate; client_max_window_bits"], small).unwrap();
    assert_eq!(offered.0, "permessage-deflate; client_max_window_bits=10");
    let smaller = answer_to(&["permessage-deflate; client_max_window_bits=9"], small).unwrap();
    assert_eq!(smaller.0, "permessage-deflate; client_max_window_bits=9");
    // A client that did not offer it may use any window, and is read with any.
    let (line, params) = answer_to(&["permessage-deflate"], small).unwrap();
    assert_eq!(line, "permessage-deflate");
    assert_eq!(params.client_max_window_bits, 15);
    let error = judge(
        Deflate::for_client(),
        "permessage-deflate; client_max_window_bits",
    )
    .unwrap_err();
    assert!(matches!(error, ClientError::Deflate(_)), "{error:?}");
}

#[test]
fn p59_a_takeover_that_was_declined_is_declined_and_either_side_may_decline_more() {
    let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    for (offer, expected) in [
        ("permessage-deflate", "permessage-deflate"),
        (
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover",
        ),
        (
            "permessage-deflate; client_no_context_takeover",
            "permessage-deflate; client_no_context_takeover",
        ),
        (both, both),
    ] {
        assert_eq!(answer(offer).unwrap(), expected);
        // A server that wants neither says so unasked.
        assert_eq!(answer_to(&[offer], Deflate::for_server()).unwrap().0, both);
    }
    let mut asking = Deflate::for_client();
    asking.server_no_context_takeover = true;
    assert!(
        judge(asking, "permessage-deflate").is_err(),
        "it must be answered"
    );
    assert!(judge(asking, "permessage-deflate; server_no_context_takeover").is_ok());
    // The client obeys what it did not offer.
    let params = judge(takeover(), both).unwrap().unwrap();
    let mut client = endpoint(Role::Client, &params);
    let lens: Vec<_> = (0..2)
        .map(|_| {
            client.send(common::text(1000));
            client.transmit_bytes().len()
        })
        .collect();
    assert_eq!(lens[0], lens[1]);
    // And keeps what it has promised, also where the server does not repeat it.
    let mut promising = takeover();
    promising.client_no_context_takeover = true;
    assert!(
        judge(promising, "permessage-deflate")
            .unwrap()
            .unwrap()
            .client_no_context_takeover
    );
}

#[test]
fn p60_the_first_offer_that_can_be_accepted_is_and_no_other() {
    let offers = "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=12, permessage-deflate";
    assert_eq!(
        answer(offers).unwrap(),
        "permessage-deflate; server_max_window_bits=12"
    );
    // Over several lines, with others between.
    let lines = [
        "x-unknown; a=1, permessage-deflate; unknown",
        "permessage-deflate; client_no_context_takeover, x-other",
        "permessage-deflate; server_no_context_takeover",
    ];
    assert_eq!(
        answer_to(&lines, Deflate::for_client()).unwrap().0,
        "permessage-deflate; client_no_context_takeover"
    );
    assert!(answer_to(&[], Deflate::for_client()).is_none());
    let error = judge(
        Deflate::for_client(),
        "permessage-deflate, permessage-deflate",
    )
    .unwrap_err();
    assert!(
        matches!(error, ClientError::ExtensionNotOffered(_)),
        "{error:?}"
    );
    assert!(judge(Deflate::for_client(), "permessage-deflate, x-unknown").is_err());
}
