//! Goal: whatever arrives is answered with the exact status or close code, and the next client is served.
//! Method: real loopback sockets against one echo server; a client that sends anything.

mod common;

use std::{net::SocketAddr, time::Duration};

use common::raw::{
    Raw, TEXT, acceptance, echo_server, plain_refusal, refusal, request, serves_the_next_client,
    within,
};
use fullduplex::{
    Acceptor, Config, Limits,
    handshake::{Origins, ServerOptions},
};
use fullduplex_testkit::wire::{self, Frame, LengthForm};

const UPGRADE_HEADERS: &[&str] = &[
    "Connection: Upgrade, close",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    TEXT,
];

fn bad_request(sentence: &str) -> String {
    plain_refusal("400 Bad Request", sentence)
}

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

/// Sends a request and checks the whole answer, the end of TCP, and that the server goes on.
async fn answers(addr: SocketAddr, request: impl AsRef<[u8]>, expected: &str) {
    let mut raw = Raw::connect(addr).await;
    raw.send(&request).await;
    let shown = String::from_utf8_lossy(request.as_ref()).into_owned();
    assert_eq!(raw.rest_as_text().await, expected, "{shown}");
    drop(raw);
    serves_the_next_client(addr).await;
}

/// As [`answers`], for a request that is accepted.
async fn is_accepted(addr: SocketAddr, request: impl AsRef<[u8]>, more: &str) {
    let mut raw = Raw::connect(addr).await;
    raw.send(&request).await;
    let shown = String::from_utf8_lossy(request.as_ref()).into_owned();
    assert_eq!(raw.head().await, acceptance(more), "{shown}");
    raw.send_frames([wire::text("hi"), wire::close(1000, "")])
        .await;
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::text("hi"), wire::close(1000, "")]
    );
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
async fn p06_frames_in_the_segment_of_the_request_are_kept_until_the_101_is_written() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::connect(addr).await;
    let mut bytes = request(addr, "").into_bytes();
    for frame in [wire::text("early"), wire::ping("p"), wire::close(1000, "")] {
        bytes.extend(frame.masked().bytes());
    }
    raw.send(bytes).await;
    assert_eq!(raw.head().await, acceptance(""));
    // A pong goes before messages that wait.
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::pong("p"), wire::text("early"), wire::close(1000, "")]
    );
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p06_half_a_frame_in_the_segment_of_the_request_is_joined_with_its_rest() {
    let addr = echo_server(Acceptor::new()).await;
    let frame = wire::text("cut anywhere").masked().bytes();
    for cut in 0..=frame.len() {
        let mut raw = Raw::connect(addr).await;
        let (front, rest) = frame.split_at(cut);
        raw.send([request(addr, "").as_bytes(), front].concat())
            .await;
        assert_eq!(raw.head().await, acceptance(""));
        raw.send(rest).await;
        assert_eq!(raw.frame().await, wire::text("cut anywhere"));
    }
    serves_the_next_client(addr).await;
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
async fn p09_header_bombs_get_431_or_414_before_they_are_read_to_their_end() {
    let addr = echo_server(Acceptor::new()).await;
    let too_large = plain_refusal(
        "431 Request Header Fields Too Large",
        "the headers are too large",
    );
    let too_many = plain_refusal(
        "431 Request Header Fields Too Large",
        "there are too many headers",
    );
    let too_long = plain_refusal("414 URI Too Long", "the first line is too long");
    let long_value = format!("X: {}\r\n", "y".repeat(20 << 10));
    answers(addr, request(addr, &long_value), &too_large).await;
    let many_values = format!("X: {}\r\n", "y".repeat(500)).repeat(40);
    answers(addr, request(addr, &many_values), &too_large).await;
    answers(addr, request(addr, &"X: y\r\n".repeat(101)), &too_many).await;
    let long_target = format!("GET /{} HTTP", "y".repeat(9 << 10));
    answers(
        addr,
        request(addr, "").replacen("GET / HTTP", &long_target, 1),
        &too_long,
    )
    .await;
    // One that never ends, without a single line end.
    answers(addr, vec![b'y'; 40 << 10], &too_long).await;
    // Within the limits nothing is wrong with many or long headers.
    let fits = format!("X: {}\r\n", "y".repeat(100)).repeat(90);
    is_accepted(addr, request(addr, &fits), "").await;
}

#[tokio::test]
async fn p10_slow_headers_get_408_at_the_total_deadline_whatever_trickles_in() {
    let acceptor = Acceptor::new().handshake_timeout(Duration::from_millis(300));
    let addr = echo_server(acceptor).await;
    let expected = plain_refusal("408 Request Timeout", "the request did not arrive in time");

    let mut silent = Raw::connect(addr).await;
    assert_eq!(silent.rest_as_text().await, expected);

    let raw = Raw::connect(addr).await;
    let (mut reading, mut writing) = raw.stream.into_split();
    let trickling = tokio::spawn(async move {
        // Enough bytes that the deadline passes many times over, if only one did not start it anew.
        for byte in request(addr, &"X: y\r\n".repeat(60)).bytes() {
            if tokio::io::AsyncWriteExt::write_u8(&mut writing, byte)
                .await
                .is_err()
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut answer = vec![0; expected.len()];
    within(tokio::io::AsyncReadExt::read_exact(
        &mut reading,
        &mut answer,
    ))
    .await
    .unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
    assert!(!trickling.is_finished(), "the request was still on its way");
    trickling.abort();
    serves_the_next_client(addr).await;
}

#[tokio::test(start_paused = true)]
async fn p10_the_deadline_is_ten_seconds_after_the_first_look_to_the_second() {
    let (io, script) = fullduplex_testkit::ScriptedIo::new();
    let feeding = script.clone();
    let trickling = tokio::spawn(async move {
        for byte in common::REQUEST.bytes().cycle() {
            feeding.push([byte]);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let begun = tokio::time::Instant::now();
    let accepting = tokio::spawn(async move { Acceptor::new().accept(io).await });
    script.until(|script| !script.written().is_empty()).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    let expected = plain_refusal("408 Request Timeout", "the request did not arrive in time");
    assert_eq!(String::from_utf8(script.written()).unwrap(), expected);
    // A second more for the peer to read it, then it is over.
    assert!(accepting.await.unwrap().is_err());
    assert_eq!(begun.elapsed(), Duration::from_secs(11));
    trickling.abort();
}

#[tokio::test]
async fn p10_a_request_in_single_bytes_is_as_good_as_one_in_one_piece() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::connect(addr).await;
    for byte in request(addr, "").bytes() {
        raw.send([byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.head().await, acceptance(""));
    serves_the_next_client(addr).await;
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
async fn p18_a_client_that_sends_on_after_a_bad_request_still_gets_the_whole_answer() {
    let addr = echo_server(Acceptor::new()).await;
    let mut bytes = request(addr, "").replacen("GET", "POST", 1).into_bytes();
    bytes.extend(vec![b'x'; 48 << 10]);
    let expected = refusal(
        "405 Method Not Allowed",
        &["Connection: close", TEXT, "Allow: GET"],
        "a WebSocket is opened with the method GET",
    );
    answers(addr, bytes, &expected).await;
}

#[tokio::test]
async fn p18_a_body_that_comes_behind_the_answer_does_not_destroy_it() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::connect(addr).await;
    raw.send(request(addr, "").replacen("GET", "POST", 1)).await;
    let expected = refusal(
        "405 Method Not Allowed",
        &["Connection: close", TEXT, "Allow: GET"],
        "a WebSocket is opened with the method GET",
    );
    // It has arrived whole, and nobody has read it.
    let mut answer = vec![0; expected.len()];
    within(async { while raw.stream.peek(&mut answer).await.unwrap() < expected.len() {} }).await;
    // Had the server closed its socket, the first would provoke a reset, which takes away what is unread.
    for _ in 0..3 {
        assert!(raw.try_send(vec![b'x'; 1000]).await);
    }
    assert_eq!(raw.rest_as_text().await, expected);
}

#[tokio::test]
async fn p18_a_client_that_sends_for_ever_after_a_bad_request_is_cut_off() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::connect(addr).await;
    raw.send("nonsense\r\n\r\n").await;
    let sending = async { while raw.try_send(vec![b'x'; 4096]).await {} };
    within(sending).await;
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p18_of_what_comes_behind_a_bad_request_only_so_much_is_read() {
    let (io, script) = fullduplex_testkit::ScriptedIo::new();
    script.push("nonsense\r\n\r\n");
    script.push(vec![b'x'; 1 << 20]);
    assert!(within(Acceptor::new().accept(io)).await.is_err());
    assert!(script.is_dropped());
    assert!(script.read() <= 80 << 10, "{} bytes", script.read());
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

#[tokio::test]
async fn a_client_that_ends_inside_its_request_gets_the_end_and_harms_nobody() {
    let addr = echo_server(Acceptor::new()).await;
    let whole = request(addr, "");
    for cut in [0, 1, 30, whole.len() - 1] {
        let mut raw = Raw::connect(addr).await;
        raw.send(&whole[..cut]).await;
        raw.end().await;
        assert_eq!(raw.rest_as_text().await, "");
    }
    serves_the_next_client(addr).await;
}

/// Sends frames on an open connection and checks all that comes back, up to the end of TCP.
async fn fails(addr: SocketAddr, what: &str, bytes: impl AsRef<[u8]>, expected: &[Frame]) {
    let mut raw = Raw::open(addr).await;
    raw.send(bytes).await;
    assert_eq!(raw.rest_as_frames().await, expected, "{what}");
    drop(raw);
    serves_the_next_client(addr).await;
}

fn violation(reason: &str) -> Vec<Frame> {
    vec![wire::close(1002, reason)]
}

#[tokio::test]
async fn p35_reserved_bits_close_1002() {
    let addr = echo_server(Acceptor::new()).await;
    let expected = violation("reserved bit set");
    for bits in 1..=7 {
        for frame in [
            wire::text("x"),
            wire::binary("x"),
            wire::ping("x"),
            wire::close(1000, ""),
        ] {
            let frame = frame.rsv(bits).masked();
            fails(addr, &frame.to_string(), frame.bytes(), &expected).await;
        }
    }
}

#[tokio::test]
async fn p36_reserved_opcodes_close_1002_from_the_first_byte() {
    let addr = echo_server(Acceptor::new()).await;
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let expected = violation(&format!("reserved opcode {opcode:#x}"));
        let whole = wire::frame(opcode, "x").masked().bytes();
        fails(addr, "whole", &whole, &expected).await;
        fails(addr, "one byte", &whole[..1], &expected).await;
    }
}

#[tokio::test]
async fn p37_frames_that_are_not_masked_close_1002_from_the_second_byte() {
    let addr = echo_server(Acceptor::new()).await;
    let expected = violation("client frame not masked");
    for frame in [
        wire::text("x"),
        wire::binary(vec![0; 70_000]),
        wire::ping(""),
        wire::close(1000, ""),
    ] {
        fails(addr, &frame.to_string(), frame.bytes(), &expected).await;
        fails(addr, "two bytes", &frame.bytes()[..2], &expected).await;
    }
    let zero_key = wire::text("x").mask([0; 4]).bytes();
    let mut raw = Raw::open(addr).await;
    raw.send(zero_key).await;
    assert_eq!(raw.frame().await, wire::text("x"));
}

#[tokio::test]
async fn p38_lengths_that_are_not_minimal_or_beyond_all_bounds_are_refused_before_any_payload() {
    let addr = echo_server(Acceptor::new()).await;
    let not_minimal = violation("payload length not in its shortest form");
    for (form, length) in [
        (LengthForm::Sixteen, 0),
        (LengthForm::Sixteen, 125),
        (LengthForm::SixtyFour, 0),
        (LengthForm::SixtyFour, 126),
        (LengthForm::SixtyFour, 65_535),
    ] {
        let header = wire::binary("")
            .masked()
            .length_form(form)
            .declaring(length)
            .header();
        fails(addr, &format!("{form:?} {length}"), header, &not_minimal).await;
    }
    let top_bit = violation("payload length above 2^63-1");
    for length in [1 << 63, u64::MAX, 1 << 63 | 5] {
        let header = wire::text("")
            .masked()
            .length_form(LengthForm::SixtyFour)
            .declaring(length)
            .header();
        fails(addr, &format!("{length}"), header, &top_bit).await;
    }
    let too_big = [wire::close(1009, "frame too big")];
    for length in [(4 << 20) + 1, 1 << 32, (1 << 63) - 1] {
        let header = wire::binary("")
            .masked()
            .length_form(LengthForm::SixtyFour)
            .declaring(length)
            .header();
        fails(addr, &format!("{length}"), header, &too_big).await;
    }
}

#[tokio::test]
async fn p40_fragmented_and_oversized_control_frames_close_1002_from_their_header() {
    let addr = echo_server(Acceptor::new()).await;
    for opcode in [8, 9, 10] {
        let fragmented = wire::frame(opcode, "").not_fin().masked();
        fails(
            addr,
            "fragmented",
            fragmented.bytes(),
            &violation("control frame without FIN"),
        )
        .await;
        for length in [126, 65_536] {
            let header = wire::frame(opcode, "").masked().declaring(length).header();
            fails(
                addr,
                "oversized",
                header,
                &violation("control frame over 125 bytes"),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn p42_stray_continuations_and_messages_inside_messages_close_1002() {
    let addr = echo_server(Acceptor::new()).await;
    let stray = violation("continuation without a message");
    let inside = violation("new message inside a message");
    for (what, frames, expected) in [
        ("first", vec![wire::continuation("x")], stray.clone()),
        (
            "first fragment",
            vec![wire::continuation("x").not_fin()],
            stray.clone(),
        ),
        (
            "behind a message",
            vec![wire::text("whole"), wire::continuation("x")],
            [vec![wire::text("whole")], stray.clone()].concat(),
        ),
        (
            "behind a fragmented message",
            vec![
                wire::text("a").not_fin(),
                wire::continuation("b"),
                wire::continuation("c"),
            ],
            [vec![wire::text("ab")], stray].concat(),
        ),
        (
            "text in text",
            vec![wire::text("a").not_fin(), wire::text("b")],
            inside.clone(),
        ),
        (
            "binary in text",
            vec![wire::text("a").not_fin(), wire::binary("b")],
            inside.clone(),
        ),
        (
            "behind a ping",
            vec![
                wire::binary("a").not_fin(),
                wire::ping("p"),
                wire::text("b").not_fin(),
            ],
            [vec![wire::pong("p")], inside].concat(),
        ),
    ] {
        let frames: Vec<_> = frames.into_iter().map(Frame::masked).collect();
        fails(addr, what, wire::bytes(&frames), &expected).await;
    }
}

/// Bad at the first byte of the text, in its middle, at its end, and each way to be bad.
const NOT_UTF8: &[&[u8]] = &[
    b"\xff",
    b"\x80",
    b"abc\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"ab\xed\xa0\x80cd",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xe2\x28\xa1",
    b"truncated \xe2\x82",
    b"truncated \xf0\x9f\x92",
    b"\xc3",
];

#[tokio::test]
async fn p48_text_that_is_not_utf8_closes_1007_wherever_it_is_bad_and_however_it_is_cut() {
    let addr = echo_server(Acceptor::new()).await;
    let expected = [wire::close(1007, "text is not UTF-8")];
    for bad in NOT_UTF8 {
        fails(addr, "whole", wire::text(bad).masked().bytes(), &expected).await;
        // Far into a long message, so that checking in blocks is tried too.
        let long = [vec![b'a'; 5000], bad.to_vec()].concat();
        fails(addr, "long", wire::text(&long).masked().bytes(), &expected).await;
        for cut in 0..=bad.len() {
            let fragments = [
                wire::text(&bad[..cut]).not_fin().masked(),
                wire::ping("between").masked(),
                wire::continuation(&bad[cut..]).masked(),
            ];
            let mut raw = Raw::open(addr).await;
            raw.send(wire::bytes(&fragments)).await;
            let frames = raw.rest_as_frames().await;
            assert_eq!(frames.last(), expected.first(), "{bad:?} cut at {cut}");
            assert!(
                frames[..frames.len() - 1]
                    .iter()
                    .all(|frame| *frame == wire::pong("between"))
            );
        }
    }
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p48_a_bad_byte_closes_1007_before_the_rest_of_its_frame_has_arrived() {
    let addr = echo_server(Acceptor::new()).await;
    let header = wire::text("").masked().declaring(100_000).header();
    let mut raw = Raw::open(addr).await;
    raw.send(&header).await;
    // Masked with the key of the literals, of which the fourth byte is the fourth of the payload.
    let payload: Vec<u8> = b"abc\xff"
        .iter()
        .zip(wire::KEY)
        .map(|(byte, key)| byte ^ key)
        .collect();
    raw.send(payload).await;
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::close(1007, "text is not UTF-8")]
    );
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p48_text_that_looks_odd_but_is_utf8_is_echoed() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::open(addr).await;
    for good in [
        "",
        "\0",
        "\u{feff}",
        "\u{fffe}\u{ffff}\u{10ffff}",
        "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}",
    ] {
        let bytes = good.as_bytes();
        for cut in 0..=bytes.len() {
            raw.send_frames([
                wire::text(&bytes[..cut]).not_fin(),
                wire::continuation(&bytes[cut..]),
            ])
            .await;
            assert_eq!(raw.frame().await, wire::text(good));
        }
    }
}

#[tokio::test]
async fn p69_p70_p71_bad_close_frames_are_answered_with_their_own_code() {
    let addr = echo_server(Acceptor::new()).await;
    let one_byte = wire::frame(8, [3]).masked().bytes();
    fails(
        addr,
        "one byte",
        one_byte,
        &violation("close frame with one byte"),
    )
    .await;
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65_535,
    ] {
        let expected = violation(&format!("close code {code} not allowed"));
        fails(
            addr,
            "code",
            wire::close(code, "").masked().bytes(),
            &expected,
        )
        .await;
    }
    for reason in NOT_UTF8 {
        let expected = [wire::close(1007, "text is not UTF-8")];
        fails(
            addr,
            "reason",
            wire::close(1000, reason).masked().bytes(),
            &expected,
        )
        .await;
    }
    for code in [
        1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999,
    ] {
        let expected = [wire::close(code, "")];
        fails(
            addr,
            "allowed",
            wire::close(code, "why").masked().bytes(),
            &expected,
        )
        .await;
    }
    fails(
        addr,
        "empty",
        wire::close_empty().masked().bytes(),
        &[wire::close_empty()],
    )
    .await;
}

#[tokio::test]
async fn p45_messages_over_the_limit_close_1009_and_at_the_limit_are_echoed() {
    let mut config = Config::default();
    config.limits = Limits::with_max_message(1000);
    let addr = echo_server(Acceptor::new().config(config)).await;
    let mut raw = Raw::open(addr).await;
    raw.send_frames([wire::binary(vec![1; 1000])]).await;
    assert_eq!(raw.frame().await, wire::binary(vec![1; 1000]));
    raw.send_frames([
        wire::binary(vec![1; 999]).not_fin(),
        wire::continuation("x"),
    ])
    .await;
    assert_eq!(raw.frame().await.payload.len(), 1000);
    raw.send_frames([
        wire::binary(vec![1; 999]).not_fin(),
        wire::continuation("xy"),
    ])
    .await;
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::close(1009, "message too big")]
    );
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p43_endless_empty_fragments_close_1009() {
    let addr = echo_server(Acceptor::new()).await;
    let mut bytes = wire::text("").not_fin().masked().bytes();
    bytes.extend(
        wire::continuation("")
            .not_fin()
            .masked()
            .bytes()
            .repeat(8192),
    );
    fails(
        addr,
        "empty fragments",
        bytes,
        &[wire::close(1009, "too many fragments")],
    )
    .await;
}

#[tokio::test]
async fn p50_after_a_violation_nothing_more_is_done_though_it_has_arrived() {
    let addr = echo_server(Acceptor::new()).await;
    let frames = [
        wire::text("before").masked(),
        wire::frame(3, "").masked(),
        wire::text("after").masked(),
        wire::ping("after").masked(),
        wire::close(1000, "").masked(),
    ];
    let expected = [
        wire::text("before"),
        wire::close(1002, "reserved opcode 0x3"),
    ];
    fails(addr, "then more", wire::bytes(&frames), &expected).await;
}

#[tokio::test]
async fn p80_a_peer_that_sends_on_after_a_violation_can_read_why() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::open(addr).await;
    let huge = wire::binary("")
        .masked()
        .length_form(LengthForm::SixtyFour)
        .declaring(8 << 20)
        .header();
    raw.send(huge).await;
    raw.send(vec![0; 512 << 10]).await;
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::close(1009, "frame too big")]
    );
    serves_the_next_client(addr).await;
}

/// 002:133 and 003:197, row 25 of the seeds.
#[tokio::test]
async fn the_dialogue_of_fragments_is_played_frame_for_frame() {
    let acceptor = Acceptor::new().options(ServerOptions::default());
    let server = fullduplex::Server::bind("127.0.0.1:0")
        .await
        .unwrap()
        .acceptor(acceptor);
    let addr = server.local_addr().unwrap();
    tokio::spawn(server.serve(async |mut ws| {
        while let Some(message) = ws.recv().await? {
            match message.as_text() {
                Some("hello") => ws.send("Hi.").await?,
                Some("and ahappy newyear!") => ws.send("Happy new year to you too!").await?,
                other => ws.send(format!("what? {other:?}")).await?,
            }
        }
        Ok::<_, fullduplex::Error>(())
    }));
    let mut raw = Raw::open(addr).await;
    raw.send_frames([wire::text("hello")]).await;
    assert_eq!(raw.frame().await, wire::text("Hi."));
    raw.send_frames([wire::text("and a").not_fin()]).await;
    raw.send_frames([wire::continuation("happy new").not_fin()])
        .await;
    // A pong shows that the server is listening and has said nothing in between.
    raw.send_frames([wire::ping("listening?")]).await;
    assert_eq!(raw.frame().await, wire::pong("listening?"));
    raw.send_frames([wire::continuation("year!")]).await;
    assert_eq!(raw.frame().await, wire::text("Happy new year to you too!"));
}

#[tokio::test]
async fn a_hundred_hostile_clients_at_a_time_do_not_keep_one_honest_client_waiting() {
    let addr = echo_server(Acceptor::new()).await;
    let mut silent = Vec::new();
    for i in 0..100_u8 {
        let mut raw = Raw::connect(addr).await;
        match i % 4 {
            0 => {}
            1 => raw.send("GET / HT").await,
            2 => raw.send([i; 3000]).await,
            _ => {
                raw = Raw::open(addr).await;
                raw.send(&wire::text("half a frame").masked().bytes()[..9])
                    .await;
            }
        }
        silent.push(raw);
    }
    serves_the_next_client(addr).await;
}
