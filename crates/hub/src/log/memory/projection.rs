//! What the log in memory comes to: computed when it is asked for, as a room has few events.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, PoisonError},
};

use super::{MemoryLog, Room, Shard};
use crate::{
    core::{Author, Event, What},
    log::{
        Answer, Bounds, Found, MAX_REACTIONS, MAX_REACTORS, MAX_UNREAD, Page, PageQuery, PageSize,
        Projection, Reaction, ReadError, ReadMark, SearchQuery, Shown, Span,
        projection::may_be_unread,
    },
};

impl Projection for MemoryLog {
    fn page(&self, query: PageQuery) -> Answer<Page, ReadError> {
        let shard = self.shard(&query.room);
        let as_of = shard.bounds(&query.room, &self.epoch);
        let room = shard.rooms.get(&query.room);
        let present = room.map(|room| present(&room.events)).unwrap_or_default();
        drop(shard);
        Answer::given(Ok(page(as_of, present, &query)))
    }

    fn search(&self, query: SearchQuery) -> Answer<Found, ReadError> {
        let shards = Arc::clone(&self.shards);
        self.searches.run(move || shards.find(&query))
    }

    fn mark(&self, room: &Arc<str>, user: &Arc<str>) -> Answer<ReadMark, ReadError> {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let seq = marks.get(room, user);
        drop(marks);
        Answer::given(Ok(self.shard(room).read_mark(room, user, seq)))
    }

    fn set_mark(&self, room: &Arc<str>, user: &Arc<str>, seq: u64) -> Answer<ReadMark, ReadError> {
        let Bounds { floor, head, .. } = self.shard(room).bounds(room, &self.epoch);
        let seq = seq.min(head.seq);
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        // At the floor it is without being set.
        let is_raised = seq > floor.seq && marks.raise(room, user, seq);
        let seq = marks.get(room, user);
        drop(marks);
        let mark = self.shard(room).read_mark(room, user, seq);
        Answer::given(Ok(ReadMark { is_raised, ..mark }))
    }
}

impl Shard {
    fn read_mark(&self, room: &str, user: &str, seq: u64) -> ReadMark {
        let Some(Room { floor, events, .. }) = self.rooms.get(room) else {
            return ReadMark::NONE;
        };
        let seq = seq.max(floor.seq);
        let first = events.partition_point(|event| event.seq <= seq);
        let messages = events
            .range(first..)
            .filter(|event| event.what.target().is_none());
        let next = messages.take(MAX_UNREAD);
        let unread = next.filter(|event| may_be_unread(event, user)).count();
        ReadMark {
            seq,
            unread,
            ..ReadMark::NONE
        }
    }
}

/// A message, and who reacted how.
pub(super) struct Present {
    shown: Shown,
    reactions: BTreeMap<Arc<str>, Vec<Arc<str>>>,
}

impl Present {
    fn new(event: &Event) -> Self {
        Self {
            shown: Shown::new(event.clone()),
            reactions: BTreeMap::new(),
        }
    }

    /// One of a room's messages, as far as it is there.
    pub(super) fn find(room: &Room, seq: u64) -> Option<Self> {
        let at = room.position(seq)?;
        let mut message = Self::new(&room.events[at]);
        let changes = room.events.range(at..);
        for change in changes.filter(|event| event.what.target() == Some(seq)) {
            message.change(change);
        }
        Some(message)
    }

    fn change(&mut self, change: &Event) {
        match (&change.what, &mut self.shown.event.what) {
            (
                What::Edit {
                    body: Some(now), ..
                },
                What::Message {
                    body: Some(body), ..
                },
            ) => {
                *body = Arc::clone(now);
                self.shown.edited = Some(change.seq);
            }
            (What::Delete { .. }, _) => {
                self.shown.edited = None;
                self.reactions.clear();
            }
            (What::React { emoji, on, .. }, _) => {
                let Author::User(user) = &change.from else {
                    return;
                };
                let users = self.reactions.entry(Arc::clone(emoji)).or_default();
                users.retain(|other| *other != user.id);
                if *on {
                    users.push(Arc::clone(&user.id));
                }
            }
            _ => {}
        }
    }

    pub(super) fn shown(self, viewer: Option<&Arc<str>>) -> Shown {
        let chosen = self
            .reactions
            .into_iter()
            .filter(|(_, users)| !users.is_empty());
        let mut reactions: Vec<_> = chosen
            .map(|(emoji, mut users)| {
                let count = users.len();
                users.sort_by_key(|user| (Some(user) != viewer, Arc::clone(user)));
                users.truncate(MAX_REACTORS);
                Reaction {
                    emoji,
                    count,
                    users,
                }
            })
            .collect();
        reactions.sort_by_key(|reaction| Reverse(reaction.count));
        reactions.truncate(MAX_REACTIONS);
        Shown {
            reactions,
            ..self.shown
        }
    }
}

/// What a room's events come to.
fn present(events: &VecDeque<Event>) -> BTreeMap<u64, Present> {
    let mut messages: BTreeMap<u64, Present> = BTreeMap::new();
    for event in events {
        if let Some(target) = event.what.target() {
            if let Some(message) = messages.get_mut(&target) {
                message.change(event);
            }
        } else {
            messages.insert(event.seq, Present::new(event));
        }
    }
    messages
}

fn page(as_of: Bounds, mut present: BTreeMap<u64, Present>, query: &PageQuery) -> Page {
    let max = query.max;
    let before = |seq, max: PageSize| {
        let older = present
            .range(..seq)
            .rev()
            .map(|(_, message)| &message.shown);
        max.take(older).last().map_or(seq, |first| first.event.seq)
    };
    let through = |first: u64, end: u64, max: PageSize| {
        let newer = present
            .range(first..end.max(first))
            .map(|(_, message)| &message.shown);
        max.take(newer)
            .last()
            .map_or(first, |last| last.event.seq + 1)
    };
    let (first, end) = match query.span {
        Span::Newest => (before(u64::MAX, max), u64::MAX),
        Span::Before(seq) => (before(seq, max), seq),
        Span::After(seq) => (
            seq.saturating_add(1),
            through(seq.saturating_add(1), u64::MAX, max),
        ),
        Span::Between(low, high) => (
            low.saturating_add(1),
            through(low.saturating_add(1), high, max),
        ),
        Span::Around(seq) => {
            let [half, rest] = max.halves();
            (before(seq, half), through(seq, u64::MAX, rest))
        }
    };
    let mut page = present.split_off(&first);
    let after = page.split_off(&end);
    let messages = page.into_values();
    Page {
        as_of,
        messages: messages
            .map(|message| message.shown(query.viewer.as_ref()))
            .collect(),
        more_before: !present.is_empty(),
        more_after: !after.is_empty(),
    }
}
