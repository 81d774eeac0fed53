//! Connections that are no sessions: streams, polls that are held, echoes, viewers of logs.

use std::{
    collections::BTreeMap,
    future::Future,
    net::IpAddr,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use crate::{
    auth::{Grant, Subject, Who},
    drain::end_in_turn,
    http::Lease,
    hub::{Shared, now},
    session::{Ended, Listed},
    signal::Signal,
};

/// The open ones, for an operator and for when the hub stops.
#[derive(Debug, Default)]
pub(crate) struct Visits(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// By the number in the public id.
    visitors: BTreeMap<u64, Arc<Visitor>>,
    is_stopping: bool,
}

/// What one of them is, and who is at its other end.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// What it is, in a word.
    pub(crate) kind: &'static str,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) address: IpAddr,
    pub(crate) room: Option<Arc<str>>,
    since: u64,
    /// Of a connection that is asked for its end only while it takes something.
    lease: Option<Arc<Lease>>,
    ends: Signal,
    why: OnceLock<Ended>,
}

/// A visitor's place among the open ones. It leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Visit {
    visits: Arc<Visits>,
    number: u64,
    visitor: Arc<Visitor>,
}

impl Visitor {
    pub(crate) fn new(
        kind: &'static str,
        user: Option<Arc<str>>,
        address: IpAddr,
        room: Option<Arc<str>>,
    ) -> Self {
        Self {
            kind,
            user,
            name: None,
            address,
            room,
            since: now(),
            lease: None,
            ends: Signal::default(),
            why: OnceLock::new(),
        }
    }

    /// Who has this grant.
    pub(crate) fn with(kind: &'static str, grant: &Grant, address: IpAddr) -> Self {
        let name = grant.name().cloned();
        Self {
            name,
            ..Self::new(kind, grant.user_id().cloned(), address, None)
        }
    }

    /// One whose connection has this lease.
    pub(crate) fn on(self, lease: &Arc<Lease>) -> Self {
        let lease = Some(Arc::clone(lease));
        Self { lease, ..self }
    }

    /// Ends it, for the first reason given.
    fn end(&self, why: Ended) {
        let why = *self.why.get_or_init(|| why);
        self.ends.raise();
        if why != Ended::Stopping
            && let Some(lease) = &self.lease
        {
            lease.finish();
        }
    }

    fn why(&self) -> Ended {
        self.why.get().copied().unwrap_or(Ended::Stopping)
    }

    fn who(&self) -> Who<'_> {
        Who {
            user: self.user.as_ref(),
            address: self.address,
        }
    }

    fn listed(&self, number: u64) -> Listed {
        Listed {
            number,
            user: self.user.clone(),
            name: self.name.clone(),
            address: self.address,
            dialect: self.kind,
            rooms: self.room.iter().map(Arc::clone).collect(),
            since: self.since,
        }
    }
}

impl Shared {
    /// Adds a connection to those that can be seen and ended.
    pub(crate) fn enter(&self, visitor: Visitor) -> Visit {
        let number = self.identities.session_number(self.next_session());
        let visit = self.visits.enter(number, visitor);
        // It could not be found before.
        let (who, room) = (visit.visitor.who(), visit.visitor.room.as_deref());
        if self.bans.hold(who, None) || room.is_some_and(|room| self.bans.hold(who, Some(room))) {
            visit.visitor.end(Ended::Banned);
        }
        visit
    }
}

impl Visits {
    pub(crate) fn enter(self: &Arc<Self>, number: u64, visitor: Visitor) -> Visit {
        let visitor = Arc::new(visitor);
        let mut state = self.lock();
        state.visitors.insert(number, Arc::clone(&visitor));
        if state.is_stopping {
            visitor.end(Ended::Stopping);
        }
        let visits = Arc::clone(self);
        Visit {
            visits,
            number,
            visitor,
        }
    }

    /// Those whose numbers follow `after`, in their order, at most `max`.
    pub(crate) fn list(&self, after: Option<u64>, max: usize) -> Vec<Listed> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.lock();
        let listed = state.visitors.range((after, Bound::Unbounded)).take(max);
        listed
            .map(|(number, visitor)| visitor.listed(*number))
            .collect()
    }

    /// How many of a kind there are.
    pub(crate) fn count(&self, kind: &str) -> usize {
        let state = self.lock();
        state
            .visitors
            .values()
            .filter(|visitor| visitor.kind == kind)
            .count()
    }

    /// Sends a client away. Says whether it was there.
    pub(crate) fn kick(&self, number: u64) -> bool {
        let state = self.lock();
        let visitor = state.visitors.get(&number);
        if let Some(visitor) = visitor {
            visitor.end(Ended::Kicked);
        }
        visitor.is_some()
    }

    /// Sends whoever it is out of a room, or away altogether. Says how many that were.
    pub(crate) fn send_away(&self, whom: &Subject, room: Option<&str>, why: Ended) -> usize {
        let state = self.lock();
        let meant = state.visitors.values().filter(|visitor| {
            let is_there = room.is_none_or(|room| visitor.room.as_deref() == Some(room));
            is_there && whom.is(visitor.who())
        });
        meant.map(|visitor| visitor.end(why)).count()
    }

    /// Ends all, evenly over this time, and those that enter after it.
    ///
    /// # Cancel safety
    ///
    /// Dropped, some have been ended and others not.
    pub(crate) async fn stop_all(&self, drain: Duration) {
        let visitors: Vec<_> = self.lock().visitors.values().map(Arc::clone).collect();
        end_in_turn(&visitors, drain, |visitor| visitor.end(Ended::Stopping)).await;
        let mut state = self.lock();
        state.is_stopping = true;
        for visitor in state.visitors.values() {
            visitor.end(Ended::Stopping);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// What comes of `future`, or why the visit was ended before it was done.
    ///
    /// Cancel safe as `future` is.
    pub(crate) async fn until<T>(&self, future: impl Future<Output = T>) -> Result<T, Ended> {
        let done = self.visitor.ends.until(future).await;
        done.ok_or_else(|| self.visitor.why())
    }

    /// Waits until it is ended, and says why.
    ///
    /// Cancel safe.
    pub(crate) fn ended(&self) -> impl Future<Output = Ended> + use<> {
        let visitor = Arc::clone(&self.visitor);
        async move {
            visitor.ends.raised().await;
            visitor.why()
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.visits.lock().visitors.remove(&self.number);
    }
}
