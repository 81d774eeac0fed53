//! `fdx serve` and its flags.

use std::fs;

use fullduplex::{Client, Deflate, Message, WebSocket};
use tempfile::TempDir;

use crate::{
    certificates::{Certificates, text},
    http::get,
    program::{Program, command, run, soon},
};

async fn dial(url: &str) -> WebSocket {
    soon("a connection", fullduplex::connect(url))
        .await
        .unwrap()
}

async fn next(ws: &mut WebSocket) -> String {
    let message = soon("a message", ws.recv()).await.unwrap();
    message.unwrap().as_text().unwrap().to_owned()
}

#[tokio::test]
async fn the_page_both_chats_and_the_echo_are_there() {
    let (_serve, url) = Program::listen(&["serve"]).await;
    assert!(url.0.starts_with("http://127.0.0.1:"));
    assert!(get(url.addr(), "/", "").await.contains("<!doctype html>"));
    assert!(
        get(url.addr(), "/healthz", "")
            .await
            .ends_with("\r\n\r\nok\n")
    );
    let (mut json, mut lines) = (
        dial(&url.ws("/ws")).await,
        dial(&url.ws("/ws?mode=text")).await,
    );
    json.send(r#"{"email":"a@b","username":"Ana","message":"hi"}"#)
        .await
        .unwrap();
    assert_eq!(
        next(&mut json).await,
        r#"{"email":"a@b","username":"Ana","message":"hi"}"#
    );
    assert_eq!(next(&mut lines).await, "Ana: hi");
    let mut echo = dial(&url.ws("/echo")).await;
    echo.send(&b"\0"[..]).await.unwrap();
    assert_eq!(
        soon("the echo", echo.recv()).await.unwrap(),
        Some(Message::binary(vec![0]))
    );
}

#[tokio::test]
async fn it_compresses_if_it_is_to_however_that_is_said() {
    for (flags, variable, compresses) in [
        (&[][..], "", false),
        (&["--deflate"], "", true),
        (&[], "true", true),
        (&["--deflate"], "false", true),
        (&["--deflate=false"], "true", false),
    ] {
        let default = ["serve", "--memory", "--listen", "0"];
        let mut serve = command(&[&default[..], flags].concat());
        serve.env("FDX_DEFLATE", variable);
        let serve = Program::spawn(&mut serve);
        let url = serve.listening().await;
        for path in ["/ws", "/echo"] {
            let offering = Client::new(&url.ws(path)).unwrap();
            let offering = offering.deflate(Deflate::for_client());
            let (ws, _) = soon("a connection", offering.connect()).await.unwrap();
            assert_eq!(ws.deflate().is_some(), compresses, "{flags:?} {variable}");
        }
    }
}

#[tokio::test]
async fn it_is_what_happens_without_a_command() {
    // The usual port may be taken here.
    let set = [("FDX_LISTEN", "127.0.0.1:0"), ("FDX_MEMORY", "true")];
    let program = Program::spawn(command(&[]).envs(set));
    let url = program.listening().await;
    let mut chat = dial(&url.ws("/ws")).await;
    chat.send(r#"{"message":"hello"}"#).await.unwrap();
    assert!(next(&mut chat).await.contains(r#""message":"hello""#));
}

#[tokio::test]
async fn plain_clients_speak_what_the_flag_says() {
    let (_serve, url) = Program::listen(&["serve", "--plain", "text", "--escape-html"]).await;
    let (mut lines, mut json) = (
        dial(&url.ws("/ws")).await,
        dial(&url.ws("/ws?mode=json")).await,
    );
    lines.send("1 < 2").await.unwrap();
    assert_eq!(next(&mut lines).await, "1 < 2");
    assert!(next(&mut json).await.contains(r#""message":"1 &lt; 2""#));
}

#[tokio::test]
async fn a_folder_takes_the_place_of_the_pages_but_not_of_the_rest() {
    let folder = TempDir::new().unwrap();
    for name in ["index.html", "ws", "healthz"] {
        fs::write(folder.path().join(name), "of the folder").unwrap();
    }
    let dir = text(folder.path());
    let (_serve, url) = Program::listen(&["serve", "--static", dir]).await;
    let page = get(url.addr(), "/", "").await;
    assert!(page.ends_with("of the folder"), "{page}");
    assert!(
        !page
            .to_ascii_lowercase()
            .contains("content-security-policy"),
        "{page}"
    );
    assert!(get(url.addr(), "/healthz", "").await.ends_with("ok\n"));
    assert!(!get(url.addr(), "/ws", "").await.contains("of the folder"));
    for (flag, policy) in [
        ("--csp", "default-src 'self'"),
        ("--csp=img-src *", "img-src *"),
    ] {
        let (_serve, url) = Program::listen(&["serve", "--static", dir, flag]).await;
        let page = get(url.addr(), "/", "").await.to_ascii_lowercase();
        assert!(
            page.contains(&format!("content-security-policy: {policy}")),
            "{page}"
        );
    }
}

#[tokio::test]
async fn a_loopback_listener_answers_to_its_own_names_and_those_of_the_flags() {
    let flags = [
        "--open",
        "--host",
        "box.local",
        "--allow-origin",
        "https://chat.example:8443/",
    ];
    let (_serve, url) = Program::listen(&[&["serve"], &flags[..]].concat()).await;
    for (host, status) in [
        ("localhost:1", "200"),
        ("box.local", "200"),
        ("chat.example", "200"),
        ("evil.example", "421"),
    ] {
        let answer = get(url.addr(), "/healthz", &format!("Host: {host}\r\n")).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{host}: {answer}"
        );
    }
    let from = |origin: &str| Client::new(&url.ws("/ws")).unwrap().origin(origin).unwrap();
    assert!(
        soon("yes", from("https://chat.example:8443").connect())
            .await
            .is_ok()
    );
    assert!(
        soon("no", from("https://other.example").connect())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn off_loopback_it_warns_in_one_line() {
    let program = Program::start(&["serve", "--memory", "--open", "--listen", "0.0.0.0:0"]);
    let url = program.listening().await;
    let told = program.told(|text| text.contains("anybody")).await;
    let warning = format!("anybody who reaches {} may use it", url.addr());
    assert!(told.contains(&warning), "{told}");
    let about_it = told.lines().filter(|line| line.contains("warning"));
    assert_eq!(about_it.count(), 1, "{told}");
    let (quiet, url) = Program::listen(&["serve"]).await;
    get(url.addr(), "/healthz", "").await;
    quiet.terminate();
    assert!(!quiet.end().await.stderr.contains("anybody"));
}

#[tokio::test]
async fn a_log_is_followed_under_its_name() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a.log");
    fs::write(&file, "one\ntwo\n").unwrap();
    let log = format!("app={}", text(&file));
    let (_serve, url) = Program::listen(&["serve", "--log", &log]).await;
    assert!(
        get(url.addr(), "/api/v1/logs", "")
            .await
            .ends_with(r#"{"sources":[{"name":"app"}]}"#)
    );
    let mut viewer = dial(&url.ws("/logs/app?mode=text")).await;
    assert_eq!(
        [next(&mut viewer).await, next(&mut viewer).await],
        ["one", "two"]
    );
}

#[tokio::test]
async fn metrics_have_an_address_of_their_own_if_wanted() {
    let (serve, url) = Program::listen(&["serve", "--metrics", "127.0.0.1:0"]).await;
    let told = serve.told(|text| text.contains("/metrics\n")).await;
    let place = told
        .lines()
        .find_map(|line| line.strip_prefix("metrics are at http://"));
    let addr = place.unwrap().strip_suffix("/metrics").unwrap();
    assert_ne!(addr, url.addr());
    let page = get(addr, "/metrics", "X-Forwarded-For: 192.0.2.1\r\n").await;
    assert!(page.contains("\nfdx_connections 0\n"), "{page}");
    assert!(get(addr, "/", "").await.starts_with("HTTP/1.1 404 "));
}

#[tokio::test]
async fn with_a_certificate_it_speaks_tls() {
    let certificates = Certificates::new();
    let (cert, key) = (certificates.cert(), certificates.key());
    let flags = ["--tls-cert", text(&cert), "--tls-key", text(&key)];
    let (_serve, url) = Program::listen(&[&["serve"], &flags[..]].concat()).await;
    assert!(url.0.starts_with("https://"));
    let ca = certificates.ca();
    let args = [
        "connect",
        &url.ws("/echo").replace("127.0.0.1", "localhost"),
        "--ca",
        text(&ca),
    ];
    let ended = run(&args, "over TLS\n").await;
    assert_eq!(
        (ended.code, &*ended.stdout),
        (Some(0), "over TLS\n"),
        "{}",
        ended.stderr
    );
}
