//! `cargo run -p fullduplex-examples --bin byte_stream_echo -- 127.0.0.1:12345`
//!
//! Seed 004: the echo server that is nothing but `io.Copy(ws, ws)`: the connection as a stream of bytes.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{env, io};

use fullduplex::{Acceptor, MessageKind, Server, WebSocket, handshake::Origins};

#[tokio::main]
async fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    // As in `echo_server.rs`: an echo gives nobody anything, so any origin may have it.
    let acceptor = Acceptor::new().origins(Origins::Any);
    let server = Server::bind(addr.as_deref().unwrap_or("127.0.0.1:12345")).await?;
    println!("listening on ws://{}/echo", server.local_addr()?);
    server.acceptor(acceptor).serve(echo).await;
    Ok(())
}

async fn echo(ws: WebSocket) -> io::Result<()> {
    let (mut read, mut write) = tokio::io::split(ws.into_io(MessageKind::Text));
    tokio::io::copy(&mut read, &mut write).await?;
    Ok(())
}
