//! Goal: redirects and challenges are met within bounds, and what lets us in somewhere is told nobody else.
//! Method: servers in raw bytes on loopback, which keep every request they were sent.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{
    poll_times,
    raw::{PATIENCE, acceptance, pass, within},
};
use fullduplex::{
    Client, ConnectError, Retry, WebSocket,
    handshake::{Challenge, Credentials, RedirectError, Response, UriError, accept_for},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How long an attempt may take that is not answered.
const LIMIT: Duration = PATIENCE.checked_div(2).unwrap();

/// A server that answers each request by a function of it.
struct Stub {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    /// Shared by the listener and every connection.
    open: Arc<()>,
}

impl Stub {
    async fn new(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        let open = Arc::new(());
        let connections = Arc::clone(&open);
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let open = Arc::clone(&connections);
                let serving = serve(tcp, Arc::clone(&answer), Arc::clone(&seen));
                tokio::spawn(async move {
                    serving.await;
                    drop(open);
                });
            }
        });
        Self {
            addr,
            requests,
            open,
        }
    }

    fn uri(&self, resource: &str) -> String {
        format!("ws://{}{resource}", self.addr)
    }

    fn client(&self, resource: &str) -> Client {
        Client::new(&self.uri(resource)).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Lets the time of an attempt pass when there were so many requests.
    async fn is_late_for(&self, requests: usize) {
        while self.requests().len() < requests {
            tokio::task::yield_now().await;
        }
        pass(LIMIT).await;
    }

    /// The values of a header over all requests, `-` where it is missing.
    fn header(&self, name: &str) -> Vec<String> {
        let requests = self.requests();
        requests.iter().map(|head| header(head, name)).collect()
    }
}

async fn serve(
    mut tcp: TcpStream,
    answer: Arc<impl Fn(&str) -> String>,
    seen: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = tcp.read_u8().await else {
            return;
        };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    seen.lock().unwrap().push(head.clone());
    let answer = answer(&head);
    tcp.write_all(answer.as_bytes()).await.ok();
    // A connection that is open stays so; others end when the client has read.
    let mut rest = Vec::new();
    tcp.read_to_end(&mut rest).await.ok();
}

fn header(head: &str, name: &str) -> String {
    let prefix = format!("{}:", name.to_lowercase());
    let mut lines = head.lines();
    let line = lines.find(|line| line.to_lowercase().starts_with(&prefix));
    line.map_or("-", |line| line[prefix.len()..].trim())
        .to_owned()
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

fn open(head: &str) -> String {
    let accept = accept_for(header(head, "Sec-WebSocket-Key").as_bytes());
    acceptance("").replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept)
}

fn refuse(status: &str, lines: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{lines}Content-Length: 0\r\n\r\n")
}

fn redirect(location: &str) -> String {
    refuse("302 Found", &format!("Location: {location}\r\n"))
}

async fn connect(client: &Client) -> Result<(WebSocket, Response), ConnectError> {
    within(client.connect()).await
}

fn redirect_error(connected: Result<(WebSocket, Response), ConnectError>) -> RedirectError {
    match connected {
        Err(error @ ConnectError::Redirect(why, _)) => {
            assert_eq!(error.retry(), Retry::Never);
            assert_eq!(error.close_code().get(), 1006);
            why
        }
        other => panic!("expected a redirect that is not followed: {other:?}"),
    }
}

