//! `cargo run -p fullduplex-examples --bin echo_server -- 127.0.0.1:12345`
//!
//! Seed 004: the echo server on `golang.org/x/net/websocket`.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{env, io};

use fullduplex::{Acceptor, Error, Server, WebSocket, handshake::Origins};

#[tokio::main]
async fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    // The seed's client says that it comes from `http://localhost/`, which is not this server: by default that is refused.
    // An echo gives nobody anything, so any origin may have it.
    let acceptor = Acceptor::new().origins(Origins::Any);
    let server = Server::bind(addr.as_deref().unwrap_or("127.0.0.1:12345")).await?;
    println!("listening on ws://{}/echo", server.local_addr()?);
    server.acceptor(acceptor).serve(echo).await;
    Ok(())
}

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}
