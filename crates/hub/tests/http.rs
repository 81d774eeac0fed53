//! HTTP, spoken by hand.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use std::{fs, net::SocketAddr, time::Duration};

use fullduplex_hub::{
    AllowedOrigins, Config, Hub, Limits, LogInput, LogSource, Site, StartError, Timeouts,
    auth::Access,
};
use support::{Running, UPGRADE, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

#[tokio::test]
async fn the_page_comes_with_a_strict_policy_and_is_not_sent_twice() {
    let hub = Running::start(Config::default()).await;
    for path in ["/", "/r/general", "/r/a%20b"] {
        let page = hub.get(path, "").await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("<!doctype html>"));
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        assert_eq!(page.header("content-security-policy"), Some(POLICY));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        let tag = page.header("etag").unwrap();
        let same = hub
            .get(path, &format!("If-None-Match: \"x\", {tag}\r\n"))
            .await;
        assert_eq!((same.status, same.body.as_str()), (304, ""));
        assert_eq!(same.header("etag"), Some(tag));
        assert_eq!(hub.get(path, "If-None-Match: \"x\"\r\n").await.status, 200);
    }
    let head = hub.request("HEAD", "/", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(
        head.header("content-length")
            .unwrap()
            .parse::<usize>()
            .unwrap()
            > 100
    );
}

#[tokio::test]
async fn assets_have_their_types_and_nothing_else_is_served() {
    let hub = Running::start(Config::default()).await;
    for (path, expected) in [
        ("/assets/style.css", "text/css; charset=utf-8"),
        ("/assets/socket.js", "text/javascript; charset=utf-8"),
        ("/assets/favicon.svg", "image/svg+xml"),
    ] {
        let asset = hub.get(path, "").await;
        assert_eq!(
            (asset.status, asset.header("content-type")),
            (200, Some(expected)),
            "{path}"
        );
        assert_eq!(asset.header("content-security-policy"), Some(POLICY));
    }
    for path in [
        "/nothing",
        "/assets/",
        "/assets/nothing.js",
        "/assets/package.json",
        "/assets/tsconfig.json",
        "/assets/test/text.test.js",
        "/assets/../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/logs",
        "/logs/app",
    ] {
        assert_eq!(hub.get(path, "").await.status, 404, "{path}");
    }
    assert_eq!(hub.get("/api/v1/logs", "").await.body, "{\"sources\":[]}");
    assert_eq!(
        hub.request("POST", "/", "Content-Length: 0\r\n")
            .await
            .status,
        405
    );
    assert_eq!(hub.get("/healthz", "").await.body, "ok\n");
}

#[tokio::test]
async fn a_web_socket_route_asked_without_one_says_what_it_wants() {
    let hub = Running::start(Config::default()).await;
    for path in ["/ws", "/echo"] {
        let answer = hub.get(path, "").await;
        assert_eq!(answer.status, 426, "{path}");
        assert_eq!(answer.header("upgrade"), Some("websocket"));
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    }
}

/// The status of an opening handshake at `/ws`.
async fn handshake(hub: &Running, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(hub.addr).await.unwrap();
    let request = format!("GET /ws HTTP/1.1\r\n{UPGRADE}{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = vec![0; 4096];
    let read = within(stream.read(&mut head)).await.unwrap();
    let head = String::from_utf8_lossy(&head[..read]).into_owned();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head)
}

#[tokio::test]
async fn other_origins_are_refused_unless_allowed() {
    let hub = Running::start(Config::default()).await;
    let cross = "Host: localhost:8080\r\nOrigin: http://127.0.0.1:3000\r\n";
    let (status, answer) = handshake(&hub, cross).await;
    assert_eq!(status, 403);
    for named in ["http://127.0.0.1:3000", "localhost:8080", "--allow-origin"] {
        assert!(answer.contains(named), "{named}: {answer}");
    }
    let same = "Host: localhost:8080\r\nOrigin: http://localhost:8080\r\n";
    assert_eq!(handshake(&hub, same).await.0, 101);
    assert_eq!(handshake(&hub, "Host: localhost:8080\r\n").await.0, 101);

    let origins = AllowedOrigins::List(vec!["http://127.0.0.1:3000/".into()]);
    let hub = Running::start(Config {
        origins,
        ..Config::default()
    })
    .await;
    assert_eq!(handshake(&hub, cross).await.0, 101);
    assert_eq!(handshake(&hub, same).await.0, 101);
    let other = "Host: localhost\r\nOrigin: http://127.0.0.1:3001\r\n";
    assert_eq!(handshake(&hub, other).await.0, 403);

    let hub = Running::start(Config {
        origins: AllowedOrigins::Any,
        ..Config::default()
    })
    .await;
    assert_eq!(handshake(&hub, other).await.0, 101);
}

#[tokio::test]
async fn a_name_that_is_not_ours_is_misdirected_on_every_route() {
    let hub = Running::start(Config {
        hosts: vec!["box.test".into()],
        access: Access::Open,
        ..Config::default()
    })
    .await;
    for path in [
        "/",
        "/healthz",
        "/ws",
        "/echo",
        "/assets/style.css",
        "/nothing",
    ] {
        let answer = hub.get(path, "Host: evil.example\r\n").await;
        assert_eq!(answer.status, 421, "{path}");
        assert!(answer.body.contains("evil.example"));
        assert_ne!(
            hub.get(path, "Host: box.test:80\r\n").await.status,
            421,
            "{path}"
        );
    }
    let evil = "Host: evil.example\r\nOrigin: http://evil.example\r\n";
    assert_eq!(handshake(&hub, evil).await.0, 421);
}

/// A folder with files to serve and things not to.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let file = |path: &str, content: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    file("secret.txt", "secret");
    file("site/index.html", "<script>page()</script>");
    file("site/a b.txt", "text");
    file("site/app.js", "page = 1");
    file("site/.hidden", "hidden");
    file("site/sub/index.html", "sub");
    file("site/empty/.git/config", "hidden");
    file("site/healthz", "not me");
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink("../secret.txt", dir.path().join("site/out")).unwrap();
        symlink("..", dir.path().join("site/up")).unwrap();
        symlink(".hidden", dir.path().join("site/peek")).unwrap();
        symlink("app.js", dir.path().join("site/link.js")).unwrap();
    }
    dir
}

