//! Socket.IO 5 on Engine.IO 4, by WebSocket from the beginning. Its server lets all that connect into the room.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::{Said, text};
use crate::frames::{TEXT, encode};
use crate::{Server, upgrade};

/// Engine.IO: `message`; Socket.IO: `CONNECT`, to the main namespace.
const CONNECT: &[u8] = b"40";

/// Engine.IO: `ping` and `pong`.
pub(super) const HEARTBEAT: (&[u8], &[u8]) = (b"2", b"3");

/// A connection that Socket.IO's server has taken.
pub(super) fn join(server: &Server) -> io::Result<TcpStream> {
    let (mut stream, behind) = upgrade::open(server, None)?;
    // Its handshake comes at once, perhaps together with HTTP's.
    let mut rest = &behind[..];
    expect(&mut (&mut rest).chain(&mut stream), b"0{")?;
    if !rest.is_empty() {
        return Err(io::Error::other("a message came before any was sent"));
    }
    stream.write_all(&encode(TEXT, CONNECT))?;
    expect(&mut stream, b"40{")?;
    Ok(stream)
}

fn expect(stream: &mut impl Read, opening: &[u8]) -> io::Result<()> {
    let text = text(stream)?;
    if text.starts_with(opening) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Err(io::Error::other(text))
}

/// An `EVENT` that asks for an acknowledgement.
pub(super) fn send(body: &str) -> String {
    format!(r#"421["msg","{body}"]"#)
}

pub(super) fn said(opening: &[u8]) -> Option<Said> {
    match opening {
        [b'4', b'2', b'[', ..] => Some(Said::Message),
        [b'4', b'3', b'1', b'[', ..] => Some(Said::Acknowledgement),
        b"2" => Some(Said::Other),
        _ => None,
    }
}
