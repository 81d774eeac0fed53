//! `cargo run -p fullduplex-examples --bin subprotocols -- 127.0.0.1:8080`
//!
//! Seeds 000 and 003: the subprotocol as a business channel. Two of them on one route; the client's first that is spoken
//! here decides, and a client that offers neither is refused.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{
    env, io,
    sync::atomic::{AtomicU64, Ordering},
};

use fullduplex::{
    Acceptor, Error, Server, WebSocket,
    handshake::{NoCommonSubprotocol, ServerOptions},
};

static ORDERS: AtomicU64 = AtomicU64::new(1);

#[tokio::main]
async fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    let options = ServerOptions {
        subprotocols: vec!["orders.v1".into(), "prices.v1".into()],
        no_common_subprotocol: NoCommonSubprotocol::Refuse,
        ..ServerOptions::default()
    };
    let server = Server::bind(addr.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("listening on ws://{}", server.local_addr()?);
    let server = server.acceptor(Acceptor::new().options(options));
    server.serve(by_subprotocol).await;
    Ok(())
}

async fn by_subprotocol(ws: WebSocket) -> Result<(), Error> {
    match ws.subprotocol() {
        Some("orders.v1") => orders(ws).await,
        _ => prices(ws).await,
    }
}

/// Every message is an order, and is given a number.
async fn orders(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        let number = ORDERS.fetch_add(1, Ordering::Relaxed);
        let article = message.as_text().unwrap_or("something");
        ws.send(format!("order {number}: {article}")).await?;
    }
    Ok(())
}

/// Every message is an article, and is answered with its price.
async fn prices(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(format!("{}.00", message.len())).await?;
    }
    Ok(())
}
