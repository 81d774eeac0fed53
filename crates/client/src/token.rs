//! Where tokens come from, one after the other.

use std::{error::Error, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

/// How long is waited for a token: half of the minute for which a server tells in advance that the one before ends.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A token on its way, or why there is none.
pub(crate) type Fetch = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;

#[derive(Clone)]
pub(crate) struct Source(Arc<dyn Fn() -> Fetch + Send + Sync>);

impl Source {
    pub(crate) fn new<F, Fut, E>(source: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        Self(Arc::new(move || {
            let token = source();
            Box::pin(async move {
                let token = timeout(MAX_WAIT, token).await;
                let token = token.map_err(|_| "its source does not answer".to_owned())?;
                token.map_err(|error| error.into().to_string())
            })
        }))
    }

    /// Asks for one.
    pub(crate) fn fetch(&self) -> Fetch {
        (self.0)()
    }

    /// Asks for one after half of the time that is left of the one before.
    pub(crate) fn fetch_within(&self, left: Duration) -> Fetch {
        let source = self.clone();
        Box::pin(async move {
            sleep(left / 2).await;
            source.fetch().await
        })
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}