#[tokio::test]
async fn a_folder_is_served_in_place_of_the_page() {
    let dir = folder();
    let config = Config {
        static_dir: Some(dir.path().join("site")),
        ..Config::default()
    };
    let hub = Running::start(config).await;
    for (path, body, kind) in [
        ("/", "<script>page()</script>", "text/html; charset=utf-8"),
        (
            "/index.html",
            "<script>page()</script>",
            "text/html; charset=utf-8",
        ),
        ("/a%20b.txt", "text", "text/plain; charset=utf-8"),
        ("/link.js", "page = 1", "text/javascript; charset=utf-8"),
        ("/sub/", "sub", "text/html; charset=utf-8"),
        ("/healthz", "ok\n", "text/plain; charset=utf-8"),
    ] {
        let answer = hub.get(path, "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{path}");
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
        assert_eq!(answer.header("content-security-policy"), None);
    }
    let answer = hub.get("/sub", "").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (301, Some("/sub/"))
    );
    for path in [
        "/.hidden",
        "/%2ehidden",
        "/out",
        "/up/secret.txt",
        "/up/",
        "/peek",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "/empty/",
        "/empty/.git/config",
        "/app.js/",
        "/app.js%00",
        "/a%5c..%5cb",
        "/nothing",
        "//app.js",
        "/assets/style.css",
        "/%ff",
    ] {
        let answer = hub.get(path, "").await;
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(
            !answer.body.contains("secret") && !answer.body.contains("hidden"),
            "{path}"
        );
    }
    assert_eq!(handshake(&hub, "Host: localhost\r\n").await.0, 101);
}

#[tokio::test]
async fn a_file_is_not_sent_to_who_has_it() {
    let dir = folder();
    let static_dir = Some(dir.path().join("site"));
    let static_csp = Some("default-src 'self'".to_owned());
    let hub = Running::start(Config {
        static_dir,
        static_csp,
        ..Config::default()
    })
    .await;
    let file = hub.get("/app.js", "").await;
    assert_eq!(file.header("content-length"), Some("8"));
    assert_eq!(
        file.header("content-security-policy"),
        Some("default-src 'self'")
    );
    let (tag, date) = (
        file.header("etag").unwrap(),
        file.header("last-modified").unwrap(),
    );
    for condition in [
        format!("If-None-Match: {tag}\r\n"),
        format!("If-Modified-Since: {date}\r\n"),
    ] {
        let same = hub.get("/app.js", &condition).await;
        assert_eq!((same.status, same.body.as_str()), (304, ""), "{condition}");
    }
    let newer = "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    assert_eq!(hub.get("/app.js", newer).await.status, 200);
    let head = hub.request("HEAD", "/app.js", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some("8"));
    assert_eq!(
        hub.request("POST", "/app.js", "Content-Length: 0\r\n")
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn a_file_of_no_date_that_http_knows_is_served_without_one() {
    let dir = folder();
    let hub = Running::start(Config {
        static_dir: Some(dir.path().join("site")),
        ..Config::default()
    })
    .await;
    let file = fs::File::options()
        .write(true)
        .open(dir.path().join("site/app.js"))
        .unwrap();
    let second = Duration::from_secs(1);
    let (before, after) = (
        std::time::UNIX_EPOCH - second,
        std::time::UNIX_EPOCH + second * u32::MAX,
    );
    for (time, is_told) in [(before, false), (after, true)] {
        file.set_modified(time).unwrap();
        let answer = hub.get("/app.js", "").await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "page = 1"));
        assert_eq!(answer.header("last-modified").is_some(), is_told);
    }
}

