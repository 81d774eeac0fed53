//! The HTTP API.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::time::Duration;

use fullduplex::CloseCode;
use fullduplex_hub::{AllowedOrigins, Config, Limits, Timeouts};
use serde_json::{Value, json};
use support::{
    Running,
    admin::{ADMIN, with_admin},
    behind_a_proxy, bodies,
    http::{GUEST, MESSAGES},
    tokens::bearer,
    within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn what_is_posted_is_said_in_the_room() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    let body = json!({"name": " Bo ", "body": "hello", "cid": "a"});
    let answer = hub.post(MESSAGES, GUEST, &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let (sent, seen) = (answer.json(), ana.msg().await);
    for key in ["seq", "id", "ts"] {
        assert_eq!(sent[key], seen[key], "{key}");
    }
    assert_eq!(
        (&seen["body"], &seen["cid"]),
        (&json!("hello"), &json!("a"))
    );
    assert_eq!(seen["from"]["name"], "Bo");

    // Who holds the secret is the same user on a WebSocket.
    let mut bo = hub.v1().await;
    let hello = json!({"op": "hello", "name": "Bo", "guest": "k8JmVQ2sR0u3pXyWz1aB"});
    assert_eq!(bo.ok(hello).await["user"]["id"], seen["from"]["id"]);

    // Strangers need no secret, and are not each other.
    let mut strangers = Vec::new();
    for _ in 0..2 {
        let answer = hub.post(MESSAGES, "", &json!({"body": "hi"})).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        strangers.push(ana.msg().await["from"].clone());
    }
    assert_eq!(strangers[0]["name"], "guest");
    assert_ne!(strangers[0]["id"], strangers[1]["id"]);
}

#[tokio::test]
async fn s07_a_post_that_is_repeated_is_stored_once() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    let key = format!("{GUEST}Idempotency-Key: order-1\r\n");
    let body = json!({"body": "one"});
    let first = hub.post(MESSAGES, &key, &body).await;
    assert_eq!((first.status, &first.json()["dup"]), (201, &json!(false)));
    // As a header or in the body, by HTTP or not: it is the same id of the same user.
    for (headers, body) in [
        (&*key, &body),
        (GUEST, &json!({"body": "one", "cid": "order-1"})),
    ] {
        let again = hub.post(MESSAGES, headers, body).await;
        assert_eq!((again.status, &again.json()["dup"]), (200, &json!(true)));
        assert_eq!(again.json()["seq"], first.json()["seq"]);
    }
    let mut same = hub.guest("general").await;
    assert_eq!(same.say("general", "order-1", "one").await["dup"], true);
    // Another user's is another one.
    let other = key.replace("k8Jm", "XXXX");
    assert_eq!(hub.post(MESSAGES, &other, &body).await.status, 201);
    hub.say("general", "end").await;
    let seen = [ana.msg().await, ana.msg().await, ana.msg().await];
    assert_eq!(seen.map(|msg| msg["body"].clone()), ["one", "one", "end"]);
}

#[tokio::test]
async fn s08_a_key_of_another_message_is_a_conflict_and_the_first_stands() {
    let hub = Running::start(Config::default()).await;
    let key = format!("{GUEST}Idempotency-Key: order-1\r\n");
    assert_eq!(
        hub.post(MESSAGES, &key, &json!({"body": "one"}))
            .await
            .status,
        201
    );
    let other = hub.post(MESSAGES, &key, &json!({"body": "two"})).await;
    assert_eq!(other.problem(), (409, "conflict".into()));
    assert_eq!(
        bodies(&hub.poll("general", "wait=0").await["events"]),
        ["one"]
    );
}

