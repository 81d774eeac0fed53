//! A hub on a loopback port, and clients for it.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own share"
)]

pub mod admin;
pub mod http;
pub mod kinds;
pub mod lines;
pub mod log;
pub mod tokens;

use std::{
    collections::VecDeque,
    future::Future,
    net::SocketAddr,
    pin::pin,
    time::{Duration, Instant},
};

use fullduplex::{Client, CloseCode, CloseFrame, Message, WebSocket};
use fullduplex_hub::{Config, Hub, Timeouts, TrustedProxies, auth::Access};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

/// How long anything may take that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The header lines of an opening handshake.
pub const UPGRADE: &str = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Waits for what must happen. Time that is let [`pass`] does not count.
pub async fn within<T>(future: impl Future<Output = T>) -> T {
    let (mut future, begun) = (pin!(future), Instant::now());
    loop {
        if let Ok(output) = timeout(PATIENCE, &mut future).await {
            return output;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not happen in time");
    }
}

/// Longer than any test takes.
pub const HOUR: Duration = Duration::from_secs(3_600);

/// No deadline passes by itself, whatever a client leaves undone and however slow the machine is.
pub fn unhurried() -> Timeouts {
    Timeouts {
        request_head: HOUR,
        http: HOUR,
        request: HOUR,
        hello: HOUR,
        ping_interval: None,
        write: HOUR,
        stream_heartbeat: HOUR,
        close: HOUR,
        shutdown: HOUR,
        ..Timeouts::default()
    }
}

/// Lets so much time pass at once, for all that waits on this runtime, which has one thread.
pub async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// What a hub serves behind a proxy on this machine, to everybody: nobody is exempt from limits.
pub fn behind_a_proxy() -> Config {
    Config {
        trusted_proxies: TrustedProxies::parse(["127.0.0.0/8"]).unwrap(),
        access: Access::Open,
        ..Config::default()
    }
}

pub struct Running {
    pub addr: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Running {
    pub async fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::run(Hub::new(config, listener).await.unwrap())
    }

    /// With its log in a folder, whose answers take their time.
    #[cfg(feature = "sqlite")]
    pub async fn durable(config: Config, folder: &std::path::Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = fullduplex_hub::log::sqlite::Options::new(folder);
        Self::run(Hub::durable(config, listener, &options).await.unwrap())
    }

    pub fn run(hub: Hub) -> Self {
        let addr = hub.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(hub.run(async {
            let _ = stopped.await;
        }));
        Self { addr, stop, task }
    }

    /// Begins the shutdown; the task ends when it is over.
    pub fn begin_stop(self) -> JoinHandle<()> {
        self.stop.send(()).unwrap();
        self.task
    }

    pub fn client(&self, resource: &str) -> Client {
        Client::new(&format!("ws://{}{resource}", self.addr)).unwrap()
    }

    pub async fn connect(&self, resource: &str) -> WebSocket {
        within(self.client(resource).connect()).await.unwrap().0
    }

    pub async fn v1(&self) -> V1 {
        self.v1_at("/ws").await
    }

    pub async fn v1_at(&self, resource: &str) -> V1 {
        V1::open(self.client(resource)).await
    }

    /// A client that said hello under a name and joined a room.
    pub async fn member(&self, name: &str, room: &str) -> V1 {
        let mut client = self.v1().await;
        client.hello(name).await;
        client
            .ok(json!({"op": "join", "room": room, "backlog": 0}))
            .await;
        client
    }

    /// The same for who is the same user wherever this name says hello.
    pub async fn user(&self, name: &str, room: &str) -> V1 {
        let mut client = self.v1().await;
        client.ok(hello_of(name)).await;
        let join = json!({"op": "join", "room": room, "backlog": 0});
        client.ok(join).await;
        client
    }

    /// Sends bytes on a fresh connection and returns everything that comes back.
    pub async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        within(stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// A GET whose connection closes after the answer.
    pub async fn get(&self, path: &str, headers: &str) -> Answer {
        self.request("GET", path, headers).await
    }

    pub async fn request(&self, method: &str, path: &str, headers: &str) -> Answer {
        let host = if headers.contains("Host:") {
            ""
        } else {
            "Host: localhost\r\n"
        };
        let request =
            format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
        Answer::read(&self.raw(&request).await)
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A client of `fdx.v1.json`.
pub struct V1 {
    pub ws: WebSocket,
    events: VecDeque<Value>,
    calls: u64,
}

impl V1 {
    pub async fn open(client: Client) -> Self {
        let client = client.subprotocol("fdx.v1.json").unwrap();
        let (ws, _) = within(client.connect()).await.unwrap();
        assert_eq!(ws.subprotocol(), Some("fdx.v1.json"));
        Self::new(ws)
    }

    pub const fn new(ws: WebSocket) -> Self {
        Self {
            ws,
            events: VecDeque::new(),
            calls: 0,
        }
    }

    pub async fn send(&mut self, command: &Value) {
        within(self.ws.send(command.to_string())).await.unwrap();
    }

    async fn receive(&mut self) -> Value {
        let message = within(self.ws.recv()).await.unwrap().expect("a message");
        serde_json::from_str(message.as_text().expect("text")).unwrap()
    }

    /// Sends a command and returns its reply.
    pub async fn call(&mut self, mut command: Value) -> Value {
        self.calls += 1;
        let id = json!(self.calls);
        command["id"] = id.clone();
        self.send(&command).await;
        loop {
            let frame = self.receive().await;
            if frame["re"] == id {
                return frame;
            }
            assert!(frame["re"].is_null(), "a reply nobody asked for: {frame}");
            self.events.push_back(frame);
        }
    }

    pub async fn ok(&mut self, command: Value) -> Value {
        let reply = self.call(command.clone()).await;
        assert!(reply["ok"].is_object(), "{command} got {reply}");
        reply["ok"].clone()
    }

    pub async fn err(&mut self, command: Value) -> String {
        let reply = self.call(command.clone()).await;
        reply["err"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{command} got {reply}"))
            .to_owned()
    }

    pub async fn hello(&mut self, name: &str) -> Value {
        self.ok(json!({"op": "hello", "name": name})).await
    }

    pub async fn say(&mut self, room: &str, cid: &str, body: &str) -> Value {
        self.ok(json!({"op": "send", "room": room, "cid": cid, "body": body}))
            .await
    }

    /// Messages of `general`.
    pub async fn history(&mut self, mut query: Value) -> Value {
        query["op"] = json!("history");
        query["room"] = json!("general");
        self.ok(query).await
    }

    /// The next frame, whatever it is; not those that were passed over before.
    pub async fn frame(&mut self) -> Value {
        match self.events.pop_front() {
            Some(event) => event,
            None => self.receive().await,
        }
    }

    /// The next event of this kind; others before it are passed over.
    pub async fn event(&mut self, kind: &str) -> Value {
        loop {
            let event = self.frame().await;
            if event["ev"] == kind {
                return event;
            }
        }
    }

    /// The events that came so far.
    pub fn take_events(&mut self) -> Vec<Value> {
        self.events.drain(..).collect()
    }

    /// The next event, of whatever kind.
    pub async fn any_event(&mut self) -> Value {
        match self.events.pop_front() {
            Some(event) => event,
            None => self.receive().await,
        }
    }

    /// The next reply; events before it are kept.
    pub async fn reply(&mut self) -> Value {
        loop {
            let frame = self.receive().await;
            if !frame["re"].is_null() {
                return frame;
            }
            self.events.push_back(frame);
        }
    }

    /// The next message of a room's member.
    pub async fn msg(&mut self) -> Value {
        self.event("msg").await
    }

    /// Waits until the connection is over, and says how.
    pub async fn closed(&mut self) -> (CloseCode, String) {
        closed(&mut self.ws).await
    }

    /// How it ends when this is said.
    pub async fn end_after(mut self, command: &Value) -> (CloseCode, String) {
        self.send(command).await;
        self.closed().await
    }
}

/// What a handshake is answered with.
pub async fn status(client: Client) -> u16 {
    match within(client.connect()).await {
        Ok(_) => 101,
        Err(refused) => refused.status().unwrap(),
    }
}

/// What a guest says first who is the same user wherever this name does.
pub fn hello_of(name: &str) -> Value {
    json!({"op": "hello", "name": name, "guest": format!("0123456789abcdef{name}")})
}

/// The bodies of messages; that of a deleted one is `-`.
pub fn bodies(events: &Value) -> Vec<&str> {
    let events = events.as_array().unwrap().iter();
    events
        .map(|event| event["body"].as_str().unwrap_or("-"))
        .collect()
}

/// The cursor of who has read up to an event.
pub fn cursor_of(epoch: &Value, event: &Value) -> String {
    let (epoch, id) = (epoch.as_str().unwrap(), event["id"].as_str().unwrap());
    format!("{epoch}.{}.{}", event["seq"], &id[id.len() - 6..])
}

/// Waits until a connection is over, and says how.
pub async fn closed(ws: &mut WebSocket) -> (CloseCode, String) {
    within(async { while let Ok(Some(_)) = ws.recv().await {} }).await;
    let outcome = ws.outcome().expect("it is over");
    (outcome.code(), outcome.reason().to_owned())
}

pub async fn text(ws: &mut WebSocket) -> String {
    match within(ws.recv()).await.unwrap().expect("a message") {
        Message::Text(text) => text.to_string(),
        Message::Binary(_) => panic!("not text"),
    }
}

pub async fn bye(ws: &mut WebSocket) {
    within(ws.close(CloseFrame::normal())).await;
}

/// A raw client with a small receive buffer that reads only when it is told to.
pub async fn deaf(hub: &Running, resource: &str, headers: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(hub.addr).await.unwrap();
    let request = format!(
        "GET {resource} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await.unwrap());
    }
    assert!(
        head.starts_with(b"HTTP/1.1 101 "),
        "{}",
        String::from_utf8_lossy(&head)
    );
    stream
}

/// The next message or control frame of a server: its opcode and payload. None at the end.
pub async fn frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let (first, mut payload) = first_byte_and_payload(stream).await?;
    let mut last = first;
    while last & 0x80 == 0 {
        let (next, rest) = first_byte_and_payload(stream)
            .await
            .expect("the rest of the message");
        assert_eq!(next & 0x0f, 0, "nothing comes between these fragments");
        payload.extend(rest);
        last = next;
    }
    Some((first & 0x0f, payload))
}

/// The first byte of the next frame, and its payload.
pub async fn first_byte_and_payload(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let first = within(stream.read_u8()).await.ok()?;
    let len = match within(stream.read_u8()).await.unwrap() {
        126 => usize::from(within(stream.read_u16()).await.unwrap()),
        127 => usize::try_from(within(stream.read_u64()).await.unwrap()).unwrap(),
        len => usize::from(len),
    };
    let mut payload = vec![0; len];
    within(stream.read_exact(&mut payload)).await.unwrap();
    Some((first, payload))
}
