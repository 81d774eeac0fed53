//! Who is in a room: users, not connections.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
    time::Duration,
};

use super::event::User;

/// The named users of a room, and the changes since they were last told.
///
/// Changes are not told one by one: [`changes`](Self::changes) compares the state before the first
/// change with the state now, so someone who came and left in between is not mentioned at all.
///
/// A user whose last connection was lost stays for a while, at first as if nothing had happened and then as one who is away: who comes
/// back in time has not left.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// By id, so that the list can be gone through in pages.
    here: BTreeMap<Arc<str>, Here>,
    /// For each user that changed since the last time: as who they were shown then, if at all.
    before: HashMap<Arc<str>, Option<Person>>,
    told_count: usize,
}

#[derive(Debug)]
enum Here {
    /// As whom each of the user's connections knows itself; the last that came is shown.
    Connected(Vec<Arc<User>>),
    Lost(Box<Lost>),
}

/// A user without a connection.
#[derive(Debug)]
struct Lost {
    user: Arc<User>,
    is_away: bool,
    /// When that changes, or the user has left.
    due: Duration,
}

/// A user, as a room shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) user: Arc<User>,
    /// The connection was lost, a while ago.
    pub(crate) is_away: bool,
}

/// What became of a user one of whose connections went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// There are others.
    Connected,
    /// It was the last one and lost: the user is waited for.
    Waits,
    Left,
}

/// Who came and who left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Who came, came back, or changed the name.
    pub(crate) came: Vec<Arc<User>>,
    /// The ids of those who left.
    pub(crate) left: Vec<Arc<str>>,
    /// The ids of those whose connection was lost.
    pub(crate) away: Vec<Arc<str>>,
    /// How many named users are here now.
    pub(crate) count: usize,
    /// Whether these are more or less than was told before.
    pub(crate) is_count_new: bool,
}

impl Here {
    fn shown(&self) -> Option<Person> {
        let (user, is_away) = match self {
            Self::Connected(connections) => (connections.last()?, false),
            Self::Lost(lost) => (&lost.user, lost.is_away),
        };
        Some(Person {
            user: Arc::clone(user),
            is_away,
        })
    }
}

impl Changes {
    pub(super) const fn people(&self) -> usize {
        self.came.len() + self.left.len() + self.away.len()
    }

    pub(super) fn without_names(&self) -> Self {
        Self {
            count: self.count,
            is_count_new: self.is_count_new,
            ..Self::default()
        }
    }
}

impl Presence {
    pub(crate) fn count(&self) -> usize {
        self.here.len()
    }

    /// Whether somebody came, left or changed the name since that was last told.
    pub(crate) fn has_changed(&self) -> bool {
        !self.before.is_empty()
    }

    /// Everybody here, unless they are more than `max`.
    pub(crate) fn list(&self, max: usize) -> Vec<Person> {
        if self.here.len() > max {
            return Vec::new();
        }
        let mut people: Vec<_> = self.here.values().filter_map(Here::shown).collect();
        people.sort_unstable_by(|a, b| in_order(&a.user, &b.user));
        people
    }

    /// The first people after this id, at most so many, by their ids; and whether there are more.
    pub(crate) fn page(&self, after: Option<&str>, max: usize) -> (Vec<Person>, bool) {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut following = self.here.range::<str, _>((begin, Bound::Unbounded));
        let people = following.by_ref().take(max);
        let people = people.filter_map(|(_, here)| here.shown()).collect();
        (people, following.next().is_some())
    }

    /// One more connection of `user` is here, perhaps under a new name. If the user was waited for, until when.
    pub(super) fn enter(&mut self, user: &Arc<User>) -> Option<Duration> {
        self.change(&user.id, |here| match here {
            Some(Here::Connected(mut connections)) => {
                connections.push(Arc::clone(user));
                (Some(Here::Connected(connections)), None)
            }
            other => {
                let due = match other {
                    Some(Here::Lost(lost)) => Some(lost.due),
                    _ => None,
                };
                (Some(Here::Connected(vec![Arc::clone(user)])), due)
            }
        })
    }

    /// One connection that entered as `user` is no longer here. If it was the last one and `due` is given, the user is waited for
    /// until then.
    pub(super) fn exit(&mut self, user: &Arc<User>, due: Option<Duration>) -> Exit {
        self.change(&user.id, |here| {
            let Some(Here::Connected(mut connections)) = here else {
                return (here, Exit::Left);
            };
            let entered = connections
                .iter()
                .rposition(|other| Arc::ptr_eq(other, user));
            let gone = entered.map(|at| connections.remove(at));
            if !connections.is_empty() {
                return (Some(Here::Connected(connections)), Exit::Connected);
            }
            match gone.zip(due) {
                Some((user, due)) => {
                    let is_away = false;
                    let lost = Lost { user, is_away, due };
                    (Some(Here::Lost(Box::new(lost))), Exit::Waits)
                }
                None => (None, Exit::Left),
            }
        })
    }

