//! Who is let in, what they may do there, and until when.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{net::SocketAddr, time::Duration};

use fullduplex::{CloseCode, ConnectError};
use fullduplex_hub::{
    AllowedOrigins, Config, Hub, LogInput, LogSource, StartError, TrustedProxies,
    auth::{Access, AdminToken, KeySource, Tokens},
};
use serde_json::{Value, json};
use support::{
    Running, closed,
    http::MESSAGES,
    log::Log,
    pass, text,
    tokens::{LIFE, SECRET, bearer, claims, guarded, sign, token},
    unhurried, within,
};
use tempfile::TempDir;
use tokio::net::TcpListener;

fn code(code: u16) -> CloseCode {
    CloseCode::new(code)
}

/// A hub that asks for tokens, and the folder with its secret.
struct Guarded {
    hub: Running,
    _folder: TempDir,
}

impl Guarded {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// Where nothing but the end of tokens has a time.
    async fn unhurried(change: impl FnOnce(&mut Config)) -> Self {
        Self::with(|config| {
            config.timeouts = unhurried();
            change(config);
        })
        .await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (mut config, folder) = guarded(Config::default());
        tokens(&mut config).rules.leeway = Duration::ZERO;
        change(&mut config);
        Self {
            hub: Running::start(config).await,
            _folder: folder,
        }
    }
}

fn tokens(config: &mut Config) -> &mut Tokens {
    match &mut config.access {
        Access::Tokens(tokens) => tokens,
        Access::Loopback | Access::Open => panic!("it asks for tokens"),
    }
}

/// How long before the end of its token a client is told, by default.
const SOON: Duration = Duration::from_secs(60);
/// Until then.
const BEFORE: Duration = LIFE.checked_sub(SOON).unwrap();

/// A token for everything in `general`.
fn of(sub: &str) -> String {
    token(sub, &[("general", "read,write")])
}

fn hello(token: &str) -> Value {
    json!({"op": "hello", "id": "hello", "name": "Somebody", "token": token})
}

#[tokio::test]
async fn a_guest_is_known_again_and_who_is_unknown_is_a_new_one() {
    let hub = Running::start(Config::default()).await;
    let mut client = hub.v1().await;
    let first = client.hello("Ana").await;
    let guest = first["guest"].as_str().unwrap();
    let again = client.hello("Anna").await;
    assert_eq!(
        (&again["guest"], &again["user"]["id"]),
        (&Value::Null, &first["user"]["id"])
    );
    let mut back = hub.v1().await;
    let known = back.ok(json!({"op": "hello", "guest": guest})).await;
    assert_eq!(
        (&known["guest"], &known["user"]["id"]),
        (&Value::Null, &first["user"]["id"])
    );
    for unknown in ["", "too short", &guest[..65]] {
        let mut client = hub.v1().await;
        let new = client.ok(json!({"op": "hello", "guest": unknown})).await;
        assert_ne!(new["user"]["id"], first["user"]["id"]);
        assert!(new["guest"].is_string() && new["guest"] != guest);
    }
    // Nobody is asked for a token here, and what somebody shows all the same says nothing.
    assert_eq!(
        client.err(json!({"op": "auth", "token": of("eve")})).await,
        "unsupported"
    );
    let mut eve = hub.v1().await;
    let shown = eve.ok(hello(&of("eve"))).await;
    assert!(shown["guest"].is_string() && shown["expires"].is_null());
}

#[tokio::test]
async fn who_has_no_good_token_is_not_let_in_and_is_told_why() {
    let Guarded { hub, _folder } = Guarded::start().await;
    let mut other = claims("ana", &[], 600);
    other.sub.clear();
    for (token, expected, why) in [
        (None, 4001, "a token is needed here"),
        (Some("hello".into()), 4001, "no token"),
        (Some(of("ana") + "A"), 4001, "signature"),
        (Some(sign(&other)), 4001, "the token's sub must have"),
        (
            Some(sign(&claims("ana", &[], 0))),
            4101,
            "the token has expired",
        ),
        (Some("x".repeat(10_000)), 4001, "longer than"),
    ] {
        let hello =
            json!({"op": "hello", "name": "Ana", "token": token, "guest": "0123456789abcdef"});
        let (code_, reason) = hub.v1().await.end_after(&hello).await;
        assert!(
            code_ == code(expected) && reason.contains(why),
            "{token:?}: {code_:?} {reason}"
        );
    }
    for first in [
        json!({"op": "auth", "token": of("ana")}),
        json!({"op": "join", "room": "general"}),
    ] {
        assert_eq!(
            hub.v1().await.end_after(&first).await.0,
            code(4000),
            "{first}"
        );
    }
}

