//! Goal: who asks for too much is told so, or waits, or is sent away, and nobody else notices.
//! Method: clients behind a proxy that is trusted, so that one machine is many addresses.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::time::Duration;

use fullduplex::{Client, CloseCode, WebSocket};
use fullduplex_hub::{AllowedOrigins, Config, Limits, Rate, Rates, TrustedProxies, auth::Access};
use serde_json::{Value, json};
use support::{
    Running, UPGRADE, V1,
    admin::{ADMIN, with_admin},
    behind_a_proxy,
    http::{GUEST, MESSAGES},
    text,
    tokens::{bearer, guarded, of, shown},
    within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const ONE: &str = "203.0.113.1";
const OTHER: &str = "203.0.113.2";

/// Behind a proxy on loopback.
fn proxied(rates: Rates) -> Config {
    Config {
        rates,
        ..behind_a_proxy()
    }
}

fn from(address: &str, client: Client) -> Client {
    client.header("X-Forwarded-For", address).unwrap()
}

async fn plain(hub: &Running, address: &str) -> WebSocket {
    let client = from(address, hub.client("/ws"));
    within(client.connect()).await.unwrap().0
}

async fn member(hub: &Running, address: &str, name: &str) -> V1 {
    let client = from(address, hub.client("/ws"));
    let mut client = V1::open(client).await;
    client.hello(name).await;
    client
        .ok(json!({"op": "join", "room": "general", "backlog": 0}))
        .await;
    client
}

/// Says this until it is refused, which takes a burst, and more where a machine is slow.
async fn refused_in_the_end(client: &mut V1, command: &Value) {
    let refused = async {
        loop {
            let reply = client.call(command.clone()).await;
            if reply["ok"].is_null() {
                return reply;
            }
        }
    };
    assert_eq!(within(refused).await["err"]["code"], "rate_limited");
}

fn send(cid: usize) -> Value {
    json!({"op": "send", "room": "general", "cid": cid.to_string(), "body": "x"})
}

#[tokio::test]
async fn s10_a_flood_is_refused_with_when_to_come_back_then_ended_and_others_do_not_notice() {
    let hub = Running::start(proxied(Rates {
        messages_per_user: Rate::new(1, 5),
        ..Rates::default()
    }))
    .await;
    let mut flooder = member(&hub, ONE, "flooder").await;
    let mut other = member(&hub, OTHER, "other").await;
    let (mut stored, mut refused) = (0, 0);
    for cid in 0..60 {
        let reply = flooder.call(send(cid)).await;
        if reply["ok"].is_object() {
            stored += 1;
        } else {
            assert_eq!(reply["err"]["code"], "rate_limited", "{reply}");
            assert!((1..=1_001).contains(&reply["err"]["retry_ms"].as_u64().unwrap()));
            refused += 1;
        }
    }
    assert!(stored >= 5 && refused > 0);
    let read = json!({"op": "read", "room": "general", "seq": 1});
    // A mark is kept, too.
    refused_in_the_end(&mut flooder, &read).await;
    other.say("general", "c", "hello").await;
    for cid in 0..600 {
        // Written without waiting for what comes of it, as floods are.
        if flooder.ws.send(send(cid).to_string()).await.is_err() {
            break;
        }
    }
    let (code, reason) = flooder.closed().await;
    assert_eq!(
        (code, &*reason),
        (CloseCode::new(4108), "too many requests")
    );
    other.say("general", "d", "still here").await;
}

#[tokio::test]
async fn s10_an_edit_or_a_deletion_counts_as_ten_messages_of_who_makes_it() {
    let hub = Running::start(proxied(Rates {
        // None comes back while this lasts.
        messages_per_user: Rate::new(1, 1_000),
        messages_per_room: Rate::new(1, 1_000),
        ..Rates::default()
    }))
    .await;
    let mut ana = member(&hub, ONE, "ana").await;
    let target = ana.ok(send(0)).await["seq"].clone();
    let edit = |n: usize| json!({"op": "edit", "room": "general", "cid": n.to_string(), "target": target, "body": "y"});
    let mut edits = 0;
    let refused = loop {
        let reply = ana.call(edit(1 + edits)).await;
        if reply["ok"].is_null() {
            break reply;
        }
        edits += 1;
    };
    assert_eq!(refused["err"]["code"], "rate_limited");
    assert!((100..200).contains(&edits), "{edits}");
    member(&hub, OTHER, "bo").await.ok(send(0)).await;
}

#[tokio::test]
async fn s10_commands_of_any_kind_have_a_rate_and_the_reply_says_when() {
    let hub = Running::start(proxied(Rates {
        commands_per_connection: Rate::new(1, 4),
        ..Rates::default()
    }))
    .await;
    let mut client = member(&hub, ONE, "ana").await;
    for _ in 0..2 {
        refused_in_the_end(&mut client, &json!({"op": "ping"})).await;
    }
}

#[tokio::test]
async fn s10_a_plain_client_that_floods_waits_loses_nothing_and_others_do_not_wait() {
    let hub = Running::start(proxied(Rates {
        messages_per_user: Rate::new(1, 3),
        ..Rates::default()
    }))
    .await;
    let mut flooder = plain(&hub, ONE).await;
    let mut other = plain(&hub, OTHER).await;
    // A minute's worth.
    for n in 0..60 {
        let message = json!({"email": "", "username": "f", "message": n.to_string()});
        within(flooder.send(message.to_string())).await.unwrap();
    }
    let mine = r#"{"email":"","username":"o","message":"mine"}"#;
    let mut flood = 0;
    let mut is_mine_seen = false;
    while !is_mine_seen || flood < 5 {
        if flood == 3 {
            within(other.send(mine)).await.unwrap();
        }
        let seen = text(&mut other).await;
        if seen == mine {
            is_mine_seen = true;
        } else {
            assert!(seen.contains(&format!("\"message\":\"{flood}\"")), "{seen}");
            flood += 1;
        }
    }
    assert!(flood < 60, "all had to be waited for");
}

#[tokio::test]
async fn s10_plain_clients_with_one_users_token_have_one_rate() {
    let (config, _folder) = guarded(proxied(Rates {
        messages_per_user: Rate::new(1, 2),
        ..Rates::default()
    }));
    let hub = Running::start(config).await;
    let open = async |address: &str, sub: &str| {
        let client = shown(hub.client("/ws"), &of(sub));
        within(from(address, client).connect()).await.unwrap().0
    };
    let mut busy = open(ONE, "busy").await;
    let mut again = open(OTHER, "busy").await;
    let mut other = open(OTHER, "other").await;
    for message in [r#"{"message":"1"}"#, r#"{"message":"2"}"#] {
        within(busy.send(message)).await.unwrap();
        text(&mut other).await;
    }
    // A minute's worth.
    for n in 3..63 {
        let message = json!({"message": n.to_string()});
        within(again.send(message.to_string())).await.unwrap();
    }
    assert!(text(&mut other).await.contains("\"3\""));
    within(other.send(r#"{"message":"mine"}"#)).await.unwrap();
    let mut next = 4;
    loop {
        let seen = text(&mut other).await;
        if seen.contains("\"mine\"") {
            break;
        }
        assert!(seen.contains(&format!("\"{next}\"")), "{seen}");
        next += 1;
    }
    assert!(next < 63, "all had to be waited for");
}

#[tokio::test]
async fn s11_an_address_has_so_many_connections_and_gets_them_back() {
    let mut config = proxied(Rates::default());
    config.limits.connections_per_address = 2;
    let hub = Running::start(config).await;
    let (first, _second) = (plain(&hub, ONE).await, plain(&hub, ONE).await);
    let refused = within(from(ONE, hub.client("/ws")).connect())
        .await
        .unwrap_err();
    assert_eq!(refused.status(), Some(429));
    let answer = hub
        .get("/sse/general", &format!("X-Forwarded-For: {ONE}\r\n"))
        .await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    let _other = plain(&hub, OTHER).await;
    drop(first);
    while let Err(refused) = within(from(ONE, hub.client("/ws")).connect()).await {
        assert_eq!(refused.status(), Some(429));
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn s11_a_peer_that_is_no_proxy_is_turned_away_before_it_has_said_anything() {
    let hub = Running::start(Config {
        limits: Limits {
            connections_per_address: 1,
            ..Limits::default()
        },
        trusted_proxies: TrustedProxies::parse(["10.0.0.0/8"]).unwrap(),
        access: Access::Open,
        ..Config::default()
    })
    .await;
    // What it claims of itself is not believed.
    let _first = plain(&hub, OTHER).await;
    let answer = support::Answer::read(&hub.raw("").await);
    assert_eq!(answer.status, 429);
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(
        answer.header("content-length"),
        Some(&*answer.body.len().to_string())
    );
}

#[tokio::test]
async fn s11_requests_of_one_address_have_a_rate() {
    let hub = Running::start(proxied(Rates {
        requests_per_address: Rate::new(1, 3),
        ..Rates::default()
    }))
    .await;
    let ask = async |address: &str| {
        let headers = format!("X-Forwarded-For: 6.6.6.6, {address}\r\n");
        hub.get("/healthz", &headers).await
    };
    // All of one /64.
    let mut addresses = (1_u16..).map(|n| format!("2001:db8::{n:x}"));
    let refused = async {
        loop {
            let answer = ask(&addresses.next().unwrap()).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let refused = within(refused).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(ask("2001:db8:0:1::1").await.status, 200);
    let refused = async {
        loop {
            let client = from(&addresses.next().unwrap(), hub.client("/ws"));
            if let Err(refused) = client.connect().await {
                return refused;
            }
        }
    };
    assert_eq!(within(refused).await.status(), Some(429));
}

#[tokio::test]
async fn messages_by_http_have_the_same_rates_and_a_busy_room_is_no_reason_to_charge_others() {
    let hub = Running::start(proxied(Rates {
        messages_per_room: Rate::new(1, 2),
        ..Rates::default()
    }))
    .await;
    let post = async |room: &str| {
        let headers = format!("{GUEST}X-Forwarded-For: {ONE}\r\n");
        let path = format!("/api/v1/rooms/{room}/messages");
        hub.post(&path, &headers, &json!({"body": "x"})).await
    };
    let refused = async {
        loop {
            let answer = post("busy").await;
            if answer.status != 201 {
                return answer;
            }
        }
    };
    let refused = within(refused).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1"))
    );
    assert_eq!(refused.json()["code"], "rate_limited");
    assert!(refused.json()["retry_ms"].as_u64().unwrap() <= 1_001);
    assert_eq!(post("quiet").await.status, 201);
}

#[tokio::test]
async fn behind_a_proxy_that_says_https_only_pages_that_came_over_tls_are_ours() {
    let hub = Running::start(proxied(Rates::default())).await;
    for (scheme, proto, is_ours) in [
        ("https", "", true),
        ("http", "", true),
        ("https", "X-Forwarded-Proto: https\r\n", true),
        ("http", "X-Forwarded-Proto: http, https\r\n", false),
        ("http", "X-Forwarded-Proto: https, http\r\n", true),
    ] {
        let origin = &format!("{scheme}://{}", hub.addr);
        let headers = format!("Host: {}\r\nOrigin: {origin}\r\n{proto}", hub.addr);
        let status = hub.get("/api/v1/openapi.json", &headers).await.status;
        assert_eq!(status, if is_ours { 200 } else { 403 }, "{origin} {proto}");
        let client = hub.client("/echo").origin(origin).unwrap();
        let client = match proto.trim().split_once(": ") {
            Some((name, value)) => client.header(name, value).unwrap(),
            None => client,
        };
        let status = within(client.connect())
            .await
            .err()
            .and_then(|error| error.status());
        assert_eq!(status, (!is_ours).then_some(403), "{origin} {proto}");
    }
}

#[tokio::test]
async fn a_page_that_may_asks_too_much_and_can_read_when_it_may_again() {
    let mut config = proxied(Rates {
        requests_per_address: Rate::new(1, 1),
        ..Rates::default()
    });
    config.origins = AllowedOrigins::List(vec!["https://app.example".into()]);
    let hub = Running::start(config).await;
    for (origin, named) in [
        ("https://app.example", Some("https://app.example")),
        ("http://evil.example", None),
    ] {
        let headers = format!("Origin: {origin}\r\n");
        let refused = within(async {
            loop {
                let answer = hub.get(MESSAGES, &headers).await;
                if answer.status == 429 {
                    break answer;
                }
            }
        })
        .await;
        assert!(refused.header("retry-after").is_some());
        assert_eq!(refused.header("access-control-allow-origin"), named);
        let exposed = refused.header("access-control-expose-headers");
        assert_eq!(exposed, named.map(|_| "retry-after"));
    }
}

#[tokio::test]
async fn on_loopback_nobody_is_measured_until_a_proxy_is_named() {
    let none = Rate::new(1, 1);
    let hub = Running::start(Config {
        rates: Rates {
            requests_per_address: none,
            commands_per_connection: none,
            messages_per_user: none,
            messages_per_address: none,
            messages_per_room: none,
        },
        limits: Limits {
            connections_per_address: 1,
            ..Limits::default()
        },
        ..Config::default()
    })
    .await;
    let mut ana = hub.member("ana", "general").await;
    let _bo = hub.member("bo", "general").await;
    for n in 0..50 {
        ana.say("general", &n.to_string(), "x").await;
    }
}

#[tokio::test]
async fn s11_who_is_not_let_in_holds_so_many_connections_and_who_is_does_not_count() {
    let mut config = proxied(Rates::default());
    config.limits.unauthenticated = Some(3);
    config.limits.unauthenticated_per_address = Some(1);
    let (config, _folder) = guarded(config);
    let (hub, token) = (Running::start(config).await, of("ana"));
    let v1 = |address: &str| from(address, hub.client("/ws"));
    let mut ana = V1::open(v1(ONE)).await;
    let refused = async |address: &str| {
        let client = v1(address).subprotocol("fdx.v1.json").unwrap();
        within(client.connect())
            .await
            .err()
            .and_then(|error| error.status())
    };
    assert_eq!(refused(ONE).await, Some(429));
    let hello = json!({"op": "hello", "id": "h", "name": "Ana", "token": token});
    ana.ok(hello.clone()).await;
    // She is in: the next one may try.
    let mut again = V1::open(v1(ONE)).await;
    let _other = V1::open(v1(OTHER)).await;
    let bearer = bearer(&token);
    let ask = async || hub.get("/api/v1/rooms", &bearer).await.status;
    assert_eq!(ask().await, 200, "one is left to show a token with");
    let _third = V1::open(v1("203.0.113.3")).await;
    let full = support::Answer::read(&hub.raw("").await);
    assert_eq!((full.status, full.header("retry-after")), (503, Some("5")));
    again.ok(hello).await;
    let plain = v1(ONE).header("Authorization", &format!("Bearer {token}"));
    let (_plain, _) = within(plain.unwrap().connect()).await.unwrap();
    assert_eq!(ask().await, 200);
    // Who has said nothing, or shown nothing, is cut off like anybody, and leaves its place.
    let pages = [TcpStream::connect(hub.addr).await.unwrap()];
    let full = async {
        while hub
            .raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 200")
        {
            tokio::task::yield_now().await;
        }
    };
    within(full).await;
    drop(pages);
    let free = async {
        while ask().await != 200 {
            tokio::task::yield_now().await;
        }
    };
    within(free).await;
}

/// The opening handshake of a client of `fdx.v1.json`, in bytes.
fn handshake(address: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}Sec-WebSocket-Protocol: fdx.v1.json\r\n\
         X-Forwarded-For: {address}\r\n\r\n"
    )
}

/// Reads until there is this.
async fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    while !read.windows(end.len()).any(|part| part == end) {
        let taken = within(stream.read_buf(&mut read)).await.unwrap();
        assert!(taken > 0, "{}", String::from_utf8_lossy(&read));
    }
    read
}

#[tokio::test]
async fn s11_who_finds_no_place_at_the_handshake_is_told_when_to_come_again_and_is_counted() {
    let mut config = proxied(Rates::default());
    config.limits.unauthenticated = Some(2);
    config.limits.unauthenticated_per_address = Some(1);
    config.admin = with_admin().admin;
    let (config, _folder) = guarded(config);
    let hub = Running::start(config).await;
    let mut first = V1::open(from(ONE, hub.client("/ws"))).await;
    let refused = support::Answer::read(&hub.raw(&handshake(ONE)).await);
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("5"))
    );
    // A connection that was let in for one request is a stranger's again when it becomes a client of the protocol.
    let mut kept = TcpStream::connect(hub.addr).await.unwrap();
    let ana = bearer(&of("ana"));
    let request = format!("GET /api/v1/rooms HTTP/1.1\r\nHost: localhost\r\n{ana}\r\n");
    kept.write_all(request.as_bytes()).await.unwrap();
    read_until(&mut kept, b"\"rooms\"").await;
    let _second = V1::open(from(OTHER, hub.client("/ws"))).await;
    kept.write_all(handshake("203.0.113.3").as_bytes())
        .await
        .unwrap();
    let answer = read_until(&mut kept, b"for now.").await;
    let answer = String::from_utf8(answer).unwrap();
    let (_, refused) = answer.split_once("HTTP/1.1 ").unwrap();
    assert!(refused.starts_with("503 "), "{answer}");
    assert!(refused.contains("\r\nretry-after: 5\r\n"), "{answer}");
    let hello = json!({"op": "hello", "name": "Ana", "token": of("ana")});
    first.ok(hello).await;
    let metrics = hub.ask("GET", "/metrics").await.body;
    assert!(
        metrics.contains("\nfdx_connections_refused_total 2\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn s11_who_is_turned_away_holds_the_place_until_the_connection_is_closed() {
    let mut config = proxied(Rates::default());
    config.limits.unauthenticated_per_address = Some(1);
    config.timeouts.close = Duration::from_hours(1);
    let (config, _folder) = guarded(config);
    let hub = Running::start(config).await;
    let mut stranger = TcpStream::connect(hub.addr).await.unwrap();
    stranger.write_all(handshake(ONE).as_bytes()).await.unwrap();
    read_until(&mut stranger, b"\r\n\r\n").await;
    let hello = json!({"op": "hello", "name": "nobody"}).to_string();
    let mut frame = vec![0x81, 0x80 | u8::try_from(hello.len()).unwrap()];
    // A mask that changes nothing.
    frame.extend([0; 4]);
    frame.extend(hello.bytes());
    stranger.write_all(&frame).await.unwrap();
    // The Close, which is not answered.
    read_until(&mut stranger, b"\x88").await;
    let again = async || {
        let client = from(ONE, hub.client("/ws")).subprotocol("fdx.v1.json");
        within(client.unwrap().connect()).await
    };
    assert_eq!(again().await.unwrap_err().status(), Some(429));
    drop(stranger);
    while again().await.is_err() {}
}

#[tokio::test]
async fn s11_who_has_shown_a_token_by_http_is_in_for_as_long_as_the_connection_is_kept() {
    let mut config = proxied(Rates::default());
    config.limits.unauthenticated = Some(1);
    let (config, _folder) = guarded(config);
    let hub = Running::start(config).await;
    let bearer = bearer(&of("ana"));
    let keep = async |path: &str, headers: &str| {
        let mut stream = TcpStream::connect(hub.addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 15];
        within(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, *b"HTTP/1.1 200 OK", "{path}");
        stream
    };
    let _rooms = keep("/api/v1/rooms", &bearer).await;
    let _logs = keep("/api/v1/logs", &bearer).await;
    let _page = keep("/", "").await;
    assert!(hub.raw("").await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn s11_whoever_waits_behind_a_proxy_is_not_charged_to_it() {
    let mut config = proxied(Rates::default());
    config.limits.unauthenticated_per_address = Some(1);
    let hub = Running::start(config).await;
    let idle = [(); 2].map(|()| TcpStream::connect(hub.addr));
    let [one, other] = idle;
    let _idle = (one.await.unwrap(), other.await.unwrap());
    assert_eq!(hub.get("/", "").await.status, 200);
}

#[tokio::test]
async fn s11_of_however_few_connections_strangers_hold_half() {
    let mut config = proxied(Rates::default());
    config.limits.connections = 8;
    let hub = Running::start(config).await;
    let _first = V1::open(from(ONE, hub.client("/ws"))).await;
    let _second = V1::open(from(ONE, hub.client("/ws"))).await;
    let third = support::Answer::read(&hub.raw(&handshake(ONE)).await);
    assert_eq!(third.status, 429, "an address has half of theirs");
    let _third = V1::open(from(OTHER, hub.client("/ws"))).await;
    let _fourth = V1::open(from(OTHER, hub.client("/ws"))).await;
    let fifth = support::Answer::read(&hub.raw("").await);
    assert_eq!(fifth.status, 503, "half of all");
}

#[tokio::test]
async fn s11_of_however_few_connections_streams_hold_half() {
    let mut config = proxied(Rates::default());
    config.limits.connections = 6;
    let hub = Running::start(config).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = hub.sse("/sse/general", "").await;
        stream.event("ok").await;
        streams.push(stream);
    }
    assert_eq!(hub.get("/sse/general", "").await.status, 503);
    assert_eq!(hub.get("/api/v1/rooms", "").await.status, 200);
}

#[tokio::test]
async fn reading_makes_no_more_rooms_than_an_address_may_have() {
    let mut config = proxied(Rates::default());
    config.limits.rooms_per_address = 2;
    let hub = Running::start(config).await;
    let rooms = async || hub.get("/api/v1/stats", "").await.json()["rooms"].clone();
    let before = rooms().await;
    for room in 0..10 {
        for path in ["messages", "members", "messages?after=0"] {
            let path = format!("/api/v1/rooms/r{room}/{path}");
            assert_eq!(hub.get(&path, "").await.status, 200, "{path}");
        }
    }
    assert_eq!(rooms().await, before, "pages come from the log");
    let follow = async |room: usize, path: &str| {
        let headers = format!("X-Forwarded-For: {ONE}\r\n");
        let path = path.replace("ROOM", &format!("r{room}"));
        hub.get(&path, &headers).await
    };
    let poll = "/api/v1/rooms/ROOM/messages?wait=0";
    for room in 0..2 {
        assert_eq!(follow(room, poll).await.status, 200);
    }
    for (room, path) in [(2, poll), (3, "/sse/ROOM")] {
        let refused = follow(room, path).await;
        assert_eq!(refused.status, 429, "{refused:?}");
        assert_eq!(refused.json()["code"], "rate_limited");
    }
    assert_eq!(follow(0, poll).await.status, 200);
}

#[tokio::test]
async fn who_is_on_the_servers_own_machine_makes_rooms_for_others() {
    let mut config = with_admin();
    config.limits.rooms_per_address = 1;
    makes_many_rooms(&Running::start(config).await, "", None).await;
}

#[tokio::test]
async fn who_looks_after_the_server_makes_rooms_for_others_from_anywhere() {
    let mut config = Config {
        admin: with_admin().admin,
        ..behind_a_proxy()
    };
    config.limits.rooms_per_address = 1;
    let hub = Running::start(config).await;
    let headers = format!("X-Forwarded-For: {ONE}\r\n{}", bearer(ADMIN));
    makes_many_rooms(&hub, &headers, Some(ADMIN)).await;
    let mut other = V1::open(from(ONE, hub.client("/ws"))).await;
    other.hello("Ana").await;
    let mut join = async |room: &str| other.call(json!({"op": "join", "room": room})).await;
    assert!(join("joined 0").await["ok"].is_object());
    assert!(join("of its own").await["ok"].is_object());
    let refused = join("another").await;
    assert_eq!(refused["err"]["code"], "rate_limited", "{refused}");
}

/// Who sends these headers, or this token, makes more rooms than an address may; those that nobody is in take no place.
async fn makes_many_rooms(hub: &Running, headers: &str, token: Option<&str>) {
    let rooms = async || hub.ask("GET", "/api/v1/stats").await.json()["rooms"].clone();
    let before = rooms().await;
    for room in 0..5 {
        let path = format!("/api/v1/rooms/posted%20{room}/messages");
        let posted = hub.post(&path, headers, &json!({"body": "a"})).await;
        assert_eq!(posted.status, 201, "{posted:?}");
    }
    assert_eq!(rooms().await, before);
    let client = |resource| {
        let client = from(ONE, hub.client(resource));
        match token {
            Some(token) => shown(client, token),
            None => client,
        }
    };
    let plain = client("/ws?room=plain");
    let mut client = V1::open(client("/ws")).await;
    client.hello("back end").await;
    for room in 0..5 {
        let join = json!({"op": "join", "room": format!("joined {room}")});
        client.ok(join).await;
        let followed = format!("/api/v1/rooms/followed%20{room}/messages?wait=0");
        assert_eq!(hub.get(&followed, headers).await.status, 200);
    }
    within(plain.connect()).await.unwrap();
}
