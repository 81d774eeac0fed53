//! Filling rooms from the log at first use: once, however many want in.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    core::{Birth, JoinRefused, Opened},
    hub::Shared,
    log::{Answer, Lost, PageSize, Start, Tail},
};

/// Those who wait for a room, each for so many of its newest events.
type Waiting = Vec<(usize, oneshot::Sender<Result<u64, JoinRefused>>)>;

/// The rooms that are being filled.
#[derive(Default)]
pub(crate) struct Opening(Mutex<HashMap<(Arc<str>, Birth), Waiting>>);

impl Shared {
    /// Makes a room if need be, at the cost of `address`, and sees to it that it has the newest `wanted` events that there are, as
    /// far as it may keep them. Answers with the position of the first of them: also when others have taken the ring away until the
    /// client joins, the log has them. Who joins should do so at once: a room that nobody is in may be forgotten.
    pub(crate) fn open_room(
        self: &Arc<Self>,
        name: &Arc<str>,
        address: IpAddr,
        wanted: usize,
    ) -> Answer<u64, JoinRefused> {
        let birth = match self.rooms.open(name, address, wanted) {
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
        let limits = &self.config.limits;
        let size = PageSize {
            // One more than the ring holds, so that the check of the one before it is known.
            events: limits.ring_events + 1,
            bytes: limits.ring_bytes,
        };
        let mut waiting = Waiting::new();
        let mut filling = Filling {
            hub: self,
            room: &room,
            is_done: false,
        };
        loop {
            let rewrites = self.rooms.rewrites(self.rooms.shard_of(name));
            let tail = self.log.tail(name, Start::Newest, size).await;
            // Who comes from now on sees what this brings, or begins anew.
            waiting.append(&mut self.opening.lock().remove(&room).unwrap_or_default());
            let starts: Vec<_> = match &tail {
                Ok(tail) => waiting.iter().map(|one| Ok(start(tail, one.0))).collect(),
                Err(_) => vec![Err(JoinRefused::Unreadable); waiting.len()],
            };
            match tail {
                Ok(Tail { bounds, events }) => {
                    if self.rooms.fill(name, *birth, &bounds, events, rewrites) {
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
            filling.is_done = true;
            for ((_, one), start) in waiting.into_iter().zip(starts) {
                // Who has gone meanwhile needs no answer.
                one.send(start).ok();
            }
            return;
        }
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

/// Where the newest `wanted` events begin, as far as these are they.
fn start(tail: &Tail, wanted: usize) -> u64 {
    let first = tail.events.len().saturating_sub(wanted);
    let first = tail.events.get(first).map(|event| event.seq);
    first.unwrap_or(tail.bounds.head.seq + 1)
}

impl Opening {
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
