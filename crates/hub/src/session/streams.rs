//! Logs that a session follows, each as a stream of lines.
//!
//! A stream is read by the session's task, an item at a time, while its client has given credit and its connection took the event
//! before. Else the log's source goes on without it, and counts what it misses. Rooms come first.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use fullduplex_tail::{Item, Reader};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task,
};

use super::{
    Session,
    sieve::{Sieve, Sifted},
};
use crate::wire::{
    command::Id,
    following::{Filter, Follow, checked_credit},
    log,
    reply::{self, ErrorCode, Failure},
};

/// Streams at once of one session: as many as a screen has space for.
const MAX_STREAMS: usize = 8;

/// The streams of a session, in turn.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: VecDeque<Stream>,
    /// How many there ever were.
    opened: u64,
}

/// A log that is followed.
struct Stream {
    id: Box<str>,
    log: Box<str>,
    sieve: Arc<Sieve>,
    /// Lines that the client will still take.
    credit: usize,
    /// There unless it is reading.
    reader: Option<Reader>,
    /// Lines that were read and not yet looked at.
    held: VecDeque<Arc<str>>,
    /// What is waited for. Without it the stream can go on.
    work: Option<Work>,
    /// What the client gets next.
    event: Option<String>,
    _place: OwnedSemaphorePermit,
}

type Work = Pin<Box<dyn Future<Output = io::Result<Done>> + Send>>;

/// What came of some work.
enum Done {
    Read(Reader, Item),
    Sifted(Sifted),
    /// The source has ended.
    Ended,
}

