//! The first line: method, target, version.

use fullduplex_proto::handshake::ServerOptions;

use crate::request::{Raw, header, receive, sentence, status_of};

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
