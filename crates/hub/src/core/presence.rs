//! Who is in a room: users, not connections.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::event::{Notice, User};

/// The named users of a room, and the changes since the last notice.
///
/// Changes are not told one by one: [`flush`](Self::flush) compares the state before the first
/// change with the state now, so someone who came and left in between is not mentioned at all.
/// Notices are numbered and only the newest [`KEPT_NOTICES`](Self::KEPT_NOTICES) are kept: a
/// session too slow to read them misses some. `count` is always right, so its client can see that
/// its list is not and ask again with `join`.
#[derive(Debug)]
pub(crate) struct Presence<F> {
    here: HashMap<Arc<str>, Here>,
    /// For each user that changed since the last flush: as who they were shown then, if at all.
    before: HashMap<Arc<str>, Option<Arc<User>>>,
    notices: VecDeque<Arc<Notice<F>>>,
    /// How many notices were ever made; the newest one's number.
    version: u64,
}

#[derive(Debug, Default)]
struct Here {
    /// As whom each of the user's connections knows itself; the last that came is shown.
    connections: Vec<Arc<User>>,
}

impl Here {
    fn shown(&self) -> Option<&Arc<User>> {
        self.connections.last()
    }
}

impl<F> Presence<F> {
    /// Notices kept for sessions that lag behind. At one per flush interval (100 ms) this is a
    /// few seconds of constant coming and going.
    const KEPT_NOTICES: usize = 32;

    /// People named in all notices kept, the newest notice apart: some 100 KiB of the longest
    /// names. When so many come and go, whoever lags asks again.
    const KEPT_PEOPLE: usize = 256;

