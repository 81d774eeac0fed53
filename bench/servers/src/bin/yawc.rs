//! yawc, batched, on the bare TCP connection: less work than in the box of a hyper upgrade. Its buffers are as large as in its own benchmark, which
//! costs nothing with small messages and takes a third of the CPU at 64 KiB. Deflate states are pooled.

use std::io;

use bench_servers::{Mode, batched, handshake, serve, start};
use futures_util::StreamExt;
use tokio::net::TcpStream;
use yawc::{DeflatePool, Frame, OpCode, Options, Result, Role, WebSocket};

const EXTENSIONS: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// As in its documentation.
const POOL: usize = 64;

fn main() -> io::Result<()> {
    let (mode, listener) = start(&[Mode::Echo, Mode::Deflate]);
    let mut options = Options::default()
        .with_utf8()
        .with_limits(4 << 20, 8 << 20)
        .with_read_buffer_capacity(128 << 10)
        .with_backpressure_boundary(64 << 10);
    let extensions = (mode == Mode::Deflate).then_some(EXTENSIONS);
    if extensions.is_some() {
        options = options
            .server_no_context_takeover()
            .client_no_context_takeover()
            .with_compression_threshold(0)
            .with_deflate_pool(DeflatePool::new(POOL));
    }
    serve(listener, move |stream| {
        let options = options.clone();
        async move {
            // A connection that breaks is the generator's to report.
            let _ = echo(stream, extensions, options).await;
        }
    })
}

async fn echo(mut stream: TcpStream, extensions: Option<&str>, options: Options) -> Result<()> {
    handshake::accept(&mut stream, extensions).await?;
    let ws = WebSocket::from_stream_with_extensions(stream, Role::Server, extensions, options)?;
    // Its stream has no errors: it ends.
    batched::echo(ws.map(Ok), is_data).await
}

fn is_data(frame: &Frame) -> bool {
    matches!(frame.opcode(), OpCode::Text | OpCode::Binary)
}
