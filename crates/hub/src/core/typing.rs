//! Who is typing in a room.

use std::{sync::Arc, time::Duration};

use super::event::User;

/// How long somebody types who says so no more: also what clients are to wait before they show it no longer.
const LASTS: Duration = Duration::from_secs(5);
/// After something was told of a user, the time before that it types is told again.
const PAUSE: Duration = Duration::from_secs(1);
/// Users at most of whom this is known. In a room with more of them it tells nobody anything.
const MAX_TYPISTS: usize = 32;

#[derive(Debug, Default)]
pub(crate) struct Typing(Vec<Typist>);

#[derive(Debug)]
struct Typist {
    user: Arc<User>,
    is_on: bool,
    /// When the user last said so.
    heard: Duration,
    /// What others know, and since when.
    told: Option<(bool, Duration)>,
    /// Whether something is to be told.
    is_due: bool,
}

impl Typing {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A user types.
    pub(super) fn begin(&mut self, user: &Arc<User>, now: Duration) {
        if let Some(typist) = self.0.iter_mut().find(|typist| typist.user.id == user.id) {
            typist.user = Arc::clone(user);
            typist.is_on = true;
            typist.heard = now;
            typist.is_due = true;
        } else if self.0.len() < MAX_TYPISTS {
            self.0.push(Typist {
                user: Arc::clone(user),
                is_on: true,
                heard: now,
                told: None,
                is_due: true,
            });
        }
    }

    /// A user types no more.
    pub(super) fn end(&mut self, id: &str) {
        let Some(at) = self.0.iter().position(|typist| *typist.user.id == *id) else {
            return;
        };
        let typist = &mut self.0[at];
        if typist.told.is_none() {
            self.0.swap_remove(at);
        } else if typist.is_on {
            typist.is_on = false;
            typist.is_due = matches!(typist.told, Some((true, _)));
        }
    }

    /// Whether something is to be told, now or soon.
    pub(super) fn is_due(&self) -> bool {
        self.0.iter().any(|typist| typist.is_due)
    }

    /// What is to be told now.
    pub(super) fn news(&mut self, now: Duration) -> impl Iterator<Item = (Arc<User>, bool)> {
        let due = self.0.iter_mut().filter(move |typist| {
            typist.is_due && !(typist.is_on && typist.was_told_within(PAUSE, now))
        });
        due.map(move |typist| {
            typist.is_due = false;
            typist.told = Some((typist.is_on, now));
            (Arc::clone(&typist.user), typist.is_on)
        })
    }

    /// Forgets those who have not typed for a while; the ids of those who never said that they ended.
    pub(super) fn expire(&mut self, now: Duration) -> Vec<Arc<str>> {
        let mut silent = Vec::new();
        self.0.retain(|typist| {
            if typist.is_on && now.saturating_sub(typist.heard) >= LASTS {
                silent.push(Arc::clone(&typist.user.id));
                return false;
            }
            typist.is_on || typist.is_due || typist.was_told_within(PAUSE, now)
        });
        silent
    }
}

impl Typist {
    fn was_told_within(&self, time: Duration, now: Duration) -> bool {
        let told = self.told.map(|(_, at)| now.saturating_sub(at));
        told.is_some_and(|passed| passed < time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str) -> Arc<User> {
        Arc::new(User {
            id: id.into(),
            name: "x".into(),
            avatar: "00".into(),
        })
    }

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn told(typing: &mut Typing, at: u64) -> Vec<bool> {
        typing.news(ms(at)).map(|(_, is_on)| is_on).collect()
    }

    #[test]
    fn who_says_it_often_is_told_of_once_a_second() {
        let (mut typing, mut news) = (Typing::default(), Vec::new());
        for at in (0..3_000).step_by(100) {
            typing.begin(&user("u1"), ms(at));
            news.extend(told(&mut typing, at).into_iter().map(|is_on| (at, is_on)));
        }
        assert_eq!(news, [(0, true), (1_000, true), (2_000, true)]);
    }

    #[test]
    fn an_end_is_told_at_once_and_the_next_begin_waits() {
        let mut typing = Typing::default();
        typing.begin(&user("u1"), ms(0));
        assert_eq!(told(&mut typing, 100), [true]);
        typing.end("u1");
        assert_eq!(told(&mut typing, 200), [false]);
        typing.begin(&user("u1"), ms(300));
        assert!(told(&mut typing, 300).is_empty() && typing.is_due());
        assert_eq!(told(&mut typing, 1_200), [true]);
        assert!(!typing.is_due());
    }

    #[test]
    fn what_was_never_told_needs_no_end() {
        let mut typing = Typing::default();
        typing.begin(&user("u1"), ms(0));
        typing.end("u1");
        typing.end("u2");
        assert!(told(&mut typing, 0).is_empty() && typing.is_empty());
        typing.begin(&user("u1"), ms(0));
        assert_eq!(told(&mut typing, 0), [true]);
        typing.end("u1");
        assert_eq!(told(&mut typing, 0), [false]);
        typing.begin(&user("u1"), ms(100));
        typing.end("u1");
        assert!(told(&mut typing, 2_000).is_empty() && !typing.is_due());
    }

    #[test]
    fn s29_who_disappears_is_forgotten_after_five_seconds_without_a_word() {
        let mut typing = Typing::default();
        typing.begin(&user("u1"), ms(0));
        assert_eq!(told(&mut typing, 0), [true]);
        assert!(typing.expire(ms(4_999)).is_empty());
        assert_eq!(typing.expire(ms(5_000)), ["u1".into()]);
        assert!(typing.is_empty() && told(&mut typing, 6_000).is_empty());
        typing.begin(&user("u1"), ms(6_000));
        assert_eq!(told(&mut typing, 6_000), [true]);
        typing.end("u1");
        assert_eq!(told(&mut typing, 6_100), [false]);
        assert!(typing.expire(ms(6_200)).is_empty() && !typing.is_empty());
        assert!(typing.expire(ms(7_100)).is_empty() && typing.is_empty());
    }

    #[test]
    fn a_room_full_of_typists_stays_bounded() {
        let mut typing = Typing::default();
        for n in 0..100 {
            typing.begin(&user(&n.to_string()), ms(0));
        }
        assert_eq!(told(&mut typing, 0).len(), MAX_TYPISTS);
    }
}
