//! Putting what is read from a source into its ring.

use std::{sync::Weak, time::Instant};

use tokio::sync::watch;

use crate::{
    FileEvent,
    bookmark::FileId,
    follow::{Beginning, Change, Follower},
    lines::{Batch, Splitter},
    ring::Ring,
};

/// The writing end of a ring. It does not keep the ring alive: without its source all writing
/// fails.
#[derive(Debug)]
pub(crate) struct Feed {
    ring: Weak<watch::Sender<Ring>>,
    splitter: Splitter,
    batch: Batch,
}

/// The source was dropped; nobody wants to know more.
#[derive(Debug)]
pub(crate) struct SourceDropped;

impl Feed {
    /// A feed whose first byte is the one at `offset` of `file`, the ring's current one.
    pub(crate) fn new(ring: Weak<watch::Sender<Ring>>, file: FileId, offset: u64) -> Self {
        Self {
            ring,
            splitter: Splitter::at(file, offset),
            batch: Batch::default(),
        }
    }

    /// Takes the bytes that follow; the lines among them become visible.
    pub(crate) fn bytes(&mut self, mut bytes: &[u8]) -> Result<(), SourceDropped> {
        while !bytes.is_empty() {
            let taken = self.splitter.push(bytes, &mut self.batch);
            bytes = &bytes[taken..];
            self.publish()?;
        }
        Ok(())
    }

    /// Takes an event. An unfinished line is given out before it.
    pub(crate) fn event(
        &mut self,
        event: FileEvent,
        next: Option<Beginning>,
    ) -> Result<(), SourceDropped> {
        self.finish_line()?;
        if let Some(next) = &next {
            self.splitter = Splitter::at(next.id, next.start);
        }
        self.change(|ring| ring.end_with(event, next))
    }

    /// Says that nothing will follow. An unfinished line is given out before it.
    pub(crate) fn close(&mut self) -> Result<(), SourceDropped> {
        self.finish_line()?;
        self.change(Ring::close)
    }

    fn finish_line(&mut self) -> Result<(), SourceDropped> {
        if let Some(line) = self.splitter.finish() {
            self.batch.push(line);
        }
        self.publish()
    }

    fn publish(&mut self) -> Result<(), SourceDropped> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let ring = self.ring.upgrade().ok_or(SourceDropped)?;
        ring.send_modify(|ring| ring.append(&mut self.batch));
        Ok(())
    }

    fn change(&self, change: impl FnOnce(&mut Ring)) -> Result<(), SourceDropped> {
        self.ring
            .upgrade()
            .ok_or(SourceDropped)?
            .send_modify(change);
        Ok(())
    }
}

/// Carries what a follower finds to the feed, a bounded amount at a time.
#[derive(Debug)]
pub(crate) struct Pump {
    follower: Follower,
    feed: Feed,
    buffer: Vec<u8>,
}

/// What one run of a pump found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// And there is nothing more.
    Something,
    /// And there is probably more: the run was long enough.
    Enough,
    /// Another file is being read.
    OtherFile,
}

impl Pump {
    pub(crate) fn new(follower: Follower, feed: Feed) -> Self {
        Self {
            follower,
            feed,
            buffer: vec![0; BUFFER],
        }
    }

    /// Takes what there is, up to [`MAX_STEPS`] buffers of it or until another file begins.
    pub(crate) fn run(&mut self) -> Result<Found, SourceDropped> {
        let now = Instant::now();
        let mut found = Found::Nothing;
        for _ in 0..MAX_STEPS {
            match self.follower.poll(now, &mut self.buffer) {
                Some(Change::Bytes(n)) => {
                    self.feed.bytes(&self.buffer[..n])?;
                    found = Found::Something;
                }
                Some(Change::Event { event, next }) => {
                    self.feed.event(event, next)?;
                    return Ok(Found::OtherFile);
                }
                None => return Ok(found),
            }
        }
        Ok(Found::Enough)
    }
}

/// Bytes read at once.
const BUFFER: usize = 64 * 1024;

/// Buffers read before a dropped source and other work get their turn: 4 MiB.
const MAX_STEPS: usize = 64;
