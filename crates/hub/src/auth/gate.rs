//! Who is let in.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    Access, Grant, KeyError, KeySet, KeySource, Refusal, Rules, Tokens,
    fetch::{Server, from_file, from_server},
    files::warn_if_for_others,
    keyring::{Keyring, Present},
    read_public, verify,
};
use crate::{
    StartError,
    hub::{Shared, now},
    log::{Answer, Lost},
};

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    #[error("a token is needed here")]
    NoToken,
    #[error("{0}")]
    Refused(Refusal),
    /// Never is anybody let in because of that.
    #[error("tokens can't be checked right now")]
    Unavailable,
    #[error("you are banned from this server")]
    Banned,
}

impl Lost for Denied {
    fn lost() -> Self {
        Self::Unavailable
    }
}

/// What lets somebody in, or not.
pub(crate) struct Gate {
    /// None if nothing is asked for.
    tokens: Option<Checker>,
    /// What one has before one was let in.
    initial: Arc<Grant>,
}

struct Checker {
    keyring: Keyring,
    rules: Rules,
}

impl Gate {
    /// Reads the keys that are in files, as [`new`](Self::new) does, and no more.
    ///
    /// # Errors
    ///
    /// They can't be used.
    pub(crate) fn check(access: &Access) -> Result<(), StartError> {
        match access {
            Access::Loopback | Access::Open => Ok(()),
            Access::Tokens(tokens) => keyring(tokens).map(drop),
        }
    }

    /// Reads the keys that are in files, and warns if others can read a secret. Blocks.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub(crate) fn new(access: &Access) -> Result<Self, StartError> {
        let Access::Tokens(tokens) = access else {
            return Ok(Self {
                tokens: None,
                initial: Arc::new(Grant::open()),
            });
        };
        if let KeySource::Secret(path) = &tokens.keys {
            warn_if_for_others(path);
        }
        Ok(Self {
            tokens: Some(Checker {
                keyring: keyring(tokens)?,
                rules: tokens.rules.clone(),
            }),
            initial: Arc::new(Grant::nothing()),
        })
    }

    /// Whether nobody is let in without a token.
    pub(crate) const fn asks_for_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// What one may before one has shown a token: all that is open, or nothing.
    pub(crate) fn initial(&self) -> Arc<Grant> {
        Arc::clone(&self.initial)
    }
}

impl Shared {
    /// What somebody with this token may.
    pub(crate) fn admit(self: &Arc<Self>, token: Option<&str>) -> Answer<Arc<Grant>, Denied> {
        if token.is_some_and(|token| self.is_admin(token)) {
            return Answer::given(Ok(Arc::new(Grant::admin())));
        }
        let Some(checker) = &self.gate.tokens else {
            return Answer::given(Ok(self.gate.initial()));
        };
        let Some(token) = token else {
            return Answer::given(Err(Denied::NoToken));
        };
        let Present {
            keys,
            is_due,
            is_overdue,
        } = checker.keyring.present();
        let judged = keys
            .filter(|_| !is_overdue)
            .map(|keys| verify(token, &keys, &checker.rules, now() / 1_000));
        match judged {
            None => {}
            Some(Err(Refusal::UnknownKey)) if checker.keyring.may_change() => {}
            Some(judged) => {
                if is_due {
                    self.fetch_keys();
                }
                return Answer::given(judged.map(Arc::new).map_err(Denied::Refused));
            }
        }
        let (answered, answer) = Answer::later();
        let (hub, token) = (Arc::clone(self), token.to_owned());
        self.spawn(async move {
            let judged = match &hub.gate.tokens {
                Some(checker) => checker.check_anew(&token).await,
                None => Err(Denied::Unavailable),
            };
            // Who has gone meanwhile needs no answer.
            answered.send(judged).ok();
        });
        answer
    }

    /// Whether this is the administrator's token.
    pub(crate) fn is_admin(&self, token: &str) -> bool {
        let admin = self.config.admin.as_ref();
        admin.is_some_and(|admin| admin.is(token))
    }

