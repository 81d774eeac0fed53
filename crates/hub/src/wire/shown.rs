//! Messages as they are now: what `history` and `search` are answered with.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;

use super::{event::Durable, snippet::snippet};
use crate::{
    core::What,
    log::{Found, Page, Shown},
};

/// The reply to `history`.
#[derive(Debug, Serialize)]
pub(crate) struct PageForm<'a> {
    room: &'a str,
    events: Vec<ShownForm<'a>>,
    as_of: u64,
    more_before: bool,
    more_after: bool,
    floor: u64,
}

/// The reply to `search`.
#[derive(Debug, Serialize)]
pub(crate) struct FoundForm<'a> {
    hits: Vec<Hit<'a>>,
    cursor: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Hit<'a> {
    snippet: Vec<Cow<'a, str>>,
    message: ShownForm<'a>,
}

/// An event, and what has become of it if it is a message.
#[derive(Debug, Serialize)]
struct ShownForm<'a> {
    #[serde(flatten)]
    event: Durable<'a>,
    #[serde(flatten)]
    now: Option<NowForm<'a>>,
}

#[derive(Debug, Serialize)]
struct NowForm<'a> {
    edited: Option<u64>,
    reactions: BTreeMap<&'a str, ReactionForm>,
}

#[derive(Debug, Serialize)]
struct ReactionForm {
    count: usize,
    me: bool,
}

impl<'a> PageForm<'a> {
    /// A page as this user sees it.
    pub(crate) fn new(room: &'a str, page: &'a Page, viewer: &str) -> Self {
        let events = page.messages.iter();
        Self {
            room,
            events: events.map(|shown| ShownForm::new(shown, viewer)).collect(),
            as_of: page.as_of.head.seq,
            more_before: page.more_before,
            more_after: page.more_after,
            floor: page.as_of.floor.seq + 1,
        }
    }
}

impl<'a> FoundForm<'a> {
    /// What was found by these words, as this user sees it.
    pub(crate) fn new(found: &'a Found, words: &str, viewer: &str) -> Self {
        let hits = found.messages.iter().map(|shown| Hit {
            snippet: snippet(shown.event.what.text(), words),
            message: ShownForm::new(shown, viewer),
        });
        Self {
            hits: hits.collect(),
            cursor: found.next.as_deref(),
        }
    }
}

impl<'a> ShownForm<'a> {
    fn new(shown: &'a Shown, viewer: &str) -> Self {
        let is_message = matches!(shown.event.what, What::Message { .. });
        Self {
            event: (&shown.event).into(),
            now: is_message.then(|| NowForm::new(shown, viewer)),
        }
    }
}

impl<'a> NowForm<'a> {
    fn new(shown: &'a Shown, viewer: &str) -> Self {
        let reactions = shown.reactions.iter().map(|reaction| {
            let form = ReactionForm {
                count: reaction.count,
                // Who asks is listed first.
                me: reaction.users.first().is_some_and(|user| **user == *viewer),
            };
            (&*reaction.emoji, form)
        });
        Self {
            edited: shown.edited,
            reactions: reactions.collect(),
        }
    }
}
