//! An opening handshake by hand, for libraries that take a connection after it and would else get theirs from hyper in a box.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const MAX_HEAD: usize = 8 << 10;
const KEY: &str = "sec-websocket-key:";

/// Reads a request and answers that its connection is a WebSocket now, with these extensions.
///
/// # Errors
///
/// Those of the operating system; a request that is too long, has no key, or is followed by more: the generator waits for the answer.
pub async fn accept(stream: &mut TcpStream, extensions: Option<&str>) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 || head.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let head = String::from_utf8_lossy(&head);
    let key = head
        .lines()
        .find_map(value_of_key)
        .ok_or(io::ErrorKind::InvalidData)?;
    let accept = derive_accept_key(key.as_bytes());
    let extensions = extensions
        .map(|value| format!("Sec-WebSocket-Extensions: {value}\r\n"))
        .unwrap_or_default();
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n"
    );
    stream.write_all(answer.as_bytes()).await
}

fn value_of_key(line: &str) -> Option<&str> {
    let (name, value) = line.split_at_checked(KEY.len())?;
    name.eq_ignore_ascii_case(KEY).then(|| value.trim())
}
