//! `cargo run -p fullduplex-examples --bin hello_client`
//!
//! Seed 004: a client in its shortest form. What follows is the second code of the README.
#![expect(clippy::print_stdout, reason = "says what it received")]

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut ws = fullduplex::connect("ws://127.0.0.1:9001").await?;
    ws.send("hello").await?;
    if let Some(message) = ws.recv().await? {
        println!("{}", message.as_text().unwrap_or("(binary)"));
    }
    ws.close(fullduplex::CloseFrame::normal()).await;
    Ok(())
}
