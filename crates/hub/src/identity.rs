//! Who is who, without accounts.

use std::hash::{BuildHasher, RandomState};

use siphasher::sip::SipHasher24;

use crate::core::SessionId;

/// Makes user ids and avatar seeds out of secrets, one way.
///
/// `SipHash` under keys that come from the log, or that this process draws: short inputs, and no table of hashed e-mail addresses
/// fits. Who guesses an address can still have us hash it, and compare. The ids of guests and the avatars hold as long as the keys, so
/// that who sends a message again after a restart is still its author; all else as long as the process.
#[derive(Debug)]
pub(crate) struct Identities {
    users: SipHasher24,
    avatars: SipHasher24,
    sessions: RandomState,
}

impl Identities {
    /// With keys out of this secret, if there is one.
    pub(crate) fn new(secret: Option<[u8; 32]>) -> Self {
        let drawn = || SipHasher24::new_with_keys(random(), random());
        let (users, avatars) = match secret {
            Some(secret) => {
                let [mut first, mut second] = [[0; 16]; 2];
                first.copy_from_slice(&secret[..16]);
                second.copy_from_slice(&secret[16..]);
                (
                    SipHasher24::new_with_key(&first),
                    SipHasher24::new_with_key(&second),
                )
            }
            None => (drawn(), drawn()),
        };
        Self {
            users,
            avatars,
            sessions: RandomState::new(),
        }
    }

    /// The id of the user who holds this guest secret.
    pub(crate) fn guest(&self, secret: &str) -> String {
        format!("u_{:016x}", self.users.hash(secret.as_bytes()))
    }

    /// The id of a user who holds none: one for each connection, and never that of another one's before a restart.
    pub(crate) fn stranger(&self, session: SessionId) -> String {
        format!("u_{:016x}", self.sessions.hash_one(("user", session)))
    }

    /// The public id of a session: nobody but its own client knows it, and it can't be guessed.
    pub(crate) fn session(&self, session: SessionId) -> String {
        format!("s_{:016x}", self.session_number(session))
    }

    /// The number in it.
    pub(crate) fn session_number(&self, session: SessionId) -> u64 {
        self.sessions.hash_one(("session", session))
    }

    /// The avatar seed of an e-mail address, or of whatever else stands for a user.
    pub(crate) fn avatar(&self, of: &str) -> String {
        let seed = of.trim().to_lowercase();
        // Half the hash is plenty for a picture.
        format!("{:08x}", self.avatars.hash(seed.as_bytes()) >> 32)
    }
}

/// A number that nobody can guess.
pub(crate) fn random() -> u64 {
    // Keyed by the system's randomness.
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_and_avatars_last_as_long_as_the_secret_and_strangers_as_the_process() {
        let [one, same] = [(); 2].map(|()| Identities::new(Some([7; 32])));
        let other = Identities::new(Some([8; 32]));
        assert_eq!(one.guest("g"), same.guest("g"));
        assert_eq!(one.avatar(" A@x"), same.avatar("a@X "));
        assert_ne!(one.guest("g"), other.guest("g"));
        assert_ne!(one.avatar("a@x"), other.avatar("a@x"));
        let session = SessionId(0);
        assert_ne!(one.stranger(session), same.stranger(session));
        assert_ne!(one.stranger(session)[2..], one.session(session)[2..]);
        let [drawn, again] = [(); 2].map(|()| Identities::new(None));
        assert_ne!(drawn.guest("g"), again.guest("g"));
    }
}
