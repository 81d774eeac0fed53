//! Finding messages without an index: a bounded number of them is looked at, the newest first.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::Semaphore, task::spawn_blocking, time::timeout};

use super::{Edited, Room, Shard, Shards, projection::Present};
use crate::{
    core::{Event, What, may_begin},
    log::{
        Answer, Found, Lost as _, MAX_SCANNED, MAX_WORDS, ReadError, SearchQuery,
        projection::{Finding, folded_words, searched},
    },
};

/// Searches that may be there, with the one that goes on: as many as one of the log on disk lets wait.
const MAX_WAITING: usize = 1_000;
/// How long one may wait for its turn, for the same reason.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message that a search may be about, by its id.
type Candidate = (Arc<str>, Arc<str>, u64);

/// What a message has to have.
struct Words {
    whole: Vec<String>,
    /// The last may be the beginning of one.
    beginning: Option<String>,
}

impl Words {
    fn new(words: &str) -> Option<Self> {
        let mut whole: Vec<_> = folded_words(words).take(MAX_WORDS).collect();
        let beginning = whole.pop_if(|last| may_begin(last));
        let is_empty = whole.is_empty() && beginning.is_none();
        (!is_empty).then_some(Self { whole, beginning })
    }

    fn are_in(&self, text: &str) -> bool {
        let said: Vec<_> = folded_words(searched(text)).collect();
        let begins = |beginning: &String| said.iter().any(|word| word.starts_with(beginning));
        self.beginning.as_ref().is_none_or(begins)
            && self.whole.iter().all(|word| said.contains(word))
    }
}

/// Where searches wait for their turn: one goes on at a time, so that they hold up nobody but each other.
pub(super) struct Searches {
    places: Arc<Semaphore>,
    turn: Arc<Semaphore>,
}

impl Searches {
    pub(super) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MAX_WAITING)),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Has one done apart from the threads that serve connections, unless nobody waits for it any more.
    pub(super) fn run(
        &self,
        find: impl FnOnce() -> Found + Send + 'static,
    ) -> Answer<Found, ReadError> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return Answer::given(Err(ReadError::Busy));
        };
        let Ok(runtime) = Handle::try_current() else {
            return Answer::given(Err(ReadError::lost()));
        };
        let turn = Arc::clone(&self.turn);
        let (mut answer, later) = Answer::later();
        runtime.spawn(async move {
            let _place = place;
            let turn = tokio::select! {
                biased;
                () = answer.closed() => return,
                turn = timeout(PATIENCE, turn.acquire_owned()) => turn,
            };
            if turn.is_err() {
                answer.send(Err(ReadError::Busy)).ok();
                return;
            }
            let found = spawn_blocking(move || {
                let _turn = turn;
                answer.send(Ok(find())).ok();
            });
            // Who waits for one that panics is told that it is lost.
            found.await.ok();
        });
        later
    }
}

impl Shards {
    pub(super) fn find(&self, query: &SearchQuery) -> Found {
        let mut finding = Finding::new(query.max);
        let Some(words) = Words::new(&query.words) else {
            return finding.found;
        };
        for (id, room, seq) in self.candidates(query) {
            if !finding.goes_on() {
                break;
            }
            let text = self.of(&room).text(&room, seq);
            // Apart from the lock: it may be long.
            let shown = if words.are_in(&text) {
                let message = self.of(&room).message(&room, seq);
                message.map(|message| message.shown(query.viewer.as_ref()))
            } else {
                None
            };
            // What changed meanwhile is passed over.
            let shown = shown.filter(|shown| shown.event.what.text() == &*text);
            finding.look(id, text.len(), shown);
        }
        finding.found
    }

    /// The newest messages that a search may be about but for their words, one more than an answer looks at, the newest first.
    fn candidates(&self, query: &SearchQuery) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        if let Some(rooms) = &query.rooms {
            for name in rooms.iter().collect::<BTreeSet<_>>() {
                if let Some(room) = self.of(name).rooms.get(name) {
                    candidates.extend(room.candidates(query));
                }
            }
        } else {
            for shard in &self.all {
                let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                let rooms = shard.rooms.values();
                candidates.extend(rooms.flat_map(|room| room.candidates(query)));
            }
        }
        let newest_first = |a: &Candidate, b: &Candidate| b.cmp(a);
        if candidates.len() > MAX_SCANNED {
            candidates.select_nth_unstable_by(MAX_SCANNED, newest_first);
            candidates.truncate(MAX_SCANNED + 1);
        }
        candidates.sort_unstable_by(newest_first);
        candidates
    }
}

