//! The log in a file, by SQLite.
//!
//! One thread writes: what queued while it was busy goes into its next transaction, so that all share one sync of
//! the disk, and nobody waits for a timer. Others read. A message is answered and delivered after its commit, never before.

mod alone;
mod asker;
mod copy;
mod decide;
mod empty;
mod erase;
mod error;
mod files;
mod marks;
mod new_file;
mod projection;
mod queue;
mod reacting;
mod reader;
mod recover;
mod restored;
mod retention;
mod rows;
mod schema;
mod trim;
mod wal;
mod watch;
mod writer;

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension as _};

pub use self::{
    copy::Archive,
    error::OpenError,
    recover::Recovered,
    retention::{Retention, RoomRetention},
};
use self::{
    erase::{Erasures, Request},
    error::Trouble,
    files::Files,
    queue::{Queue, Refused},
    reader::{Budget, PAGING, READING, Readers, SEARCHING},
    retention::{Rules, Sweep},
    trim::Crowded,
    wal::Wal,
    watch::Owed,
    writer::{Marking, Pending, State, Times, Work, Writer},
};
use super::{
    Answer, Append, AppendError, Bounds, Committed, Draft, Found, Health, Load, Log, Page,
    PageQuery, PageSize, Projection, ReadError, ReadMark, SearchQuery, Sought, Start, Tail,
    stamp::new_epoch,
};
use crate::{BANS_FILE, seldom::Seldom};

/// The database in a data folder.
const FILE: &str = "hub.db";
/// Locked while a server uses the folder. It says [`MADE`] once there is a database.
const LOCK: &str = "hub.lock";
const MADE: &[u8] = b"made\n";

/// How long another program, say one that makes a backup, may keep the database locked before messages are refused.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// Drafts that may wait for the writer: every client of a full hub with one, and some with more.
const MAX_WAITING: usize = 16_384;
/// Bytes of texts that may wait for the writer.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// Up to this size a database is checked at start: a second or two. A larger one is opened as it is; what is wrong with it
/// is told where it is met.
const MAX_CHECKED_BYTES: u64 = 1 << 30;

/// What nobody configures, and tests make smaller.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How long what was deleted may still be in the write-ahead log, unless somebody reads it.
    erase: Duration,
    /// Pages that the write-ahead log may have: 1 GiB. Only somebody who reads one state of the database for minutes, say to copy it,
    /// makes it grow like that. Then messages are refused.
    wal_pages: u32,
    /// How long the writer stores, drops or erases before the next have their turn, but for the commit: a pause that nobody notices. What a
    /// message costs depends on its length, and on what it changes.
    turn: Duration,
    /// How long a message may wait for a lock or the disk, before it is refused or its outcome is unknown.
    write: Duration,
    /// How long a read may take, with the wait for its turn.
    read: Duration,
    /// How long a search may take once it is its turn: what finds half of all there is, is better asked for in another way.
    search: Duration,
    /// How long is waited, at the end, for what is under way.
    close: Duration,
}

impl Limits {
    const fn reading(&self) -> Budget {
        Budget {
            whole: self.read,
            turn: self.read,
        }
    }

    const fn searching(&self) -> Budget {
        Budget {
            turn: self.search,
            ..self.reading()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            erase: Duration::from_secs(5),
            wal_pages: 1 << 18,
            turn: Duration::from_millis(50),
            write: Duration::from_secs(5),
            read: Duration::from_secs(5),
            search: Duration::from_secs(2),
            close: Duration::from_secs(3),
        }
    }
}

/// What a crash may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was acknowledged, also when the power fails.
    #[default]
    Full,
    /// Nothing when the process is killed; the last moments when the power fails.
    Normal,
}

/// Where a log is kept, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data folder, which is made if need be.
    pub folder: PathBuf,
    /// What a crash may take.
    pub durability: Durability,
    /// What is kept of rooms that [`rooms`](Self::rooms) does not name.
    pub retention: Retention,
    /// What is kept of others. The first that fits a room counts.
    pub rooms: Vec<RoomRetention>,
    /// Rooms that may be known. Default a million.
    pub max_rooms: usize,
}

impl Options {
    /// Those of a log in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            durability: Durability::default(),
            retention: Retention::default(),
            rooms: Vec::new(),
            max_rooms: 1_000_000,
        }
    }
}

/// A log in a data folder.
pub struct SqliteLog {
    path: PathBuf,
    epoch: Arc<str>,
    secret: [u8; 32],
    queue: Arc<Queue<Work>>,
    health: Arc<Mutex<Health>>,
    times: Times,
    writer: Option<JoinHandle<()>>,
    readers: Readers,
    pagers: Readers,
    searchers: Readers,
    limits: Limits,
    /// Ends the thread that watches over the writer.
    _watch: mpsc::Sender<()>,
}

