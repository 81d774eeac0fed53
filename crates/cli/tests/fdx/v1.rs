//! A client of `fdx.v1.json` with the least that a good one has.

use fullduplex::{Client, WebSocket};
use serde_json::{Value, json};

use crate::program::{Url, soon};

pub(crate) struct V1(WebSocket);

impl V1 {
    /// None if the server is not there, or goes meanwhile.
    pub(crate) async fn connect(url: &Url, name: &str) -> Option<Self> {
        let client = Client::new(&url.ws("/ws")).unwrap();
        let client = client.subprotocol("fdx.v1.json").unwrap();
        let (ws, _) = soon("a connection", client.connect()).await.ok()?;
        let mut client = Self(ws);
        let guest = format!("the secret of {name}");
        let hello = json!({"op": "hello", "id": "hello", "name": name, "guest": guest});
        client.send(&hello).await?;
        client.reply().await?;
        Some(client)
    }

    pub(crate) async fn send(&mut self, command: &Value) -> Option<()> {
        soon("a command", self.0.send(command.to_string()))
            .await
            .ok()
    }

    /// The next frame. None once the connection is over.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let message = self.0.recv().await.ok()??;
        Some(serde_json::from_str(message.as_text().unwrap()).unwrap())
    }

    /// The next reply; what comes before is passed over.
    pub(crate) async fn reply(&mut self) -> Option<Value> {
        loop {
            let frame = soon("a reply", self.next()).await?;
            if !frame["re"].is_null() {
                return Some(frame);
            }
        }
    }

    /// The next message; what comes before is passed over.
    pub(crate) async fn msg(&mut self) -> Value {
        loop {
            let frame = soon("a message", self.next()).await.unwrap();
            if frame["ev"] == "msg" {
                return frame;
            }
        }
    }

    /// A command that works.
    pub(crate) async fn ok(&mut self, mut command: Value) -> Value {
        command["id"] = json!(1);
        self.send(&command).await.unwrap();
        let reply = self.reply().await.unwrap();
        assert!(reply["ok"].is_object(), "{command} got {reply}");
        reply["ok"].clone()
    }
}

/// The cursor of an event.
pub(crate) fn cursor(epoch: &str, event: &Value) -> String {
    let id = event["id"].as_str().unwrap();
    format!("{epoch}.{}.{}", event["seq"], &id[id.len() - 6..])
}