#[tokio::test]
async fn a_refusal_beside_the_handshake_is_a_sentence_and_the_end_of_the_connection() {
    let hub = Running::start(Config::default()).await;
    for (path, headers, status) in [
        ("/ws?room=a/b", "Host: localhost", 400),
        ("/ws?room=%ff", "Host: localhost", 400),
        ("/ws?history=x", "Host: localhost", 400),
        ("/ws?history=201", "Host: localhost", 400),
        ("/ws?mode=x", "Host: localhost", 400),
        ("/ws?hb=20", "Host: localhost", 400),
        ("/ws", "Host: evil.example", 421),
    ] {
        // The answer ends only with the connection.
        let request = format!("GET {path} HTTP/1.1\r\n{UPGRADE}{headers}\r\n\r\n");
        let answer = hub.raw(&request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
        assert!(
            answer.contains("connection: close\r\n") && answer.ends_with(".\n"),
            "{path}: {answer}"
        );
    }
    let refused = hub.request("POST", "/", "").await;
    assert_eq!(refused.status, 405);
    assert!(
        refused.body.ends_with(".\n") && refused.header("allow").is_some(),
        "{refused:?}"
    );
}

#[tokio::test]
async fn the_log_page_is_whole_beside_a_folder() {
    let dir = folder();
    let source = LogSource {
        name: "app".into(),
        input: LogInput::File(dir.path().join("app.log")),
    };
    let hub = Running::start(Config {
        static_dir: Some(dir.path().join("site")),
        logs: vec![source],
        ..Config::default()
    })
    .await;
    for path in ["/logs", "/logs/app", "/assets/logs.js"] {
        assert_eq!(hub.get(path, "").await.status, 200, "{path}");
    }
    assert_eq!(hub.get("/app.js", "").await.body, "page = 1");
}

#[tokio::test]
async fn slow_and_endless_requests_are_cut_and_the_next_client_is_served() {
    let hub = Running::start(Config::default()).await;
    let endless = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(20_000)
    );
    let answer = hub.raw(&endless).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let timeouts = Timeouts {
        request_head: Duration::from_millis(200),
        ..Timeouts::default()
    };
    let hub = Running::start(Config {
        timeouts,
        ..Config::default()
    })
    .await;
    // Neither of these requests ever ends; reading returns because the server ends it.
    for unfinished in ["", "GET / HTTP/1.1\r\nHost: localhost\r\nX: "] {
        hub.raw(unfinished).await;
    }
    // One that is kept open, but not used, is not kept for ever; where a machine is slow, its request may come too late as well.
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let served = async { while !hub.raw(request).await.starts_with("HTTP/1.1 200 ") {} };
    within(served).await;
}