impl SqliteLog {
    /// Opens the log in a folder, and makes it if need be. Blocks while the database is checked.
    ///
    /// # Errors
    ///
    /// It can't be used; the error says what to do.
    pub fn open(options: &Options, committed: Arc<dyn Committed>) -> Result<Self, OpenError> {
        Self::open_with(options, committed, Limits::default(), |_| {})
    }

    fn open_with(
        options: &Options,
        committed: Arc<dyn Committed>,
        limits: Limits,
        prepare: impl FnOnce(&mut Connection),
    ) -> Result<Self, OpenError> {
        let lock = lock_folder(&options.folder)?;
        let path = options.folder.join(FILE);
        let failed = |error: rusqlite::Error| OpenError::new(&path, &error);
        let mut conn = connect(&path, options.durability)?;
        let (epoch, secret) = identity(&mut conn).map_err(failed)?;
        // A full disk is no reason not to read what there is.
        (&lock).write_all(MADE).ok();
        let sweep = Sweep::read(&conn).map_err(failed)?;
        let state = State::read(&conn, options.max_rooms).map_err(failed)?;
        let erasures = Erasures::unfinished(&conn).map_err(failed)?;
        let wal = Wal::of(&mut conn, limits).map_err(failed)?;
        prepare(&mut conn);
        let readers = Readers::start(&path, READING).map_err(failed)?;
        let pagers = Readers::start(&path, PAGING).map_err(failed)?;
        let searchers = Readers::start(&path, SEARCHING).map_err(failed)?;
        let queue = Arc::new(Queue::new(MAX_WAITING, MAX_WAITING_BYTES));
        let health = Arc::new(Mutex::new(Health::Well));
        let owed = Arc::new(Owed::default());
        let times = Times::default();
        let writer = Writer {
            conn,
            committed,
            rules: Rules {
                others: options.retention,
                rooms: options.rooms.clone(),
            },
            sweep,
            crowded: Crowded::default(),
            erasures,
            state,
            unstorable: Seldom::new(1),
            wal,
            // With the readers' connections, all are there.
            files: Files::of(&options.folder),
            trouble: Trouble::new(path.clone(), Arc::clone(&health)),
            owed: Arc::clone(&owed),
            limits,
            times: times.clone(),
        };
        let work = {
            let queue = Arc::clone(&queue);
            move || {
                writer.run(&queue);
                // Not before: another one may use the folder then.
                drop(lock);
            }
        };
        let started = thread::Builder::new().name("log writer".into()).spawn(work);
        let (watch, over) = mpsc::channel();
        let started = started.and_then(|writer| {
            let readers = [&readers, &pagers, &searchers].map(Readers::watched);
            watch::watch(owed, Arc::clone(&queue), readers, limits.write, over)?;
            Ok(writer)
        });
        let writer = started.map_err(|error| OpenError::Folder {
            path: path.clone(),
            error,
        })?;
        Ok(Self {
            writer: Some(writer),
            path,
            epoch,
            secret,
            queue,
            health,
            times,
            readers,
            pagers,
            searchers,
            limits,
            _watch: watch,
        })
    }

    /// Leaves something to the writer.
    fn hand_over(&self, work: Work) -> Result<(), Refused> {
        let bytes = work.bytes();
        self.queue.push(work, bytes)
    }
}

impl Projection for SqliteLog {
    fn page(&self, query: PageQuery) -> Answer<Page, ReadError> {
        let epoch = Arc::clone(&self.epoch);
        self.pagers.read(self.limits.reading(), move |conn| {
            projection::page(conn, &epoch, &query)
        })
    }

    fn search(&self, query: SearchQuery) -> Answer<Found, ReadError> {
        self.searchers.read(self.limits.searching(), move |conn| {
            projection::search(conn, &query)
        })
    }

    fn mark(&self, room: &Arc<str>, user: &Arc<str>) -> Answer<ReadMark, ReadError> {
        let (room, user) = (Arc::clone(room), Arc::clone(user));
        self.readers.read(self.limits.reading(), move |conn| {
            marks::get(conn, &room, &user)
        })
    }

    fn set_mark(&self, room: &Arc<str>, user: &Arc<str>, seq: u64) -> Answer<ReadMark, ReadError> {
        let (answer, later) = Answer::later();
        let marking = Marking {
            mark: marks::Mark {
                room: Arc::clone(room),
                user: Arc::clone(user),
                seq,
            },
            answer,
            readers: self.readers.desk(),
            since: Instant::now(),
        };
        match self.hand_over(Work::Mark(marking)) {
            Ok(()) => later,
            Err(Refused::Full) => Answer::given(Err(ReadError::Busy)),
            Err(Refused::Closed) => Answer::given(Err(ReadError::Unavailable)),
        }
    }
}

