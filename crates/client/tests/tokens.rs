//! Goal: who may be there stays there, by one token after the other, and who may not is told so and stays away.
//! Method: clients against a hub that asks for tokens.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use fullduplex_client::{Event, Events, Options, RequestError, connect};
use fullduplex_hub::{
    Config, Hub, Timeouts,
    auth::{Access, AdminToken, Claims, KeySource, SigningKey, Tokens},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const SOON: Duration = Duration::from_secs(60);

/// A hub that runs until the test ends, and the folder with its secret.
async fn start() -> (SocketAddr, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let mut tokens = Tokens::new(KeySource::Secret(secret));
    tokens.rules.leeway = Duration::ZERO;
    let config = Config {
        access: Access::Tokens(tokens),
        admin: Some(AdminToken::new(SECRET.as_bytes()).unwrap()),
        timeouts: Timeouts {
            ping_interval: None,
            ..Timeouts::default()
        },
        ..Config::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hub = Hub::new(config, listener).await.unwrap();
    let address = hub.local_addr();
    tokio::spawn(hub.run(std::future::pending()));
    (address, folder)
}

/// How long a token is good for.
const LIFE: Duration = Duration::from_secs(600);
/// Less than a client may be silent.
const STEP: Duration = Duration::from_secs(9);

/// Lets so much time pass at once.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A token for `general` that is good for so long.
fn token(life: Duration) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let claims = Claims {
        sub: "ana".into(),
        rooms: [(
            "general".to_owned(),
            vec!["read".to_owned(), "write".to_owned()],
        )]
        .into(),
        exp: Some(now.unwrap().as_secs() + life.as_secs()),
        ..Claims::default()
    };
    let key = SigningKey::from_file(SECRET.as_bytes()).unwrap();
    key.token(&claims, None).unwrap()
}

fn options(address: SocketAddr) -> Options {
    Options::new(&format!("ws://{address}/ws")).unwrap()
}

/// The name of the connection.
async fn welcomed(events: &mut Events) -> String {
    loop {
        match timeout(SOON, events.next()).await.unwrap().unwrap() {
            Event::Welcome(welcome) => return welcome.session,
            Event::Lost { reason } => assert!(reason.contains("no token"), "{reason}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn s48_a_client_with_a_source_of_tokens_keeps_its_connection_beyond_each() {
    let (address, _folder) = start().await;
    let asked = Arc::new(AtomicU32::new(0));
    let source = Arc::clone(&asked);
    let options = options(address).name("Ana").tokens(move || {
        let asked = source.fetch_add(1, Ordering::Relaxed);
        async move {
            match asked {
                // It is asked again.
                0 => Err(io::Error::other("not yet")),
                _ => Ok(token(LIFE)),
            }
        }
    });
    let (ana, mut events) = connect(options);
    welcomed(&mut events).await;
    ana.join("general", 0).await.unwrap();
    let watching = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::Lost { reason } => panic!("{reason}"),
                Event::Refused { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    });
    let mut passed = Duration::ZERO;
    while passed < 3 * LIFE {
        pass(STEP).await;
        passed += STEP;
        ana.send("general", "still here").await.unwrap();
    }
    assert!(asked.load(Ordering::Relaxed) > 3);
    assert!(!watching.is_finished());
}

#[tokio::test]
async fn s48_a_client_whose_only_token_has_expired_ends_and_says_so() {
    let (address, _folder) = start().await;
    // Soon after it was let in; or before, where a machine is slow.
    let short = token(Duration::from_secs(2));
    let (ana, events) = connect(options(address).token(&short));
    let RequestError::Ended(why) = timeout(SOON, events.end()).await.unwrap() else {
        panic!("it ends")
    };
    assert!(why.starts_with("4101"), "{why}");
    let refused = ana.join("general", 0).await.unwrap_err();
    assert!(matches!(refused, RequestError::Ended(_)), "{refused}");
}

#[tokio::test]
async fn who_is_sent_away_ends_with_the_reason_and_does_not_come_back() {
    let (address, _folder) = start().await;
    let (_ana, mut events) =
        connect(options(address).tokens(|| async { Ok::<_, io::Error>(token(LIFE)) }));
    let session = welcomed(&mut events).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "DELETE /api/v1/connections/{session} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Authorization: Bearer {SECRET}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    let end = timeout(SOON, events.end()).await.unwrap();
    assert_eq!(end, RequestError::Ended("4005 kicked".into()));
}
