//! The hub's own protocol, `fdx.v1.json`, as far as a load needs it.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::frames::{FIN, TEXT, encode};
use crate::replies::header;
use crate::{Server, upgrade};

const PROTOCOL: &str = "fdx.v1.json";

const JOIN: &str = r#"{"op":"join","id":1,"room":"bench","backlog":0}"#;

/// A connection that has said hello and is in the room, with heartbeats at an interval (0: none).
pub(crate) fn join(server: &Server, heartbeat_ms: u64) -> io::Result<TcpStream> {
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
        let text = message(stream)?;
        if text.starts_with(br#"{"re":1,"ok""#) {
            return Ok(());
        }
        if !text.starts_with(br#"{"ev":"#) {
            let text = String::from_utf8_lossy(&text).into_owned();
            return Err(io::Error::other(text));
        }
    }
}

/// Reads a message and nothing behind it.
fn message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = vec![0; 2];
    stream.read_exact(&mut head)?;
    let length = loop {
        if let Some((_, length)) = header(&head)? {
            break usize::try_from(length).map_err(io::Error::other)?;
        }
        head.push(0);
        if let Some(next) = head.last_mut() {
            stream.read_exact(std::slice::from_mut(next))?;
        }
    };
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    if head[0] == FIN | TEXT {
        return Ok(payload);
    }
    let octet = head[0];
    Err(io::Error::other(format!("a frame began with {octet:#x}")))
}

/// What one member sends. Each has a `cid` of its own, so that none can be encoded before.
pub(crate) struct Sends {
    body: String,
    begun: u64,
    unwritten: Vec<u8>,
}

impl Sends {
    pub(crate) fn new(body: String) -> Self {
        Self {
            body,
            begun: 0,
            unwritten: Vec::new(),
        }
    }

    /// What is to be written now, after `count` more became due.
    pub(crate) fn due(&mut self, count: usize) -> &[u8] {
        for _ in 0..count {
            self.begun += 1;
            let Self { begun, body, .. } = self;
            let send =
                format!(r#"{{"op":"send","id":1,"room":"bench","cid":"{begun}","body":"{body}"}}"#);
            self.unwritten.extend(encode(TEXT, send.as_bytes()));
        }
        &self.unwritten
    }

    pub(crate) fn written(&mut self, bytes: usize) {
        self.unwritten.drain(..bytes);
    }
}
