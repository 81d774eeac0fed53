//! The opening handshake, as server and as client.

use fullduplex_proto::handshake::{
    ClientRequest, HeadLimits, Headers, Origins, Progress, ServerHandshake, ServerOptions, Uri,
    accept_for,
};

use crate::input::{Input, pieces};

/// What a client of these tests takes of a refusal's body.
const MAX_BODY: usize = 200;

/// A server reads a request in one piece, in pieces, and byte by byte: its verdict has to be the same each time, its answer a
/// well-formed head.
///
/// Input: settings, three sizes of pieces, the request.
pub fn server_handshake(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let cuts = input.cuts();
    let whole = server_verdict(flags, input.0, &[usize::MAX]);
    assert_eq!(whole, server_verdict(flags, input.0, &cuts), "{cuts:?}");
    assert_eq!(whole, server_verdict(flags, input.0, &[1]), "byte by byte");
}

fn server_verdict(flags: u8, bytes: &[u8], cuts: &[usize]) -> String {
    let options = ServerOptions {
        origins: if flags & 1 == 0 {
            Origins::Any
        } else {
            Origins::default()
        },
        subprotocols: vec!["chat".into(), "b".into()],
        limits: limits(flags),
        tls: flags & 4 != 0,
        ..ServerOptions::default()
    };
    let most = options.limits.max_bytes;
    let mut handshake = ServerHandshake::new(options);
    let mut before = 0;
    for piece in pieces(bytes, cuts) {
        match handshake.receive(piece) {
            Ok(Progress::NeedMore) => {
                before += piece.len();
                assert!(before <= most, "{before} bytes of a head are held");
            }
            Ok(Progress::Done { value, used }) => {
                let key = value.header("Sec-WebSocket-Key").unwrap_or_default();
                let accept = accept_for(key);
                let answer = well_formed(&value.accept().to_bytes(), false);
                assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
                assert!(answer.contains(&format!("\r\nSec-WebSocket-Accept: {accept}\r\n")));
                assert!(value.path().starts_with('/'), "{value:?}");
                return format!("{} {value:?} {answer}", before + used);
            }
            Err(rejection) => {
                assert!((400..600).contains(&rejection.status()), "{rejection:?}");
                // Empty lines may stand before a request (RFC 9112 §2.2).
                let to_head = bytes.trim_ascii_start().starts_with(b"HEAD ");
                return well_formed(&rejection.to_bytes(), to_head);
            }
        }
    }
    let late = well_formed(&handshake.timed_out().to_bytes(), false);
    assert!(late.starts_with("HTTP/1.1 408 "), "{late}");
    late
}

/// A client reads a response in one piece, in pieces, and byte by byte: its verdict has to be the same each time, and nothing
/// may be agreed on that it has not asked for.
///
/// Input: settings, three sizes of pieces, the response.
pub fn client_handshake(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let cuts = input.cuts();
    let whole = client_verdict(flags, input.0, &[usize::MAX]);
    assert_eq!(whole, client_verdict(flags, input.0, &cuts), "{cuts:?}");
    assert_eq!(whole, client_verdict(flags, input.0, &[1]), "byte by byte");
}

fn client_verdict(flags: u8, bytes: &[u8], cuts: &[usize]) -> String {
    let Ok(uri) = "ws://a.example:9001/chat".parse::<Uri>() else {
        unreachable!("it is one");
    };
    let mut request = ClientRequest::new(uri)
        .max_body(MAX_BODY)
        .limits(limits(flags));
    if flags & 1 == 0 {
        request = request
            .subprotocol("chat")
            .and_then(|request| request.subprotocol("b"))
            .unwrap_or_else(|_| unreachable!("both are tokens"));
    }
    let mut handshake = request.start(*b"the sample nonce");
    let mut before = 0;
    for piece in pieces(bytes, cuts) {
        match handshake.receive(piece) {
            Ok(Progress::NeedMore) => before += piece.len(),
            Ok(Progress::Done { value, used }) => {
                assert_eq!(value.head().status(), 101);
                let agreed = value.subprotocol();
                assert!(agreed.is_none_or(|name| flags & 1 == 0 && ["chat", "b"].contains(&name)));
                return format!("{} {value:?}", before + used);
            }
            Err(error) => return client_error(&error),
        }
    }
    client_error(&handshake.eof())
}

/// Everything that can be asked of an error.
fn client_error(error: &fullduplex_proto::handshake::ClientError) -> String {
    let Some(refused) = error.refused() else {
        return format!("{error:?} {error}");
    };
    assert_ne!(refused.status(), 101);
    assert!(refused.body().len() <= MAX_BODY);
    format!(
        "{error:?} {error} {:?} {:?} {:?} {:?}",
        refused.location(),
        refused.challenges(),
        refused.retry_after(),
        refused.versions()
    )
}

fn limits(flags: u8) -> HeadLimits {
    let mut limits = HeadLimits::default();
    if flags & 2 != 0 {
        limits.max_bytes = 400;
        limits.max_request_line = 60;
        limits.max_headers = 9;
    }
    limits
}

/// Reads an answer as the strictest of clients would: no peer may put a line of its own into it.
fn well_formed(answer: &[u8], to_head: bool) -> String {
    let text = String::from_utf8_lossy(answer).into_owned();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        unreachable!("no head: {text}");
    };
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    assert!(status.starts_with("HTTP/1.1 "), "{text}");
    let mut headers = Headers::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap_or((line, "\n"));
        assert!(headers.append(name, value).is_ok(), "{line:?} in {text}");
    }
    if let Some(length) = headers.get_str("Content-Length") {
        // An answer to HEAD says how long the body would be (RFC 9110 §9.3.2).
        assert!(
            length.parse() == Ok(body.len()) || (to_head && body.is_empty()),
            "{text}"
        );
    }
    text
}
