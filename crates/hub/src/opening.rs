//! Filling rooms from the log at first use: once, however many want in.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::{
    core::{Birth, JoinRefused},
    hub::Shared,
    log::{Answer, Lost, PageSize, Start},
};

/// Those who wait for a room.
type Waiting = Vec<oneshot::Sender<Result<(), JoinRefused>>>;

/// The rooms that are being filled.
#[derive(Default)]
pub(crate) struct Opening(Mutex<HashMap<(Arc<str>, Birth), Waiting>>);

impl Shared {
    /// Makes a room if need be, at the cost of `address`, and sees to it that it has the newest `wanted` events that there are. Who
    /// then joins should do so at once: a room that nobody is in may be forgotten.
    pub(crate) fn open_room(
        self: &Arc<Self>,
        name: &Arc<str>,
        address: IpAddr,
        wanted: usize,
    ) -> Answer<(), JoinRefused> {
        let birth = match self.rooms.open(name, address, wanted) {
            Ok(Some(birth)) => birth,
            ready => return Answer::given(ready.map(drop)),
        };
        let (waiting, answer) = Answer::later();
        let room = (Arc::clone(name), birth);
        let is_first = {
            let mut opening = self.opening.lock();
            let all = opening.entry(room.clone()).or_default();
            all.push(waiting);
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
        let tail = self.log.tail(name, Start::Newest, size).await;
        // Who comes from now on sees what this brings, or begins anew.
        let waiting = self.opening.lock().remove(&room).unwrap_or_default();
        let result = match tail {
            Ok(tail) => {
                self.rooms.fill(name, *birth, &tail.bounds, tail.events);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(room = &**name, %error, "a room can't be opened");
                self.rooms.give_up(name, *birth);
                Err(JoinRefused::Unreadable)
            }
        };
        for one in waiting {
            // Who has gone meanwhile needs no answer.
            one.send(result).ok();
        }
    }
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
