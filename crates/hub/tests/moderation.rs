//! Goal: who looks after a hub, or a room, sees who is there and sends them away; and who is sent away stays away.
//! Method: clients with tokens, or behind a proxy that is trusted, so that one machine is many addresses.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fullduplex::{Client, CloseCode, WebSocket};
use fullduplex_hub::{
    Config, LogInput, LogSource, Rate, TrustedProxies,
    auth::{Access, AdminToken, Claims, KeySource, SigningKey, Tokens},
};
use serde_json::{Value, json};
use support::{Answer, Running, V1, closed, http::Sse, within};
use tempfile::TempDir;
use tokio::task::JoinHandle;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const ADMIN: &str = "f00ba400f00ba400f00ba400f00ba400";

/// A token of a user with these rights in rooms.
fn token(sub: &str, rooms: &[(&str, &str)]) -> String {
    signed(&claims(sub, rooms))
}

fn claims(sub: &str, rooms: &[(&str, &str)]) -> Claims {
    let rooms = rooms.iter().map(|(room, rights)| {
        let rights = rights.split(',').map(str::to_owned).collect();
        ((*room).to_owned(), rights)
    });
    Claims {
        sub: sub.into(),
        rooms: rooms.collect::<BTreeMap<_, _>>(),
        rights: vec!["log".into()],
        exp: Some(u64::from(u32::MAX)),
        ..Claims::default()
    }
}