#[tokio::test]
async fn p27_redirects_are_followed_on_request_each_with_a_fresh_key_and_connection() {
    let stub = Stub::new(|head| match path(head) {
        "/a?x" => refuse("301 Moved", "Location: /b\r\n"),
        "/b" => refuse("303 See Other", "Location: c?d\r\n"),
        "/c?d" => refuse("307 Temporary", "Location: ./e\r\n"),
        "/e" => refuse("308 Permanent", "Location: ?f#fragment\r\n"),
        _ => open(head),
    })
    .await;
    let client = stub
        .client("/a?x")
        .max_redirects(4)
        .origin("https://page.example")
        .unwrap()
        .header("Cookie", "id=1")
        .unwrap();
    let (ws, _response) = connect(&client).await.unwrap();
    assert_eq!(ws.resource(), "/e?f");
    let paths: Vec<_> = stub
        .requests()
        .iter()
        .map(|head| path(head).to_owned())
        .collect();
    assert_eq!(paths, ["/a?x", "/b", "/c?d", "/e", "/e?f"]);
    let mut keys = stub.header("Sec-WebSocket-Key");
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 5);
    assert_eq!(stub.header("Origin"), ["https://page.example"; 5]);
    assert_eq!(stub.header("Cookie"), ["id=1"; 5]);
    // By default a redirect is a refusal.
    let error = connect(&stub.client("/a?x")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(_)), "{error}");
    assert_eq!(
        (error.status(), error.refused().unwrap().location()),
        (Some(301), Some("/b"))
    );
    assert_eq!(error.retry(), Retry::Never);
}

#[tokio::test]
async fn p27_credentials_cookies_and_unknown_headers_stay_with_their_origin() {
    let elsewhere = Stub::new(open).await;
    let target = elsewhere.uri("/there");
    let first = Stub::new(move |_| redirect(&target)).await;
    let secret = |client: Client| {
        client
            .header("Cookie", "id=secret")
            .and_then(|client| client.header("Proxy-Authorization", "secret"))
            .and_then(|client| client.header("X-Api-Key", "secret"))
            .and_then(|client| client.header("User-Agent", "tests"))
            .and_then(|client| client.origin("https://page.example"))
            .unwrap()
            .max_redirects(1)
    };
    let with_user = format!("ws://me:secret@{}/", first.addr);
    for client in [
        first.client("/").bearer("secret").unwrap(),
        first.client("/").basic_auth("me", "secret").unwrap(),
        Client::new(&with_user).unwrap(),
    ] {
        assert!(connect(&secret(client)).await.is_ok());
    }
    assert!(
        first
            .header("Authorization")
            .iter()
            .all(|value| value != "-")
    );
    assert_eq!(first.header("Cookie"), ["id=secret"; 3]);
    for name in [
        "Authorization",
        "Cookie",
        "Proxy-Authorization",
        "X-Api-Key",
    ] {
        assert_eq!(elsewhere.header(name), ["-"; 3], "{name}");
    }
    assert!(!elsewhere.requests().concat().contains("secret"));
    assert_eq!(elsewhere.header("User-Agent"), ["tests"; 3]);
    assert_eq!(elsewhere.header("Origin"), ["https://page.example"; 3]);

    // Another name of the same machine and port is another origin, even if both are this server.
    let by_name = Stub::new(|head| match header(head, "Host").split_once(':').unwrap() {
        ("localhost", port) => redirect(&format!("ws://127.0.0.1:{port}/")),
        _ => open(head),
    })
    .await;
    let uri = format!("ws://localhost:{}/", by_name.addr.port());
    assert!(connect(&secret(Client::new(&uri).unwrap())).await.is_ok());
    assert_eq!(by_name.header("Cookie"), ["id=secret", "-"]);
}

#[tokio::test]
async fn p27_hostile_redirects_end_in_a_clear_error() {
    let stub = Stub::new(|head| {
        let host = header(head, "Host");
        match path(head) {
            "/self" => redirect("/self"),
            "/ping" => redirect("/pong"),
            "/pong" => redirect("/ping"),
            "/user" => redirect(&format!("ws://root:toor@{host}/")),
            "/none" => refuse("302 Found", ""),
            "/script" => redirect("javascript:alert(1)"),
            "/file" => redirect("file:///etc/passwd"),
            "/slash" => redirect("/\\evil.example/"),
            // A storm: every answer is a new place.
            storm => redirect(&format!("{storm}x")),
        }
    })
    .await;
    for (resource, why) in [
        ("/self", RedirectError::Loop),
        ("/ping", RedirectError::Loop),
        ("/user", RedirectError::Userinfo),
        ("/none", RedirectError::NoLocation),
        ("/script", RedirectError::Location(UriError::Scheme)),
        ("/file", RedirectError::Location(UriError::Scheme)),
        ("/slash", RedirectError::Location(UriError::Character)),
        ("/storm", RedirectError::TooMany),
    ] {
        let client = stub.client(resource).max_redirects(5);
        assert_eq!(redirect_error(connect(&client).await), why, "{resource}");
    }
    let storm = stub.requests();
    let storm = storm.iter().filter(|head| path(head).starts_with("/storm"));
    assert_eq!(storm.count(), 6, "five were to be followed");
}

