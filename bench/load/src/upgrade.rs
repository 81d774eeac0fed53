//! The opening handshake, as a client and one connection after the other.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, socket};

use crate::Server;

/// RFC 6455's own example, section 1.3: nothing here has to be unpredictable.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A server that takes longer for a handshake hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Responses are short; one that is not is no answer to us.
const RESPONSE: usize = 4096;

pub(crate) fn connect(server: &Server) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server.address, PATIENCE)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// An open WebSocket, and what came behind the response.
pub(crate) fn open(server: &Server, extension: Option<&str>) -> io::Result<(TcpStream, Vec<u8>)> {
    upgrade(connect(server)?, server, extension)
}

/// An open WebSocket whose own address is this one.
pub(crate) fn open_from(address: Ipv4Addr, server: &Server) -> io::Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddrV4::new(address, 0))?;
    rustix::net::connect(&socket, &server.address)?;
    Ok(upgrade(socket.into(), server, None)?.0)
}

fn upgrade(
    mut stream: TcpStream,
    server: &Server,
    extension: Option<&str>,
) -> io::Result<(TcpStream, Vec<u8>)> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&request(server, extension))?;
    let mut received = Vec::with_capacity(RESPONSE);
    let behind = loop {
        let mut piece = [0; RESPONSE];
        let count = stream.read(&mut piece)?;
        received.extend_from_slice(&piece[..count]);
        if let Some(length) = response(&received, extension)? {
            break received.split_off(length);
        }
        if count == 0 {
            return Err(io::Error::other("the server closed during the handshake"));
        }
    };
    Ok((stream, behind))
}

pub(crate) fn request(server: &Server, extension: Option<&str>) -> Vec<u8> {
    let Server { address, path, .. } = server;
    let protocol = server.protocol.map_or_else(String::new, |protocol| {
        format!("Sec-WebSocket-Protocol: {protocol}\r\n")
    });
    let extensions = extension.map_or_else(String::new, |extension| {
        format!("Sec-WebSocket-Extensions: {extension}\r\n")
    });
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{protocol}{extensions}\r\n"
    )
    .into_bytes()
}

/// The length of the response's head once it is there, and what we asked for.
pub(crate) fn response(received: &[u8], extension: Option<&str>) -> io::Result<Option<usize>> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
        let too_long = received.len() >= RESPONSE;
        return if too_long {
            Err(io::Error::other("a response without end"))
        } else {
            Ok(None)
        };
    };
    let head = String::from_utf8_lossy(&received[..end]);
    let agreed = head
        .to_ascii_lowercase()
        .contains("sec-websocket-extensions:");
    if head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT) && agreed == extension.is_some() {
        return Ok(Some(end + 4));
    }
    Err(io::Error::other(format!(
        "the handshake was answered with: {head}"
    )))
}