    pub(crate) fn new() -> Self {
        Self {
            here: HashMap::new(),
            before: HashMap::new(),
            notices: VecDeque::new(),
            version: 0,
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.here.len()
    }

    /// Whether somebody came, left or changed the name since the last notice.
    pub(crate) fn has_changed(&self) -> bool {
        !self.before.is_empty()
    }

    /// The newest notice's number: a session that has read it has read all.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Everybody here, unless they are more than `max`.
    pub(crate) fn list(&self, max: usize) -> Vec<Arc<User>> {
        if self.here.len() > max {
            return Vec::new();
        }
        let mut users: Vec<_> = self
            .here
            .values()
            .filter_map(|here| here.shown().map(Arc::clone))
            .collect();
        users.sort_unstable_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        users
    }

    /// One more connection of `user` is here, perhaps under a new name.
    pub(crate) fn enter(&mut self, user: &Arc<User>) {
        self.change(&user.id, |connections| connections.push(Arc::clone(user)));
    }

    /// One connection that entered as `user` is no longer here.
    pub(crate) fn exit(&mut self, user: &Arc<User>) {
        self.change(&user.id, |connections| {
            let entered = connections
                .iter()
                .rposition(|other| Arc::ptr_eq(other, user));
            entered.map(|at| connections.remove(at));
        });
    }

    /// Changes a user's connections, and remembers as whom the user was shown before.
    fn change(&mut self, id: &Arc<str>, change: impl FnOnce(&mut Vec<Arc<User>>)) {
        let here = self.here.entry(Arc::clone(id)).or_default();
        let before = here.shown().map(Arc::clone);
        change(&mut here.connections);
        if here.shown() != before.as_ref() {
            self.before.entry(Arc::clone(id)).or_insert(before);
        }
        if here.connections.is_empty() {
            self.here.remove(id);
        }
    }

    /// Makes one notice of all changes since the last one. Its lists are empty while more than
    /// `max_listed` users are here. Says whether there was anything to tell.
    pub(crate) fn flush(&mut self, room: &Arc<str>, max_listed: usize) -> bool {
        let (mut came, mut left) = (Vec::new(), Vec::new());
        for (id, before) in std::mem::take(&mut self.before) {
            match (before, self.here.get(&id).and_then(Here::shown)) {
                (Some(_), None) => left.push(id),
                (before, Some(shown)) if before.as_ref() != Some(shown) => {
                    came.push(Arc::clone(shown));
                }
                _ => {}
            }
        }
        if came.is_empty() && left.is_empty() {
            return false;
        }
        if self.here.len() > max_listed || came.len() + left.len() > 2 * max_listed {
            (came, left) = (Vec::new(), Vec::new());
        }
        came.sort_unstable_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        left.sort_unstable();
        while self.notices.len() >= Self::KEPT_NOTICES || self.people_kept() > Self::KEPT_PEOPLE {
            self.notices.pop_front();
        }
        let notice = Notice::new(Arc::clone(room), came, left, self.here.len());
        self.notices.push_back(Arc::new(notice));
        self.version += 1;
        true
    }

    fn people_kept(&self) -> usize {
        let people = |notice: &Arc<Notice<F>>| notice.came.len() + notice.left.len();
        self.notices.iter().map(people).sum()
    }

    /// The notices after number `seen`, oldest first; those no longer kept are left out.
    pub(crate) fn notices_after(&self, seen: u64) -> impl Iterator<Item = &Arc<Notice<F>>> {
        let unread = usize::try_from(self.version - seen).unwrap_or(usize::MAX);
        self.notices
            .iter()
            .skip(self.notices.len().saturating_sub(unread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, name: &str) -> Arc<User> {
        Arc::new(User {
            id: id.into(),
            name: name.into(),
            avatar: "00".into(),
        })
    }

    fn told(presence: &mut Presence<()>) -> Option<(Vec<String>, Vec<String>, usize)> {
        presence.flush(&"r".into(), 200).then(|| {
            let notice = presence.notices.back().expect("one was made");
            let came = notice
                .came
                .iter()
                .map(|user| user.name.to_string())
                .collect();
            let left = notice.left.iter().map(ToString::to_string).collect();
            (came, left, notice.count)
        })
    }

    #[test]
    fn two_connections_of_one_user_are_one_arrival_and_one_leave() {
        let mut presence = Presence::new();
        let ana = user("u1", "Ana");
        presence.enter(&ana);
        presence.enter(&ana);
        assert_eq!(told(&mut presence), Some((vec!["Ana".into()], vec![], 1)));
        presence.exit(&ana);
        assert_eq!(told(&mut presence), None);
        presence.exit(&ana);
        assert_eq!(told(&mut presence), Some((vec![], vec!["u1".into()], 0)));
    }

    #[test]
    fn who_came_and_left_between_two_notices_is_not_mentioned() {
        let mut presence = Presence::new();
        let ana = user("u1", "Ana");
        presence.enter(&ana);
        presence.exit(&ana);
        assert_eq!(told(&mut presence), None);
        presence.enter(&ana);
        drop(told(&mut presence));
        presence.exit(&ana);
        presence.enter(&ana);
        assert_eq!(told(&mut presence), None);
    }

    #[test]
    fn a_new_name_is_told_as_an_arrival() {
        let mut presence = Presence::new();
        presence.enter(&user("u1", "Ana"));
        drop(told(&mut presence));
        presence.enter(&user("u1", "Anna"));
        assert_eq!(told(&mut presence), Some((vec!["Anna".into()], vec![], 1)));
    }

    #[test]
    fn who_leaves_takes_its_name_along() {
        let mut presence = Presence::new();
        let (before, after) = (user("u1", "Ana"), user("u1", "Anna"));
        presence.enter(&before);
        presence.enter(&after);
        assert_eq!(told(&mut presence), Some((vec!["Anna".into()], vec![], 1)));
        presence.exit(&after);
        assert_eq!(told(&mut presence), Some((vec!["Ana".into()], vec![], 1)));
    }

    #[test]
    fn a_crowd_is_counted_and_not_listed() {
        let mut presence: Presence<()> = Presence::new();
        for n in 0..3 {
            presence.enter(&user(&format!("u{n}"), "x"));
        }
        assert!(presence.flush(&"r".into(), 2));
        let notice = presence.notices.back().expect("one was made");
        assert_eq!((notice.came.len(), notice.count), (0, 3));
        assert!(presence.list(2).is_empty());
        assert_eq!(presence.list(3).len(), 3);
    }

    #[test]
    fn a_reader_that_lags_gets_the_newest_notices_only() {
        let mut presence: Presence<()> = Presence::new();
        for n in 0..40 {
            presence.enter(&user(&format!("u{n:02}"), "x"));
            assert!(presence.flush(&"r".into(), 200));
        }
        assert_eq!(presence.notices_after(39).count(), 1);
        assert_eq!(
            presence.notices_after(0).count(),
            Presence::<()>::KEPT_NOTICES
        );
        assert_eq!(presence.notices_after(40).count(), 0);
    }

    #[test]
    fn crowds_that_come_and_go_keep_few_notices() {
        let mut presence: Presence<()> = Presence::new();
        for round in 0..20 {
            let crowd: Vec<_> = (0..200)
                .map(|n| user(&format!("u{round}-{n}"), "x"))
                .collect();
            for user in &crowd {
                presence.enter(user);
            }
            assert!(presence.flush(&"r".into(), 200));
            for user in &crowd {
                presence.exit(user);
            }
            assert!(presence.flush(&"r".into(), 200));
            assert!(presence.people_kept() <= Presence::<()>::KEPT_PEOPLE + 200);
        }
    }
}
