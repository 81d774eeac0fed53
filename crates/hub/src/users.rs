//! The open sessions of each user who may have several.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{core::SessionId, session::Seat};

type Sessions = Vec<(SessionId, Weak<Seat>)>;

#[derive(Debug, Default)]
pub(crate) struct Users(Mutex<HashMap<Arc<str>, Sessions>>);

impl Users {
    /// Adds a session of a user.
    pub(crate) fn enter(
        self: &Arc<Self>,
        user: &Arc<str>,
        session: SessionId,
        seat: &Arc<Seat>,
    ) -> Present {
        let mut users = self.lock();
        let sessions = users.entry(Arc::clone(user)).or_default();
        sessions.push((session, Arc::downgrade(seat)));
        Present {
            users: Arc::clone(self),
            user: Arc::clone(user),
            session,
        }
    }

    /// A user's sessions but this one.
    pub(crate) fn others(&self, user: &str, session: SessionId) -> Vec<Arc<Seat>> {
        let users = self.lock();
        let sessions = users.get(user).into_iter().flatten();
        let others = sessions.filter(|(other, _)| *other != session);
        others.filter_map(|(_, seat)| seat.upgrade()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Sessions>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session among its user's, until this is dropped.
#[derive(Debug)]
pub(crate) struct Present {
    users: Arc<Users>,
    user: Arc<str>,
    session: SessionId,
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut users = self.users.lock();
        if let Some(sessions) = users.get_mut(&self.user) {
            sessions.retain(|(session, _)| *session != self.session);
            if sessions.is_empty() {
                users.remove(&self.user);
            }
        }
    }
}
