//! Goal: an extended CONNECT of HTTP/2 is held to the rules of RFC 8441, and to those that it shares with an upgrade.
//! Method: heads as a library for HTTP/2 hands them over.
#![allow(clippy::unwrap_used, reason = "tests")]

use fullduplex_proto::handshake::{
    ClientError, ClientRequest, Headers, Origins, Refusal, Rejection, Request, RequestHead,
    ResponseHead, ServerOptions, Version, judge,
};

const TARGET: &str = "https://example.com/chat?room=1";

fn headers(lines: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in lines {
        headers.append(name, value).unwrap();
    }
    headers
}

/// A CONNECT for a WebSocket, with these header lines beside the version.
fn connect(more: &[(&str, &str)]) -> RequestHead {
    let lines = [&[("sec-websocket-version", "13")], more].concat();
    RequestHead::new("CONNECT", TARGET, Version::Http2, headers(&lines)).with_protocol("websocket")
}

fn options() -> ServerOptions {
    ServerOptions {
        subprotocols: vec!["chat".into()],
        ..ServerOptions::default()
    }
}

fn accepted(head: RequestHead) -> Request {
    judge(head, &options()).unwrap()
}

fn refused(head: RequestHead) -> Rejection {
    judge(head, &options()).unwrap_err()
}

#[test]
fn p94_an_extended_connect_is_accepted_by_200_without_the_headers_of_an_upgrade() {
    let request = accepted(connect(&[
        ("sec-websocket-protocol", "superchat, chat"),
        ("sec-websocket-extensions", "x-unknown; a=1"),
        ("origin", "https://example.com"),
    ]));
    assert_eq!(
        (
            request.path(),
            request.query(),
            &*request.host().to_string()
        ),
        ("/chat", Some("room=1"), "example.com")
    );
    assert_eq!(request.origin().unwrap().to_string(), "https://example.com");
    let acceptance = request.accept().header("set-cookie", "a=b").unwrap();
    assert_eq!(acceptance.status(), 200);
    let expected = headers(&[("Sec-WebSocket-Protocol", "chat"), ("set-cookie", "a=b")]);
    assert_eq!(acceptance.headers(), expected);
}

#[test]
fn p94_a_key_is_not_asked_for_and_not_looked_at() {
    for key in ["dGhlIHNhbXBsZSBub25jZQ==", "no key"] {
        let acceptance = accepted(connect(&[("sec-websocket-key", key)])).accept();
        assert!(!acceptance.headers().contains("Sec-WebSocket-Accept"));
    }
}

#[test]
fn p94_what_holds_for_an_upgrade_holds_for_a_connect() {
    for (lines, status, refusal) in [
        (
            &[("sec-websocket-version", "13")][..],
            400,
            "VersionMalformed",
        ),
        (
            &[("sec-websocket-protocol", "a, a")],
            400,
            "SubprotocolsMalformed",
        ),
        (
            &[("sec-websocket-extensions", "a b")],
            400,
            "ExtensionsMalformed",
        ),
        (&[("origin", "no origin")], 400, "OriginMalformed"),
        (
            &[("origin", "https://evil.example")],
            403,
            "OriginNotAllowed",
        ),
        (&[("content-length", "1")], 400, "Body"),
    ] {
        let rejection = refused(connect(lines));
        assert_eq!(rejection.status(), status, "{rejection}");
        let shown = format!("{:?}", rejection.refusal().unwrap());
        assert!(shown.starts_with(refusal), "{shown}");
    }
    let any = ServerOptions {
        origins: Origins::Any,
        ..options()
    };
    assert!(judge(connect(&[("origin", "https://evil.example")]), &any).is_ok());
}

#[test]
fn p94_refusals_have_no_header_of_connections_and_no_426() {
    let mut old = RequestHead::new("CONNECT", TARGET, Version::Http2, Headers::new());
    old = old.with_protocol("websocket");
    let rejection = refused(old);
    assert_eq!(rejection.refusal(), Some(&Refusal::VersionUnsupported));
    assert_eq!(rejection.status(), 400);
    let expected = headers(&[
        ("Sec-WebSocket-Version", "13"),
        ("Content-Type", "text/plain; charset=utf-8"),
    ]);
    assert_eq!(*rejection.headers(), expected);
}

