//! The log: the one place where the order of events is decided.
//!
//! Publishing is append, committed, ring, in that order and never otherwise: a session hands a
//! [`Draft`] to [`Log::append`] and gets an [`Append`] to wait for. The log decides the position,
//! makes the event durable as its policy says, hands it to [`Committed`], and answers. Nobody sees
//! an event that did not come back from the log, not even its author.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot;

use crate::core::{Author, Event};

/// A message somebody wants in the log.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The room's name.
    pub room: Arc<str>,
    /// The position after which the room's events come. A room that is forgotten and made again
    /// begins anew: what was said before that position is not there to be repeated.
    pub room_since: u64,
    /// Who writes.
    pub from: Author,
    /// What is written.
    pub body: Arc<str>,
    /// The client's own id of the message. The same user's second draft for the same room with
    /// the same `cid` is not stored again as long as the room is remembered.
    pub cid: Option<Arc<str>>,
    /// Milliseconds since 1970.
    pub now: u64,
}

/// The log has a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// Its position.
    pub seq: u64,
    /// Its server-made id.
    pub id: Arc<str>,
    /// Its time, in milliseconds since 1970.
    pub ts: u64,
    /// Whether it was there already; then the above are the first one's.
    pub duplicate: bool,
}

/// Why the log does not have a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The same user used the `cid` for another body in this room.
    #[error("this cid was used for another body")]
    Conflict,
    /// The log can't take messages now, or it is unknown whether it took this one. Trying again
    /// with the same `cid` is safe.
    #[error("the log takes no messages right now")]
    Unavailable,
}

/// Orders and keeps events.
///
/// A shard is an independent order; a room belongs to one shard for good. Within a shard
/// positions grow strictly from 1 and are not shared by two rooms, and
/// [`Committed::committed`] is called in that order, once per stored event, before its
/// [`Append`] resolves.
pub trait Log: Send + Sync + 'static {
    /// Takes a draft. Drafts of one caller for one shard are ordered as they were handed over,
    /// whenever their [`Append`]s are waited for; an `Append` that is dropped is stored all the
    /// same.
    fn append(&self, shard: usize, draft: Draft) -> Append;

    /// The name of a shard's present history: positions of different epochs can't be compared.
    fn epoch(&self, shard: usize) -> Arc<str>;
}

/// Where events go that came back from the log.
pub trait Committed: Send + Sync + 'static {
    /// Takes the next event of a shard. Must not call the log.
    fn committed(&self, shard: usize, event: Event);
}

/// Resolves when the log has decided about a draft.
///
/// Cancel safe: polling again after a drop of an outer future goes on where it was.
#[must_use = "an append that is not waited for can't be answered"]
#[derive(Debug)]
pub struct Append(State);

#[derive(Debug)]
enum State {
    Decided(Result<Appended, AppendError>),
    Waiting(oneshot::Receiver<Result<Appended, AppendError>>),
}

impl Append {
    /// One that is decided already.
    pub const fn decided(result: Result<Appended, AppendError>) -> Self {
        Self(State::Decided(result))
    }

    /// One that is decided through the sender, say after a group commit. Dropping the sender
    /// means [`AppendError::Unavailable`].
    pub fn waiting() -> (oneshot::Sender<Result<Appended, AppendError>>, Self) {
        let (sender, receiver) = oneshot::channel();
        (sender, Self(State::Waiting(receiver)))
    }
}

impl Future for Append {
    type Output = Result<Appended, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Waiting(receiver) = &mut self.0 {
            let result = ready!(Pin::new(receiver).poll(cx));
            self.0 = State::Decided(result.unwrap_or(Err(AppendError::Unavailable)));
        }
        match &self.0 {
            State::Decided(result) => Poll::Ready(result.clone()),
            State::Waiting(_) => Poll::Pending,
        }
    }
}

/// A log that orders and forgets: what is kept of an event is the room's ring.
pub struct MemoryLog {
    shards: Box<[Mutex<Shard>]>,
    epoch: Arc<str>,
    committed: Arc<dyn Committed>,
    max_remembered: usize,
    hasher: RandomState,
}