    /// A user has been waited for: is away now, and then has left. Until when to wait again, if it was `more`.
    pub(super) fn wait_is_over(&mut self, id: &Arc<str>, more: Duration) -> Option<Duration> {
        self.change(id, |here| match here {
            Some(Here::Lost(mut lost)) if !lost.is_away => {
                lost.is_away = true;
                lost.due += more;
                let due = lost.due;
                (Some(Here::Lost(lost)), Some(due))
            }
            Some(Here::Lost(_)) | None => (None, None),
            connected => (connected, None),
        })
    }

    /// Those who are waited for, and until when.
    pub(super) fn waited_for(&self) -> impl Iterator<Item = (Duration, &Arc<str>)> {
        self.here.iter().filter_map(|(id, here)| match here {
            Here::Lost(lost) => Some((lost.due, id)),
            Here::Connected(_) => None,
        })
    }

    /// Changes what is known of a user, and remembers how it was shown before.
    fn change<T>(
        &mut self,
        id: &Arc<str>,
        change: impl FnOnce(Option<Here>) -> (Option<Here>, T),
    ) -> T {
        let here = self.here.remove(id);
        let before = here.as_ref().and_then(Here::shown);
        let (here, result) = change(here);
        if here.as_ref().and_then(Here::shown) != before {
            self.before.entry(Arc::clone(id)).or_insert(before);
        }
        if let Some(here) = here {
            self.here.insert(Arc::clone(id), here);
        }
        result
    }

    /// All changes since the last time, as one; none if there is nothing to tell. It names nobody while more than `max_listed` users
    /// are here.
    pub(crate) fn changes(&mut self, max_listed: usize) -> Option<Changes> {
        let mut changes = Changes::default();
        for (id, before) in std::mem::take(&mut self.before) {
            let now = self.here.get(&id).and_then(Here::shown);
            changes.add(&id, before, now);
        }
        if self.here.len() > max_listed || changes.people() > 2 * max_listed {
            changes = Changes::default();
        }
        changes.count = self.here.len();
        changes.is_count_new = self.here.len() != self.told_count;
        self.told_count = self.here.len();
        changes.came.sort_unstable_by(|a, b| in_order(a, b));
        changes.left.sort_unstable();
        changes.away.sort_unstable();
        (changes.people() > 0 || changes.is_count_new).then_some(changes)
    }
}

impl Changes {
    fn add(&mut self, id: &Arc<str>, before: Option<Person>, now: Option<Person>) {
        let Some(now) = now else {
            self.left.extend(before.map(|_| Arc::clone(id)));
            return;
        };
        if before.as_ref() == Some(&now) {
            return;
        }
        let was_known = before.is_some_and(|before| before.user == now.user);
        if !(now.is_away && was_known) {
            self.came.push(now.user);
        }
        if now.is_away {
            self.away.push(Arc::clone(id));
        }
    }
}

