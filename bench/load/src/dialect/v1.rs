//! The hub's own protocol, `fdx.v1.json`.

use std::io::{self, Write};
use std::net::TcpStream;

use super::{Said, text};
use crate::frames::{TEXT, encode};
use crate::{Server, upgrade};

const PROTOCOL: &str = "fdx.v1.json";

const JOIN: &str = r#"{"op":"join","id":1,"room":"bench","backlog":0}"#;

pub(super) const HEARTBEAT: (&[u8], &[u8]) = (br#"{"ev":"hb"}"#, br#"{"op":"hb"}"#);

/// A connection that has said hello and is in the room.
pub(super) fn join(server: &Server, heartbeat_ms: u64) -> io::Result<TcpStream> {
    let server = Server {
        protocol: Some(PROTOCOL),
        ..server.clone()
    };
    let (mut stream, behind) = upgrade::open(&server, None)?;
    if !behind.is_empty() {
        return Err(io::Error::other("a message came before any was sent"));
    }
    let hello = format!(r#"{{"op":"hello","id":1,"name":"Ana","hb_ms":{heartbeat_ms}}}"#);
    for command in [&*hello, JOIN] {
        stream.write_all(&encode(TEXT, command.as_bytes()))?;
        reply(&mut stream)?;
    }
    Ok(stream)
}

/// Reads up to the reply to a command, which has to be a good one.
fn reply(stream: &mut TcpStream) -> io::Result<()> {
    loop {
        let text = text(stream)?;
        if text.starts_with(br#"{"re":1,"ok""#) {
            return Ok(());
        }
        if !text.starts_with(br#"{"ev":"#) {
            let text = String::from_utf8_lossy(&text).into_owned();
            return Err(io::Error::other(text));
        }
    }
}

pub(super) fn send(number: u64, body: &str) -> String {
    format!(r#"{{"op":"send","id":1,"room":"bench","cid":"{number}","body":"{body}"}}"#)
}

pub(super) fn said(opening: &[u8]) -> Option<Said> {
    match opening {
        br#"{"ev":"msg","# => Some(Said::Message),
        br#"{"re":1,"ok""# => Some(Said::Acknowledgement),
        br#"{"ev":"pres""# => Some(Said::Other),
        _ => None,
    }
}
