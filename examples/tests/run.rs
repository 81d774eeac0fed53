//! Goal: every example does what its first lines say.
//! Method: each is started as a program of its own, on a port that the system picks, and talked to; it ends with its handle.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

use std::{future::Future, process::Stdio, time::Duration};

use fullduplex::{
    Client, CloseCode, CloseFrame, ConnectError, Message, Server, WebSocket, connect,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it happens in time")
}

/// A program that runs until this is dropped.
struct Example {
    _child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            _child: child,
            output,
        }
    }

    /// Starts a server; its address is the last word of its first line.
    async fn serve(program: &str, args: &[&str]) -> (Self, String) {
        let mut example = Self::start(program, &[args, &["127.0.0.1:0"]].concat());
        let line = example.line().await;
        let uri = line.strip_prefix("listening on ").expect("says where");
        let uri = uri.to_owned();
        (example, uri)
    }

    async fn line(&mut self) -> String {
        within(self.output.next_line())
            .await
            .unwrap()
            .expect("another line")
    }

    /// All lines to the end of the program.
    async fn rest(mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = within(self.output.next_line()).await.unwrap() {
            lines.push(line);
        }
        lines
    }
}

async fn open(uri: &str) -> WebSocket {
    within(connect(uri)).await.unwrap()
}

async fn text(ws: &mut WebSocket) -> String {
    let message = within(ws.recv()).await.unwrap().expect("not closed");
    message.as_text().expect("text").to_owned()
}

async fn asks(ws: &mut WebSocket, question: &str, answer: &str) {
    within(ws.send(question)).await.unwrap();
    assert_eq!(text(ws).await, answer);
}

