//! Goal: who looks after a hub, or a room, sees who is there and sends them away; and who is sent away stays away.
//! Method: clients with tokens, or behind a proxy that is trusted, so that one machine is many addresses.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use fullduplex::{Client, CloseCode, WebSocket};
use fullduplex_hub::{
    Config, LogInput, LogSource,
    auth::{Access, AdminToken, Claims, KeySource, SigningKey, Tokens},
};
use serde_json::{Value, json};
use support::{Answer, Running, V1, closed, within};
use tempfile::TempDir;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ADMIN: &str = "f00ba400f00ba400f00ba400f00ba400";

/// A token of a user with these rights in rooms.
fn token(sub: &str, rooms: &[(&str, &str)]) -> String {
    let rooms = rooms.iter().map(|(room, rights)| {
        let rights = rights.split(',').map(str::to_owned).collect();
        ((*room).to_owned(), rights)
    });
    let claims = Claims {
        sub: sub.into(),
        rooms: rooms.collect::<BTreeMap<_, _>>(),
        rights: vec!["log".into()],
        exp: Some(u64::from(u32::MAX)),
        ..Claims::default()
    };
    let key = SigningKey::from_file(SECRET.as_bytes()).unwrap();
    key.token(&claims, None).unwrap()
}

/// A token for everything but administering, in all rooms.
fn of(sub: &str) -> String {
    token(sub, &[("*", "read,write")])
}

/// What a hub serves that has an administrator.
fn with_admin() -> Config {
    Config {
        admin: Some(AdminToken::new(ADMIN.as_bytes()).unwrap()),
        ..Config::default()
    }
}

