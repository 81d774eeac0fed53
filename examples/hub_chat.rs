//! `cargo run -p fullduplex-examples --bin hub_chat -- 127.0.0.1:8080`
//!
//! Seed 002: gorilla's chat. One task, the hub, knows the clients and sends every message to all. Who is 256 messages behind
//! is dropped, so nobody waits for the slow. What is queued for a client leaves as one message, a line for each.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{collections::HashMap, env, io};

use fullduplex::{Accept, Acceptor, CloseFrame, Config, Server, Utf8Bytes, WebSocket};
use tokio::{select, sync::mpsc};

/// Messages that a client may be behind, and events that may wait for the hub.
const QUEUE: usize = 256;

enum Event {
    Register(u64, mpsc::Sender<Utf8Bytes>),
    Unregister(u64),
    Broadcast(Utf8Bytes),
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Lines = mpsc::Receiver<Utf8Bytes>;

#[tokio::main]
async fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    let mut config = Config::default();
    config.accept = Accept::TextOnly;
    let server = Server::bind(addr.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("listening on ws://{}/ws", server.local_addr()?);
    let (events, inbox) = mpsc::channel(QUEUE);
    tokio::spawn(hub(inbox));
    let server = server.acceptor(Acceptor::new().config(config));
    let serve = move |ws| client(ws, rand::random(), events.clone());
    server.serve(serve).await;
    Ok(())
}

async fn hub(mut inbox: mpsc::Receiver<Event>) {
    let mut clients = HashMap::new();
    while let Some(event) = inbox.recv().await {
        match event {
            Event::Register(id, client) => drop(clients.insert(id, client)),
            Event::Unregister(id) => drop(clients.remove(&id)),
            Event::Broadcast(line) => clients.retain(|_, to| to.try_send(line.clone()).is_ok()),
        }
    }
}

async fn client(ws: WebSocket, id: u64, hub: mpsc::Sender<Event>) -> Result<(), Failure> {
    let (outbox, inbox) = mpsc::channel(QUEUE);
    hub.send(Event::Register(id, outbox)).await?;
    let result = pump(ws, inbox, &hub).await;
    hub.send(Event::Unregister(id)).await?;
    result
}

async fn pump(ws: WebSocket, mut inbox: Lines, hub: &mpsc::Sender<Event>) -> Result<(), Failure> {
    let (mut read, mut write) = ws.split();
    loop {
        select! {
            message = read.recv() => {
                let Some(message) = message? else { return Ok(()) };
                let line = message.as_text().unwrap_or_default().trim().replace('\n', " ");
                hub.send(Event::Broadcast(line.into())).await?;
            }
            first = inbox.recv() => {
                let Some(first) = first else { break };
                let mut lines = first.to_string();
                while let Ok(line) = inbox.try_recv() {
                    lines.extend(["\n", line.as_str()]);
                }
                write.send(lines).await?;
            }
        }
    }
    write.close(CloseFrame::empty()).await;
    Ok(())
}
