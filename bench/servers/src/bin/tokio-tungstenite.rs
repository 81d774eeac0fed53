//! tokio-tungstenite, batched. It has no compression.
//!
//! It zero-fills its read buffer before each look at the socket, so that 8 KiB are better than its 128 where messages are small; where they are
//! large, those take a quarter less CPU for each.

use std::io;

use bench_servers::{Mode, batched, serve, start};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Sender;
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

fn main() -> io::Result<()> {
    let (mode, listener) = start(&[Mode::Echo, Mode::Large, Mode::Broadcast]);
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
    let config = match mode {
        Mode::Large => WebSocketConfig::default(),
        _ => WebSocketConfig::default().read_buffer_size(8 << 10),
    };
    let ws = accept_async_with_config(stream, Some(config)).await?;
    match mode {
        Mode::Broadcast => batched::chat(ws, room, is_data).await,
        _ => batched::echo(ws, is_data).await,
    }
}

fn is_data(message: &Message) -> bool {
    message.is_binary() || message.is_text()
}