/// The port of the newcomer's programs is in their text. Another run of this test may have it at the moment; who waits
/// for it is served.
#[tokio::test]
async fn the_readmes_client_hears_itself_from_the_readmes_server() {
    let attempt = async || {
        let mut server = Command::new(env!("CARGO_BIN_EXE_hello_server"))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        while TcpStream::connect("127.0.0.1:9001").await.is_err() {
            if server.try_wait().unwrap().is_some() {
                return None;
            }
            tokio::task::yield_now().await;
        }
        let client = Example::start(env!("CARGO_BIN_EXE_hello_client"), &[]);
        let lines = client.rest().await;
        // Else it was another server that answered.
        server.try_wait().unwrap().is_none().then_some(lines)
    };
    let lines = within(async {
        loop {
            match attempt().await {
                Some(lines) => return lines,
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    });
    assert_eq!(lines.await, ["hello"]);
}

/// The README's Rust code is these programs, so that it compiles and does what it says.
#[test]
fn the_readmes_code_is_short_and_is_that_of_the_examples() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(folder.join("../README.md")).unwrap();
    let programs = ["hello_server", "hello_client"].map(|name| {
        let source = std::fs::read_to_string(folder.join(name).with_extension("rs")).unwrap();
        let (_header, program) = source.split_once("\n\n").unwrap();
        program.to_owned()
    });
    for program in &programs {
        assert!(program.lines().count() < 15, "{program}");
    }
    assert_eq!(rust_blocks(&readme), programs);
    // So are those of the crate's own README, and the beginning of its documentation.
    let readme = std::fs::read_to_string(folder.join("../crates/ws/README.md")).unwrap();
    assert_eq!(rust_blocks(&readme), programs);
    let docs = std::fs::read_to_string(folder.join("../crates/ws/src/lib.rs")).unwrap();
    let docs: Vec<_> = docs
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    assert_eq!(rust_blocks(&docs.join("\n"))[..2], programs);
}

/// What stands in blocks of Rust in a page of Markdown.
fn rust_blocks(page: &str) -> Vec<String> {
    page.split("```rust")
        .skip(1)
        .map(|rest| {
            let (_info, rest) = rest.split_once('\n').unwrap();
            rest.split_once("```").unwrap().0.to_owned()
        })
        .collect()
}

#[tokio::test]
async fn the_echo_client_hears_itself_from_the_echo_server() {
    let (_server, uri) = Example::serve(env!("CARGO_BIN_EXE_echo_server"), &[]).await;
    assert!(
        uri.starts_with("ws://127.0.0.1:") && uri.ends_with("/echo"),
        "{uri}"
    );
    let client = Example::start(env!("CARGO_BIN_EXE_echo_client"), &[&uri]);
    assert_eq!(client.rest().await, ["Received: hello world!."]);
}

#[tokio::test]
async fn the_byte_stream_echo_gives_back_every_byte() {
    let (_server, uri) = Example::serve(env!("CARGO_BIN_EXE_byte_stream_echo"), &[]).await;
    let client = Example::start(env!("CARGO_BIN_EXE_echo_client"), &[&uri]);
    assert_eq!(client.rest().await, ["Received: hello world!."]);
    // It knows no messages: a long one comes back in several.
    let mut ws = open(&uri).await;
    let long = "żółw ".repeat(50_000);
    within(ws.send(long.as_str())).await.unwrap();
    let mut echoed = String::new();
    while echoed.len() < long.len() {
        echoed.push_str(&text(&mut ws).await);
    }
    assert_eq!(echoed, long);
    assert!(within(ws.close(CloseFrame::normal())).await.clean);
}

#[tokio::test]
async fn fragments_shows_the_dialogue() {
    let lines = Example::start(env!("CARGO_BIN_EXE_fragments"), &[])
        .rest()
        .await;
    let expected = [
        "Client: FIN=1, opcode=0x1, msg=\"hello\"",
        "Server: Hi. [81, 03, 48, 69, 2e]",
        "Client: FIN=0, opcode=0x1, msg=\"and a\"",
        "Server: (listening)",
        "Client: FIN=0, opcode=0x0, msg=\"happy new\"",
        "Server: (listening)",
        "Client: FIN=1, opcode=0x0, msg=\"year!\"",
    ];
    assert_eq!(lines[..7], expected);
    assert!(
        lines[7].starts_with("Server: Happy new year to you too! [81, 1a, "),
        "{}",
        lines[7]
    );
    assert_eq!(lines.len(), 8);
}

/// The answer to a GET, as text.
async fn get(authority: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(authority).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn http_route_has_a_page_a_json_route_and_a_websocket() {
    let (_server, uri) = Example::serve(env!("CARGO_BIN_EXE_http_route"), &[]).await;
    let authority = uri.strip_prefix("http://").unwrap();
    let page = get(authority, "/").await;
    assert!(
        page.starts_with("HTTP/1.1 200 OK") && page.contains("new WebSocket("),
        "{page}"
    );
    assert!(
        get(authority, "/api/hello")
            .await
            .ends_with("\r\n\r\n{\"hello\":\"world\"}")
    );
    assert!(get(authority, "/nothing").await.starts_with("HTTP/1.1 404"));
    assert!(get(authority, "/ws").await.starts_with("HTTP/1.1 426"));
    let mut ws = open(&format!("ws://{authority}/ws")).await;
    asks(&mut ws, "żółw", "4 characters").await;
    assert!(within(ws.close(CloseFrame::normal())).await.clean);
}

#[tokio::test]
async fn subprotocols_speaks_the_first_that_a_client_offers() {
    let (_server, uri) = Example::serve(env!("CARGO_BIN_EXE_subprotocols"), &[]).await;
    let offering = async |offers: &[&str]| {
        let mut client = Client::new(&uri).unwrap();
        for offer in offers {
            client = client.subprotocol(offer).unwrap();
        }
        within(client.connect()).await.map(|(ws, _response)| ws)
    };
    let mut orders = offering(&["orders.v2", "orders.v1", "prices.v1"])
        .await
        .unwrap();
    assert_eq!(orders.subprotocol(), Some("orders.v1"));
    asks(&mut orders, "tea", "order 1: tea").await;
    let mut prices = offering(&["prices.v1", "orders.v1"]).await.unwrap();
    assert_eq!(prices.subprotocol(), Some("prices.v1"));
    asks(&mut prices, "tea", "3.00").await;
    asks(&mut orders, "milk", "order 2: milk").await;
    for offers in [&["orders.v2"][..], &[]] {
        let Err(ConnectError::Handshake(error)) = offering(offers).await else {
            unreachable!("refused")
        };
        assert_eq!(error.refused().unwrap().status(), 400);
    }
}

#[tokio::test]
async fn codes_and_reasons_of_goodbyes_arrive_both_ways() {
    let (mut server, uri) = Example::serve(env!("CARGO_BIN_EXE_close_server"), &[]).await;
    let client = Example::start(env!("CARGO_BIN_EXE_close_client"), &[&uri]);
    assert_eq!(
        client.rest().await,
        ["closed 1000 \"Goodbye, server!\" by us, clean: true"]
    );
    assert_eq!(
        server.line().await,
        "closed 1000 \"Goodbye, server!\" by peer"
    );

    let mut ws = open(&uri).await;
    ws.send("anything").await.unwrap();
    assert_eq!(within(ws.recv()).await, Ok(None));
    assert_eq!(
        ws.outcome().unwrap().to_string(),
        "1000 \"Goodbye, client!\" by peer"
    );
    assert_eq!(
        server.line().await,
        "closed 1000 \"Goodbye, client!\" by us"
    );
}

#[tokio::test]
async fn the_heartbeat_client_comes_back_after_each_loss() {
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("ws://{}/", server.local_addr().unwrap());
    let (taken, mut clients) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(server.serve(move |ws: WebSocket| {
        let taken = taken.clone();
        async move {
            let (give_back, kept) = tokio::sync::oneshot::channel::<WebSocket>();
            taken.send((ws, give_back)).unwrap();
            drop(kept.await);
        }
    }));
    let mut example = Example::start(env!("CARGO_BIN_EXE_heartbeat_client"), &[&uri]);
    let (mut ws, _end) = within(clients.recv()).await.unwrap();
    assert_eq!(example.line().await, "connected");
    ws.send("hello").await.unwrap();
    assert_eq!(example.line().await, "received: hello");
    // A link that breaks without a word, then a server that goes away in good order.
    drop(ws);
    assert_eq!(
        example.line().await,
        "lost: the connection has ended: 1006 by peer: connection ended without Close"
    );
    let (mut ws, _end) = within(clients.recv()).await.unwrap();
    assert_eq!(example.line().await, "connected");
    let away = CloseFrame::new(CloseCode::GOING_AWAY, "").unwrap();
    assert!(within(ws.close(away)).await.clean);
    assert_eq!(example.line().await, "lost: 1001 by peer");
    assert!(within(clients.recv()).await.is_some());
}

#[tokio::test]
async fn hub_chat_sends_every_line_to_everybody() {
    let (_server, uri) = Example::serve(env!("CARGO_BIN_EXE_hub_chat"), &[]).await;
    let mut ana = open(&uri).await;
    // The sender's own line shows that it is registered.
    asks(&mut ana, "  is this\non? ", "is this on?").await;
    let mut bo = open(&uri).await;
    asks(&mut bo, "hello", "hello").await;
    assert_eq!(text(&mut ana).await, "hello");
    within(bo.close(CloseFrame::normal())).await;
    asks(&mut ana, "bye", "bye").await;
    // This is a chat of text.
    ana.send(vec![1]).await.unwrap();
    assert_eq!(within(ana.recv()).await, Ok(None));
    assert_eq!(ana.outcome().unwrap().code(), CloseCode::UNSUPPORTED_DATA);
}

#[tokio::test]
async fn hub_chat_joins_the_lines_that_wait_and_loses_none() {
    const LINES: usize = 200;
    let (_server, uri) = Example::serve(env!("CARGO_BIN_EXE_hub_chat"), &[]).await;
    let mut ws = open(&uri).await;
    for i in 0..LINES {
        ws.feed(format!("line {i}")).await.unwrap();
    }
    ws.flush().await.unwrap();
    let (mut lines, mut messages) = (Vec::new(), 0);
    while lines.len() < LINES {
        lines.extend(text(&mut ws).await.split('\n').map(str::to_owned));
        messages += 1;
    }
    assert_eq!(
        lines,
        (0..LINES).map(|i| format!("line {i}")).collect::<Vec<_>>()
    );
    assert!(messages < LINES, "{messages} messages");
}

#[tokio::test]
async fn hub_chat_drops_who_does_not_read_and_goes_on() {
    // As much as fits into the sockets' buffers, and 256 lines more.
    const LINES: usize = 800;
    let (_server, uri) = Example::serve(env!("CARGO_BIN_EXE_hub_chat"), &[]).await;
    let mut slow = open(&uri).await;
    asks(&mut slow, "I am here", "I am here").await;
    let mut quick = open(&uri).await;
    let line = "x".repeat(32 << 10);
    for _ in 0..LINES {
        asks(&mut quick, &line, &line).await;
    }
    // What was on its way arrives; then the connection ends, and not all came.
    let mut received = 0;
    while let Ok(Some(message)) = within(slow.recv()).await {
        received += message.len() / line.len();
    }
    assert!(received < LINES, "{received} lines");
    asks(&mut quick, "still here", "still here").await;
}

#[tokio::test]
async fn json_chat_sends_each_object_to_everybody() {
    let (_server, uri) = Example::serve(env!("CARGO_BIN_EXE_json_chat"), &[]).await;
    let mut ana = open(&uri).await;
    let line = r#"{"email":"ana@example.com","username":"Ana","message":"<b>hi</b> 👋"}"#;
    asks(&mut ana, line, line).await;
    let mut bo = open(&uri).await;
    // What is missing is empty, and what is more is dropped.
    let whole = r#"{"email":"","username":"Bo","message":""}"#;
    asks(&mut bo, r#"{"username":"Bo","extra":[1]}"#, whole).await;
    assert_eq!(text(&mut ana).await, whole);
    for (bad, code) in [
        (Message::text("{"), CloseCode::INVALID_FRAME_PAYLOAD_DATA),
        (
            Message::text(r#"{"message":1}"#),
            CloseCode::INVALID_FRAME_PAYLOAD_DATA,
        ),
        (Message::binary(vec![1]), CloseCode::UNSUPPORTED_DATA),
    ] {
        let mut client = open(&uri).await;
        client.send(bad).await.unwrap();
        assert_eq!(within(client.recv()).await, Ok(None));
        assert_eq!(client.outcome().unwrap().code(), code);
    }
    asks(&mut ana, line, line).await;
    assert_eq!(text(&mut bo).await, line);
}

#[tokio::test]
async fn log_print_shows_what_is_there_and_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.log");
    std::fs::write(&file, "first\nsecond\nunfin").unwrap();
    let (_server, uri) =
        Example::serve(env!("CARGO_BIN_EXE_log_print"), &[file.to_str().unwrap()]).await;
    let mut ana = open(&uri).await;
    assert_eq!(text(&mut ana).await, "first");
    assert_eq!(text(&mut ana).await, "second");
    let append = |lines: &str| {
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(&file)
            .unwrap();
        std::io::Write::write_all(&mut log, lines.as_bytes()).unwrap();
    };
    append("ished\nthird\n");
    assert_eq!(text(&mut ana).await, "unfinished");
    assert_eq!(text(&mut ana).await, "third");
    // Another viewer gets the file from its first line, and both what comes.
    let mut bo = open(&uri).await;
    for line in ["first", "second", "unfinished", "third"] {
        assert_eq!(text(&mut bo).await, line);
    }
    std::fs::rename(&file, folder.path().join("app.log.1")).unwrap();
    append("after the rotation\n");
    assert_eq!(text(&mut ana).await, "after the rotation");
    assert_eq!(text(&mut bo).await, "after the rotation");
    assert!(within(ana.close(CloseFrame::normal())).await.clean);
}

#[tokio::test]
async fn log_print_without_a_file_says_how_to_use_it() {
    let output = within(Command::new(env!("CARGO_BIN_EXE_log_print")).output())
        .await
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage: log_print FILE [ADDR]"));
}

/// Every example is one file of less than eighty lines, whose first line is the command that runs it, and which the README
/// lists.
#[test]
fn every_example_is_short_says_how_to_run_it_and_is_listed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let source = std::fs::read_to_string(&path).unwrap();
        assert!(source.lines().count() < 80, "{name} is too long");
        let command = format!("//! `cargo run -p fullduplex-examples --bin {name}");
        assert!(
            source.starts_with(&command),
            "{name} does not say how to run it"
        );
        assert!(
            source
                .lines()
                .take(4)
                .any(|line| line.starts_with("//! Seed")),
            "{name} has no seed"
        );
        assert!(
            readme.contains(&format!("({name}.rs)")),
            "{name} is not listed"
        );
        seen += 1;
    }
    assert_eq!(seen, 14);
}
