//! A reader of one room that is no WebSocket session: it waits for what comes and takes it when it likes.

use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Bytes;
use fullduplex::Prepared;
use tokio::time::{Instant, sleep_until};

use super::{
    Place, RoomRef, Visitor,
    entrance::{Entrance, Judged},
};
use crate::{
    core::{
        Batch, Cursor, Departure, Entry, Forked, Form, Gap, History, JoinRefused, NoCursor,
        RoomState, Watch,
    },
    hub::Shared,
    log::{Answer, PageSize, ReadError, Start, Tail},
    session::{HIGH_WATER, MAX_BATCH, Seat},
};

/// A cursor in a room. Like a session it has no queue: what it has not taken stays in the ring, and then in the log. Leaves
/// when dropped.
#[derive(Debug)]
pub(crate) struct Follower {
    hub: Arc<Shared>,
    visitor: Visitor,
    room: RoomRef,
    name: Arc<str>,
    epoch: Arc<str>,
    /// The position of the next event it needs.
    cursor: u64,
    history: History,
    /// What the ring no longer has, on its way from the log.
    page: Option<Missed>,
}

/// A page of the log, asked for after so much was [rewritten](crate::rooms::Rooms::rewrites).
#[derive(Debug)]
struct Missed {
    tail: Answer<Tail, ReadError>,
    rewrites: u64,
    /// Up to here the ring had nothing any more then.
    until: u64,
}

/// A room that is followed.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) follower: Follower,
    pub(crate) state: RoomState,
    pub(crate) judged: Judged,
}

/// What comes next in a room.
#[derive(Debug)]
pub(crate) enum Next {
    /// Events, at least one, oldest first.
    Events(Vec<Arc<Entry<Prepared>>>),
    /// It was so slow that these positions are no longer kept. The cursor is what it goes on from.
    Gap(Gap, Cursor),
    /// The room has another history, in which it goes on.
    Forked(Forked),
}

impl Follower {
    /// Follows a room after `since` if it can go on from there, else with the newest `backlog` events.
    ///
    /// Cancel safe.
    pub(crate) async fn enter(
        hub: &Arc<Shared>,
        name: &Arc<str>,
        payer: Option<IpAddr>,
        since: Option<Result<Cursor, NoCursor>>,
        backlog: usize,
    ) -> Result<Followed, JoinRefused> {
        let session = hub.next_session();
        let visitor = Visitor {
            session,
            seat: Seat::new(Arc::clone(hub.rooms.lanes().of(session.0))),
        };
        let mut entrance = Entrance::new(hub, name, payer, backlog, since);
        loop {
            let (begin, judged) = poll_fn(|cx| entrance.poll(hub, cx)).await?;
            if let Some((room, joined)) =
                hub.rooms.join(name, &visitor, None, Watch::Nothing, begin)
            {
                let follower = Self {
                    hub: Arc::clone(hub),
                    visitor,
                    room,
                    name: Arc::clone(name),
                    epoch: Arc::clone(&joined.state.bounds.epoch),
                    cursor: joined.cursor,
                    history: joined.history,
                    page: None,
                };
                return Ok(Followed {
                    follower,
                    state: joined.state,
                    judged,
                });
            }
            entrance.again(hub);
        }
    }

    pub(crate) fn room(&self) -> &str {
        &self.name
    }

    /// The position of the next event it needs.
    pub(crate) const fn position(&self) -> u64 {
        self.cursor
    }

    /// An event in `fdx.v1.json`.
    pub(crate) fn said_by(&self, entry: &Entry<Prepared>) -> Bytes {
        self.hub.encoder.frame(entry, Form::V1).payload()
    }

    /// The cursor of who has read an event of the room.
    pub(crate) fn cursor_of(&self, entry: &Entry<Prepared>) -> Cursor {
        Cursor {
            epoch: Arc::clone(&self.epoch),
            mark: entry.event.mark(),
        }
    }

    /// Waits for what comes next, at most `max` events, and not longer than until `by`: None if there is nothing then. What is
    /// there and has to be read first is waited for all the same.
    ///
    /// Cancel safe.
    pub(crate) async fn next_by(
        &mut self,
        max: usize,
        by: Instant,
    ) -> Result<Option<Next>, ReadError> {
        let mut late = pin!(sleep_until(by));
        poll_fn(|cx| match self.poll_next(max, cx) {
            Poll::Ready(next) => Poll::Ready(next.map(Some)),
            Poll::Pending if self.page.is_some() => Poll::Pending,
            Poll::Pending => late.as_mut().poll(cx).map(|()| Ok(None)),
        })
        .await
    }

    /// What comes next: at most `max` events.
    pub(crate) fn poll_next(
        &mut self,
        max: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Next, ReadError>> {
        let max = max.min(MAX_BATCH);
        loop {
            if let Some(page) = &mut self.page {
                let tail = ready!(Pin::new(&mut page.tail).poll(cx));
                // Else it may say what was erased since it was read, or be of a history that was not told yet.
                let rooms = &self.hub.rooms;
                let is_good = page.rewrites == rooms.rewrites(self.room.shard)
                    && !rooms.has_forked(self.room, self.history);
                let until = page.until;
                self.page = None;
                if is_good && let Some(next) = self.take_page(tail?, until) {
                    return Poll::Ready(Ok(next));
                }
            }
            self.visitor.seat.attend(cx.waker());
            let Batch { gap, entries, .. } = match self.read(max) {
                Ok(batch) => batch,
                Err(forked) => {
                    self.begin_anew(&forked);
                    return Poll::Ready(Ok(Next::Forked(forked)));
                }
            };
            if let Some(gap) = gap {
                let size = PageSize {
                    events: max,
                    bytes: HIGH_WATER,
                };
                let start = Start::At(self.cursor);
                let rewrites = self.hub.rooms.rewrites(self.room.shard);
                let tail = self.hub.log.tail(&self.name, start, size);
                self.page = Some(Missed {
                    tail,
                    rewrites,
                    until: gap.to,
                });
            } else if let Some(last) = entries.last() {
                self.cursor = last.event.seq + 1;
                self.hub.rooms.delivered(entries.len());
                return Poll::Ready(Ok(Next::Events(entries)));
            } else {
                return Poll::Pending;
            }
        }
    }

    /// Without presence, of which it is told nothing.
    fn read(&self, max: usize) -> Result<Batch<Prepared>, Forked> {
        let at = Place {
            history: self.history,
            cursor: self.cursor,
            notices: 0,
        };
        let session = self.visitor.session;
        self.hub.rooms.read(self.room, session, at, max, HIGH_WATER)
    }

    fn begin_anew(&mut self, forked: &Forked) {
        self.history = forked.history;
        self.epoch = Arc::clone(&forked.epoch);
        self.cursor = forked.head.seq + 1;
    }

    /// What the log has for it, if anything.
    fn take_page(&mut self, tail: Tail, until: u64) -> Option<Next> {
        let gone = tail.gone(until);
        let Tail { bounds, events } = tail;
        if self.cursor <= gone {
            let gap = Gap {
                from: self.cursor,
                to: gone,
            };
            self.cursor = gap.to + 1;
            let cursor = Cursor {
                epoch: bounds.epoch,
                mark: bounds.floor,
            };
            return Some(Next::Gap(gap, cursor));
        }
        self.cursor = events.last()?.seq + 1;
        self.hub.rooms.delivered(events.len());
        let entries = events.into_iter().map(Entry::new).map(Arc::new);
        Some(Next::Events(entries.collect()))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let session = self.visitor.session;
        self.hub.rooms.leave(self.room, session, Departure::Left);
    }
}
