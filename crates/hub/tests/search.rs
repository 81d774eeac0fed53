//! Goal: a search finds what is there, and costs others nothing, however long it takes.
//! Method: a projection that answers searches when it is told to, and clients behind a proxy that is trusted, so that one machine is many
//! addresses.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::sync::{Arc, Mutex};

use fullduplex_hub::{
    Config, Hub, TrustedProxies,
    auth::Access,
    log::{
        Answer, Found, MemoryLimits, MemoryLog, Page, PageQuery, Projection, ReadError, ReadMark,
        SearchQuery, Store,
    },
};
use serde_json::{Value, json};
use support::{Running, V1, within};
use tokio::{net::TcpListener, sync::oneshot};

const ONE: &str = "203.0.113.1";
const OTHER: &str = "203.0.113.2";

/// Leaves searches to the test.
struct Slow {
    rest: Arc<MemoryLog>,
    searches: Mutex<Vec<oneshot::Sender<Result<Found, ReadError>>>>,
}

impl Projection for Slow {
    fn page(&self, query: PageQuery) -> Answer<Page, ReadError> {
        self.rest.page(query)
    }

    fn search(&self, _query: SearchQuery) -> Answer<Found, ReadError> {
        let (found, answer) = Answer::later();
        self.searches.lock().unwrap().push(found);
        answer
    }

    fn mark(&self, room: &Arc<str>, user: &Arc<str>) -> Answer<ReadMark, ReadError> {
        self.rest.mark(room, user)
    }

    fn set_mark(&self, room: &Arc<str>, user: &Arc<str>, seq: u64) -> Answer<ReadMark, ReadError> {
        self.rest.set_mark(room, user, seq)
    }
}

impl Slow {
    /// Searches that somebody waits for.
    fn awaited(&self) -> usize {
        let mut searches = self.searches.lock().unwrap();
        searches.retain(|search| !search.is_closed());
        searches.len()
    }

    fn answer(&self, result: &Result<Found, ReadError>) {
        for search in self.searches.lock().unwrap().drain(..) {
            search.send(result.clone()).ok();
        }
    }
}

