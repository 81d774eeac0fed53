//! What can be wrong with a database, and what to do about it.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::{ErrorCode, ffi};

use crate::log::Health;

/// When trying again may make sense: a disk is seldom emptied, or a lock let go, sooner.
const RETRY: Duration = Duration::from_secs(2);
/// When it may once the writer has ended: after a new start.
const RETRY_ENDED: Duration = Duration::from_secs(10);

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder can't be made or written to.
    #[error("{}: {error}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another server uses it.
    #[error("{}: another server uses this data folder; stop it, or choose another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// There is none.
    #[error("{}: there is no database here", path.display())]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// A newer program made it.
    #[error(
        "{}: made by a newer version of this program (schema {found}, this one knows {known}); use that version",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The newest one known here.
        known: i32,
    },
    /// It is another program's.
    #[error("{}: not a database of this program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It is a copy, or empty, and what stands beside it belongs to another database.
    #[error(
        "{}: belongs to the database that was here before: put that back, or delete this file, and {}",
        path.display(),
        shm.display()
    )]
    Leftover {
        /// The write-ahead log.
        path: PathBuf,
        /// What belongs to that.
        shm: PathBuf,
    },
    /// It is damaged.
    #[error(
        "{}: the database is damaged ({what}); restore a backup, or save what can be read with `fdx recover`; `fdx check` says more",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Another program holds a lock on it.
    #[error("{}: another program keeps the database locked", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// There is no space left, or for this user none.
    #[error("{}: the disk takes no more: it is full, a quota is used up, or it fails", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Something else.
    #[error("{}: {error}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What the database says.
        error: String,
    },
}

impl OpenError {
    /// What an error of the database means for the file at `path`.
    pub(super) fn new(path: impl Into<PathBuf>, error: &rusqlite::Error) -> Self {
        let path = path.into();
        match error.sqlite_error_code() {
            _ if is_full(error) => Self::Full { path },
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt {
                path,
                what: error.to_string(),
            },
            Some(ErrorCode::NotADatabase) => Self::Foreign { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            _ => Self::Other {
                path,
                error: error.to_string(),
            },
        }
    }
}

/// Whether something could not be written. SQLite knows of full disks, and takes a quota for a failure.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(ffi::SQLITE_FULL | ffi::SQLITE_IOERR_WRITE))
}

/// The state of a log whose writer has ended.
pub(super) fn ended() -> Health {
    Health::ReadOnly {
        why: "nothing is stored any more: start anew".into(),
        retry: RETRY_ENDED,
    }
}

/// Tells the operator when writing begins to fail and when it works again: once each, not for every message.
#[derive(Debug)]
pub(super) struct Trouble {
    path: PathBuf,
    told: Option<String>,
    /// Whether it is one of space, which no single message shows to be over.
    is_full: bool,
    retry_at: Option<Instant>,
    health: Arc<Mutex<Health>>,
}

impl Trouble {
    pub(super) const fn new(path: PathBuf, health: Arc<Mutex<Health>>) -> Self {
        Self {
            path,
            told: None,
            is_full: false,
            retry_at: None,
            health,
        }
    }

    pub(super) fn report_error(&mut self, error: &rusqlite::Error) {
        self.is_full |= is_full(error);
        self.report(&OpenError::new(&self.path, error));
    }

    pub(super) fn report(&mut self, why: &impl ToString) {
        let why = why.to_string();
        self.retry_at = Some(Instant::now() + RETRY);
        if self.told.as_ref() != Some(&why) {
            tracing::error!("messages can't be stored: {why}");
            self.set(Health::ReadOnly {
                why: why.as_str().into(),
                retry: RETRY,
            });
            self.told = Some(why);
        }
    }

    pub(super) const fn is_there(&self) -> bool {
        self.told.is_some()
    }

    /// Whether it is one of space.
    pub(super) const fn is_full(&self) -> bool {
        self.is_full
    }

    /// When it makes sense to try whether it is over.
    pub(super) const fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(super) fn is_over(&mut self) {
        self.is_full = false;
        self.retry_at = None;
        if self.told.take().is_some() {
            tracing::info!("messages are stored again");
            self.set(Health::Well);
        }
    }

    fn set(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }
}
