//! tokio-websockets. It flushes before each read, so there is nothing to batch. It has no compression.

use std::io;

use bench_servers::{Mode, serve, start};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_websockets::{Config, Error, Limits, ServerBuilder};

fn main() -> io::Result<()> {
    let (_, listener) = start(&[Mode::Echo]);
    serve(listener, |stream| async {
        // A connection that breaks is the generator's to report.
        let _ = echo(stream).await;
    })
}

async fn echo(stream: TcpStream) -> Result<(), Error> {
    let builder = ServerBuilder::new()
        .config(Config::default().frame_size(usize::MAX))
        .limits(Limits::unlimited());
    let (_request, mut ws) = builder.accept(stream).await?;
    while let Some(message) = ws.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            ws.send(message).await?;
        }
    }
    Ok(())
}