async fn start() -> (Running, Arc<Slow>) {
    let config = Config {
        access: Access::Open,
        trusted_proxies: TrustedProxies::parse(["127.0.0.0/8"]).unwrap(),
        ..Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut slow = None;
    let hub = Hub::with_log(config, listener, |committed| {
        let limits = MemoryLimits {
            room_events: 100,
            events: 1_000,
            bytes: 1 << 20,
        };
        let log = Arc::new(MemoryLog::new(limits, committed));
        let projection = slow.insert(Arc::new(Slow {
            rest: Arc::clone(&log),
            searches: Mutex::default(),
        }));
        Ok(Store {
            projection: Arc::clone(projection) as _,
            log,
        })
    });
    (Running::run(hub.await.unwrap()), slow.unwrap())
}

async fn member(hub: &Running, address: &str, name: &str) -> V1 {
    let client = hub.client("/ws");
    let mut client = V1::open(client.header("X-Forwarded-For", address).unwrap()).await;
    client.hello(name).await;
    client.ok(json!({"op": "join", "room": "general"})).await;
    client
}

fn search() -> Value {
    json!({"op": "search", "id": 7, "q": "word"})
}

async fn until(is_so: impl Fn() -> bool) {
    within(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_address_has_two_searches_at_a_time_and_gets_them_back() {
    let (hub, slow) = start().await;
    let mut searchers = Vec::new();
    for name in ["ana", "bo"] {
        let mut searcher = member(&hub, ONE, name).await;
        searcher.send(&search()).await;
        searchers.push(searcher);
    }
    until(|| slow.awaited() == 2).await;
    let mut third = member(&hub, ONE, "cy").await;
    let refused = third.call(search()).await;
    assert_eq!(refused["err"]["code"], "rate_limited", "{refused}");
    assert_eq!(refused["err"]["retry_ms"], 1_000);
    let by_http = format!("X-Forwarded-For: {ONE}\r\n");
    let path = "/api/v1/search?q=word&room=general";
    let refused = hub.get(path, &by_http).await;
    assert_eq!(refused.problem(), (429, "rate_limited".into()));
    // Others, and whatever else is asked for.
    let mut other = member(&hub, OTHER, "di").await;
    other.send(&search()).await;
    until(|| slow.awaited() == 3).await;
    third.say("general", "c", "hello").await;
    third.ok(json!({"op": "history", "room": "general"})).await;
    // Who goes leaves the turn to others.
    drop(searchers.pop());
    until(|| slow.awaited() == 2).await;
    third.send(&search()).await;
    until(|| slow.awaited() == 3).await;
    slow.answer(&Ok(Found::default()));
    for searcher in searchers.iter_mut().chain([&mut other, &mut third]) {
        let reply = within(searcher.reply()).await;
        assert_eq!(reply["ok"]["hits"], json!([]), "{reply}");
    }
    third.send(&search()).await;
    until(|| slow.awaited() == 1).await;
}

#[tokio::test]
async fn who_searches_for_too_much_is_told_so() {
    let (hub, slow) = start().await;
    let mut searcher = member(&hub, ONE, "ana").await;
    searcher.send(&search()).await;
    until(|| slow.awaited() == 1).await;
    slow.answer(&Err(ReadError::TooLong));
    let reply = within(searcher.reply()).await;
    let why = "this takes too long to read: ask for less";
    assert_eq!(reply["err"], json!({"code": "unavailable", "msg": why}));
}

#[tokio::test]
async fn search_finds_what_is_there_now_in_rooms_that_were_joined() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.user("Ana", "general").await;
    let mut bo = hub.user("Bo", "private").await;
    ana.ok(json!({"op": "join", "room": "other"})).await;
    bo.say("private", "1", "needle of Bo").await;
    let first = ana.say("general", "1", "a needle in the hay").await;
    let hay = ana.say("general", "2", "only hay").await;
    // Between rooms it is the time that makes one message newer than another.
    while ana.ok(json!({"op": "ping"})).await["now"].as_u64() <= hay["ts"].as_u64() {}
    ana.say("other", "3", "Needles, elsewhere").await;
    let gone = ana.say("general", "4", "needle to be deleted").await;
    ana.ok(json!({"op": "delete", "room": "general", "target": gone["seq"]}))
        .await;
    ana.ok(json!({"op": "edit", "room": "general", "target": hay["seq"], "body": "now a needle"}))
        .await;
    let hits = |found: &Value| -> Vec<String> {
        let hits = found["hits"].as_array().unwrap().iter();
        hits.map(|hit| hit["message"]["body"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = ana.ok(json!({"op": "search", "q": "needle"})).await;
    assert_eq!(
        hits(&all),
        ["Needles, elsewhere", "now a needle", "a needle in the hay"]
    );
    assert_eq!(
        all["hits"][2]["snippet"],
        json!(["a ", "needle", " in the hay"])
    );
    assert_eq!(all["hits"][0]["message"]["room"], "other");
    assert_eq!(all["cursor"], Value::Null);
    let here = ana
        .ok(json!({"op": "search", "q": "needle", "room": "general"}))
        .await;
    assert_eq!(hits(&here), ["now a needle", "a needle in the hay"]);
    let both = ana.ok(json!({"op": "search", "q": "hay needle"})).await;
    assert_eq!(hits(&both), ["a needle in the hay"]);
    let nothing = ana.ok(json!({"op": "search", "q": "only"})).await;
    assert_eq!(hits(&nothing), [""; 0]);
    let not_before = first["ts"].as_u64().unwrap() + 3_600_000;
    let later = ana
        .ok(json!({"op": "search", "q": "needle", "after": not_before}))
        .await;
    assert_eq!(hits(&later), [""; 0]);
    let of_bo = ana
        .ok(json!({"op": "search", "q": "needle", "from": "u_0"}))
        .await;
    assert_eq!(hits(&of_bo), [""; 0]);
    assert_eq!(
        ana.err(json!({"op": "search", "q": "needle", "room": "private"}))
            .await,
        "not_joined"
    );
    assert_eq!(
        ana.err(json!({"op": "search", "q": " "})).await,
        "bad_request"
    );
    // One by one, each once.
    let (mut found, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = ana
            .ok(json!({"op": "search", "q": "needle", "limit": 1, "cursor": cursor}))
            .await;
        found.extend(hits(&page));
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(found, hits(&all));
}