#[tokio::test]
async fn what_can_not_be_stored_is_a_problem_with_the_codes_of_the_protocol() {
    let hub = Running::start(Config::default()).await;
    let kind = "Content-Type: application/json\r\n";
    let text = "Content-Type: text/plain\r\n";
    let long = "x".repeat(16 * 1024 + 1);
    let body = format!(r#"{{"body":"{long}"}}"#);
    let request = format!(r#"{{"body":"a","x":"{}"}}"#, long.repeat(4));
    let cases = [
        (kind, r#"{"body":" \n"}"#, 400, "bad_request"),
        (kind, "{}", 400, "bad_request"),
        (kind, r#"["hello"]"#, 400, "bad_request"),
        (kind, "", 400, "bad_request"),
        (kind, r#"{"body":1}"#, 400, "bad_request"),
        (kind, r#"{"body":"a","name":"\n"}"#, 400, "bad_request"),
        (kind, r#"{"body":"a","cid":"a b"}"#, 400, "bad_request"),
        (kind, r#"{"body":"a","cid":"mine"}"#, 401, "unauthorized"),
        (kind, &body, 413, "too_large"),
        (kind, &request, 413, "too_large"),
        (text, r#"{"body":"a"}"#, 415, "unsupported"),
        ("", r#"{"body":"a"}"#, 415, "unsupported"),
    ];
    for (headers, body, status, code) in cases {
        let answer = hub.send("POST", MESSAGES, headers, body).await;
        let shown = &body[..body.len().min(60)];
        assert_eq!(answer.problem(), (status, code.into()), "{shown}");
    }
    for room in ["a%2Fb", "%ff", "..%2f", "%20"] {
        let path = format!("/api/v1/rooms/{room}/messages");
        let answer = hub.post(&path, "", &json!({"body": "a"})).await;
        assert_eq!(answer.problem(), (400, "bad_request".into()), "{room}");
    }
    let nothing = hub.post("/api/v1/nothing", "", &json!({})).await;
    assert_eq!(nothing.problem(), (404, "not_found".into()));
    assert_eq!(hub.poll("general", "wait=0").await["events"], json!([]));
}

#[tokio::test]
async fn who_a_message_is_from_is_said_well_or_refused() {
    let hub = Running::start(Config::default()).await;
    let key = format!("{GUEST}Idempotency-Key: a\r\n");
    let body = json!({"body": "a", "cid": "b"});
    let differs = hub.post(MESSAGES, &key, &body).await;
    assert_eq!(differs.problem(), (409, "conflict".into()));
    for headers in [
        "Authorization: Bearer\r\n",
        "Authorization: bearer short\r\n",
    ] {
        let posted = hub.post(MESSAGES, headers, &json!({"body": "a"})).await;
        let read = hub.get(MESSAGES, headers).await;
        for answer in [posted, read, hub.get("/sse/general", headers).await] {
            assert_eq!(answer.problem(), (401, "unauthorized".into()));
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
}

#[tokio::test]
async fn a_password_that_a_proxy_asked_for_is_nobodys_authorization() {
    let hub = Running::start(Config::default()).await;
    for headers in [
        "Authorization: Basic YTpi\r\n",
        "Authorization: Digest username=a\r\n",
    ] {
        let posted = hub.post(MESSAGES, headers, &json!({"body": "a"})).await;
        assert_eq!(posted.status, 201, "{posted:?}");
        let read = hub.poll("general", "wait=0").await;
        let from = &read["events"][0]["from"];
        assert_eq!(from["name"], "guest", "{read}");
        assert_eq!(hub.get(MESSAGES, headers).await.status, 200);
        hub.sse("/sse/general", headers).await.event("ok").await;
        let keyed = format!("{headers}Idempotency-Key: a\r\n");
        let refused = hub.post(MESSAGES, &keyed, &json!({"body": "a"})).await;
        assert_eq!(refused.problem(), (401, "unauthorized".into()));
    }
}

#[tokio::test]
async fn a_room_is_not_made_for_free() {
    let limits = Limits {
        rooms_per_address: 1,
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        ..behind_a_proxy()
    })
    .await;
    let body = json!({"body": "a"});
    let made = hub.post("/api/v1/rooms/one/messages", "", &body).await;
    assert_eq!(made.status, 201);
    let posted = hub.post("/api/v1/rooms/two/messages", "", &body).await;
    for refused in [posted, hub.get("/sse/two", "").await] {
        assert_eq!(refused.problem(), (429, "rate_limited".into()));
        assert_eq!(refused.header("retry-after"), Some("5"));
    }
}

#[tokio::test]
async fn each_path_has_the_methods_of_the_document_and_tells_who_tries_another() {
    let hub = Running::start(Config::default()).await;
    let document = hub.get("/api/v1/openapi.json", "").await.json();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.replace("{room}", "general").replace("{id}", "s_1");
        let item = item.as_object().unwrap();
        let mut allowed: Vec<_> = item.keys().filter(|key| *key != "parameters").collect();
        allowed.sort();
        let allowed: Vec<_> = allowed.iter().map(|method| method.to_uppercase()).collect();
        let expected = allowed.join(",").replace("GET", "GET,HEAD");
        for method in ["PUT", "PATCH", "OPTIONS"] {
            let answer = hub.request(method, &path, "Content-Length: 0\r\n").await;
            assert_eq!(answer.problem(), (405, "unsupported".into()));
            let mut told: Vec<_> = answer.header("allow").unwrap().split(',').collect();
            told.sort_unstable();
            assert_eq!(told.join(","), expected, "{path}");
        }
    }
}

#[tokio::test]
async fn pages_of_other_sites_are_refused_and_those_allowed_are_told_so() {
    let hub = Running::start(Config::default()).await;
    let other = "Origin: http://evil.example\r\n";
    for headers in [
        other,
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n",
    ] {
        let posted = hub.post(MESSAGES, headers, &json!({"body": "a"})).await;
        assert_eq!(posted.problem(), (403, "forbidden".into()), "{headers}");
        for path in [MESSAGES, "/sse/general", "/api/v1/nothing"] {
            let read = hub.get(path, headers).await;
            assert_eq!(read.problem(), (403, "forbidden".into()), "{headers}");
            assert_eq!(read.header("access-control-allow-origin"), None);
            assert_eq!(read.header("vary"), Some("Origin"));
        }
    }
    let refused = hub.get(MESSAGES, other).await;
    for named in ["http://evil.example", "--allow-origin"] {
        assert!(refused.body.contains(named), "{refused:?}");
    }
    // A link that is followed is no page that asks; a form that is sent is.
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n";
    assert_eq!(hub.get(MESSAGES, link).await.status, 200);
    let posted = hub.post(MESSAGES, link, &json!({"body": "a"})).await;
    assert_eq!(posted.status, 403);
    for ours in [
        "Origin: http://localhost\r\n",
        "Sec-Fetch-Site: same-origin\r\n",
        "Sec-Fetch-Site: none\r\n",
    ] {
        let posted = hub.post(MESSAGES, ours, &json!({"body": "a"})).await;
        assert_eq!(posted.status, 201, "{ours}");
        assert_eq!(posted.header("access-control-allow-origin"), None);
    }

    let origins = AllowedOrigins::List(vec!["https://app.example".into()]);
    let hub = Running::start(Config {
        origins,
        ..Config::default()
    })
    .await;
    let allowed = "Origin: https://app.example\r\nSec-Fetch-Site: cross-site\r\n";
    let posted = hub.post(MESSAGES, allowed, &json!({"body": "a"})).await;
    assert_eq!(posted.status, 201);
    let named = posted.header("access-control-allow-origin");
    assert_eq!(named, Some("https://app.example"));
    let asks = format!("{allowed}Access-Control-Request-Method: POST\r\n");
    let preflight = hub.request("OPTIONS", MESSAGES, &asks).await;
    assert_eq!(preflight.status, 204);
    for (name, part) in [
        ("access-control-allow-origin", "https://app.example"),
        ("access-control-allow-methods", "POST"),
        ("access-control-allow-headers", "idempotency-key"),
        ("access-control-max-age", "86400"),
    ] {
        assert!(preflight.header(name).unwrap().contains(part), "{name}");
    }
    let asks = format!("{other}Access-Control-Request-Method: POST\r\n");
    assert_eq!(hub.request("OPTIONS", MESSAGES, &asks).await.status, 403);

    let hub = Running::start(Config {
        origins: AllowedOrigins::Any,
        ..Config::default()
    })
    .await;
    let posted = hub.post(MESSAGES, other, &json!({"body": "a"})).await;
    let named = posted.header("access-control-allow-origin");
    assert_eq!((posted.status, named), (201, Some("http://evil.example")));
}

#[tokio::test]
async fn data_answers_and_what_an_app_adds_come_through() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    let meta = json!({"format": "md", "tags": ["a", 1]});
    let body = json!({"body": "which?", "reply_to": 7, "meta": meta});
    assert_eq!(hub.post(MESSAGES, GUEST, &body).await.status, 201);
    let msg = ana.msg().await;
    assert_eq!((&msg["reply_to"], &msg["meta"]), (&json!(7), &meta));
    let mut stream = hub.sse("/sse/general?backlog=0", "").await;
    stream.event("ok").await;
    for data in [json!({"eur": [1.25, null]}), json!(null)] {
        let key = format!("{GUEST}Idempotency-Key: {}\r\n", data.is_null());
        for status in [201, 200] {
            let posted = hub.post(MESSAGES, &key, &json!({"data": data})).await;
            assert_eq!(posted.status, status, "{posted:?}");
        }
        let event = stream.event("data").await;
        assert_eq!(event.data["data"], data);
        assert_eq!(ana.event("data").await, event.data);
    }
    let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    for bad in [
        r#"{"body":"a","data":1}"#,
        r#"{"body":"a","meta":[]}"#,
        r#"{"body":"a","reply_to":0}"#,
        &format!(r#"{{"data":{deep}}}"#),
    ] {
        let kind = "Content-Type: application/json\r\n";
        let refused = hub.send("POST", MESSAGES, kind, bad).await;
        assert_eq!(refused.problem(), (400, "bad_request".into()), "{bad}");
    }
}

#[tokio::test]
async fn a_page_has_messages_as_they_are_now_and_a_cursor_to_go_on_from() {
    let hub = Running::start(Config::default()).await;
    let empty = hub.get(MESSAGES, "").await.json();
    assert_eq!(empty["events"], json!([]));
    let mut seqs = Vec::new();
    for n in 0..6 {
        seqs.push(hub.say("general", &n.to_string()).await["seq"].clone());
    }
    let mut ana = hub.guest("general").await;
    let change = |op, n: usize| json!({"op": op, "room": "general", "target": seqs[n]});
    let mut edit = change("edit", 3);
    edit["body"] = json!("three");
    ana.ok(edit).await;
    ana.ok(change("delete", 4)).await;
    let mut react = change("react", 5);
    (react["emoji"], react["on"]) = (json!("+1"), json!(true));
    ana.ok(react).await;

    let page = hub.get(&format!("{MESSAGES}?limit=3"), GUEST).await.json();
    let shown: Vec<_> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["body"])
        .collect();
    assert_eq!(shown, [&json!("three"), &json!(null), &json!("5")]);
    assert!(page["events"][0]["edited"].is_u64());
    let reactions = |page: &Value| page["events"][2]["reactions"]["+1"].clone();
    assert_eq!(reactions(&page), json!({"count": 1, "me": true}));
    assert_eq!(
        (&page["more_before"], &page["more_after"]),
        (&json!(true), &json!(false))
    );
    let others = hub.get(&format!("{MESSAGES}?limit=3"), "").await.json();
    assert_eq!(reactions(&others), json!({"count": 1, "me": false}));
    // The page is what `history` answers.
    let mut history = ana
        .ok(json!({"op": "history", "room": "general", "limit": 3}))
        .await;
    history["cursor"] = page["cursor"].clone();
    assert_eq!(page, history);

    let cursor = page["cursor"].as_str().unwrap();
    hub.say("general", "new").await;
    let next = hub
        .poll("general", &format!("wait=25&after={cursor}"))
        .await;
    assert_eq!(bodies(&next["events"]), ["new"]);
    for (query, expected) in [
        (format!("before={}", seqs[2]), &["0", "1"][..]),
        (format!("after={}&limit=2", seqs[0]), &["1", "2"]),
        (format!("after=0&before={}", seqs[1]), &["0"]),
        (format!("around={}&limit=2", seqs[1]), &["0", "1"]),
    ] {
        let page = hub.get(&format!("{MESSAGES}?{query}"), "").await.json();
        assert_eq!(bodies(&page["events"]), expected, "{query}");
    }
}

#[tokio::test]
async fn messages_are_found_by_their_words_in_one_room_or_in_all() {
    let hub = Running::start(Config::default()).await;
    for (room, body) in [
        ("one", "hello all"),
        ("two", "hello there"),
        ("two", "hello again"),
    ] {
        hub.say(room, body).await;
    }
    let search = async |query: &str| hub.get(&format!("/api/v1/search?{query}"), "").await;
    let found = async |query: &str| {
        let found = search(query).await.json();
        let hits = found["hits"].as_array().unwrap().iter();
        hits.map(|hit| hit["message"]["body"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut all = found("q=hel").await;
    all.sort();
    assert_eq!(all, ["hello again", "hello all", "hello there"]);
    let newest_first = ["hello again", "hello there"];
    assert_eq!(found("q=hel&room=two").await, newest_first);
    assert_eq!(found("q=hello&room=one").await, ["hello all"]);
    assert_eq!(found("q=hello&room=none").await, [""; 0]);
    let first = search("q=hello&limit=1&room=two").await.json();
    assert_eq!(first["hits"][0]["snippet"], json!(["", "hello", " again"]));
    let cursor = first["cursor"].as_str().unwrap();
    let rest = found(&format!("q=hello&limit=1&room=two&cursor={cursor}")).await;
    assert_eq!(rest, ["hello there"]);
    for bad in [
        "",
        "q=",
        "q=+",
        "q=a&limit=51",
        "q=a&room=a%2Fb",
        "q=a&after=x",
    ] {
        let refused = search(bad).await;
        assert_eq!(refused.problem(), (400, "bad_request".into()), "{bad}");
    }
}

#[tokio::test]
async fn rooms_are_listed_by_name_and_what_there_is_is_counted() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "b").await;
    ana.ok(json!({"op": "join", "room": "c"})).await;
    let mut stream = hub.sse("/sse/a%20b", "").await;
    stream.event("ok").await;
    let list = async |query: &str| hub.get(&format!("/api/v1/rooms?{query}"), "").await.json();
    let all =
        json!([{"room": "a b", "count": 0}, {"room": "b", "count": 1}, {"room": "c", "count": 1}]);
    assert_eq!(list("").await, json!({"rooms": all, "next": null}));
    let first = list("limit=2").await;
    assert_eq!(first["next"], "b");
    assert_eq!(list("after=b").await["rooms"], json!([all[2]]));
    let stats = hub.get("/api/v1/stats", "").await.json();
    for (key, expected) in [
        ("streams", json!(1)),
        ("users", json!(2)),
        ("rooms", json!(4)),
    ] {
        assert_eq!(stats[key], expected, "{key}");
    }
    assert_eq!(stats["websockets"]["v1"], 1);
    assert!(stats["connections"].as_u64() >= Some(3), "{stats}");
}

#[tokio::test]
async fn the_members_of_a_room_come_in_pages() {
    let hub = Running::start(Config::default()).await;
    let path = "/api/v1/rooms/general/members";
    let nobody = json!({"members": [], "cursor": null, "count": 0});
    assert_eq!(hub.get(path, "").await.json(), nobody);
    let elsewhere = hub.get("/api/v1/rooms/none/members", "").await;
    assert_eq!(elsewhere.json(), nobody);
    let mut clients = Vec::new();
    for name in ["Ana", "Bo", "Cy"] {
        clients.push(hub.member(name, "general").await);
    }
    let first = hub.get(&format!("{path}?limit=2"), "").await.json();
    assert_eq!(first["count"], 3);
    let after = first["cursor"].as_str().unwrap();
    let rest = hub.get(&format!("{path}?cursor={after}"), "").await.json();
    assert_eq!(rest["cursor"], json!(null));
    let members = [&first["members"], &rest["members"]].map(|page| page.as_array().unwrap());
    let members = members.into_iter().flatten();
    let mut names: Vec<_> = members.map(|one| one["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Ana", "Bo", "Cy"]);
    let all = clients[0]
        .ok(json!({"op": "members", "room": "general"}))
        .await;
    assert_eq!(hub.get(path, "").await.json(), all);
    let bad = hub.get(&format!("{path}?limit=201"), "").await;
    assert_eq!(bad.problem(), (400, "bad_request".into()));
}

#[tokio::test]
async fn the_connections_are_for_who_looks_after_the_server() {
    let hub = Running::start(Config::default()).await;
    let path = "/api/v1/connections";
    let one = format!("{path}/s_0123456789abcdef");
    for (headers, status, code) in [("", 401, "unauthorized"), (GUEST, 403, "forbidden")] {
        let listed = hub.get(path, headers).await;
        let kicked = hub.request("DELETE", &one, headers).await;
        for refused in [listed, kicked] {
            assert_eq!(refused.problem(), (status, code.into()));
        }
    }
}

#[tokio::test]
async fn who_administers_sees_the_connections_and_sends_clients_away() {
    let hub = Running::start(with_admin()).await;
    let path = "/api/v1/connections";
    let admin = bearer(ADMIN);
    let mut ana = hub.guest("general").await;
    let plain = hub.connect("/ws?room=plain").await;
    let mut stream = hub.sse("/sse/general", GUEST).await;
    stream.event("ok").await;
    let mut found = Vec::new();
    let mut after = String::new();
    for _ in 0..3 {
        let page = hub.get(&format!("{path}?limit=1{after}"), &admin).await;
        let page = page.json();
        found.push(page["connections"][0].clone());
        after = format!("&after={}", page["next"].as_str().unwrap());
    }
    let last = hub.get(&format!("{path}?limit=1{after}"), &admin).await;
    assert_eq!(last.json(), json!({"connections": [], "next": null}));
    let of = |dialect: &str| {
        let one = found.iter().find(|one| one["dialect"] == dialect);
        one.unwrap_or_else(|| panic!("no {dialect} in {found:?}"))
    };
    let [v1, json, sse] = ["v1", "json", "sse"].map(of);
    assert_eq!(
        (&v1["name"], &v1["rooms"]),
        (&json!("Ana"), &json!(["general"]))
    );
    assert_eq!(
        (&json["user"], &json["rooms"]),
        (&json!(null), &json!(["plain"]))
    );
    // A guest is the same user by either way.
    assert_eq!((&sse["user"], &sse["rooms"]), (&v1["user"], &v1["rooms"]));
    assert!(
        found.iter().all(|one| one["address"] == "127.0.0.1"),
        "{found:?}"
    );

    for one in [v1, sse] {
        let one = format!("{path}/{}", one["id"].as_str().unwrap());
        assert_eq!(hub.request("DELETE", &one, &admin).await.status, 204);
        within(async { while hub.request("DELETE", &one, &admin).await.status == 204 {} }).await;
        let gone = hub.request("DELETE", &one, &admin).await;
        assert_eq!(gone.problem(), (404, "not_found".into()));
    }
    assert_eq!(ana.closed().await, (CloseCode::new(4005), "kicked".into()));
    assert_eq!(stream.next().await, None);
    let left = hub.get(path, &admin).await.json();
    assert_eq!(left["connections"], json!([json]));
    drop(plain);
    let nobody = hub.request("DELETE", &format!("{path}/s_1"), &admin).await;
    assert_eq!(nobody.problem(), (400, "bad_request".into()));
}

#[tokio::test]
async fn s26_who_administers_has_erased_what_a_user_said_and_the_places_stay() {
    let hub = Running::start(with_admin()).await;
    let admin = bearer(ADMIN);
    let mut ana = hub.guest("general").await;
    let mut bo = hub.member("Bo", "general").await;
    ana.say("general", "1", "secret word").await;
    bo.say("general", "2", "another word").await;
    ana.say("general", "3", "secret again").await;
    let user = bo.msg().await["from"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/users/{user}/messages");
    for (headers, status, code) in [("", 401, "unauthorized"), (GUEST, 403, "forbidden")] {
        let refused = hub.request("DELETE", &path, headers).await;
        assert_eq!(refused.problem(), (status, code.into()));
    }
    for erased in [2, 0] {
        let answer = hub.request("DELETE", &path, &admin).await;
        assert_eq!(
            (answer.status, answer.json()),
            (200, json!({"erased": erased}))
        );
    }
    // Neither who pages nor who joins, searches or comes back finds it; all places are there.
    let page = hub.get(MESSAGES, "").await.json();
    let mut cy = hub.v1().await;
    cy.hello("Cy").await;
    let join = json!({"op": "join", "room": "general"});
    cy.ok(join).await;
    for (n, body) in [Value::Null, json!("another word"), Value::Null]
        .into_iter()
        .enumerate()
    {
        assert_eq!(
            (&page["events"][n]["seq"], &page["events"][n]["body"]),
            (&json!(n + 1), &body)
        );
        let msg = cy.msg().await;
        assert_eq!(
            (&msg["seq"], &msg["prev"], &msg["body"]),
            (&json!(n + 1), &json!(n), &body)
        );
    }
    let found = hub.get("/api/v1/search?q=secret&room=general", "").await;
    assert_eq!(found.json()["hits"], json!([]));
    let nobody = format!("/api/v1/users/{}/messages", "x".repeat(129));
    for nobody in [&nobody, "/api/v1/users/plain/messages"] {
        let refused = hub.request("DELETE", nobody, &admin).await;
        assert_eq!(refused.problem(), (400, "bad_request".into()));
    }
}

#[tokio::test]
async fn a_poll_is_held_until_something_is_said() {
    let hub = Running::start(Config::default()).await;
    let begin = hub.poll("general", "wait=60").await;
    assert_eq!(begin["events"], json!([]));
    let cursor = begin["cursor"].as_str().unwrap();
    let query = format!("after={cursor}&wait=60");
    let (page, said) = tokio::join!(within(hub.poll("general", &query)), async {
        // It waits by now, or comes to find it: either way it gets it.
        tokio::task::yield_now().await;
        hub.say("general", "hello").await
    });
    assert_eq!(bodies(&page["events"]), ["hello"]);
    assert_eq!(page["events"][0]["seq"], said["seq"]);
    assert_eq!(page["reset"], json!(null));
    // A page at a time, each from the cursor of the one before.
    for body in ["two", "three", "four"] {
        hub.say("general", body).await;
    }
    let mut cursor = page["cursor"].as_str().unwrap().to_owned();
    for expected in [&["two", "three"][..], &["four"], &[]] {
        let page = hub
            .poll("general", &format!("limit=2&wait=0&after={cursor}"))
            .await;
        assert_eq!(bodies(&page["events"]), expected);
        page["cursor"].as_str().unwrap().clone_into(&mut cursor);
    }
    for bad in [
        "wait=61",
        "wait=-1",
        "wait=x",
        "limit=201",
        "limit=0",
        "wait=1&wait=2",
        "wait=0&before=1",
        "wait=0&around=1",
        "after=k3f9.1.8Q2ZTM",
        "before=0",
        "around=1&after=1",
    ] {
        let answer = hub.get(&format!("{MESSAGES}?{bad}"), "").await;
        assert_eq!(answer.problem(), (400, "bad_request".into()), "{bad}");
    }
}

#[tokio::test]
async fn a_poll_that_waits_in_vain_is_empty_and_a_shutdown_ends_it() {
    let hub = Running::start(Config::default()).await;
    let cursor = hub.poll("general", "wait=0").await["cursor"].clone();
    let cursor = cursor.as_str().unwrap();
    let page = hub.poll("general", &format!("after={cursor}&wait=1")).await;
    assert_eq!(
        (&page["events"], &page["cursor"]),
        (&json!([]), &json!(cursor))
    );
    let mut poll = TcpStream::connect(hub.addr).await.unwrap();
    let request =
        format!("GET {MESSAGES}?after={cursor}&wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    poll.write_all(request.as_bytes()).await.unwrap();
    // The server has read it: it answers the next one behind it only then.
    within(hub.get("/healthz", "")).await;
    let stopped = hub.begin_stop();
    let mut answer = String::new();
    within(poll.read_to_string(&mut answer)).await.unwrap();
    within(stopped).await.unwrap();
    assert!(
        answer.is_empty() || answer.contains("\"events\":[]"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let timeouts = Timeouts {
        request: Duration::from_millis(50),
        ..Timeouts::default()
    };
    let hub = Running::start(Config {
        timeouts,
        ..Config::default()
    })
    .await;
    let headers = "Content-Type: application/json\r\nContent-Length: 9\r\n";
    let answer = hub.request("POST", MESSAGES, headers).await;
    assert_eq!(answer.problem(), (408, "bad_request".into()));
}
