//! The streams that are open, for an operator.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{hub::now, session::Listed, signal::Signal};

/// By the number in the public id.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<BTreeMap<u64, Stream>>);

#[derive(Debug)]
struct Stream {
    user: Option<Arc<str>>,
    room: Arc<str>,
    address: IpAddr,
    since: u64,
    kicked: Signal,
}

/// A stream's place among them. It leaves when dropped.
#[derive(Debug)]
pub(super) struct Entry {
    streams: Arc<Streams>,
    number: u64,
}

impl Streams {
    /// Adds a stream, and says what is raised when an operator ends it.
    pub(super) fn enter(
        self: &Arc<Self>,
        number: u64,
        user: Option<Arc<str>>,
        room: &Arc<str>,
        address: IpAddr,
    ) -> (Entry, Signal) {
        let kicked = Signal::default();
        let stream = Stream {
            user,
            room: Arc::clone(room),
            address,
            since: now(),
            kicked: kicked.clone(),
        };
        self.lock().insert(number, stream);
        let streams = Arc::clone(self);
        (Entry { streams, number }, kicked)
    }

    /// Those whose numbers follow `after`, in their order, at most `max`.
    pub(super) fn list(&self, after: Option<u64>, max: usize) -> Vec<Listed> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let streams = self.lock();
        let listed = streams.range((after, Bound::Unbounded)).take(max);
        listed
            .map(|(number, stream)| stream.listed(*number))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Ends a stream. Says whether it was there.
    pub(super) fn kick(&self, number: u64) -> bool {
        let streams = self.lock();
        let stream = streams.get(&number);
        if let Some(stream) = stream {
            stream.kicked.raise();
        }
        stream.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    fn listed(&self, number: u64) -> Listed {
        Listed {
            number,
            user: self.user.clone(),
            name: None,
            address: self.address,
            dialect: "sse",
            rooms: vec![Arc::clone(&self.room)],
            since: self.since,
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.streams.lock().remove(&self.number);
    }
}
