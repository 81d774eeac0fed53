//! `fdx tail` and its flags.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use fullduplex::WebSocket;
use tempfile::TempDir;

use crate::{
    certificates::text,
    http::get,
    program::{Program, soon},
};

async fn dial(url: &str) -> WebSocket {
    soon("a connection", fullduplex::connect(url))
        .await
        .unwrap()
}

async fn lines(ws: &mut WebSocket, count: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for _ in 0..count {
        let message = soon("a line", ws.recv()).await.unwrap();
        lines.push(message.unwrap().as_text().unwrap().to_owned());
    }
    lines
}

fn log(folder: &Path, name: &str, lines: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, lines).unwrap();
    path
}

fn append(path: &Path, lines: &str) {
    OpenOptions::new()
        .append(true)
        .open(path)
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
}

#[tokio::test]
async fn files_are_shown_under_names_that_tell_them_apart() {
    let folder = TempDir::new().unwrap();
    let files = ["a/app.log", "b/app.log", "x.log"].map(|name| log(folder.path(), name, name));
    let [a, b, x] = files.each_ref().map(|file| text(file));
    let (_tail, url) = Program::listen(&["tail", a, b, x, a]).await;
    let sources = get(url.addr(), "/api/v1/logs", "").await;
    let expected = r#"{"sources":[{"name":"a-app.log"},{"name":"b-app.log"},{"name":"x.log"}]}"#;
    assert!(sources.ends_with(expected), "{sources}");
    for path in ["/", "/logs"] {
        assert!(get(url.addr(), path, "").await.contains("<!doctype html>"));
    }
}

#[tokio::test]
async fn so_many_lines_come_first_and_then_those_to_come() {
    let folder = TempDir::new().unwrap();
    let file = log(folder.path(), "app.log", "one\ntwo\nthree\n");
    for (n, first) in [
        ("2", &["two", "three"][..]),
        ("all", &["one", "two", "three"]),
        ("0", &[]),
    ] {
        let (_tail, url) = Program::listen(&["tail", text(&file), "-n", n]).await;
        let mut viewer = dial(&url.ws("/logs/app.log?mode=text")).await;
        assert_eq!(lines(&mut viewer, first.len()).await, first, "{n}");
        append(&file, "new\n");
        assert_eq!(lines(&mut viewer, 1).await, ["new"], "{n}");
        fs::write(&file, "one\ntwo\nthree\n").unwrap();
    }
}

#[tokio::test]
async fn standard_input_is_a_log_too() {
    let mut tail = Program::start(&["tail", "-", "--listen", "127.0.0.1:0"]);
    let url = tail.listening().await;
    tail.write("first\n").await;
    let mut viewer = dial(&url.ws("/logs/stdin?mode=text&n=all")).await;
    assert_eq!(lines(&mut viewer, 1).await, ["first"]);
    tail.write("second\n").await;
    assert_eq!(lines(&mut viewer, 1).await, ["second"]);
}

#[tokio::test]
async fn standard_input_is_copied_to_standard_output_too() {
    let mut tail = Program::start(&["tail", "-", "--print", "--listen", "127.0.0.1:0"]);
    tail.listening().await;
    tail.write("first\nsecond\n").await;
    tail.said(|said| said.ends_with("\nfirst\nsecond\n")).await;
}

#[tokio::test]
async fn files_are_followed_by_polling_alone_when_that_is_wanted() {
    let folder = TempDir::new().unwrap();
    let file = log(folder.path(), "app.log", "one\n");
    let (_tail, url) = Program::listen(&["tail", text(&file), "--polling"]).await;
    let mut viewer = dial(&url.ws("/logs/app.log?mode=text")).await;
    assert_eq!(lines(&mut viewer, 1).await, ["one"]);
    append(&file, "two\n");
    assert_eq!(lines(&mut viewer, 1).await, ["two"]);
}

#[tokio::test]
async fn lines_are_copied_to_standard_output_when_that_is_wanted() {
    let folder = TempDir::new().unwrap();
    let file = log(folder.path(), "a.log", "one\ntwo\n");
    let (tail, _) = Program::listen(&["tail", text(&file), "--print", "-n", "1"]).await;
    tail.said(|said| said.ends_with("\ntwo\n")).await;
    append(&file, "three\n");
    let said = tail.said(|said| said.ends_with("three\n")).await;
    assert!(
        said.starts_with("listening on http://") && said.ends_with("\ntwo\nthree\n"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 3);
}

#[tokio::test]
async fn copied_lines_of_several_files_tell_where_they_are_from() {
    let folder = TempDir::new().unwrap();
    let (a, b) = (
        log(folder.path(), "a.log", ""),
        log(folder.path(), "b.log", ""),
    );
    let (tail, _) = Program::listen(&["tail", text(&a), text(&b), "--print"]).await;
    append(&a, "one\n");
    tail.said(|said| said.ends_with("\na.log: one\n")).await;
    append(&b, "two\n");
    tail.said(|said| said.ends_with("\na.log: one\nb.log: two\n"))
        .await;
}

#[tokio::test]
async fn the_tutorials_page_and_path_work_unchanged() {
    let folder = TempDir::new().unwrap();
    let file = log(folder.path(), "app.log", "one\ntwo\n");
    log(folder.path(), "pages/index.html", "the tutorial's page");
    let pages = folder.path().join("pages");
    let args = [
        "tail",
        text(&file),
        "--at",
        "/echo",
        "--static",
        text(&pages),
    ];
    let (_tail, url) = Program::listen(&args).await;
    assert!(
        get(url.addr(), "/", "")
            .await
            .ends_with("the tutorial's page")
    );
    let mut viewer = dial(&url.ws("/echo")).await;
    assert_eq!(lines(&mut viewer, 2).await, ["one", "two"]);
    append(&file, "three\n");
    assert_eq!(lines(&mut viewer, 1).await, ["three"]);
}
