//! Goal: the application judges requests before they are answered, and whatever happens to its judgement, the server goes on.
//! Method: real loopback sockets; judgements that accept, reject, wait, panic and never end.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use common::raw::{Raw, TEXT, acceptance, bound, pass, plain_refusal, refusal, request, within};
use fullduplex::{
    Acceptor, CloseCode, Error, HandshakeError, Server, WebSocket,
    handshake::{Acceptance, Rejection, Request},
};
use fullduplex_testkit::wire;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

/// How long a request may take. No test waits for it.
const HOUR: Duration = Duration::from_secs(3600);

type Judged<T> = Result<(Acceptance, T), Rejection>;

/// Asks for `path`, with more header lines.
async fn asks(addr: SocketAddr, path: &str, more: &str) -> Raw {
    let mut raw = Raw::connect(addr).await;
    let request = request(addr, more).replacen("GET / ", &format!("GET {path} "), 1);
    raw.send(request).await;
    raw
}

/// Serves until the test ends.
async fn serving<J, Judging, T, H, Fut>(judge: J, handler: H) -> SocketAddr
where
    J: Fn(Request) -> Judging + Send + Sync + 'static,
    Judging: Future<Output = Judged<T>> + Send + 'static,
    T: Send + 'static,
    H: Fn(WebSocket, T) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    let (server, addr) = bound().await;
    let acceptor = Acceptor::new().handshake_timeout(HOUR);
    tokio::spawn(server.acceptor(acceptor).serve_with(judge, handler));
    addr
}

/// By cookie, after a while; with routes, a cookie of ours and a subprotocol.
async fn authenticate(request: Request) -> Judged<String> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    let user = match request.header("Cookie") {
        Some(b"user=anna") => "anna".to_owned(),
        Some(b"panic") => panic!("as the test wants"),
        Some(b"forever") => pending().await,
        _ => {
            return Err(Rejection::new(401, "Log in first.").header("WWW-Authenticate", "Bearer")?);
        }
    };
    let acceptance = match request.path() {
        "/chat" => request.accept().subprotocol("v2.chat")?,
        "/bad" => request.accept().header("Set-Cookie", "a\r\nb")?,
        "/plain" => request.accept(),
        _ => return Err(Rejection::new(404, "There is nothing here.")),
    };
    Ok((acceptance.header("Set-Cookie", "seen=1")?, user))
}

async fn greet(mut ws: WebSocket, user: String) -> Result<(), Error> {
    ws.send(format!("hello {user} at {}", ws.resource()))
        .await?;
    // Corked: only with the end of this poll does it leave, together with this.
    ws.send("and again").await?;
    ws.recv().await?;
    Err(Error::Closing)
}

#[tokio::test]
async fn a_request_is_authenticated_and_routed_and_its_user_known_to_the_handler() {
    let addr = serving(authenticate, greet).await;
    let mut raw = asks(
        addr,
        "/chat?room=1",
        "Cookie: user=anna\r\nSec-WebSocket-Protocol: v1.chat, v2.chat\r\n",
    )
    .await;
    assert_eq!(
        raw.head().await,
        acceptance("Sec-WebSocket-Protocol: v2.chat\r\nSet-Cookie: seen=1\r\n")
    );
    assert_eq!(raw.frame().await, wire::text("hello anna at /chat?room=1"));
    assert_eq!(raw.frame().await, wire::text("and again"));
    // A handler that fails closes with 1011 here too.
    raw.send_frames([wire::text("x")]).await;
    assert_eq!(raw.frame().await, wire::close(1011, ""));
}

