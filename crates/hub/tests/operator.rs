//! What those who look after a hub are told.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use fullduplex::CloseFrame;
use fullduplex_hub::{
    Config, Hub, Timeouts, TrustedProxies,
    auth::Access,
    log::{
        Answer, Append, AppendError, Bounds, Draft, Health, Log, MemoryLimits, MemoryLog, PageSize,
        ReadError, Sought, Start, Store, Tail,
    },
};
use serde_json::json;
use support::{
    PATIENCE, Running, UPGRADE,
    admin::{ADMIN, with_admin},
    lines::Lines,
    within,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};

/// Asks one of the operators' listener.
async fn ask(addr: SocketAddr, path: &str) -> String {
    ask_as(addr, "localhost", path).await
}

/// The same by another name.
async fn ask_as(addr: SocketAddr, host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// The metrics once they have all these lines.
async fn counted(hub: &Running, lines: &[&str]) -> String {
    let mut page = String::new();
    let all_there = async {
        loop {
            page = hub.get("/metrics", "").await.body;
            if lines.iter().all(|line| page.lines().any(|is| is == *line)) {
                return;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(PATIENCE, all_there).await;
    assert!(waited.is_ok(), "{lines:?} not all in {page}");
    page
}

#[tokio::test]
async fn what_happens_is_counted() {
    let config = Config {
        timeouts: Timeouts {
            presence_away: Duration::from_millis(10),
            presence_left: Duration::from_millis(10),
            ..Timeouts::default()
        },
        ..Config::default()
    };
    let hub = Running::start(config).await;
    let mut ana = hub.member("Ana", "general").await;
    let mut ben = hub.member("Ben", "general").await;
    let mut plain = hub.connect("/ws").await;
    ana.say("general", "1", "hello").await;
    ben.msg().await;
    within(plain.recv()).await.unwrap();
    let mut late = hub.connect("/ws?mode=text&history=1").await;
    within(late.recv()).await.unwrap();
    support::bye(&mut late).await;
    let seen = ana.ok(json!({"op": "ping"})).await;
    assert!(seen.is_object());
    let mut echo = hub.connect("/echo").await;
    for _ in 0..3 {
        within(echo.send("x")).await.unwrap();
        within(echo.recv()).await.unwrap();
    }
    counted(
        &hub,
        &[
            "fdx_websockets{kind=\"v1\"} 2",
            "fdx_websockets{kind=\"json\"} 1",
            "fdx_websockets{kind=\"text\"} 0",
            "fdx_websockets{kind=\"echo\"} 1",
            "fdx_messages_received_total{kind=\"v1\"} 6",
            "fdx_messages_received_total{kind=\"echo\"} 3",
            "fdx_deliveries_total 4",
            "fdx_room_users 2",
            "fdx_rooms 1",
            // The four, and the one that asks.
            "fdx_connections 5",
            "fdx_connections_limit 10000",
            "fdx_http_requests_total{status=\"101\"} 5",
        ],
    )
    .await;
    within(echo.close(CloseFrame::normal())).await;
    drop(plain);
    drop(ben);
    let refused = hub.raw("GET /ws HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    let page = counted(
        &hub,
        &[
            "fdx_websockets{kind=\"echo\"} 0",
            "fdx_websockets{kind=\"json\"} 0",
            "fdx_websockets_opened_total{kind=\"json\"} 1",
            "fdx_closes_sent_total{code=\"1000\"} 2",
            "fdx_closes_received_total{code=\"1000\"} 2",
            "fdx_websockets_lost_total 2",
            "fdx_handshakes_refused_total 1",
            "fdx_http_requests_total{status=\"403\"} 1",
            "fdx_room_users 1",
        ],
    )
    .await;
    let ring = page
        .lines()
        .find(|line| line.starts_with("fdx_ring_bytes "));
    let bytes: usize = ring.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(bytes > 0, "{page}");
    assert!(page.contains("\nprocess_start_time_seconds "), "{page}");
}

#[tokio::test]
async fn what_comes_of_a_cursor_is_counted() {
    let hub = Running::start(Config::default()).await;
    let mut ana = hub.member("Ana", "general").await;
    ana.say("general", "1", "hello").await;
    let joined = ana.ok(json!({"op": "join", "room": "general"})).await;
    let cursor = joined["cursor"].as_str().unwrap().to_owned();
    for since in [&*cursor, "someone-elses.1.aaaaaa", "no cursor"] {
        let mut other = hub.v1().await;
        other.hello("Ben").await;
        other
            .ok(json!({"op": "join", "room": "general", "since": since}))
            .await;
    }
    let last = format!("Last-Event-ID: {cursor}\r\n");
    let mut stream = hub.sse("/sse/general", &last).await;
    stream.event("ok").await;
    // Who polls has never been away.
    let poll = format!("/api/v1/rooms/general/messages?after={cursor}&wait=0");
    assert_eq!(hub.get(&poll, "").await.status, 200);
    counted(
        &hub,
        &[
            "fdx_resumes_total{result=\"ok\"} 2",
            "fdx_resumes_total{result=\"epoch\"} 1",
            "fdx_resumes_total{result=\"mismatch\"} 1",
            "fdx_resumes_total{result=\"too_far\"} 0",
        ],
    )
    .await;
}

#[tokio::test]
async fn metrics_are_for_this_machine_and_not_for_whom_a_proxy_on_it_sends_on() {
    let config = Config {
        hosts: vec!["chat.example.com".to_owned()],
        access: Access::Open,
        ..with_admin()
    };
    let hub = Running::start(config.clone()).await;
    let page = hub.get("/metrics", "").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    let by_address = format!("Host: {}\r\n", hub.addr);
    assert_eq!(hub.get("/metrics", &by_address).await.status, 200);
    for forwarded in [
        "X-Forwarded-For: 192.0.2.1",
        "Forwarded: for=192.0.2.1",
        // The name that browsers know, which a proxy passes on.
        "Host: chat.example.com",
    ] {
        let refused = hub.get("/metrics", &format!("{forwarded}\r\n")).await;
        assert_eq!(refused.status, 403, "{forwarded}");
        assert!(!refused.body.contains("fdx_"), "{}", refused.body);
        for (token, status) in [(ADMIN, 200), ("b", 403)] {
            let headers = format!("{forwarded}\r\nAuthorization: Bearer {token}\r\n");
            assert_eq!(hub.get("/metrics", &headers).await.status, status);
        }
        // The balancer's own question comes that way, too.
        assert_eq!(
            hub.get("/readyz", &format!("{forwarded}\r\n")).await.status,
            200
        );
    }
    // Who may say for whom it asks is a proxy, also when it says nothing.
    let proxied = Config {
        access: Access::Open,
        trusted_proxies: TrustedProxies::parse(["127.0.0.1"]).unwrap(),
        ..config
    };
    let hub = Running::start(proxied).await;
    assert_eq!(hub.get("/metrics", "").await.status, 403);
}

#[tokio::test]
async fn s30_a_hub_that_stops_is_not_ready_and_says_so_on_a_listener_apart() {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let (listener, operators) = (bind().await.unwrap(), bind().await.unwrap());
    let addr = operators.local_addr().unwrap();
    let config = Config {
        timeouts: Timeouts {
            drain: Duration::from_secs(3600),
            ..Timeouts::default()
        },
        ..Config::default()
    };
    let hub = Hub::new(config, listener).await.unwrap();
    let hub = Running::run(hub.operators_on(operators));
    let open = hub.connect("/ws").await;
    assert!(ask(addr, "/readyz").await.ends_with("\r\n\r\nready\n"));
    assert!(ask(addr, "/healthz").await.ends_with("\r\n\r\nok\n"));
    assert!(
        ask(addr, "/metrics")
            .await
            .contains("\nfdx_connections 1\n")
    );
    assert!(ask(addr, "/").await.starts_with("HTTP/1.1 404 "));
    // A page of any site could send its requests here, by a name of its own.
    let foreign = ask_as(addr, "evil.example", "/metrics").await;
    assert!(foreign.starts_with("HTTP/1.1 421 "), "{foreign}");
    let stopping = hub.begin_stop();
    let stops = async {
        loop {
            let answer = ask(addr, "/readyz").await;
            if !answer.starts_with("HTTP/1.1 200 ") {
                return answer;
            }
        }
    };
    let answer = within(stops).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.ends_with("The server stops.\n"), "{answer}");
    assert!(ask(addr, "/healthz").await.ends_with("\r\n\r\nok\n"));
    stopping.abort();
    drop(open);
}

/// What decides an erasure.
type Erasing = oneshot::Sender<Result<u64, AppendError>>;

/// A log that takes nothing, and leaves it to others when something is erased.
struct Full {
    erasing: mpsc::UnboundedSender<Erasing>,
}

impl Log for Full {
    fn append(&self, _: Draft) -> Append {
        Answer::given(Err(AppendError::Unavailable))
    }

    fn bounds(&self, _: &Arc<str>) -> Answer<Bounds, ReadError> {
        Answer::given(Err(ReadError::Unavailable))
    }

    fn seek(&self, _: &Arc<str>, _: u64) -> Answer<Sought, ReadError> {
        Answer::given(Err(ReadError::Unavailable))
    }

    fn tail(&self, _: &Arc<str>, _: Start, _: PageSize) -> Answer<Tail, ReadError> {
        Answer::given(Err(ReadError::Unavailable))
    }

    fn erase(&self, _: &Arc<str>) -> Answer<u64, AppendError> {
        let (decide, erased) = Answer::later();
        self.erasing.send(decide).unwrap();
        erased
    }

    fn health(&self) -> Health {
        Health::ReadOnly {
            why: "/srv/data is full".into(),
            retry: Duration::from_secs(1),
        }
    }
}

async fn full(config: Config) -> (Running, mpsc::UnboundedReceiver<Erasing>) {
    let (erasing, asked) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let made = Hub::with_log(config, listener, |committed| {
        let limits = MemoryLimits {
            room_events: 1,
            events: 1,
            bytes: 1,
        };
        Ok(Store {
            log: Arc::new(Full { erasing }),
            projection: Arc::new(MemoryLog::new(limits, committed)),
        })
    });
    (Running::run(made.await.unwrap()), asked)
}

#[tokio::test]
async fn a_hub_whose_log_takes_nothing_is_not_ready_and_says_why_to_its_operator() {
    let (hub, _asked) = full(Config::default()).await;
    let answer = hub.get("/readyz", "").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.body,
        "Messages can't be stored: /srv/data is full.\n"
    );
    let answer = hub.get("/readyz", "X-Forwarded-For: 192.0.2.1\r\n").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, "Messages can't be stored.\n");
    // It is alive all the same.
    assert_eq!(hub.get("/healthz", "").await.status, 200);
    counted(&hub, &["fdx_log_takes_messages 0"]).await;
}

#[tokio::test]
async fn s26_who_has_something_erased_is_in_the_log_also_when_nobody_waits_for_the_end() {
    let (lines, _logging) = Lines::capture();
    let (hub, mut asked) = full(with_admin()).await;
    let asking = hub.ask("DELETE", "/api/v1/users/ana/messages");
    let erasing = tokio::select! {
        answer = asking => panic!("{answer:?} before it was erased"),
        erasing = within(asked.recv()) => erasing.unwrap(),
    };
    let text = lines.text();
    let line = text.lines().find(|line| line.contains("is to be erased"));
    let line = line.unwrap_or_else(|| panic!("not in {text}"));
    for field in ["user=ana", "by=\"fdx:admin\"", "address=127.0.0.1"] {
        assert!(line.contains(field), "{line}");
    }
    drop(erasing);
}

#[tokio::test]
async fn a_full_hub_still_answers_its_operators() {
    let bind = || TcpListener::bind("127.0.0.1:0");
    let (listener, operators) = (bind().await.unwrap(), bind().await.unwrap());
    let addr = operators.local_addr().unwrap();
    let mut config = Config::default();
    config.limits.connections = 1;
    let hub = Hub::new(config, listener).await.unwrap();
    let hub = Running::run(hub.operators_on(operators));
    let _only = hub.connect("/ws").await;
    let request = format!("GET /ws HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n");
    let mut refused = TcpStream::connect(hub.addr).await.unwrap();
    // It may be gone before it is written to.
    refused.write_all(request.as_bytes()).await.ok();
    let counted = async {
        loop {
            let page = ask(addr, "/metrics").await;
            if page.contains("\nfdx_connections_refused_total 1\n") {
                return;
            }
        }
    };
    within(counted).await;
}
