//! What a server has to do with its operator: signals, log lines, limits of the system.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

use fullduplex::{Client, WebSocket, tls::ClientTls};
use rustix::process::{Pid, Resource, getrlimit, prlimit};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    certificates::{Certificates, text},
    http::get,
    program::{Program, SOON, Url, command, run, soon},
};

/// Connects to the echo of a server whose certificate this authority vouches for.
async fn dial(url: &Url, ca: &[u8]) -> Result<WebSocket, fullduplex::ConnectError> {
    let tls = ClientTls::new().ca(ca).unwrap().build().unwrap();
    let url = url.ws("/echo").replace("127.0.0.1", "localhost");
    let client = Client::new(&url).unwrap().tls(tls);
    soon("a handshake", client.connect())
        .await
        .map(|(ws, _)| ws)
}

async fn echoes(ws: &mut WebSocket) {
    ws.send("still here").await.unwrap();
    let answer = soon("the echo", ws.recv()).await.unwrap().unwrap();
    assert_eq!(answer.as_text(), Some("still here"));
}

#[tokio::test]
async fn s50_a_renewed_certificate_is_for_new_connections_and_open_ones_stay() {
    let (ours, renewed) = (Certificates::new(), Certificates::new());
    let ca = [&ours, &renewed].map(|certificates| fs::read(certificates.ca()).unwrap());
    let (cert, key) = (ours.cert(), ours.key());
    let flags = ["--tls-cert", text(&cert), "--tls-key", text(&key)];
    let (serve, url) = Program::listen(&[&["serve"], &flags[..]].concat()).await;
    let mut open = dial(&url, &ca[0]).await.unwrap();
    echoes(&mut open).await;

    fs::copy(renewed.cert(), &cert).unwrap();
    fs::copy(renewed.key(), &key).unwrap();
    serve.hang_up();
    serve.told(|text| text.contains("read anew")).await;
    let mut new = dial(&url, &ca[1]).await.unwrap();
    echoes(&mut new).await;
    echoes(&mut open).await;
    assert!(dial(&url, &ca[0]).await.is_err());

    fs::write(&key, "no key").unwrap();
    serve.hang_up();
    let told = serve.told(|text| text.contains("can't be renewed")).await;
    assert!(told.contains(text(&key)), "{told}");
    echoes(&mut dial(&url, &ca[1]).await.unwrap()).await;
    echoes(&mut open).await;
}

#[tokio::test]
async fn a_hangup_ends_nothing_where_there_is_no_terminal() {
    let (serve, url) = Program::listen(&["serve"]).await;
    serve.hang_up();
    serve.told(|text| text.contains("read at start only")).await;
    assert!(get(url.addr(), "/healthz", "").await.ends_with("ok\n"));
    serve.terminate();
    assert_eq!(serve.end().await.code, Some(0));
}

#[tokio::test]
async fn s37_a_limit_of_descriptors_is_told_and_kept_to() {
    const DESCRIPTORS: u64 = 80;
    let enough = getrlimit(Resource::Nofile)
        .maximum
        .is_none_or(|max| max >= DESCRIPTORS);
    assert!(enough, "so many are everywhere");
    let serve = command(&["serve", "--memory", "--listen", "127.0.0.1:0"]);
    let serve = serve.as_std();
    let mut limited = tokio::process::Command::new("sh");
    limited
        .args([
            "-c",
            &format!("ulimit -n {DESCRIPTORS}; exec \"$0\" \"$@\""),
        ])
        .arg(serve.get_program())
        .args(serve.get_args());
    let program = Program::spawn(&mut limited);
    let url = program.listening().await;
    let warning = "warning: at most 16 connections at a time: the limit of open files is 80\n";
    program.told(|text| text.contains(warning)).await;
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(fullduplex::connect(&url.ws("/echo")).await.unwrap());
    }
    for _ in 0..100 {
        assert!(fullduplex::connect(&url.ws("/echo")).await.is_err());
    }
    for ws in &mut open {
        echoes(ws).await;
    }
    // A place that is free again is taken again.
    drop(open.pop());
    let again = async {
        while fullduplex::connect(&url.ws("/echo")).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon("a place", again).await;
    let told = program.told(|_| true).await;
    assert!(!told.contains("accepting pauses"), "{told}");
}

