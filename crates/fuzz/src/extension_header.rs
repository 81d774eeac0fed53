//! `Sec-WebSocket-Extensions`.

use fullduplex_proto::{
    Deflate,
    handshake::{
        ClientRequest, Headers, Offer, Progress, Request, RequestHead, ServerOptions, Uri, Version,
        accept_for, judge,
    },
};

use crate::input::Input;

/// Any value of the header is refused, or read; what was read and is written again has to be read the same. Where a server
/// answers an offer, the answer is one that a client can accept, and both understand the same by it.
///
/// Input: how to compress, lines of the header, each ended by LF.
pub fn extension_header(data: &[u8]) {
    let mut input = Input(data);
    let deflate = input.deflate();
    let lines: Vec<&[u8]> = input.0.split(|byte| *byte == b'\n').collect();
    answer(&lines, deflate);
    if let Some(request) = request(&lines, Some(deflate))
        && let Some(params) = request.accept().deflate()
    {
        assert!(params.server_no_context_takeover >= deflate.server_no_context_takeover);
        assert!(params.server_max_window_bits <= deflate.server_max_window_bits);
    }
    let Some(offers) = offers(&lines) else {
        return;
    };
    let written: Vec<String> = offers.iter().map(Offer::to_string).collect();
    let each: Vec<&[u8]> = written.iter().map(String::as_bytes).collect();
    assert_eq!(self::offers(&each).as_ref(), Some(&offers), "line by line");
    let joined = written.join(", ");
    if !offers.is_empty() {
        let again = self::offers(&[joined.as_bytes()]);
        assert_eq!(again.as_ref(), Some(&offers), "in one line: {joined}");
    }
}

/// Lets a client that offers as `deflate` says judge these lines as an answer.
fn answer(lines: &[&[u8]], deflate: Deflate) {
    let Ok(uri) = "ws://a.example/".parse::<Uri>() else {
        unreachable!("it is one");
    };
    let mut client = ClientRequest::new(uri).deflate(deflate).start([1; 16]);
    let accept = accept_for(b"AQEBAQEBAQEBAQEBAQEBAQ==");
    let mut response = format!(
        "HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n"
    )
    .into_bytes();
    for line in lines {
        response.extend_from_slice(&[b"Sec-WebSocket-Extensions: ", *line, b"\r\n"].concat());
    }
    response.extend_from_slice(b"\r\n");
    if let Ok(Progress::Done { value, .. }) = client.receive(&response)
        && let Some(params) = value.deflate()
    {
        assert!(params.server_no_context_takeover >= deflate.server_no_context_takeover);
        assert!(params.client_no_context_takeover >= deflate.client_no_context_takeover);
        assert!(params.server_max_window_bits <= deflate.server_max_window_bits);
        assert!(params.client_max_window_bits <= deflate.client_max_window_bits);
    }
}

/// `None` if the request was refused, or the header cannot be put into one.
fn offers(lines: &[&[u8]]) -> Option<Vec<Offer>> {
    Some(request(lines, None)?.extensions().to_vec())
}

fn request(lines: &[&[u8]], deflate: Option<Deflate>) -> Option<Request> {
    let mut headers = Headers::new();
    let fixed = [
        ("Host", "a.example"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (name, value) in fixed {
        headers.append(name, value).ok()?;
    }
    for line in lines {
        headers.append("Sec-WebSocket-Extensions", line).ok()?;
    }
    let head = RequestHead::new("GET", "/", Version::Http11, headers);
    let options = ServerOptions {
        deflate,
        ..ServerOptions::default()
    };
    judge(head, &options).ok()
}