    /// Fetches the keys of tokens at once, and tells the operator who wanted that. False where they are read at start only.
    pub(crate) async fn renew_keys(&self) -> bool {
        let checker = self.gate.tokens.as_ref();
        let Some(checker) = checker.filter(|checker| checker.keyring.may_change()) else {
            return false;
        };
        if checker.keyring.renew().await {
            tracing::info!("the keys of tokens were read anew");
        }
        true
    }

    /// Fetches the keys of tokens, where they are elsewhere, meanwhile.
    pub(crate) fn fetch_keys(self: &Arc<Self>) {
        let hub = Arc::clone(self);
        self.spawn(async move {
            if let Some(checker) = &hub.gate.tokens {
                checker.keyring.refresh().await;
            }
        });
    }
}

impl Checker {
    /// Checks a token with the keys as they are now.
    async fn check_anew(&self, token: &str) -> Result<Arc<Grant>, Denied> {
        let is_fresh = self.keyring.refresh().await;
        let keys = self.keyring.present().keys.ok_or(Denied::Unavailable)?;
        match verify(token, &keys, &self.rules, now() / 1_000) {
            // Its key may have come since they were fetched.
            Err(Refusal::UnknownKey) if !is_fresh => Err(Denied::Unavailable),
            judged => judged.map(Arc::new).map_err(Denied::Refused),
        }
    }
}

/// When a grant ends, by a clock that nobody sets.
pub(crate) fn end_of(grant: &Grant) -> Option<Instant> {
    let left = (grant.expires()?.saturating_mul(1_000)).saturating_sub(now());
    Instant::now().checked_add(Duration::from_millis(left))
}

fn keyring(tokens: &Tokens) -> Result<Keyring, StartError> {
    let fetch = match &tokens.keys {
        KeySource::Secret(path) => {
            let secret = read_public(path).map_err(|error| in_file(path, error))?;
            return KeySet::from_secret(&secret)
                .map(Keyring::fixed)
                .map_err(|error| unusable(path, error));
        }
        KeySource::File(path) => {
            let file = read_public(path).map_err(|error| in_file(path, error))?;
            // It is read again when it is needed; a mistake is told now.
            KeySet::from_public(&file).map_err(|error| unusable(path, error))?;
            from_file(path.clone())
        }
        KeySource::Url { url, ca } => {
            let tls = match ca {
                Some(ca) => read_public(ca)
                    .and_then(|pem| fullduplex::tls::client_config_with_ca(&pem))
                    .map_err(|error| in_file(ca, error))?,
                None => fullduplex::tls::client_config()
                    .map_err(|error| StartError::Config(error.to_string()))?,
            };
            from_server(Server::new(url, tls).map_err(StartError::Config)?)
        }
    };
    Ok(Keyring::fetched(fetch, tokens.key_life))
}

fn in_file(path: &Path, error: std::io::Error) -> StartError {
    StartError::File {
        path: path.to_owned(),
        error,
    }
}

