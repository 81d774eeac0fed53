//! tokio-tungstenite as most people write it: its default buffers, a `send` for each message.

use std::io;

use bench_servers::{Mode, serve, start};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Error;

fn main() -> io::Result<()> {
    let (_, listener) = start(&[Mode::Echo]);
    serve(listener, |stream| async {
        // A connection that breaks is the generator's to report.
        let _ = echo(stream).await;
    })
}

async fn echo(stream: TcpStream) -> Result<(), Error> {
    let mut ws = accept_async(stream).await?;
    while let Some(message) = ws.next().await {
        let message = message?;
        if message.is_binary() || message.is_text() {
            ws.send(message).await?;
        }
    }
    Ok(())
}
