//! Plain requests.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::program::soon;

/// Sends one GET, with more header lines (`Name: value\r\n`), and returns the whole answer.
pub(crate) async fn get(addr: &str, path: &str, headers: &str) -> String {
    let host = if headers.contains("Host: ") {
        String::new()
    } else {
        format!("Host: {addr}\r\n")
    };
    let request = format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon("the answer", stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}
