//! Goal: whatever a request says is answered with the exact status, and the next client is served.
//! Method: real loopback sockets against one echo server; a client that sends anything.

mod common;

use common::raw::{
    Raw, TEXT, acceptance, answers, bad_request, echo_server, is_accepted, plain_refusal, refusal,
    request,
};
use fullduplex::{Acceptor, handshake::Origins};
use fullduplex_testkit::wire;

const UPGRADE_HEADERS: &[&str] = &[
    "Connection: Upgrade, close",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    TEXT,
];

fn not_an_upgrade() -> String {
    refusal(
        "426 Upgrade Required",
        UPGRADE_HEADERS,
        "this is a WebSocket endpoint; the request needs Upgrade: websocket and Connection: Upgrade",
    )
}

fn other_version() -> String {
    refusal(
        "426 Upgrade Required",
        UPGRADE_HEADERS,
        "only version 13 of the WebSocket protocol is spoken here",
    )
}

#[tokio::test]
async fn p01_other_methods_get_405_and_their_body_is_not_read_as_frames() {
    let addr = echo_server(Acceptor::new()).await;
    let expected = refusal(
        "405 Method Not Allowed",
        &["Connection: close", TEXT, "Allow: GET"],
        "a WebSocket is opened with the method GET",
    );
    // RFC 9110 §9.3.2: an answer to HEAD has no body.
    let head_only = expected.split_inclusive("\r\n\r\n").next().unwrap();
    let head = request(addr, "").replacen("GET", "HEAD", 1);
    answers(addr, head, head_only).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"] {
        answers(
            addr,
            request(addr, "").replacen("GET", method, 1),
            &expected,
        )
        .await;
    }
    let mut post = request(addr, "").replacen("GET", "POST", 1).into_bytes();
    post.extend(wire::text("no message").masked().bytes());
    answers(addr, post, &expected).await;
}

#[tokio::test]
async fn p02_other_versions_of_http_are_refused() {
    let addr = echo_server(Acceptor::new()).await;
    let with = |line: &str| request(addr, "").replacen("GET / HTTP/1.1", line, 1);
    let not_http = bad_request("the first line is not one of HTTP");
    let http10 = plain_refusal(
        "505 HTTP Version Not Supported",
        "a WebSocket needs HTTP/1.1",
    );
    let other = plain_refusal(
        "505 HTTP Version Not Supported",
        "the version of HTTP is not 1.1",
    );
    answers(addr, with("GET / HTTP/1.0"), &http10).await;
    answers(addr, with("GET / HTTP/2.0"), &other).await;
    answers(addr, with("GET /"), &not_http).await;
    answers(addr, with("GET / HTTP/1.1 "), &not_http).await;
    answers(addr, with("GET / HTTPS/1.1"), &not_http).await;
    answers(
        addr,
        with("\0\0\0\0"),
        &bad_request("there is a NUL character"),
    )
    .await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let http2 = bad_request("this is HTTP/2, and HTTP/1.1 is spoken here");
    answers(addr, preface, &http2).await;
    // A TLS ClientHello on a port without TLS: its length field holds a NUL.
    answers(
        addr,
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
        &bad_request("there is a NUL character"),
    )
    .await;
}

#[tokio::test]
async fn p03_p04_upgrade_and_connection_are_lists_over_several_lines() {
    let addr = echo_server(Acceptor::new()).await;
    let upgrade = |lines: &str| request(addr, "").replacen("Upgrade: websocket\r\n", lines, 1);
    let connection = |lines: &str| request(addr, "").replacen("Connection: Upgrade\r\n", lines, 1);
    for lines in [
        "",
        "Upgrade:\r\n",
        "Upgrade: h2c\r\n",
        "Upgrade: websockets\r\n",
        "Upgrade: websocket/13\r\n",
        "Upgrade: \"websocket\"\r\n",
    ] {
        answers(addr, upgrade(lines), &not_an_upgrade()).await;
    }
    for lines in [
        "",
        "Connection: close\r\n",
        "Connection: NotUpgrade\r\n",
        "Connection: Upgrade-Insecure-Requests\r\n",
        "Connection: keep-alive; Upgrade\r\n",
    ] {
        answers(addr, connection(lines), &not_an_upgrade()).await;
    }
    for lines in [
        "UPGRADE: WebSocket\r\n",
        "Upgrade: h2c, websocket\r\n",
        "Upgrade: h2c\r\nUpgrade: ,websocket ,\r\n",
    ] {
        is_accepted(addr, upgrade(lines), "").await;
    }
    for lines in [
        "connection: keep-alive, upgrade\r\n",
        "Connection: keep-alive\r\nConnection:Upgrade\r\n",
    ] {
        is_accepted(addr, connection(lines), "").await;
    }
}

