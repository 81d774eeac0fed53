//! Goal: who looks after a hub, or a room, sees who is there, deletes what was said, and sends clients away.
//! Method: clients with tokens, and the administrator's.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{sync::Arc, time::Duration};

use fullduplex::CloseCode;
use fullduplex_hub::{Rate, TrustedProxies, auth::Access};
use serde_json::{Value, json};
use support::{
    Running, V1,
    admin::{ADMIN, with_admin},
    closed,
    http::MESSAGES,
    kinds::{All, open, sent_away, with_log},
    status,
    tokens::{bearer, guarded, of, shown, token},
    within,
};

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
    let stream = hub.connections(2).await["sse"]["id"].clone();
    let path = format!("/api/v1/connections/{}", stream.as_str().unwrap());
    assert_eq!(hub.ask("DELETE", &path).await.status, 204);
    hub.connections(1).await;
}

#[tokio::test]
async fn connections_of_each_kind_are_listed_with_who_it_is_and_can_be_ended() {
    let (mut config, folder) = guarded(with_admin());
    with_log(&mut config, &folder);
    let hub = Arc::new(Running::start(config).await);
    let all = All::open(&hub, &of("ana")).await;
    let found = hub.connections(7).await;
    assert_eq!(found.len(), 7, "{found:?}");
    for (dialect, one) in &found {
        assert_eq!(one["user"], "ana", "{dialect}");
        let rooms = match &**dialect {
            "echo" | "log" => json!([]),
            _ => json!(["general"]),
        };
        assert_eq!(one["rooms"], rooms, "{dialect}");
        let id = one["id"].as_str().unwrap();
        let gone = hub
            .ask("DELETE", &format!("/api/v1/connections/{id}"))
            .await;
        assert_eq!(gone.status, 204, "{dialect}");
    }
    all.ended("kicked").await;
    assert!(hub.connections(0).await.is_empty());
}

#[tokio::test]
async fn the_administrators_token_is_good_on_a_socket_too_and_is_nobody_elses() {
    let (guarded, _folder) = guarded(with_admin());
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
        let mut other = hub.member_with(&of("admin"), "general").await;
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
    let (config, _folder) = guarded(with_admin());
    let hub = Running::start(config).await;
    let mut ana = hub.member_with(&of("ana"), "general").await;
    let mut plain = open(shown(hub.client("/ws?mode=text"), &of("bo"))).await;
    ana.say("general", "c1", "one").await;
    plain.send("two").await.unwrap();
    let seqs = [ana.msg().await, ana.msg().await].map(|msg| msg["seq"].clone());
    // No right includes another: she does not even have to be one who may say something.
    let rooms = [("general", "read,admin"), ("other", "read,write")];
    let mut moderator = hub.member_with(&token("mo", &rooms), "general").await;
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
    let mut admin = hub.member_with(ADMIN, "general").await;
    admin.ok(general).await;
    admin.ok(json!({"op": "join", "room": "other"})).await;
    admin.ok(delete).await;
}

#[tokio::test]
async fn who_moderates_a_room_sends_users_out_of_it_and_keeps_them_out() {
    let (config, _folder) = guarded(with_admin());
    let hub = Running::start(config).await;
    let moderator = bearer(&token("mo", &[("general", "read,admin")]));
    let mut ana = hub.member_with(&of("ana"), "general").await;
    ana.ok(json!({"op": "join", "room": "other"})).await;
    let mut bo = hub.member_with(&of("bo"), "general").await;
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
    let said = hub.say_as(&of("ana")).await;
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
async fn who_moderates_does_so_as_fast_as_others_write_also_where_a_room_is_flooded() {
    let (mut config, _folder) = guarded(with_admin());
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
                    let path = format!("/api/v1/bans/{}", hub.ban(&of_bo).await["id"]);
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
        hub.ban(&of_ana).await;
    }
}
