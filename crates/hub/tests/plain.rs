//! The tutorials' dialects, from the outside, and how all dialects see each other.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use fullduplex::CloseCode;
use fullduplex_hub::{Config, Limits, PlainMode};
use serde_json::{Value, json};
use support::{Running, closed, deaf, frame, text, unhurried, within};
use tokio::{io::AsyncWriteExt, net::TcpStream};

fn code(code: u16) -> CloseCode {
    CloseCode::new(code)
}

async fn say(ws: &mut fullduplex::WebSocket, text: &str) {
    within(ws.send(text)).await.unwrap();
}

#[tokio::test]
async fn json_goes_to_everybody_with_its_three_strings_unchanged() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.connect("/ws").await;
    let mut bo = hub.connect("/ws").await;
    say(
        &mut ana,
        r#"{"email":"a@x.org","username":"Ana","message":" <i>hi</i>\n ","x":[1]}"#,
    )
    .await;
    let expected = r#"{"email":"a@x.org","username":"Ana","message":" <i>hi</i>\n "}"#;
    assert_eq!(text(&mut ana).await, expected);
    assert_eq!(text(&mut bo).await, expected);
    say(&mut bo, "{}").await;
    assert_eq!(
        text(&mut ana).await,
        r#"{"email":"","username":"","message":""}"#
    );
}

