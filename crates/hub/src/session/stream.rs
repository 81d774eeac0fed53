//! One log that a session follows.
//!
//! What it gets is made a step at a time: an item is read, then sifted, then an event waits to be taken.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use fullduplex_tail::{Backlog, Item, Line, Reader, Resumed, Source};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    place::Place,
    sieve::{Sieve, Sifted},
};
use crate::{
    hub::Shared,
    level::Level,
    wire::{following::Open, log},
};

/// Bytes of a file that are read for who comes back: some minutes of a busy log.
const MAX_RESUMED: u64 = 64 << 20;
/// Lines that are left out before the client is told where it is: a part of what is kept of a log.
const MAX_UNTOLD: usize = 1_000;

/// A log that is followed.
pub(super) struct Stream {
    pub(super) id: Box<str>,
    pub(super) log: Box<str>,
    sieve: Arc<Sieve>,
    /// Lines that the client will still take.
    pub(super) credit: usize,
    /// There unless it is reading.
    reader: Option<Reader>,
    /// Lines that were read and not yet looked at.
    held: VecDeque<Line>,
    /// That of the last line that was looked at, if the filter asks for levels.
    level: Level,
    /// Lines that were looked at since the client was last told a cursor.
    untold: usize,
    /// What is waited for. Without it the stream can go on.
    work: Option<Work>,
    /// What the client gets next.
    event: Option<String>,
    _place: OwnedSemaphorePermit,
}

type Work = Pin<Box<dyn Future<Output = io::Result<Done>> + Send>>;

/// What came of some work.
enum Done {
    /// Where it was to, behind a line of this level.
    Resumed(Reader, Level),
    /// Not there, for this reason.
    Anew(Reader, &'static str),
    Read(Reader, Item),
    Sifted(Sifted),
    /// The source has ended.
    Ended,
}

/// Why a stream ends by itself.
pub(super) enum End {
    Ended,
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Stream {
    pub(super) fn new(
        id: &str,
        open: &Open<'_>,
        source: &Arc<Source>,
        backlog: Backlog,
        sieve: Sieve,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let (reader, work) = match &open.from {
            None => (Some(source.reader(backlog)), None),
            Some(cursor) => {
                let work = resume(Arc::clone(source), cursor.parse().ok(), backlog);
                (None, Some(Box::pin(work) as Work))
            }
        };
        Self {
            id: id.into(),
            log: (*open.log).into(),
            sieve: Arc::new(sieve),
            credit: open.credit,
            reader,
            held: VecDeque::new(),
            level: Level::default(),
            untold: 0,
            work,
            event: None,
            _place: place,
        }
    }

    /// Where the client is that got nothing yet, if that is known.
    pub(super) fn cursor(&self) -> Option<String> {
        Some(self.reader.as_ref()?.bookmark()?.to_string())
    }

    /// Gives other lines from now on, but first this event.
    pub(super) fn set_filter(&mut self, sieve: Sieve) -> Option<String> {
        self.sieve = Arc::new(sieve);
        if self.reader.is_some() {
            // Lines are looked at, and will be once more.
            self.work = None;
        }
        self.take_event()
    }

    pub(super) const fn has_event(&self) -> bool {
        self.event.is_some()
    }

    pub(super) const fn take_event(&mut self) -> Option<String> {
        self.event.take()
    }

    /// Whether the client wants something, and nothing is waited for.
    pub(super) const fn goes_on(&self) -> bool {
        self.event.is_none() && self.credit > 0 && self.work.is_none()
    }

    /// Makes the next event if the client wants one, of lines that are there or else of one item more.
    pub(super) fn go_on(&mut self, cx: &mut Context<'_>, hub: &Shared) -> Result<(), End> {
        if self.event.is_some() || self.credit == 0 {
            return Ok(());
        }
        let work = self
            .work
            .take()
            .or_else(|| self.next_work(&hub.logs.sifting));
        let Some(mut work) = work else {
            return Ok(());
        };
        let Poll::Ready(done) = work.as_mut().poll(cx) else {
            self.work = Some(work);
            return Ok(());
        };
        match done? {
            Done::Ended => return Err(End::Ended),
            Done::Resumed(reader, level) => {
                self.reader = Some(reader);
                self.level = level;
            }
            Done::Anew(reader, reason) => {
                self.reader = Some(reader);
                self.event = Some(log::anew(&self.id, reason, self.cursor().as_deref()));
            }
            Done::Read(reader, item) => {
                self.reader = Some(reader);
                self.take_item(item, hub);
            }
            Done::Sifted(sifted) => self.take_sifted(&sifted, hub),
        }
        Ok(())
    }

    fn next_work(&mut self, turns: &Arc<Semaphore>) -> Option<Work> {
        if self.held.is_empty() {
            return Some(Box::pin(read(self.reader.take()?)));
        }
        let lines = self.held.iter().cloned().collect();
        let (sieve, turns) = (Arc::clone(&self.sieve), Arc::clone(turns));
        let sifted = sieve.sift(lines, self.credit, self.level, turns);
        Some(Box::pin(async { sifted.await.map(Done::Sifted) }))
    }

    fn take_item(&mut self, item: Item, hub: &Shared) {
        self.event = Some(match item {
            Item::Lines(lines) => {
                self.held = lines.into();
                return;
            }
            Item::Skipped(lines) => {
                hub.metrics.tail_skipped.add(lines);
                log::skip(Some(&self.id), lines)
            }
            Item::File(what) => log::file(Some(&self.id), what),
        });
        // What it was of is not what comes next.
        self.level = Level::default();
    }

    fn take_sifted(&mut self, sifted: &Sifted, hub: &Shared) {
        let Sifted {
            seen,
            wanted,
            level,
        } = sifted;
        let Some(last) = self.held.drain(..seen).next_back() else {
            return;
        };
        self.level = *level;
        self.credit -= wanted.len();
        hub.metrics.tail_lines.add(wanted.len() as u64);
        self.untold += seen;
        if !wanted.is_empty() || self.untold >= MAX_UNTOLD {
            self.untold = 0;
            let texts = wanted.iter().map(|line| &**line.text());
            let place = Place {
                bookmark: last.bookmark(),
                level: *level,
            };
            self.event = Some(log::stream_lines(&self.id, texts, &place.to_string()));
        }
    }
}

/// Goes on where a cursor says, if it is one and its line is there; else begins with some of the newest lines.
async fn resume(source: Arc<Source>, place: Option<Place>, backlog: Backlog) -> io::Result<Done> {
    let reason = match place {
        None => "mismatch",
        Some(Place { bookmark, level }) => match source.resume(bookmark, MAX_RESUMED).await? {
            Resumed::Complete(reader) => return Ok(Done::Resumed(reader, level)),
            Resumed::Changed => "changed",
            Resumed::TooFar => "too_far",
        },
    };
    Ok(Done::Anew(source.reader(backlog), reason))
}

async fn read(mut reader: Reader) -> io::Result<Done> {
    let item = reader.next().await?;
    Ok(item.map_or(Done::Ended, |item| Done::Read(reader, item)))
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.id)
            .field("log", &self.log)
            .field("sieve", &self.sieve)
            .field("credit", &self.credit)
            .finish_non_exhaustive()
    }
}