fn signed(claims: &Claims) -> String {
    let key = SigningKey::from_file(SECRET.as_bytes()).unwrap();
    key.token(claims, None).unwrap()
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

/// Bans somebody in the administrator's name.
async fn ban(hub: &Running, body: &Value) -> Value {
    let answer = hub.post("/api/v1/bans", &bearer(ADMIN), body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

async fn lift(hub: &Running, ban: &Value) {
    let path = format!("/api/v1/bans/{}", ban["id"]);
    assert_eq!(ask(hub, "DELETE", &path).await.status, 204);
}

/// Says something by HTTP.
async fn say(hub: &Running, token: &str) -> Answer {
    let body = json!({"body": "x"});
    hub.post(MESSAGES, &bearer(token), &body).await
}

/// How a client ends that says this hello.
async fn end_after(mut client: V1, hello: &Value) -> (CloseCode, String) {
    client.send(hello).await;
    client.closed().await
}

/// What a handshake is answered with.
async fn status(client: Client) -> u16 {
    match within(client.connect()).await {
        Ok(_) => 101,
        Err(refused) => refused.status().unwrap(),
    }
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

/// Adds a log to be followed.
fn with_log(config: &mut Config, folder: &TempDir) {
    let file = folder.path().join("app.log");
    std::fs::write(&file, "one\n").unwrap();
    config.logs = vec![LogSource {
        name: "app".into(),
        input: LogInput::File(file),
    }];
}

/// Where connections of all kinds are made, but those of `fdx.v1.json`.
const SOCKETS: [&str; 4] = ["/ws", "/ws?mode=text", "/echo", "/logs/app"];
const MESSAGES: &str = "/api/v1/rooms/general/messages";

/// A user's connections of all kinds.
struct All {
    v1: V1,
    sockets: Vec<WebSocket>,
    stream: Sse,
    poll: JoinHandle<Answer>,
}

impl All {
    async fn open(hub: &Arc<Running>, token: &str) -> Self {
        let v1 = member(hub, token, "general").await;
        let mut sockets = Vec::new();
        for path in SOCKETS {
            sockets.push(open(shown(hub.client(path), token)).await);
        }
        let mut stream = hub.sse("/sse/general?backlog=0", &bearer(token)).await;
        stream.event("ok").await;
        let begin = format!("{MESSAGES}?wait=0");
        let cursor = hub.get(&begin, &bearer(token)).await.json()["cursor"].clone();
        let held = format!("{MESSAGES}?wait=60&after={}", cursor.as_str().unwrap());
        let (hub, headers) = (Arc::clone(hub), bearer(token));
        let poll = tokio::spawn(async move { hub.get(&held, &headers).await });
        Self {
            v1,
            sockets,
            stream,
            poll,
        }
    }

    /// Waits until all of them have ended, for this reason.
    async fn ended(mut self, why: &str) {
        assert_eq!(self.v1.closed().await, sent_away(why));
        for (socket, path) in self.sockets.iter_mut().zip(SOCKETS) {
            assert_eq!(closed(socket).await, sent_away(why), "{path}");
        }
        assert_eq!(self.stream.next().await, None);
        let refused = self.poll.await.unwrap();
        assert_eq!(refused.problem(), (403, "forbidden".into()));
    }
}

#[tokio::test]
async fn a_stream_of_which_nothing_is_taken_ends_when_its_client_is_sent_away() {
    let mut config = with_admin();
    config.timeouts.close = Duration::from_millis(50);
    // Nothing else ends it.
    config.timeouts.stream_heartbeat = Duration::from_hours(1);
    let hub = Running::start(config).await;
    let mut deaf = hub.narrow_sse("/sse/general").await;
    deaf.event("ok").await;
    let mut writer = hub.member("Ana", "general").await;
    let long = "x".repeat(15_000);
    // More than all buffers on the way have room for.
    for n in 0..600 {
        writer.say("general", &n.to_string(), &long).await;
    }
    let stream = connections(&hub, 2).await["sse"]["id"].clone();
    let path = format!("/api/v1/connections/{}", stream.as_str().unwrap());
    assert_eq!(ask(&hub, "DELETE", &path).await.status, 204);
    connections(&hub, 1).await;
}

#[tokio::test]
async fn connections_of_each_kind_are_listed_with_who_it_is_and_can_be_ended() {
    let (mut config, folder) = guarded();
    with_log(&mut config, &folder);
    let hub = Arc::new(Running::start(config).await);
    let all = All::open(&hub, &of("ana")).await;
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
    all.ended("kicked").await;
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

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn s27_who_is_banned_is_closed_at_once_and_refused_until_that_is_lifted_also_after_a_restart()
{
    let (mut config, folder) = guarded();
    with_log(&mut config, &folder);
    let data = TempDir::new().unwrap();
    let (ana, bo) = (of("ana"), of("bo"));
    let hello = json!({"op": "hello", "name": "Ana", "token": ana});
    let hub = Arc::new(Running::durable(config.clone(), data.path()).await);
    let mut others = member(&hub, &bo, "general").await;
    let mut before = member(&hub, &ana, "general").await;
    before.say("general", "c1", "hi").await;
    let all = All::open(&hub, &ana).await;
    connections(&hub, 9).await;
    let made = ban(&hub, &json!({"user": "ana"})).await;
    assert_eq!(
        (
            &made["user"],
            &made["address"],
            &made["room"],
            &made["until"]
        ),
        (&json!("ana"), &json!(null), &json!(null), &json!(null))
    );
    all.ended("banned").await;
    assert_eq!(before.closed().await, sent_away("banned"));
    let refused = async |hub: &Running| {
        let client = hub.v1().await;
        assert_eq!(end_after(client, &hello).await, sent_away("banned"));
        for path in SOCKETS {
            assert_eq!(status(shown(hub.client(path), &ana)).await, 403, "{path}");
        }
        for path in [
            MESSAGES,
            "/sse/general",
            "/api/v1/rooms",
            "/api/v1/search?q=hi",
        ] {
            let answer = hub.get(path, &bearer(&ana)).await;
            assert_eq!(answer.problem(), (403, "forbidden".into()), "{path}");
        }
        let said = say(hub, &ana).await;
        assert_eq!(said.problem(), (403, "forbidden".into()));
        assert_eq!(hub.get("/api/v1/logs", &bearer(&ana)).await.status, 403);
    };
    refused(&hub).await;
    // Nobody else notices, and what she said stays.
    assert_eq!(others.msg().await["body"], "hi");
    others.say("general", "c1", "she is gone").await;
    let left = connections(&hub, 1).await;
    assert_eq!(left["v1"]["user"], "bo");
    let metrics = hub.get("/metrics", "").await.body;
    assert!(metrics.contains("\nfdx_bans 1\n"), "{metrics}");
    assert!(metrics.contains("\nfdx_banned_total 11\n"), "{metrics}");

    let hub = Arc::into_inner(hub).unwrap();
    within(hub.begin_stop()).await.unwrap();
    let hub = Running::durable(config, data.path()).await;
    refused(&hub).await;
    let listed = ask(&hub, "GET", "/api/v1/bans").await.json();
    assert_eq!(listed, json!({"bans": [made], "next": null}));
    lift(&hub, &made).await;
    let mut back = member(&hub, &ana, "general").await;
    let history = back.ok(json!({"op": "history", "room": "general"})).await;
    assert_eq!(history["events"][0]["body"], "hi");
    let path = format!("/api/v1/bans/{}", made["id"]);
    let gone = ask(&hub, "DELETE", &path).await;
    assert_eq!(gone.problem(), (404, "not_found".into()));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_ban_of_a_guest_is_of_who_has_its_secret_also_after_a_restart() {
    let data = TempDir::new().unwrap();
    let hub = Running::durable(with_admin(), data.path()).await;
    let mut guest = hub.v1().await;
    let welcome = guest.hello("Ana").await;
    let secret = welcome["guest"].as_str().unwrap();
    let hello = json!({"op": "hello", "name": "Ana", "guest": secret});
    let own = json!({"op": "hello", "name": "Bo", "guest": "k8JmVQ2sR0u3pXyWz1aB"});
    let mut other = hub.v1().await;
    let id = other.ok(own.clone()).await["user"]["id"].clone();
    ban(&hub, &json!({"user": welcome["user"]["id"]})).await;
    ban(&hub, &json!({"user": id})).await;
    assert_eq!(guest.closed().await, sent_away("banned"));
    assert_eq!(other.closed().await, sent_away("banned"));
    // Nor does a connection that is there become who is banned.
    let mut third = hub.member("Cy", "general").await;
    third.send(&hello).await;
    assert_eq!(third.closed().await, sent_away("banned"));
    within(hub.begin_stop()).await.unwrap();
    let hub = Running::durable(with_admin(), data.path()).await;
    for hello in [&hello, &own] {
        let client = hub.v1().await;
        assert_eq!(end_after(client, hello).await, sent_away("banned"));
    }
    let said = say(&hub, secret).await;
    assert_eq!(said.problem(), (403, "forbidden".into()));
    hub.member("Di", "general").await;
}

#[tokio::test]
async fn an_address_is_refused_before_a_handshake_and_its_neighbours_in_ipv6_with_it() {
    let mut config = with_admin();
    config.access = Access::Open;
    config.trusted_proxies = TrustedProxies::parse(["127.0.0.0/8"]).unwrap();
    let hub = Running::start(config).await;
    let from = |address: &str, path: &str| {
        let client = hub.client(path);
        client.header("X-Forwarded-For", address).unwrap()
    };
    let hello = json!({"op": "hello", "name": "Ana"});
    for (one, same, other) in [
        ("203.0.113.1", "203.0.113.1", "203.0.113.2"),
        ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"),
    ] {
        let mut v1 = V1::open(from(same, "/ws")).await;
        v1.ok(hello.clone()).await;
        let mut unknown = V1::open(from(same, "/ws")).await;
        let mut plain = open(from(same, "/ws")).await;
        let mut echo = open(from(same, "/echo")).await;
        let mut neighbour = V1::open(from(other, "/ws")).await;
        neighbour.ok(hello.clone()).await;
        let made = ban(&hub, &json!({"address": one})).await;
        assert_eq!(v1.closed().await, sent_away("banned"), "{same}");
        assert_eq!(unknown.closed().await, sent_away("banned"), "{same}");
        assert_eq!(closed(&mut plain).await, sent_away("banned"), "{same}");
        assert_eq!(closed(&mut echo).await, sent_away("banned"), "{same}");
        for path in ["/ws", "/echo"] {
            assert_eq!(status(from(same, path)).await, 403, "{path}");
        }
        let client = V1::open(from(same, "/ws")).await;
        assert_eq!(end_after(client, &hello).await, sent_away("banned"));
        let forwarded = format!("X-Forwarded-For: {same}\r\n");
        let refused = hub.get(MESSAGES, &forwarded).await;
        assert_eq!(refused.problem(), (403, "forbidden".into()));
        // The administrator could else not lift it.
        let as_admin = forwarded + &bearer(ADMIN);
        assert_eq!(hub.get("/api/v1/bans", &as_admin).await.status, 200);
        let mut admin = V1::open(from(same, "/ws")).await;
        admin.ok(json!({"op": "hello", "token": ADMIN})).await;
        neighbour.ok(json!({"op": "ping"})).await;
        lift(&hub, &made).await;
        let mut back = V1::open(from(same, "/ws")).await;
        back.ok(hello.clone()).await;
    }
}

#[tokio::test]
async fn s27_who_is_banned_while_the_body_of_a_request_is_on_its_way_changes_nothing() {
    let (config, _folder) = guarded();
    let hub = Running::start(config).await;
    let ana = of("ana");
    let moderator = bearer(&token("mo", &[("general", "read,admin")]));
    let of_room = json!({"user": "bo", "room": "general"});
    for (user, of_whom, path, headers, body) in [
        (
            "ana",
            json!({"user": "ana"}),
            MESSAGES,
            bearer(&ana),
            json!({"body": "x"}),
        ),
        (
            "ana",
            json!({"user": "ana", "room": "general"}),
            MESSAGES,
            bearer(&ana),
            json!({"body": "x"}),
        ),
        (
            "mo",
            json!({"user": "mo"}),
            "/api/v1/bans",
            moderator.clone(),
            of_room.clone(),
        ),
        (
            "mo",
            json!({"user": "mo", "room": "general"}),
            "/api/v1/bans",
            moderator,
            of_room,
        ),
    ] {
        let held = hub.begin_post(path, &headers, &body).await;
        let made = ban(&hub, &of_whom).await;
        let refused = held.go_on().await;
        assert_eq!(refused.problem(), (403, "forbidden".into()), "{user}");
        lift(&hub, &made).await;
    }
    let page = hub.get(MESSAGES, &bearer(&ana)).await.json();
    assert_eq!(page["events"], json!([]), "{page}");
    let bans = ask(&hub, "GET", "/api/v1/bans").await.json();
    assert_eq!(bans["bans"], json!([]));
}

#[tokio::test]
async fn a_token_that_expires_while_the_body_of_a_request_is_on_its_way_is_no_longer_good() {
    let (mut config, _folder) = guarded();
    if let Access::Tokens(tokens) = &mut config.access {
        tokens.rules.leeway = Duration::ZERO;
    }
    let hub = Running::start(config).await;
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let claims = Claims {
        exp: Some(now + 2),
        ..claims("ana", &[("*", "read,write")])
    };
    let ana = bearer(&signed(&claims));
    let held = hub.begin_post(MESSAGES, &ana, &json!({"body": "x"})).await;
    within(async { while hub.get(MESSAGES, &ana).await.status == 200 {} }).await;
    let refused = held.go_on().await;
    assert_eq!(refused.problem(), (401, "token_expired".into()));
}

#[tokio::test]
async fn a_ban_may_end() {
    let (config, _folder) = guarded();
    let hub = Running::start(config).await;
    let made = ban(&hub, &json!({"user": "ana", "seconds": 1})).await;
    let length = made["until"].as_u64().unwrap() - made["since"].as_u64().unwrap();
    assert!((900..=1_000).contains(&length), "{made}");
    let is_let_in = async || hub.get(MESSAGES, &bearer(&of("ana"))).await.status == 200;
    assert!(!is_let_in().await);
    within(async { while !is_let_in().await {} }).await;
    let listed = ask(&hub, "GET", "/api/v1/bans").await.json();
    assert_eq!(listed["bans"], json!([]));
    // Made anew, it is another one.
    let again = ban(&hub, &json!({"user": "ana", "seconds": 600})).await;
    assert_ne!(again["id"], made["id"]);
}

#[tokio::test]
async fn who_moderates_a_room_sends_users_out_of_it_and_keeps_them_out() {
    let (config, _folder) = guarded();
    let hub = Running::start(config).await;
    let moderator = bearer(&token("mo", &[("general", "read,admin")]));
    let mut ana = member(&hub, &of("ana"), "general").await;
    ana.ok(json!({"op": "join", "room": "other"})).await;
    let mut bo = member(&hub, &of("bo"), "general").await;
    let join = json!({"op": "join", "room": "general"});
    let out = |user: &str| format!("/api/v1/rooms/general/members/{user}");
    let mut plain = open(shown(hub.client("/ws"), &of("ana"))).await;
    let mut elsewhere = open(shown(hub.client("/ws?room=other"), &of("ana"))).await;
    assert_eq!(
        hub.request("DELETE", &out("ana"), &moderator).await.status,
        204
    );
    let kick = |reason: &str| json!({"ev": "kick", "room": "general", "reason": reason});
    assert_eq!(ana.event("kick").await, kick("kicked"));
    assert_eq!(closed(&mut plain).await, sent_away("kicked"));
    let send = json!({"op": "send", "room": "general", "cid": "c", "body": "x"});
    assert_eq!(ana.err(send).await, "not_joined");
    let nobody = hub.request("DELETE", &out("ana"), &moderator).await;
    assert_eq!(nobody.problem(), (404, "not_found".into()));
    // She may come back, until she is banned.
    ana.ok(join.clone()).await;
    let mut stream = hub.sse("/sse/general", &bearer(&of("ana"))).await;
    stream.event("ok").await;
    let body = json!({"user": "ana", "room": "general"});
    let made = hub.post("/api/v1/bans", &moderator, &body).await;
    assert_eq!(
        (made.status, &made.json()["room"]),
        (201, &json!("general"))
    );
    assert_eq!(ana.event("kick").await, kick("banned"));
    assert_eq!(stream.next().await, None);
    assert_eq!(ana.err(join.clone()).await, "forbidden");
    assert_eq!(
        ana.err(json!({"op": "sub", "room": "general"})).await,
        "forbidden"
    );
    let ana_by_http = bearer(&of("ana"));
    for path in [
        MESSAGES,
        "/sse/general",
        "/api/v1/rooms/general/members",
        "/api/v1/search?q=x",
    ] {
        let answer = hub.get(path, &ana_by_http).await;
        assert_eq!(answer.problem(), (403, "forbidden".into()), "{path}");
    }
    let listed = async |who: &str| {
        let page = hub.get("/api/v1/rooms", who).await.json();
        let rooms = page["rooms"].as_array().unwrap().iter();
        let names = rooms.map(|room| room["room"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(listed(&ana_by_http).await, ["other"]);
    assert_eq!(listed(&bearer(&of("bo"))).await, ["general", "other"]);
    let said = say(&hub, &of("ana")).await;
    assert_eq!(said.problem(), (403, "forbidden".into()));
    assert_eq!(status(shown(hub.client("/ws"), &of("ana"))).await, 403);
    let mut back = hub.v1().await;
    let resume = json!({"general": "x.1.aaaaaa", "other": "x.1.aaaaaa"});
    let hello = json!({"op": "hello", "name": "Ana", "token": of("ana"), "resume": resume});
    let rooms = back.ok(hello).await["rooms"].clone();
    assert_eq!(rooms["general"]["err"]["code"], "forbidden", "{rooms}");
    assert_eq!(rooms["other"]["room"], "other", "{rooms}");
    // In other rooms nothing has changed, and nobody else is meant.
    ana.say("other", "c", "still here").await;
    assert!(support::text(&mut elsewhere).await.contains("still here"));
    bo.say("general", "c", "she is gone").await;
    let path = format!("/api/v1/bans/{}", made.json()["id"]);
    assert_eq!(hub.request("DELETE", &path, &moderator).await.status, 204);
    ana.ok(join).await;
}

#[tokio::test]
async fn bans_are_for_who_may_and_say_whom() {
    let (config, _folder) = guarded();
    let hub = Running::start(config).await;
    let moderator = bearer(&token("mo", &[("general", "read,admin")]));
    let user = bearer(&of("ana"));
    let post = async |who: &str, body: Value| {
        let answer = hub.post("/api/v1/bans", who, &body).await;
        (
            answer.status,
            answer.json()["code"].as_str().map(str::to_owned),
        )
    };
    let refused = |status: u16, code: &str| (status, Some(code.to_owned()));
    let of_ana = json!({"user": "ana"});
    assert_eq!(post("", of_ana.clone()).await, refused(401, "unauthorized"));
    assert_eq!(post(&user, of_ana.clone()).await, refused(403, "forbidden"));
    for body in [
        of_ana,
        json!({"user": "ana", "room": "other"}),
        json!({"address": "192.0.2.1", "room": "general"}),
    ] {
        assert_eq!(post(&moderator, body).await, refused(403, "forbidden"));
    }
    let admin = bearer(ADMIN);
    for body in [
        json!({}),
        json!({"user": "ana", "seconds": 0}),
        json!({"address": "here"}),
    ] {
        assert_eq!(post(&admin, body).await, refused(400, "bad_request"));
    }
    let itself = json!({"user": "mo", "room": "general"});
    assert_eq!(post(&moderator, itself).await, refused(409, "conflict"));
    for body in [
        json!({"user": "fdx:admin"}),
        json!({"address": "127.0.0.1"}),
    ] {
        assert_eq!(post(&admin, body).await, refused(409, "conflict"));
    }
    for (who, path) in [
        (&moderator, "/api/v1/bans"),
        (&moderator, "/api/v1/bans?room=other"),
        (&user, "/api/v1/bans?room=general"),
    ] {
        assert_eq!(hub.get(path, who).await.problem().0, 403, "{path}");
    }
    let out = "/api/v1/rooms/other/members/ana";
    for (who, status) in [("", 401), (&user, 403), (&moderator, 403)] {
        let refused = hub.request("DELETE", out, who).await;
        assert_eq!(refused.problem().0, status);
    }
}

#[tokio::test]
async fn bans_are_listed_and_so_many_and_those_of_others_are_not_lifted() {
    let (mut config, _folder) = guarded();
    config.limits.bans = 3;
    let hub = Running::start(config).await;
    let moderator = bearer(&token("mo", &[("general", "read,admin")]));
    for room in ["general", "other"] {
        ban(&hub, &json!({"user": "ana", "room": room})).await;
    }
    ban(&hub, &json!({"address": "192.0.2.1", "room": "general"})).await;
    for id in ["1", "2", "3"] {
        ban(&hub, &json!({"user": id})).await;
    }
    for body in [
        json!({"user": "4"}),
        json!({"user": "4", "room": "general"}),
    ] {
        let full = hub.post("/api/v1/bans", &bearer(ADMIN), &body).await;
        assert_eq!(full.problem(), (409, "conflict".into()));
    }
    // One page, and the next; and to a moderator the users of the room alone.
    let page = ask(&hub, "GET", "/api/v1/bans?limit=4").await.json();
    assert_eq!(
        (page["bans"].as_array().unwrap().len(), &page["next"]),
        (4, &json!(4))
    );
    let rest = ask(&hub, "GET", "/api/v1/bans?limit=4&after=4")
        .await
        .json();
    assert_eq!(
        (rest["bans"][0]["user"].as_str(), &rest["next"]),
        (Some("2"), &json!(null))
    );
    let path = "/api/v1/bans?room=general";
    let both = ask(&hub, "GET", path).await.json();
    assert_eq!(both["bans"][1]["address"], "192.0.2.1");
    let listed = hub.get(path, &moderator).await.json();
    assert_eq!(listed["bans"], json!([both["bans"][0]]));
    // Of another room, of an address, of the server, of nobody.
    for id in [2, 3, 4, 99] {
        let path = format!("/api/v1/bans/{id}");
        let refused = hub.request("DELETE", &path, &moderator).await;
        assert_eq!(refused.problem(), (403, "forbidden".into()), "{id}");
    }
    for (method, bad) in [
        ("DELETE", "/api/v1/bans/x"),
        ("DELETE", "/api/v1/bans/0"),
        ("GET", "/api/v1/bans?after=9007199254740992"),
        ("GET", "/api/v1/bans?room=a/b"),
    ] {
        let bad = ask(&hub, method, bad).await;
        assert_eq!(bad.problem(), (400, "bad_request".into()));
    }
}

#[tokio::test]
async fn who_moderates_a_room_does_not_use_up_the_bans_of_others() {
    let (mut config, _folder) = guarded();
    config.limits.bans = 20;
    let hub = Running::start(config).await;
    let of_room = |room: &str, id: &str| json!({"user": id, "room": room});
    let moderate = async |room: &str, id: &str| {
        let moderator = bearer(&token("mo", &[(room, "read,admin")]));
        hub.post("/api/v1/bans", &moderator, &of_room(room, id))
            .await
    };
    for id in ["1", "2", "2"] {
        assert_eq!(moderate("general", id).await.status, 201);
    }
    let full = moderate("general", "3").await;
    assert_eq!(full.problem(), (409, "conflict".into()));
    assert_eq!(moderate("other", "3").await.status, 201);
    // Who looks after the server has all of them.
    ban(&hub, &of_room("general", "3")).await;
}

#[tokio::test]
async fn who_moderates_does_so_as_fast_as_others_write_also_where_a_room_is_flooded() {
    let (mut config, _folder) = guarded();
    // Else everybody on this machine is exempt.
    config.trusted_proxies = TrustedProxies::parse(["127.0.0.1"]).unwrap();
    config.rates.messages_per_user = Rate::new(1, 2);
    config.rates.messages_per_room = Rate::new(1, 1);
    config.rates.messages_per_address = Rate::new(1, 1);
    let hub = Running::start(config).await;
    let by = "X-Forwarded-For: 192.0.2.1\r\n";
    let ana = bearer(&of("ana")) + by;
    let moderator = bearer(&token("mo", &[("general", "read,admin")])) + by;
    let mut said = 201;
    while said == 201 {
        said = hub.post(MESSAGES, &ana, &json!({"body": "x"})).await.status;
    }
    assert_eq!(said, 429);
    let of_ana = json!({"user": "ana", "room": "general"});
    let made = hub.post("/api/v1/bans", &moderator, &of_ana).await;
    assert_eq!(made.status, 201, "{made:?}");
    let of_bo = json!({"user": "bo", "room": "general"});
    for what in ["ban", "lift", "send out"] {
        let is_too_fast = async || {
            let answer = match what {
                "ban" => hub.post("/api/v1/bans", &moderator, &of_ana).await,
                "lift" => {
                    let path = format!("/api/v1/bans/{}", ban(&hub, &of_bo).await["id"]);
                    hub.request("DELETE", &path, &moderator).await
                }
                _ => {
                    let path = "/api/v1/rooms/general/members/bo";
                    hub.request("DELETE", path, &moderator).await
                }
            };
            answer.status == 429
        };
        within(async { while !is_too_fast().await {} }).await;
    }
    // Who looks after the server goes on.
    for _ in 0..10 {
        ban(&hub, &of_ana).await;
    }
}

#[tokio::test]
async fn nobody_slips_in_while_being_banned() {
    let (mut config, folder) = guarded();
    with_log(&mut config, &folder);
    let hub = Arc::new(Running::start(config).await);
    for round in 0..10 {
        let ana = of(&format!("ana{round}"));
        let mut tasks = Vec::new();
        for path in SOCKETS.repeat(3) {
            let client = shown(hub.client(path), &ana);
            tasks.push(tokio::spawn(async move {
                // Refused, or closed soon.
                if let Ok((mut ws, _)) = within(client.connect()).await {
                    assert_eq!(closed(&mut ws).await, sent_away("banned"));
                }
            }));
        }
        for _ in 0..3 {
            let (hub, ana) = (Arc::clone(&hub), ana.clone());
            tasks.push(tokio::spawn(async move {
                let client = hub.v1().await;
                let hello = json!({"op": "hello", "token": ana});
                assert_eq!(end_after(client, &hello).await, sent_away("banned"));
            }));
        }
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        ban(&hub, &json!({"user": format!("ana{round}")})).await;
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_hub_whose_bans_cant_be_read_does_not_start() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("bans.json");
    std::fs::write(&file, "{").unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = fullduplex_hub::log::sqlite::Options::new(data.path());
    let refused = fullduplex_hub::Hub::durable(Config::default(), listener, &options).await;
    let why = refused.unwrap_err().to_string();
    assert!(why.starts_with(&file.display().to_string()), "{why}");
}
