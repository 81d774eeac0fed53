//! Keys that may change while the server runs.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::{KeySet, fetch::FetchError};

/// After how long keys are fetched anew, more or less, as long as somebody comes: issuers announce new keys hours ahead.
const REFRESH: Duration = Duration::from_secs(15 * 60);
/// The longest that keys are used without having them fetched anew: whoever comes later waits for that.
const OVERDUE: Duration = Duration::from_secs(15 * 60 * 5 / 4);
/// For how long nobody waits after that failed: of a source that hangs only few notice anything.
const TROUBLE: Duration = Duration::from_secs(60);
/// How long the source is left alone after a try began, and after it ended. Who shows tokens with keys that don't exist can't have it asked more often.
pub(super) const PAUSE: Duration = Duration::from_secs(10);
/// How long a try may take: half of what clients wait for a reply before they take the connection for dead.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gets the keys as they are now.
pub(super) type Fetch =
    Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<KeySet, FetchError>> + Send>> + Send + Sync>;

/// The keys as they were when they were last fetched.
pub(crate) struct Keyring {
    /// None for keys that don't change.
    fetch: Option<Fetch>,
    /// How long keys are used that can't be fetched again.
    life: Duration,
    state: Mutex<State>,
    /// Held while they are fetched.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    refresh_at: Option<Instant>,
    /// When a try failed, if that was the last one.
    failed: Option<Instant>,
}

/// What there is to check a token with.
pub(crate) struct Present {
    /// None if there never were any, or their time is over.
    pub(crate) keys: Option<Arc<KeySet>>,
    /// Whether they should be fetched anew by now.
    pub(crate) is_due: bool,
    /// Whether that should be waited for, as some of them may have been taken back long ago.
    pub(crate) is_overdue: bool,
}

