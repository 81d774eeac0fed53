//! Pages of other origins, and names that are not the server's.

use std::sync::Arc;

use fullduplex_proto::handshake::{Hosts, Origins, Refusal, ServerOptions};

use crate::request::{Raw, receive, sentence, status_of, with_origins};

#[test]
fn p19_a_request_without_origin_is_no_page_and_passes() {
    let request = Raw::new()
        .judged(&with_origins(Origins::List(Vec::new())))
        .unwrap();
    assert_eq!(request.origin(), None);
}

#[test]
fn p19_by_default_only_pages_of_this_host_and_port_may_connect() {
    let judged = |host: &str, origin: &str| {
        let raw = Raw::new().set("Host", host).add("Origin", origin);
        raw.judged(&ServerOptions::default())
            .map_or_else(|rejection| rejection.status(), |_| 101)
    };
    for (host, origin) in [
        ("example.com", "http://example.com"),
        ("example.com", "https://example.com"),
        ("EXAMPLE.com:443", "https://example.COM"),
        ("localhost:8080", "http://localhost:8080/"),
    ] {
        assert_eq!(judged(host, origin), 101, "{host} {origin}");
    }
    for (host, origin) in [
        ("example.com", "http://evil-example.com"),
        ("example.com", "http://example.com.evil.com"),
        ("example.com", "http://www.example.com"),
        ("example.com", "http://example.com:8080"),
        ("example.com", "null"),
        ("example.com", "file://"),
        ("localhost:8080", "http://127.0.0.1:8080"),
    ] {
        assert_eq!(judged(host, origin), 403, "{host} {origin}");
    }
}

#[test]
fn p19_a_malformed_or_repeated_origin_is_400_even_where_all_are_allowed() {
    let any = with_origins(Origins::Any);
    for value in [
        "",
        "example.com",
        "http://",
        "http://a http://b",
        "http://a, http://b",
        "http://a/b",
        "http://\u{e9}",
    ] {
        let rejection = Raw::new().add("Origin", value).judged(&any).unwrap_err();
        assert_eq!(
            rejection.refusal(),
            Some(&Refusal::OriginMalformed),
            "{value:?}"
        );
        assert_eq!(rejection.status(), 400);
    }
    let twice = Raw::new()
        .add("Origin", "http://a")
        .add("origin", "http://a");
    assert_eq!(twice.judged(&any).unwrap_err().status(), 400);
}

#[test]
fn p19_the_scheme_counts_where_tls_ends_here_and_forwarded_headers_never_do() {
    let options = ServerOptions {
        tls: true,
        ..ServerOptions::default()
    };
    let plain = Raw::new().add("Origin", "http://server.example.com");
    assert_eq!(plain.judged(&options).unwrap_err().status(), 403);
    Raw::new()
        .add("Origin", "https://server.example.com")
        .judged(&options)
        .unwrap();

    let forwarded = Raw::new()
        .add("Origin", "https://public.example.com")
        .add("X-Forwarded-Host", "public.example.com")
        .add("Forwarded", "host=public.example.com;proto=https");
    assert_eq!(forwarded.refused().status(), 403);
}

#[test]
fn p19_lists_hold_exact_values_and_functions_decide_freely() {
    let origins = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| text.parse().unwrap())
            .collect::<Vec<_>>()
    };
    let status = |rule: &Origins, origin: &str| {
        let judged = Raw::new()
            .add("Origin", origin)
            .judged(&with_origins(rule.clone()));
        judged.map_or_else(|rejection| rejection.status(), |_| 101)
    };
    let list = Origins::List(origins(&["https://A.example:443/", "null"]));
    assert_eq!(status(&list, "https://a.example"), 101);
    assert_eq!(status(&list, "null"), 101);
    for origin in [
        "http://a.example",
        "https://a.example:444",
        "https://b.a.example",
        "http://server.example.com",
    ] {
        assert_eq!(status(&list, origin), 403, "{origin}");
    }
    let or = Origins::SameOriginOr(origins(&["https://a.example"]));
    assert_eq!(status(&or, "https://a.example"), 101);
    assert_eq!(status(&or, "http://server.example.com"), 101);
    assert_eq!(status(&or, "http://b.example"), 403);

    let check = Origins::Fn(Arc::new(|origin, head| {
        origin.scheme() == Some("app") && head.target() == "/chat"
    }));
    assert_eq!(status(&check, "app://a"), 101);
    assert_eq!(status(&check, "http://server.example.com"), 403);
    assert_eq!(format!("{check:?}"), "Fn(..)");
}

