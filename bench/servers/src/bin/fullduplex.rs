//! fullduplex by its server helper, with the plainest code: what everybody writes who reads its documentation.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bench_servers::{MAX_CONNECTIONS, Mode, run, start};
use fullduplex::{Acceptor, Broadcast, Deflate, Error, Overflow, Prepared, Server, WebSocket};
use tokio::net::TcpListener;

pub(crate) fn main() -> io::Result<()> {
    let (mode, listener) = start(&[Mode::Echo, Mode::Deflate, Mode::Broadcast]);
    run(async {
        let server = Server::new(TcpListener::from_std(listener)?).max_connections(MAX_CONNECTIONS);
        match mode {
            Mode::Deflate => server.acceptor(compressing()).serve(echo).await,
            Mode::Broadcast => {
                let room = Arc::new(Broadcast::new());
                server.serve(move |ws| chat(Arc::clone(&room), ws)).await;
            }
            _ => server.serve(echo).await,
        }
        Ok(())
    })?
}

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

async fn chat(room: Arc<Broadcast<u64>>, ws: WebSocket) -> Result<(), Error> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (mut read, write) = ws.split();
    let sender = write.into_sender(Overflow::Close);
    room.join(NEXT.fetch_add(1, Ordering::Relaxed), &sender);
    while let Some(message) = read.recv().await? {
        room.send(&Prepared::new(&message));
    }
    Ok(())
}

/// No takeover, either way, is the default of a server; and so is the level, unless `LEVEL` says another.
fn compressing() -> Acceptor {
    let mut deflate = Deflate::for_server();
    deflate.threshold = 0;
    if let Some(level) = std::env::var("LEVEL")
        .ok()
        .and_then(|level| level.parse().ok())
    {
        deflate.level = level;
    }
    Acceptor::new().deflate(deflate)
}