#[tokio::test]
async fn p05_one_valid_host_is_needed() {
    let addr = echo_server(Acceptor::new()).await;
    let host = |lines: &str| request(addr, "").replacen(&format!("Host: {addr}\r\n"), lines, 1);
    let expected = bad_request("the request needs one Host header with the name of a host");
    for lines in [
        "",
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a, b\r\n",
        "Host: a b\r\n",
        "Host: user@a\r\n",
        "Host: a:99999\r\n",
        "Host: [::1\r\n",
        "Host: a/b\r\n",
    ] {
        answers(addr, host(lines), &expected).await;
    }
}

#[tokio::test]
async fn p07_other_protocol_versions_get_426_with_ours_and_malformed_ones_400() {
    let addr = echo_server(Acceptor::new()).await;
    let version =
        |lines: &str| request(addr, "").replacen("Sec-WebSocket-Version: 13\r\n", lines, 1);
    let malformed = refusal(
        "400 Bad Request",
        &["Connection: close", TEXT, "Sec-WebSocket-Version: 13"],
        "the request needs one Sec-WebSocket-Version header with one number",
    );
    for lines in [
        "",
        "Sec-WebSocket-Version: 8\r\n",
        "Sec-WebSocket-Version: 0\r\n",
    ] {
        answers(addr, version(lines), &other_version()).await;
    }
    for value in ["13, 8", "013", "+13", "256", "x", "", "13.0"] {
        let lines = format!("Sec-WebSocket-Version: {value}\r\n");
        answers(addr, version(&lines), &malformed).await;
    }
    let twice = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13\r\n";
    answers(addr, version(twice), &malformed).await;
}

/// 003:86-110, row 7 of the seeds: version 25 is refused with the version that is spoken, then 13 is accepted.
#[tokio::test]
async fn p07_a_client_that_asks_for_version_25_learns_of_13_and_gets_in_with_it() {
    let addr = echo_server(Acceptor::new()).await;
    let v25 = request(addr, "").replace("Version: 13", "Version: 25");
    let mut raw = Raw::connect(addr).await;
    raw.send(&v25).await;
    let answer = raw.rest_as_text().await;
    assert_eq!(answer, other_version());
    assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"));
    is_accepted(addr, v25.replace("Version: 25", "Version: 13"), "").await;
}

#[tokio::test]
async fn p08_the_key_is_one_line_of_sixteen_bytes_in_base64() {
    let addr = echo_server(Acceptor::new()).await;
    let key = |lines: &str| {
        let line = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        request(addr, "").replacen(line, lines, 1)
    };
    let expected =
        bad_request("the request needs one Sec-WebSocket-Key header with 16 bytes in base64");
    answers(addr, key(""), &expected).await;
    let twice = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n".repeat(2);
    answers(addr, key(&twice), &expected).await;
    for value in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZR==",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZSE=",
        "dGhlIHNhbXBsZSBub25jZSEh",
        "dGhlIHNhbXBsZSB*b25jZQ==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        // 000:83: the sample key of the seed has 23 characters.
        "x3JJHMbDL1EzLkh9GBhXDw=",
    ] {
        answers(
            addr,
            key(&format!("Sec-WebSocket-Key: {value}\r\n")),
            &expected,
        )
        .await;
    }
    is_accepted(
        addr,
        key("sec-websocket-key: \t dGhlIHNhbXBsZSBub25jZQ== \t\r\n"),
        "",
    )
    .await;
}

