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

fn main() -> io::Result<()> {
    let (mode, listener) = start(&[Mode::Echo, Mode::Broadcast]);
    let mut server = Server::new(listener)?;
    match mode {
        Mode::Broadcast => server.broadcast(),
        _ => server.echo(),
    }
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

impl Server {
    fn new(listener: TcpListener) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        Ok(Self {
            epoll,
            listener,
            connections: Vec::new(),
            buffer: vec![0; BUFFER],
        })
    }

    fn echo(&mut self) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            epoll::wait(&self.epoll, spare_capacity(&mut events), None)?;
            for event in &events {
                let data = event.data;
                if data.u64() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let slot = &mut self.connections[usize::try_from(data.u64()).unwrap_or_default()];
                if let Some(connection) = slot
                    && connection.echo(&mut self.buffer).is_err()
                {
                    *slot = None;
                }
            }
        }
    }

    fn broadcast(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
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
        loop {
            if !self.flush()? {
                return Ok(());
            }
            let count = match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            self.send(&buffer[..count])?;
            // Less than there was room for: the socket is empty, and there will be another event.
            if count < buffer.len() && self.unsent.is_empty() {
                return Ok(());
            }
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