#[test]
fn p19_a_403_names_origin_host_and_remedy() {
    let raw = Raw::new()
        .set("Host", "localhost:8080")
        .add("Origin", "http://127.0.0.1:3000");
    let options = ServerOptions {
        origin_remedy: "pass --allow-origin".into(),
        ..ServerOptions::default()
    };
    let rejection = raw.judged(&options).unwrap_err();
    assert_eq!(rejection.status(), 403);
    assert_eq!(
        sentence(&rejection),
        "pages from the origin http://127.0.0.1:3000 may not connect to localhost:8080; \
         to allow it, pass --allow-origin http://127.0.0.1:3000\n"
    );
}

#[test]
fn p20_a_cross_site_request_with_cookies_is_refused_all_the_same() {
    let raw = Raw::new()
        .add("Cookie", "session=of-the-user")
        .add("Origin", "https://evil.example");
    assert_eq!(raw.refused().status(), 403);
}

#[test]
fn a_name_that_is_not_ours_is_421_as_dns_rebinding_would_bring_it() {
    let hosts = Hosts::Loopback {
        also: vec![
            "chat.example".parse().unwrap(),
            "a.example:8080".parse().unwrap(),
        ],
    };
    let options = ServerOptions {
        hosts,
        ..ServerOptions::default()
    };
    let status = |host: &str| {
        Raw::new()
            .set("Host", host)
            .judged(&options)
            .map_or_else(|rejection| rejection.status(), |_| 101)
    };
    for host in [
        "localhost:8080",
        "127.0.0.1:8080",
        "[::1]:1",
        "x.localhost",
        "CHAT.example:5",
        "a.example:8080",
    ] {
        assert_eq!(status(host), 101, "{host}");
    }
    for host in [
        "evil.example:8080",
        "localhost.evil.example",
        "a.example",
        "10.0.0.1",
    ] {
        assert_eq!(status(host), 421, "{host}");
    }
    // The page is same-origin with the name that points here: only the name gives it away.
    let rebound = Raw::new()
        .set("Host", "evil.example:8080")
        .add("Origin", "http://evil.example:8080");
    let rejection = rebound.judged(&options).unwrap_err();
    assert_eq!(rejection.status(), 421);
    assert!(
        sentence(&rejection).contains("evil.example:8080"),
        "{rejection}"
    );
    rebound.judged(&ServerOptions::default()).unwrap();
    // An absolute target counts, not the Host beside it.
    let absolute = Raw::new()
        .line("GET http://evil.example/ HTTP/1.1")
        .set("Host", "localhost");
    assert_eq!(absolute.judged(&options).unwrap_err().status(), 421);
}

/// The requests of the seed documents whose keys decode, with the answers they print. Blank lines between headers, which are
/// layout, are dropped.
const SEEDS: [(&str, &str); 4] = [
    (
        "GET / HTTP/1.1\r\nHost: localhost:8080\r\nOrigin: http://127.0.0.1:3000\r\nConnection: Upgrade  \r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: w4v7O6xFTi36lq3RNcgctw==\r\n\r\n",
        "Oy4NRAQ13jhfONC7bP8dTKb4PTU=",
    ),
    (
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ),
    (
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
         Sec-WebSocket-Version: 13\r\nOrigin: http://example.com\r\n\r\n",
        "HSmrc0sMlYUkAGmm5OPpG2HaGWk=",
    ),
    (
        "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n",
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ),
];

#[test]
fn seed_transcripts_are_403_by_default_and_101_with_the_printed_accept_under_any() {
    let any = ServerOptions {
        subprotocols: vec!["chat".into()],
        ..with_origins(Origins::Any)
    };
    for (text, accept) in SEEDS {
        assert_eq!(status_of(text.as_bytes()), 403, "{text}");
        let headers = receive(text.as_bytes(), &any).unwrap().accept().headers();
        assert_eq!(
            headers.get_str("Sec-WebSocket-Accept"),
            Some(accept),
            "{text}"
        );
        let offered = text.contains("superchat");
        assert_eq!(
            headers.get_str("Sec-WebSocket-Protocol"),
            offered.then_some("chat"),
            "{text}"
        );
    }
}

#[test]
fn the_origin_of_the_seed_dialer_is_same_origin_with_localhost() {
    let raw = Raw::new()
        .set("Host", "localhost")
        .add("Origin", "http://localhost/");
    assert_eq!(
        raw.accepted().origin().unwrap().to_string(),
        "http://localhost"
    );
}
