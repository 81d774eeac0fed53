//! Finding messages without an index: a bounded number of them is looked at, the newest first.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
};

use super::{MemoryLog, Room, Shard, projection::Present};
use crate::{
    core::{Event, What},
    log::{
        Found, MAX_SCANNED, MAX_WORDS, SearchQuery,
        projection::{Finding, folded_words},
    },
};

/// A message that a search may be about, by its id.
type Candidate = (Arc<str>, Arc<str>, u64);

/// What a message has to have.
struct Words {
    whole: Vec<String>,
    /// The last may be the beginning of one.
    beginning: String,
}

impl Words {
    fn new(words: &str) -> Option<Self> {
        let mut whole: Vec<_> = folded_words(words).take(MAX_WORDS).collect();
        let beginning = whole.pop()?;
        Some(Self { whole, beginning })
    }

    fn are_in(&self, text: &str) -> bool {
        let said: Vec<_> = folded_words(text).collect();
        said.iter().any(|word| word.starts_with(&self.beginning))
            && self.whole.iter().all(|word| said.contains(word))
    }
}

impl MemoryLog {
    pub(super) fn find(&self, query: &SearchQuery) -> Found {
        let mut finding = Finding::new(query.max);
        let Some(words) = Words::new(&query.words) else {
            return finding.found;
        };
        for (id, room, seq) in self.candidates(query) {
            if !finding.goes_on() {
                break;
            }
            let text = self.shard(&room).text(&room, seq);
            // Apart from the lock: it may be long.
            let shown = if words.are_in(&text) {
                let message = self.shard(&room).message(&room, seq);
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
                if let Some(room) = self.shard(name).rooms.get(name) {
                    candidates.extend(room.candidates(query));
                }
            }
        } else {
            for shard in &self.shards {
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
        let edit = self.edits.get(&seq).and_then(|edit| self.get(*edit));
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
    use super::*;
    use crate::log::{
        Log as _, MAX_SCANNED_BYTES, MemoryLimits,
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
                let found = log.find(&query);
                answers.push(bodies(&found.messages).len());
                query.cursor = found.next;
                if query.cursor.is_none() {
                    break;
                }
            }
            assert_eq!(answers, [0, 0, 1]);
        }
    }
}
