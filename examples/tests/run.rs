//! Goal: every example does what its first lines say.
//! Method: each is started as a program of its own, on a port that the system picks, and talked to; it ends with its handle.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use fullduplex::{
    Client, CloseCode, CloseFrame, ConnectError, Message, Server, WebSocket, connect,
};
use fullduplex_hub::{self as hub, Hub, log::sqlite};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// How long anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it happens in time")
}

/// A program that runs until this is dropped.
struct Example {
    child: Child,
    output: Lines<BufReader<ChildStdout>>,
}

impl Example {
    fn start(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, output }
    }

    /// Starts a server; its address is the last word of its first line.
    async fn serve(program: &str, args: &[&str]) -> (Self, String) {
        let mut example = Self::start(program, &[args, &["127.0.0.1:0"]].concat());
        let line = example.line().await;
        let uri = line.strip_prefix("listening on ").expect("says where");
        let uri = uri.to_owned();
        (example, uri)
    }

    /// Types a line.
    async fn types(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().unwrap();
        input
            .write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
    }

    /// Sends it a signal.
    async fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id().unwrap());
        let status = Command::new("sh").args(["-c", &command]).status().await;
        assert!(status.unwrap().success());
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
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
            let (give_back, kept) = oneshot::channel::<WebSocket>();
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

/// The server that `fdx serve` is.
struct Rooms {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Rooms {
    async fn start(address: &str, data: &Path) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let options = sqlite::Options::new(data);
        let hub = Hub::durable(hub::Config::default(), listener, &options);
        Self::run(hub.await.unwrap())
    }

    fn run(hub: Hub) -> Self {
        let address = hub.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(hub.run(async {
            drop(stopped.await);
        }));
        Self {
            address,
            stop,
            task,
        }
    }

    fn url(&self) -> String {
        format!("ws://{}/ws", self.address)
    }

    async fn restart(self, data: &Path) -> Self {
        let address = self.address.to_string();
        self.stop.send(()).unwrap();
        within(self.task).await.unwrap();
        Self::start(&address, data).await
    }
}

/// The text that somebody sees once so many edits are in it.
async fn text_of(editor: &mut Example, edits: usize) -> Vec<String> {
    let (mut lines, end) = (Vec::new(), format!("--- {edits} edits"));
    loop {
        let line = editor.line().await;
        if line == end {
            return lines;
        }
        assert!(!line.starts_with("not done"), "{line}");
        if line.starts_with("---") {
            lines.clear();
        } else if !line.starts_with("offline") {
            lines.push(line);
        }
    }
}

#[tokio::test]
async fn shared_text_is_the_same_for_all_though_they_write_at_once_and_are_cut_off() {
    const CUTS: usize = 3;
    const EACH: usize = 10;
    let data = tempfile::tempdir().unwrap();
    let mut rooms = Rooms::start("127.0.0.1:0", data.path()).await;
    let url = rooms.url();
    let editor = |name| Example::start(env!("CARGO_BIN_EXE_shared_text"), &[&url, "notes", name]);
    let (mut ana, mut bo) = (editor("ana"), editor("bo"));
    ana.types("0+ title").await;
    let text = text_of(&mut ana, 1).await;
    let title = text[0].split_whitespace().next().unwrap().to_owned();
    for cut in 0..CUTS {
        for at in 0..EACH {
            ana.types(&format!("{title}+ ana {cut} {at}")).await;
            bo.types(&format!("{title}+ bo {cut} {at}")).await;
        }
        ana.types(&format!("{title} title by ana")).await;
        bo.types(&format!("{title} title by bo")).await;
        rooms = rooms.restart(data.path()).await;
    }
    let edits = 1 + CUTS * 2 * (EACH + 1);
    let text = text_of(&mut ana, edits).await;
    assert_eq!(text_of(&mut bo, edits).await, text);
    // Nothing is lost, and nothing there twice.
    assert!(text[0].contains("title by "), "{text:?}");
    assert_eq!(text.len(), 1 + CUTS * 2 * EACH);
    for name in ["ana", "bo"] {
        let by = |line: &&String| line.contains(&format!("  {name} "));
        // The newest is uppermost, and each one's are in the order in which they were typed.
        let typed = text.iter().skip(1).filter(by).rev();
        let typed = typed.map(|line| line.rsplit_once("  ").unwrap().1.to_owned());
        let wanted =
            (0..CUTS).flat_map(|cut| (0..EACH).map(move |at| format!("{name} {cut} {at}")));
        assert!(typed.eq(wanted), "{text:?}");
    }
    // A line that is deleted still has a place, which one that comes new learns from the history.
    ana.types(&format!("{title}-")).await;
    let text = text_of(&mut ana, edits + 1).await;
    text_of(&mut bo, edits + 1).await;
    bo.types(&format!("{title} too late")).await;
    bo.types(&format!("{title}+ new title")).await;
    let after = text_of(&mut bo, edits + 3).await;
    assert!(after[0].ends_with("  new title"));
    assert_eq!(after[1..], text);
    let mut cy = editor("cy");
    assert_eq!(text_of(&mut cy, edits + 3).await, after);
    assert_eq!(text_of(&mut ana, edits + 3).await, after);
    cy.types("what?").await;
    assert_eq!(cy.line().await, "type LINE+ TEXT, LINE TEXT or LINE-");
}

