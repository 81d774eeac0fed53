//! A user's connections of all kinds, and how they end when their user is sent away.

use std::sync::Arc;

use fullduplex::{Client, CloseCode, WebSocket};
use fullduplex_hub::{Config, LogInput, LogSource};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    Answer, Running, V1, closed,
    http::{MESSAGES, Sse},
    tokens::{bearer, shown},
    within,
};

/// Where connections of all kinds are made, but those of `fdx.v1.json`.
pub const SOCKETS: [&str; 4] = ["/ws", "/ws?mode=text", "/echo", "/logs/app"];

/// Adds a log to be followed.
pub fn with_log(config: &mut Config, folder: &TempDir) {
    let file = folder.path().join("app.log");
    std::fs::write(&file, "one\n").unwrap();
    config.logs = vec![LogSource {
        name: "app".into(),
        input: LogInput::File(file),
    }];
}

pub fn sent_away(why: &str) -> (CloseCode, String) {
    (CloseCode::new(4005), why.into())
}

pub async fn open(client: Client) -> WebSocket {
    within(client.connect()).await.unwrap().0
}

/// A user's connections of all kinds.
pub struct All {
    v1: V1,
    sockets: Vec<WebSocket>,
    stream: Sse,
    poll: JoinHandle<Answer>,
}

impl All {
    pub async fn open(hub: &Arc<Running>, token: &str) -> Self {
        let v1 = hub.member_with(token, "general").await;
        let mut sockets = Vec::new();
        for path in SOCKETS {
            sockets.push(open(shown(hub.client(path), token)).await);
        }
        let mut stream = hub.sse("/sse/general?backlog=0", &bearer(token)).await;
        stream.event("ok").await;
        let begin = format!("{MESSAGES}?wait=0");
        let cursor = hub.get(&begin, &bearer(token)).await.json()["cursor"].clone();
        let held = format!("{MESSAGES}?wait=60&after={}", cursor.as_str().unwrap());
        let (hub, headers) = (Arc::clone(hub), bearer(token));
        let poll = tokio::spawn(async move { hub.get(&held, &headers).await });
        Self {
            v1,
            sockets,
            stream,
            poll,
        }
    }

    /// Waits until all of them have ended, for this reason.
    pub async fn ended(mut self, why: &str) {
        assert_eq!(self.v1.closed().await, sent_away(why));
        for (socket, path) in self.sockets.iter_mut().zip(SOCKETS) {
            assert_eq!(closed(socket).await, sent_away(why), "{path}");
        }
        assert_eq!(self.stream.next().await, None);
        let refused = self.poll.await.unwrap();
        assert_eq!(refused.problem(), (403, "forbidden".into()));
    }
}
