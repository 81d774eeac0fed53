//! What the log comes to: messages as they are now, how they are found, and how far users have read.

use std::sync::Arc;

use super::{Answer, Bounds, HasBytes, PageSize, ReadError};
use crate::core::{Event, What, fold, words};

/// Different reactions to a message that are shown, those that most users chose.
pub const MAX_REACTIONS: usize = 50;
/// Users that are listed with a reaction.
pub const MAX_REACTORS: usize = 20;
/// Up to where unread messages are counted: nobody reads on a badge whether it is more.
pub const MAX_UNREAD: usize = 1_000;
/// Messages that one answer to a search looks at, for those that fit: some tens of milliseconds. Where there is an index of words, they have those.
pub const MAX_SCANNED: usize = 10_000;
/// Bytes of their texts, for the same reason.
pub const MAX_SCANNED_BYTES: usize = 1 << 20;
/// Characters of a message that are searched, from its beginning: some pages. What an index has of a message is taken out word by word when that
/// changes, which costs many times what it cost to put in.
pub const MAX_SEARCHED: usize = 2_000;
/// Times that a message may be edited: a notice that is kept up to date for a day. With a message all its edits are scrubbed, together.
pub const MAX_EDITS: usize = 1_000;
/// Words of a search that count.
pub const MAX_WORDS: usize = 16;

/// What is read from a present state, which follows the log: all that is committed is in it.
///
/// Each answer costs a bounded time, whatever is kept.
pub trait Projection: Send + Sync + 'static {
    /// A page of a room's messages, oldest first, as they are now; of a room it never heard of, an empty one.
    fn page(&self, query: PageQuery) -> Answer<Page, ReadError>;

    /// The messages that match a query, the newest first.
    fn search(&self, query: SearchQuery) -> Answer<Found, ReadError>;

    /// How far a user has read in a room.
    fn mark(&self, room: &Arc<str>, user: &Arc<str>) -> Answer<ReadMark, ReadError>;

    /// Notes that a user has read a room up to a position, and answers with how far that is then: never back, and not beyond
    /// the newest event.
    fn set_mark(&self, room: &Arc<str>, user: &Arc<str>, seq: u64) -> Answer<ReadMark, ReadError>;
}

/// Which page of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageQuery {
    /// The room.
    pub room: Arc<str>,
    /// Where in it.
    pub span: Span,
    /// How much of it.
    pub max: PageSize,
    /// The id of the user who asks, who is listed first.
    pub viewer: Option<Arc<str>>,
}

/// A part of a room. Positions need not be those of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The newest.
    Newest,
    /// The newest before this position.
    Before(u64),
    /// The oldest after this position.
    After(u64),
    /// Half of them before this position, and from there on the rest; where one side has fewer, the other has no more.
    Around(u64),
    /// The oldest after the first position and before the second.
    Between(u64, u64),
}

/// Messages of a room, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// What the log had of the room. All changes up to `head` are in the messages: who then follows the events after it misses none.
    pub as_of: Bounds,
    /// They, and what else stands for itself: all that is [about](What::target) no other event.
    pub messages: Vec<Shown>,
    /// Whether the room has older ones.
    pub more_before: bool,
    /// Whether the room has newer ones.
    pub more_after: bool,
}

/// A message as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The message, with its present body.
    pub event: Event,
    /// The position of the edit that its body is from.
    pub edited: Option<u64>,
    /// The reactions that are set, at most [`MAX_REACTIONS`].
    pub reactions: Vec<Reaction>,
}

