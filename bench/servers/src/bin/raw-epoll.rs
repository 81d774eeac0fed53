//! The limit: what no server can do better, because it does nothing but the system calls.
//!
//! As `echo`: whatever comes goes back, without a WebSocket. As `broadcast`: parses what a publisher sends, encodes it once, and gives
//! each socket all frames of the loop's turn with one call.

use std::io;
use std::net::{TcpListener, TcpStream};

use bench_servers::{Mode, start};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// One for all connections.
const BUFFER: usize = 512 << 10;
const EVENTS: usize = 1024;
const LISTENER: u64 = u64::MAX;

/// The answer to the generator's handshakes, which all have the key of RFC 6455's example.
const RESPONSE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn main() -> io::Result<()> {
    let (mode, listener) = start(&[Mode::Echo, Mode::Broadcast]);
    Server::new(mode, listener)?.run()
}

struct Server {
    mode: Mode,
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
    /// What all are to be sent at the end of this turn.
    frames: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// What the socket did not take.
    unsent: Vec<u8>,
    /// A request or a frame that came in part.
    begun: Vec<u8>,
    open: bool,
}

impl Server {
    fn new(mode: Mode, listener: TcpListener) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        let (connections, buffer, frames) = (Vec::new(), vec![0; BUFFER], Vec::new());
        Ok(Self {
            mode,
            epoll,
            listener,
            connections,
            buffer,
            frames,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            epoll::wait(&self.epoll, spare_capacity(&mut events), None)?;
            for event in &events {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    index => self.ready(usize::try_from(index).unwrap_or(usize::MAX)),
                }
            }
            if !self.frames.is_empty() {
                self.broadcast();
            }
        }
    }

    fn ready(&mut self, index: usize) {
        let slot = &mut self.connections[index];
        let Some(connection) = slot else { return };
        let result = match self.mode {
            Mode::Broadcast => connection.take(&mut self.buffer, &mut self.frames),
            _ => connection.echo(&mut self.buffer),
        };
        if result.is_err() {
            *slot = None;
        }
    }

    fn broadcast(&mut self) {
        for slot in &mut self.connections {
            if let Some(connection) = slot
                && connection.open
                && connection.send(&self.frames).is_err()
            {
                *slot = None;
            }
        }
        self.frames.clear();
    }

    fn accept(&mut self) -> io::Result<()> {
        let (stream, _) = self.listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let free = self.connections.iter().position(Option::is_none);
        let index = free.unwrap_or(self.connections.len());
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(
            &self.epoll,
            &stream,
            EventData::new_u64(index as u64),
            flags,
        )?;
        let connection = Some(Connection {
            stream,
            unsent: Vec::new(),
            begun: Vec::new(),
            open: false,
        });
        match free {
            Some(index) => self.connections[index] = connection,
            None => self.connections.push(connection),
        }
        Ok(())
    }
}

impl Connection {
    /// Everything that is there goes back; an error when it is over.
    fn echo(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        while self.flush()? {
            let count = self.receive(buffer)?;
            if count > 0 {
                self.send(&buffer[..count])?;
            }
            // Less than there was room for: the socket is empty, and there will be another event.
            if count < buffer.len() && self.unsent.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Takes what is there: a handshake, which is answered, or messages for everybody, which are added to `frames`.
    fn take(&mut self, buffer: &mut [u8], frames: &mut Vec<u8>) -> io::Result<()> {
        self.flush()?;
        loop {
            let count = self.receive(buffer)?;
            self.begun.extend_from_slice(&buffer[..count]);
            if self.open {
                let taken = encode_all(&mut self.begun, frames);
                self.begun.drain(..taken);
            } else if self.begun.ends_with(b"\r\n\r\n") {
                self.begun.clear();
                self.open = true;
                self.send(RESPONSE)?;
            }
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    /// What is there, or nothing; an error when it is over.
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match recv(&self.stream, buffer, RecvFlags::empty()) {
            Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((count, _)) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether nothing is left that the socket did not take.
    fn flush(&mut self) -> io::Result<bool> {
        if self.unsent.is_empty() {
            return Ok(true);
        }
        let sent = taken(send(&self.stream, &self.unsent, SendFlags::NOSIGNAL))?;
        self.unsent.drain(..sent);
        Ok(self.unsent.is_empty())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = taken(send(&self.stream, bytes, SendFlags::NOSIGNAL))?;
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }
}

fn taken(result: Result<usize, Errno>) -> io::Result<usize> {
    match result {
        Err(Errno::AGAIN) => Ok(0),
        other => Ok(other?),
    }
}

/// Adds each complete frame of `bytes` without its mask to `frames`: how many bytes they had.
fn encode_all(bytes: &mut [u8], frames: &mut Vec<u8>) -> usize {
    let mut taken = 0;
    while let Some((header, length)) = header(&bytes[taken..]) {
        let Some(frame) = bytes.get_mut(taken..taken + header + length) else {
            break;
        };
        frames.extend_from_slice(&frame[..header - 4]);
        let second = frames.len() - (header - 4) + 1;
        frames[second] &= 0x7f;
        let (mask, payload) = frame[header - 4..].split_at_mut(4);
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        frames.extend_from_slice(payload);
        taken += header + length;
    }
    taken
}

/// The lengths of a masked frame's header and payload, once the header is there.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let big_endian = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let (header, length) = match bytes.get(1)? & 0x7f {
        0x7e => (4, big_endian(bytes.get(2..4)?)),
        0x7f => (10, big_endian(bytes.get(2..10)?)),
        short => (2, usize::from(short)),
    };
    Some((header + 4, length))
}
