//! Filling rooms from the log at first use: once, however many want in.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    core::{Birth, JoinRefused, Newest, Opened},
    hub::Shared,
    log::{Answer, Lost, PageSize, Start, Tail},
};

/// Those who wait for a room, each for so many of its newest events.
type Waiting = Vec<(usize, oneshot::Sender<Result<u64, JoinRefused>>)>;

/// The rooms that are being filled.
#[derive(Default)]
pub(crate) struct Opening(Mutex<HashMap<(Arc<str>, Birth), Waiting>>);

impl Shared {
    /// Makes a room if need be, at the cost of `payer` if of anybody, and sees to it that it has the newest `wanted` events that there are, as
    /// far as it may keep them. Answers with the position of the first of them: also when others have taken the ring away until the
    /// client joins, the log has them. Who joins should do so at once: a room that nobody is in may be forgotten.
    pub(crate) fn open_room(
        self: &Arc<Self>,
        name: &Arc<str>,
        payer: Option<IpAddr>,
        wanted: usize,
    ) -> Answer<u64, JoinRefused> {
        let birth = match self.rooms.open(name, payer, wanted) {
            Ok(Opened::Lacks(birth)) => birth,
            Ok(Opened::From(from)) => return Answer::given(Ok(from)),
            Err(refused) => return Answer::given(Err(refused)),
        };
        let wanted = wanted.min(self.config.limits.ring_events);
        let (waiting, answer) = Answer::later();
        let room = (Arc::clone(name), birth);
        let is_first = {
            let mut opening = self.opening.lock();
            let all = opening.entry(room.clone()).or_default();
            all.push((wanted, waiting));
            all.len() == 1
        };
        if is_first {
            let hub = Arc::clone(self);
            self.spawn(async move { hub.fill(room).await });
        }
        answer
    }

    async fn fill(&self, room: (Arc<str>, Birth)) {
        let (name, birth) = &room;
        let mut waiting = Waiting::new();
        let mut filling = Filling {
            hub: self,
            room: &room,
            is_done: false,
        };
        while let Some(wanted) = self.opening.most_wanted(&room, &waiting) {
            let size = PageSize {
                // One more, so that the check of the one before them is known.
                events: wanted + 1,
                bytes: self.config.limits.ring_bytes,
            };
            let rewrites = self.rooms.rewrites(self.rooms.shard_of(name));
            let tail = self.log.tail(name, Start::Newest, size).await;
            // Who comes from now on sees what this brings, or begins anew; who wanted more meanwhile goes on waiting.
            let served = if tail.is_ok() { wanted } else { usize::MAX };
            waiting.append(&mut self.opening.take(&room, served));
            let starts: Vec<_> = match &tail {
                Ok(tail) => waiting.iter().map(|one| Ok(start(tail, one.0))).collect(),
                Err(_) => vec![Err(JoinRefused::Unreadable); waiting.len()],
            };
            match tail {
                Ok(tail) => {
                    if self.rooms.fill(name, *birth, newest(tail, size), rewrites) {
                        continue;
                    }
                }
                Err(error) => {
                    self.told.failed.tell(|left_out| {
                        tracing::warn!(room = &**name, %error, left_out, "a room can't be opened");
                    });
                    self.rooms.give_up(name, *birth);
                }
            }
            for ((_, one), start) in waiting.drain(..).zip(starts) {
                // Who has gone meanwhile needs no answer.
                one.send(start).ok();
            }
        }
        filling.is_done = true;
    }
}

/// A room on its way out of the log.
struct Filling<'a> {
    hub: &'a Shared,
    room: &'a (Arc<str>, Birth),
    is_done: bool,
}

impl Drop for Filling<'_> {
    /// After a panic nobody waits for it, and the next one who comes begins anew.
    fn drop(&mut self) {
        if !self.is_done {
            let (name, birth) = self.room;
            let waiting = self.hub.opening.lock().remove(self.room);
            self.hub.rooms.give_up(name, *birth);
            drop(waiting);
        }
    }
}

fn newest(tail: Tail, size: PageSize) -> Newest {
    let Tail { bounds, events } = tail;
    let floor = bounds.floor.seq;
    let is_first = events.first().is_none_or(|first| first.prev <= floor);
    Newest {
        is_cut: events.len() < size.events && !is_first,
        bounds,
        events,
    }
}

/// Where the newest `wanted` events begin, as far as these are they.
fn start(tail: &Tail, wanted: usize) -> u64 {
    let first = tail.events.len().saturating_sub(wanted);
    let first = tail.events.get(first).map(|event| event.seq);
    first.unwrap_or(tail.bounds.head.seq + 1)
}

impl Opening {
    /// How many events are wanted by those who wait, if somebody does.
    fn most_wanted(&self, room: &(Arc<str>, Birth), others: &Waiting) -> Option<usize> {
        let all = self.lock();
        let waiting = all.get(room).into_iter().flatten().chain(others);
        waiting.map(|(wanted, _)| *wanted).max()
    }

    /// Takes those who want so many events at most.
    fn take(&self, room: &(Arc<str>, Birth), served: usize) -> Waiting {
        let mut all = self.lock();
        let waiting = all.remove(room).unwrap_or_default();
        let (taken, left): (Waiting, Waiting) = waiting
            .into_iter()
            .partition(|(wanted, _)| *wanted <= served);
        if !left.is_empty() {
            all.insert(room.clone(), left);
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(Arc<str>, Birth), Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opening").field(&self.lock().len()).finish()
    }
}

impl Lost for JoinRefused {
    fn lost() -> Self {
        Self::Unreadable
    }
}