#[tokio::test]
async fn p27_a_giant_location_is_bounded() {
    let stub = Stub::new(|_| redirect(&"/x".repeat(1 << 20))).await;
    let error = connect(&stub.client("/").max_redirects(5)).await;
    let Err(ConnectError::Handshake(error)) = error else {
        panic!("the head is too large: {error:?}")
    };
    assert!(error.refused().is_none());
    assert_eq!(stub.requests().len(), 1);
}

#[tokio::test]
async fn p33_one_deadline_covers_all_redirects_and_challenges() {
    // Each answer in time, all of them not.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for n in 0.. {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tokio::time::sleep(Duration::from_millis(60)).await;
            tcp.write_all(redirect(&format!("/{n}")).as_bytes())
                .await
                .ok();
        }
    });
    let limit = Duration::from_millis(300);
    let client = Client::new(&uri)
        .unwrap()
        .max_redirects(1000)
        .timeout(limit);
    let error = connect(&client).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error}");
    assert_eq!(error.retry(), Retry::Later);

    // A redirect whose body never ends is not followed later either.
    let stub =
        Stub::new(|_| "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 9\r\n\r\n".into());
    let stub = stub.await;
    let client = stub.client("/").max_redirects(1).timeout(LIMIT);
    let (error, ()) = tokio::join!(connect(&client), stub.is_late_for(1));
    let error = error.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error}");
    assert_eq!(stub.requests().len(), 1);

    // Nor does a caller who thinks about a challenge extend it.
    let stub = Stub::new(|_| refuse("401 Unauthorized", "WWW-Authenticate: Bearer\r\n")).await;
    let client = stub.client("/").timeout(limit);
    let client = client.credentials(async |_| std::future::pending().await);
    let error = connect(&client).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout), "{error}");
}