fn unusable(path: &Path, error: KeyError) -> StartError {
    in_file(
        path,
        std::io::Error::new(std::io::ErrorKind::InvalidData, error),
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::advance;

    use super::*;
    use crate::{
        Config,
        auth::{Claims, SigningKey, fetch::FetchError, keyring::PAUSE},
        log::{MemoryLimits, MemoryLog},
        logs::Logs,
        rooms::Rooms,
    };

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// An issuer who has these keys: their ids, or none if it can't be reached.
    type Issuer = Arc<Mutex<Option<Vec<&'static str>>>>;

    /// A hub that fetches the keys of an issuer.
    async fn hub() -> (Arc<Shared>, Issuer) {
        let config = Config::default();
        let rooms = Arc::new(Rooms::new(&config));
        let limits = MemoryLimits {
            room_events: 1,
            events: 1,
            bytes: 1,
        };
        let log = MemoryLog::new(limits, Arc::clone(&rooms) as _);
        let logs = Logs::open(&[]).await.unwrap();
        let mut hub = Shared::new(config, rooms, Arc::new(log).into(), logs).unwrap();
        let issuer = Issuer::default();
        let has = Arc::clone(&issuer);
        let fetch = move || {
            let has = has.lock().unwrap().clone();
            Box::pin(async move { has.map(|kids| set(&kids)).ok_or(FetchError::Status(500)) }) as _
        };
        hub.gate = Gate {
            tokens: Some(Checker {
                keyring: Keyring::fetched(Box::new(fetch), DAY),
                rules: Rules::default(),
            }),
            initial: Arc::new(Grant::nothing()),
        };
        (Arc::new(hub), issuer)
    }

    /// Keys with these ids. The key is the same: it is ids that tell them apart here.
    fn set(kids: &[&str]) -> KeySet {
        let key = include_bytes!("../../tests/keys/p256.pub.pem");
        let key = KeySet::from_public(key).unwrap().0.remove(0).1;
        let keys = kids.iter().map(|kid| (Some((*kid).into()), key.clone()));
        KeySet(keys.collect())
    }

    fn token(kid: &str) -> String {
        let key = SigningKey::from_file(include_bytes!("../../tests/keys/p256.pem")).unwrap();
        let claims = Claims {
            sub: "ana".into(),
            exp: Some(u64::MAX),
            ..Claims::default()
        };
        key.token(&claims, Some(kid)).unwrap()
    }

    async fn admitted(hub: &Arc<Shared>, kid: &str) -> Result<(), Denied> {
        let grant = hub.admit(Some(&token(kid))).await?;
        assert_eq!(&**grant.user_id().unwrap(), "ana");
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn s48_a_new_signing_key_is_fetched_when_a_token_names_it_and_an_old_one_ends() {
        let (hub, issuer) = hub().await;
        *issuer.lock().unwrap() = Some(vec!["old"]);
        assert_eq!(admitted(&hub, "old").await, Ok(()));
        *issuer.lock().unwrap() = Some(vec!["old", "new"]);
        // Not more often than now and then; until then nobody is told that the token is bad.
        assert_eq!(admitted(&hub, "new").await, Err(Denied::Unavailable));
        advance(PAUSE).await;
        assert_eq!(admitted(&hub, "new").await, Ok(()));
        advance(PAUSE).await;
        let unknown = Err(Denied::Refused(Refusal::UnknownKey));
        assert_eq!(admitted(&hub, "other").await, unknown);
        // Nobody names a new one, and what was taken back is good for a while only.
        *issuer.lock().unwrap() = Some(vec!["new"]);
        assert_eq!(admitted(&hub, "old").await, Ok(()));
        advance(Duration::from_secs(20 * 60)).await;
        assert_eq!(admitted(&hub, "old").await, unknown, "the first who comes");
        assert_eq!(admitted(&hub, "new").await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn s49_keys_that_cant_be_fetched_are_used_until_their_limit_and_then_nobody_is_let_in() {
        let (hub, issuer) = hub().await;
        assert_eq!(admitted(&hub, "old").await, Err(Denied::Unavailable));
        *issuer.lock().unwrap() = Some(vec!["old"]);
        advance(PAUSE).await;
        assert_eq!(admitted(&hub, "old").await, Ok(()));
        *issuer.lock().unwrap() = None;
        for _ in 0..23 {
            advance(DAY / 24).await;
            assert_eq!(admitted(&hub, "old").await, Ok(()));
            assert_eq!(admitted(&hub, "new").await, Err(Denied::Unavailable));
        }
        advance(DAY / 24).await;
        assert_eq!(admitted(&hub, "old").await, Err(Denied::Unavailable));
        assert_eq!(hub.admit(None).await, Err(Denied::NoToken));
        *issuer.lock().unwrap() = Some(vec!["new"]);
        advance(PAUSE).await;
        let unknown = Err(Denied::Refused(Refusal::UnknownKey));
        assert_eq!(admitted(&hub, "old").await, unknown);
        assert_eq!(admitted(&hub, "new").await, Ok(()));
    }
}
