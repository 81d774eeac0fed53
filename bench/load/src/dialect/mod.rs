//! What the members of a room speak with a server that acknowledges, as far as a load needs it.

mod socket_io;
mod v1;

use std::io::{self, Read};
use std::net::TcpStream;

use clap::ValueEnum;

use crate::Server;
use crate::frames::{FIN, TEXT, encode};
use crate::replies::header;

/// As many bytes of a text as tell what it is.
pub(crate) const OPENING: usize = 12;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// The hub's own protocol, `fdx.v1.json`
    V1,
    /// Engine.IO 4 and Socket.IO 5
    SocketIo,
}

/// What a server says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A message of a member.
    Message,
    /// That one of ours was taken.
    Acknowledgement,
    /// Something that a load does not ask about.
    Other,
}

impl Dialect {
    /// A connection that is in the room, with a heartbeat of the server's each so many milliseconds (0: none) where a client
    /// may choose.
    pub(crate) fn join(self, server: &Server, heartbeat_ms: u64) -> io::Result<TcpStream> {
        match self {
            Self::V1 => v1::join(server, heartbeat_ms),
            Self::SocketIo => socket_io::join(server),
        }
    }

    /// Says something to the room, under a number of its own.
    fn send(self, number: u64, body: &str) -> String {
        match self {
            Self::V1 => v1::send(number, body),
            Self::SocketIo => socket_io::send(body),
        }
    }

    /// What a text is that begins so; none if it is none that a good run has.
    pub(crate) fn said(self, opening: &[u8]) -> Option<Said> {
        match self {
            Self::V1 => v1::said(opening),
            Self::SocketIo => socket_io::said(opening),
        }
    }

    /// The server's heartbeat and a client's answer.
    pub(crate) fn heartbeat(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::V1 => v1::HEARTBEAT,
            Self::SocketIo => socket_io::HEARTBEAT,
        }
    }
}

/// Reads a text and nothing behind it.
fn text(stream: &mut impl Read) -> io::Result<Vec<u8>> {
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

/// What one member sends. Each has a number of its own, so that none can be encoded before.
pub(crate) struct Sends {
    dialect: Dialect,
    body: String,
    begun: u64,
    unwritten: Vec<u8>,
}

impl Sends {
    pub(crate) fn new(dialect: Dialect, body: String) -> Self {
        Self {
            dialect,
            body,
            begun: 0,
            unwritten: Vec::new(),
        }
    }

    /// What is to be written now, after `count` more became due.
    pub(crate) fn due(&mut self, count: usize) -> &[u8] {
        for _ in 0..count {
            self.begun += 1;
            let send = self.dialect.send(self.begun, &self.body);
            self.unwritten.extend(encode(TEXT, send.as_bytes()));
        }
        &self.unwritten
    }

    pub(crate) fn written(&mut self, bytes: usize) {
        self.unwritten.drain(..bytes);
    }
}
