//! permessage-deflate: who offers it gets what is long compressed, others get the same as it is.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use fullduplex::{Client, Deflate, Message, WebSocket};
use fullduplex_hub::{Config, Limits, LogInput, LogSource};
use fullduplex_testkit::wire;
use serde_json::{Value, json};
use support::{Running, V1, closed, deaf, first_byte_and_payload, text, within};
use tokio::{io::AsyncWriteExt, net::TcpStream};

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
const V1_OFFER: &str =
    "Sec-WebSocket-Protocol: fdx.v1.json\r\nSec-WebSocket-Extensions: permessage-deflate\r\n";

fn compressing() -> Config {
    Config {
        deflate: true,
        ..Config::default()
    }
}

fn offering(change: impl FnOnce(&mut Deflate)) -> Deflate {
    let mut deflate = Deflate::for_client();
    change(&mut deflate);
    deflate
}

/// Clients that offer nothing, what browsers do, as little as can be, and to forget everything.
fn offers() -> [Option<Deflate>; 4] {
    [
        None,
        Some(Deflate::for_client()),
        Some(offering(|deflate| deflate.server_max_window_bits = 9)),
        Some(Deflate::for_server()),
    ]
}

fn client(hub: &Running, resource: &str, offer: Option<Deflate>) -> Client {
    let client = hub.client(resource);
    match offer {
        Some(deflate) => client.require_deflate(deflate),
        None => client,
    }
}

async fn plain(hub: &Running, resource: &str, offer: Option<Deflate>) -> WebSocket {
    let (ws, _) = within(client(hub, resource, offer).connect())
        .await
        .unwrap();
    ws
}

async fn v1(hub: &Running, offer: Option<Deflate>, join: Value) -> V1 {
    let mut v1 = V1::open(client(hub, "/ws", offer)).await;
    v1.hello("Ana").await;
    v1.ok(join).await;
    v1
}

fn join(backlog: usize) -> Value {
    json!({"op": "join", "room": "general", "backlog": backlog})
}

/// Short, long, and of a kind that gets no shorter.
fn bodies() -> Vec<String> {
    let noise = (0..3000_u32).map(|n| char::from_u32(0x4e00 + n * n % 20_000).unwrap_or('?'));
    vec![
        "short".to_owned(),
        "It was said. Before: ".repeat(40) + "end",
        "übergröße, 你好 <&>\"".repeat(200),
        noise.collect(),
        "short again".to_owned(),
    ]
}

/// A client that sees frames as they are.
struct Raw(TcpStream);

impl Raw {
    async fn open(hub: &Running, resource: &str, headers: &str) -> Self {
        Self(deaf(hub, resource, headers).await)
    }

    async fn send(&mut self, command: Value) {
        let frame = wire::text(command.to_string()).masked();
        self.0.write_all(&frame.bytes()).await.unwrap();
    }

    /// Whether the next message is compressed, and what it takes.
    async fn next(&mut self) -> (bool, Vec<u8>) {
        let (first, payload) = first_byte_and_payload(&mut self.0).await.expect("a frame");
        assert_eq!(first & 0xbf, 0x81, "one frame of text");
        (first & 0x40 != 0, payload)
    }