#[tokio::test]
async fn a_token_says_who_one_is() {
    let Guarded { hub, _folder } = Guarded::start().await;
    let mut named = claims("ana", &[("general", "read,write")], 600);
    named.name = Some("Ana".into());
    named.email = Some("ana@example.com".into());
    let mut ana = hub.v1().await;
    let welcome = ana.ok(hello(&sign(&named))).await;
    assert_eq!(
        (&welcome["user"]["id"], &welcome["user"]["name"]),
        (&json!("ana"), &json!("Ana"))
    );
    assert_eq!(welcome["expires"], named.exp.unwrap() * 1_000);
    assert!(welcome["guest"].is_null());
    // Without a name in it one is chosen, and may be changed.
    let mut bo = hub.member_with(&of("bo"), "general").await;
    let renamed = bo.ok(json!({"op": "hello", "name": "Bo"})).await;
    assert_eq!(
        (&renamed["user"]["id"], &renamed["user"]["name"]),
        (&json!("bo"), &json!("Bo"))
    );
    let still = ana
        .ok(json!({"op": "hello", "name": "Bo", "email": "bo@example.com"}))
        .await;
    assert_eq!(still["user"], welcome["user"]);
    ana.ok(json!({"op": "join", "room": "general"})).await;
    bo.say("general", "c1", "hi").await;
    let msg = ana.msg().await;
    assert_eq!(
        (&msg["from"]["id"], &msg["from"]["name"]),
        (&json!("bo"), &json!("Bo"))
    );
    // Two with one token are one user.
    let mut again = hub.member_with(&of("bo"), "general").await;
    assert_eq!(again.say("general", "c1", "hi").await["dup"], true);
}

#[tokio::test]
async fn a_token_may_come_with_the_handshake_and_the_one_in_hello_weighs_more() {
    let header = |client: fullduplex::Client| {
        client
            .header("Authorization", &format!("Bearer {}", of("ana")))
            .unwrap()
    };
    let cookie = |client: fullduplex::Client| {
        client
            .header("Cookie", &format!("a=b; sid={}", of("ana")))
            .unwrap()
    };
    let user = async |hub: &Running, client: fullduplex::Client, token: Option<String>| {
        let (mut ws, _) = within(client.connect()).await.unwrap();
        let hello = json!({"op": "hello", "id": 1, "token": token});
        ws.send(hello.to_string()).await.unwrap();
        let _ = hub;
        match within(ws.recv()).await {
            Ok(Some(reply)) => {
                let reply: Value = serde_json::from_str(reply.as_text().unwrap()).unwrap();
                reply["ok"]["user"]["id"].as_str().unwrap().to_owned()
            }
            _ => closed(&mut ws).await.1,
        }
    };
    let v1 = |hub: &Running, path: &str| hub.client(path).subprotocol("fdx.v1.json").unwrap();
    let in_query = format!("/ws?token={}", of("ana"));
    let Guarded { hub, _folder } = Guarded::start().await;
    let none = "a token is needed here";
    assert_eq!(user(&hub, header(v1(&hub, "/ws")), None).await, "ana");
    assert_eq!(
        user(&hub, header(v1(&hub, "/ws")), Some(of("bo"))).await,
        "bo"
    );
    assert_eq!(user(&hub, cookie(v1(&hub, "/ws")), None).await, none);
    assert_eq!(user(&hub, v1(&hub, &in_query), None).await, none);
    let Guarded { hub, _folder } = Guarded::with(|config| {
        tokens(config).cookie = Some("sid".into());
        tokens(config).query = true;
    })
    .await;
    assert_eq!(user(&hub, cookie(v1(&hub, "/ws")), None).await, "ana");
    assert_eq!(user(&hub, v1(&hub, &in_query), None).await, "ana");
    // A page of another site has the cookie sent along, and gets nowhere.
    let foreign = cookie(v1(&hub, "/ws"))
        .origin("https://evil.example")
        .unwrap();
    let refused = within(foreign.connect()).await.unwrap_err();
    assert_eq!(refused.status(), Some(403));
}

