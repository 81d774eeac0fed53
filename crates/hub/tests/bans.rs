//! Goal: who is banned, from the server or a room, is sent away at once and stays away until the ban ends.
//! Method: clients with tokens, or behind a proxy that is trusted, so that one machine is many addresses.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{sync::Arc, time::UNIX_EPOCH};

use fullduplex_hub::{
    TrustedProxies,
    auth::{Access, Claims},
};
use serde_json::{Value, json};
use support::{
    Running, V1,
    admin::{ADMIN, with_admin},
    closed,
    http::MESSAGES,
    kinds::{SOCKETS, open, sent_away, with_log},
    status,
    tokens::{bearer, claims, guarded, of, shown, sign, token},
    within,
};

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn s27_who_is_banned_is_closed_at_once_and_refused_until_that_is_lifted_also_after_a_restart()
{
    let (mut config, folder) = guarded(with_admin());
    with_log(&mut config, &folder);
    let data = tempfile::tempdir().unwrap();
    let (ana, bo) = (of("ana"), of("bo"));
    let hello = json!({"op": "hello", "name": "Ana", "token": ana});
    let hub = Arc::new(Running::durable(config.clone(), data.path()).await);
    let mut others = hub.member_with(&bo, "general").await;
    let mut before = hub.member_with(&ana, "general").await;
    before.say("general", "c1", "hi").await;
    let all = support::kinds::All::open(&hub, &ana).await;
    hub.connections(9).await;
    let made = hub.ban(&json!({"user": "ana"})).await;
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
        assert_eq!(client.end_after(&hello).await, sent_away("banned"));
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
        let said = hub.say_as(&ana).await;
        assert_eq!(said.problem(), (403, "forbidden".into()));
        assert_eq!(hub.get("/api/v1/logs", &bearer(&ana)).await.status, 403);
    };
    refused(&hub).await;
    // Nobody else notices, and what she said stays.
    assert_eq!(others.msg().await["body"], "hi");
    others.say("general", "c1", "she is gone").await;
    let left = hub.connections(1).await;
    assert_eq!(left["v1"]["user"], "bo");
    let metrics = hub.get("/metrics", "").await.body;
    assert!(metrics.contains("\nfdx_bans 1\n"), "{metrics}");
    assert!(metrics.contains("\nfdx_banned_total 11\n"), "{metrics}");

    let hub = Arc::into_inner(hub).unwrap();
    within(hub.begin_stop()).await.unwrap();
    let hub = Running::durable(config, data.path()).await;
    refused(&hub).await;
    let listed = hub.ask("GET", "/api/v1/bans").await.json();
    assert_eq!(listed, json!({"bans": [made], "next": null}));
    hub.lift(&made).await;
    let mut back = hub.member_with(&ana, "general").await;
    let history = back.ok(json!({"op": "history", "room": "general"})).await;
    assert_eq!(history["events"][0]["body"], "hi");
    let path = format!("/api/v1/bans/{}", made["id"]);
    let gone = hub.ask("DELETE", &path).await;
    assert_eq!(gone.problem(), (404, "not_found".into()));
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_ban_of_a_guest_is_of_who_has_its_secret_also_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let hub = Running::durable(with_admin(), data.path()).await;
    let mut guest = hub.v1().await;
    let welcome = guest.hello("Ana").await;
    let secret = welcome["guest"].as_str().unwrap();
    let hello = json!({"op": "hello", "name": "Ana", "guest": secret});
    let own = json!({"op": "hello", "name": "Bo", "guest": "k8JmVQ2sR0u3pXyWz1aB"});
    let mut other = hub.v1().await;
    let id = other.ok(own.clone()).await["user"]["id"].clone();
    hub.ban(&json!({"user": welcome["user"]["id"]})).await;
    hub.ban(&json!({"user": id})).await;
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
        assert_eq!(client.end_after(hello).await, sent_away("banned"));
    }
    let said = hub.say_as(secret).await;
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
        let made = hub.ban(&json!({"address": one})).await;
        assert_eq!(v1.closed().await, sent_away("banned"), "{same}");
        assert_eq!(unknown.closed().await, sent_away("banned"), "{same}");
        assert_eq!(closed(&mut plain).await, sent_away("banned"), "{same}");
        assert_eq!(closed(&mut echo).await, sent_away("banned"), "{same}");
        for path in ["/ws", "/echo"] {
            assert_eq!(status(from(same, path)).await, 403, "{path}");
        }
        let client = V1::open(from(same, "/ws")).await;
        assert_eq!(client.end_after(&hello).await, sent_away("banned"));
        let forwarded = format!("X-Forwarded-For: {same}\r\n");
        let refused = hub.get(MESSAGES, &forwarded).await;
        assert_eq!(refused.problem(), (403, "forbidden".into()));
        // The administrator could else not lift it.
        let as_admin = forwarded + &bearer(ADMIN);
        assert_eq!(hub.get("/api/v1/bans", &as_admin).await.status, 200);
        let mut admin = V1::open(from(same, "/ws")).await;
        admin.ok(json!({"op": "hello", "token": ADMIN})).await;
        neighbour.ok(json!({"op": "ping"})).await;
        hub.lift(&made).await;
        let mut back = V1::open(from(same, "/ws")).await;
        back.ok(hello.clone()).await;
    }
}