struct Shard {
    last_seq: u64,
    last_ts: u64,
    ids: ulid::Generator,
    remembered: HashMap<Key, Remembered>,
    /// The keys of `remembered`, oldest first.
    order: VecDeque<Key>,
}

/// User, room, `cid`.
type Key = (Arc<str>, Arc<str>, Arc<str>);

struct Remembered {
    appended: Appended,
    body_hash: u64,
}

impl MemoryLog {
    /// A log of `shards` shards. Each remembers the `cid`s of its newest `max_remembered`
    /// messages, to tell a repetition.
    pub fn new(shards: usize, max_remembered: usize, committed: Arc<dyn Committed>) -> Self {
        let shard = || {
            Mutex::new(Shard {
                last_seq: 0,
                last_ts: 0,
                ids: ulid::Generator::new(),
                remembered: HashMap::new(),
                order: VecDeque::new(),
            })
        };
        // Lower case and short, like the epochs in the protocol's examples.
        let epoch = ulid::Ulid::new().to_string()[20..]
            .to_ascii_lowercase()
            .into();
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            epoch,
            committed,
            max_remembered,
            hasher: RandomState::new(),
        }
    }
}

impl Log for MemoryLog {
    fn append(&self, shard: usize, draft: Draft) -> Append {
        let Some(lock) = self.shards.get(shard) else {
            return Append::decided(Err(AppendError::Unavailable));
        };
        let body_hash = self.hasher.hash_one(&draft.body);
        let key = draft.key();
        let mut state = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let known = key.as_ref().and_then(|key| state.remembered.get(key));
        if let Some(known) = known.filter(|known| known.appended.seq > draft.room_since) {
            return Append::decided(known.repeated(body_hash));
        }
        let Some(appended) = state.next(draft.now) else {
            return Append::decided(Err(AppendError::Unavailable));
        };
        if let Some(key) = key {
            let known = Remembered {
                appended: appended.clone(),
                body_hash,
            };
            state.remember(key, known, self.max_remembered);
        }
        // Under the lock, so that events reach the ring in the order of the log.
        self.committed.committed(shard, draft.into_event(&appended));
        Append::decided(Ok(appended))
    }

    fn epoch(&self, _shard: usize) -> Arc<str> {
        Arc::clone(&self.epoch)
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLog")
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// The next position. `None` when this millisecond's ids are used up, which takes 2^79 of them
    /// on average.
    fn next(&mut self, now: u64) -> Option<Appended> {
        let ts = now.max(self.last_ts);
        let id = self
            .ids
            .generate_from_datetime(SystemTime::UNIX_EPOCH + Duration::from_millis(ts));
        let id = id.ok()?.to_string().into();
        self.last_ts = ts;
        self.last_seq += 1;
        Some(Appended {
            seq: self.last_seq,
            id,
            ts,
            duplicate: false,
        })
    }

    fn remember(&mut self, key: Key, known: Remembered, max: usize) {
        while self.order.len() >= max.max(1) {
            if let Some(oldest) = self.order.pop_front() {
                self.remembered.remove(&oldest);
            }
        }
        match self.remembered.entry(key) {
            hash_map::Entry::Vacant(entry) => {
                self.order.push_back(entry.key().clone());
                entry.insert(known);
            }
            // From before the room was forgotten. It keeps its place among the oldest.
            hash_map::Entry::Occupied(mut entry) => {
                entry.insert(known);
            }
        }
    }
}

impl Remembered {
    fn repeated(&self, body_hash: u64) -> Result<Appended, AppendError> {
        if self.body_hash != body_hash {
            return Err(AppendError::Conflict);
        }
        Ok(Appended {
            duplicate: true,
            ..self.appended.clone()
        })
    }
}

impl Draft {
    /// What makes a second draft a repetition of the first. Plain clients have no ids.
    fn key(&self) -> Option<Key> {
        let Author::User(user) = &self.from else {
            return None;
        };
        Some((
            Arc::clone(&user.id),
            Arc::clone(&self.room),
            Arc::clone(self.cid.as_ref()?),
        ))
    }

