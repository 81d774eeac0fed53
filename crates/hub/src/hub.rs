//! What all connections of a hub share.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::SystemTime,
};

use tokio::{sync::Semaphore, time::timeout};
use tokio_util::task::TaskTracker;

use crate::{
    StartError,
    auth::{Bans, Denied, Gate, Guests},
    config::Config,
    core::SessionId,
    identity::Identities,
    log::{Health, Log, Projection, Store},
    logs::Logs,
    metrics::Metrics,
    rooms::{Rooms, opening::Opening},
    seldom::Seldom,
    session::{Encoder, Open, Refusals},
    signal::Signal,
    traffic::Traffic,
    users::Users,
    visits::Visits,
};

/// Why no new clients should be sent to a hub.
#[derive(Debug)]
pub(crate) enum Unready {
    /// It stops.
    Stops,
    /// Its log takes nothing, for this reason, which is the operator's.
    ReadOnly(Arc<str>),
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) encoder: Encoder,
    pub(crate) traffic: Traffic,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) log: Arc<dyn Log>,
    /// What the log comes to.
    pub(crate) projection: Arc<dyn Projection>,
    pub(crate) users: Arc<Users>,
    /// Rooms on their way out of the log.
    pub(crate) opening: Opening,
    pub(crate) logs: Logs,
    pub(crate) identities: Identities,
    pub(crate) guests: Guests,
    pub(crate) gate: Gate,
    pub(crate) bans: Bans,
    /// Raised when the hub begins to stop: nobody new is let in.
    pub(crate) draining: Signal,
    /// Raised when the hub has waited long enough for them.
    killing: Signal,
    /// Everything that runs for a connection.
    tasks: TaskTracker,
    sessions: AtomicU64,
    /// Sessions whose connection is open.
    pub(crate) open: Open,
    /// Whether the log stored nothing when that was [looked at](Self::look_at_health) last.
    pub(crate) is_read_only: AtomicBool,
    /// What is open besides.
    pub(crate) visits: Arc<Visits>,
    pub(crate) refusals: Refusals,
    /// Places for connections.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) told: Arc<Told>,
}

/// What is told of single connections and requests, of which there may be floods.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) ended: Seldom,
    pub(crate) refused: Seldom,
    /// Tokens that are no good.
    pub(crate) denied: Seldom,
    pub(crate) failed: Seldom,
    /// That there is a proxy which is not named.
    pub(crate) proxy: OnceLock<()>,
}

impl Told {
    /// Somebody was not let in. Of tokens that are no good there is a line, for who looks out for guesses.
    pub(crate) fn denied(&self, address: IpAddr, denied: Denied) {
        if let Denied::Refused(why) = denied {
            self.denied.tell(|left_out| {
                tracing::info!(%address, %why, left_out, "token refused");
            });
        }
    }

    /// Older lines of a log can't be read.
    pub(crate) fn log_failed(&self, log: &str, error: &io::Error) {
        self.failed.tell(|left_out| {
            tracing::warn!(log, %error, left_out, "older lines can't be read");
        });
    }
}

impl Shared {
    /// # Errors
    ///
    /// The keys that the configuration names can't be used, or its bans can't be read.
    pub(crate) fn new(
        config: Config,
        rooms: Arc<Rooms>,
        store: Store,
        logs: Logs,
    ) -> Result<Self, StartError> {
        let Store { log, projection } = store;
        let gate = Gate::new(&config.access)?;
        let guests = Guests::new(log.secret())
            .map_err(|_| StartError::Config("this system has no randomness".into()))?;
        let bans = Bans::open(config.bans.clone(), config.limits.bans);
        let bans = bans.map_err(|error| StartError::File {
            path: config.bans.clone().unwrap_or_default(),
            error,
        })?;
        Ok(Self {
            places: Arc::new(Semaphore::new(config.limits.connections)),
            metrics: Arc::new(Metrics::new()),
            told: Arc::default(),
            traffic: Traffic::new(&config),
            encoder: Encoder::new(&config),
            config,
            rooms,
            identities: Identities::new(log.secret()),
            guests,
            gate,
            bans,
            log,
            projection,
            users: Arc::default(),
            opening: Opening::default(),
            logs,
            draining: Signal::default(),
            killing: Signal::default(),
            tasks: TaskTracker::new(),
            sessions: AtomicU64::new(0),
            open: Open::default(),
            is_read_only: AtomicBool::new(false),
            visits: Arc::default(),
            refusals: Refusals::default(),
        })
    }

    pub(crate) fn next_session(&self) -> SessionId {
        SessionId(self.sessions.fetch_add(1, Ordering::Relaxed))
    }

    /// Why no new clients should be sent here, if they should not.
    pub(crate) fn unready(&self) -> Option<Unready> {
        if self.draining.is_raised() {
            return Some(Unready::Stops);
        }
        match self.log.health() {
            Health::Well => None,
            Health::ReadOnly { why, .. } => Some(Unready::ReadOnly(why)),
        }
    }

    /// Connections that have a place.
    pub(crate) fn connections(&self) -> usize {
        let free = self.places.available_permits();
        self.config.limits.connections.saturating_sub(free)
    }

    /// Runs a connection, or what became of it, until it ends or the hub does.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // Boxed, as the memory of tasks comes in steps of 128 bytes.
        let mut task = Box::pin(self.killing.until(task));
        let metrics = Arc::clone(&self.metrics);
        self.tasks.spawn(poll_fn(move |cx| {
            let _watched = Watched(&metrics);
            task.as_mut().poll(cx).map(drop)
        }));
    }

    /// Tells every connection to end and waits until they have, or the time is up.
    pub(crate) async fn stop(&self) {
        self.draining.raise();
        let drain = self.config.timeouts.drain;
        tokio::join!(self.open.stop_all(drain), self.visits.stop_all(drain));
        self.tasks.close();
        if timeout(self.config.timeouts.shutdown, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = self.tasks.len(),
                "cut off: they did not end in time"
            );
            self.killing.raise();
            self.tasks.wait().await;
        }
    }
}

/// Counts a panic that ends it.
struct Watched<'a>(&'a Metrics);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.panicked();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.rooms.lanes().clear();
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Milliseconds since 1970; 0 on a clock before that.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}