/// The same for who has a token. The folder has the secret.
fn guarded() -> (Config, TempDir) {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let config = Config {
        access: Access::Tokens(Tokens::new(KeySource::Secret(secret))),
        ..with_admin()
    };
    (config, folder)
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn shown(client: Client, token: &str) -> Client {
    let bearer = format!("Bearer {token}");
    client.header("Authorization", &bearer).unwrap()
}

async fn open(client: Client) -> WebSocket {
    within(client.connect()).await.unwrap().0
}

fn sent_away(why: &str) -> (CloseCode, String) {
    (CloseCode::new(4005), why.into())
}

/// A member of a room, as a token says.
async fn member(hub: &Running, token: &str, room: &str) -> V1 {
    let mut client = hub.v1().await;
    let hello = json!({"op": "hello", "name": "Somebody", "token": token});
    client.ok(hello).await;
    let join = json!({"op": "join", "room": room, "backlog": 0});
    client.ok(join).await;
    client
}

/// What the administrator asks for.
async fn ask(hub: &Running, method: &str, path: &str) -> Answer {
    hub.request(method, path, &bearer(ADMIN)).await
}

/// The connections once there are so many, by dialect.
async fn connections(hub: &Running, count: usize) -> BTreeMap<String, Value> {
    within(async {
        loop {
            let page = ask(hub, "GET", "/api/v1/connections").await.json();
            let found = page["connections"].as_array().unwrap();
            if found.len() == count {
                let by_dialect = |one: &Value| {
                    let dialect = one["dialect"].as_str().unwrap();
                    (dialect.to_owned(), one.clone())
                };
                return found.iter().map(by_dialect).collect();
            }
        }
    })
    .await
}

#[tokio::test]
async fn connections_of_each_kind_are_listed_with_who_it_is_and_can_be_ended() {
    let (mut config, folder) = guarded();
    let file = folder.path().join("app.log");
    std::fs::write(&file, "one\n").unwrap();
    config.logs = vec![LogSource {
        name: "app".into(),
        input: LogInput::File(file),
    }];
    let hub = Arc::new(Running::start(config).await);
    let ana = of("ana");
    let mut v1 = member(&hub, &ana, "general").await;
    let mut sockets = Vec::new();
    for (kind, path) in [
        ("json", "/ws"),
        ("text", "/ws?mode=text"),
        ("echo", "/echo"),
        ("log", "/logs/app"),
    ] {
        sockets.push((kind, open(shown(hub.client(path), &ana)).await));
    }
    let mut stream = hub.sse("/sse/general", &bearer(&ana)).await;
    stream.event("ok").await;
    let begin = "/api/v1/rooms/general/messages?wait=0";
    let cursor = hub.get(begin, &bearer(&ana)).await.json()["cursor"].clone();
    let after = cursor.as_str().unwrap();
    let held = format!("/api/v1/rooms/general/messages?wait=60&after={after}");
    let (polls, headers) = (Arc::clone(&hub), bearer(&ana));
    let poll = tokio::spawn(async move { polls.get(&held, &headers).await });

    let found = connections(&hub, 7).await;
    assert_eq!(found.len(), 7, "{found:?}");
    for (dialect, one) in &found {
        assert_eq!(one["user"], "ana", "{dialect}");
        let rooms = match &**dialect {
            "echo" | "log" => json!([]),
            _ => json!(["general"]),
        };
        assert_eq!(one["rooms"], rooms, "{dialect}");
        let id = one["id"].as_str().unwrap();
        let gone = ask(&hub, "DELETE", &format!("/api/v1/connections/{id}")).await;
        assert_eq!(gone.status, 204, "{dialect}");
    }
    assert_eq!(v1.closed().await, sent_away("kicked"));
    for (kind, mut socket) in sockets {
        assert_eq!(closed(&mut socket).await, sent_away("kicked"), "{kind}");
    }
    assert_eq!(stream.next().await, None);
    assert_eq!(poll.await.unwrap().problem(), (403, "forbidden".into()));
    assert!(connections(&hub, 0).await.is_empty());
}

#[tokio::test]
async fn the_administrators_token_is_good_on_a_socket_too_and_is_nobody_elses() {
    let (guarded, _folder) = guarded();
    for config in [guarded, with_admin()] {
        let asks = matches!(config.access, Access::Tokens(_));
        let hub = Running::start(config).await;
        let mut admin = hub.v1().await;
        let hello = json!({"op": "hello", "token": ADMIN});
        let welcome = admin.ok(hello.clone()).await;
        assert_eq!(welcome["user"]["id"], "fdx:admin");
        assert_eq!(
            (&welcome["user"]["name"], &welcome["guest"]),
            (&json!("admin"), &Value::Null)
        );
        admin.ok(json!({"op": "join", "room": "general"})).await;
        admin.say("general", "c1", "hi").await;
        // With the handshake.
        let mut at_door = V1::open(shown(hub.client("/ws"), ADMIN)).await;
        let welcome = at_door.ok(json!({"op": "hello"})).await;
        assert_eq!(welcome["user"]["id"], "fdx:admin");
        if !asks {
            continue;
        }
        // Who is named so is somebody else, and nobody has that id by a token.
        let mut other = member(&hub, &of("admin"), "general").await;
        let renewed = other.ok(json!({"op": "hello"})).await;
        assert_eq!(renewed["user"]["id"], "admin");
        assert_eq!(
            other.err(hello).await,
            "forbidden",
            "nobody becomes somebody else"
        );
        let deleted = json!({"op": "edit", "room": "general", "target": 1, "body": "x"});
        assert_eq!(other.err(deleted).await, "forbidden");
        let mut forged = hub.v1().await;
        forged
            .send(&json!({"op": "hello", "token": of("fdx:admin")}))
            .await;
        assert_eq!(forged.closed().await.0, CloseCode::new(4001));
    }
}

#[tokio::test]
async fn who_moderates_a_room_deletes_what_anybody_said_there_and_edits_nothing_of_others() {
    let (config, _folder) = guarded();
    let hub = Running::start(config).await;
    let mut ana = member(&hub, &of("ana"), "general").await;
    let mut plain = open(shown(hub.client("/ws?mode=text"), &of("bo"))).await;
    ana.say("general", "c1", "one").await;
    plain.send("two").await.unwrap();
    let seqs = [ana.msg().await, ana.msg().await].map(|msg| msg["seq"].clone());
    // No right includes another: she does not even have to be one who may say something.
    let rooms = [("general", "read,admin"), ("other", "read,write")];
    let mut moderator = member(&hub, &token("mo", &rooms), "general").await;
    let change = |op: &str, room: &str, target: &Value| json!({"op": op, "room": room, "target": target, "body": "x"});
    for seq in &seqs {
        let edit = change("edit", "general", seq);
        assert_eq!(moderator.err(edit).await, "forbidden");
        moderator.ok(change("delete", "general", seq)).await;
        let del = ana.event("del").await;
        assert_eq!((&del["target"], &del["from"]["id"]), (seq, &json!("mo")));
    }
    let send = json!({"op": "send", "room": "general", "cid": "c", "body": "x"});
    assert_eq!(moderator.err(send).await, "forbidden");
    // Elsewhere she is as others are.
    ana.ok(json!({"op": "join", "room": "other"})).await;
    moderator.ok(json!({"op": "join", "room": "other"})).await;
    let seq = ana.say("other", "c1", "three").await["seq"].clone();
    let delete = change("delete", "other", &seq);
    assert_eq!(moderator.err(delete.clone()).await, "forbidden");
    // With another token she may no longer, and the administrator may.
    let less = token("mo", &[("general", "read,write")]);
    moderator.ok(json!({"op": "auth", "token": less})).await;
    let seq = ana.say("general", "c2", "four").await["seq"].clone();
    let general = change("delete", "general", &seq);
    assert_eq!(moderator.err(general.clone()).await, "forbidden");
    let mut admin = member(&hub, ADMIN, "general").await;
    admin.ok(general).await;
    admin.ok(json!({"op": "join", "room": "other"})).await;
    admin.ok(delete).await;
}
