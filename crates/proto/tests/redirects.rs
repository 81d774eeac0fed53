//! Goal: a redirect leads only where it may, and takes along only what is meant for everybody (points 27 and 28).
//! Method: requests with everything that could be secret, sent wherever a `Location` points.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

use fullduplex_proto::handshake::{
    ClientError, ClientRequest, Credentials, RedirectError, Redirects, Refused, RequestError,
    UriError,
};

const KEY: [u8; 16] = [7; 16];

fn request(uri: &str) -> ClientRequest {
    ClientRequest::new(uri.parse().unwrap())
        .header("Cookie", "id=secret")
        .unwrap()
        .header("Proxy-Authorization", "Basic secret")
        .unwrap()
        .header("X-Api-Key", "secret")
        .unwrap()
        .header("user-agent", "tests")
        .unwrap()
        .origin("https://page.example".parse().unwrap())
        .subprotocol("chat")
        .unwrap()
}

fn answer(head: &str) -> Refused {
    let mut attempt = request("ws://a/").start(KEY);
    let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
    match attempt.receive(answer.as_bytes()) {
        Err(ClientError::Refused(refused)) => *refused,
        other => panic!("{other:?}"),
    }
}

fn to(location: &str) -> Refused {
    answer(&format!("302 Found\r\nLocation: {location}"))
}

fn bytes(request: &ClientRequest) -> String {
    String::from_utf8(request.start(KEY).request().to_vec()).unwrap()
}

fn follow(from: &str, location: &str) -> Result<ClientRequest, RedirectError> {
    Redirects::new(1)
        .follow(&request(from), &to(location))
        .expect("a redirect")
}

/// The lines of a request but for the first two, which say where it goes.
fn without_target(request: &ClientRequest) -> Vec<String> {
    bytes(request).lines().skip(2).map(str::to_owned).collect()
}

#[test]
fn p27_at_the_same_origin_everything_goes_along() {
    for (from, location, resource) in [
        ("ws://me:secret@a/x", "/y", "/y"),
        ("ws://me:secret@a/x", "http://a/y", "/y"),
        ("ws://me:secret@a:80/x", "ws://A:80/y", "/y"),
        ("wss://me:secret@a:443/x/", "https://a/y?z", "/y?z"),
    ] {
        let next = follow(from, location).unwrap();
        assert_eq!(without_target(&next), without_target(&request(from)));
        assert_eq!(next.uri().resource(), resource);
        assert!(bytes(&next).contains("Authorization: Basic bWU6c2VjcmV0"));
    }
}

#[test]
fn p27_when_scheme_host_or_port_change_nothing_secret_goes_along() {
    for (from, location, host) in [
        ("ws://me:secret@a/x", "wss://a/", "a"),
        ("ws://me:secret@a/x", "ws://b/", "b"),
        ("ws://me:secret@a/x", "ws://sub.a/", "sub.a"),
        ("ws://me:secret@a/x", "//b:81", "b:81"),
        ("ws://me:secret@a/x", "ws://a:81/", "a:81"),
        ("wss://me:secret@a/x", "https://a:80/", "a:80"),
    ] {
        let next = follow(from, location).unwrap();
        assert_eq!(
            bytes(&next),
            format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: BwcHBwcHBwcHBwcHBwcHBw==\r\nSec-WebSocket-Version: 13\r\n\
                 Origin: https://page.example\r\nSec-WebSocket-Protocol: chat\r\nuser-agent: tests\r\n\r\n"
            ),
            "{from} {location}"
        );
    }
    // And they do not come back where the way leads back.
    let mut redirects = Redirects::new(2);
    let first = request("ws://me:secret@a/x");
    let elsewhere = redirects.follow(&first, &to("ws://b/")).unwrap().unwrap();
    let back = redirects
        .follow(&elsewhere, &to("ws://a/y"))
        .unwrap()
        .unwrap();
    assert_eq!(back.uri().authority(), "a");
    assert!(!bytes(&back).contains("uthorization") && !bytes(&back).contains("Cookie"));
}

