//! The client's side of the opening handshake, one test or more per numbered requirement.
//! Responses are written as bytes; what the client makes of them is compared as values.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of a test fail it by panicking"
)]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fullduplex_proto::handshake::{
    ClientError, ClientHandshake, ClientRequest, DEFAULT_MAX_BODY, HeadError, HeaderError,
    MAX_INTERIM_RESPONSES, Progress, Refused, RequestError, Response, RetryAfter,
};

/// The nonce of the sample in RFC 6455 §1.3, "the sample nonce", and what belongs to it.
const NONCE: [u8; 16] = *b"the sample nonce";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The response that opens, with these lines in place of or beside its own.
fn switching(lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\n{lines}\r\n"
    )
}

fn request() -> ClientRequest {
    ClientRequest::new("ws://server.example.com/chat".parse().unwrap())
}

fn start() -> ClientHandshake {
    request().start(NONCE)
}

fn text(request: &ClientRequest) -> String {
    String::from_utf8(request.start(NONCE).request().to_vec()).unwrap()
}

/// Gives the client everything at once, and the end of the connection if it wants more.
fn answer(mut handshake: ClientHandshake, bytes: &[u8]) -> Result<Response, ClientError> {
    match handshake.receive(bytes)? {
        Progress::Done { value, used } => {
            assert_eq!(used, bytes.len());
            Ok(value)
        }
        Progress::NeedMore => Err(handshake.eof()),
    }
}

fn error(response: &str) -> ClientError {
    match answer(start(), response.as_bytes()) {
        Err(error) => error,
        Ok(_) => panic!("accepted: {response}"),
    }
}

fn refused(response: &str) -> Refused {
    error(response)
        .refused()
        .unwrap_or_else(|| panic!("not a refusal: {response}"))
        .clone()
}