#[tokio::test]
async fn p11_whatever_can_be_read_in_two_ways_is_refused() {
    let addr = echo_server(Acceptor::new()).await;
    let with = |more: &str| request(addr, more);
    let body = bad_request("a request for a WebSocket has no body");
    let name = bad_request("a header name holds a character that names may not hold");
    for (lines, expected) in [
        (
            "X: a\r\n b\r\n",
            bad_request("a header line starts with white space"),
        ),
        (
            "X: a\nY: b\r\n",
            bad_request("a line feed stands without a carriage return"),
        ),
        (
            "X: a\rY: b\r\n",
            bad_request("a carriage return stands without a line feed"),
        ),
        ("X: a\0b\r\n", bad_request("there is a NUL character")),
        (
            "X: a\x01b\r\n",
            bad_request("a header value holds a control character"),
        ),
        ("X : a\r\n", name.clone()),
        (": a\r\n", name.clone()),
        ("X\r\n", name),
        ("Content-Length: 1\r\n", body.clone()),
        ("Content-Length: 0\r\nContent-Length: 0\r\n", body.clone()),
        ("Content-Length: -0\r\n", body.clone()),
        ("Transfer-Encoding: chunked\r\n", body.clone()),
        ("Transfer-Encoding: identity\r\n", body),
    ] {
        answers(addr, with(lines), &expected).await;
    }
    let bare_lf = with("").replace("\r\n", "\n");
    answers(
        addr,
        bare_lf,
        &bad_request("a line feed stands without a carriage return"),
    )
    .await;
    is_accepted(addr, with("Content-Length: 0\r\n"), "").await;
}

#[tokio::test]
async fn p12_targets_are_paths_or_absolute_uris() {
    let addr = echo_server(Acceptor::new()).await;
    let target = |target: &str| request(addr, "").replacen("GET / ", &format!("GET {target} "), 1);
    let no_path = bad_request("the request target is not a path");
    for refused in [
        "*",
        "example.com:80",
        "/a#b",
        "path",
        "ftp://a/",
        "http://",
        "/\u{e9}",
    ] {
        answers(addr, target(refused), &no_path).await;
    }
    for accepted in [
        "/a%2f%00?b=%zz",
        "//a",
        &format!("http://{addr}/a"),
        &format!("ws://{addr}"),
    ] {
        is_accepted(addr, target(accepted), "").await;
    }
}

#[tokio::test]
async fn p13_p14_p15_one_subprotocol_is_answered_and_only_one_that_was_offered() {
    let addr = echo_server(Acceptor::new().subprotocols(["chat", "v2"])).await;
    let malformed =
        bad_request("the Sec-WebSocket-Protocol header is not a list of distinct names");
    for value in [
        "chat, chat",
        "chat, ,v2",
        "a b",
        "a/b",
        "",
        "chat,",
        "\"chat\"",
    ] {
        let lines = format!("Sec-WebSocket-Protocol: {value}\r\n");
        answers(addr, request(addr, &lines), &malformed).await;
    }
    let twice = "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n";
    answers(addr, request(addr, twice), &malformed).await;
    for (lines, answered) in [
        // 000:97 and 003:65: the client's order decides.
        (
            "Sec-WebSocket-Protocol: chat, superchat\r\n",
            "Sec-WebSocket-Protocol: chat\r\n",
        ),
        (
            "Sec-WebSocket-Protocol: v2, chat\r\n",
            "Sec-WebSocket-Protocol: v2\r\n",
        ),
        (
            "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: chat\r\n",
            "Sec-WebSocket-Protocol: chat\r\n",
        ),
        ("Sec-WebSocket-Protocol: Chat\r\n", ""),
        ("", ""),
    ] {
        is_accepted(addr, request(addr, lines), answered).await;
    }
}

#[tokio::test]
async fn p16_extensions_are_ignored_unless_they_are_malformed() {
    let addr = echo_server(Acceptor::new()).await;
    let malformed = bad_request("the Sec-WebSocket-Extensions header is malformed");
    for value in ["a;", "a; b=", "a; b=\"c d\"", "a b", "=", "a; b=\"c", ""] {
        let lines = format!("Sec-WebSocket-Extensions: {value}\r\n");
        answers(addr, request(addr, &lines), &malformed).await;
    }
    let many =
        "Sec-WebSocket-Extensions: x-a; b=\"c\"; d, x-b\r\nSec-WebSocket-Extensions: x-c\r\n";
    is_accepted(addr, request(addr, many), "").await;
}

