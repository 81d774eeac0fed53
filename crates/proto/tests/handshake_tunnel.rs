//! Goal: an HTTP proxy is asked for a tunnel in the one right way, and any answer of it is understood or bounded.
//! Method: requests compared as text, answers given as bytes in pieces of every size.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of a test fail it by panicking"
)]

use fullduplex_proto::handshake::{
    Credentials, DEFAULT_MAX_BODY, HeadError, HeaderError, MAX_INTERIM_RESPONSES, Progress,
    Refused, ResponseError, TunnelHandshake, TunnelRequest,
};

const OPEN: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

fn start(uri: &str) -> TunnelHandshake {
    TunnelRequest::new().start(&uri.parse().unwrap())
}

fn request(request: &TunnelRequest, uri: &str) -> String {
    let handshake = request.start(&uri.parse().unwrap());
    String::from_utf8(handshake.request().to_vec()).unwrap()
}

/// Gives the answer in pieces, then the end of the connection. Returns what was not taken.
fn answer(bytes: &[u8], piece: usize) -> Result<Vec<u8>, ResponseError> {
    let mut handshake = start("ws://example.com");
    let mut given = 0;
    for bytes in bytes.chunks(piece) {
        given += bytes.len();
        if let Progress::Done { used, .. } = handshake.receive(bytes)? {
            given -= bytes.len() - used;
            break;
        }
    }
    if given == bytes.len() && !bytes.ends_with(b"\r\n\r\n") {
        return Err(handshake.eof());
    }
    Ok(bytes[given..].to_vec())
}

fn error(bytes: &str) -> ResponseError {
    match answer(bytes.as_bytes(), usize::MAX) {
        Err(error) => error,
        Ok(_) => panic!("a tunnel: {bytes}"),
    }
}

fn refused(bytes: &str) -> Refused {
    match error(bytes) {
        ResponseError::Refused(refused) => *refused,
        other => panic!("{other} to {bytes}"),
    }
}

#[test]
fn p32_the_target_is_host_and_port_also_where_the_port_is_the_schemes_own() {
    for (uri, target) in [
        ("ws://example.com/chat?room=1", "example.com:80"),
        ("wss://example.com", "example.com:443"),
        ("wss://example.com:8443/", "example.com:8443"),
        ("ws://[2001:db8::1]", "[2001:db8::1]:80"),
        ("ws://192.0.2.1:9001", "192.0.2.1:9001"),
        ("ws://bücher.example", "xn--bcher-kva.example:80"),
    ] {
        assert_eq!(
            request(&TunnelRequest::new(), uri),
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
        );
    }
}

#[test]
fn p32_the_proxy_gets_its_own_credentials_and_not_the_servers() {
    let with_password =
        TunnelRequest::new().credentials(Credentials::basic("aladdin", "opensesame").unwrap());
    let text = request(&with_password, "ws://origin:secret@example.com/");
    assert_eq!(
        text,
        "CONNECT example.com:80 HTTP/1.1\r\nHost: example.com:80\r\n\
         Proxy-Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l\r\n\r\n"
    );
    let with_token = with_password
        .header("proxy-authorization", "Bearer t0ken")
        .unwrap()
        .header("User-Agent", "me/1")
        .unwrap();
    let text = request(&with_token, "ws://example.com/");
    assert!(text.ends_with("\r\nproxy-authorization: Bearer t0ken\r\nUser-Agent: me/1\r\n\r\n"));
    assert!(!text.contains("Basic"), "{text}");
    let handshake = with_token.start(&"ws://example.com/".parse().unwrap());
    // The bytes of a request would be shown as numbers: those of "t0".
    for shown in [format!("{with_token:?}"), format!("{handshake:?}")] {
        assert!(!shown.contains("t0ken"), "{shown}");
        assert!(!shown.contains("opensesame"), "{shown}");
        assert!(!shown.contains("116, 48"), "{shown}");
    }
}

#[test]
fn p32_no_header_breaks_out_of_its_line_or_changes_where_the_request_ends() {
    for (name, value) in [
        ("X", "a\r\nHost: evil"),
        ("X: y\r\nZ", "a"),
        ("Host", "evil"),
        ("content-length", "5"),
        ("Transfer-Encoding", "chunked"),
    ] {
        let refused: Result<TunnelRequest, HeaderError> = TunnelRequest::new().header(name, value);
        assert!(refused.is_err(), "{name}: {value}");
    }
}

#[test]
fn p32_bytes_behind_the_answer_are_the_servers_however_they_arrive() {
    for head in [
        OPEN,
        "HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n",
        "HTTP/1.1 204\r\n\r\n",
        // RFC 9110 §9.3.6: both are to be ignored in a 2xx to CONNECT.
        "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ] {
        let bytes = [head.as_bytes(), b"\x16\x03\x01early"].concat();
        for piece in 1..=bytes.len() {
            let rest = answer(&bytes, piece).unwrap();
            assert_eq!(rest, b"\x16\x03\x01early", "{head} in {piece}s");
        }
    }
}

#[test]
fn p32_a_refusal_has_its_status_headers_and_body() {
    let refused = refused(
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"p\"\r\n\
         Content-Length: 12\r\n\r\nwho are you?",
    );
    assert_eq!(
        (refused.status(), refused.body()),
        (407, &b"who are you?"[..])
    );
    assert!(refused.is_complete());
    assert_eq!(
        refused.headers().get_str("Proxy-Authenticate"),
        Some("Basic realm=\"p\"")
    );
    for (status, text) in [
        (
            101,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nx",
        ),
        (
            301,
            "HTTP/1.1 301 Moved\r\nLocation: http://other/\r\n\r\nx",
        ),
        (403, "HTTP/1.0 403 Filtered\r\n\r\nx"),
        (
            502,
            "HTTP/1.1 502\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nrest",
        ),
    ] {
        let error = error(text);
        let refused = error.refused().unwrap();
        assert_eq!(
            (refused.status(), refused.body()),
            (status, &b"x"[..]),
            "{error}"
        );
    }
}

#[test]
fn p33_what_never_ends_is_bounded() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    assert!(answer((interim.repeat(MAX_INTERIM_RESPONSES) + OPEN).as_bytes(), 7).is_ok());
    assert!(matches!(
        error(&(interim.repeat(MAX_INTERIM_RESPONSES + 1) + OPEN)),
        ResponseError::TooManyInterim
    ));
    assert!(matches!(
        error(&("HTTP/1.1 200 OK\r\nX: ".to_owned() + &"y".repeat(1 << 20))),
        ResponseError::Head(HeadError::TooLarge)
    ));
    assert!(matches!(
        error(&("HTTP/1.1 200 ".to_owned() + &"y".repeat(1 << 20))),
        ResponseError::Head(HeadError::StartLineTooLong)
    ));
    let refused = refused(&("HTTP/1.1 503 No\r\n\r\n".to_owned() + &"y".repeat(1 << 20)));
    assert_eq!(refused.body().len(), DEFAULT_MAX_BODY);
    assert!(!refused.is_complete());
}

#[test]
fn p33_what_is_no_answer_is_an_error() {
    for text in [
        "SSH-2.0-x\r\n\r\n",
        "\0\0\0\0",
        "\x15\x03\x01\x00\x02\x02\x46",
        "HTTP/2 200\r\n\r\n",
    ] {
        assert!(matches!(error(text), ResponseError::Head(_)), "{text:?}");
    }
    for text in [
        "",
        "SSH-2.0-x\r\n",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1",
    ] {
        assert!(matches!(error(text), ResponseError::Eof), "{text:?}");
    }
}