#[tokio::test]
async fn what_a_token_does_not_allow_is_forbidden() {
    let Guarded { hub, _folder } = Guarded::start().await;
    let rooms = [
        ("general", "read"),
        ("team-*", "read,write"),
        ("box", "write"),
    ];
    let mut client = hub.v1().await;
    client.ok(hello(&sign(&claims("ana", &rooms, 600)))).await;
    for room in ["other", "team", "box"] {
        assert_eq!(
            client.err(json!({"op": "join", "room": room})).await,
            "forbidden",
            "{room}"
        );
    }
    for room in ["general", "team-a"] {
        client.ok(json!({"op": "join", "room": room})).await;
    }
    let send = |room: &str| json!({"op": "send", "room": room, "cid": "c", "body": "hi"});
    assert_eq!(client.err(send("general")).await, "forbidden");
    client.ok(send("team-a")).await;
}

#[tokio::test]
async fn a_new_token_changes_what_one_may_at_once() {
    let Guarded { hub, _folder } = Guarded::start().await;
    let mut bo = hub.member_with(&of("bo"), "general").await;
    let mut ana = hub.v1().await;
    let both = [("general", "read"), ("other", "read,write")];
    ana.ok(hello(&sign(&claims("ana", &both, 600)))).await;
    for room in ["general", "other"] {
        ana.ok(json!({"op": "join", "room": room, "backlog": 0}))
            .await;
    }
    // What is no better changes nothing.
    for (token, expected) in [
        (of("ana") + "A", "unauthorized"),
        (sign(&claims("ana", &[], 0)), "token_expired"),
        (of("bo"), "forbidden"),
    ] {
        assert_eq!(
            ana.err(json!({"op": "auth", "token": token})).await,
            expected
        );
        assert_eq!(ana.err(hello(&token)).await, expected);
    }
    ana.say("other", "c1", "still here").await;
    assert_eq!(ana.msg().await["body"], "still here");
    // Another room is gained, one is lost.
    let other = claims("ana", &[("other", "read"), ("third", "read")], 700);
    let renewed = ana.ok(json!({"op": "auth", "token": sign(&other)})).await;
    assert_eq!(renewed, json!({"expires": other.exp.unwrap() * 1_000}));
    let kick = ana.event("kick").await;
    assert_eq!(
        kick,
        json!({"ev": "kick", "room": "general", "reason": "forbidden"})
    );
    ana.ok(json!({"op": "join", "room": "third"})).await;
    for (op, room, expected) in [
        ("send", "other", "forbidden"),
        ("send", "general", "not_joined"),
        ("join", "general", "forbidden"),
    ] {
        let command = json!({"op": op, "room": room, "cid": "c2", "body": "hi"});
        assert_eq!(ana.err(command).await, expected, "{op} {room}");
    }
    // She hears of the one and no more of the other.
    bo.say("general", "c1", "is she gone?").await;
    let mut cy = hub.v1().await;
    let others = claims("cy", &[("other", "read,write")], 600);
    cy.ok(hello(&sign(&others))).await;
    cy.ok(json!({"op": "join", "room": "other"})).await;
    cy.say("other", "c1", "here she is").await;
    assert_eq!(ana.msg().await["body"], "here she is");
}

#[tokio::test]
async fn s48_who_is_told_that_the_token_expires_renews_it_or_is_closed() {
    let Guarded { hub, _folder } = Guarded::unhurried(|_| ()).await;
    let mut ana = hub.member_with(&of("ana"), "general").await;
    let mut late = hub.member_with(&of("ana"), "general").await;
    pass(BEFORE).await;
    for client in [&mut ana, &mut late] {
        let in_ms = client.event("expiring").await["in_ms"].as_u64().unwrap();
        assert!((1..=60_000).contains(&in_ms), "{in_ms}");
    }
    ana.ok(json!({"op": "auth", "token": of("ana")})).await;
    pass(SOON).await;
    assert_eq!(
        late.closed().await,
        (code(4101), "the token has expired".into())
    );
    ana.say("general", "c1", "still here").await;
    let expired = sign(&claims("ana", &[("general", "read,write")], 0));
    let end = hub.v1().await.end_after(&hello(&expired)).await;
    assert_eq!(end.0, code(4101));
}

