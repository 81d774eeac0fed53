//! Who is who, without accounts.

use std::hash::{BuildHasher, RandomState};

use crate::core::SessionId;

/// Makes user ids and avatar seeds out of secrets, one way.
///
/// `SipHash` under keys that this process draws at start: short inputs, outputs that tell nothing
/// about them, and no table of hashed e-mail addresses fits. Ids hold as long as the process, as
/// does what they are attached to.
#[derive(Debug)]
pub(crate) struct Identities {
    users: RandomState,
    avatars: RandomState,
}

impl Identities {
    pub(crate) fn new() -> Self {
        Self {
            users: RandomState::new(),
            avatars: RandomState::new(),
        }
    }

    /// The id of the user who holds this guest secret.
    pub(crate) fn guest(&self, secret: &str) -> String {
        format!("u_{:016x}", self.users.hash_one(secret))
    }

    /// The id of a user who holds none: one for each connection.
    pub(crate) fn stranger(&self, session: SessionId) -> String {
        format!("u_{:016x}", self.users.hash_one(session))
    }

    /// The public id of a session.
    pub(crate) fn session(&self, session: SessionId) -> String {
        format!("s_{:016x}", self.avatars.hash_one(session))
    }

    /// The avatar seed of an e-mail address, or of whatever else stands for a user.
    pub(crate) fn avatar(&self, of: &str) -> String {
        // Half the hash is plenty for a picture.
        format!(
            "{:08x}",
            self.avatars.hash_one(of.trim().to_lowercase()) >> 32
        )
    }
}
