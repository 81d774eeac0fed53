//! fastwebsockets on the bare TCP connection: a little less work than in the box of a hyper upgrade. It cannot tell whether another message
//! is there already, so it writes each reply by itself. It has no compression.

use std::io;

use bench_servers::{Mode, handshake, serve, start};
use fastwebsockets::{FragmentCollector, OpCode, Role, WebSocket, WebSocketError};
use tokio::net::TcpStream;

fn main() -> io::Result<()> {
    let (_, listener) = start(&[Mode::Echo]);
    serve(listener, |stream| async {
        // A connection that breaks is the generator's to report.
        let _ = echo(stream).await;
    })
}

async fn echo(mut stream: TcpStream) -> Result<(), WebSocketError> {
    handshake::accept(&mut stream, None).await?;
    let mut ws = FragmentCollector::new(WebSocket::after_handshake(stream, Role::Server));
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}