/// The position and price of a line that tells one.
fn price(line: &str) -> Option<(u64, i64)> {
    let (seq, cents) = line.split_once(' ')?;
    Some((seq.parse().ok()?, cents.parse().ok()?))
}

#[tokio::test]
async fn ticker_costs_nothing_for_who_is_stopped_and_others_do_not_notice() {
    // Far more than fits into sockets, and than the server keeps.
    const PRICES: i64 = 3_000;
    const STEP: i64 = 100;
    let pad = "x".repeat(12 << 10);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Nobody is cut off, however slow the machine is.
    let timeouts = hub::Timeouts {
        ping_interval: None,
        write: Duration::from_secs(3_600),
        ..hub::Timeouts::default()
    };
    let config = hub::Config {
        timeouts,
        ..hub::Config::default()
    };
    let hub = Hub::new(config, listener).await.unwrap();
    let rooms = Rooms::run(hub);
    let (url, authority) = (rooms.url(), rooms.address.to_string());
    let start = |what| Example::start(env!("CARGO_BIN_EXE_ticker"), &[what, &url, "prices"]);
    let (feed, mut quick, mut slow) = (start("feed"), start("follow"), start("follow"));
    for follower in [&mut quick, &mut slow] {
        for _ in 0..3 {
            let line = follower.line().await;
            let (_, cents) = price(&line).expect(&line);
            assert!((9_000..11_000).contains(&cents), "{line}");
        }
    }
    slow.signal("STOP").await;
    drop(feed);
    let resident = async || {
        let page = get(&authority, "/metrics").await;
        let value = page.split_once("\nprocess_resident_memory_bytes ").unwrap();
        let value = value.1.lines().next().unwrap();
        value.parse::<f64>().unwrap()
    };
    let before = resident().await;
    let options = fullduplex_client::Options::new(&url).unwrap().name("flood");
    let (flood, events) = fullduplex_client::connect(options);
    drop(events);
    within(flood.subscribe("prices", 0)).await.unwrap();
    let mut last = None;
    for n in 1..=PRICES {
        let data = serde_json::json!({"cents": -n, "book": &pad});
        let sent = within(flood.publish("prices", data)).await.unwrap();
        // Who keeps up gets every one.
        if n % STEP == 0 {
            let mut wanted = n - STEP + 1;
            while wanted <= n {
                let shown = price(&quick.line().await).expect("prices alone");
                if shown.1 > 0 {
                    assert_eq!(wanted, 1, "{shown:?} was published before");
                    continue;
                }
                assert_eq!(shown.1, -wanted);
                wanted += 1;
            }
        }
        last = Some((sent.seq, -n));
    }
    let grown = resident().await - before;
    assert!(grown < 20e6, "{grown} bytes of 36 million");
    // Who goes on gets what there is, in order, and is told of the rest.
    slow.signal("CONT").await;
    let (mut seq, mut is_told) = (0, false);
    loop {
        let line = slow.line().await;
        let Some(shown) = price(&line) else {
            is_told |= line.starts_with("missed ");
            continue;
        };
        assert!(shown.0 > seq, "{line} after {seq}");
        seq = shown.0;
        if Some(shown) == last {
            break;
        }
    }
    assert!(is_told);
}

/// Every example is a file of less than eighty lines, or a folder of such, whose first line is the command that runs it, and which the
/// README lists.
#[test]
fn every_example_is_short_says_how_to_run_it_and_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut seen = 0;
    for path in sources(folder) {
        let source = std::fs::read_to_string(&path).unwrap();
        let file = path.strip_prefix(folder).unwrap();
        assert!(
            source.lines().count() < 80,
            "{} is too long",
            file.display()
        );
        let name = match file.parent().unwrap().to_str().unwrap() {
            "" => file.file_stem().unwrap().to_str().unwrap(),
            name if file.ends_with("main.rs") => name,
            _ => continue,
        };
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
        let link = format!("({})", file.display());
        assert!(readme.contains(&link), "{name} is not listed");
        seen += 1;
    }
    assert_eq!(seen, 16);
}

/// The files of all examples.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| !path.ends_with("tests"))
        .flat_map(|path| {
            if path.is_dir() {
                sources(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
