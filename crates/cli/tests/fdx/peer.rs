//! Servers that do what a test wants.

use std::net::SocketAddr;

use fullduplex::{Error, Server, WebSocket};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::program::soon;

/// A WebSocket server; each connection is `handler`'s. It lives as long as the test.
pub(crate) async fn serve<Fut>(handler: impl Fn(WebSocket) -> Fut + Send + Sync + 'static) -> String
where
    Fut: Future<Output = Result<(), Error>> + Send + 'static,
{
    let server = Server::bind("127.0.0.1:0").await.unwrap();
    let addr = server.local_addr().unwrap();
    tokio::spawn(server.serve(handler));
    format!("ws://{addr}/")
}

/// Keeps its connections, hands them out, and never looks at them itself.
pub(crate) async fn hold() -> (String, mpsc::Receiver<WebSocket>) {
    let (held, holding) = mpsc::channel(1);
    let url = serve(move |ws| {
        let held = held.clone();
        async move {
            held.send(ws).await.unwrap();
            std::future::pending().await
        }
    });
    (url.await, holding)
}

/// Answers one request with these bytes and closes. Returns the address and, later, the request.
pub(crate) async fn answer(
    bytes: impl Into<Vec<u8>>,
) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let bytes = bytes.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let answered = tokio::spawn(async move {
        let (mut stream, _) = soon("a connection", listener.accept()).await.unwrap();
        let request = read_head(&mut stream).await;
        stream.write_all(&bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        drain(&mut stream).await;
        request
    });
    (addr, answered)
}

/// Answers one request with 101 and these bytes, and closes.
pub(crate) async fn answer_101(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = soon("a connection", listener.accept()).await.unwrap();
        let request = read_head(&mut stream).await;
        let key = request
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
        let accept = fullduplex::handshake::accept_for(key.unwrap().as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        drain(&mut stream).await;
    });
    format!("ws://{addr}/")
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = soon("a request", stream.read_u8()).await.unwrap();
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

/// Reads to the end: closing with unread bytes would take our answer away.
async fn drain(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end, too.
    soon("the end of the connection", stream.read_to_end(&mut rest))
        .await
        .ok();
}