/// Why a stream ends by itself.
enum End {
    Ended,
    Failed(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Session {
    pub(super) fn follow_log(
        &mut self,
        follow: Follow<'_>,
        id: Option<&Id>,
    ) -> Result<(), Failure> {
        match follow {
            Follow::List => self.list_logs(id),
            Follow::Open {
                log,
                backlog,
                filter,
                credit,
            } => self.open_stream(&log, backlog, &filter, credit, id)?,
            Follow::Set { stream, filter } => self.set_filter(&stream, &filter, id)?,
            Follow::Close { stream } => {
                let streams = self.streams.as_mut();
                streams
                    .and_then(|streams| streams.take(&stream))
                    .ok_or_else(no_stream)?;
                self.reply(id, &reply::Done {});
            }
            Follow::Credit { stream, n } => {
                let stream = self.stream(&stream)?;
                stream.credit = checked_credit(stream.credit + n)?;
                let credit = stream.credit;
                self.reply(id, &reply::Credited { credit });
            }
        }
        Ok(())
    }

    /// Names the logs, all or none: that is how they may be followed.
    fn list_logs(&mut self, id: Option<&Id>) {
        let may_follow = self.standing.grant().may_follow_logs();
        let names = self.hub.logs.names().filter(|_| may_follow);
        let logs = names.collect();
        self.outbox
            .extend(reply::success(id, &reply::LogNames { logs }));
    }

    fn open_stream(
        &mut self,
        log: &str,
        backlog: Option<u64>,
        filter: &Filter<'_>,
        credit: usize,
        id: Option<&Id>,
    ) -> Result<(), Failure> {
        if !self.standing.grant().may_follow_logs() {
            let why = "your token does not allow following logs";
            return Err(Failure::new(ErrorCode::Forbidden, why));
        }
        let streams = self.streams.get_or_insert_default();
        if streams.open.len() >= MAX_STREAMS {
            let why = "as many streams are open as may be";
            return Err(Failure::new(ErrorCode::RateLimited, why));
        }
        let sieve = Arc::new(Sieve::new(filter)?);
        let logs = &self.hub.logs;
        let backlog = backlog.or(self.hub.config.limits.log_backlog);
        let reader = logs.reader(log, backlog).ok_or_else(|| {
            let why = "there is no log of this name";
            Failure::new(ErrorCode::NotFound, why)
        })?;
        let place = logs.place().ok_or_else(|| {
            let why = "the server has as many streams of logs as it may";
            Failure::new(ErrorCode::Unavailable, why)
        })?;
        streams.opened += 1;
        let stream = format!("l{}", streams.opened);
        streams.open.push_back(Stream {
            id: stream.as_str().into(),
            log: log.into(),
            sieve,
            credit,
            reader: Some(reader),
            held: VecDeque::new(),
            work: None,
            event: None,
            _place: place,
        });
        let stream = &stream;
        self.reply(id, &reply::Opened { stream, log });
        Ok(())
    }

    /// Has a stream give other lines, from the reply on.
    fn set_filter(
        &mut self,
        stream: &str,
        filter: &Filter<'_>,
        id: Option<&Id>,
    ) -> Result<(), Failure> {
        let sieve = Sieve::new(filter)?;
        let stream = self.stream(stream)?;
        stream.sieve = Arc::new(sieve);
        if stream.reader.is_some() {
            // Lines are looked at, and will be once more.
            stream.work = None;
        }
        let event = stream.event.take();
        self.outbox.extend(event);
        self.reply(id, &reply::Done {});
        Ok(())
    }

    fn stream(&mut self, id: &str) -> Result<&mut Stream, Failure> {
        let streams = self.streams.as_mut().ok_or_else(no_stream)?;
        let found = streams.open.iter_mut().find(|stream| *stream.id == *id);
        found.ok_or_else(no_stream)
    }

    /// Goes on with what streams wait for.
    pub(super) fn poll_streams(&mut self, cx: &mut Context<'_>) {
        let Some(streams) = &mut self.streams else {
            return;
        };
        let (hub, outbox) = (&self.hub, &mut self.outbox);
        streams.open.retain_mut(|stream| {
            let Err(end) = stream.go_on(cx, &hub.logs.sifting) else {
                return true;
            };
            let reason = match end {
                End::Ended => "ended",
                End::Failed(error) => {
                    hub.told.log_failed(&stream.log, &error);
                    "unreadable"
                }
            };
            outbox.push(log::end(&stream.id, reason));
            false
        });
    }

    /// Whether some stream has to be gone on with: nothing wakes the task for it.
    pub(super) fn streams_go_on(&self) -> bool {
        let streams = self.streams.as_ref();
        streams.is_some_and(|streams| streams.open.iter().any(Stream::goes_on))
    }

    /// Whether the client gets something of the logs that it follows.
    pub(super) fn streams_have_more(&self) -> bool {
        let streams = self.streams.as_ref();
        streams.is_some_and(|streams| streams.open.iter().any(Stream::has_event))
    }

    /// What the client gets next of the logs that it follows.
    pub(super) fn next_of_streams(&mut self) -> Option<String> {
        self.streams.as_mut()?.next_event()
    }

    /// Ends the streams if the client may follow logs no longer.
    pub(super) fn check_streams(&mut self) {
        if !self.standing.grant().may_follow_logs()
            && let Some(streams) = &mut self.streams
        {
            for stream in streams.open.drain(..) {
                self.outbox.push(log::end(&stream.id, "forbidden"));
            }
        }
    }
}

impl Streams {
    fn take(&mut self, id: &str) -> Option<Stream> {
        let at = self.open.iter().position(|stream| *stream.id == *id)?;
        self.open.remove(at)
    }

    /// The event of the first that has one, whose turn is the last then.
    fn next_event(&mut self) -> Option<String> {
        let at = self.open.iter().position(Stream::has_event)?;
        let mut stream = self.open.remove(at)?;
        let event = stream.event.take();
        self.open.push_back(stream);
        event
    }
}

impl Stream {
    const fn has_event(&self) -> bool {
        self.event.is_some()
    }

    /// Whether the client wants something, and nothing is waited for.
    const fn goes_on(&self) -> bool {
        self.event.is_none() && self.credit > 0 && self.work.is_none()
    }

    /// Makes the next event if the client wants one, of lines that are there or else of one item more.
    fn go_on(&mut self, cx: &mut Context<'_>, turns: &Arc<Semaphore>) -> Result<(), End> {
        if self.event.is_some() || self.credit == 0 {
            return Ok(());
        }
        let work = self.work.take().or_else(|| self.next_work(turns));
        let Some(mut work) = work else {
            return Ok(());
        };
        let Poll::Ready(done) = work.as_mut().poll(cx) else {
            self.work = Some(work);
            return Ok(());
        };
        match done? {
            Done::Ended => return Err(End::Ended),
            Done::Read(reader, item) => {
                self.reader = Some(reader);
                self.take_item(item);
            }
            Done::Sifted(Sifted { seen, wanted }) => {
                self.held.drain(..seen);
                self.credit -= wanted.len();
                if !wanted.is_empty() {
                    self.event = Some(log::lines(Some(&self.id), &wanted));
                }
            }
        }
        Ok(())
    }

    fn next_work(&mut self, turns: &Arc<Semaphore>) -> Option<Work> {
        if self.held.is_empty() {
            return Some(Box::pin(read(self.reader.take()?)));
        }
        let lines = self.held.iter().cloned().collect();
        let (sieve, turns) = (Arc::clone(&self.sieve), Arc::clone(turns));
        Some(Box::pin(sift(lines, self.credit, sieve, turns)))
    }

    fn take_item(&mut self, item: Item) {
        match item {
            Item::Lines(lines) => self.held = lines.into(),
            Item::Skipped(lines) => self.event = Some(log::skip(Some(&self.id), lines)),
            Item::File(what) => self.event = Some(log::file(Some(&self.id), what)),
        }
    }
}

async fn read(mut reader: Reader) -> io::Result<Done> {
    let item = reader.next().await?;
    Ok(item.map_or(Done::Ended, |item| Done::Read(reader, item)))
}

/// Looks for `max` lines, in a thread of its own if that may take long.
async fn sift(
    lines: Vec<Arc<str>>,
    max: usize,
    sieve: Arc<Sieve>,
    turns: Arc<Semaphore>,
) -> io::Result<Done> {
    if !sieve.is_costly() {
        return Ok(Done::Sifted(sieve.sift(&lines, max)));
    }
    let turn = turns.acquire_owned().await.map_err(io::Error::other)?;
    let sift = move || {
        let sifted = sieve.sift(&lines, max);
        drop(turn);
        sifted
    };
    let sifted = task::spawn_blocking(sift).await;
    sifted.map(Done::Sifted).map_err(io::Error::other)
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

fn no_stream() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such stream")
}
