//! `cargo run -p fullduplex-examples --bin echo_client -- ws://localhost:12345/echo`
//!
//! Seed 004: the client on `golang.org/x/net/websocket`, with the origin that it sends.
#![expect(clippy::print_stdout, reason = "says what it received")]

use std::{env, error::Error};

use fullduplex::{Client, CloseFrame, Message};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri = env::args().nth(1);
    let uri = uri.as_deref().unwrap_or("ws://localhost:12345/echo");
    let client = Client::new(uri)?.origin("http://localhost/")?;
    let (mut ws, _response) = client.connect().await?;
    ws.send("hello world!").await?;
    match ws.recv().await? {
        Some(Message::Text(text)) => println!("Received: {text}."),
        Some(Message::Binary(bytes)) => println!("Received {} bytes.", bytes.len()),
        None => println!("Closed before an answer came."),
    }
    ws.close(CloseFrame::normal()).await;
    Ok(())
}
