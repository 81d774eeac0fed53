//! Subprotocols and extensions.

use fullduplex_proto::handshake::{
    AcceptanceError, MAX_LIST_ELEMENTS, NoCommonSubprotocol, Preference, Refusal, ServerOptions,
};

use crate::request::{Raw, sentence};

#[test]
fn p13_subprotocols_over_several_lines_are_joined_in_order() {
    let request = Raw::new()
        .add("Sec-WebSocket-Protocol", "v3.x, v2.x")
        .add("sec-websocket-protocol", "v1.x")
        .accepted();
    assert_eq!(request.subprotocols(), ["v3.x", "v2.x", "v1.x"]);
    assert_eq!(request.subprotocol(), None);
}

#[test]
fn p13_a_malformed_subprotocol_list_is_400() {
    let too_many: Vec<_> = (0..=MAX_LIST_ELEMENTS).map(|n| format!("p{n}")).collect();
    for value in [
        "",
        "chat,",
        ",chat",
        "chat,,x",
        "chat, chat",
        "a b",
        "a/b",
        "\"chat\"",
        "ch\u{e9}t",
        &too_many.join(","),
    ] {
        let rejection = Raw::new().add("Sec-WebSocket-Protocol", value).refused();
        assert_eq!(
            rejection.refusal(),
            Some(&Refusal::SubprotocolsMalformed),
            "{value:?}"
        );
        assert_eq!(rejection.status(), 400);
    }
    let twice = Raw::new()
        .add("Sec-WebSocket-Protocol", "chat")
        .add("Sec-WebSocket-Protocol", "chat");
    assert_eq!(twice.refused().status(), 400);
}

#[test]
fn p13_the_answer_holds_one_offered_subprotocol_byte_for_byte() {
    let options = ServerOptions {
        subprotocols: vec!["chat".into(), "Chat".into()],
        ..ServerOptions::default()
    };
    let raw = Raw::new().add("Sec-WebSocket-Protocol", "CHAT, Chat");
    let request = raw.judged(&options).unwrap();
    assert_eq!(request.subprotocol(), Some("Chat"));
    let headers = request.accept().headers();
    assert_eq!(
        headers
            .get_all("Sec-WebSocket-Protocol")
            .collect::<Vec<_>>(),
        [b"Chat"]
    );
}

#[test]
fn selection_follows_the_client_by_default_and_the_server_by_option() {
    let raw = Raw::new().add("Sec-WebSocket-Protocol", "unknown, b, a");
    let mut options = ServerOptions {
        subprotocols: vec!["a".into(), "b".into()],
        ..ServerOptions::default()
    };
    assert_eq!(raw.judged(&options).unwrap().subprotocol(), Some("b"));
    options.preference = Preference::Server;
    assert_eq!(raw.judged(&options).unwrap().subprotocol(), Some("a"));
}

#[test]
fn p14_without_a_common_subprotocol_the_header_is_omitted_or_the_request_refused() {
    let offered = Raw::new().add("Sec-WebSocket-Protocol", "other");
    let silent = Raw::new();
    let options = |no_common_subprotocol| ServerOptions {
        subprotocols: vec!["chat".into(), "superchat".into()],
        no_common_subprotocol,
        ..ServerOptions::default()
    };
    let accept = options(NoCommonSubprotocol::Accept);
    for raw in [&offered, &silent] {
        assert!(
            !raw.judged(&accept)
                .unwrap()
                .accept()
                .headers()
                .contains("Sec-WebSocket-Protocol")
        );
    }
    let if_offered = options(NoCommonSubprotocol::RefuseIfOffered);
    let rejection = offered.judged(&if_offered).unwrap_err();
    assert_eq!(rejection.status(), 400);
    assert!(
        sentence(&rejection).contains("chat, superchat"),
        "{rejection}"
    );
    silent.judged(&if_offered).unwrap();
    let refuse = options(NoCommonSubprotocol::Refuse);
    for raw in [&offered, &silent] {
        assert_eq!(raw.judged(&refuse).unwrap_err().status(), 400);
    }
    Raw::new()
        .add("Sec-WebSocket-Protocol", "superchat")
        .judged(&refuse)
        .unwrap();
}

#[test]
fn p15_the_offered_list_is_never_echoed_and_what_was_not_offered_never_sent() {
    let request = Raw::new().add("Sec-WebSocket-Protocol", "a, b").accepted();
    let text = String::from_utf8(request.accept().to_bytes()).unwrap();
    assert!(!text.contains("Sec-WebSocket-Protocol"), "{text}");
    for name in ["c", "a, b", "A", ""] {
        let error = request.accept().subprotocol(name).unwrap_err();
        assert_eq!(error, AcceptanceError::NotOffered(name.to_owned()));
    }
    let acceptance = request.accept().subprotocol("b").unwrap();
    assert_eq!(acceptance.chosen_subprotocol(), Some("b"));
    assert_eq!(
        acceptance.headers().get("Sec-WebSocket-Protocol"),
        Some(&b"b"[..])
    );
    assert!(
        !acceptance
            .without_subprotocol()
            .headers()
            .contains("Sec-WebSocket-Protocol")
    );
}

#[test]
fn p16_unknown_extensions_are_ignored_and_listed() {
    let request = Raw::new()
        .add(
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits, x-toy",
        )
        .add("Sec-WebSocket-Extensions", "x-other; a=\"1\"; b = 2")
        .accepted();
    let shown: Vec<_> = request
        .extensions()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        shown,
        [
            "permessage-deflate; client_max_window_bits",
            "x-toy",
            "x-other; a=1; b=2"
        ]
    );
    assert!(
        !request
            .accept()
            .headers()
            .contains("Sec-WebSocket-Extensions")
    );
}

#[test]
fn p16_a_malformed_extension_header_is_400() {
    for value in [
        "",
        "a;",
        "a; b=",
        "a; b=\"1 2\"",
        "a; b=\"1",
        "a,,b",
        "a b",
        "=a",
    ] {
        let rejection = Raw::new().add("Sec-WebSocket-Extensions", value).refused();
        assert_eq!(
            rejection.refusal(),
            Some(&Refusal::ExtensionsMalformed),
            "{value:?}"
        );
        assert_eq!(rejection.status(), 400);
    }
}