#[test]
fn p94_headers_of_http_1_connections_make_the_request_malformed() {
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
    ] {
        let rejection = refused(connect(&[(name, value)]));
        assert_eq!(rejection.status(), 400, "{name}");
        assert_eq!(rejection.refusal(), Some(&Refusal::ConnectionHeaders));
    }
}

#[test]
fn p94_host_is_authority_or_stands_in_for_it() {
    assert!(judge(connect(&[("host", "EXAMPLE.com")]), &options()).is_ok());
    let rejection = refused(connect(&[("host", "other.example")]));
    assert_eq!(rejection.refusal(), Some(&Refusal::Host));
    let line = headers(&[("sec-websocket-version", "13"), ("host", "a.example")]);
    let bare = |headers| {
        RequestHead::new("CONNECT", "/chat", Version::Http2, headers).with_protocol("websocket")
    };
    assert_eq!(accepted(bare(line)).host().to_string(), "a.example");
    let without = headers(&[("sec-websocket-version", "13")]);
    assert_eq!(refused(bare(without)).refusal(), Some(&Refusal::Host));
}

#[test]
fn p96_another_protocol_gets_501_and_another_method_405() {
    let lines = || headers(&[("sec-websocket-version", "13")]);
    let head = |method: &str| RequestHead::new(method, TARGET, Version::Http2, lines());
    assert!(judge(head("CONNECT").with_protocol("WebSocket"), &options()).is_ok());
    for other in [
        head("CONNECT").with_protocol("connect-udp"),
        head("CONNECT").with_protocol(""),
        head("CONNECT"),
    ] {
        let rejection = refused(other);
        assert_eq!(rejection.status(), 501, "{rejection}");
        assert_eq!(rejection.refusal(), Some(&Refusal::Protocol));
    }
    for method in ["GET", "POST"] {
        let rejection = refused(head(method).with_protocol("websocket"));
        assert_eq!(rejection.status(), 405);
        assert_eq!(rejection.headers().get("Allow"), Some(&b"CONNECT"[..]));
    }
    // RFC 9110 §9.3.6: over HTTP/1.1 a CONNECT asks for a tunnel, whatever else it says.
    let old = RequestHead::new("CONNECT", TARGET, Version::Http11, lines());
    assert_eq!(
        refused(old.with_protocol("websocket")).refusal(),
        Some(&Refusal::Method)
    );
}

#[test]
fn p94_a_client_sends_the_same_lines_without_upgrade_and_key() {
    let request = ClientRequest::new("ws://user:pass@[::1]:8080/chat?a=b".parse().unwrap())
        .header("Cookie", "id=7")
        .unwrap()
        .origin("https://example.com".parse().unwrap())
        .subprotocol("chat")
        .unwrap();
    let connect = request.extended_connect();
    assert_eq!(
        (connect.scheme(), &*connect.authority(), connect.path()),
        ("http", "[::1]:8080", "/chat?a=b")
    );
    let expected = headers(&[
        ("Sec-WebSocket-Version", "13"),
        ("Origin", "https://example.com"),
        ("Sec-WebSocket-Protocol", "chat"),
        ("Authorization", "Basic dXNlcjpwYXNz"),
        ("Cookie", "id=7"),
    ]);
    let lines = connect.headers();
    for (name, value) in expected.iter() {
        assert_eq!(lines.get_all(name).collect::<Vec<_>>(), [value], "{name}");
    }
    for name in ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key"] {
        assert!(!lines.contains(name), "{name}");
    }
}

#[test]
fn p94_a_client_accepts_any_2xx_that_chooses_from_its_offers() {
    let request = ClientRequest::new("wss://example.com".parse().unwrap())
        .subprotocol("chat")
        .unwrap();
    let answer = |status, lines: &[_]| {
        let head = ResponseHead::new(status, Version::Http2, headers(lines));
        request.extended_connect().judge(head)
    };
    for status in [200, 204, 299] {
        let response = answer(status, &[("sec-websocket-protocol", "chat")]).unwrap();
        assert_eq!(response.subprotocol(), Some("chat"));
    }
    for status in [101, 199, 300, 401, 501] {
        let error = answer(status, &[]).unwrap_err();
        assert_eq!(error.refused().unwrap().status(), status);
    }
    assert!(matches!(
        answer(200, &[("sec-websocket-protocol", "other")]),
        Err(ClientError::SubprotocolNotOffered(_))
    ));
    assert!(matches!(
        answer(200, &[("sec-websocket-extensions", "x-other")]),
        Err(ClientError::ExtensionNotOffered(_))
    ));
}
