//! The server's side of the opening handshake, one test or more per numbered requirement.
//! Requests are written as bytes, answers compared as bytes or by status and sentence.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of a test fail it by panicking"
)]

use std::sync::Arc;

use fullduplex_proto::handshake::{
    AcceptanceError, HeadLimits, HeaderError, Headers, Hosts, MAX_LIST_ELEMENTS,
    NoCommonSubprotocol, Origins, Preference, Progress, Refusal, Rejection, Request, RequestHead,
    ServerHandshake, ServerOptions, Version, judge,
};

/// A request under construction; starts as one that is right.
#[derive(Clone)]
struct Raw {
    line: String,
    headers: Vec<(String, String)>,
}

impl Raw {
    fn new() -> Self {
        Self {
            line: "GET /chat HTTP/1.1".into(),
            headers: Vec::new(),
        }
        .add("Host", "server.example.com")
        .add("Upgrade", "websocket")
        .add("Connection", "Upgrade")
        .add("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .add("Sec-WebSocket-Version", "13")
    }

    fn line(mut self, line: &str) -> Self {
        self.line = line.into();
        self
    }

    fn add(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    fn set(self, name: &str, value: &str) -> Self {
        self.without(name).add(name, value)
    }

    fn bytes(&self) -> Vec<u8> {
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"));
        let lines: Vec<_> = [self.line.clone()].into_iter().chain(headers).collect();
        format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    }

    fn judged(&self, options: &ServerOptions) -> Result<Request, Rejection> {
        receive(&self.bytes(), options)
    }

    fn accepted(&self) -> Request {
        self.judged(&ServerOptions::default())
            .unwrap_or_else(|rejection| {
                panic!("{rejection}\n{}", String::from_utf8_lossy(&self.bytes()))
            })
    }

    fn refused(&self) -> Rejection {
        match self.judged(&ServerOptions::default()) {
            Err(rejection) => rejection,
            Ok(_) => panic!("accepted: {}", String::from_utf8_lossy(&self.bytes())),
        }
    }
}

/// Gives a server everything at once; the request has to be judged by then.
fn receive(bytes: &[u8], options: &ServerOptions) -> Result<Request, Rejection> {
    match ServerHandshake::new(options.clone()).receive(bytes)? {
        Progress::Done { value, used } => {
            assert_eq!(used, bytes.len());
            Ok(value)
        }
        Progress::NeedMore => panic!("not judged: {}", String::from_utf8_lossy(bytes)),
    }
}

fn status_of(bytes: &[u8]) -> u16 {
    receive(bytes, &ServerOptions::default()).map_or_else(|rejection| rejection.status(), |_| 101)
}

fn header(rejection: &Rejection, name: &str) -> Option<String> {
    rejection.headers().get_str(name).map(str::to_owned)
}

fn sentence(rejection: &Rejection) -> String {
    String::from_utf8(rejection.body().to_vec()).unwrap()
}

fn with_origins(origins: Origins) -> ServerOptions {
    ServerOptions {
        origins,
        ..ServerOptions::default()
    }
}

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
fn p01_a_method_other_than_get_is_405_with_allow() {
    for method in ["HEAD", "POST", "PUT", "OPTIONS", "get", "GETX"] {
        let rejection = Raw::new()
            .line(&format!("{method} /chat HTTP/1.1"))
            .refused();
        assert_eq!(rejection.status(), 405, "{method}");
        assert_eq!(header(&rejection, "Allow").as_deref(), Some("GET"));
    }
}

#[test]
fn p02_http_1_0_and_unknown_versions_are_505() {
    for version in ["HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "HTTP/0.9"] {
        assert_eq!(
            Raw::new()
                .line(&format!("GET / {version}"))
                .refused()
                .status(),
            505,
            "{version}"
        );
    }
}

#[test]
fn p02_what_is_no_version_is_400() {
    for line in [
        "GET /",
        "GET / ",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1 x",
        "GET / HTTP/11",
        "GET / http/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET",
        " GET / HTTP/1.1",
        "G@T / HTTP/1.1",
    ] {
        assert_eq!(Raw::new().line(line).refused().status(), 400, "{line:?}");
    }
}

#[test]
fn p02_http_2_and_tls_on_this_port_are_400() {
    let rejection = receive(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &ServerOptions::default(),
    )
    .unwrap_err();
    assert_eq!(rejection.status(), 400);
    assert!(sentence(&rejection).contains("HTTP/2"), "{rejection}");
    assert_eq!(
        status_of(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        400
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
fn p06_bytes_after_the_blank_line_are_left_to_the_caller() {
    let head = Raw::new().bytes();
    let bytes = [&head[..], b"\x81\x85\x00\x00\x00\x00hello"].concat();
    for first in 0..bytes.len() {
        let mut handshake = ServerHandshake::new(ServerOptions::default());
        let used = match handshake.receive(&bytes[..first]).unwrap() {
            Progress::Done { used, .. } => used,
            Progress::NeedMore => match handshake.receive(&bytes[first..]).unwrap() {
                Progress::Done { used, .. } => first + used,
                Progress::NeedMore => panic!("cut at {first}"),
            },
        };
        assert_eq!(used, head.len(), "cut at {first}");
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
fn p09_what_is_too_large_is_431_and_a_long_first_line_414() {
    let limits = HeadLimits::default();
    let long = "x".repeat(limits.max_bytes);
    assert_eq!(Raw::new().add("X-Long", &long).refused().status(), 431);
    assert_eq!(
        Raw::new()
            .line(&format!("GET /{long} HTTP/1.1"))
            .refused()
            .status(),
        414
    );
    assert_eq!(status_of(&b"x".repeat(limits.max_request_line + 1)), 414);
    let with_lines = |count: usize| (0..count).fold(Raw::new(), |raw, _| raw.add("X", "y"));
    with_lines(limits.max_headers - 5).accepted();
    assert_eq!(with_lines(limits.max_headers - 4).refused().status(), 431);
}

#[test]
fn p09_the_refusal_comes_as_soon_as_the_limit_is_passed() {
    let limits = HeadLimits::default();
    let endless = [b"GET / HTTP/1.1\r\nX: ", &b"y".repeat(limits.max_bytes)[..]].concat();
    let mut handshake = ServerHandshake::new(ServerOptions::default());
    assert!(matches!(
        handshake.receive(&endless[..limits.max_bytes]),
        Ok(Progress::NeedMore)
    ));
    assert_eq!(handshake.receive(b"y").unwrap_err().status(), 431);
}

#[test]
fn p10_a_request_that_does_not_arrive_in_time_is_408() {
    let mut handshake = ServerHandshake::new(ServerOptions::default());
    assert!(matches!(
        handshake.receive(b"GET / HT"),
        Ok(Progress::NeedMore)
    ));
    let rejection = handshake.timed_out();
    assert_eq!(
        (rejection.status(), rejection.refusal()),
        (408, Some(&Refusal::TimedOut))
    );
}

#[test]
fn p11_a_head_that_can_be_read_in_two_ways_is_400() {
    let right = String::from_utf8(Raw::new().bytes()).unwrap();
    let with_line = |line: &str| {
        right.replace(
            "Upgrade: websocket\r\n",
            &format!("Upgrade: websocket\r\n{line}"),
        )
    };
    for (what, text) in [
        ("bare LF everywhere", right.replace("\r\n", "\n")),
        ("one bare LF", with_line("X: y\n")),
        ("bare LF in a value", with_line("X: y\nZ: z\r\n")),
        ("bare CR", with_line("X: y\rz\r\n")),
        ("two CR", with_line("X: y\r\r\n")),
        (
            "bare CR after the blank line's place",
            right.replace("\r\n\r\n", "\r\n\rx\n"),
        ),
        ("NUL in a value", with_line("X: y\0z\r\n")),
        ("NUL in a name", with_line("X\0: y\r\n")),
        ("NUL in the target", right.replace("/chat", "/ch\0at")),
        ("folded by a space", with_line("X: y\r\n z\r\n")),
        ("folded by a tab", with_line("X: y\r\n\tz\r\n")),
        (
            "space before the first header",
            right.replace("Host", " Host"),
        ),
        ("space before the colon", with_line("X : y\r\n")),
        ("tab before the colon", with_line("X\t: y\r\n")),
        ("no name", with_line(": y\r\n")),
        ("no colon", with_line("X\r\n")),
        ("name that is no token", with_line("X(Y): z\r\n")),
        ("other control character", with_line("X: y\u{7}z\r\n")),
        (
            "length twice",
            with_line("Content-Length: 0\r\nContent-Length: 0\r\n"),
        ),
        ("length as a list", with_line("Content-Length: 0, 0\r\n")),
        ("length empty", with_line("Content-Length:\r\n")),
        ("length with a sign", with_line("Content-Length: +0\r\n")),
        ("length not zero", with_line("Content-Length: 5\r\n")),
        ("chunked", with_line("Transfer-Encoding: chunked\r\n")),
        ("identity", with_line("Transfer-Encoding: identity\r\n")),
        (
            "length and chunked",
            with_line("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        ),
    ] {
        assert_ne!(text, right, "{what}");
        assert_eq!(status_of(text.as_bytes()), 400, "{what}");
    }
    assert_eq!(
        status_of(with_line("Content-Length: 0\r\n").as_bytes()),
        101
    );
    assert_eq!(
        status_of(with_line("X:y\r\nY:\r\nZ: \u{e9}\t \r\n").as_bytes()),
        101
    );
}

#[test]
fn p12_origin_form_and_absolute_form_are_taken_apart() {
    for (target, resource, path, query, host) in [
        ("/", "/", "/", None, "server.example.com"),
        (
            "/a/b?c=d&e",
            "/a/b?c=d&e",
            "/a/b",
            Some("c=d&e"),
            "server.example.com",
        ),
        ("/?", "/?", "/", Some(""), "server.example.com"),
        ("//a//b", "//a//b", "//a//b", None, "server.example.com"),
        (
            "/%00%2f?x=://",
            "/%00%2f?x=://",
            "/%00%2f",
            Some("x=://"),
            "server.example.com",
        ),
        (
            "ws://other.example:8080/a?b",
            "/a?b",
            "/a",
            Some("b"),
            "other.example:8080",
        ),
        ("HTTP://other.example", "/", "/", None, "other.example"),
        ("https://[::1]?b", "?b", "/", Some("b"), "[::1]"),
    ] {
        let request = Raw::new()
            .line(&format!("GET {target} HTTP/1.1"))
            .accepted();
        assert_eq!(
            (
                request.resource(),
                request.path(),
                request.query(),
                &*request.host().to_string()
            ),
            (resource, path, query, host),
            "{target}"
        );
    }
}

#[test]
fn p12_other_targets_are_400() {
    for target in [
        "*",
        "server.example.com:80",
        "server.example.com",
        "chat",
        "?a",
        "/a#b",
        "/a#",
        "/\u{e9}",
        "ftp://a/",
        "ws:///a",
        "ws://u@a/",
        "ws://a:0/",
        "http:/a",
        "://a/",
    ] {
        let rejection = Raw::new().line(&format!("GET {target} HTTP/1.1")).refused();
        assert_eq!(rejection.status(), 400, "{target}");
    }
}

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

#[test]
fn p17_a_header_that_would_split_the_response_cannot_be_made() {
    let request = Raw::new().accepted();
    for value in ["a\r\nSet-Cookie: x=y", "a\nb", "a\rb", "a\0b", "a\u{7f}"] {
        let error = request.accept().header("X-Name", value).unwrap_err();
        assert_eq!(
            error,
            AcceptanceError::Header(HeaderError::Value("X-Name".into())),
            "{value:?}"
        );
        assert!(
            Rejection::new(400, "no").header("X-Name", value).is_err(),
            "{value:?}"
        );
        assert!(Headers::new().append("X-Name", value).is_err(), "{value:?}");
    }
    for name in ["", "X Y", "X:", "X\r\nY", "\u{e9}"] {
        let error = request.accept().header(name, "a").unwrap_err();
        assert_eq!(
            error,
            AcceptanceError::Header(HeaderError::Name(name.into())),
            "{name:?}"
        );
    }
}

#[test]
fn the_responses_own_headers_cannot_be_overridden_and_others_are_sent() {
    let request = Raw::new().accepted();
    for name in [
        "upgrade",
        "Connection",
        "sec-websocket-accept",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Protocol",
        "Content-Length",
        "transfer-encoding",
    ] {
        let error = request.accept().header(name, "x").unwrap_err();
        assert_eq!(
            error,
            AcceptanceError::Header(HeaderError::Reserved(name.into()))
        );
    }
    let acceptance = request
        .accept()
        .header("Set-Cookie", "a=b")
        .unwrap()
        .header("Set-Cookie", "c=d")
        .unwrap();
    let text = String::from_utf8(acceptance.to_bytes()).unwrap();
    assert!(
        text.ends_with("\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n"),
        "{text}"
    );
}

#[test]
fn p18_a_refusal_has_a_length_closes_and_holds_a_sentence() {
    let rejection = Raw::new().without("Host").refused();
    assert_eq!(
        String::from_utf8(rejection.to_bytes()).unwrap(),
        "HTTP/1.1 400 Bad Request\r\n\
         Connection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 58\r\n\r\n\
         the request needs one Host header with the name of a host\n"
    );
    assert_eq!(
        rejection.to_string(),
        "400 Bad Request: the request needs one Host header with the name of a host"
    );
}

#[test]
fn an_application_refuses_with_its_own_status_sentence_and_headers() {
    let rejection = Rejection::new(401, "Sign in first.")
        .header("WWW-Authenticate", "Basic realm=\"chat\"")
        .unwrap();
    assert_eq!(
        String::from_utf8(rejection.to_bytes()).unwrap(),
        "HTTP/1.1 401 Unauthorized\r\n\
         Connection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         WWW-Authenticate: Basic realm=\"chat\"\r\n\
         Content-Length: 15\r\n\r\n\
         Sign in first.\n"
    );
    assert_eq!(rejection.refusal(), None);
    for name in [
        "Content-Length",
        "Content-Type",
        "connection",
        "Transfer-Encoding",
    ] {
        assert!(
            Rejection::new(401, "no").header(name, "x").is_err(),
            "{name}"
        );
    }
    for status in [0, 101, 200, 204, 304, 600] {
        assert_eq!(Rejection::new(status, "no").status(), 500, "{status}");
    }
}

#[test]
fn p19_a_request_without_origin_is_no_page_and_passes() {
    let request = Raw::new()
        .judged(&with_origins(Origins::List(Vec::new())))
        .unwrap();
    assert_eq!(request.origin(), None);
}

#[test]
fn p19_by_default_only_pages_of_this_host_and_port_may_connect() {
    let judged = |host: &str, origin: &str| {
        let raw = Raw::new().set("Host", host).add("Origin", origin);
        raw.judged(&ServerOptions::default())
            .map_or_else(|rejection| rejection.status(), |_| 101)
    };
    for (host, origin) in [
        ("example.com", "http://example.com"),
        ("example.com", "https://example.com"),
        ("EXAMPLE.com:443", "https://example.COM"),
        ("localhost:8080", "http://localhost:8080/"),
    ] {
        assert_eq!(judged(host, origin), 101, "{host} {origin}");
    }
    for (host, origin) in [
        ("example.com", "http://evil-example.com"),
        ("example.com", "http://example.com.evil.com"),
        ("example.com", "http://www.example.com"),
        ("example.com", "http://example.com:8080"),
        ("example.com", "null"),
        ("example.com", "file://"),
        ("localhost:8080", "http://127.0.0.1:8080"),
    ] {
        assert_eq!(judged(host, origin), 403, "{host} {origin}");
    }
}

#[test]
fn p19_a_malformed_or_repeated_origin_is_400_even_where_all_are_allowed() {
    let any = with_origins(Origins::Any);
    for value in [
        "",
        "example.com",
        "http://",
        "http://a http://b",
        "http://a, http://b",
        "http://a/b",
        "http://\u{e9}",
    ] {
        let rejection = Raw::new().add("Origin", value).judged(&any).unwrap_err();
        assert_eq!(
            rejection.refusal(),
            Some(&Refusal::OriginMalformed),
            "{value:?}"
        );
        assert_eq!(rejection.status(), 400);
    }
    let twice = Raw::new()
        .add("Origin", "http://a")
        .add("origin", "http://a");
    assert_eq!(twice.judged(&any).unwrap_err().status(), 400);
}

#[test]
fn p19_the_scheme_counts_where_tls_ends_here_and_forwarded_headers_never_do() {
    let options = ServerOptions {
        tls: true,
        ..ServerOptions::default()
    };
    let plain = Raw::new().add("Origin", "http://server.example.com");
    assert_eq!(plain.judged(&options).unwrap_err().status(), 403);
    Raw::new()
        .add("Origin", "https://server.example.com")
        .judged(&options)
        .unwrap();

    let forwarded = Raw::new()
        .add("Origin", "https://public.example.com")
        .add("X-Forwarded-Host", "public.example.com")
        .add("Forwarded", "host=public.example.com;proto=https");
    assert_eq!(forwarded.refused().status(), 403);
}

#[test]
fn p19_lists_hold_exact_values_and_functions_decide_freely() {
    let origins = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| text.parse().unwrap())
            .collect::<Vec<_>>()
    };
    let status = |rule: &Origins, origin: &str| {
        let judged = Raw::new()
            .add("Origin", origin)
            .judged(&with_origins(rule.clone()));
        judged.map_or_else(|rejection| rejection.status(), |_| 101)
    };
    let list = Origins::List(origins(&["https://A.example:443/", "null"]));
    assert_eq!(status(&list, "https://a.example"), 101);
    assert_eq!(status(&list, "null"), 101);
    for origin in [
        "http://a.example",
        "https://a.example:444",
        "https://b.a.example",
        "http://server.example.com",
    ] {
        assert_eq!(status(&list, origin), 403, "{origin}");
    }
    let or = Origins::SameOriginOr(origins(&["https://a.example"]));
    assert_eq!(status(&or, "https://a.example"), 101);
    assert_eq!(status(&or, "http://server.example.com"), 101);
    assert_eq!(status(&or, "http://b.example"), 403);

    let check = Origins::Fn(Arc::new(|origin, head| {
        origin.scheme() == Some("app") && head.target() == "/chat"
    }));
    assert_eq!(status(&check, "app://a"), 101);
    assert_eq!(status(&check, "http://server.example.com"), 403);
    assert_eq!(format!("{check:?}"), "Fn(..)");
}

#[test]
fn p19_a_403_names_origin_host_and_remedy() {
    let raw = Raw::new()
        .set("Host", "localhost:8080")
        .add("Origin", "http://127.0.0.1:3000");
    let options = ServerOptions {
        origin_remedy: "pass --allow-origin".into(),
        ..ServerOptions::default()
    };
    let rejection = raw.judged(&options).unwrap_err();
    assert_eq!(rejection.status(), 403);
    assert_eq!(
        sentence(&rejection),
        "pages from the origin http://127.0.0.1:3000 may not connect to localhost:8080; \
         to allow it, pass --allow-origin http://127.0.0.1:3000\n"
    );
}

#[test]
fn p20_a_cross_site_request_with_cookies_is_refused_all_the_same() {
    let raw = Raw::new()
        .add("Cookie", "session=of-the-user")
        .add("Origin", "https://evil.example");
    assert_eq!(raw.refused().status(), 403);
}

#[test]
fn a_name_that_is_not_ours_is_421_as_dns_rebinding_would_bring_it() {
    let hosts = Hosts::Loopback {
        also: vec![
            "chat.example".parse().unwrap(),
            "a.example:8080".parse().unwrap(),
        ],
    };
    let options = ServerOptions {
        hosts,
        ..ServerOptions::default()
    };
    let status = |host: &str| {
        Raw::new()
            .set("Host", host)
            .judged(&options)
            .map_or_else(|rejection| rejection.status(), |_| 101)
    };
    for host in [
        "localhost:8080",
        "127.0.0.1:8080",
        "[::1]:1",
        "x.localhost",
        "CHAT.example:5",
        "a.example:8080",
    ] {
        assert_eq!(status(host), 101, "{host}");
    }
    for host in [
        "evil.example:8080",
        "localhost.evil.example",
        "a.example",
        "10.0.0.1",
    ] {
        assert_eq!(status(host), 421, "{host}");
    }
    // The page is same-origin with the name that points here: only the name gives it away.
    let rebound = Raw::new()
        .set("Host", "evil.example:8080")
        .add("Origin", "http://evil.example:8080");
    let rejection = rebound.judged(&options).unwrap_err();
    assert_eq!(rejection.status(), 421);
    assert!(
        sentence(&rejection).contains("evil.example:8080"),
        "{rejection}"
    );
    rebound.judged(&ServerOptions::default()).unwrap();
    // An absolute target counts, not the Host beside it.
    let absolute = Raw::new()
        .line("GET http://evil.example/ HTTP/1.1")
        .set("Host", "localhost");
    assert_eq!(absolute.judged(&options).unwrap_err().status(), 421);
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
fn every_refusal_of_a_rule_names_its_section() {
    for raw in [
        Raw::new().line("POST / HTTP/1.1"),
        Raw::new().line("GET / HTTP/1.0"),
        Raw::new().line("GET * HTTP/1.1"),
        Raw::new().without("Host"),
        Raw::new().without("Upgrade"),
        Raw::new().without("Sec-WebSocket-Key"),
        Raw::new().without("Sec-WebSocket-Version"),
        Raw::new().add("Origin", "null"),
        Raw::new().add("X ", "y"),
    ] {
        let rejection = raw.refused();
        let section = rejection.refusal().and_then(Refusal::rfc_section);
        assert!(
            section.is_some_and(|section| section.starts_with("RFC ")),
            "{rejection}"
        );
    }
}

/// The requests of the seed documents whose keys decode, with the answers they print. Blank lines between headers, which are
/// layout, are dropped.
const SEEDS: [(&str, &str); 4] = [
    (
        "GET / HTTP/1.1\r\nHost: localhost:8080\r\nOrigin: http://127.0.0.1:3000\r\nConnection: Upgrade  \r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: w4v7O6xFTi36lq3RNcgctw==\r\n\r\n",
        "Oy4NRAQ13jhfONC7bP8dTKb4PTU=",
    ),
    (
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ),
    (
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
         Sec-WebSocket-Version: 13\r\nOrigin: http://example.com\r\n\r\n",
        "HSmrc0sMlYUkAGmm5OPpG2HaGWk=",
    ),
    (
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ),
];

#[test]
fn seed_transcripts_are_403_by_default_and_101_with_the_printed_accept_under_any() {
    let any = ServerOptions {
        subprotocols: vec!["chat".into()],
        ..with_origins(Origins::Any)
    };
    for (text, accept) in SEEDS {
        assert_eq!(status_of(text.as_bytes()), 403, "{text}");
        let headers = receive(text.as_bytes(), &any).unwrap().accept().headers();
        assert_eq!(
            headers.get_str("Sec-WebSocket-Accept"),
            Some(accept),
            "{text}"
        );
        let offered = text.contains("superchat");
        assert_eq!(
            headers.get_str("Sec-WebSocket-Protocol"),
            offered.then_some("chat"),
            "{text}"
        );
    }
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

#[test]
fn the_origin_of_the_seed_dialer_is_same_origin_with_localhost() {
    let raw = Raw::new()
        .set("Host", "localhost")
        .add("Origin", "http://localhost/");
    assert_eq!(
        raw.accepted().origin().unwrap().to_string(),
        "http://localhost"
    );
}
