//! What goes wrong before anything begins: one clear line, and an exit code.

use std::fs;

use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    certificates::{Certificates, text},
    program::{Program, run},
};

/// Runs it and expects this one line on standard error, after `fdx: `.
async fn fails(args: &[&str], code: i32, line: &str) {
    let ended = run(args, "").await;
    assert_eq!(ended.stderr, format!("fdx: {line}\n"), "{args:?}");
    assert_eq!((ended.code, &*ended.stdout), (Some(code), ""), "{args:?}");
}

#[tokio::test]
async fn a_command_line_that_is_wrong_is_one_line_and_code_2() {
    for (args, line) in [
        (
            &["--lissten", "x"][..],
            "unexpected argument '--lissten' found (see --help)",
        ),
        (
            &["--listen", ":8000"],
            "unexpected argument '--listen' found; it belongs to a command: fdx serve --listen ... (see --help)",
        ),
        (
            &["srve"],
            "unrecognized subcommand 'srve'; tip: a similar subcommand exists: 'serve' (see --help)",
        ),
        (
            &["serve", "--lissten", "x"],
            "unexpected argument '--lissten' found; tip: a similar argument exists: '--listen' (see --help)",
        ),
        (
            &["serve", "--listen", "99999"],
            "invalid value '99999' for '--listen <ADDR>': `99999` is not a port (0 to 65535); \
             write ADDR:PORT, :PORT or PORT (see --help)",
        ),
        (
            &["echo", "--listen", "::1"],
            "invalid value '::1' for '--listen <ADDR>': write an IPv6 address in brackets: [::1]:8080 (see --help)",
        ),
        (
            &["serve", "--plain", "xml"],
            "invalid value 'xml' for '--plain <MODE>' [possible values: json, text] (see --help)",
        ),
        (
            &["serve", "--log", "app"],
            "invalid value 'app' for '--log <NAME=FILE>': write NAME=FILE (see --help)",
        ),
        (
            &["serve", "--allow-origin", "example.com"],
            "invalid value 'example.com' for '--allow-origin <ORIGIN|any>': \
             an origin looks like https://example.com, or `any` (see --help)",
        ),
        (
            &["serve", "--host", "https://chat.example.com"],
            "invalid value 'https://chat.example.com' for '--host <NAME>': \
             write a name such as chat.example.com, without scheme, port and path (see --help)",
        ),
        (
            &["tail", "app.log", "--host", "chat.example.com:443"],
            "invalid value 'chat.example.com:443' for '--host <NAME>': \
             write a name such as chat.example.com, without scheme, port and path (see --help)",
        ),
        (
            &["echo", "--tls-cert", "cert.pem"],
            "the following required arguments were not provided: --tls-key <FILE> (see --help)",
        ),
        (
            &["serve", "--csp"],
            "the following required arguments were not provided: --static <DIR> (see --help)",
        ),
        (
            &["echo", "--subprotocol", "chat, superchat"],
            "invalid value 'chat, superchat' for '--subprotocol <P>': \
             a subprotocol is one word; repeat the flag for several (see --help)",
        ),
        (
            &["tail"],
            "the following required arguments were not provided: <FILE>... (see --help)",
        ),
        (
            &["tail", "app.log", "-n", "many"],
            "invalid value 'many' for '--lines <N|all>': write a number of lines, or `all` (see --help)",
        ),
    ] {
        fails(args, 2, line).await;
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_one_line_and_code_2() {
    for (args, line) in [
        (
            &["connect"][..],
            "the following required arguments were not provided: <URL> (see --help)",
        ),
        (
            &["connect", "localhost:8080"],
            "localhost:8080: a WebSocket URI starts with ws:// or wss://",
        ),
        (
            &["connect", "ws://localhost/#top"],
            "ws://localhost/#top: a WebSocket URI has no fragment; write # as %23",
        ),
        (
            &["connect", "ws://localhost", "-H", "Token"],
            "invalid value 'Token' for '--header <NAME: VALUE>': write `Name: value` (see --help)",
        ),
        (
            &["connect", "ws://localhost", "-H", "Origin: http://a"],
            "invalid value 'Origin: http://a' for '--header <NAME: VALUE>': use --origin (see --help)",
        ),
        (
            &["connect", "ws://localhost", "-H", "Host: a"],
            "Host is written by the handshake itself",
        ),
        (
            &["connect", "ws://localhost", "--origin", "a"],
            "invalid value 'a' for '--origin <ORIGIN>': an origin looks like https://example.com (see --help)",
        ),
        (
            &["connect", "ws://localhost", "--linger", "soon"],
            "invalid value 'soon' for '--linger <SECONDS>': write seconds, such as 20 or 0.5, or 500ms, 10s, 5m, 1h, 7d (see --help)",
        ),
        (
            &["connect", "ws://localhost", "--ca", "ca.pem", "-k"],
            "the argument '--ca <FILE>' cannot be used with '--insecure' (see --help)",
        ),
    ] {
        fails(args, 2, line).await;
    }
}

#[tokio::test]
async fn timeouts_that_cannot_work_together_are_code_2() {
    for command in [&["echo"][..], &["serve"], &["tail", "app.log"]] {
        let with = |flags: &[&'static str]| [command, flags].concat();
        let idle = "--idle-timeout must be longer than --ping-interval, or no ping is ever sent";
        fails(&with(&["--idle-timeout", "5"]), 2, idle).await;
        fails(
            &with(&["--idle-timeout", "5", "--ping-interval", "5"]),
            2,
            idle,
        )
        .await;
        let ping = "--ping-timeout must be more than 0";
        fails(&with(&["--ping-timeout", "0"]), 2, ping).await;
    }
    let ping = "--ping-timeout must be more than 0";
    fails(
        &["connect", "ws://localhost", "--ping-timeout", "0"],
        2,
        ping,
    )
    .await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_code_3() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    for command in [&["echo"][..], &["serve"], &["tail", "app.log"]] {
        let args = [command, &["--listen", &addr]].concat();
        let line = format!("cannot listen on {addr}: Address already in use (os error 98)");
        fails(&args, 3, &line).await;
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_code_3() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "no certificate").unwrap();
    let (folder, file) = (text(folder.path()), text(&file));
    let under = format!("{file}/app.log");
    let missing = format!("{folder}/missing");
    let listen = ["--listen", "127.0.0.1:0"];
    let is_folder = format!("cannot follow {folder}: it is a directory, not a regular file");
    let not_folder = format!("cannot read {under}: Not a directory (os error 20)");
    let not_there = format!("{missing}: No such file or directory (os error 2)");
    for (args, line) in [
        (&["tail", folder][..], is_folder.clone()),
        (&["serve", "--log", &format!("app={folder}")], is_folder),
        (&["tail", &under], not_folder),
        (
            &["serve", "--static", &missing],
            format!("cannot use {not_there}"),
        ),
        (
            &["echo", "--tls-cert", &missing, "--tls-key", file],
            format!("cannot read {not_there}"),
        ),
        (
            &["echo", "--tls-cert", file, "--tls-key", file],
            format!("cannot use {file}: no certificate in PEM form"),
        ),
        (
            &["serve", "--tls-cert", file, "--tls-key", file],
            format!("cannot use {file}: no certificate in PEM form"),
        ),
    ] {
        fails(&[args, &listen].concat(), 3, &line).await;
    }
    let shows = ["serve", "--static", folder, "--auth-secret", file];
    let line = format!(
        "--static {folder} would show {file} of --auth-secret to everybody; keep that elsewhere"
    );
    fails(&shows, 2, &line).await;
    let connect = ["connect", "wss://127.0.0.1:1", "--ca"];
    let not_there = format!("cannot read {not_there}");
    fails(&[&connect[..], &[&missing]].concat(), 3, &not_there).await;
    let no_ca = format!("cannot use {file}: no certificate in PEM form");
    fails(&[&connect[..], &[file]].concat(), 3, &no_ca).await;
}

#[tokio::test]
async fn a_certificate_or_key_that_cannot_be_used_is_the_one_that_is_named() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let (cert, key, other) = (certificates.cert(), certificates.key(), others.key());
    let (cert, key, other) = (text(&cert), text(&key), text(&other));
    let pipe = TempDir::new().unwrap();
    let pipe = pipe.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let pipe = text(&pipe);
    for command in ["echo", "serve"] {
        for (cert, key, beginning) in [
            (key, key, format!("fdx: cannot use {key}: ")),
            (cert, cert, format!("fdx: cannot use {cert}: ")),
            (
                cert,
                other,
                format!("fdx: cannot use {cert} with {other}: "),
            ),
            (
                pipe,
                key,
                format!("fdx: cannot read {pipe}: not a regular file\n"),
            ),
            (
                cert,
                pipe,
                format!("fdx: cannot read {pipe}: not a regular file\n"),
            ),
        ] {
            let flags = ["--tls-cert", cert, "--tls-key", key, "--listen", "0"];
            let ended = run(&[&[command], &flags[..]].concat(), "").await;
            assert!(ended.stderr.starts_with(&beginning), "{}", ended.stderr);
            assert_eq!((ended.code, ended.stderr.lines().count()), (Some(3), 1));
        }
    }
}

#[tokio::test]
async fn whoever_can_be_reached_by_others_is_warned_once() {
    for command in [&["echo"][..], &["serve", "--memory", "--open"]] {
        for (listen, warnings) in [("0.0.0.0:0", 1), ("127.0.0.1:0", 0)] {
            let server = Program::start(&[command, &["--listen", listen]].concat());
            server.listening().await;
            server.terminate();
            let told = server.end().await.stderr;
            assert_eq!(told.matches("may use it").count(), warnings, "{told}");
        }
    }
}

#[tokio::test]
async fn two_hyphens_alone_are_no_command() {
    let ended = run(&["--", "--listen", "0"], "").await;
    assert_eq!(ended.code, Some(2));
    assert!(!ended.stderr.contains("'serve'"), "{}", ended.stderr);
    // By us, or by somebody else before.
    let _taken = TcpListener::bind("127.0.0.1:8080").await;
    let taken = "cannot listen on 127.0.0.1:8080: Address already in use (os error 98)";
    fails(&["--"], 3, taken).await;
}

#[tokio::test]
async fn logs_that_cannot_be_told_apart_or_shown_are_code_2() {
    let listen = ["--listen", "127.0.0.1:0"];
    for (args, line) in [
        (
            &["serve", "--log", "a=x", "--log", "a=y"][..],
            "two logs are named \"a\"",
        ),
        (&["serve", "--log", "a/b=x"], "\"a/b\" can't name a log"),
        (&["serve", "--log", "a\nb=x"], "\"a\\nb\" can't name a log"),
        (
            &["tail", "x", "--at", "/logs"],
            "\"/logs\" can't be the path of a log",
        ),
    ] {
        fails(&[args, &listen].concat(), 2, line).await;
    }
}

#[tokio::test]
async fn logs_are_shown_off_loopback_only_when_told_so() {
    for command in [&["tail", "app.log"][..], &["serve", "--log", "app=app.log"]] {
        let args = [command, &["--listen", "0.0.0.0:0"]].concat();
        let refused = run(&args, "").await;
        assert_eq!(refused.code, Some(2));
        assert!(
            refused
                .stderr
                .ends_with(" could read the logs; pass --logs-open if they may\n"),
            "{}",
            refused.stderr
        );
        let may = match command[0] {
            "serve" => &["--memory", "--logs-open", "--open"][..],
            _ => &["--logs-open"],
        };
        let open = Program::start(&[&args[..], may].concat());
        assert!(open.listening().await.0.starts_with("http://0.0.0.0:"));
    }
}