#[tokio::test]
async fn what_is_not_an_object_of_strings_ends_that_client_alone() {
    let hub = Running::start(Config::default()).await;
    let mut other = hub.connect("/ws").await;
    for bad in ["hi", "[]", "null", r#"{"message":1}"#, "{"] {
        let mut client = hub.connect("/ws").await;
        say(&mut client, bad).await;
        assert_eq!(closed(&mut client).await.0, code(1007), "{bad}");
    }
    say(&mut other, r#"{"message":"still here"}"#).await;
    assert!(text(&mut other).await.contains("still here"));
}

#[tokio::test]
async fn a_name_or_an_address_longer_than_any_ends_that_client() {
    let hub = Running::start(Config::default()).await;
    let mut good = hub.connect("/ws").await;
    let fits =
        json!({"email": "e".repeat(254), "username": "\u{1f44b}".repeat(64), "message": "x"});
    say(&mut good, &fits.to_string()).await;
    assert!(text(&mut good).await.contains(r#""message":"x""#));
    for bad in [
        json!({"email": "e".repeat(255)}),
        json!({"username": "u".repeat(65)}),
    ] {
        let mut client = hub.connect("/ws").await;
        say(&mut client, &bad.to_string()).await;
        assert_eq!(closed(&mut client).await.0, code(1009), "{bad}");
    }
}

#[tokio::test]
async fn the_subprotocol_chat_is_plain_json_and_others_are_refused() {
    let hub = Running::start(Config {
        plain: PlainMode::Text,
        ..Config::default()
    })
    .await;
    let chat = hub
        .client("/ws")
        .subprotocol("superchat")
        .unwrap()
        .subprotocol("chat")
        .unwrap();
    let (mut ws, _) = within(chat.connect()).await.unwrap();
    assert_eq!(ws.subprotocol(), Some("chat"));
    say(&mut ws, r#"{"message":"hi"}"#).await;
    assert_eq!(
        text(&mut ws).await,
        r#"{"email":"","username":"","message":"hi"}"#
    );

    let both = hub
        .client("/ws")
        .subprotocol("chat")
        .unwrap()
        .subprotocol("fdx.v1.json")
        .unwrap();
    assert_eq!(
        within(both.connect()).await.unwrap().0.subprotocol(),
        Some("fdx.v1.json")
    );

    let upgrade = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: soap\r\n";
    let request = format!("GET /ws HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n");
    let answer = hub.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(
        answer.contains("fdx.v1.json") && answer.contains("chat"),
        "{answer}"
    );
}

#[tokio::test]
async fn without_a_query_the_hub_speaks_what_it_was_told_to() {
    let hub = Running::start(Config {
        plain: PlainMode::Text,
        ..Config::default()
    })
    .await;
    let mut ws = hub.connect("/ws").await;
    say(&mut ws, "hello").await;
    assert_eq!(text(&mut ws).await, "hello");
    let mut ws = hub.connect("/ws?mode=json&room=else").await;
    say(&mut ws, "{}").await;
    assert_eq!(
        text(&mut ws).await,
        r#"{"email":"","username":"","message":""}"#
    );
}

#[tokio::test]
async fn all_dialects_see_each_other_in_one_room() {
    let hub = Running::start(Config::default()).await;
    let mut v1 = hub.member("Ana", "general").await;
    let mut json = hub.connect("/ws").await;
    let mut lines = hub.connect("/ws?mode=text").await;
    let mut elsewhere = hub.connect("/ws?mode=text&room=elsewhere").await;

    say(&mut lines, "  one\r\ntwo\nthree ").await;
    assert_eq!(text(&mut lines).await, "one two three");
    assert_eq!(
        text(&mut json).await,
        r#"{"email":"","username":"guest","message":"one two three"}"#
    );
    let msg = v1.msg().await;
    assert_eq!(
        (&msg["from"]["id"], &msg["from"]["name"]),
        (&json!("plain"), &json!("guest"))
    );
    assert_eq!(
        (&msg["body"], &msg["cid"]),
        (&json!("one two three"), &Value::Null)
    );

    let sent = r#"{"email":"bo@x.org","username":"Bo","message":"hi\nall"}"#;
    say(&mut json, sent).await;
    assert_eq!(text(&mut lines).await, "Bo: hi all");
    assert_eq!(text(&mut json).await, sent);
    let msg = v1.msg().await;
    assert_eq!(
        (&msg["from"]["name"], &msg["body"]),
        (&json!("Bo"), &json!("hi\nall"))
    );
    assert!(
        !msg.to_string().contains("bo@x.org"),
        "addresses stay in plain JSON"
    );

    v1.say("general", "c1", "hey").await;
    assert_eq!(text(&mut lines).await, "Ana: hey");
    assert_eq!(
        text(&mut json).await,
        r#"{"email":"","username":"Ana","message":"hey"}"#
    );

    // A blank line is nothing, and other rooms are other rooms.
    say(&mut elsewhere, " \n ").await;
    say(&mut elsewhere, "here").await;
    assert_eq!(text(&mut elsewhere).await, "here");
}

#[tokio::test]
async fn what_a_json_client_claims_to_be_may_differ_from_message_to_message() {
    let hub = Running::start(Config::default()).await;
    let mut json = hub.connect("/ws").await;
    let mut v1 = hub.member("Cy", "general").await;
    let mut avatars = Vec::new();
    for (email, username) in [
        ("a@x.org", "Ana"),
        ("a@x.org", "Bo"),
        ("b@x.org", "Bo"),
        ("b@x.org", "Bo"),
        ("", "Bo"),
        ("a@x.org", "Ana"),
    ] {
        let sent = json!({"email": email, "username": username, "message": "hi"}).to_string();
        say(&mut json, &sent).await;
        let came: Value = serde_json::from_str(&text(&mut json).await).unwrap();
        assert_eq!(
            (&came["email"], &came["username"]),
            (&json!(email), &json!(username))
        );
        let msg = v1.msg().await;
        assert_eq!(msg["from"]["name"], json!(username));
        avatars.push(msg["from"]["avatar"].clone());
    }
    let [ana, same, bo, bo_again, named, ana_again] = &avatars[..] else {
        panic!("six messages");
    };
    assert_eq!([ana, bo], [same, bo_again]);
    assert_eq!(ana, ana_again);
    assert!(ana != bo && bo != named && named != ana);
}

#[tokio::test]
async fn history_comes_first_where_it_is_asked_for() {
    let hub = Running::start(Config::default()).await;
    let mut first = hub.connect("/ws?mode=text").await;
    for n in 0..5 {
        say(&mut first, &n.to_string()).await;
    }
    let mut got = String::new();
    while !got.ends_with('4') {
        got += &text(&mut first).await;
    }
    let mut second = hub.connect("/ws?mode=text&history=2").await;
    assert_eq!(text(&mut second).await, "3\n4");
    let mut third = hub.connect("/ws?history=1").await;
    assert!(text(&mut third).await.contains("\"4\""));
    for bad in [
        "/ws?history=201",
        "/ws?history=x",
        "/ws?mode=xml",
        "/ws?room=a%2Fb",
        "/ws?room=",
    ] {
        assert!(within(hub.client(bad).connect()).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn history_is_there_also_when_other_rooms_need_the_memory() {
    let mut config = Config::default();
    // A room keeps its newest message.
    config.limits.total_ring_bytes = 16;
    let hub = Running::start(config).await;
    let mut ana = hub.member("Ana", "general").await;
    for n in 0..100 {
        ana.say("general", &n.to_string(), &n.to_string()).await;
    }
    let bodies: Vec<_> = (10..100).map(|n| n.to_string()).collect();
    let mut lines = hub.connect("/ws?mode=text&history=90").await;
    let mut got = Vec::new();
    while got.len() < bodies.len() {
        got.extend(text(&mut lines).await.lines().map(str::to_owned));
    }
    let expected: Vec<_> = bodies.iter().map(|body| format!("Ana: {body}")).collect();
    assert_eq!(got, expected);
    let mut objects = hub.connect("/ws?history=90").await;
    let mut bo = hub.v1().await;
    bo.hello("Bo").await;
    bo.ok(json!({"op": "join", "room": "general", "backlog": 90}))
        .await;
    ana.say("general", "new", "new").await;
    for body in bodies.iter().map(|body| &**body).chain(["new"]) {
        assert!(text(&mut objects).await.contains(&format!("\"{body}\"")));
        assert_eq!(bo.msg().await["body"], body);
    }
    assert_eq!(text(&mut lines).await, "Ana: new");
}

#[tokio::test]
async fn old_pages_that_insert_html_can_be_served_escaped() {
    let hub = Running::start(Config {
        escape_html: true,
        ..Config::default()
    })
    .await;
    let mut v1 = hub.member("Ana", "general").await;
    let mut ws = hub.connect("/ws").await;
    say(&mut ws, r#"{"username":"<b>","message":"<script>"}"#).await;
    assert_eq!(
        text(&mut ws).await,
        r#"{"email":"","username":"&lt;b&gt;","message":"&lt;script&gt;"}"#
    );
    assert_eq!(v1.msg().await["body"], "<script>");
}

#[tokio::test]
async fn echo_returns_text_as_text_and_binary_as_binary() {
    let hub = Running::start(Config::default()).await;
    let mut ws = hub.connect("/echo").await;
    say(&mut ws, "hi").await;
    assert_eq!(text(&mut ws).await, "hi");
    within(ws.send(vec![0_u8, 255])).await.unwrap();
    assert_eq!(
        within(ws.recv()).await.unwrap().unwrap().as_bytes(),
        [0, 255]
    );
    let big = "x".repeat(1 << 20);
    say(&mut ws, &big).await;
    assert_eq!(text(&mut ws).await, big);
    say(&mut ws, &(big + "x")).await;
    assert_eq!(closed(&mut ws).await.0, code(1009));
}

/// The texts a server sent until its Close, and the code of that.
async fn until_close(stream: &mut TcpStream) -> (Vec<String>, Option<u16>) {
    let mut texts = Vec::new();
    while let Some((opcode, payload)) = frame(stream).await {
        match opcode {
            1 => texts.push(String::from_utf8(payload).unwrap()),
            8 => return (texts, Some(u16::from_be_bytes([payload[0], payload[1]]))),
            _ => {}
        }
    }
    (texts, None)
}

/// Big enough that some 1,500 of them fill every buffer on the way to a client, the kernel's 4 MiB
/// included.
fn filler(n: usize) -> String {
    format!("{n:06}{}", "x".repeat(3_000))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_cut_and_a_hundred_others_never_wait_for_it() {
    const MESSAGES: usize = 2_000;
    let hub = Running::start(Config {
        timeouts: unhurried(),
        ..Config::default()
    })
    .await;
    let mut deaf = deaf(&hub, "/ws?mode=text", "").await;
    let mut members = tokio::task::JoinSet::new();
    let mut sender = hub.connect("/ws").await;
    for _ in 0..100 {
        let mut ws = hub.connect("/ws").await;
        members.spawn(async move {
            for n in 0..MESSAGES {
                let got = text(&mut ws).await;
                assert!(got.contains(&format!("\"{n:06}")), "{n}: {got:.80}");
            }
        });
    }
    for n in 0..MESSAGES {
        say(&mut sender, &json!({"message": filler(n)}).to_string()).await;
        assert!(text(&mut sender).await.contains(&format!("{n:06}")));
    }
    members.join_all().await;
    let (texts, code) = until_close(&mut deaf).await;
    assert_eq!(code, Some(1013));
    assert!(texts.len() < MESSAGES);
}

/// What a client of v1 makes of many messages that reads nothing until all are there: their positions, those it saw, and the gaps it
/// was told of.
async fn read_late(limits: Limits) -> (Vec<u64>, Vec<u64>, Vec<(u64, u64)>) {
    const MESSAGES: u64 = 2_500;
    let hub = Running::start(Config {
        limits,
        timeouts: unhurried(),
        ..Config::default()
    })
    .await;
    let mut slow = deaf(&hub, "/ws", "Sec-WebSocket-Protocol: fdx.v1.json\r\n").await;
    for command in [
        r#"{"op":"hello"}"#,
        r#"{"op":"join","id":1,"room":"general"}"#,
    ] {
        // Masked with zeros.
        let len = u8::try_from(command.len()).unwrap();
        slow.write_all(&[0x81, 0x80 | len, 0, 0, 0, 0])
            .await
            .unwrap();
        slow.write_all(command.as_bytes()).await.unwrap();
    }
    let (_, joined) = frame(&mut slow).await.unwrap();
    assert!(joined.starts_with(b"{\"re\":1,"));
    let mut ana = hub.member("Ana", "general").await;
    let mut seqs = Vec::new();
    for n in 0..MESSAGES {
        let body = filler(usize::try_from(n).unwrap());
        seqs.push(
            ana.say("general", &n.to_string(), &body).await["seq"]
                .as_u64()
                .unwrap(),
        );
    }
    // Reads until the newest message, then everything must be accounted for.
    let reading = async {
        let (mut seen, mut gaps) = (Vec::new(), Vec::new());
        while seen.last() != seqs.last() {
            let (opcode, payload) = frame(&mut slow).await.expect("the connection lives");
            if opcode != 1 {
                assert_ne!(opcode, 8, "closed");
                continue;
            }
            let event: Value = serde_json::from_slice(&payload).unwrap();
            match event["ev"].as_str() {
                Some("msg") => seen.push(event["seq"].as_u64().unwrap()),
                Some("gap") => {
                    gaps.push((
                        event["from"].as_u64().unwrap(),
                        event["to"].as_u64().unwrap(),
                    ));
                }
                _ => {}
            }
        }
        (seen, gaps)
    };
    let (seen, gaps) = reading.await;
    (seqs, seen, gaps)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_v1_client_that_was_too_slow_is_told_what_it_missed_and_goes_on() {
    let limits = Limits {
        ring_events: 300,
        ..Limits::default()
    };
    let (seqs, seen, gaps) = read_late(limits).await;
    assert!(!gaps.is_empty(), "it was not slow enough for this test");
    let missed = |seq: &u64| gaps.iter().any(|(from, to)| (from..=to).contains(&seq));
    let accounted: Vec<_> = seqs
        .iter()
        .filter(|seq| seen.contains(seq) || missed(seq))
        .collect();
    assert_eq!(accounted.len(), seqs.len());
    assert!(seen.is_sorted() && !seen.iter().any(missed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_v1_client_that_was_too_slow_for_the_ring_is_caught_up_from_the_log() {
    let limits = Limits {
        ring_events: 10_000,
        ring_bytes: 64 << 10,
        memory_bytes: 1 << 30,
        ..Limits::default()
    };
    let (seqs, seen, gaps) = read_late(limits).await;
    assert!(gaps.is_empty());
    assert_eq!(seen, seqs);
}
