//! The headers that ask for a WebSocket: Host, Upgrade, Connection, key and version.

use fullduplex_proto::handshake::{
    Headers, Origins, Refusal, RequestHead, ServerOptions, Version, judge,
};

use crate::request::{Raw, header, receive, with_origins};

#[test]
fn the_sample_of_the_rfc_is_accepted_with_its_accept_value() {
    let request = Raw::new().accepted();
    assert_eq!(
        String::from_utf8(request.accept().to_bytes()).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[test]
fn p03_a_request_without_upgrade_to_websocket_is_426_and_says_to_what() {
    for raw in [
        Raw::new().without("Upgrade"),
        Raw::new().set("Upgrade", ""),
        Raw::new().set("Upgrade", "h2c"),
        Raw::new().set("Upgrade", "websockets"),
        Raw::new().set("Upgrade", "websocket/13"),
        Raw::new().without("Upgrade").without("Connection"),
    ] {
        let rejection = raw.refused();
        assert_eq!(rejection.status(), 426);
        assert_eq!(header(&rejection, "Upgrade").as_deref(), Some("websocket"));
        assert_eq!(
            header(&rejection, "Connection").as_deref(),
            Some("Upgrade, close")
        );
        assert_eq!(
            header(&rejection, "Sec-WebSocket-Version").as_deref(),
            Some("13")
        );
    }
}

#[test]
fn p03_the_upgrade_token_may_stand_in_a_list_in_any_case() {
    Raw::new().set("Upgrade", "h2c, WebSocket").accepted();
    Raw::new()
        .set("Upgrade", "h2c")
        .add("upgrade", "WEBSOCKET")
        .accepted();
}

#[test]
fn p04_connection_is_a_list_over_several_lines() {
    Raw::new()
        .set("Connection", "keep-alive, Upgrade")
        .accepted();
    Raw::new()
        .set("Connection", "UPGRADE,keep-alive")
        .accepted();
    Raw::new()
        .set("Connection", "keep-alive")
        .add("CONNECTION", ",\tupgrade ,")
        .accepted();
    for value in [
        "NotUpgrade",
        "Upgrade2",
        "keep-alive",
        "Upgrade;q=1",
        "\"Upgrade\"",
        "",
    ] {
        assert_eq!(
            Raw::new().set("Connection", value).refused().status(),
            426,
            "{value:?}"
        );
    }
}

#[test]
fn p05_host_has_to_stand_once_and_be_a_host() {
    assert_eq!(Raw::new().without("Host").refused().status(), 400);
    assert_eq!(
        Raw::new()
            .add("host", "server.example.com")
            .refused()
            .status(),
        400
    );
    for value in [
        "", ":80", "a b", "a/b", "user@a", "a:99999", "[::1", "a, b", "a\u{e9}",
    ] {
        assert_eq!(
            Raw::new().set("Host", value).refused().status(),
            400,
            "{value:?}"
        );
    }
    for value in [
        "a",
        "A:8080",
        "127.0.0.1:1",
        "[::1]:8080",
        "my_service",
        "xn--bcher-kva.example",
    ] {
        Raw::new().set("Host", value).accepted();
    }
}

#[test]
fn p07_another_version_or_none_is_426_with_the_one_spoken() {
    for raw in [
        Raw::new().without("Sec-WebSocket-Version"),
        Raw::new().set("Sec-WebSocket-Version", "25"),
        Raw::new().set("Sec-WebSocket-Version", "8"),
        Raw::new().set("Sec-WebSocket-Version", "0"),
        Raw::new().set("Sec-WebSocket-Version", "255"),
    ] {
        let rejection = raw.refused();
        assert_eq!(rejection.status(), 426);
        assert_eq!(
            header(&rejection, "Sec-WebSocket-Version").as_deref(),
            Some("13")
        );
        assert_eq!(header(&rejection, "Upgrade").as_deref(), Some("websocket"));
        assert_eq!(
            header(&rejection, "Connection").as_deref(),
            Some("Upgrade, close")
        );
    }
}

#[test]
fn p07_a_malformed_version_is_400_with_the_one_spoken() {
    let twice = Raw::new().add("Sec-WebSocket-Version", "13");
    let malformed = [
        "13, 8", "", "013", "+13", "256", "13a", "13.0", "thirteen", "\u{664}",
    ];
    for raw in malformed
        .map(|value| Raw::new().set("Sec-WebSocket-Version", value))
        .into_iter()
        .chain([twice])
    {
        let rejection = raw.refused();
        assert_eq!(rejection.status(), 400, "{rejection}");
        assert_eq!(
            header(&rejection, "Sec-WebSocket-Version").as_deref(),
            Some("13")
        );
    }
}

#[test]
fn p08_the_key_is_one_header_of_16_bytes_in_strict_base64() {
    for value in [
        "",
        "x4JJHMbDL22zLk1GBhXDw==",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZWE=",
        "dGhlIHNhbXBsZSBub25jZWFi",
        "dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25j ZQ==",
        "dGhlIHNhbXBsZSBub25jZ-==",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        let rejection = Raw::new().set("Sec-WebSocket-Key", value).refused();
        assert_eq!(rejection.refusal(), Some(&Refusal::Key), "{value:?}");
        assert_eq!(rejection.status(), 400);
    }
    assert_eq!(
        Raw::new().without("Sec-WebSocket-Key").refused().status(),
        400
    );
    assert_eq!(
        Raw::new()
            .add("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .refused()
            .status(),
        400
    );
    Raw::new()
        .set("Sec-WebSocket-Key", "\t dGhlIHNhbXBsZSBub25jZQ== \t")
        .accepted();
}

#[test]
fn a_request_parsed_elsewhere_is_judged_by_the_same_rules() {
    let mut headers = Headers::new();
    for (name, value) in Raw::new().headers {
        headers.append(&name.to_lowercase(), value).unwrap();
    }
    let head = |method, target| RequestHead::new(method, target, Version::Http11, headers.clone());
    let request = judge(head("GET", "/a?b"), &ServerOptions::default()).unwrap();
    assert_eq!(
        (request.path(), request.header("UPGRADE")),
        ("/a", Some(&b"websocket"[..]))
    );
    assert_eq!(
        judge(head("POST", "/"), &ServerOptions::default())
            .unwrap_err()
            .status(),
        405
    );
    for target in ["", "a b", "/a\r\nX: y"] {
        assert_eq!(
            judge(head("GET", target), &ServerOptions::default())
                .unwrap_err()
                .status(),
            400
        );
    }
    let old = RequestHead::new("GET", "/", Version::Http10, headers.clone());
    assert_eq!(
        judge(old, &ServerOptions::default()).unwrap_err().status(),
        505
    );
}

#[test]
fn the_seed_key_of_23_characters_is_400() {
    let text = "GET /chat HTTP/1.1\r\nHost: server.mashibing.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Key: x4JJHMbDL22zLk1GBhXDw==\r\nSec-WebSocket-Protocol: chat\r\n\
                Sec-WebSocket-Version: 13\r\nOrigin: http://mashibing.com\r\n\r\n";
    let rejection = receive(text.as_bytes(), &with_origins(Origins::Any)).unwrap_err();
    assert_eq!(
        (rejection.status(), rejection.refusal()),
        (400, Some(&Refusal::Key))
    );
}

#[test]
fn the_seed_dialogue_about_version_25_ends_in_101() {
    let raw = Raw::new().set("Sec-WebSocket-Version", "25");
    let rejection = raw.refused();
    assert_eq!(
        (
            rejection.status(),
            header(&rejection, "Sec-WebSocket-Version").as_deref()
        ),
        (426, Some("13"))
    );
    raw.set("Sec-WebSocket-Version", "13").accepted();
}