/// A reaction to a message, of all who chose it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reaction {
    /// Which.
    pub emoji: Arc<str>,
    /// How many users chose it.
    pub count: usize,
    /// Their ids, at most [`MAX_REACTORS`], the one who asks first.
    pub users: Vec<Arc<str>>,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// Words that a message has to have, all of them; the last may be the beginning of one, unless it is short. The first [`MAX_WORDS`] count, and of a message the first
    /// [`MAX_SEARCHED`] characters. How letters
    /// are folded is the projection's own, but their case does not matter.
    pub words: Arc<str>,
    /// The rooms to look in. None is all there are.
    pub rooms: Option<Vec<Arc<str>>>,
    /// The id of the user whose messages they are.
    pub from: Option<Arc<str>>,
    /// Only messages from this time on, in milliseconds since 1970.
    pub since: Option<u64>,
    /// Only messages from before this time, in milliseconds since 1970.
    pub until: Option<u64>,
    /// How much is wanted at most.
    pub max: PageSize,
    /// Where the search goes on: [`Found::next`] of the answer before.
    pub cursor: Option<Arc<str>>,
    /// As in [`PageQuery`].
    pub viewer: Option<Arc<str>>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Messages, the newest first.
    pub messages: Vec<Shown>,
    /// Where the search goes on; there may be more, also when these are fewer than were asked for.
    pub next: Option<Arc<str>>,
}

/// How far a user has read in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadMark {
    /// Everything up to this position; never before what is no longer kept.
    pub seq: u64,
    /// How many messages of others follow, of the next [`MAX_UNREAD`].
    pub unread: usize,
    /// Whether it was set further just now: never when it is only [asked for](Projection::mark).
    pub is_raised: bool,
}

impl ReadMark {
    /// The mark in a room where nothing was said.
    pub(super) const NONE: Self = Self {
        seq: 0,
        unread: 0,
        is_raised: false,
    };
}

impl Shown {
    pub(super) const fn new(event: Event) -> Self {
        Self {
            event,
            edited: None,
            reactions: Vec::new(),
        }
    }
}

/// What a search has found so far.
pub(super) struct Finding {
    pub(super) found: Found,
    max: PageSize,
    bytes: usize,
    scanned: usize,
    scanned_bytes: usize,
    last: Option<Arc<str>>,
}

impl Finding {
    pub(super) fn new(max: PageSize) -> Self {
        Self {
            found: Found::default(),
            max,
            bytes: 0,
            scanned: 0,
            scanned_bytes: 0,
            last: None,
        }
    }

    /// Whether the next message, which there is, is to be looked at. If not, the search goes on there another time.
    pub(super) fn goes_on(&mut self) -> bool {
        let goes_on = self.scanned < MAX_SCANNED
            && self.scanned_bytes < MAX_SCANNED_BYTES
            && self.found.messages.len() < self.max.events
            && self.bytes < self.max.bytes.max(1);
        if !goes_on {
            self.found.next = self.last.take();
        }
        goes_on
    }

    /// Takes the message that has this cursor and so many bytes of text, if it fits.
    pub(super) fn look(&mut self, cursor: Arc<str>, bytes: usize, fitting: Option<Shown>) {
        self.scanned += 1;
        self.scanned_bytes += bytes;
        self.last = Some(cursor);
        if let Some(shown) = fitting {
            self.bytes += shown.bytes().max(1);
            self.found.messages.push(shown);
        }
    }
}

impl HasBytes for Shown {
    fn bytes(&self) -> usize {
        self.event.bytes()
    }
}

impl SearchQuery {
    /// Whether it is about a message like this in one of its rooms, whatever that says.
    pub(super) fn fits(&self, message: &Event) -> bool {
        let Event { ts, from, .. } = message;
        self.from.as_ref().is_none_or(|user| from.is(user))
            && self.since.is_none_or(|since| since <= *ts)
            && self.until.is_none_or(|until| *ts < until)
    }
}

/// Whether a message is one that a user may have left unread.
pub(super) fn may_be_unread(event: &Event, user: &str) -> bool {
    let is_there = matches!(event.what, What::Message { body: Some(_), .. });
    is_there && !event.from.is(user)
}

/// What of a message's text is searched: as SQLite cuts it, for which a text ends with a NUL.
pub(super) fn searched(text: &str) -> &str {
    let text = text.split('\0').next().unwrap_or(text);
    if text.len() <= MAX_SEARCHED {
        return text;
    }
    let end = text.char_indices().nth(MAX_SEARCHED);
    end.map_or(text, |(end, _)| &text[..end])
}

/// The words of a text, as a search without an index compares them.
pub(super) fn folded_words(text: &str) -> impl Iterator<Item = String> {
    words(text).map(|word| fold(&text[word]))
}
