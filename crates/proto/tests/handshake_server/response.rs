//! What is answered: a 101 with headers of one's own, or a refusal.

use fullduplex_proto::handshake::{AcceptanceError, HeaderError, Headers, Refusal, Rejection};

use crate::request::Raw;

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