#[tokio::test]
async fn p34_dropped_after_any_poll_no_attempt_leaves_a_connection() {
    let stub = Stub::new(|head| match (path(head), &*header(head, "Authorization")) {
        ("/a", _) => redirect("/b"),
        (_, "-") => refuse("401 Unauthorized", "WWW-Authenticate: Bearer\r\n"),
        _ => open(head),
    })
    .await;
    let client = stub.client("/a").max_redirects(1).credentials(async |_| {
        tokio::task::yield_now().await;
        Credentials::bearer("token").ok()
    });
    let mut polls = 1;
    loop {
        let connected = poll_times(pin!(client.connect()), polls).await;
        let is_open = connected.is_some();
        assert!(connected.is_none_or(|connected| connected.is_ok()));
        within(async {
            while Arc::strong_count(&stub.open) > 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        if is_open {
            break;
        }
        polls += 1;
    }
    assert!(polls > 5, "three attempts need more than {polls} polls");
}

/// A client whose hook gives these credentials, and says what it was asked.
fn answering(
    client: Client,
    credentials: Option<Credentials>,
) -> (Client, Arc<Mutex<Vec<Vec<Challenge>>>>) {
    let asked = Arc::<Mutex<Vec<Vec<Challenge>>>>::default();
    let kept = Arc::clone(&asked);
    let client = client.credentials(move |challenges| {
        kept.lock().unwrap().push(challenges);
        let credentials = credentials.clone();
        async move { credentials }
    });
    (client, asked)
}

/// 003:130, row 8 of the seeds.
#[tokio::test]
async fn a_challenge_is_answered_once_on_a_fresh_connection() {
    let challenge = "WWW-Authenticate: Negotiate, Digest realm=\"d, Basic realm=x\"\r\n\
        www-authenticate: BASIC realm=\"the \\\"staff\\\"\", Bearer realm=b, error=\"invalid_token\"\r\n";
    let stub = Stub::new(move |head| {
        if header(head, "Authorization") == "Basic bWU6c2VjcmV0" {
            open(head)
        } else {
            refuse("401 Unauthorized", challenge)
        }
    })
    .await;
    let basic = Credentials::basic("me", "secret").unwrap();
    let (client, asked) = answering(stub.client("/x"), Some(basic.clone()));
    assert!(connect(&client).await.is_ok());
    let told: Vec<_> = asked.lock().unwrap()[0]
        .iter()
        .map(|challenge| {
            (
                challenge.scheme().to_owned(),
                challenge.realm().map(str::to_owned),
            )
        })
        .collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            ("BASIC".into(), some("the \"staff\"")),
            ("Bearer".into(), some("b"))
        ]
    );
    assert_eq!(
        stub.header("Authorization"),
        ["-".to_owned(), "Basic bWU6c2VjcmV0".to_owned()]
    );
    let keys = stub.header("Sec-WebSocket-Key");
    assert_ne!(keys[0], keys[1]);

    // Wrong ones: one more attempt, not another question.
    let wrong = Credentials::bearer("wrong").unwrap();
    let (client, asked) = answering(stub.client("/x").bearer("stale").unwrap(), Some(wrong));
    let error = connect(&client).await.unwrap_err();
    assert_eq!((error.status(), error.retry()), (Some(401), Retry::Never));
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(
        stub.header("Authorization")[2..],
        ["Bearer stale", "Bearer wrong"]
    );
    // The next connect asks again: they may be other ones now.
    assert!(connect(&client).await.is_err());
    assert_eq!(asked.lock().unwrap().len(), 2);

    // None: the refusal, at once.
    let before = stub.requests().len();
    let (client, _asked) = answering(stub.client("/x"), None);
    assert_eq!(connect(&client).await.unwrap_err().status(), Some(401));
    assert_eq!(stub.requests().len(), before + 1);
}

#[tokio::test]
async fn nobody_is_asked_about_what_is_no_basic_or_bearer_challenge() {
    let stub = Stub::new(|head| match path(head) {
        "/digest" => refuse(
            "401 Unauthorized",
            "WWW-Authenticate: Digest realm=\"Basic\"\r\n",
        ),
        "/nothing" => refuse("401 Unauthorized", ""),
        "/403" => refuse("403 Forbidden", "WWW-Authenticate: Basic realm=x\r\n"),
        _ => refuse(
            "407 Proxy Authentication Required",
            "Proxy-Authenticate: Basic\r\n",
        ),
    })
    .await;
    let basic = Credentials::basic("me", "secret").unwrap();
    for resource in ["/digest", "/nothing", "/403", "/407"] {
        let (client, asked) = answering(stub.client(resource), Some(basic.clone()));
        assert!(connect(&client).await.is_err());
        assert!(asked.lock().unwrap().is_empty(), "{resource}");
    }
    assert_eq!(stub.header("Authorization"), ["-"; 4]);
}

#[tokio::test]
async fn p27_a_redirect_does_not_lead_to_somebody_who_asks_for_the_password() {
    let evil =
        Stub::new(|_| refuse("401 Unauthorized", "WWW-Authenticate: Basic realm=bank\r\n")).await;
    let target = evil.uri("/");
    let first = Stub::new(move |_| redirect(&target)).await;
    let basic = Credentials::basic("me", "secret").unwrap();
    let (client, asked) = answering(first.client("/").max_redirects(3), Some(basic.clone()));
    assert_eq!(connect(&client).await.unwrap_err().status(), Some(401));
    assert!(asked.lock().unwrap().is_empty());
    assert_eq!(evil.header("Authorization"), ["-"]);

    // What was given to the right one does not go along either.
    let target = evil.uri("/");
    let first = Stub::new(move |head| match &*header(head, "Authorization") {
        "-" => refuse("401 Unauthorized", "WWW-Authenticate: Basic realm=bank\r\n"),
        _ => redirect(&target),
    })
    .await;
    let (client, asked) = answering(first.client("/").max_redirects(3), Some(basic));
    assert_eq!(connect(&client).await.unwrap_err().status(), Some(401));
    assert_eq!(asked.lock().unwrap().len(), 1);
    assert_eq!(evil.header("Authorization"), ["-", "-"]);
}