impl Log for SqliteLog {
    fn append(&self, draft: Draft) -> Append {
        let (answer, append) = Answer::later();
        let pending = Work::Append(Pending {
            draft,
            answer,
            since: Instant::now(),
        });
        match self.hand_over(pending) {
            Ok(()) => append,
            Err(Refused::Full) => Answer::given(Err(AppendError::Busy)),
            Err(Refused::Closed) => Answer::given(Err(AppendError::Unavailable)),
        }
    }

    fn bounds(&self, room: &Arc<str>) -> Answer<Bounds, ReadError> {
        let (room, epoch) = (Arc::clone(room), Arc::clone(&self.epoch));
        self.readers.read(self.limits.reading(), move |conn| {
            Ok(rows::bounds(conn, &epoch, &room)?.1)
        })
    }

    fn seek(&self, room: &Arc<str>, seq: u64) -> Answer<Sought, ReadError> {
        let (room, epoch) = (Arc::clone(room), Arc::clone(&self.epoch));
        self.readers.read(self.limits.reading(), move |conn| {
            rows::seek(conn, &epoch, &room, seq)
        })
    }

    fn tail(&self, room: &Arc<str>, start: Start, max: PageSize) -> Answer<Tail, ReadError> {
        let (room, epoch) = (Arc::clone(room), Arc::clone(&self.epoch));
        self.readers.read(self.limits.reading(), move |conn| {
            rows::tail(conn, &epoch, &room, start, max)
        })
    }

    fn erase(&self, user: &Arc<str>) -> Answer<u64, AppendError> {
        let (answer, later) = Answer::later();
        let request = Work::Erase(Request {
            user: Arc::clone(user),
            answer,
            since: Instant::now(),
        });
        match self.hand_over(request) {
            Ok(()) => later,
            Err(Refused::Full) => Answer::given(Err(AppendError::Busy)),
            Err(Refused::Closed) => Answer::given(Err(AppendError::Unavailable)),
        }
    }

    fn health(&self) -> Health {
        if self.writer.as_ref().is_none_or(JoinHandle::is_finished) {
            return error::ended();
        }
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.clone()
    }

    fn load(&self) -> Option<Load> {
        let (waiting, waiting_bytes) = self.queue.waiting();
        let Times { appends, commits } = self.times.clone();
        Some(Load {
            waiting,
            waiting_bytes,
            appends,
            commits,
        })
    }

    fn secret(&self) -> Option<[u8; 32]> {
        Some(self.secret)
    }
}

impl Drop for SqliteLog {
    fn drop(&mut self) {
        let deadline = Instant::now() + self.limits.close;
        // Readers first: the writer, as the last one, then leaves nothing beside the database.
        self.queue.close();
        let readers = [&mut self.readers, &mut self.pagers, &mut self.searchers];
        let readers = readers
            .map(|desk| desk.close(deadline))
            .iter()
            .all(|ended| *ended);
        // The writer itself may be the last who knew of us, by way of somebody it told of an event.
        let writer = watch::join(self.writer.take().into_iter().collect(), deadline);
        if !(readers && writer) {
            tracing::error!(path = %self.path.display(), "the disk is too slow: what is under way is given up");
            self.queue.abandon();
        }
    }
}

impl fmt::Debug for SqliteLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteLog")
            .field("path", &self.path)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// Why a folder can't be made, if it is because of a file.
fn of_folder(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            io::Error::new(error.kind(), "there is a file where a folder is needed")
        }
        _ => error,
    }
}

