//! What a room tells its members and the log does not keep: who comes and goes, and who is typing.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};

use super::{event::User, presence::Changes};

/// What a member wants to be told besides what the log keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    Nothing,
    /// How many are here, and who is typing.
    Count,
    /// Also who comes and goes.
    List,
}

/// A piece of news, shared by all members it is for.
#[derive(Debug)]
pub(crate) struct Notice<F> {
    pub(crate) room: Arc<str>,
    pub(crate) news: News,
    /// Grows from one notice of a room to the next.
    pub(crate) number: u64,
    frame: OnceLock<F>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    Presence(Changes),
    Typing { user: Arc<User>, is_on: bool },
}

impl<F> Notice<F> {
    pub(crate) const fn new(room: Arc<str>, news: News, number: u64) -> Self {
        Self {
            room,
            news,
            number,
            frame: OnceLock::new(),
        }
    }

    /// The frame, encoded on first use.
    pub(crate) fn frame(&self, encode: impl FnOnce(&Self) -> F) -> &F {
        self.frame.get_or_init(|| encode(self))
    }

    fn is_typing_of(&self, id: &str) -> bool {
        matches!(&self.news, News::Typing { user, .. } if *user.id == *id)
    }

    const fn is_typing(&self) -> bool {
        matches!(self.news, News::Typing { .. })
    }

    const fn people(&self) -> usize {
        match &self.news {
            News::Presence(changes) => changes.people(),
            News::Typing { .. } => 0,
        }
    }
}

/// The newest notices of a room.
///
/// They are numbered, and few are kept: a session too slow to read them misses some, those about typing first. `count` is always
/// right, so its client can see that its list is not and ask again with `join`.
#[derive(Debug)]
pub(crate) struct Notices<F> {
    kept: VecDeque<Arc<Notice<F>>>,
    /// The newest one that told another number of people, for who wants no more than that.
    count: Option<Arc<Notice<F>>>,
    number: u64,
}

impl<F> Notices<F> {
    /// Notices kept for sessions that lag behind. At one per flush interval (100 ms) this is a
    /// few seconds of constant coming and going.
    const MAX_KEPT: usize = 32;

    /// People named in all notices kept, the newest notice apart: some 100 KiB of the longest
    /// names. When so many come and go, whoever lags asks again.
    const MAX_PEOPLE: usize = 256;

    pub(crate) const fn new() -> Self {
        Self {
            kept: VecDeque::new(),
            count: None,
            number: 0,
        }
    }