#[tokio::test]
async fn a_client_is_told_once_and_in_time() {
    let Guarded { hub, _folder } = Guarded::unhurried(|config| {
        config.timeouts.expiring = SOON / 2;
    })
    .await;
    let mut ana = hub.member_with(&of("ana"), "general").await;
    pass(BEFORE).await;
    ana.ok(json!({"op": "ping"})).await;
    let told = ana.take_events();
    assert!(told.iter().all(|event| event["ev"] != "expiring"));
    pass(SOON / 2).await;
    let in_ms = ana.event("expiring").await["in_ms"].as_u64().unwrap();
    assert!((1..=30_000).contains(&in_ms), "{in_ms}");
    pass(SOON / 2).await;
    let next = within(ana.ws.recv()).await;
    assert!(matches!(next, Ok(None)), "{next:?}");
    assert_eq!(ana.closed().await.0, code(4101));
}

#[tokio::test]
async fn plain_clients_show_a_token_with_the_handshake() {
    let Guarded { hub, _folder } = Guarded::unhurried(|_| ()).await;
    let with = |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        hub.client(path).header("Authorization", &bearer).unwrap()
    };
    let status = async |client: fullduplex::Client| {
        let error: ConnectError = within(client.connect()).await.unwrap_err();
        error.status()
    };
    assert_eq!(status(hub.client("/ws")).await, Some(401));
    assert_eq!(
        status(with("/ws?mode=text", &(of("ana") + "A"))).await,
        Some(401)
    );
    assert_eq!(status(with("/ws?room=other", &of("ana"))).await, Some(403));
    let mut bo = hub.member_with(&of("bo"), "general").await;
    let mut named = claims("ana", &[("general", "read,write")], 600);
    named.name = Some("Ana".into());
    let (mut json, _) = within(with("/ws", &sign(&named)).connect()).await.unwrap();
    let (mut lines, _) = within(with("/ws?mode=text", &of("cy")).connect())
        .await
        .unwrap();
    // Whoever it claims to be.
    json.send(r#"{"email":"bo@x","username":"Bo","message":"one"}"#)
        .await
        .unwrap();
    let msg = bo.msg().await;
    assert_eq!(
        (&msg["from"]["id"], &msg["from"]["name"]),
        (&json!("ana"), &json!("Ana"))
    );
    assert_eq!(
        text(&mut json).await,
        r#"{"email":"","username":"Ana","message":"one"}"#
    );
    assert_eq!(text(&mut lines).await, "Ana: one");
    lines.send("two").await.unwrap();
    let msg = bo.msg().await;
    assert_eq!(
        (&msg["from"]["id"], &msg["from"]["name"]),
        (&json!("cy"), &json!("cy"))
    );
    // Who may only read, reads; and ends with the token.
    let reader = sign(&claims("eve", &[("general", "read")], 600));
    let (mut reader, _) = within(with("/ws", &reader).connect()).await.unwrap();
    bo.say("general", "c1", "three").await;
    assert!(text(&mut reader).await.contains("three"));
    reader.send(r#"{"message":"four"}"#).await.unwrap();
    assert_eq!(closed(&mut reader).await.0, code(4003));
    let short = sign(&claims("eve", &[("general", "read")], 600));
    let (mut short, _) = within(with("/ws", &short).connect()).await.unwrap();
    pass(LIFE).await;
    let next = within(short.recv()).await;
    assert!(matches!(next, Ok(None)), "nothing but messages: {next:?}");
    assert_eq!(closed(&mut short).await.0, code(4101));
}

#[tokio::test]
async fn logs_are_for_tokens_with_the_right_for_them_and_echo_for_any() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("app.log");
    std::fs::write(&file, "one\n").unwrap();
    let log = LogSource {
        name: "app".into(),
        input: LogInput::File(file),
    };
    let Guarded { hub, _folder } = Guarded::unhurried(|config| config.logs = vec![log]).await;
    let mut may = claims("ana", &[], 600);
    may.rights = vec!["log".into()];
    let upgrade = |token: &str| bearer(token) + support::UPGRADE;
    for path in ["/logs/app", "/logs/other", "/echo"] {
        assert_eq!(hub.get(path, support::UPGRADE).await.status, 401, "{path}");
    }
    for path in ["/logs/app", "/logs/other"] {
        assert_eq!(
            hub.get(path, &upgrade(&of("bo"))).await.status,
            403,
            "{path}"
        );
    }
    assert_eq!(
        hub.get("/logs/other", &upgrade(&sign(&may))).await.status,
        404
    );
    // The page is for everybody, whatever there is.
    let [known, unknown] = [
        hub.get("/logs/app", "").await,
        hub.get("/logs/other", "").await,
    ];
    assert_eq!((known.status, &known.body), (200, &unknown.body));
    let list = "/api/v1/logs";
    let refused = hub.get(list, "").await;
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("Bearer"))
    );
    let refused = hub.get(list, &bearer("x")).await;
    assert_eq!(
        (refused.status, refused.header("www-authenticate")),
        (401, Some("Bearer error=\"invalid_token\""))
    );
    assert_eq!(hub.get(list, &bearer(&of("bo"))).await.status, 403);
    assert_eq!(
        hub.get(list, &bearer(&sign(&may))).await.body,
        r#"{"sources":[{"name":"app"}]}"#
    );
    let client = hub.client("/logs/app?mode=text");
    let client = client
        .header("Authorization", &format!("Bearer {}", sign(&may)))
        .unwrap();
    let (mut viewer, _) = within(client.connect()).await.unwrap();
    assert_eq!(text(&mut viewer).await, "one");
    pass(LIFE).await;
    assert_eq!(closed(&mut viewer).await.0, code(4101));
    let client = hub
        .client("/echo")
        .header("Authorization", &format!("Bearer {}", of("bo")));
    let (mut echo, _) = within(client.unwrap().connect()).await.unwrap();
    echo.send("hello").await.unwrap();
    assert_eq!(text(&mut echo).await, "hello");
    pass(LIFE).await;
    assert_eq!(closed(&mut echo).await.0, code(4101));
}