#[tokio::test]
async fn p17_header_values_cannot_split_the_response() {
    let (io, script) = fullduplex_testkit::ScriptedIo::new();
    script.push(common::REQUEST);
    let handshake = Acceptor::new().handshake(io).await.unwrap();
    for value in ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"] {
        assert!(
            handshake.request().accept().header("X-Id", value).is_err(),
            "{value:?}"
        );
        assert!(
            fullduplex::handshake::Rejection::new(403, "no")
                .header("X-Id", value)
                .is_err()
        );
    }
    let acceptance = handshake.request().accept().header("X-Id", "7").unwrap();
    let _ws = handshake.accept_with(acceptance).await.unwrap();
    assert!(
        String::from_utf8(script.written())
            .unwrap()
            .ends_with("X-Id: 7\r\n\r\n")
    );
}

#[tokio::test]
async fn p19_pages_of_other_origins_get_403_and_a_sentence_that_names_them() {
    let addr = echo_server(Acceptor::new()).await;
    let origin = |value: &str| request(addr, &format!("Origin: {value}\r\n"));
    let not_allowed = |origin: &str| {
        plain_refusal(
            "403 Forbidden",
            &format!(
                "pages from the origin {origin} may not connect to {addr}; \
                 to allow it, add to the allowed origins {origin}"
            ),
        )
    };
    for refused in [
        "http://127.0.0.1:3000",
        "https://127.0.0.1",
        "http://evil.example",
        &format!("http://evil-{addr}"),
        &format!("http://{addr}.evil.example")
            .replace(':', ".")
            .replacen("http.", "http:", 1),
        "null",
    ] {
        answers(addr, origin(refused), &not_allowed(refused)).await;
    }
    answers(
        addr,
        origin("HTTP://Evil.Example:80/"),
        &not_allowed("http://evil.example"),
    )
    .await;
    let malformed = bad_request("the Origin header is not an origin");
    for value in [
        "",
        "evil",
        "http://a/path",
        "http://a b",
        "http://a, http://b",
    ] {
        answers(addr, origin(value), &malformed).await;
    }
    let twice = format!("Origin: http://{addr}\r\n").repeat(2);
    answers(addr, request(addr, &twice), &malformed).await;
    for accepted in [
        format!("http://{addr}"),
        format!("HTTP://{addr}/"),
        format!("https://{addr}"),
    ] {
        is_accepted(addr, origin(&accepted), "").await;
    }
}

#[tokio::test]
async fn p20_a_cookie_does_not_let_a_foreign_page_in() {
    let addr = echo_server(Acceptor::new()).await;
    let foreign = "Origin: http://evil.example\r\nCookie: session=abc\r\n";
    let mut raw = Raw::connect(addr).await;
    raw.send(request(addr, foreign)).await;
    assert!(
        raw.rest_as_text()
            .await
            .starts_with("HTTP/1.1 403 Forbidden\r\n")
    );
    is_accepted(
        addr,
        request(
            addr,
            &format!("Origin: http://{addr}\r\nCookie: session=abc\r\n"),
        ),
        "",
    )
    .await;
}

/// 001:56, 002:16, 003:55, 004:42, row 1 of the seeds: every transcript is cross-origin.
#[tokio::test]
async fn the_transcripts_of_the_seeds_get_403_by_default_and_101_where_any_origin_is_allowed() {
    let strict = echo_server(Acceptor::new()).await;
    let open = echo_server(Acceptor::new().origins(Origins::Any)).await;
    for (key, accept) in [
        ("w4v7O6xFTi36lq3RNcgctw==", "Oy4NRAQ13jhfONC7bP8dTKb4PTU="),
        ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        let transcript = format!(
            "GET / HTTP/1.1\r\nHost: localhost:8080\r\nOrigin: http://127.0.0.1:3000\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        );
        let forbidden = plain_refusal(
            "403 Forbidden",
            "pages from the origin http://127.0.0.1:3000 may not connect to localhost:8080; \
             to allow it, add to the allowed origins http://127.0.0.1:3000",
        );
        answers(strict, &transcript, &forbidden).await;
        let mut raw = Raw::connect(open).await;
        raw.send(&transcript).await;
        let expected = acceptance("").replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", accept);
        assert_eq!(raw.head().await, expected);
    }
}
