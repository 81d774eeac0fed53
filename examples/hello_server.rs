//! `cargo run -p fullduplex-examples --bin hello_server`
//!
//! Seed 004: an echo server in its shortest form. What follows is the first code of the README.

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let server = fullduplex::Server::bind("127.0.0.1:9001").await?;
    let echo = async |mut ws: fullduplex::WebSocket| {
        while let Some(message) = ws.recv().await? {
            ws.send(message).await?;
        }
        Ok::<_, fullduplex::Error>(())
    };
    server.serve(echo).await;
    Ok(())
}
