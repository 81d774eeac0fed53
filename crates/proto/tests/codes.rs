//! Goal: the table of close codes of the seed documents (row 28; RFC 6455 §7.4) and what a Close can hold.
//! Method: tables.

use fullduplex_proto::{CloseClass, CloseCode, CloseFrame, CloseSender, InvalidClose, MAX_REASON};
use fullduplex_testkit::{Endpoint, wire};

use CloseClass::{Private, Protocol, Registered};
use CloseSender::{Client, Either, Nobody};

#[test]
fn row28_every_code_of_the_seeds_has_name_meaning_class_and_sender() {
    let table = [
        (1000, Some("Normal Closure"), Protocol, Either),
        (1001, Some("Going Away"), Protocol, Either),
        (1002, Some("Protocol Error"), Protocol, Either),
        (1003, Some("Unsupported Data"), Protocol, Either),
        (1004, Some("Reserved"), Protocol, Nobody),
        (1005, Some("No Status Received"), Protocol, Nobody),
        (1006, Some("Abnormal Closure"), Protocol, Nobody),
        (1007, Some("Invalid Frame Payload Data"), Protocol, Either),
        (1008, Some("Policy Violation"), Protocol, Either),
        (1009, Some("Message Too Big"), Protocol, Either),
        (1010, Some("Mandatory Extension"), Protocol, Client),
        (1011, Some("Internal Error"), Protocol, Either),
        (1012, Some("Service Restart"), Protocol, Either),
        (1013, Some("Try Again Later"), Protocol, Either),
        (1014, Some("Bad Gateway"), Protocol, Either),
        (1015, Some("TLS Handshake"), Protocol, Nobody),
        (1016, None, Protocol, Nobody),
        (1999, None, Protocol, Nobody),
        (3000, Some("Unauthorized"), Registered, Either),
        (3003, Some("Forbidden"), Registered, Either),
        (3008, Some("Timeout"), Registered, Either),
        (3999, None, Registered, Either),
        (4000, None, Private, Either),
        (4999, None, Private, Either),
    ];
    for (number, name, class, sender) in table {
        let code = CloseCode::new(number);
        assert_eq!(code.name(), name, "{code}");
        assert_eq!(code.class(), class, "{code}");
        assert_eq!(code.sender(), sender, "{code}");
        assert!(!code.meaning().is_empty(), "{code}");
        assert!(!code.meaning().contains('\n'), "{code}");
    }
}

#[test]
fn row28_the_ranges_of_section_7_4_2_have_their_meanings() {
    let table = [
        (0..=999, CloseClass::Unused, "not used"),
        (1016..=1999, Protocol, "reserved for the protocol"),
        (
            2000..=2999,
            CloseClass::Extension,
            "reserved for extensions",
        ),
        (
            3001..=3002,
            Registered,
            "for libraries and frameworks, registered with IANA",
        ),
        (
            4000..=4999,
            Private,
            "for applications, by private agreement",
        ),
        (5000..=u16::MAX, CloseClass::Undefined, "not defined"),
    ];
    for (range, class, meaning) in table {
        for number in range {
            let code = CloseCode::new(number);
            assert_eq!(code.class(), class, "{code}");
            assert_eq!(code.meaning(), meaning, "{code}");
            assert_eq!(code.name(), None, "{code}");
        }
    }
}

#[test]
fn row28_nobody_sends_exactly_the_codes_that_must_not_be_on_the_wire() {
    for number in 0..=u16::MAX {
        let code = CloseCode::new(number);
        let legal = matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999);
        assert_eq!(code.is_allowed_on_wire(), legal, "{code}");
        assert_eq!(code.sender() != Nobody, legal, "{code}");
        let made = CloseFrame::new(code, "");
        assert_eq!(made.is_ok(), legal, "{code}");
        if !legal {
            assert_eq!(made, Err(InvalidClose::Code(code)));
            assert_eq!(
                CloseFrame::truncated(code, ""),
                Err(InvalidClose::Code(code))
            );
        }
    }
}

#[test]
fn the_constants_are_their_numbers() {
    let constants = [
        (CloseCode::NORMAL_CLOSURE, 1000),
        (CloseCode::GOING_AWAY, 1001),
        (CloseCode::PROTOCOL_ERROR, 1002),
        (CloseCode::UNSUPPORTED_DATA, 1003),
        (CloseCode::NO_STATUS_RCVD, 1005),
        (CloseCode::ABNORMAL_CLOSURE, 1006),
        (CloseCode::INVALID_FRAME_PAYLOAD_DATA, 1007),
        (CloseCode::POLICY_VIOLATION, 1008),
        (CloseCode::MESSAGE_TOO_BIG, 1009),
        (CloseCode::MANDATORY_EXTENSION, 1010),
        (CloseCode::INTERNAL_ERROR, 1011),
        (CloseCode::SERVICE_RESTART, 1012),
        (CloseCode::TRY_AGAIN_LATER, 1013),
        (CloseCode::BAD_GATEWAY, 1014),
        (CloseCode::TLS_HANDSHAKE, 1015),
    ];
    for (code, number) in constants {
        assert_eq!(u16::from(code), number);
        assert_eq!(code.get(), number);
        assert_eq!(code.to_string(), number.to_string());
        assert_eq!(format!("{code:?}"), format!("CloseCode({number})"));
    }
}

#[test]
fn p49_a_reason_over_123_bytes_is_an_error_by_value_and_cut_only_on_request() {
    let code = CloseCode::POLICY_VIOLATION;
    let fits = "x".repeat(MAX_REASON);
    assert_eq!(MAX_REASON, 123);
    assert_eq!(CloseFrame::new(code, fits.as_str()).unwrap().reason(), fits);
    let refused = CloseFrame::new(code, "x".repeat(124));
    assert_eq!(refused, Err(InvalidClose::ReasonTooLong(124)));
    assert_eq!(
        InvalidClose::ReasonTooLong(124).to_string(),
        "close reason of 124 bytes is over 123"
    );
    assert_eq!(
        InvalidClose::Code(CloseCode::NO_STATUS_RCVD).to_string(),
        "close code 1005 must not be sent"
    );
}

#[test]
fn p49_a_reason_is_cut_at_a_characters_boundary() {
    for (width, character) in [(1, "x"), (2, "é"), (3, "€"), (4, "😀")] {
        for offset in 0..4 {
            let reason = "-".repeat(offset) + &character.repeat(100);
            let cut = CloseFrame::truncated(CloseCode::NORMAL_CLOSURE, &reason).unwrap();
            assert!(reason.starts_with(cut.reason()));
            let expected = (MAX_REASON - offset) / width * width + offset;
            assert_eq!(cut.reason().len(), expected.min(reason.len()));
        }
    }
}

#[test]
fn a_close_is_shown_as_code_and_quoted_reason() {
    let frame = CloseFrame::new(CloseCode::NORMAL_CLOSURE, "bye \"now\"\n").unwrap();
    assert_eq!(frame.to_string(), r#"1000 "bye \"now\"\n""#);
    assert_eq!(CloseFrame::normal().to_string(), "1000");
    assert_eq!(CloseFrame::empty().to_string(), "1005");
}

#[test]
fn row_30_a_server_does_not_say_1010() {
    let mut server = Endpoint::server();
    let frame = CloseFrame::new(CloseCode::MANDATORY_EXTENSION, "x").unwrap();
    server.connection.close(server.now, frame.clone());
    assert_eq!(server.transmit(), [wire::close(1011, "x")]);
    let mut client = Endpoint::client();
    client.connection.close(client.now, frame);
    assert_eq!(client.transmit(), [wire::close(1010, "x")]);
}
