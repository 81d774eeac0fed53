//! Log files, followed live.

use std::{convert::Infallible, io, pin::pin, sync::Arc, thread, time::Duration};

use fullduplex::{CloseCode, Outgoing, ReadHalf, WebSocket, WriteHalf};
use fullduplex_tail::{Backlog, FollowError, Item, Options, Reader, Source};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    config::{LogInput, LogSource},
    hub::{Shared, Told},
    metrics::Metrics,
    session::{Alarm, HIGH_WATER, Heartbeat, Stop, token_expired},
    visits::{Visit, Visitor},
    wire::{event, log},
};

/// Streams of logs that sessions may have open, all together: a hundred people with some each. What one keeps is its filter, a batch
/// of lines and an event: some KiB usually, and a MiB or so at worst.
const MAX_STREAMS: usize = 1_000;

/// The named sources.
#[derive(Debug)]
pub(crate) struct Logs {
    sources: Vec<(String, Arc<Source>)>,
    /// Places for streams.
    places: Arc<Semaphore>,
    /// Turns at filtering.
    pub(crate) sifting: Arc<Semaphore>,
}

impl Logs {
    /// Starts to follow every source.
    pub(crate) async fn open(sources: &[LogSource]) -> Result<Self, FollowError> {
        let mut logs = Vec::new();
        for LogSource { name, input } in sources {
            let source = match input {
                LogInput::File(path) => Source::follow(path, Options::default()).await?.into(),
                LogInput::Source(source) => Arc::clone(source),
            };
            logs.push((name.clone(), source));
        }
        Ok(Self {
            sources: logs,
            places: Arc::new(Semaphore::new(MAX_STREAMS)),
            sifting: Arc::new(Semaphore::new(sifts_at_once())),
        })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// The names, in the order they were given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|(name, _)| &**name)
    }

    /// The streams that are open.
    pub(crate) fn open_streams(&self) -> usize {
        MAX_STREAMS - self.places.available_permits()
    }

    /// A place for a stream, if there is one.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// The source of this name, if there is one.
    pub(crate) fn source(&self, name: &str) -> Option<&Arc<Source>> {
        let mut sources = self.sources.iter();
        sources.find_map(|(known, source)| (known == name).then_some(source))
    }
}

/// Regular expressions that look through lines at the same time: whatever they look for, half of the processors are for all else.
fn sifts_at_once() -> usize {
    let processors = thread::available_parallelism();
    processors.map_or(1, |processors| (processors.get() / 2).max(1))
}

/// How many of the newest lines come first, all if none.
pub(crate) fn backlog(lines: Option<u64>) -> Backlog {
    lines.map_or(Backlog::All, Backlog::Last)
}

/// One connection that follows one source.
#[derive(Debug)]
pub(crate) struct Viewer {
    name: String,
    reader: Reader,
    /// Bare lines, and nothing else.
    is_text: bool,
    heartbeat: Option<Heartbeat>,
    visit: Visit,
    /// When its token expires.
    end: Option<Instant>,
    told: Arc<Told>,
    metrics: Arc<Metrics>,
}

impl Viewer {
    /// A viewer of a source, if there is one of this name.
    pub(crate) fn new(
        hub: &Shared,
        name: &str,
        backlog: Option<u64>,
        is_text: bool,
        heartbeat: Option<Duration>,
        visitor: Visitor,
    ) -> Option<Box<Self>> {
        Some(Box::new(Self {
            name: name.to_owned(),
            reader: hub.logs.source(name)?.reader(self::backlog(backlog)),
            is_text,
            heartbeat: heartbeat.map(Heartbeat::new),
            visit: hub.enter(visitor),
            end: None,
            told: Arc::clone(&hub.told),
            metrics: Arc::clone(&hub.metrics),
        }))
    }

    /// The same, but no longer than this.
    pub(crate) fn until(mut self: Box<Self>, end: Option<Instant>) -> Box<Self> {
        self.end = end;
        self
    }

    /// Lives as long as the connection does.
    pub(crate) async fn run(mut self: Box<Self>, ws: WebSocket) {
        let (mut reader, mut writer) = ws.split();
        let Err(stop) = self.serve(&mut reader, &mut writer).await;
        writer.close(stop.frame()).await;
    }

    async fn serve(
        &mut self,
        reader: &mut ReadHalf,
        writer: &mut WriteHalf,
    ) -> Result<Infallible, Stop> {
        let mut ended = pin!(self.visit.ended());
        let mut alarm = Alarm::default();
        if !self.is_text {
            feed(writer, log::open(&self.name)).await?;
        }
        loop {
            let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
            alarm.set(heartbeat.into_iter().chain(self.end).min());
            tokio::select! {
                biased;
                why = &mut ended => return Err(why.into()),
                message = reader.recv() => {
                    // Whatever it says, it lives.
                    message.map_err(|_| Stop::Over)?.ok_or(Stop::Over)?;
                    self.heartbeat.iter_mut().for_each(Heartbeat::heard);
                }
                // A viewer that is slow is not read for: the source counts what it misses.
                item = self.reader.next(), if writer.queued() < HIGH_WATER => {
                    // Boxed, so that an idle viewer keeps no room for it.
                    Box::pin(self.show(item, writer)).await?;
                }
                flushed = writer.flush(), if writer.queued() > 0 => {
                    flushed.map_err(|_| Stop::Over)?;
                }
                () = alarm.rings() => {
                    if self.end.is_some_and(|end| end <= Instant::now()) {
                        return Err(token_expired());
                    }
                    if let Some(heartbeat) = &mut self.heartbeat
                        && heartbeat.is_due(writer.queued() > 0)?
                    {
                        feed(writer, event::HB).await?;
                        heartbeat.sent();
                    }
                }
            }
        }
    }

    /// Hands over what the source has.
    async fn show(
        &mut self,
        item: io::Result<Option<Item>>,
        writer: &mut WriteHalf,
    ) -> Result<(), Stop> {
        let item = match item {
            Ok(Some(item)) => item,
            Ok(None) => return Err(Stop::close(CloseCode::NORMAL_CLOSURE, "the log has ended")),
            Err(error) => {
                self.told.log_failed(&self.name, &error);
                return Err(Stop::close(
                    CloseCode::INTERNAL_ERROR,
                    "the log can't be read",
                ));
            }
        };
        match &item {
            Item::Lines(lines) => self.metrics.tail_lines.add(lines.len() as u64),
            Item::Skipped(lines) => self.metrics.tail_skipped.add(*lines),
            Item::File(_) => {}
        }
        match item {
            Item::Lines(lines) if self.is_text => {
                for line in lines {
                    feed(writer, &**line.text()).await?;
                }
            }
            _ if self.is_text => {}
            Item::Lines(lines) => {
                feed(writer, log::lines(lines.iter().map(|line| &**line.text()))).await?;
            }
            Item::Skipped(lines) => feed(writer, log::skip(None, lines)).await?,
            Item::File(what) => feed(writer, log::file(None, what)).await?,
        }
        self.heartbeat.iter_mut().for_each(Heartbeat::sent);
        Ok(())
    }
}

/// Queues a frame. Does not wait as long as the queue is below [`HIGH_WATER`], the connection's
/// own limit.
async fn feed(writer: &mut WriteHalf, frame: impl Into<Outgoing>) -> Result<(), Stop> {
    writer.feed(frame).await.map_err(|_| Stop::Over)
}
