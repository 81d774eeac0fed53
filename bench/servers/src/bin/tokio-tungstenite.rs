//! tokio-tungstenite, batched. It has no compression.
//!
//! It zero-fills its read buffer before each read, so a small one is better for small messages: 8 KiB instead of 128.

use std::io;

use bench_servers::{Mode, batched, serve, start};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Sender;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

fn main() -> io::Result<()> {
    let (mode, listener) = start(&[Mode::Echo, Mode::Broadcast]);
    let room = Sender::new(batched::ROOM);
    serve(listener, move |stream| {
        let room = room.clone();
        async move {
            // A connection that breaks is the generator's to report.
            let _ = talk(mode, stream, room).await;
        }
    })
}

async fn talk(mode: Mode, stream: TcpStream, room: Sender<Message>) -> Result<(), Error> {
    let config = WebSocketConfig::default().read_buffer_size(8 << 10);
    let ws = accept_async_with_config(stream, Some(config)).await?;
    match mode {
        Mode::Broadcast => batched::chat(ws, room, is_data).await,
        _ => batched::echo(ws, is_data).await,
    }
}

fn is_data(message: &Message) -> bool {
    message.is_binary() || message.is_text()
}