    /// The newest one's number: a session that has read it has read all.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn tell_presence(&mut self, room: &Arc<str>, changes: Changes) {
        self.number += 1;
        if changes.is_count_new {
            let news = News::Presence(changes.without_names());
            let notice = Notice::new(Arc::clone(room), news, self.number);
            self.count = Some(Arc::new(notice));
        }
        self.keep(room, News::Presence(changes));
    }

    /// Takes the place of what was told of the same user before.
    pub(crate) fn tell_typing(&mut self, room: &Arc<str>, user: Arc<User>, is_on: bool) {
        self.number += 1;
        self.forget_typing(&user.id);
        self.keep(room, News::Typing { user, is_on });
    }

    /// Who did not read it yet need not know any more.
    pub(crate) fn forget_typing(&mut self, id: &str) {
        self.kept.retain(|notice| !notice.is_typing_of(id));
    }

    fn keep(&mut self, room: &Arc<str>, news: News) {
        while self.kept.len() >= Self::MAX_KEPT || self.people() > Self::MAX_PEOPLE {
            let least = self.kept.iter().position(|notice| notice.is_typing());
            self.kept.remove(least.unwrap_or(0));
        }
        let notice = Notice::new(Arc::clone(room), news, self.number);
        self.kept.push_back(Arc::new(notice));
    }

    fn people(&self) -> usize {
        self.kept.iter().map(|notice| notice.people()).sum()
    }

    /// The notices after number `seen` for who wants this much, oldest first; those no longer kept are left out.
    pub(crate) fn after(&self, seen: u64, watch: Watch) -> Vec<Arc<Notice<F>>> {
        if seen >= self.number || watch == Watch::Nothing {
            return Vec::new();
        }
        let kept = self.kept.iter();
        let wanted = kept.filter(|notice| watch == Watch::List || notice.is_typing());
        let count = self.count.iter().filter(|_| watch == Watch::Count);
        let mut unread: Vec<_> = wanted
            .chain(count)
            .filter(|notice| notice.number > seen)
            .map(Arc::clone)
            .collect();
        unread.sort_unstable_by_key(|notice| notice.number);
        unread
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: usize) -> Arc<User> {
        Arc::new(User {
            id: format!("u{n:02}").into(),
            name: "x".into(),
            avatar: "00".into(),
        })
    }

    fn changes(people: usize, count: usize, is_count_new: bool) -> Changes {
        Changes {
            came: (0..people).map(user).collect(),
            count,
            is_count_new,
            ..Changes::default()
        }
    }

    fn numbers(notices: &Notices<()>, seen: u64, watch: Watch) -> Vec<u64> {
        let unread = notices.after(seen, watch);
        unread.iter().map(|notice| notice.number).collect()
    }

    #[test]
    fn a_reader_that_lags_gets_the_newest_only_and_misses_typing_first() {
        let mut notices = Notices::<()>::new();
        let room = "r".into();
        for n in 0..4 {
            notices.tell_typing(&room, user(n), true);
        }
        for count in 0..30 {
            notices.tell_presence(&room, changes(1, count, true));
        }
        let kept: Vec<_> = (3..=34).collect();
        assert_eq!(numbers(&notices, 0, Watch::List), kept);
        for count in 0..30 {
            notices.tell_presence(&room, changes(1, count, true));
        }
        let kept: Vec<_> = (33..=64).collect();
        assert_eq!(numbers(&notices, 0, Watch::List), kept);
        assert_eq!(numbers(&notices, 63, Watch::List), [64]);
        assert!(numbers(&notices, 64, Watch::List).is_empty());
    }

    #[test]
    fn crowds_that_come_and_go_are_not_kept() {
        let mut notices = Notices::<()>::new();
        for _ in 0..20 {
            notices.tell_presence(&"r".into(), changes(200, 200, true));
            assert!(notices.people() <= Notices::<()>::MAX_PEOPLE + 200);
        }
    }

    #[test]
    fn who_wants_counts_gets_the_newest_that_differs_and_no_names() {
        let mut notices = Notices::<()>::new();
        let room = "r".into();
        notices.tell_presence(&room, changes(1, 1, true));
        notices.tell_presence(&room, changes(1, 2, true));
        notices.tell_presence(&room, changes(1, 2, false));
        notices.tell_typing(&room, user(0), true);
        assert_eq!(numbers(&notices, 0, Watch::Count), [2, 4]);
        assert_eq!(numbers(&notices, 2, Watch::Count), [4]);
        assert_eq!(numbers(&notices, 0, Watch::List), [1, 2, 3, 4]);
        assert!(numbers(&notices, 0, Watch::Nothing).is_empty());
        let unread = notices.after(0, Watch::Count);
        assert_eq!(unread[0].news, News::Presence(changes(0, 2, true)));
    }

    #[test]
    fn of_what_a_user_does_the_newest_is_kept() {
        let mut notices = Notices::<()>::new();
        let room = "r".into();
        for n in [0, 1, 0] {
            notices.tell_typing(&room, user(n), n == 0);
        }
        notices.tell_typing(&room, user(0), false);
        assert_eq!(numbers(&notices, 0, Watch::List), [2, 4]);
        notices.forget_typing("u01");
        assert_eq!(numbers(&notices, 0, Watch::List), [4]);
    }
}
