//! `cargo run -p fullduplex-examples --bin json_chat -- 127.0.0.1:8000`
//!
//! Seed 001: the real-time chat. Each `{"email", "username", "message"}` goes to everybody, its sender included.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{env, error::Error, io};

use fullduplex::{
    Accept, Acceptor, CloseCode, CloseFrame, Config, Message, Prepared, Server, WebSocket,
};
use serde::{Deserialize, Serialize};
use tokio::{
    select,
    sync::broadcast::{self, error::RecvError},
};

/// Messages that a client may be behind before it is asked to come again later.
const MAX_BEHIND: usize = 256;

/// As in the seed, what is missing is empty and what is more is dropped.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Line {
    email: String,
    username: String,
    message: String,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    let mut config = Config::default();
    config.accept = Accept::TextOnly;
    let server = Server::bind(addr.as_deref().unwrap_or("127.0.0.1:8000")).await?;
    println!("listening on ws://{}/ws", server.local_addr()?);
    let everybody = broadcast::Sender::new(MAX_BEHIND);
    let server = server.acceptor(Acceptor::new().config(config));
    server.serve(move |ws| client(ws, everybody.clone())).await;
    Ok(())
}

async fn client(
    ws: WebSocket,
    everybody: broadcast::Sender<Prepared>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut inbox = everybody.subscribe();
    let (mut read, mut write) = ws.split();
    let close = loop {
        select! {
            message = read.recv() => {
                let Some(message) = message? else { return Ok(()) };
                let Ok(line) = serde_json::from_slice::<Line>(message.as_bytes()) else {
                    break CloseFrame::new(CloseCode::INVALID_FRAME_PAYLOAD_DATA, "not a line of this chat")?;
                };
                // Encoded once for all. Nobody else may be here to get it, but its sender is.
                let frame = Prepared::new(&Message::text(serde_json::to_string(&line)?));
                everybody.send(frame)?;
            }
            frame = inbox.recv() => match frame {
                Ok(frame) => write.send(frame).await?,
                Err(RecvError::Lagged(_)) => break CloseFrame::new(CloseCode::TRY_AGAIN_LATER, "too slow")?,
                Err(RecvError::Closed) => break CloseFrame::new(CloseCode::GOING_AWAY, "")?,
            }
        }
    };
    write.close(close).await;
    Ok(())
}