impl Keyring {
    /// Keys that don't change.
    pub(crate) fn fixed(keys: KeySet) -> Self {
        let state = State {
            keys: Some(Arc::new(keys)),
            ..State::default()
        };
        Self {
            fetch: None,
            life: Duration::MAX,
            state: Mutex::new(state),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// Keys that are fetched, and were not yet.
    pub(super) fn fetched(fetch: Fetch, life: Duration) -> Self {
        Self {
            fetch: Some(fetch),
            life,
            state: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }
    }

    /// Whether there may be other keys than the present ones.
    pub(crate) const fn may_change(&self) -> bool {
        self.fetch.is_some()
    }

    /// The keys, as far as they may still be used.
    pub(crate) fn present(&self) -> Present {
        let mut state = self.lock();
        if state.fetched.is_some_and(|at| at.elapsed() >= self.life) {
            state.keys = None;
        }
        let now = Instant::now();
        let is_rested = state.tried.is_none_or(|at| now >= at + PAUSE);
        let is_in_trouble = state.failed.is_some_and(|at| now < at + TROUBLE);
        Present {
            keys: state.keys.clone(),
            is_due: is_rested && state.refresh_at.is_some_and(|at| now >= at),
            is_overdue: !is_in_trouble && state.fetched.is_some_and(|at| now >= at + OVERDUE),
        }
    }

    /// Fetches the keys, unless that was tried just before. Says whether they are now as they were after this call began.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the keys stay as they are.
    pub(crate) async fn refresh(&self) -> bool {
        let Some(fetch) = &self.fetch else {
            return true;
        };
        let _one_at_a_time = self.fetching.lock().await;
        let tried = self.lock().tried;
        if tried.is_some_and(|at| Instant::now() < at + PAUSE) {
            return false;
        }
        self.try_now(fetch).await
    }

    /// Fetches the keys for an operator who wants to have them now, however short ago that was tried. Says whether that worked.
    ///
    /// # Cancel safety
    ///
    /// As [`refresh`](Self::refresh).
    pub(crate) async fn renew(&self) -> bool {
        let Some(fetch) = &self.fetch else {
            return true;
        };
        let _one_at_a_time = self.fetching.lock().await;
        self.try_now(fetch).await
    }

    async fn try_now(&self, fetch: &Fetch) -> bool {
        self.lock().tried = Some(Instant::now());
        let fetched = timeout(PATIENCE, fetch()).await;
        let now = Instant::now();
        // Those who waited for this try make none of their own after it.
        self.lock().tried = Some(now);
        match fetched.unwrap_or(Err(FetchError::Slow)) {
            Ok(keys) => {
                let mut state = self.lock();
                state.keys = Some(Arc::new(keys));
                state.fetched = Some(now);
                state.refresh_at = Some(now + staggered(REFRESH));
                state.failed = None;
                true
            }
            Err(error) => {
                self.lock().failed = Some(now);
                tracing::warn!(%error, "the keys of tokens can't be fetched");
                false
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Three to five quarters of it, so that servers that started together don't ask together.
fn staggered(time: Duration) -> Duration {
    // Keyed by the system's randomness.
    let random = RandomState::new().hash_one(0_u8) % 1_000;
    let random = u32::try_from(random).unwrap_or(0);
    time * 3 / 4 + time / 2 * random / 1_000
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokio::time::{advance, sleep};

    use super::*;

    const LIFE: Duration = Duration::from_secs(24 * 3600);
    const SECRET: [&[u8]; 2] = [&[1; 32], &[2; 32]];

    /// A keyring whose source answers so, and then not at all; and how often it was asked.
    fn scripted(answers: &[Option<&'static [u8]>]) -> (Arc<Keyring>, Arc<AtomicUsize>) {
        let answers = Mutex::new(answers.iter().copied().collect::<VecDeque<_>>());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let fetch: Fetch = Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = answers.lock().unwrap().pop_front();
            Box::pin(async move {
                match answer {
                    Some(Some(secret)) => {
                        sleep(Duration::from_secs(1)).await;
                        Ok(KeySet::from_secret(secret)?)
                    }
                    Some(None) => Err(FetchError::Status(500)),
                    None => std::future::pending().await,
                }
            })
        });
        (Arc::new(Keyring::fetched(fetch, LIFE)), asked)
    }

    fn asked(count: &AtomicUsize) -> usize {
        count.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn however_many_want_new_keys_the_source_is_asked_once_and_then_left_alone() {
        let (keyring, count) = scripted(&[Some(SECRET[0]), Some(SECRET[1])]);
        assert!(keyring.present().keys.is_none());
        let all: Vec<_> = (0..50)
            .map(|_| {
                let keyring = Arc::clone(&keyring);
                tokio::spawn(async move { keyring.refresh().await })
            })
            .collect();
        let mut fresh = 0;
        for one in all {
            fresh += usize::from(one.await.unwrap());
            assert!(keyring.present().keys.is_some());
        }
        assert_eq!((fresh, asked(&count)), (1, 1));
        advance(PAUSE).await;
        assert!(keyring.refresh().await);
        assert_eq!(asked(&count), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_due_after_a_while_that_differs_and_not_again_right_after_a_failure() {
        let (keyring, count) = scripted(&[Some(SECRET[0]), None]);
        assert!(keyring.refresh().await);
        advance(REFRESH * 11 / 15).await;
        assert!(!keyring.present().is_due);
        advance(REFRESH * 8 / 15).await;
        assert!(keyring.present().is_due);
        assert!(!keyring.refresh().await);
        assert!(!keyring.present().is_due);
        advance(PAUSE).await;
        assert!(keyring.present().is_due && keyring.present().keys.is_some());
        // A source that does not answer is waited for only so long.
        assert!(!keyring.refresh().await);
        assert_eq!(asked(&count), 3);
        let times: std::collections::HashSet<_> = (0..20).map(|_| staggered(REFRESH)).collect();
        assert!(times.len() > 1);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_waited_for_after_a_long_time_and_not_just_after_a_failure() {
        let (keyring, _) = scripted(&[Some(SECRET[0]), None, Some(SECRET[1])]);
        assert!(!keyring.present().is_overdue, "there are none to use");
        assert!(keyring.refresh().await);
        advance(OVERDUE.saturating_sub(Duration::from_millis(1))).await;
        assert!(!keyring.present().is_overdue);
        advance(Duration::from_millis(1)).await;
        assert!(keyring.present().is_overdue);
        assert!(!keyring.refresh().await);
        assert!(!keyring.present().is_overdue);
        advance(TROUBLE).await;
        assert!(keyring.present().is_overdue);
        assert!(keyring.refresh().await);
        assert!(!keyring.present().is_overdue);
        advance(OVERDUE).await;
        assert!(keyring.present().is_overdue);
    }

    #[tokio::test(start_paused = true)]
    async fn keys_that_cant_be_fetched_again_are_used_until_their_limit() {
        let (keyring, _) = scripted(&[Some(SECRET[0]), None, None]);
        assert!(keyring.refresh().await);
        advance(LIFE * 23 / 24).await;
        assert!(!keyring.refresh().await);
        assert!(keyring.present().keys.is_some());
        advance(LIFE / 24).await;
        assert!(keyring.present().keys.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_waited_for_once_by_all_who_ask_meanwhile() {
        let (keyring, count) = scripted(&[Some(SECRET[0])]);
        assert!(keyring.refresh().await);
        advance(REFRESH * 2).await;
        let begin = Instant::now();
        let all: Vec<_> = (0..50)
            .map(|_| {
                let keyring = Arc::clone(&keyring);
                tokio::spawn(async move { keyring.refresh().await })
            })
            .collect();
        tokio::task::yield_now().await;
        let present = keyring.present();
        assert!(present.keys.is_some() && !present.is_due);
        for one in all {
            assert!(!one.await.unwrap());
        }
        assert_eq!((begin.elapsed(), asked(&count)), (PATIENCE, 2));
        assert!(!keyring.present().is_due);
        advance(PAUSE).await;
        assert!(keyring.present().is_due);
    }

    #[tokio::test(start_paused = true)]
    async fn an_operator_has_them_fetched_also_just_after_a_try_or_during_one() {
        let (keyring, count) = scripted(&[Some(SECRET[0]), None, Some(SECRET[1])]);
        let (under_way, wanted) = tokio::join!(keyring.refresh(), keyring.renew());
        assert_eq!((under_way, wanted, asked(&count)), (true, false, 2));
        assert!(keyring.renew().await);
        assert_eq!(asked(&count), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn fixed_keys_have_no_limit_and_are_never_due() {
        let keyring = Keyring::fixed(KeySet::from_secret(SECRET[0]).unwrap());
        advance(LIFE * 1_000).await;
        let present = keyring.present();
        assert!(present.keys.is_some() && !present.is_due && !keyring.may_change());
        assert!(!present.is_overdue);
        assert!(keyring.refresh().await);
    }
}