/// A login that sends back to where one came from is no circle.
#[tokio::test]
async fn p27_with_credentials_a_place_may_be_seen_again() {
    let stub = Stub::new(|head| match (path(head), &*header(head, "Authorization")) {
        ("/feed", "-") => redirect("/login"),
        ("/login", "-") => refuse("401 Unauthorized", "WWW-Authenticate: Bearer\r\n"),
        ("/login", _) => redirect("/feed"),
        _ => open(head),
    })
    .await;
    let bearer = Credentials::bearer("token").unwrap();
    let (client, _asked) = answering(stub.client("/feed").max_redirects(2), Some(bearer));
    let (ws, _response) = connect(&client).await.unwrap();
    assert_eq!(ws.resource(), "/feed");
}

#[tokio::test]
async fn p28_every_refusal_carries_status_headers_and_body_and_says_whether_to_come_back() {
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    for (head, retry) in [
        ("400 Bad Request\r\n", Retry::Never),
        (
            "401 Unauthorized\r\nWWW-Authenticate: Bearer\r\n",
            Retry::Never,
        ),
        ("403 Forbidden\r\nRetry-After: 5\r\n", Retry::Never),
        ("404 Not Found\r\n", Retry::Never),
        ("407 Proxy Authentication Required\r\n", Retry::Never),
        ("408 Request Timeout\r\n", Retry::Later),
        ("425 Too Early\r\n", Retry::Later),
        (
            "426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n",
            Retry::Never,
        ),
        ("429 Too Many Requests\r\nRetry-After: 7\r\n", after(7)),
        ("429 Too Many Requests\r\n", Retry::Later),
        ("500 Internal Server Error\r\n", Retry::Later),
        (
            "503 Service Unavailable\r\nRetry-After: 120\r\n",
            after(120),
        ),
        (
            "503 Service Unavailable\r\nRetry-After: soon\r\n",
            Retry::Later,
        ),
        (
            "503 Service Unavailable\r\nRetry-After: -1\r\n",
            Retry::Later,
        ),
        // In the past: now.
        (
            "503 Service Unavailable\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
            after(0),
        ),
        ("200 OK\r\n", Retry::Never),
        (
            "302 Found\r\nLocation: /\r\nRetry-After: 5\r\n",
            Retry::Never,
        ),
    ] {
        let answer = format!("HTTP/1.1 {head}X-Why: because\r\nContent-Length: 4\r\n\r\nwhy!");
        let stub = Stub::new(move |_| answer.clone()).await;
        let error = connect(&stub.client("/")).await.unwrap_err();
        assert_eq!(error.retry(), retry, "{head}");
        assert_eq!(error.status(), head[..3].parse().ok(), "{head}");
        let refused = error.refused().unwrap();
        assert_eq!(refused.headers().get_str("x-why"), Some("because"));
        assert_eq!(
            (refused.body(), refused.is_complete()),
            (&b"why!"[..], true)
        );
        assert_eq!(error.close_code().get(), 1006);
    }
    // A body without end is cut, not waited for.
    let endless = format!("HTTP/1.1 403 Forbidden\r\n\r\n{}", "x".repeat(1 << 20));
    let stub = Stub::new(move |_| endless.clone()).await;
    let error = connect(&stub.client("/")).await.unwrap_err();
    let refused = error.refused().unwrap();
    assert_eq!(
        (refused.body().len(), refused.is_complete()),
        (64 << 10, false)
    );
}