#[tokio::test]
async fn s27_who_is_banned_while_the_body_of_a_request_is_on_its_way_changes_nothing() {
    let (config, _folder) = guarded(with_admin());
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
        let made = hub.ban(&of_whom).await;
        let refused = held.go_on().await;
        assert_eq!(refused.problem(), (403, "forbidden".into()), "{user}");
        hub.lift(&made).await;
    }
    let page = hub.get(MESSAGES, &bearer(&ana)).await.json();
    assert_eq!(page["events"], json!([]), "{page}");
    let bans = hub.ask("GET", "/api/v1/bans").await.json();
    assert_eq!(bans["bans"], json!([]));
}

#[tokio::test]
async fn a_ban_may_end() {
    let (config, _folder) = guarded(with_admin());
    let hub = Running::start(config).await;
    let now = || UNIX_EPOCH.elapsed().unwrap().as_millis();
    let earliest = now() + 1_000;
    let made = hub.ban(&json!({"user": "ana", "seconds": 1})).await;
    let until = made["until"].as_u64().unwrap().into();
    assert!((earliest..=now() + 1_000).contains(&until), "{made}");
    let is_let_in = async || hub.get(MESSAGES, &bearer(&of("ana"))).await.status == 200;
    // A slow machine may come to it when it is over.
    assert!(!is_let_in().await || now() >= until);
    within(async { while !is_let_in().await {} }).await;
    let listed = hub.ask("GET", "/api/v1/bans").await.json();
    assert_eq!(listed["bans"], json!([]));
    // Made anew, it is another one.
    let again = hub.ban(&json!({"user": "ana", "seconds": 600})).await;
    assert_ne!(again["id"], made["id"]);
}

#[tokio::test]
async fn bans_are_for_who_may_and_say_whom() {
    let (config, _folder) = guarded(with_admin());
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
    let (mut config, _folder) = guarded(with_admin());
    config.limits.bans = 3;
    let hub = Running::start(config).await;
    let moderator = bearer(&token("mo", &[("general", "read,admin")]));
    for room in ["general", "other"] {
        hub.ban(&json!({"user": "ana", "room": room})).await;
    }
    hub.ban(&json!({"address": "192.0.2.1", "room": "general"}))
        .await;
    for id in ["1", "2", "3"] {
        hub.ban(&json!({"user": id})).await;
    }
    for body in [
        json!({"user": "4"}),
        json!({"user": "4", "room": "general"}),
    ] {
        let full = hub.post("/api/v1/bans", &bearer(ADMIN), &body).await;
        assert_eq!(full.problem(), (409, "conflict".into()));
    }
    // One page, and the next; and to a moderator the users of the room alone.
    let page = hub.ask("GET", "/api/v1/bans?limit=4").await.json();
    assert_eq!(
        (page["bans"].as_array().unwrap().len(), &page["next"]),
        (4, &json!(4))
    );
    let rest = hub.ask("GET", "/api/v1/bans?limit=4&after=4").await.json();
    assert_eq!(
        (rest["bans"][0]["user"].as_str(), &rest["next"]),
        (Some("2"), &json!(null))
    );
    let path = "/api/v1/bans?room=general";
    let both = hub.ask("GET", path).await.json();
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
        let bad = hub.ask(method, bad).await;
        assert_eq!(bad.problem(), (400, "bad_request".into()));
    }
}

#[tokio::test]
async fn who_moderates_any_rooms_does_not_use_up_the_bans_of_others() {
    let (mut config, _folder) = guarded(with_admin());
    config.limits.bans = 20;
    let hub = Running::start(config).await;
    let of_room = |room: &str, id: &str| json!({"user": id, "room": room});
    let moderate = async |who: &str, room: &str, id: &str| {
        let moderator = bearer(&token(who, &[("*", "read,admin")]));
        hub.post("/api/v1/bans", &moderator, &of_room(room, id))
            .await
    };
    for room in ["general", "other", "other"] {
        let made = moderate("mo", room, "1").await;
        assert_eq!(made.status, 201);
        assert_eq!(made.json()["by"], "mo");
    }
    for room in ["general", "third"] {
        let full = moderate("mo", room, "2").await;
        assert_eq!(full.problem(), (409, "conflict".into()));
    }
    assert_eq!(moderate("al", "general", "2").await.status, 201);
    // Who looks after the server has all of them, whoever it is.
    let caretaker = sign(&Claims {
        rights: vec!["api".into()],
        ..claims("mo", &[], 600)
    });
    for id in ["3", "4"] {
        let body = of_room("general", id);
        let made = hub.post("/api/v1/bans", &bearer(&caretaker), &body).await;
        assert_eq!(made.status, 201);
    }
}

#[tokio::test]
async fn nobody_slips_in_while_being_banned() {
    let (mut config, folder) = guarded(with_admin());
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
                assert_eq!(client.end_after(&hello).await, sent_away("banned"));
            }));
        }
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        hub.ban(&json!({"user": format!("ana{round}")})).await;
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_hub_whose_bans_cant_be_read_does_not_start() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("bans.json");
    std::fs::write(&file, "{").unwrap();
    let config = fullduplex_hub::Config::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = fullduplex_hub::log::sqlite::Options::new(data.path());
    let refused = fullduplex_hub::Hub::durable(config, listener, &options).await;
    let why = refused.unwrap_err().to_string();
    assert!(why.starts_with(&file.display().to_string()), "{why}");
}