#[tokio::test]
async fn who_does_not_take_its_answer_loses_its_place() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("big"), vec![b'x'; 32 << 20]).unwrap();
    let timeouts = Timeouts {
        http: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let limits = Limits {
        connections: 1,
        ..Limits::default()
    };
    let static_dir = Some(dir.path().to_owned());
    let hub = Running::start(Config {
        timeouts,
        limits,
        static_dir,
        ..Config::default()
    })
    .await;
    let mut deaf = TcpStream::connect(hub.addr).await.unwrap();
    deaf.write_all(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    within(deaf.readable()).await.unwrap();
    within(async { while hub.client("/echo").connect().await.is_err() {} }).await;
}

#[tokio::test]
async fn s11_a_connection_too_many_is_refused_and_a_freed_place_is_used() {
    let limits = Limits {
        connections: 2,
        ..Limits::default()
    };
    let hub = Running::start(Config {
        limits,
        ..Config::default()
    })
    .await;
    // An upgraded connection keeps its place.
    let mut first = hub.connect("/echo").await;
    let second = hub.connect("/ws").await;
    let mut third = TcpStream::connect(hub.addr).await.unwrap();
    let mut answer = String::new();
    within(third.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("Retry-After: "));
    support::bye(&mut first).await;
    drop(first);
    within(async { while hub.client("/echo").connect().await.is_err() {} }).await;
    drop(second);
}

async fn refused(config: Config, listener: TcpListener) -> StartError {
    Hub::new(config, listener)
        .await
        .expect_err("it can't start")
}

#[tokio::test]
async fn what_can_not_work_is_refused_at_the_start() {
    let log = |name: &str| LogSource {
        name: name.into(),
        input: LogInput::File("log".into()),
    };
    let logs_site = |at: &str| Site::Logs {
        at: Some(at.into()),
    };
    for (config, named) in [
        (
            Config {
                static_dir: Some("no/such/folder".into()),
                ..Config::default()
            },
            "no/such/folder",
        ),
        (
            Config {
                origins: AllowedOrigins::List(vec!["nonsense".into()]),
                ..Config::default()
            },
            "nonsense",
        ),
        (
            Config {
                logs: vec![log("a"), log("a")],
                ..Config::default()
            },
            "two logs",
        ),
        (
            Config {
                logs: vec![log("a/b")],
                ..Config::default()
            },
            "a/b",
        ),
        (
            Config {
                site: logs_site("/echo"),
                ..Config::default()
            },
            "no log",
        ),
        (
            Config {
                site: logs_site("/logs"),
                logs: vec![log("a")],
                ..Config::default()
            },
            "/logs",
        ),
        (
            Config {
                site: logs_site("/{x}"),
                logs: vec![log("a")],
                ..Config::default()
            },
            "/{x}",
        ),
        (
            Config {
                static_csp: Some("a\nb".into()),
                static_dir: Some(".".into()),
                ..Config::default()
            },
            "policy",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let error = refused(config, listener).await.to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
}

#[tokio::test]
async fn of_certificate_and_key_the_bad_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let (cert, key, pipe) = ["cert.pem", "key.pem", "pipe"]
        .map(|name| dir.path().join(name))
        .into();
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, "no key").unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    for (cert, bad) in [(&cert, &key), (&pipe, &pipe)] {
        let (cert, key) = (cert.clone(), key.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config {
            tls: Some(fullduplex_hub::TlsFiles { cert, key }),
            ..Config::default()
        };
        let error = within(refused(config, listener)).await.to_string();
        assert!(error.starts_with(&bad.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn off_loopback_logs_are_for_whoever_said_that_they_are_open() {
    let everywhere: SocketAddr = "0.0.0.0:0".parse().unwrap();
    let listener = TcpListener::bind(everywhere).await.unwrap();
    let log = LogSource {
        name: "a".into(),
        input: LogInput::File("log".into()),
    };
    let config = Config {
        logs: vec![log],
        ..Config::default()
    };
    assert!(matches!(
        refused(config.clone(), listener).await,
        StartError::Config(_)
    ));
    let listener = TcpListener::bind(everywhere).await.unwrap();
    Hub::new(
        Config {
            logs_open: true,
            access: Access::Open,
            ..config
        },
        listener,
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn tls_serves_pages_and_connections() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = fullduplex_hub::TlsFiles {
        cert: dir.path().join("cert.pem"),
        key: dir.path().join("key.pem"),
    };
    fs::write(&files.cert, made.cert.pem()).unwrap();
    fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let hub = Running::start(Config {
        tls: Some(files.clone()),
        ..Config::default()
    })
    .await;
    let trust = fullduplex::tls::client_config_with_ca(made.cert.pem().as_bytes()).unwrap();
    let client = fullduplex::Client::new(&format!("wss://localhost:{}/echo", hub.addr.port()));
    let (mut ws, _) = within(client.unwrap().tls(trust).connect()).await.unwrap();
    within(ws.send("hi")).await.unwrap();
    assert_eq!(support::text(&mut ws).await, "hi");
    // Plain HTTP does not get through.
    assert!(
        !hub.raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .starts_with("HTTP")
    );

    fs::write(&files.key, "no key").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config {
        tls: Some(files),
        ..Config::default()
    };
    assert!(matches!(
        refused(config, listener).await,
        StartError::File { .. }
    ));
}
