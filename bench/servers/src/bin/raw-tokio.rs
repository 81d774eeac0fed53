//! What tokio itself costs: whatever comes goes back, without a WebSocket.

use std::io;

use bench_servers::{Mode, serve, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BUFFER: usize = 64 << 10;

fn main() -> io::Result<()> {
    let (_, listener) = start(&[Mode::Echo]);
    serve(listener, |stream| async {
        // A connection that breaks is the generator's to report.
        let _ = echo(stream).await;
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            read => stream.write_all(&buffer[..read]).await?,
        }
    }
}
