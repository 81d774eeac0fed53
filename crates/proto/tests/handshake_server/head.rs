//! How a head arrives: in pieces, too large, too slowly, or so that it can be read in two ways.

use fullduplex_proto::handshake::{HeadLimits, Progress, Refusal, ServerHandshake, ServerOptions};

use crate::request::{Raw, status_of};

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