#[tokio::test]
async fn a_rejection_arrives_with_its_status_and_headers() {
    let addr = serving(authenticate, greet).await;
    let mut raw = asks(addr, "/chat", "").await;
    let challenge = &["Connection: close", TEXT, "WWW-Authenticate: Bearer"];
    assert_eq!(
        raw.rest_as_text().await,
        refusal("401 Unauthorized", challenge, "Log in first.")
    );
    let mut raw = asks(addr, "/nowhere", "Cookie: user=anna\r\n").await;
    assert_eq!(
        raw.rest_as_text().await,
        plain_refusal("404 Not Found", "There is nothing here.")
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_sent_is_a_500_that_says_why() {
    let addr = serving(authenticate, greet).await;
    let mut raw = asks(addr, "/bad", "Cookie: user=anna\r\n").await;
    assert_eq!(
        raw.rest_as_text().await,
        plain_refusal(
            "500 Internal Server Error",
            "The answer cannot be sent: the value of Set-Cookie holds a control character."
        )
    );
    let mut raw = asks(addr, "/chat", "Cookie: user=anna\r\n").await;
    assert_eq!(
        raw.rest_as_text().await,
        plain_refusal(
            "500 Internal Server Error",
            "The answer cannot be sent: the client did not offer the subprotocol \"v2.chat\"."
        )
    );
}

#[tokio::test]
async fn a_judgement_that_panics_is_a_500_and_the_server_goes_on() {
    let addr = serving(authenticate, greet).await;
    for _ in 0..3 {
        let mut raw = asks(addr, "/plain", "Cookie: panic\r\n").await;
        assert_eq!(
            raw.rest_as_text().await,
            plain_refusal("500 Internal Server Error", "Something went wrong.")
        );
    }
    let mut raw = asks(addr, "/plain", "Cookie: user=anna\r\n").await;
    assert_eq!(raw.head().await, acceptance("Set-Cookie: seen=1\r\n"));
}

#[tokio::test]
async fn a_judgement_that_panics_before_there_is_a_future_is_a_500_too() {
    let judge = |_: Request| -> std::future::Ready<Judged<String>> { panic!("as the test wants") };
    let addr = serving(judge, greet).await;
    for _ in 0..2 {
        let mut raw = asks(addr, "/", "").await;
        assert_eq!(
            raw.rest_as_text().await,
            plain_refusal("500 Internal Server Error", "Something went wrong.")
        );
    }
}

#[tokio::test]
async fn a_judgement_that_does_not_end_is_dropped_and_answered_503() {
    let addr = serving(authenticate, greet).await;
    let mut raw = asks(addr, "/plain", "Cookie: forever\r\n").await;
    // Nobody waits for it.
    let mut other = asks(addr, "/plain", "Cookie: user=anna\r\n").await;
    assert_eq!(other.head().await, acceptance("Set-Cookie: seen=1\r\n"));
    pass(HOUR).await;
    assert_eq!(
        raw.rest_as_text().await,
        plain_refusal("503 Service Unavailable", "The answer took too long.")
    );
}

/// Says when it is dropped.
struct Dropped(Option<oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.take().unwrap().send(()).ok();
    }
}

#[tokio::test]
async fn shutting_down_in_the_middle_of_a_judgement_drops_it_and_ends_in_time() {
    let (server, addr) = bound().await;
    let (begins, mut begun) = mpsc::unbounded_channel();
    let judge = move |_: Request| {
        let (drops, dropped) = oneshot::channel();
        begins.send(dropped).unwrap();
        let guard = Dropped(Some(drops));
        async move {
            let _guard = guard;
            pending::<Judged<String>>().await
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.serve_with_until(judge, greet, async {
        stopped.await.unwrap();
    });
    let ended = tokio::spawn(serving);
    let mut raw = asks(addr, "/", "").await;
    let dropped = within(begun.recv()).await.unwrap();
    stop.send(()).unwrap();
    within(ended).await.unwrap();
    within(dropped).await.unwrap();
    assert!(raw.rest().await.is_empty());
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_of_a_judgement_leaves_nothing_behind() {
    let (server, addr) = bound().await;
    let (begins, mut begun) = mpsc::unbounded_channel();
    let judge = move |request: Request| {
        let (decide, decided) = oneshot::channel::<()>();
        begins.send(decide).unwrap();
        async move {
            decided.await.unwrap();
            Ok((request.accept(), "nobody".to_owned()))
        }
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.serve_with_until(judge, greet, async {
        stopped.await.unwrap();
    });
    let ended = tokio::spawn(serving);
    let raw = asks(addr, "/", "").await;
    let decide = within(begun.recv()).await.unwrap();
    raw.stream.set_zero_linger().unwrap();
    drop(raw);
    decide.send(()).unwrap();
    stop.send(()).unwrap();
    within(ended).await.unwrap();
}

/// A key other than that of `raw::request`.
fn other_key(addr: SocketAddr) -> String {
    request(addr, "").replacen("dGhlIHNhbXBsZSBub25jZQ==", "AQIDBAUGBwgJCgsMDQ4PEA==", 1)
}

#[tokio::test]
async fn an_acceptance_of_another_request_is_a_500() {
    let mistake = plain_refusal(
        "500 Internal Server Error",
        "The acceptance was made from another request.",
    );
    let first = Arc::new(Mutex::new(None));
    let judge = move |request: Request| {
        let mut first = first.lock().unwrap();
        let acceptance = first.get_or_insert_with(|| request.accept()).clone();
        std::future::ready(Ok((acceptance, "whoever".to_owned())))
    };
    let addr = serving(judge, greet).await;
    let mut raw = asks(addr, "/", "").await;
    assert_eq!(raw.head().await, acceptance(""));
    let mut raw = Raw::connect(addr).await;
    raw.send(other_key(addr)).await;
    assert_eq!(raw.rest_as_text().await, mistake);

    // And without a server.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let shake = async |mut raw: Raw, request: String| {
        raw.send(request).await;
        let (tcp, _) = listener.accept().await.unwrap();
        let handshake = within(Acceptor::new().handshake(tcp)).await;
        (raw, handshake.unwrap())
    };
    let (_, first) = shake(Raw::connect(addr).await, request(addr, "")).await;
    let (mut raw, second) = shake(Raw::connect(addr).await, other_key(addr)).await;
    let (accepted, answer) = tokio::join!(
        second.accept_with(first.request().accept()),
        raw.rest_as_text()
    );
    assert!(matches!(accepted, Err(HandshakeError::Rejected(r)) if r.status() == 500));
    assert_eq!(answer, mistake);
}

#[tokio::test]
async fn shutting_down_closes_those_that_were_judged_too() {
    let (server, addr): (Server, SocketAddr) = bound().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = server.serve_with_until(authenticate, greet, async {
        stopped.await.unwrap();
    });
    let ended = tokio::spawn(serving);
    let mut raw = asks(addr, "/plain", "Cookie: user=anna\r\n").await;
    raw.head().await;
    assert_eq!(raw.frame().await, wire::text("hello anna at /plain"));
    raw.frame().await;
    stop.send(()).unwrap();
    let going_away = u16::from(CloseCode::GOING_AWAY);
    assert_eq!(raw.frame().await, wire::close(going_away, ""));
    raw.send_frames([wire::close(1001, "")]).await;
    raw.end().await;
    within(ended).await.unwrap();
}