impl Shard {
    /// What a message says now: nothing if it is not there any more.
    fn text(&self, room: &str, seq: u64) -> Arc<str> {
        let text = self.rooms.get(room).and_then(|room| room.text(seq));
        text.cloned().unwrap_or_default()
    }

    fn message(&self, room: &str, seq: u64) -> Option<Present> {
        Present::find(self.rooms.get(room)?, seq)
    }
}

impl Room {
    fn text(&self, seq: u64) -> Option<&Arc<str>> {
        let first = body(self.get(seq)?)?;
        let edit = self.edits.get(&seq);
        let edit = edit.and_then(|Edited { last, .. }| self.get(*last));
        edit.and_then(body).or(Some(first))
    }

    fn candidates(&self, query: &SearchQuery) -> impl Iterator<Item = Candidate> {
        let cursor = query.cursor.as_ref();
        let end = cursor.map_or(self.events.len(), |cursor| {
            self.events.partition_point(|event| event.id < *cursor)
        });
        let messages = self.events.range(..end).rev();
        messages
            .filter(|event| matches!(event.what, What::Message { .. }) && query.fits(event))
            .take(MAX_SCANNED + 1)
            .map(|event| (Arc::clone(&event.id), Arc::clone(&event.room), event.seq))
    }
}

const fn body(event: &Event) -> Option<&Arc<str>> {
    match &event.what {
        What::Message { body, .. } | What::Edit { body, .. } => body.as_ref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;
    use crate::log::{
        Log as _, MAX_SCANNED_BYTES, MemoryLimits, MemoryLog, Projection as _,
        conformance::{Seen, says},
        projection_conformance::{bodies, looking_for},
    };

    /// Goal: no search takes for ever, however much there is, and all is found in the end.
    /// Method: more text than an answer looks at behind the one message that has the word, and many short ones.
    #[tokio::test]
    async fn an_answer_looks_at_so_much_and_the_next_one_goes_on() {
        let limits = MemoryLimits {
            room_events: usize::MAX,
            events: usize::MAX,
            bytes: usize::MAX,
        };
        let text = "x".repeat(MAX_SCANNED_BYTES / 4);
        for (body, count) in [(text.as_str(), 10), ("x", 2 * MAX_SCANNED + 10)] {
            let log = MemoryLog::new(limits, Arc::new(Seen::default()));
            let append = async |cid: &str, body: &str| log.append(says("u1", cid, body)).await;
            append("first", "needle").await.unwrap();
            for n in 0..count {
                append(&n.to_string(), body).await.unwrap();
            }
            let mut query = looking_for("needle");
            let mut answers = Vec::new();
            loop {
                let found = log.shards.find(&query);
                answers.push(bodies(&found.messages).len());
                query.cursor = found.next;
                if query.cursor.is_none() {
                    break;
                }
            }
            assert_eq!(answers, [0, 0, 1]);
        }
    }

    fn log() -> MemoryLog {
        let limits = MemoryLimits {
            room_events: 10,
            events: 10_000,
            bytes: 1 << 20,
        };
        MemoryLog::new(limits, Arc::new(Seen::default()))
    }

    /// Goal: a thread that serves connections does not search.
    /// Method: one thread, and a search of a room that can't be looked into before that thread has gone on.
    #[test]
    fn a_search_holds_up_nobody() {
        let log = log();
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let _in_runtime = runtime.enter();
        runtime
            .block_on(log.append(says("u1", "1", "needle")))
            .unwrap();
        let held = log.shard("general");
        let found = log.search(looking_for("needle"));
        runtime.block_on(async { tokio::task::yield_now().await });
        drop(held);
        let found = runtime.block_on(found).unwrap();
        assert_eq!(bodies(&found.messages), ["needle"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_that_nobody_waits_for_takes_no_place_and_none_waits_for_ever() {
        let log = log();
        let turn = Arc::clone(&log.searches.turn).acquire_owned().await;
        for _ in 0..3 {
            for _ in 0..MAX_WAITING {
                drop(log.search(looking_for("needle")));
            }
            // Each finds out for itself.
            while log.searches.places.available_permits() < MAX_WAITING {
                tokio::task::yield_now().await;
            }
        }
        let mut waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| log.search(looking_for("needle")))
            .collect();
        let refused = log.search(looking_for("needle")).await;
        assert_eq!(refused, Err(ReadError::Busy));
        let last = waiting.pop().unwrap();
        assert_eq!(last.await, Err(ReadError::Busy), "it was never its turn");
        drop((turn, waiting));
        assert_eq!(
            log.search(looking_for("needle")).await,
            Ok(Found::default())
        );
    }
}
