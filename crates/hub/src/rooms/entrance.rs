//! The way into a room: it may first have to come out of the log, and a cursor has to be judged.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use crate::{
    core::{Begin, Cursor, JoinRefused, NoCursor, Reset, judge},
    hub::Shared,
    log::{Answer, ReadError, Sought},
};

/// Whether who comes back goes on from its cursor. None for who has none.
pub(crate) type Judged = Option<Result<(), Reset>>;

/// Who wants into a room, on the way there.
#[derive(Debug)]
pub(crate) struct Entrance {
    pub(crate) room: Arc<str>,
    /// At whose cost it is made, if need be.
    payer: Option<IpAddr>,
    /// The newest events wanted, where it does not go on from a cursor.
    backlog: usize,
    /// Where those begin, once the room is open.
    from: u64,
    /// What came of its cursor.
    judged: Judged,
    /// What it has.
    since: Option<Result<Cursor, NoCursor>>,
    step: Step,
}

/// What it waits for.
#[derive(Debug)]
enum Step {
    Opening(Answer<u64, JoinRefused>),
    /// For where the cursor is, which the ring can't tell.
    Seeking(Answer<Sought, ReadError>),
}

impl Entrance {
    pub(crate) fn new(
        hub: &Arc<Shared>,
        room: &Arc<str>,
        payer: Option<IpAddr>,
        backlog: usize,
        since: Option<Result<Cursor, NoCursor>>,
    ) -> Self {
        Self {
            room: Arc::clone(room),
            payer,
            backlog,
            from: 0,
            judged: judged(since.as_ref()),
            step: opening(hub, room, payer, wanted(hub, backlog, since.as_ref())),
            since,
        }
    }

    /// Begins anew: the room was forgotten before it was joined, as nobody was in it, or the log dropped what follows the cursor, or has another history.
    pub(crate) fn again(&mut self, hub: &Arc<Shared>) {
        let wanted = wanted(hub, self.backlog, self.since.as_ref());
        self.judged = judged(self.since.as_ref());
        self.step = opening(hub, &self.room, self.payer, wanted);
    }

    /// Where it begins to read, once that is known. The room is to be joined at once.
    pub(crate) fn poll(
        &mut self,
        hub: &Arc<Shared>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Begin, Judged), JoinRefused>> {
        loop {
            let sought = match &mut self.step {
                Step::Opening(opening) => {
                    self.from = ready!(Pin::new(opening).poll(cx))?;
                    None
                }
                Step::Seeking(seeking) => {
                    let sought = ready!(Pin::new(seeking).poll(cx));
                    Some(sought.map_err(|_| JoinRefused::Unreadable)?)
                }
            };
            let Some(cursor) = self.unjudged() else {
                return Poll::Ready(Ok(self.begin()));
            };
            let judged = match sought {
                None => hub.rooms.judge(&self.room, cursor),
                Some(Sought {
                    bounds,
                    chk,
                    following,
                }) => Some(judge(cursor, &bounds, chk, following)),
            };
            match judged {
                None => self.step = Step::Seeking(hub.log.seek(&self.room, cursor.mark.seq)),
                Some(Ok(())) => {
                    self.judged = judged;
                    return Poll::Ready(Ok(self.begin()));
                }
                Some(Err(_)) => {
                    self.judged = judged;
                    // Where fewer events begin than the room was opened with.
                    self.step = opening(hub, &self.room, self.payer, self.backlog);
                }
            }
        }
    }

    /// The cursor, if it is yet to be judged.
    fn unjudged(&self) -> Option<&Cursor> {
        let since = self.since.as_ref().filter(|_| self.judged.is_none());
        since?.as_ref().ok()
    }

    fn begin(&self) -> (Begin, Judged) {
        let begin = match (self.judged, &self.since) {
            (Some(Ok(())), Some(Ok(cursor))) => Begin::After(cursor.clone()),
            _ => Begin::Newest {
                count: self.backlog,
                from: self.from,
            },
        };
        (begin, self.judged)
    }
}

/// What is known of a cursor without looking anywhere.
fn judged(since: Option<&Result<Cursor, NoCursor>>) -> Judged {
    since?.as_ref().err().map(|NoCursor| Err(Reset::Mismatch))
}

/// How many of the newest events the room is to be opened with. Who comes back needs all that there may be: so do others, who were cut off
/// together.
fn wanted(hub: &Shared, backlog: usize, since: Option<&Result<Cursor, NoCursor>>) -> usize {
    match since {
        Some(Ok(_)) => hub.config.limits.ring_events.max(backlog),
        Some(Err(NoCursor)) | None => backlog,
    }
}

fn opening(hub: &Arc<Shared>, room: &Arc<str>, payer: Option<IpAddr>, wanted: usize) -> Step {
    Step::Opening(hub.open_room(room, payer, wanted))
}