    /// The next message of a kind, which is not compressed.
    async fn until(&mut self, what: &str) -> Value {
        loop {
            let (is_compressed, payload) = self.next().await;
            if is_compressed {
                continue;
            }
            let message: Value = serde_json::from_slice(&payload).unwrap();
            if !message[what].is_null() {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn all_in_a_room_are_told_the_same_whatever_they_offered() {
    let hub = Running::start(Config {
        // Who comes late reads some of it from the log.
        limits: Limits {
            ring_bytes: 16 << 10,
            ..Limits::default()
        },
        ..compressing()
    })
    .await;
    let (mut members, mut json, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for offer in offers() {
        members.push(v1(&hub, offer, join(0)).await);
        json.push(plain(&hub, "/ws?room=general", offer).await);
        lines.push(plain(&hub, "/ws?room=general&mode=text", offer).await);
    }
    let bodies = bodies();
    for (number, body) in bodies.iter().enumerate() {
        members[number % 4]
            .say("general", &number.to_string(), body)
            .await;
    }
    for offer in offers() {
        members.push(v1(&hub, offer, join(5)).await);
    }
    for member in &mut members {
        for body in &bodies {
            assert_eq!(member.msg().await["body"], *body);
        }
    }
    for ws in &mut json {
        for body in &bodies {
            let message: Value = serde_json::from_str(&text(ws).await).unwrap();
            assert_eq!(message["message"], *body);
        }
    }
    for ws in &mut lines {
        let mut said = String::new();
        while said.lines().count() < bodies.len() {
            said += &text(ws).await;
            said += "\n";
        }
        let expected = bodies.iter().map(|body| format!("Ana: {body}\n"));
        assert_eq!(said, expected.collect::<String>());
    }
    let page = hub.poll("general", "after=0").await;
    let polled = page["events"].as_array().unwrap().iter();
    assert!(polled.map(|event| &event["body"]).eq(&bodies));
}

#[tokio::test]
async fn what_is_long_leaves_compressed_and_what_is_short_does_not() {
    let hub = Running::start(compressing()).await;
    let mut ana = hub.member("Ana", "general").await;
    let mut raw = Vec::new();
    for (resource, headers) in [
        ("/ws", V1_OFFER),
        ("/ws?room=general", OFFER),
        ("/ws?room=general&mode=text", OFFER),
    ] {
        let mut client = Raw::open(&hub, resource, headers).await;
        if resource == "/ws" {
            client.send(json!({"op": "hello", "id": 1})).await;
            let mut quiet = join(0);
            (quiet["id"], quiet["presence"]) = (json!(2), json!("none"));
            client.send(quiet).await;
            while client.until("re").await["re"] != 2 {}
        }
        raw.push(client);
    }
    for (cid, body, is_long) in [
        ("1", "some words that somebody said ".repeat(7), false),
        ("2", "some words that somebody said ".repeat(40), true),
    ] {
        ana.say("general", cid, &body).await;
        for client in &mut raw {
            let (is_compressed, payload) = client.next().await;
            assert_eq!(is_compressed, is_long);
            assert_eq!(payload.len() < body.len() / 2, is_long, "{}", payload.len());
        }
    }
    // A client that can't read it so gets it as it is.
    let small = format!("{}; server_max_window_bits=14\r\n", OFFER.trim_end());
    let mut small = Raw::open(&hub, "/ws?room=general&history=1", &small).await;
    let (is_compressed, payload) = small.next().await;
    assert!(!is_compressed && payload.len() > 1200);
    // A page is compressed for whoever asked.
    let [v1, ..] = &mut raw[..] else { panic!() };
    v1.send(json!({"op": "history", "id": 3, "room": "general"}))
        .await;
    let (is_compressed, page) = v1.next().await;
    assert!(is_compressed && page.len() < 700, "{}", page.len());
}

#[tokio::test]
async fn secrets_beside_what_others_chose_are_not_compressed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let line = "one line like the other ".repeat(100);
    std::fs::write(&path, format!("{line}\n")).unwrap();
    let hub = Running::start(Config {
        logs: vec![LogSource {
            name: "app".into(),
            input: LogInput::File(path),
        }],
        ..compressing()
    })
    .await;
    let mut raw = Raw::open(&hub, "/ws", V1_OFFER).await;
    let rooms = (0..20).map(|n| {
        (
            format!("a room of a long name {n}"),
            json!("other.0.000000"),
        )
    });
    let resume: serde_json::Map<_, _> = rooms.collect();
    raw.send(json!({"op": "hello", "id": 1, "resume": resume}))
        .await;
    let (is_compressed, welcome) = raw.next().await;
    assert!(!is_compressed && welcome.len() > 2000, "{}", welcome.len());
    assert!(String::from_utf8_lossy(&welcome).contains(r#""guest":""#));
    raw.send(json!({"op": "log.open", "id": 2, "log": "app"}))
        .await;
    assert_eq!(raw.until("re").await["re"], 2);
    let (is_compressed, event) = raw.next().await;
    assert!(!is_compressed && event.len() > line.len());
}

#[tokio::test]
async fn an_echo_is_compressed_however_short() {
    let hub = Running::start(compressing()).await;
    let mut raw = Raw::open(&hub, "/echo", OFFER).await;
    // Far below the usual threshold; libdeflate leaves what is shorter than about 50 bytes as it is.
    raw.send(json!("a".repeat(100))).await;
    let (is_compressed, payload) = raw.next().await;
    assert!(is_compressed && payload.len() < 20, "{payload:?}");
    for offer in offers() {
        let mut ws = plain(&hub, "/echo", offer).await;
        for message in [
            Message::text("ß".repeat(10_000)),
            Message::binary(vec![7; 1 << 20]),
            Message::text(""),
        ] {
            ws.send(message.clone()).await.unwrap();
            assert_eq!(within(ws.recv()).await.unwrap(), Some(message));
        }
    }
}

#[tokio::test]
async fn s13_what_inflates_to_more_than_a_message_may_have_ends_in_1009() {
    let hub = Running::start(compressing()).await;
    let offer = Some(Deflate::for_client());
    let limits = Limits::default();
    for (resource, most) in [("/ws", limits.frame), ("/echo", limits.echo_message)] {
        let mut fits = plain(&hub, resource, offer).await;
        let message = json!({"username": "Ana", "message": "x"}).to_string();
        let padding = " ".repeat(most - message.len());
        fits.send(message + &padding).await.unwrap();
        assert!(!text(&mut fits).await.is_empty());
        let mut bomb = plain(&hub, resource, offer).await;
        bomb.send("0".repeat(most + 1)).await.unwrap();
        assert_eq!(closed(&mut bomb).await.0.get(), 1009, "{resource}");
    }
    // And what is no compressed data in 1007.
    for resource in ["/ws", "/echo"] {
        let mut raw = Raw::open(&hub, resource, OFFER).await;
        let reserved = wire::text([0x07, 0xff]).rsv(4).masked();
        raw.0.write_all(&reserved.bytes()).await.unwrap();
        let (first, payload) = first_byte_and_payload(&mut raw.0).await.unwrap();
        assert_eq!((first, &payload[..2]), (0x88, &1007_u16.to_be_bytes()[..]));
    }
}

#[tokio::test]
async fn what_a_room_keeps_is_counted_with_what_may_be_compressed_of_it() {
    let mut kept = Vec::new();
    for config in [Config::default(), compressing()] {
        let hub = Running::start(config).await;
        hub.member("Ana", "general")
            .await
            .say("general", "1", &"x".repeat(2000))
            .await;
        let metrics = hub.get("/metrics", "").await.body;
        let line = metrics
            .lines()
            .find_map(|line| line.strip_prefix("fdx_ring_bytes "));
        kept.push(line.expect("the metric").parse::<usize>().unwrap());
    }
    assert_eq!(kept[1], 2 * kept[0]);
}
