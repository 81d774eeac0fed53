//! Rooms, presence and live logs over WebSocket: the server behind `fdx serve`.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use fullduplex_hub::{Config, Hub};
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let hub = Hub::new(Config::default(), listener).await?;
//! println!("listening on http://{}", hub.local_addr());
//! hub.run(async { /* until a signal, say */ }).await;
//! # Ok(())
//! # }
//! ```
//!
//! What it speaks is in `docs/hub-protocol.md`. Inside, a message goes
//! `session` (a command) → [`log`] (its place) → `core` (the room's ring) → `session` (everybody's write).

pub mod auth;
mod away;
mod config;
mod core;
mod drain;
mod echo;
#[cfg(feature = "sqlite")]
mod export;
mod http;
mod hub;
mod identity;
mod level;
pub mod log;
mod logs;
mod metrics;
mod rooms;
mod seldom;
mod server;
mod session;
mod signal;
mod tls;
mod traffic;
mod users;
mod visits;
mod wire;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use ::http::HeaderValue;
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{MissedTickBehavior, interval, sleep},
};

#[cfg(feature = "sqlite")]
pub use crate::export::{ExportError, export};
use crate::{
    auth::{Access, Gate},
    http::{Desk, Doors, Hosts, Pages, StaticDir},
    hub::Shared,
    log::{Committed, MemoryLimits, MemoryLog, Store},
    logs::Logs,
    rooms::Rooms,
    tls::Tls,
};
pub use crate::{
    config::{
        AllowedOrigins, Config, Limits, LogInput, LogSource, PlainMode, Rates, Site, Timeouts,
        TlsFiles,
    },
    core::{Author, Claim, Event, User, What},
    traffic::{NoNetwork, Rate, TrustedProxies},
};

/// How often rooms and users are looked for that may be forgotten. They wait many seconds; one more is soon.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// How often is looked whether the log stores anything: clients learn it so much later.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// The longest file of certificates or keys. 1 MiB: a long chain has some 20 KiB.
const MAX_KEY_FILE_BYTES: u64 = 1 << 20;

/// Where bans are in a data folder.
#[cfg(feature = "sqlite")]
pub(crate) const BANS_FILE: &str = "bans.json";

/// A hub that listens.
#[derive(Debug)]
pub struct Hub {
    desk: Arc<Desk>,
    listener: TcpListener,
    /// For those who look after the hub.
    operators: Option<TcpListener>,
    local_addr: SocketAddr,
    tls: Option<Arc<Tls>>,
}

/// What a hub can read anew while it runs.
#[derive(Debug, Clone)]
pub struct Reloader {
    tls: Option<Arc<Tls>>,
    hub: Weak<Shared>,
}

impl Reloader {
    /// Reads the certificate and its key anew: connections that are accepted from then on get it, and open ones stay. Likewise the
    /// public keys of tokens, from the file or address that the configuration names. What can't be used is told in the log, and
    /// what was there before is used on. Blocks while files are read.
    ///
    /// A hub does so by itself: with a certificate within a minute after the files changed, with keys now and then.
    ///
    /// # Cancel safety
    ///
    /// Dropped, the keys stay as they are.
    pub async fn reload(&self) {
        if let Some(tls) = &self.tls {
            tls.renew();
        }
        let has_keys = match self.hub.upgrade() {
            Some(hub) => hub.renew_keys().await,
            None => false,
        };
        if self.tls.is_none() && !has_keys {
            tracing::info!(
                "nothing was read anew: certificates and public keys of tokens would be, all else is read at start only"
            );
        }
    }
}