#[tokio::test]
async fn streams_of_logs_are_for_tokens_with_the_right_for_them_and_end_with_it() {
    let log = Log::new(1);
    let source = log.source();
    let Guarded { hub, _folder } = Guarded::unhurried(|config| config.logs = vec![source]).await;
    let [list, open] = [
        json!({"op": "log.list"}),
        json!({"op": "log.open", "log": "app"}),
    ];
    let mut bo = hub.member_with(&of("bo"), "general").await;
    assert_eq!(bo.ok(list.clone()).await, json!({"logs": []}));
    assert_eq!(bo.err(open.clone()).await, "forbidden");
    // Nor is it told which there are.
    let other = json!({"op": "log.open", "log": "other"});
    assert_eq!(bo.err(other).await, "forbidden");
    let mut may = claims("ana", &[("general", "read")], 600);
    may.rights = vec!["log".into()];
    let mut ana = hub.member_with(&sign(&may), "general").await;
    assert_eq!(ana.ok(list.clone()).await, json!({"logs": ["app"]}));
    ana.ok(open.clone()).await;
    assert_eq!(ana.event("log").await["lines"], json!(["line 0"]));
    ana.ok(json!({"op": "auth", "token": sign(&may)})).await;
    log.append("still\n");
    assert_eq!(ana.event("log").await["lines"], json!(["still"]));
    ana.ok(json!({"op": "auth", "token": of("ana")})).await;
    assert_eq!(
        ana.event("log.end").await,
        json!({"ev": "log.end", "stream": "l1", "reason": "forbidden"})
    );
    // Not the id of the one that is no more.
    ana.ok(json!({"op": "auth", "token": sign(&may)})).await;
    assert_eq!(ana.ok(open.clone()).await["stream"], "l2");
    ana.ok(json!({"op": "auth", "token": of("ana")})).await;
    ana.event("log.end").await;
    assert_eq!(ana.err(open.clone()).await, "forbidden");
    let mut short = hub.member_with(&sign(&may), "general").await;
    short.ok(open).await;
    pass(LIFE).await;
    assert_eq!(short.closed().await.0, code(4101));
}