#[test]
fn p27_what_must_not_be_followed_says_why() {
    for (from, location, error) in [
        ("wss://a/", "ws://a/", RedirectError::Downgrade),
        ("wss://a/", "http://a:443/", RedirectError::Downgrade),
        ("ws://a/", "ws://other@a/", RedirectError::Userinfo),
        ("ws://a/", "ws://me:x@b/", RedirectError::Userinfo),
        ("ws://a/", "ws://a/", RedirectError::Loop),
        ("ws://me:x@a/", "/", RedirectError::Loop),
        ("ws://a/x", "", RedirectError::Loop),
        (
            "ws://a/",
            "javascript:alert(1)",
            RedirectError::Location(UriError::Scheme),
        ),
        (
            "ws://a/",
            "file:///etc/passwd",
            RedirectError::Location(UriError::Scheme),
        ),
        (
            "ws://a/",
            "\\\\evil.example",
            RedirectError::Location(UriError::Character),
        ),
    ] {
        let found = follow(from, location).map(|request| request.uri().to_string());
        assert_eq!(found, Err(error), "{from} {location}");
    }
    let first = request("ws://a/");
    let nowhere = Redirects::new(1).follow(&first, &answer("301 Moved"));
    assert_eq!(nowhere.unwrap().unwrap_err(), RedirectError::NoLocation);
    let none = Redirects::new(0).follow(&first, &to("/b"));
    assert_eq!(none.unwrap().unwrap_err(), RedirectError::TooMany);
    assert!(
        RedirectError::Downgrade
            .to_string()
            .contains("from wss to ws")
    );
}

#[test]
fn p27_redirects_are_counted_and_a_circle_is_noticed_however_long() {
    let mut redirects = Redirects::new(3);
    let mut at = request("ws://a/0");
    for location in ["1", "2", "3"] {
        at = redirects.follow(&at, &to(location)).unwrap().unwrap();
    }
    let error = redirects.follow(&at, &to("4")).unwrap().unwrap_err();
    assert_eq!(error, RedirectError::TooMany);

    let mut redirects = Redirects::new(9);
    let mut at = request("ws://a/0");
    for location in ["ws://b/", "ws://a/1"] {
        at = redirects.follow(&at, &to(location)).unwrap().unwrap();
    }
    let error = redirects.follow(&at, &to("ws://a/0")).unwrap().unwrap_err();
    assert_eq!(error, RedirectError::Loop);
    redirects.forget_visited();
    assert!(redirects.follow(&at, &to("ws://a/0")).unwrap().is_ok());
}

#[test]
fn p27_only_these_five_are_redirects() {
    let first = request("ws://a/");
    for status in [
        200, 300, 301, 302, 303, 304, 305, 306, 307, 308, 400, 401, 503,
    ] {
        let refused = answer(&format!("{status} X\r\nLocation: /b"));
        let followed = Redirects::new(1).follow(&first, &refused).is_some();
        assert_eq!(
            followed,
            matches!(status, 301..=303 | 307 | 308),
            "{status}"
        );
    }
}

#[test]
fn p28_credentials_replace_those_given_before_and_are_never_shown() {
    let basic = Credentials::basic("Aladdin", "open sesame").unwrap();
    let request = request("ws://old:secret@a/")
        .header("authorization", "secret")
        .unwrap();
    let request = request.credentials(basic.clone());
    let sent = bytes(&request);
    assert_eq!(sent.to_lowercase().matches("\r\nauthorization:").count(), 1);
    // The example of RFC 7617 §2.
    assert!(sent.contains("\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    let bearer = Credentials::bearer("1|abc.def-~+/==").unwrap();
    assert!(
        bytes(&request.clone().credentials(bearer))
            .contains("\r\nAuthorization: Bearer 1|abc.def-~+/==\r\n")
    );
    let attempt = request.start(KEY);
    let in_bytes = format!("{:?}", b"QWxhZGRpbj").replace(['[', ']'], "");
    for shown in [
        format!("{basic:?}"),
        format!("{request:?}"),
        format!("{attempt:?}"),
    ] {
        for secret in ["secret", "sesame", "QWxhZGRpbj", &in_bytes] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    for (user, password) in [("a:b", ""), ("a\n", ""), ("a", "\r\nX: y"), ("a", "\u{85}")] {
        assert_eq!(
            Credentials::basic(user, password),
            Err(RequestError::Credentials)
        );
    }
    for token in ["", "a b", "a\r\nX: y", "é"] {
        assert_eq!(Credentials::bearer(token), Err(RequestError::Credentials));
    }
}
