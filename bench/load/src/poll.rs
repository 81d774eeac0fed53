//! Readiness of many sockets, edge-triggered, and reads and writes that do not wait.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::time::Timespec;

/// How many sockets one wait reports.
const EVENTS: usize = 1024;

/// What one read takes, for all connections; below the second-level cache of common processors.
pub(crate) const BUFFER: usize = 256 << 10;

pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS),
        })
    }

    pub(crate) fn add(&self, stream: &TcpStream, index: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(
            &self.epoll,
            stream,
            EventData::new_u64(index as u64),
            flags,
        )?)
    }

    pub(crate) fn wait(&mut self, at_most: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(at_most).map_err(io::Error::other)?;
        self.events.clear();
        match epoll::wait(
            &self.epoll,
            spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The index of each socket that is ready, with whether there is something to read.
    pub(crate) fn events(&self) -> impl Iterator<Item = (usize, bool)> {
        self.events.iter().map(|event| {
            let (data, flags) = (event.data, event.flags);
            #[expect(clippy::cast_possible_truncation, reason = "it was a usize")]
            (data.u64() as usize, flags != EventFlags::OUT)
        })
    }
}

/// What is there, or nothing; the end is an error, because no server has reason to close.
pub(crate) fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match recv(stream, buffer, RecvFlags::empty()) {
        Ok((0, _)) => Err(io::Error::other("the server closed a connection")),
        Ok((count, _)) => Ok(count),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// As much as the socket takes.
pub(crate) fn write(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match send(stream, bytes, SendFlags::NOSIGNAL) {
        Ok(count) => Ok(count),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