#[test]
fn a_plain_request_is_that_of_the_rfc() {
    assert_eq!(
        text(&request()),
        "GET /chat HTTP/1.1\r\n\
         Host: server.example.com\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    );
    answer(start(), switching("").as_bytes()).unwrap();
}

#[test]
fn origin_subprotocols_and_own_headers_are_sent() {
    let request = ClientRequest::new("wss://[::1]:8443?a=b".parse().unwrap())
        .origin("http://localhost/".parse().unwrap())
        .subprotocol("chat")
        .and_then(|request| request.subprotocol("superchat"))
        .and_then(|request| request.header("Cookie", "id=7"))
        .and_then(|request| request.header("Cookie", "x=y"))
        .unwrap();
    assert_eq!(
        text(&request),
        "GET /?a=b HTTP/1.1\r\n\
         Host: [::1]:8443\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Origin: http://localhost\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\n\
         Cookie: id=7\r\n\
         Cookie: x=y\r\n\r\n"
    );
}

#[test]
fn a_request_can_be_sent_again_with_a_new_key() {
    let request = request();
    let first = request.start([1; 16]).request().to_vec();
    let second = request.start([2; 16]).request().to_vec();
    assert_ne!(first, second);
    assert!(answer(request.start([1; 16]), switching("").as_bytes()).is_err());
}

#[test]
fn p21_only_the_accept_of_our_key_alone_opens() {
    for (lines, missing) in [
        ("", true),
        ("Sec-WebSocket-Accept:\r\n", false),
        (
            "Sec-WebSocket-Accept: Oy4NRAQ13jhfONC7bP8dTKb4PTU=\r\n",
            false,
        ),
        (
            "Sec-WebSocket-Accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
            false,
        ),
        (
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo\r\n",
            false,
        ),
        (
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=x\r\n",
            false,
        ),
        (
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=, x\r\n",
            false,
        ),
        (
            "Sec-WebSocket-Accept: \"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\"\r\n",
            false,
        ),
        ("Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n", false),
    ] {
        let response = switching("").replace(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n"), lines);
        match (error(&response), missing) {
            (ClientError::AcceptMissing, true) | (ClientError::AcceptWrong, false) => {}
            (other, _) => panic!("{lines:?}: {other}"),
        }
    }
    let twice = switching(&format!("Sec-WebSocket-Accept: {ACCEPT}\r\n"));
    assert!(matches!(error(&twice), ClientError::AcceptWrong));
    let spaced = switching("").replace(ACCEPT, &format!(" \t{ACCEPT} \t"));
    answer(start(), spaced.as_bytes()).unwrap();
}

#[test]
fn p22_upgrade_and_connection_are_tokens_in_any_case() {
    for (from, to) in [
        ("Connection: Upgrade", "Connection: Upgrade, Keep-Alive"),
        ("Connection: Upgrade", "connection: keep-alive,upgrade"),
        (
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: UPGRADE",
        ),
        ("Connection: Upgrade", "Connection:Upgrade"),
        ("Upgrade: websocket", "upgrade: WebSocket"),
    ] {
        let response = switching("").replace(from, to);
        assert!(answer(start(), response.as_bytes()).is_ok(), "{to}");
    }
}

#[test]
fn p22_a_101_to_anything_else_is_an_error() {
    for to in [
        "",
        "Upgrade:\r\n",
        "Upgrade: h2c\r\n",
        "Upgrade: websocket, h2c\r\n",
        "Upgrade: websockets\r\n",
    ] {
        let response = switching("").replace("Upgrade: websocket\r\n", to);
        assert!(matches!(error(&response), ClientError::Upgrade), "{to:?}");
    }
    for to in [
        "",
        "Connection:\r\n",
        "Connection: close\r\n",
        "Connection: NotUpgrade\r\n",
    ] {
        let response = switching("").replace("Connection: Upgrade\r\n", to);
        assert!(
            matches!(error(&response), ClientError::Connection),
            "{to:?}"
        );
    }
    let response = switching("").replace("HTTP/1.1", "HTTP/1.0");
    assert!(matches!(error(&response), ClientError::HttpVersion));
}

#[test]
fn p23_only_one_offered_subprotocol_may_be_chosen() {
    let offer = || {
        request()
            .subprotocol("chat")
            .unwrap()
            .subprotocol("superchat")
            .unwrap()
            .start(NONCE)
    };
    let chosen = |line: &str| answer(offer(), switching(line).as_bytes());
    let response = chosen("Sec-WebSocket-Protocol: superchat\r\n").unwrap();
    assert_eq!(response.subprotocol(), Some("superchat"));
    assert_eq!(chosen("").unwrap().subprotocol(), None);
    for value in ["other", "Chat", "chat, superchat", "chat,", "", "chat x"] {
        let error = chosen(&format!("Sec-WebSocket-Protocol: {value}\r\n")).unwrap_err();
        assert!(
            matches!(&error, ClientError::SubprotocolNotOffered(name) if name == value),
            "{error}"
        );
    }
    let twice =
        chosen("Sec-WebSocket-Protocol: chat\r\nsec-websocket-protocol: chat\r\n").unwrap_err();
    assert!(matches!(twice, ClientError::SubprotocolRepeated));
    let unasked = error(&switching("Sec-WebSocket-Protocol: chat\r\n"));
    assert!(matches!(unasked, ClientError::SubprotocolNotOffered(_)));
}

#[test]
fn p23_a_subprotocol_can_be_required() {
    let required = request()
        .subprotocol("chat")
        .unwrap()
        .require_subprotocol(true);
    let error = answer(required.start(NONCE), switching("").as_bytes()).unwrap_err();
    assert!(matches!(error, ClientError::SubprotocolMissing));
    let chosen = switching("Sec-WebSocket-Protocol: chat\r\n");
    answer(required.start(NONCE), chosen.as_bytes()).unwrap();
    answer(
        request().require_subprotocol(true).start(NONCE),
        switching("").as_bytes(),
    )
    .unwrap();
}

#[test]
fn p24_an_extension_that_was_not_offered_is_an_error() {
    for value in ["permessage-deflate", "x-a; b=1, x-c"] {
        let error = error(&switching(&format!(
            "Sec-WebSocket-Extensions: {value}\r\n"
        )));
        assert!(
            matches!(error, ClientError::ExtensionNotOffered(_)),
            "{error}"
        );
    }
    for value in ["", ";", "a b", "a; b=\"1 2\""] {
        let error = error(&switching(&format!(
            "Sec-WebSocket-Extensions: {value}\r\n"
        )));
        assert!(
            matches!(error, ClientError::ExtensionsMalformed),
            "{value:?}: {error}"
        );
    }
}

#[test]
fn p25_bytes_after_the_101_are_left_to_the_connection_also_a_whole_close() {
    let head = switching("").into_bytes();
    let bytes = [&head[..], b"\x81\x05hello\x88\x02\x03\xe8"].concat();
    for first in 0..bytes.len() {
        let mut handshake = start();
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
fn p26_interim_responses_are_skipped_up_to_their_bound() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
    answer(start(), format!("{interim}{}", switching("")).as_bytes()).unwrap();
    let status = refused(&format!(
        "{interim}HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    ))
    .status();
    assert_eq!(status, 404);

    let many = |count: usize| "HTTP/1.1 102 \r\n\r\n".repeat(count) + &switching("");
    answer(start(), many(MAX_INTERIM_RESPONSES).as_bytes()).unwrap();
    assert!(matches!(
        error(&many(MAX_INTERIM_RESPONSES + 1)),
        ClientError::TooManyInterim
    ));
}

#[test]
fn p27_a_redirect_is_not_followed_but_told() {
    for status in [301, 302, 303, 307, 308] {
        let refused = refused(&format!(
            "HTTP/1.1 {status} \r\nLocation: wss://other.example/chat\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(
            (refused.status(), refused.location()),
            (status, Some("wss://other.example/chat"))
        );
        assert!(!refused.reason().is_empty());
    }
}

#[test]
fn p28_a_refusal_carries_status_headers_and_body() {
    for status in [200, 400, 401, 403, 407, 429, 500, 503] {
        let mut handshake = start();
        let response = format!(
            "HTTP/1.1 {status} Because\r\nWWW-Authenticate: Basic\r\nContent-Length: 5\r\n\r\nno waynext"
        );
        let error = handshake.receive(response.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the server answered {status} Because")
        );
        let refused = error.refused().unwrap();
        assert_eq!(
            (refused.status(), refused.body(), refused.is_complete()),
            (status, &b"no wa"[..], true)
        );
        assert_eq!(refused.headers().get_str("www-authenticate"), Some("Basic"));
    }
}

#[test]
fn p28_the_error_comes_as_soon_as_the_body_is_whole() {
    for (response, body) in [
        ("HTTP/1.1 403 \r\nContent-Length: 3\r\n\r\nabc", "abc"),
        ("HTTP/1.1 403 \r\nContent-Length: 0\r\n\r\n", ""),
        ("HTTP/1.1 204 \r\n\r\n", ""),
        ("HTTP/1.1 304 \r\nContent-Length: 3\r\n\r\n", ""),
        (
            "HTTP/1.1 403 \r\nTransfer-Encoding: chunked\r\n\r\n2;x=\"y\"\r\nab\r\n1\r\nc\r\n0\r\n",
            "abc",
        ),
        (
            "HTTP/1.1 403 \r\nTransfer-Encoding: gzip, Chunked\r\n\r\n00b\r\nhello world\r\n000 \r\n",
            "hello world",
        ),
        (
            "HTTP/1.0 404 \r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n",
            "",
        ),
    ] {
        let bytes = response.as_bytes();
        let (last, before) = bytes.split_last().unwrap();
        let mut handshake = start();
        assert!(
            matches!(handshake.receive(before), Ok(Progress::NeedMore)),
            "{response:?}"
        );
        let error = handshake.receive(&[*last]).unwrap_err();
        let refused = error.refused().unwrap();
        assert_eq!(
            (refused.body(), refused.is_complete()),
            (body.as_bytes(), true),
            "{response:?}"
        );
    }
}

#[test]
fn p28_a_body_is_bounded_and_what_came_of_a_broken_one_is_kept() {
    let long = "x".repeat(DEFAULT_MAX_BODY + 1);
    for head in [
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: -1\r\n",
    ] {
        let refused = refused(&format!("HTTP/1.1 500 \r\n{head}\r\n{long}"));
        assert_eq!(
            (refused.body().len(), refused.is_complete()),
            (0, false),
            "{head}"
        );
    }
    for head in [
        "",
        "Content-Length: 18446744073709551615\r\n",
        "Transfer-Encoding: chunked\r\n",
    ] {
        let mut handshake = start();
        let chunk = if head.starts_with('T') {
            "fffffff\r\n"
        } else {
            ""
        };
        let error = handshake
            .receive(format!("HTTP/1.1 500 \r\n{head}\r\n{chunk}{long}").as_bytes())
            .unwrap_err();
        let refused = error.refused().unwrap();
        assert_eq!(
            (refused.body().len(), refused.is_complete()),
            (DEFAULT_MAX_BODY - chunk.len(), false),
            "{head}"
        );
    }
    let mut short = request().max_body(2).start(NONCE);
    let error = short
        .receive(b"HTTP/1.1 500 \r\nContent-Length: 3\r\n\r\nabc")
        .unwrap_err();
    assert_eq!(error.refused().map(Refused::body), Some(&b"ab"[..]));
    for chunks in [
        "x\r\n",
        "\r\n",
        "-1\r\n",
        "2\r\nabX",
        "ffffffffffffffffff\r\n",
    ] {
        let refused = refused(&format!(
            "HTTP/1.1 500 \r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"
        ));
        assert!(!refused.is_complete(), "{chunks:?}");
    }
}

#[test]
fn p28_a_body_without_length_runs_to_the_end_of_the_connection() {
    let whole = refused("HTTP/1.0 503 Down\r\n\r\ncome back later");
    assert_eq!(
        (whole.body(), whole.is_complete()),
        (&b"come back later"[..], true)
    );
    let cut = refused("HTTP/1.1 503 Down\r\nContent-Length: 99\r\n\r\ncome back");
    assert_eq!((cut.body(), cut.is_complete()), (&b"come back"[..], false));
    assert!(matches!(error("HTTP/1.1 101 Switching"), ClientError::Eof));
    assert!(matches!(error(""), ClientError::Eof));
}

#[test]
fn p28_retry_after_can_be_read() {
    let retry = |value: &str| {
        refused(&format!(
            "HTTP/1.1 503 \r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n"
        ))
    };
    assert_eq!(
        retry("120").retry_after(),
        Some(RetryAfter::Delay(Duration::from_secs(120)))
    );
    let date = "Fri, 31 Dec 1999 23:59:59 GMT";
    assert_eq!(retry(date).retry_after(), Some(RetryAfter::Date(date)));
    let endless = retry(&"9".repeat(30));
    assert_eq!(
        endless.retry_after(),
        Some(RetryAfter::Delay(Duration::from_secs(u64::MAX)))
    );
    assert_eq!(
        refused("HTTP/1.1 503 \r\nContent-Length: 0\r\n\r\n").retry_after(),
        None
    );
}

#[test]
fn the_versions_a_server_speaks_are_read_from_any_refusal() {
    for (status, lines, versions) in [
        (400, "Sec-WebSocket-Version: 13,8,7\r\n", &[13, 8, 7][..]),
        (
            426,
            "Sec-WebSocket-Version: 13\r\nsec-websocket-version: 8, 7\r\n",
            &[13, 8, 7],
        ),
        (404, "Sec-WebSocket-Version: x, 300, , 13\r\n", &[13]),
        (400, "", &[]),
    ] {
        let refused = refused(&format!(
            "HTTP/1.1 {status} \r\n{lines}Content-Length: 0\r\n\r\n"
        ));
        assert_eq!(refused.versions(), versions, "{lines:?}");
    }
}

#[test]
fn p29_userinfo_becomes_basic_unless_credentials_are_given() {
    let request = ClientRequest::new("ws://ann:s%3Acret@example.com/".parse().unwrap());
    let sent = text(&request);
    assert!(
        sent.starts_with("GET / HTTP/1.1\r\nHost: example.com\r\n"),
        "{sent}"
    );
    let basic = STANDARD.encode("ann:s:cret");
    assert!(
        sent.contains(&format!("\r\nAuthorization: Basic {basic}\r\n")),
        "{sent}"
    );
    assert!(!format!("{request:?}").contains("cret"));

    let own = text(&request.header("authorization", "Bearer token").unwrap());
    assert!(
        own.contains("\r\nauthorization: Bearer token\r\n") && !own.contains("Basic"),
        "{own}"
    );
}

#[test]
fn p30_the_protocols_own_headers_cannot_be_overridden() {
    for name in [
        "Host",
        "host",
        "Origin",
        "Upgrade",
        "CONNECTION",
        "Sec-WebSocket-Key",
        "sec-websocket-version",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        let error = request().header(name, "x").unwrap_err();
        assert_eq!(
            error,
            RequestError::Header(HeaderError::Reserved(name.into()))
        );
    }
}

#[test]
fn p17_a_header_that_would_split_the_request_cannot_be_made() {
    for value in ["a\r\nX: y", "a\nb", "a\0"] {
        let error = request().header("X-Name", value).unwrap_err();
        assert_eq!(
            error,
            RequestError::Header(HeaderError::Value("X-Name".into())),
            "{value:?}"
        );
    }
    assert!(request().header("X Name", "a").is_err());
}

#[test]
fn a_subprotocol_that_is_no_token_or_repeated_cannot_be_offered() {
    for name in ["", "a b", "a,b", "a\r\n", "\u{e9}", "chat"] {
        let error = request()
            .subprotocol("chat")
            .unwrap()
            .subprotocol(name)
            .unwrap_err();
        assert_eq!(error, RequestError::Subprotocol(name.into()));
    }
}

#[test]
fn a_response_that_is_not_well_formed_is_an_error() {
    for (response, expected) in [
        (switching("").replace("\r\n", "\n"), HeadError::BareLf),
        (switching("X: y\rz\r\n"), HeadError::BareCr),
        (switching("X: y\r\n z\r\n"), HeadError::Fold),
        (switching("X : y\r\n"), HeadError::HeaderName),
        (switching("X: y\0\r\n"), HeadError::Nul),
        (switching(&"X: y\r\n".repeat(98)), HeadError::TooManyHeaders),
        (
            switching(&format!("X: {}\r\n", "y".repeat(16 * 1024))),
            HeadError::TooLarge,
        ),
        ("x".repeat(10_000), HeadError::StartLineTooLong),
        ("SSH-2.0-OpenSSH_9.9\r\n\r\n".into(), HeadError::StartLine),
        ("HTTP/2 101 x\r\n\r\n".into(), HeadError::StartLine),
        ("HTTP/2.0 101 x\r\n\r\n".into(), HeadError::HttpVersion),
        ("HTTP/1.1 1x1 y\r\n\r\n".into(), HeadError::StartLine),
    ] {
        assert!(
            matches!(error(&response), ClientError::Head(other) if other == expected),
            "{expected:?}"
        );
    }
}

#[test]
fn seed_responses_open_for_their_keys() {
    for (key, response) in [
        (
            "w4v7O6xFTi36lq3RNcgctw==",
            "HTTP/1.1 101 Switching Protocols\r\nConnection:Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: Oy4NRAQ13jhfONC7bP8dTKb4PTU=\r\n\r\n",
        ),
        (
            "dGhlIHNhbXBsZSBub25jZQ==",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
        ),
        (
            "x3JJHMbDL1EzLkh9GBhXDw==",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n\r\n",
        ),
    ] {
        let nonce = STANDARD.decode(key).unwrap().try_into().unwrap();
        let request = request()
            .subprotocol("chat")
            .unwrap()
            .subprotocol("superchat")
            .unwrap();
        let handshake = request.start(nonce);
        assert!(String::from_utf8_lossy(handshake.request()).contains(key));
        let opened = answer(handshake, response.as_bytes()).unwrap();
        assert_eq!(
            opened.subprotocol(),
            response.contains("chat").then_some("chat")
        );
    }
}
