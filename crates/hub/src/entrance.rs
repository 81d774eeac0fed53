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
    address: IpAddr,
    /// The newest events wanted, where it does not go on from a cursor.
    backlog: usize,
    /// Where those begin, once the room is open.
    from: u64,
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
        address: IpAddr,
        backlog: usize,
        since: Option<Result<Cursor, NoCursor>>,
    ) -> Self {
        Self {
            room: Arc::clone(room),
            address,
            backlog,
            from: 0,
            since,
            step: opening(hub, room, address, backlog),
        }
    }

    /// Begins anew: the room was forgotten before it was joined, as nobody was in it, or the log dropped what follows the cursor, or has another history.
    pub(crate) fn again(&mut self, hub: &Arc<Shared>) {
        self.step = opening(hub, &self.room, self.address, self.backlog);
    }

    /// Where it begins to read, once that is known. The room is to be joined at once.
    pub(crate) fn poll(
        &mut self,
        hub: &Shared,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(Begin, Judged), JoinRefused>> {
        let judged = ready!(self.poll_judged(hub, cx))?;
        if let Some(judged) = judged {
            hub.metrics.resumed(judged);
        }
        let begin = match (judged, &self.since) {
            (Some(Ok(())), Some(Ok(cursor))) => Begin::After(cursor.clone()),
            _ => Begin::Newest {
                count: self.backlog,
                from: self.from,
            },
        };
        Poll::Ready(Ok((begin, judged)))
    }

    fn poll_judged(
        &mut self,
        hub: &Shared,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Judged, JoinRefused>> {
        if let Step::Opening(opening) = &mut self.step {
            self.from = ready!(Pin::new(opening).poll(cx))?;
        }
        let cursor = match &self.since {
            None => return Poll::Ready(Ok(None)),
            Some(Err(NoCursor)) => return Poll::Ready(Ok(Some(Err(Reset::Mismatch)))),
            Some(Ok(cursor)) => cursor,
        };
        if let Step::Opening(_) = self.step {
            let judged = hub.rooms.judge(&self.room, cursor);
            if judged.is_some() {
                return Poll::Ready(Ok(judged));
            }
            self.step = Step::Seeking(hub.log.seek(&self.room, cursor.mark.seq));
        }
        let Step::Seeking(seeking) = &mut self.step else {
            return Poll::Pending;
        };
        let sought = ready!(Pin::new(seeking).poll(cx)).map_err(|_| JoinRefused::Unreadable)?;
        let judged = judge(cursor, &sought.bounds, sought.chk, sought.following);
        Poll::Ready(Ok(Some(judged)))
    }
}

fn opening(hub: &Arc<Shared>, room: &Arc<str>, address: IpAddr, wanted: usize) -> Step {
    Step::Opening(hub.open_room(room, address, wanted))
}