#[tokio::test]
async fn by_http_a_token_says_the_same() {
    let admin = "f00ba400f00ba400f00ba400f00ba400";
    let Guarded { hub, _folder } = Guarded::unhurried(|config| {
        config.admin = Some(AdminToken::new(admin.as_bytes()).unwrap());
    })
    .await;
    let post = async |token: &str, room: &str, body: &str| {
        let request = format!(
            "POST /api/v1/rooms/{room}/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nIdempotency-Key: k\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = hub.raw(&request).await;
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let hi = r#"{"body":"hi","name":"Bo"}"#;
    let mut bo = hub.member_with(&of("bo"), "general").await;
    let mut named = claims("ana", &[("general", "write")], 600);
    named.name = Some("Ana".into());
    let ana = sign(&named);
    assert_eq!(post(&ana, "general", hi).await, "201");
    let msg = bo.msg().await;
    assert_eq!(
        (&msg["from"]["id"], &msg["from"]["name"]),
        (&json!("ana"), &json!("Ana"))
    );
    // Sent again, over whatever, it is the same message of the same user.
    assert_eq!(post(&ana, "general", hi).await, "200");
    assert_eq!(post(&ana, "other", hi).await, "403");
    assert_eq!(post("0123456789abcdef", "general", hi).await, "401");
    assert_eq!(post(admin, "other", hi).await, "201");
    let messages = "/api/v1/rooms/general/messages";
    assert_eq!(hub.get(messages, "").await.status, 401);
    assert_eq!(hub.get(messages, &bearer(&ana)).await.status, 403);
    assert_eq!(hub.get(messages, &bearer(&of("cy"))).await.status, 200);
    let expired = hub
        .get(messages, &bearer(&sign(&claims("cy", &[], 0))))
        .await;
    assert!(
        expired.status == 401 && expired.body.contains("token_expired"),
        "{expired:?}"
    );
    assert_eq!(expired.header("www-authenticate"), Some("Bearer"));
    // A stream ends with the token.
    let mut stream = hub.sse("/sse/general?backlog=1", &bearer(&of("cy"))).await;
    stream.event("ok").await;
    assert_eq!(stream.bodies(1).await, ["hi"]);
    pass(LIFE).await;
    assert_eq!(stream.next().await, None);
    assert_eq!(hub.get("/sse/general", &bearer(&ana)).await.status, 403);
}

#[tokio::test]
async fn a_poll_that_is_held_is_answered_when_its_token_expires() {
    let Guarded { hub, _folder } = Guarded::unhurried(|_| ()).await;
    let messages = "/api/v1/rooms/general/messages";
    // Less than it would be held for.
    let short = sign(&claims("cy", &[("general", "read")], 30));
    let bearer = bearer(&short);
    let first = format!("{messages}?wait=0");
    let first = hub.get(&first, &bearer).await.json();
    let cursor = first["cursor"].as_str().unwrap();
    let held = format!("{messages}?wait=60&after={cursor}");
    let expires = async {
        // By the time that this is answered, so is what came before it.
        hub.get("/healthz", "").await;
        pass(Duration::from_secs(30)).await;
    };
    let (held, ()) = tokio::join!(hub.get(&held, &bearer), expires);
    assert_eq!((held.status, &held.json()["events"]), (200, &json!([])));
}

#[tokio::test]
async fn of_rooms_that_one_may_not_read_one_is_told_nothing() {
    let Guarded { hub, _folder } = Guarded::start().await;
    let mut many = hub.v1().await;
    many.ok(hello(&sign(&claims("dee", &[("*", "read")], 600))))
        .await;
    for room in ["team-b", "team-a", "teams", "secret", "box"] {
        many.ok(json!({"op": "join", "room": room})).await;
    }
    let rooms = [
        ("team-*", "read"),
        ("team-a", "read"),
        ("box", "read"),
        ("secret", "write"),
        ("none", "read"),
    ];
    let some = sign(&claims("cy", &rooms, 600));
    let list = async |query: &str| {
        let page = hub
            .get(&format!("/api/v1/rooms?{query}"), &bearer(&some))
            .await
            .json();
        let rooms = page["rooms"].as_array().unwrap().iter();
        let rooms: Vec<_> = rooms
            .map(|room| room["room"].as_str().unwrap().to_owned())
            .collect();
        (rooms.join(" "), page["next"].clone())
    };
    // In order, however many patterns have them.
    assert_eq!(list("").await, ("box team-a team-b".into(), Value::Null));
    assert_eq!(
        list("limit=2").await,
        ("box team-a".into(), json!("team-a"))
    );
    assert_eq!(
        list("limit=2&after=team-a").await,
        ("team-b".into(), Value::Null)
    );
    assert_eq!(list("after=team-b").await, (String::new(), Value::Null));
}

#[tokio::test]
async fn what_the_server_does_is_for_who_looks_after_it() {
    let admin = "f00ba400f00ba400f00ba400f00ba400";
    let Guarded { hub, _folder } = Guarded::with(|config| {
        config.admin = Some(AdminToken::new(admin.as_bytes()).unwrap());
    })
    .await;
    let stats = "/api/v1/stats";
    assert_eq!(hub.get(stats, &bearer(&of("cy"))).await.status, 403);
    let mut operator = claims("op", &[], 600);
    operator.rights = vec!["api".into()];
    for may in [&*sign(&operator), admin] {
        assert_eq!(hub.get(stats, &bearer(may)).await.status, 200);
    }
}

#[tokio::test]
async fn s26_who_looks_after_the_server_erases_nothing_without_the_right_for_it() {
    let admin = "f00ba400f00ba400f00ba400f00ba400";
    let Guarded { hub, _folder } = Guarded::with(|config| {
        config.admin = Some(AdminToken::new(admin.as_bytes()).unwrap());
    })
    .await;
    let with = |right: &str| {
        let mut claims = claims("op", &[("*", "read,write,admin")], 600);
        claims.rights = vec![right.into()];
        sign(&claims)
    };
    for (token, status) in [
        (&*with("api"), 403),
        (&*with("log"), 403),
        (&*with("erase"), 200),
        (admin, 200),
    ] {
        let path = "/api/v1/users/ana/messages";
        let answer = hub.request("DELETE", path, &bearer(token)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    // Nor does the right to erase show who is there.
    let stats = hub.get("/api/v1/stats", &bearer(&with("erase"))).await;
    assert_eq!(stats.status, 403);
}

#[tokio::test]
async fn a_page_elsewhere_reads_what_its_cookie_gives_where_both_are_allowed() {
    let elsewhere = "Origin: https://app.example\r\n";
    let ask = async |cookie: Option<&str>, origin: &str| {
        let Guarded { hub, _folder } = Guarded::with(|config| {
            config.origins = AllowedOrigins::List(vec!["https://app.example".into()]);
            tokens(config).cookie = cookie.map(str::to_owned);
        })
        .await;
        let headers = format!("{origin}Cookie: sid={}\r\n", of("ana"));
        let answer = hub.get("/api/v1/rooms/general/messages", &headers).await;
        let may = answer.header("access-control-allow-credentials");
        (answer.status, may == Some("true"))
    };
    assert_eq!(ask(Some("sid"), elsewhere).await, (200, true));
    assert_eq!(ask(Some("sid"), "").await, (200, false));
    assert_eq!(ask(None, elsewhere).await, (401, false));
    let evil = "Origin: https://evil.example\r\n";
    assert_eq!(ask(Some("sid"), evil).await, (403, false));
}

#[tokio::test]
async fn by_http_a_guest_is_who_hello_says() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.v1().await;
    let welcome = ana.hello("Ana").await;
    ana.ok(json!({"op": "join", "room": "general"})).await;
    let guest = welcome["guest"].as_str().unwrap();
    let post = async |secret: &str| {
        let body = r#"{"body":"hi"}"#;
        let request = format!(
            "POST /api/v1/rooms/general/messages HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Authorization: Bearer {secret}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        hub.raw(&request).await
    };
    assert!(post(guest).await.starts_with("HTTP/1.1 201 "));
    assert_eq!(ana.msg().await["from"]["id"], welcome["user"]["id"]);
    for bad in ["short", &guest[..65]] {
        assert!(post(bad).await.starts_with("HTTP/1.1 401 "), "{bad}");
    }
}

async fn refused(config: Config, address: &str) -> String {
    let address: SocketAddr = address.parse().unwrap();
    let listener = TcpListener::bind(address).await.unwrap();
    match Hub::new(config, listener).await {
        Err(StartError::Config(why)) => why,
        Err(StartError::File { path, error }) => format!("{}: {error}", path.display()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn where_others_reach_it_it_does_not_start_without_tokens_or_being_told_that_all_may() {
    let why = refused(Config::default(), "0.0.0.0:0").await;
    assert!(why.contains("ask for tokens"), "{why}");
    // A proxy on this machine brings others, too.
    let proxied = Config {
        trusted_proxies: TrustedProxies::parse(["127.0.0.1"]).unwrap(),
        ..Config::default()
    };
    let why = refused(proxied.clone(), "127.0.0.1:0").await;
    assert!(why.contains("ask for tokens"), "{why}");
    for (config, address) in [(Config::default(), "0.0.0.0:0"), (proxied, "127.0.0.1:0")] {
        let open = Config {
            access: Access::Open,
            ..config
        };
        let listener = TcpListener::bind(address).await.unwrap();
        Hub::new(open, listener).await.unwrap();
    }
}

#[tokio::test]
async fn keys_that_are_of_no_use_are_told_at_the_start() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("key");
    let with = |keys: KeySource| Config {
        access: Access::Tokens(Tokens::new(keys)),
        ..Config::default()
    };
    let at = "127.0.0.1:0";
    let why = refused(with(KeySource::Secret(file.clone())), at).await;
    assert!(why.starts_with(&file.display().to_string()), "{why}");
    std::fs::write(&file, "short").unwrap();
    let why = refused(with(KeySource::Secret(file.clone())), at).await;
    assert!(why.contains("openssl rand"), "{why}");
    let why = refused(with(KeySource::File(file.clone())), at).await;
    assert!(why.contains("neither a public key"), "{why}");
    let url = KeySource::Url {
        url: "http://id.example/keys".into(),
        ca: None,
    };
    assert!(refused(with(url), at).await.contains("https"));
    std::fs::write(&file, SECRET).unwrap();
    let mut config = with(KeySource::Secret(file));
    tokens(&mut config).cookie = Some("sid".into());
    config.origins = AllowedOrigins::Any;
    assert!(refused(config, at).await.contains("cookie"));
}

#[tokio::test]
async fn s49_while_no_keys_can_be_had_nobody_is_let_in_not_even_as_a_guest() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", nobody.local_addr().unwrap());
    drop(nobody);
    let keys = KeySource::Url { url, ca: None };
    let Guarded { hub, _folder } = Guarded::with(|config| tokens(config).keys = keys).await;
    let (end, why) = hub.v1().await.end_after(&hello(&of("ana"))).await;
    assert_eq!(
        (end, &*why),
        (code(1013), "tokens can't be checked right now")
    );
    let bearer = bearer(&of("ana"));
    let plain = hub.get("/ws", &(bearer + support::UPGRADE)).await;
    assert_eq!(
        (plain.status, plain.header("retry-after")),
        (503, Some("10"))
    );
    assert_eq!(
        hub.v1()
            .await
            .end_after(&json!({"op": "hello", "name": "Ana"}))
            .await
            .0,
        code(4001)
    );
}

#[tokio::test]
async fn a_token_that_expires_while_the_body_of_a_request_is_on_its_way_is_no_longer_good() {
    let Guarded { hub, _folder } = Guarded::unhurried(|_| ()).await;
    // Long enough for a slow machine to be let in.
    let ana = bearer(&sign(&claims("ana", &[("*", "read,write")], 5)));
    let held = hub.begin_post(MESSAGES, &ana, &json!({"body": "x"})).await;
    within(async { while hub.get(MESSAGES, &ana).await.status == 200 {} }).await;
    let refused = held.go_on().await;
    assert_eq!(refused.problem(), (401, "token_expired".into()));
}