/// Goal: where there is no descriptor for another connection, accepting waits longer and longer, and goes on by itself.
/// Method: the limit of a server that runs is lowered below what it has open, and raised again.
#[tokio::test]
async fn s37_without_descriptors_accepting_pauses_and_goes_on_by_itself() {
    let (server, url) = Program::listen(&["serve"]).await;
    let mut open = fullduplex::connect(&url.ws("/echo")).await.unwrap();
    let pid = Pid::from_raw(server.pid().try_into().unwrap());
    let limit = getrlimit(Resource::Nofile);
    let mut none = limit;
    none.current = Some(0);
    let begun = Instant::now();
    prlimit(pid, Resource::Nofile, none).unwrap();
    let addr = url.addr().to_owned();
    let waiting = tokio::spawn(async move { get(&addr, "/metrics", "").await });
    server.told(|text| text.contains("accepting pauses")).await;
    echoes(&mut open).await;
    prlimit(pid, Resource::Nofile, limit).unwrap();
    let page = soon("the answer", waiting).await.unwrap();
    let failures = page
        .lines()
        .find_map(|line| line.strip_prefix("fdx_accept_failures_total "));
    let failures: u64 = failures.unwrap().parse().unwrap();
    // From 5 ms on twice as long each time, up to a second.
    let at_most = 9 + begun.elapsed().as_secs();
    assert!((1..=at_most).contains(&failures), "{failures}");
    let told = server.told(|_| true).await;
    assert_eq!(told.matches("accepting pauses").count(), 1, "{told}");
}

#[tokio::test]
async fn log_lines_are_objects_for_machines_notes_and_warnings_among_them() {
    let flags = ["--log-format", "json", "--allow-origin", "any"];
    let (serve, url) = Program::listen(&[&["serve"], &flags[..]].concat()).await;
    let mut echo = fullduplex::connect(&url.ws("/echo")).await.unwrap();
    echo.close(fullduplex::CloseFrame::normal()).await;
    serve.told(|text| text.contains("connection ended")).await;
    serve.terminate();
    let told = serve.end().await.stderr;
    let lines: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
        .collect();
    let find = |message: &str| {
        let found = lines.iter().find(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains(message))
        });
        found.unwrap_or_else(|| panic!("no {message} in {told}"))
    };
    assert_eq!(find("rooms are in memory only")["level"], "INFO");
    assert_eq!(find("--allow-origin any")["level"], "WARN");
    let ended = find("connection ended");
    assert_eq!(
        (&ended["code"], &ended["path"]),
        (&1000.into(), &"/echo".into())
    );
    assert!(ended["timestamp"].is_string());
}

#[tokio::test]
async fn who_is_refused_again_and_again_does_not_fill_the_log() {
    let (serve, url) = Program::listen(&["serve"]).await;
    let begun = Instant::now();
    let evil = "Origin: https://evil.example\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for _ in 0..1_000 {
        let refused = get(url.addr(), "/ws", evil).await;
        assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    }
    serve.terminate();
    let told = serve.end().await.stderr;
    let lines = told.matches("handshake refused").count();
    // A hundred in ten seconds, the first of which may be over soon.
    let at_most = 100 * usize::try_from(2 + begun.elapsed().as_secs() / 10).unwrap();
    assert!((100..=at_most).contains(&lines), "{lines} lines of 1,000");
}

#[tokio::test]
async fn lines_that_matter_less_than_asked_for_are_left_out() {
    let (serve, url) = Program::listen(&["serve", "--log-level", "warn"]).await;
    let mut echo = fullduplex::connect(&url.ws("/echo")).await.unwrap();
    echo.close(fullduplex::CloseFrame::normal()).await;
    serve.terminate();
    let told = serve.end().await.stderr;
    assert!(!told.contains("connection ended"), "{told}");
    let wrong = run(&["serve", "--log-level", "loud"], "").await;
    assert_eq!(wrong.code, Some(2));
}

#[tokio::test]
async fn a_service_manager_is_told_when_it_is_ready_and_when_it_stops() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let mut serve = command(&["serve", "--memory", "--listen", "127.0.0.1:0"]);
    serve.env("NOTIFY_SOCKET", &path);
    let serve = Program::spawn(&mut serve);
    let told = || {
        let mut buffer = [0; 256];
        let len = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    };
    assert_eq!(told().trim_end(), "READY=1");
    let url = serve.listening().await;
    assert!(get(url.addr(), "/readyz", "").await.ends_with("ready\n"));
    serve.terminate();
    assert_eq!(told().trim_end(), "STOPPING=1");
    assert_eq!(serve.end().await.code, Some(0));
}
