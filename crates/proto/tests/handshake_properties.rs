//! Properties of the opening handshake: pieces don't matter, and no bytes make it panic.
//! Heads are right ones with random damage, since purely random bytes never get past the first line.

#![expect(clippy::unwrap_used, reason = "helpers of a test fail it by panicking")]

use std::ops::Range;

use fullduplex_proto::handshake::{
    Authority, ClientError, ClientRequest, Headers, Origin, Origins, Progress, RequestHead,
    ServerHandshake, ServerOptions, Uri, Version, judge,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const REQUEST: &[u8] = b"GET http://a.example:8080/chat?x=y HTTP/1.1\r\nHost: a.example:8080\r\nUpgrade: h2c, WebSocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
    Origin: https://[::1]:8080\r\nSec-WebSocket-Protocol: chat, b\r\nContent-Length: 0\r\n\
    Sec-WebSocket-Extensions: a; b=\"1\"; c, d; e=2\r\n\r\n\x81\x80\x00\x00\x00\x00";

const RESPONSES: [&[u8]; 4] = [
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n\x81\x00",
    b"HTTP/1.1 403 Forbidden\r\nContent-Length: 12\r\nRetry-After: 5\r\n\r\nnot for you!more",
    b"HTTP/1.1 503 Down\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\nnothing here",
];

/// Everything that can be seen of a server's verdict.
fn server_verdict(pieces: &[&[u8]]) -> String {
    let options = ServerOptions {
        origins: Origins::Any,
        subprotocols: vec!["b".into()],
        ..ServerOptions::default()
    };
    let mut handshake = ServerHandshake::new(options);
    let mut before = 0;
    for piece in pieces {
        match handshake.receive(piece) {
            Ok(Progress::NeedMore) => before += piece.len(),
            Ok(Progress::Done { value, used }) => {
                let answer = value.accept().to_bytes();
                return format!(
                    "{} {value:?} {}",
                    before + used,
                    String::from_utf8_lossy(&answer)
                );
            }
            Err(rejection) => return String::from_utf8_lossy(&rejection.to_bytes()).into_owned(),
        }
    }
    "more".into()
}

/// Everything that can be seen of a client's verdict.
fn client_verdict(pieces: &[&[u8]]) -> String {
    let uri = "ws://a.example/".parse().unwrap();
    let request = ClientRequest::new(uri)
        .subprotocol("chat")
        .unwrap()
        .max_body(60);
    let mut handshake = request.start(*b"the sample nonce");
    let mut before = 0;
    for piece in pieces {
        match handshake.receive(piece) {
            Ok(Progress::NeedMore) => before += piece.len(),
            Ok(Progress::Done { value, used }) => return format!("{} {value:?}", before + used),
            Err(error) => return format!("{error:?}"),
        }
    }
    format!("{:?}", handshake.eof())
}

/// Cuts bytes at these places.
fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let starts = [0].into_iter().chain(places.iter().copied());
    let ends = places.iter().copied().chain([bytes.len()]);
    starts
        .zip(ends)
        .map(|(start, end)| &bytes[start..end])
        .collect()
}

/// A change to one place: a byte of the kind that matters in heads, or one or a few taken away.
fn damage() -> impl Strategy<Value = Vec<(Index, Option<u8>)>> {
    let byte = prop_oneof![
        prop::sample::select(&b"\r\n\0 :,;=\"\t/?#@%0aA"[..]),
        any::<u8>()
    ];
    vec((any::<Index>(), prop::option::of(byte)), 0..4)
}

