//! Clients of the HTTP API.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
};

use super::{Answer, Running, V1, tokens::bearer, within};

/// The messages of a room.
pub const MESSAGES: &str = "/api/v1/rooms/general/messages";
/// The secret of a guest.
pub const GUEST: &str = "Authorization: Bearer k8JmVQ2sR0u3pXyWz1aB\r\n";

impl Running {
    /// Sends JSON.
    pub async fn post(&self, path: &str, headers: &str, body: &Value) -> Answer {
        let kind = "Content-Type: application/json\r\n";
        let headers = format!("{kind}{headers}");
        self.send("POST", path, &headers, &body.to_string()).await
    }

    /// A request with a body.
    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {}\r\n{headers}\r\n{body}",
            body.len()
        );
        Answer::read(&self.raw(&request).await)
    }

    /// Begins to send JSON, up to where the server asks for the body.
    pub async fn begin_post(&self, path: &str, headers: &str, body: &Value) -> Held {
        const GO_ON: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
        let body = body.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(self.addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; GO_ON.len()];
        within(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, GO_ON, "{}", answer.escape_ascii());
        Held { stream, body }
    }

    /// Says something in a room, and answers with its place.
    pub async fn say(&self, room: &str, body: &str) -> Value {
        let path = format!("/api/v1/rooms/{room}/messages");
        let body = json!({"name": "Ana", "body": body});
        let answer = self.post(&path, GUEST, &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    /// Says something in `general`, with a token.
    pub async fn say_as(&self, token: &str) -> Answer {
        self.post(MESSAGES, &bearer(token), &json!({"body": "x"}))
            .await
    }

    /// The guest who posts, on a WebSocket in a room.
    pub async fn guest(&self, room: &str) -> V1 {
        let mut guest = self.v1().await;
        let hello = json!({"op": "hello", "name": "Ana", "guest": "k8JmVQ2sR0u3pXyWz1aB"});
        guest.ok(hello).await;
        guest
            .ok(json!({"op": "join", "room": room, "backlog": 0}))
            .await;
        guest
    }

    /// Events after a cursor.
    pub async fn poll(&self, room: &str, query: &str) -> Value {
        let path = format!("/api/v1/rooms/{room}/messages?{query}");
        let answer = self.get(&path, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// A stream of events.
    pub async fn sse(&self, path: &str, headers: &str) -> Sse {
        let stream = TcpStream::connect(self.addr).await.unwrap();
        Sse::open(stream, path, headers).await
    }

    /// A stream of events whose client takes few bytes at a time.
    pub async fn narrow_sse(&self, path: &str) -> Sse {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Sse::open(socket.connect(self.addr).await.unwrap(), path, "").await
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }

    /// A refusal, as the API says it: its status and code.
    pub fn problem(&self) -> (u16, String) {
        let kind = self.header("content-type");
        assert_eq!(kind, Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        assert!(problem["detail"].is_string(), "{problem}");
        (self.status, problem["code"].as_str().unwrap().to_owned())
    }
}

/// A request that has been let in, and whose body is yet to come.
pub struct Held {
    stream: TcpStream,
    body: String,
}

impl Held {
    /// Sends the body.
    pub async fn go_on(mut self) -> Answer {
        self.stream.write_all(self.body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(self.stream.read_to_string(&mut answer))
            .await
            .unwrap();
        Answer::read(&answer)
    }
}

/// A stream of events.
pub struct Sse {
    stream: BufReader<TcpStream>,
    pub head: String,
    /// Text that is no line yet.
    text: String,
    lines: VecDeque<String>,
}

/// One event of it.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Block {
    pub id: Option<String>,
    pub event: String,
    pub data: Value,
    pub retry: Option<u64>,
}

impl Sse {
    async fn open(stream: TcpStream, path: &str, headers: &str) -> Self {
        let mut stream = BufReader::new(stream);
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            within(stream.read_line(&mut head)).await.unwrap();
        }
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        Self {
            stream,
            head,
            text: String::new(),
            lines: VecDeque::new(),
        }
    }

    /// The next line. None at the end.
    async fn line(&mut self) -> Option<String> {
        while self.lines.is_empty() {
            let mut size = String::new();
            within(self.stream.read_line(&mut size)).await.ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            within(self.stream.read_exact(&mut chunk)).await.ok()?;
            if size == 0 {
                return None;
            }
            self.text += str::from_utf8(&chunk[..size]).unwrap();
            while let Some(end) = self.text.find('\n') {
                self.lines.push_back(self.text.drain(..=end).collect());
            }
        }
        self.lines.pop_front()
    }

    /// The next event or comment. None at the end.
    pub async fn next(&mut self) -> Option<Block> {
        let mut block = Block::default();
        loop {
            let line = self.line().await?;
            let line = line.trim_end();
            if line.is_empty() {
                return Some(block);
            }
            let (field, value) = line.split_once(": ").expect("a field");
            match field {
                "id" => block.id = Some(value.to_owned()),
                // A comment has no name.
                "event" | "" => value.clone_into(&mut block.event),
                "data" => block.data = serde_json::from_str(value).unwrap(),
                "retry" => block.retry = Some(value.parse().unwrap()),
                other => panic!("an unknown field: {other}"),
            }
        }
    }

    /// The next event, which is of this kind.
    pub async fn event(&mut self, kind: &str) -> Block {
        let block = self.next().await.expect("an event");
        assert_eq!(block.event, kind, "{block:?}");
        block
    }

    /// The bodies of the next messages.
    pub async fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        for _ in 0..count {
            let event = self.event("msg").await;
            bodies.push(event.data["body"].as_str().unwrap().to_owned());
        }
        bodies
    }
}
