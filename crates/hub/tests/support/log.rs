//! Logs that are written, and who follows them.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::PathBuf,
};

use fullduplex_hub::{Config, LogInput, LogSource};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::{Running, V1, unhurried, within};

/// A log in a file.
pub struct Log {
    pub dir: TempDir,
    pub path: PathBuf,
}

impl Log {
    /// Begins with so many lines.
    pub fn new(lines: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.log");
        File::create(&path).unwrap();
        let log = Self { dir, path };
        let lines: Vec<_> = (0..lines).map(|n| format!("line {n}\n")).collect();
        log.append(&lines.concat());
        log
    }

    pub fn append(&self, text: &str) {
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    pub fn source(&self) -> LogSource {
        LogSource {
            name: "app".into(),
            input: LogInput::File(self.path.clone()),
        }
    }

    pub async fn hub(&self) -> Running {
        following([self.source()]).await
    }
}

/// A hub that follows these.
pub async fn following(sources: impl Into<Vec<LogSource>>) -> Running {
    Running::start(Config {
        logs: sources.into(),
        timeouts: unhurried(),
        ..Config::default()
    })
    .await
}

impl Running {
    /// A client of `fdx.v1.json` whose machine takes little before the client does.
    pub async fn narrow_v1(&self) -> V1 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(self.addr).await.unwrap();
        let client = self.client("/ws").subprotocol("fdx.v1.json").unwrap();
        let (ws, _) = within(client.connect_over(stream)).await.unwrap();
        let mut client = V1::new(ws);
        client.hello("Ana").await;
        client
    }
}

impl V1 {
    /// Opens a stream and returns its id.
    pub async fn follow(&mut self, mut open: Value) -> String {
        open["op"] = json!("log.open");
        let opened = self.ok(open).await;
        opened["stream"].as_str().unwrap().to_owned()
    }

    /// The lines of the next event that has some. Others only tell cursors.
    pub async fn lines(&mut self) -> Vec<String> {
        lines_of(&self.event_with_lines().await)
    }

    pub async fn event_with_lines(&mut self) -> Value {
        loop {
            let event = self.any_event().await;
            assert_eq!(event["ev"], "log", "{event}");
            if event["lines"] != json!([]) {
                return event;
            }
        }
    }
}

pub fn lines_of(event: &Value) -> Vec<String> {
    let lines = event["lines"].as_array().unwrap().iter();
    lines
        .map(|line| line.as_str().unwrap().to_owned())
        .collect()
}
