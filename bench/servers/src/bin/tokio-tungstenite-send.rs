//! tokio-tungstenite as most people write it: its default buffers, a `send` for each message, one task for both directions.

use std::io;

use bench_servers::{Mode, batched, serve, start};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Sender;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::{Error, Message};

fn main() -> io::Result<()> {
    let (mode, listener) = start(&[Mode::Echo, Mode::Broadcast]);
    let room = Sender::new(batched::ROOM);
    serve(listener, move |stream| {
        let room = room.clone();
        async move {
            // A connection that breaks is the generator's to report.
            let _ = match mode {
                Mode::Broadcast => chat(stream, room).await,
                _ => echo(stream).await,
            };
        }
    })
}

async fn echo(stream: TcpStream) -> Result<(), Error> {
    let mut ws = accept_async(stream).await?;
    while let Some(message) = ws.next().await {
        let message = message?;
        if is_data(&message) {
            ws.send(message).await?;
        }
    }
    Ok(())
}

async fn chat(stream: TcpStream, room: Sender<Message>) -> Result<(), Error> {
    let mut ws = accept_async(stream).await?;
    let mut said = room.subscribe();
    loop {
        tokio::select! {
            message = ws.next() => match message.transpose()? {
                // At least this connection listens.
                Some(message) if is_data(&message) => drop(room.send(message)),
                Some(_) => {}
                None => return Ok(()),
            },
            message = said.recv() => match message {
                Ok(message) => ws.send(message).await?,
                // It lags too far behind.
                Err(_) => return Ok(()),
            },
        }
    }
}

fn is_data(message: &Message) -> bool {
    message.is_binary() || message.is_text()
}
