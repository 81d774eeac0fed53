//! fullduplex behind an HTTP server: hyper parses the request, the upgrade callback runs the plainest loop.

use std::convert::Infallible;
use std::io;

use bench_servers::{Mode, serve, start};
use fullduplex::{Acceptor, Error, WebSocket, handled, upgrade};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

fn main() -> io::Result<()> {
    let (_, listener) = start(&[Mode::Echo]);
    serve(listener, |stream| async {
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(service));
        // A connection that breaks is the generator's to report.
        let _ = connection.with_upgrades().await;
    })
}

async fn service(mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(match upgrade::handshake(&mut request, &Acceptor::new()) {
        Ok(handshake) => {
            let (response, upgrade) = handshake.accept();
            tokio::spawn(async {
                if let Ok(ws) = upgrade.await {
                    handled(ws, echo).await;
                }
            });
            response
        }
        Err(rejection) => upgrade::rejection_response(&rejection),
    })
}

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}
