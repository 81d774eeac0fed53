//! `cargo run -p fullduplex-examples --bin close_client -- ws://127.0.0.1:3000/`
//!
//! Seed 003: the client that closes with a code and a reason.
#![expect(clippy::print_stdout, reason = "says how the connection ended")]

use std::{env, error::Error};

use fullduplex::{CloseCode, CloseFrame};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri = env::args().nth(1);
    let mut ws = fullduplex::connect(uri.as_deref().unwrap_or("ws://127.0.0.1:3000/")).await?;
    let goodbye = CloseFrame::new(CloseCode::NORMAL_CLOSURE, "Goodbye, server!")?;
    let outcome = ws.close(goodbye).await;
    println!("closed {outcome}, clean: {}", outcome.clean);
    Ok(())
}
