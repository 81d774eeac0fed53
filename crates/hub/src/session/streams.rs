//! Logs that a session follows, each as a stream of lines.
//!
//! A stream is read by the session's task, an item at a time, while its client has given credit and its connection took the event
//! before. Else the log's source goes on without it, and counts what it misses. Rooms come first.

use std::{collections::VecDeque, task::Context};

use super::{
    Session, encoder,
    sieve::Sieve,
    stream::{End, Stream},
};
use crate::{
    logs,
    wire::{
        command::Id,
        following::{Filter, Follow, Open, checked_credit},
        log,
        reply::{self, ErrorCode, Failure},
    },
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

impl Session {
    pub(super) fn follow_log(
        &mut self,
        follow: Follow<'_>,
        id: Option<&Id>,
    ) -> Result<(), Failure> {
        match follow {
            Follow::List => self.list_logs(id),
            Follow::Open(open) => self.open_stream(&open, id)?,
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

    fn open_stream(&mut self, open: &Open<'_>, id: Option<&Id>) -> Result<(), Failure> {
        if !self.standing.grant().may_follow_logs() {
            let why = "your token does not allow following logs";
            return Err(Failure::new(ErrorCode::Forbidden, why));
        }
        let streams = self.streams.get_or_insert_default();
        if streams.open.len() >= MAX_STREAMS {
            let why = "as many streams are open as may be";
            return Err(Failure::new(ErrorCode::RateLimited, why));
        }
        let sieve = Sieve::new(&open.filter)?;
        let logs = &self.hub.logs;
        let source = logs.source(&open.log).ok_or_else(|| {
            let why = "there is no log of this name";
            Failure::new(ErrorCode::NotFound, why)
        })?;
        let place = logs.place().ok_or_else(|| {
            let why = "the server has as many streams of logs as it may";
            Failure::new(ErrorCode::Unavailable, why)
        })?;
        let backlog = logs::backlog(open.backlog.or(self.hub.config.limits.log_backlog));
        streams.opened += 1;
        let name = format!("l{}", streams.opened);
        let stream = Stream::new(&name, open, source, backlog, sieve, place);
        let cursor = stream.cursor();
        streams.open.push_back(stream);
        let opened = reply::Opened {
            stream: &name,
            log: &open.log,
            cursor: cursor.as_deref(),
        };
        self.reply(id, &opened);
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
        let event = self.stream(stream)?.set_filter(sieve);
        self.outbox.extend(event.map(encoder::uncompressed));
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
            let Err(end) = stream.go_on(cx, hub) else {
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
        let event = stream.take_event();
        self.open.push_back(stream);
        event
    }
}

fn no_stream() -> Failure {
    Failure::new(ErrorCode::NotFound, "there is no such stream")
}
