//! The sessions in a room.

use std::sync::Arc;

use super::{event::User, notice::Watch, own_number::OwnNumberMap, shard::Slot};

/// Names one connection's session for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionId(pub(crate) u64);

/// How a room tells a session that there is something to read.
///
/// Called under the shard's lock, so it must be short and must not call back.
pub(crate) trait Wake {
    fn wake(&self, room: Slot);
}

/// One session in one room.
#[derive(Debug)]
pub(crate) struct Member<W> {
    pub(crate) session: SessionId,
    pub(crate) wake: W,
    /// Who this session is, once it chose a name.
    pub(crate) user: Option<Arc<User>>,
    /// What it wants to be told besides what the log keeps: plain sessions have no form for it.
    pub(crate) watch: Watch,
    /// Whether the session was told that there is something to read, and has not read it all yet.
    awake: bool,
}

impl<W: Wake> Member<W> {
    pub(crate) const fn new(
        session: SessionId,
        wake: W,
        user: Option<Arc<User>>,
        watch: Watch,
    ) -> Self {
        Self {
            session,
            wake,
            user,
            watch,
            awake: false,
        }
    }

    fn rouse(&mut self, room: Slot) {
        if !self.awake {
            self.awake = true;
            self.wake.wake(room);
        }
    }

    /// The session has read everything: the next event wakes it again.
    pub(crate) const fn sleep(&mut self) {
        self.awake = false;
    }
}

/// A member, as a round knows it.
#[derive(Debug)]
pub(crate) struct Listener<W> {
    pub(crate) session: SessionId,
    pub(crate) wake: W,
}

/// The members of a room: a vector, because notices walk it, and an index into it.
#[derive(Debug)]
pub(crate) struct Members<W> {
    list: Vec<Member<W>>,
    index: OwnNumberMap<SessionId, usize>,
    /// All of them, for rounds; made anew for the first one after somebody came or left.
    listeners: Option<Arc<[Listener<W>]>>,
}

impl<W: Wake + Clone> Members<W> {
    pub(crate) fn new() -> Self {
        Self {
            list: Vec::new(),
            index: OwnNumberMap::default(),
            listeners: None,
        }
    }

    /// All that are here now.
    pub(crate) fn listeners(&mut self) -> Arc<[Listener<W>]> {
        let listener = |member: &Member<W>| Listener {
            session: member.session,
            wake: member.wake.clone(),
        };
        let listeners = self
            .listeners
            .get_or_insert_with(|| self.list.iter().map(listener).collect());
        Arc::clone(listeners)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn get_mut(&mut self, session: SessionId) -> Option<&mut Member<W>> {
        self.index.get(&session).map(|&at| &mut self.list[at])
    }

    pub(crate) fn insert(&mut self, member: Member<W>) {
        self.listeners = None;
        self.index.insert(member.session, self.list.len());
        self.list.push(member);
    }

    pub(crate) fn remove(&mut self, session: SessionId) -> Option<Member<W>> {
        let at = self.index.remove(&session)?;
        self.listeners = None;
        let member = self.list.swap_remove(at);
        if let Some(moved) = self.list.get(at) {
            self.index.insert(moved.session, at);
        }
        Some(member)
    }

    /// Wakes a member that is not awake yet.
    pub(crate) fn rouse(&mut self, session: SessionId, room: Slot) {
        if let Some(member) = self.get_mut(session) {
            member.rouse(room);
        }
    }

    /// Wakes every member that is not awake yet.
    pub(crate) fn rouse_all(&mut self, room: Slot) {
        for member in &mut self.list {
            member.rouse(room);
        }
    }

    /// Wakes every member that watches so and is not awake yet.
    pub(crate) fn rouse_watching(&mut self, watches: impl Fn(Watch) -> bool, room: Slot) {
        for member in self.list.iter_mut().filter(|member| watches(member.watch)) {
            member.rouse(room);
        }
    }
}