    /// The event this draft becomes once its place is decided.
    pub fn into_event(self, appended: &Appended) -> Event {
        Event {
            room: self.room,
            seq: appended.seq,
            id: Arc::clone(&appended.id),
            ts: appended.ts,
            from: self.from,
            body: self.body,
            cid: self.cid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::User;

    #[derive(Default)]
    struct Kept(Mutex<Vec<Event>>);

    impl Committed for Kept {
        fn committed(&self, _shard: usize, event: Event) {
            self.0.lock().unwrap().push(event);
        }
    }

    fn draft(user: &str, cid: &str, body: &str) -> Draft {
        let user = User {
            id: user.into(),
            name: "Ana".into(),
            avatar: "".into(),
        };
        Draft {
            room: "general".into(),
            room_since: 0,
            from: Author::User(Arc::new(user)),
            body: body.into(),
            cid: Some(cid.into()),
            now: 1_000,
        }
    }

    fn log(max_remembered: usize) -> (MemoryLog, Arc<Kept>) {
        let kept = Arc::new(Kept::default());
        (
            MemoryLog::new(1, max_remembered, Arc::clone(&kept) as _),
            kept,
        )
    }

    async fn append(log: &MemoryLog, draft: Draft) -> Result<Appended, AppendError> {
        log.append(0, draft).await
    }

    #[tokio::test]
    async fn a_repeated_message_keeps_its_first_place_and_is_delivered_once() {
        let (log, kept) = log(10);
        let first = append(&log, draft("u1", "c1", "hi")).await.unwrap();
        let again = append(&log, draft("u1", "c1", "hi")).await.unwrap();
        assert_eq!(
            again,
            Appended {
                duplicate: true,
                ..first
            }
        );
        assert_eq!(
            append(&log, draft("u1", "c1", "ho")).await,
            Err(AppendError::Conflict)
        );
        assert!(
            !append(&log, draft("u2", "c1", "ho"))
                .await
                .unwrap()
                .duplicate
        );
        let seqs: Vec<_> = kept
            .0
            .lock()
            .unwrap()
            .iter()
            .map(|event| event.seq)
            .collect();
        assert_eq!(seqs, [1, 2]);
    }

    #[tokio::test]
    async fn what_was_said_in_a_room_that_was_forgotten_can_be_said_again() {
        let (log, kept) = log(2);
        let first = append(&log, draft("u1", "c1", "hi")).await.unwrap();
        let anew = Draft {
            room_since: first.seq,
            ..draft("u1", "c1", "ho")
        };
        let second = append(&log, anew.clone()).await.unwrap();
        assert_eq!((second.seq, second.duplicate), (2, false));
        assert_eq!(
            append(&log, anew).await.unwrap(),
            Appended {
                duplicate: true,
                ..second
            }
        );
        assert_eq!(kept.0.lock().unwrap().len(), 2);
    }

    #[tokio::test]
    async fn only_the_newest_ids_are_remembered() {
        let (log, kept) = log(2);
        for cid in ["c1", "c2", "c3"] {
            append(&log, draft("u1", cid, "hi")).await.unwrap();
        }
        assert!(
            append(&log, draft("u1", "c3", "hi"))
                .await
                .unwrap()
                .duplicate
        );
        assert!(
            !append(&log, draft("u1", "c1", "hi"))
                .await
                .unwrap()
                .duplicate
        );
        assert_eq!(kept.0.lock().unwrap().len(), 4);
        assert_eq!(log.shards[0].lock().unwrap().remembered.len(), 2);
    }

    #[tokio::test]
    async fn time_never_goes_back_and_ids_grow_when_the_clock_does() {
        let (log, _kept) = log(1);
        let first = append(&log, draft("u1", "c1", "hi")).await.unwrap();
        let earlier = Draft {
            now: 10,
            ..draft("u1", "c2", "hi")
        };
        let second = append(&log, earlier).await.unwrap();
        assert_eq!(second.ts, 1_000);
        assert!(second.id > first.id);
    }

    #[tokio::test]
    async fn an_append_whose_log_goes_away_is_unavailable() {
        let (sender, append) = Append::waiting();
        drop(sender);
        assert_eq!(append.await, Err(AppendError::Unavailable));
    }
}