fn damaged(bytes: &[u8], damage: &[(Index, Option<u8>)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (place, change) in damage {
        let place = place.index(bytes.len());
        let replaced: Range<usize> = place..place + 1;
        drop(bytes.splice(replaced, *change));
    }
    bytes
}

#[test]
fn the_heads_before_any_damage_are_what_they_are_meant_to_be() {
    let request = server_verdict(&[REQUEST]);
    assert!(
        request.contains("HTTP/1.1 101") && request.contains("Protocol: b"),
        "{request}"
    );
    for (response, part) in RESPONSES.into_iter().zip([
        "subprotocol: Some(\"chat\")",
        "complete: true",
        "complete: true",
        "complete: true",
    ]) {
        let verdict = client_verdict(&[response]);
        assert!(verdict.contains(part), "{verdict}");
    }
}

proptest! {
    #[test]
    fn the_pieces_of_a_request_change_nothing(damage in damage(), cuts in vec(any::<Index>(), 0..6)) {
        let bytes = damaged(REQUEST, &damage);
        let whole = server_verdict(&[&bytes]);
        prop_assert_eq!(server_verdict(&pieces(&bytes, &cuts)), &*whole);
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(server_verdict(&single), whole);
    }

    #[test]
    fn the_pieces_of_a_response_change_nothing(
        which in 0..RESPONSES.len(), damage in damage(), cuts in vec(any::<Index>(), 0..6),
    ) {
        let bytes = damaged(RESPONSES[which], &damage);
        let whole = client_verdict(&[&bytes]);
        prop_assert_eq!(client_verdict(&pieces(&bytes, &cuts)), &*whole);
        let single: Vec<_> = bytes.chunks(1).collect();
        prop_assert_eq!(client_verdict(&single), whole);
    }

    #[test]
    fn no_bytes_make_either_side_panic(bytes in vec(any::<u8>(), 0..300), prefix in 0..REQUEST.len()) {
        let after_a_good_start = [&REQUEST[..prefix], &bytes].concat();
        for bytes in [&bytes, &after_a_good_start] {
            server_verdict(&[bytes]);
            client_verdict(&[bytes]);
        }
    }

    /// What a redirect leads to reads the same as what is then asked for: there are no two ways to see a `Location`.
    #[test]
    fn p27_a_resolved_reference_is_a_uri_in_normal_form(
        base in "wss?://(u:p@)?a(:81)?(/[a.]{0,3}){0,3}(\\?[a/.]{0,4})?",
        reference in "(wss?:|https?:|x:)?(//(u@)?[a-c](:8[01])?)?[a./?#:%2eé]{0,12}|\\PC{0,12}",
    ) {
        let base: Uri = base.parse().unwrap();
        if let Ok(joined) = base.join(&reference) {
            let read: Uri = joined.to_string().parse().unwrap();
            prop_assert_eq!(read.to_string(), joined.to_string());
            prop_assert!(read.is_same_origin(&joined));
            prop_assert_eq!(&joined.join("").unwrap(), &joined);
            prop_assert!(!joined.resource().split('?').next().unwrap().split('/').any(|s| s == ".."));
        }
    }

    #[test]
    fn no_challenge_makes_the_reader_panic_or_reads_more_than_there_is(
        line in "(Basic|Bearer|[a-c]{1,3})[a-c,;=\"\\\\ /é]{0,30}|\\PC{0,20}",
    ) {
        let answer = format!("HTTP/1.1 401 No\r\nContent-Length: 0\r\nWWW-Authenticate: {line}\r\n\r\n");
        let mut attempt = ClientRequest::new("ws://a/".parse().unwrap()).start([0; 16]);
        if let Err(ClientError::Refused(refused)) = attempt.receive(answer.as_bytes()) {
            for challenge in refused.challenges() {
                prop_assert!(line.contains(challenge.scheme()));
                prop_assert!(challenge.realm().is_none_or(|realm| realm.len() <= line.len()));
            }
        }
    }

    #[test]
    fn no_request_parsed_elsewhere_makes_judge_panic(
        method in "GET|\\PC{0,4}", target in "/\\PC{0,9}|(http|x)://\\PC{0,9}|\\PC{0,9}", host in "\\PC{0,12}",
        origin in "(http|https|x)://\\PC{0,12}|\\PC{0,12}", list in "[a-c,;=\"\\\\ ]{0,20}",
    ) {
        let mut headers = Headers::new();
        let lines = [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Host", &*host), ("Origin", &origin),
            ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Sec-WebSocket-Protocol", &list), ("Sec-WebSocket-Extensions", &list)];
        for (name, value) in lines {
            drop(headers.append(name, value));
        }
        let options = ServerOptions { origins: Origins::Any, ..ServerOptions::default() };
        match judge(RequestHead::new(method, target, Version::Http11, headers), &options) {
            Ok(request) => prop_assert!(request.path().starts_with('/')),
            Err(rejection) => prop_assert!(rejection.status() >= 400),
        }
    }

    #[test]
    fn a_uri_that_is_read_is_read_the_same_again(text in "wss?://\\PC{1,30}|\\PC{0,30}") {
        if let Ok(uri) = text.parse::<Uri>() {
            let shown = uri.to_string();
            let again: Uri = shown.parse().unwrap();
            prop_assert_eq!(again.to_string(), shown);
            prop_assert_eq!((again.host(), again.port(), again.resource()), (uri.host(), uri.port(), uri.resource()));
            prop_assert!(uri.resource().starts_with('/') && uri.resource().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert!(uri.authority().parse::<Authority>().is_ok());
        }
    }

    #[test]
    fn an_origin_that_is_read_equals_its_text_read_again(text in "[a-z]{1,6}://\\PC{0,20}|\\PC{0,20}") {
        if let Ok(origin) = text.parse::<Origin>() {
            prop_assert_eq!(origin.to_string().parse::<Origin>().unwrap(), origin);
        }
    }

    #[test]
    fn what_a_client_asks_for_a_server_accepts_and_the_client_opens(
        key in any::<[u8; 16]>(), resource in "(/[a-zé]{0,5}){0,3}(\\?[a-z=&]{0,8})?",
        subprotocols in prop::collection::hash_set("[a-zA-Z0-9.!]{1,6}", 0..5), chosen in any::<Index>(),
    ) {
        let uri: Uri = format!("ws://a.example:9001{resource}").parse().unwrap();
        let mut request = ClientRequest::new(uri.clone()).origin("http://a.example:9001".parse().unwrap());
        for name in &subprotocols {
            request = request.subprotocol(name.clone()).unwrap();
        }
        let spoken: Vec<_> = subprotocols.iter().skip(chosen.index(subprotocols.len() + 1)).cloned().collect();
        let expected = spoken.first().cloned();
        let mut client = request.start(key);
        let options = ServerOptions { subprotocols: spoken, ..ServerOptions::default() };
        let Ok(Progress::Done { value: asked, .. }) = ServerHandshake::new(options).receive(client.request()) else {
            return Err(TestCaseError::fail("refused"));
        };
        prop_assert_eq!(asked.resource(), uri.resource());
        let Ok(Progress::Done { value: opened, .. }) = client.receive(&asked.accept().to_bytes()) else {
            return Err(TestCaseError::fail("not opened"));
        };
        prop_assert_eq!(opened.subprotocol(), expected.as_deref());
    }
}