#[tokio::test]
async fn p28_a_date_in_retry_after_is_held_against_the_clock() {
    let in_a_minute = std::time::SystemTime::now() + Duration::from_secs(60);
    let date = httpdate::fmt_http_date(in_a_minute);
    let answer = refuse(
        "503 Service Unavailable",
        &format!("Retry-After: {date}\r\n"),
    );
    let stub = Stub::new(move |_| answer.clone()).await;
    let error = connect(&stub.client("/")).await.unwrap_err();
    let Retry::After(wait) = error.retry() else {
        panic!("a date: {:?}", error.retry())
    };
    assert!(
        wait > Duration::from_secs(30) && wait <= Duration::from_secs(60),
        "{wait:?}"
    );
}

#[tokio::test]
async fn p91_what_was_asked_for_wrongly_is_never_worth_another_attempt() {
    let never = [
        Client::new("ftp://a/").unwrap_err(),
        Client::new("ws://a/").unwrap().origin("x").unwrap_err(),
        Client::new("ws://a/")
            .unwrap()
            .header("Host", "x")
            .unwrap_err(),
        Client::new("ws://a/").unwrap().bearer("a b").unwrap_err(),
        Client::new("ws://a/")
            .unwrap()
            .basic_auth("a:b", "")
            .unwrap_err(),
    ];
    for error in never {
        assert_eq!(error.retry(), Retry::Never, "{error}");
        assert!(error.status().is_none());
    }
    // Neither is a server that speaks something else.
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ] {
        let stub = Stub::new(|_| answer.to_owned()).await;
        let error = connect(&stub.client("/")).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Never, "{error}");
    }
    // One that goes away, or is not there, may be back.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("ws://{}/", listener.local_addr().unwrap());
    let client = Client::new(&uri).unwrap();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        drop(tcp);
    });
    for _ in 0..2 {
        let error = connect(&client).await.unwrap_err();
        assert_eq!(error.retry(), Retry::Later, "{error}");
    }
}

#[tokio::test]
async fn p91_a_client_comes_back_after_refusals_and_after_the_end_of_its_connection() {
    let turn = AtomicUsize::new(0);
    let stub = Stub::new(move |head| match turn.fetch_add(1, Ordering::Relaxed) {
        0 | 3 => refuse("503 Service Unavailable", "Retry-After: 0\r\n"),
        1 => String::new(),
        5 => refuse("403 Forbidden", ""),
        _ => open(head),
    })
    .await;
    let moment = Duration::from_millis(1);
    let client = stub.client("/").timeout(LIMIT);
    let mut connections = client.reconnect().first_delay(moment);
    for requests in [3, 5] {
        let unanswered = async {
            if requests == 3 {
                stub.is_late_for(2).await;
            }
        };
        let (connected, ()) = tokio::join!(within(connections.next()), unanswered);
        let (mut ws, _response) = connected.unwrap();
        assert_eq!(stub.requests().len(), requests);
        assert!(within(ws.send("hello")).await.is_ok());
    }
    let error = within(connections.next()).await.unwrap_err();
    assert_eq!(error.status(), Some(403));
}

#[tokio::test]
async fn p23_a_subprotocol_may_be_required() {
    let stub = Stub::new(open).await;
    let client = stub.client("/").subprotocol("chat").unwrap();
    assert!(connect(&client).await.is_ok());
    let error = connect(&client.require_subprotocol(true))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server chose none of the offered subprotocols"
    );
    assert_eq!(error.retry(), Retry::Never);
}

#[test]
fn no_secret_shows_in_debug_output() {
    let client = Client::new("ws://me:secret@a/")
        .unwrap()
        .header("X-Api-Key", "secret")
        .unwrap()
        .header("Cookie", "id=secret")
        .unwrap()
        .bearer("secret")
        .unwrap()
        .proxy(fullduplex::Proxy::new("http://me:secret@proxy.example").unwrap());
    for shown in [format!("{client:?}"), format!("{:#?}", client.reconnect())] {
        assert!(
            !shown.contains("secret") && !shown.contains("c2VjcmV0"),
            "{shown}"
        );
    }
}