/// Makes the folder and the database, for nobody else to look into, and locks it.
fn lock_folder(folder: &Path) -> Result<fs::File, OpenError> {
    let failed = |error| OpenError::Folder {
        path: folder.to_owned(),
        error,
    };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(folder)
        .map_err(|error| failed(of_folder(error)))?;
    let lock = private(fs::OpenOptions::new().create(true).write(true))
        .open(folder.join(LOCK))
        .map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {
            let path = folder.join(FILE);
            if was_emptied(&path, &lock).map_err(failed)? {
                return Err(corrupt(&path, "it is empty".into()));
            }
            // SQLite gives the files beside it the same rights.
            private(fs::OpenOptions::new().create(true).append(true))
                .open(path)
                .map_err(failed)?;
            narrow(folder).map_err(failed)?;
            Ok(lock)
        }
        Err(fs::TryLockError::WouldBlock) => Err(OpenError::InUse {
            path: folder.to_owned(),
        }),
        Err(fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Whether there was something in a database of which no byte is left: say, because a full disk did not take the backup that was to be put
/// there. One that was never filled is made anew, and so is one that somebody has deleted.
fn was_emptied(path: &Path, lock: &fs::File) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(file) => Ok(file.len() == 0 && lock.metadata()?.len() > 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            lock.set_len(0)?;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// For a file that nobody else may read: it holds what was said, and the secret of ids.
fn private(options: &mut fs::OpenOptions) -> &mut fs::OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Takes the right to read them from others, should files that were there before have given it.
fn narrow(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    for name in ["hub.db", "hub.db-wal", "hub.db-shm", LOCK, BANS_FILE] {
        use std::os::unix::fs::PermissionsExt as _;
        match fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The writer's connection, to a database that was checked and has the present schema.
fn connect(path: &Path, durability: Durability) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| OpenError::new(path, &error);
    restored::check(path)?;
    let mut conn = Connection::open(path).map_err(failed)?;
    conn.busy_timeout(LOCK_PATIENCE).map_err(failed)?;
    // Before anything is changed.
    check_version(&conn, path)?;
    use_wal(&conn, path)?;
    configure(&conn, durability).map_err(failed)?;
    check_pages(&conn, path)?;
    schema::migrate(&mut conn).map_err(failed)?;
    match missing_end(&conn).map_err(failed)? {
        None => Ok(conn),
        Some(what) => Err(corrupt(path, what)),
    }
}

/// SQLite goes on without a write-ahead log where there can be none. We don't: readers would stop the writer.
fn use_wal(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let mode =
        conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
    match mode {
        Ok(mode) if mode == "wal" => Ok(()),
        Ok(_) => Err(OpenError::Other {
            path: path.to_owned(),
            error: "there can be no write-ahead log here: choose a folder on a local disk".into(),
        }),
        Err(error) => Err(OpenError::new(path, &error)),
    }
}

fn configure(conn: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let synchronous = match durability {
        Durability::Full => "full",
        Durability::Normal => "normal",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    // What was deleted is overwritten.
    conn.pragma_update(None, "secure_delete", true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn check_version(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| OpenError::new(path, &error);
    let path = path.to_owned();
    let found = schema::version(conn).map_err(failed)?;
    let application: i32 = conn
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .map_err(failed)?;
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = conn
        .query_row(tables, [], |row| row.get(0))
        .map_err(failed)?;
    if application != schema::APPLICATION_ID && (application != 0 || tables > 0) {
        return Err(OpenError::Foreign { path });
    }
    if found > schema::VERSION {
        let known = schema::VERSION;
        return Err(OpenError::Newer { path, found, known });
    }
    Ok(())
}

/// Looks through a database that is not too big for damage.
fn check_pages(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
    if size > MAX_CHECKED_BYTES {
        tracing::info!(path = %path.display(), size, "too big to be checked at start");
        return Ok(());
    }
    check_all_pages(conn, path)
}

/// However long that takes.
fn check_all_pages(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let verdict = conn
        .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
        .map_err(|error| OpenError::new(path, &error))?;
    match &*verdict {
        "ok" => Ok(()),
        // The first line only says that something follows.
        _ => Err(corrupt(
            path,
            verdict.lines().last().unwrap_or_default().to_owned(),
        )),
    }
}

/// Looks whether the newest event of each room is the one that its row names. Says where not.
fn missing_end(conn: &Connection) -> rusqlite::Result<Option<String>> {
    let wrong = "SELECT name FROM rooms WHERE head > floor AND NOT EXISTS
        (SELECT 1 FROM log WHERE seq = head AND room = rooms.id AND substr(log.id, -6) = head_chk)";
    let wrong = conn.query_row(wrong, [], |row| row.get::<_, String>(0));
    Ok(wrong
        .optional()?
        .map(|room| format!("the end of room \"{room}\" is missing")))
}

fn corrupt(path: &Path, what: String) -> OpenError {
    OpenError::Corrupt {
        path: path.to_owned(),
        what,
    }
}

/// The name of the history and the secret of users' ids, made with the database. What was copied to be used here begins another history.
fn identity(conn: &mut Connection) -> rusqlite::Result<(Arc<str>, [u8; 32])> {
    let tx = conn.transaction()?;
    let begins = if schema::unmark_copy(&tx)? {
        "REPLACE"
    } else {
        "INSERT OR IGNORE"
    };
    let begin = format!("{begins} INTO meta (key, value) VALUES ('epoch', ?)");
    tx.execute(&begin, [&*new_epoch()])?;
    tx.execute(
        "INSERT OR IGNORE INTO meta VALUES ('secret', randomblob(32))",
        [],
    )?;
    tx.execute(
        "INSERT OR IGNORE INTO meta VALUES ('clock', ?)",
        [rows::integer(crate::hub::now())],
    )?;
    let get = "SELECT value FROM meta WHERE key = ?";
    let epoch = tx.query_row(get, ["epoch"], |row| row.get(0))?;
    let secret = tx.query_row(get, ["secret"], |row| row.get(0))?;
    tx.commit()?;
    Ok((epoch, secret))
}

#[cfg(test)]
mod tests;
