//! `cargo run -p fullduplex-examples --bin heartbeat_client -- ws://127.0.0.1:12345/echo`
//!
//! Seed 003: a client that notices a dead link by its heartbeat, and connects again after a loss, each time a little later.
#![expect(clippy::print_stdout, reason = "says what happens")]

use std::{env, error::Error, time::Duration};

use fullduplex::{Client, Config, WebSocket};

/// A ping when nothing came for so long; given up when nothing comes for as long again.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The longest pause after the first loss, of which a random part is waited. It doubles with each failure, up to half a minute,
/// so that a server that is down is not overrun when it comes back.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A connection that lasted so long was no failure.
const STABLE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let uri = env::args().nth(1);
    let uri = uri.as_deref().unwrap_or("ws://127.0.0.1:12345/echo");
    let mut config = Config::default();
    config.keepalive_interval = Some(HEARTBEAT);
    config.keepalive_timeout = HEARTBEAT;
    let client = Client::new(uri)?.config(config);
    let mut connections = client
        .reconnect()
        .first_delay(FIRST_PAUSE)
        .max_delay(LONGEST_PAUSE)
        .healthy_after(STABLE)
        .on_retry(|retrying| {
            println!("not connected: {}", retrying.error);
            println!("again in {:.0?}", retrying.wait);
        });
    // Ends by an error that trying again would not mend, such as a wrong address.
    loop {
        let (ws, _response) = connections.next().await?;
        println!("connected");
        println!("lost: {}", receive(ws).await);
    }
}

/// Shows what comes, to the end, and says how it came.
async fn receive(mut ws: WebSocket) -> String {
    loop {
        match ws.recv().await {
            Ok(Some(message)) => println!("received: {}", message.as_text().unwrap_or("(binary)")),
            Ok(None) => {
                return ws
                    .outcome()
                    .map(|outcome| outcome.to_string())
                    .unwrap_or_default();
            }
            Err(error) => return error.to_string(),
        }
    }
}