/// Why a hub can't be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself or names something that is not what it should be.
    #[error("{0}")]
    Config(String),
    /// A file or folder that the configuration names can't be used.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A log can't be followed.
    #[error(transparent)]
    Log(#[from] fullduplex_tail::FollowError),
    /// The log can't be opened.
    #[cfg(feature = "sqlite")]
    #[error(transparent)]
    Store(#[from] log::sqlite::OpenError),
    /// The listener has no address.
    #[error("the listener is of no use: {0}")]
    Listener(io::Error),
}

impl Config {
    /// Whether a hub at this address could be made of it. Reads the files and folders it names, and opens no log.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::new`].
    pub fn check(&self, address: SocketAddr) -> Result<(), StartError> {
        check(self, address)?;
        self.tls.as_ref().map(Tls::read).transpose()?;
        static_dir(self)?;
        Doors::new(self).map_err(StartError::Config)?;
        Ok(())
    }
}

impl Hub {
    /// A hub on a bound listener, with its log in memory.
    ///
    /// # Errors
    ///
    /// The configuration is not usable; the error says what to change.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing runs before it returns.
    pub async fn new(config: Config, listener: TcpListener) -> Result<Self, StartError> {
        let limits = MemoryLimits {
            room_events: config.limits.ring_events,
            events: config.limits.memory_events,
            bytes: config.limits.memory_bytes,
        };
        Self::with_log(config, listener, |committed| {
            Ok(Arc::new(MemoryLog::new(limits, committed)).into())
        })
        .await
    }

    /// A hub on a bound listener, with its log and its bans in a data folder. Blocks while they are opened.
    ///
    /// # Errors
    ///
    /// As [`Hub::new`], and if the log can't be used.
    ///
    /// # Cancel safety
    ///
    /// As [`Hub::new`].
    #[cfg(feature = "sqlite")]
    pub async fn durable(
        mut config: Config,
        listener: TcpListener,
        log: &log::sqlite::Options,
    ) -> Result<Self, StartError> {
        config
            .bans
            .get_or_insert_with(|| log.folder.join(BANS_FILE));
        Self::with_log(config, listener, |committed| {
            let log = log::sqlite::SqliteLog::open(log, committed)?;
            Ok(Arc::new(log).into())
        })
        .await
    }

    /// A hub on a bound listener, with a log of one's own, made from where it hands events that are
    /// committed.
    ///
    /// # Errors
    ///
    /// As [`Hub::new`], and those of `make_log`.
    ///
    /// # Cancel safety
    ///
    /// As [`Hub::new`].
    pub async fn with_log(
        config: Config,
        listener: TcpListener,
        make_log: impl FnOnce(Arc<dyn Committed>) -> Result<Store, StartError>,
    ) -> Result<Self, StartError> {
        let local_addr = listener.local_addr().map_err(StartError::Listener)?;
        check(&config, local_addr)?;
        let tls = config.tls.as_ref().map(Tls::read).transpose()?;
        let static_dir = static_dir(&config)?;
        let doors = Doors::new(&config).map_err(StartError::Config)?;
        let hosts = Arc::new(Hosts::new(&config, local_addr.ip()));
        let pages = Pages::new(&config).map_err(StartError::Config)?;
        let followers = Arc::new(Semaphore::new(config.limits.followers()));
        let echoes = Arc::new(Semaphore::new(config.limits.echo_connections));
        let logs = Logs::open(&config.logs).await?;
        let rooms = Arc::new(Rooms::new(&config));
        let store = make_log(Arc::clone(&rooms) as Arc<dyn Committed>)?;
        let shared = Arc::new(Shared::new(config, rooms, store, logs)?);
        let desk = Arc::new(Desk {
            shared,
            doors,
            static_dir,
            hosts,
            pages,
            followers,
            echoes,
        });
        Ok(Self {
            desk,
            listener,
            operators: None,
            local_addr,
            tls: tls.map(Arc::new),
        })
    }

    /// Serves `/metrics`, `/healthz` and `/readyz` on this listener, too, to whoever reaches it, without TLS; also while the hub
    /// stops.
    #[must_use]
    pub fn operators_on(mut self, listener: TcpListener) -> Self {
        self.operators = Some(listener);
        self
    }

    /// What can be read anew while it runs.
    pub fn reloader(&self) -> Reloader {
        Reloader {
            tls: self.tls.clone(),
            hub: Arc::downgrade(&self.desk.shared),
        }
    }

    /// The address that connections come to, with the real port.
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` resolves; then accepts no more, tells the clients of `fdx.v1.json` to come back and closes them
    /// with 1012 and all others with 1001, spread over [`Timeouts::drain`], and returns when all are gone, or were cut off
    /// [`Timeouts::shutdown`] later.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it accepts no more; connections that are open go on. To end them let `shutdown`
    /// resolve.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            desk,
            listener,
            operators,
            tls,
            ..
        } = self;
        let shared = &desk.shared;
        let router = http::router(&desk);
        shared.fetch_keys();
        let serving = async {
            tokio::select! {
                never = server::accept(&listener, shared, &router, tls.as_deref()) => never,
                never = watch(tls.as_ref()) => never,
                never = tell_news(shared) => never,
                never = sweep(shared) => never,
                never = look_at_health(shared) => never,
                () = shutdown => {}
            }
            drop(listener);
            shared.stop().await;
        };
        tokio::select! {
            never = look_after(operators, &desk) => never,
            () = serving => {}
        }
    }
}

/// Answers those who look after the hub, if there is a listener for them.
async fn look_after(listener: Option<TcpListener>, desk: &Arc<Desk>) -> ! {
    let listener = listener.and_then(|listener| Some((listener.local_addr().ok()?, listener)));
    match listener {
        Some((address, listener)) => {
            let config = &desk.shared.config;
            let router = http::operator_router(desk, Hosts::of_operators(config, address.ip()));
            server::accept_operators(&listener, &config.timeouts, &router).await
        }
        None => std::future::pending().await,
    }
}

/// Reads a certificate anew when it changed, if there is one.
async fn watch(tls: Option<&Arc<Tls>>) -> ! {
    match tls {
        Some(tls) => Arc::clone(tls).watch().await,
        None => std::future::pending().await,
    }
}

/// Tells who came and left and who types, what happened in a short while together.
async fn tell_news(shared: &Shared) -> ! {
    loop {
        shared.rooms.news_due().await;
        sleep(shared.config.timeouts.presence).await;
        shared.rooms.tell_news();
    }
}

/// Tells clients when nothing is stored, and when it is again.
async fn look_at_health(shared: &Shared) -> ! {
    let mut ticks = interval(HEALTH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.look_at_health();
    }
}

/// Forgets users and rooms that nobody came back to.
async fn sweep(shared: &Shared) -> ! {
    let mut ticks = interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shared.rooms.sweep();
    }
}

/// What can be told from the configuration alone.
fn check(config: &Config, address: SocketAddr) -> Result<(), StartError> {
    let refuse = |why: String| Err(StartError::Config(why));
    let is_public = config.is_public(address);
    if let Access::Tokens(tokens) = &config.access {
        Gate::check(&config.access)?;
        if tokens.cookie.is_some() && config.origins == AllowedOrigins::Any {
            let why = "with tokens in a cookie any page that may connect acts as the user; list the origins that may";
            return refuse(why.into());
        }
    } else if is_public && !config.logs.is_empty() && !config.logs_open {
        return refuse(format!(
            "anybody who reaches {address}, or its proxy, could read the logs; say that they may"
        ));
    } else if is_public && config.site == Site::Chat && config.access == Access::Loopback {
        return refuse(format!(
            "anybody who reaches {address}, or its proxy, could use it; ask for tokens or say that they may"
        ));
    }
    for (at, source) in config.logs.iter().enumerate() {
        if !core::is_room_name(&source.name) {
            return refuse(format!("\"{}\" can't name a log", source.name));
        }
        if config.logs[..at]
            .iter()
            .any(|other| other.name == source.name)
        {
            return refuse(format!("two logs are named \"{}\"", source.name));
        }
    }
    match &config.site {
        Site::Logs { .. } if config.logs.is_empty() => refuse("there is no log to show".into()),
        Site::Logs { at: Some(path) } if !config::is_extra_path(path) => {
            refuse(format!("\"{path}\" can't be the path of a log"))
        }
        Site::Chat | Site::Logs { .. } => Ok(()),
    }
}

fn static_dir(config: &Config) -> Result<Option<StaticDir>, StartError> {
    let Some(path) = &config.static_dir else {
        return Ok(None);
    };
    let policy = config
        .static_csp
        .as_deref()
        .map(HeaderValue::from_str)
        .transpose();
    let policy = policy.map_err(|_| StartError::Config("the policy can't be a header".into()))?;
    match StaticDir::new(path, policy) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) => Err(StartError::File {
            path: path.clone(),
            error,
        }),
    }
}

/// Reads a file that is one: a pipe would be waited for, before anything is listened to.
fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    if metadata.len() > MAX_KEY_FILE_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    std::fs::read(path)
}
