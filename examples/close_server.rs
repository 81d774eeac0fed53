//! `cargo run -p fullduplex-examples --bin close_server -- 127.0.0.1:3000`
//!
//! Seed 003: the server on node's `ws` that closes with a code and a reason. It says goodbye to whoever says anything.
#![expect(clippy::print_stdout, reason = "says how connections end")]

use std::{env, io};

use fullduplex::{CloseCode, CloseFrame, Server, WebSocket};

#[tokio::main]
async fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    let server = Server::bind(addr.as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on ws://{}", server.local_addr()?);
    server.serve(goodbye).await;
    Ok(())
}

async fn goodbye(mut ws: WebSocket) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if ws.recv().await?.is_some() {
        let goodbye = CloseFrame::new(CloseCode::NORMAL_CLOSURE, "Goodbye, client!")?;
        ws.close(goodbye).await;
    }
    if let Some(outcome) = ws.outcome() {
        println!("closed {outcome}");
    }
    Ok(())
}
