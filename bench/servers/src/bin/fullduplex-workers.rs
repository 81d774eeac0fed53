//! fullduplex on tokio's runtime of many threads, with two: the plainest echo.

use std::io;

use bench_servers::{MAX_CONNECTIONS, Mode, start};
use fullduplex::{Error, Server, WebSocket};
use tokio::net::TcpListener;
use tokio::runtime::Builder;

const WORKERS: usize = 2;

fn main() -> io::Result<()> {
    let (_, listener) = start(&[Mode::Echo]);
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::new(TcpListener::from_std(listener)?).max_connections(MAX_CONNECTIONS);
        server.serve(echo).await;
        Ok(())
    })
}

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}