fn in_order(a: &User, b: &User) -> std::cmp::Ordering {
    (&a.name, &a.id).cmp(&(&b.name, &b.id))
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

    /// Who came, left and is away, and how many are here.
    type Told = (Vec<String>, Vec<String>, Vec<String>, usize);

    fn told(presence: &mut Presence) -> Option<Told> {
        let changes = presence.changes(200)?;
        let names = |users: Vec<Arc<User>>| users.iter().map(|u| u.name.to_string()).collect();
        let ids = |ids: Vec<Arc<str>>| ids.iter().map(ToString::to_string).collect();
        Some((
            names(changes.came),
            ids(changes.left),
            ids(changes.away),
            changes.count,
        ))
    }

    fn came(name: &str) -> Told {
        (vec![name.into()], vec![], vec![], 1)
    }

    fn left(id: &str) -> Told {
        (vec![], vec![id.into()], vec![], 0)
    }

    const SOON: Duration = Duration::from_secs(3);
    const LATER: Duration = Duration::from_secs(12);

    #[test]
    fn two_connections_of_one_user_are_one_arrival_and_one_leave() {
        let mut presence = Presence::default();
        let ana = user("u1", "Ana");
        presence.enter(&ana);
        presence.enter(&ana);
        assert_eq!(told(&mut presence), Some(came("Ana")));
        assert_eq!(presence.exit(&ana, None), Exit::Connected);
        assert_eq!(told(&mut presence), None);
        assert_eq!(presence.exit(&ana, None), Exit::Left);
        assert_eq!(told(&mut presence), Some(left("u1")));
    }

    #[test]
    fn who_came_and_left_between_two_notices_is_not_mentioned() {
        let mut presence = Presence::default();
        let ana = user("u1", "Ana");
        presence.enter(&ana);
        presence.exit(&ana, None);
        assert_eq!(told(&mut presence), None);
        presence.enter(&ana);
        drop(told(&mut presence));
        presence.exit(&ana, None);
        presence.enter(&ana);
        assert_eq!(told(&mut presence), None);
    }

    #[test]
    fn a_new_name_is_told_as_an_arrival() {
        let mut presence = Presence::default();
        presence.enter(&user("u1", "Ana"));
        drop(told(&mut presence));
        presence.enter(&user("u1", "Anna"));
        assert_eq!(told(&mut presence), Some(came("Anna")));
    }

    #[test]
    fn who_leaves_takes_its_name_along() {
        let mut presence = Presence::default();
        let (before, after) = (user("u1", "Ana"), user("u1", "Anna"));
        presence.enter(&before);
        presence.enter(&after);
        assert_eq!(told(&mut presence), Some(came("Anna")));
        presence.exit(&after, None);
        assert_eq!(told(&mut presence), Some(came("Ana")));
    }

    #[test]
    fn who_is_lost_and_back_soon_has_not_been_gone() {
        let mut presence = Presence::default();
        let ana = user("u1", "Ana");
        presence.enter(&ana);
        drop(told(&mut presence));
        assert_eq!(presence.exit(&ana, Some(SOON)), Exit::Waits);
        assert_eq!(told(&mut presence), None);
        assert_eq!(presence.waited_for().count(), 1);
        assert_eq!(presence.enter(&ana), Some(SOON));
        assert_eq!(told(&mut presence), None);
        assert_eq!(presence.waited_for().count(), 0);
    }

    #[test]
    fn s01_who_is_lost_is_away_and_then_has_left() {
        let mut presence = Presence::default();
        let ana = user("u1", "Ana");
        presence.enter(&ana);
        drop(told(&mut presence));
        presence.exit(&ana, Some(SOON));
        assert_eq!(
            presence.wait_is_over(&ana.id, LATER),
            Some(SOON + LATER),
            "{presence:?}"
        );
        let away = Some((vec![], vec![], vec!["u1".into()], 1));
        assert_eq!(told(&mut presence), away);
        assert!(presence.list(1)[0].is_away);
        assert_eq!(presence.wait_is_over(&ana.id, LATER), None);
        assert_eq!(told(&mut presence), Some(left("u1")));
    }

    #[test]
    fn who_was_told_to_be_away_is_told_to_be_back() {
        let mut presence = Presence::default();
        let ana = user("u1", "Ana");
        presence.enter(&ana);
        presence.exit(&ana, Some(SOON));
        presence.wait_is_over(&ana.id, LATER);
        // Nobody heard of her before.
        let away = Some((vec!["Ana".into()], vec![], vec!["u1".into()], 1));
        assert_eq!(told(&mut presence), away);
        presence.enter(&ana);
        assert_eq!(told(&mut presence), Some(came("Ana")));
        assert_eq!(presence.wait_is_over(&ana.id, LATER), None);
        assert_eq!(told(&mut presence), None);
    }

    #[test]
    fn a_crowd_is_counted_and_not_listed() {
        let mut presence = Presence::default();
        for n in 0..3 {
            presence.enter(&user(&format!("u{n}"), "x"));
        }
        let changes = presence.changes(2).expect("three came");
        assert_eq!((changes.people(), changes.count), (0, 3));
        assert!(presence.list(2).is_empty());
        assert_eq!(presence.list(3).len(), 3);
        presence.enter(&user("u0", "y"));
        assert_eq!(presence.changes(2), None);
    }

    #[test]
    fn pages_have_everybody_who_stays_once_whoever_comes_and_goes() {
        let mut presence = Presence::default();
        for n in (0..100).step_by(2) {
            presence.enter(&user(&format!("u{n:02}"), "x"));
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (people, has_more) = presence.page(after.as_deref(), 7);
            seen.extend(people.iter().map(|person| person.user.id.to_string()));
            presence.enter(&user(&format!("u{:02}", 2 * seen.len() - 1), "x"));
            presence.exit(&people[0].user, None);
            after = people.last().map(|person| Arc::clone(&person.user.id));
            if !has_more {
                break;
            }
        }
        let there: Vec<_> = (0..100).step_by(2).map(|n| format!("u{n:02}")).collect();
        seen.retain(|id| there.contains(id));
        assert_eq!(seen, there);
        assert_eq!(presence.page(Some("u99"), 7), (vec![], false));
    }
}
