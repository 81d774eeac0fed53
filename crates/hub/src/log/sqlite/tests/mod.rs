//! What a log in a file must do beyond what every log must.

mod copies;
mod costs;
mod damage;
mod erasing;
mod files;
mod full_disk;
mod reading;
mod restart;
mod retention;
mod slow_disk;
mod wal;
mod writing;

use std::{
    fs::{self, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
};

use rusqlite::TransactionBehavior;
use tempfile::TempDir;

use super::*;
use crate::{
    core::{Event, Mark, What},
    log::{
        Appended, Cursor, Reset, Span, Timings,
        conformance::{ALL, Seen, Subject, conformance, draft, says},
        projection_conformance::{looking_for, page_at, projection_conformance},
    },
};

const HOUR: Duration = Duration::from_secs(3_600);

/// Nobody is told that it took too long, and there is time for all that waits, however slow the machine and its disk are.
fn patient() -> Limits {
    Limits {
        turn: HOUR,
        write: HOUR,
        read: HOUR,
        search: HOUR,
        close: HOUR,
        ..Limits::default()
    }
}

fn open(folder: &Path) -> Result<Subject, OpenError> {
    open_as(&Options::new(folder))
}

fn open_as(options: &Options) -> Result<Subject, OpenError> {
    let seen = Arc::new(Seen::default());
    let committed = Arc::clone(&seen) as _;
    let log = Arc::new(SqliteLog::open_with(options, committed, patient(), |_| {})?);
    Ok(Subject {
        store: log.into(),
        seen,
        _held: Box::new(()),
    })
}

fn keeps(folder: &Path, events: u64) -> Options {
    Options {
        retention: Retention { events, age: None },
        ..Options::new(folder)
    }
}

fn start(kept: usize) -> Subject {
    let folder = TempDir::new().unwrap();
    let subject = open_as(&keeps(folder.path(), kept as u64)).unwrap();
    Subject {
        _held: Box::new(folder),
        ..subject
    }
}

conformance!(start);
projection_conformance!(start);

/// A second program that works with the database.
fn other(folder: &Path) -> Connection {
    Connection::open(folder.join(FILE)).unwrap()
}

fn count(conn: &Connection, table: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    conn.query_row(&sql, [], |row| row.get(0)).unwrap()
}

/// A transaction of another program: until it is dropped, the writer waits.
fn hold(conn: &mut Connection) -> rusqlite::Transaction<'_> {
    conn.busy_timeout(LOCK_PATIENCE).unwrap();
    conn.transaction_with_behavior(TransactionBehavior::Immediate)
        .unwrap()
}

/// A log whose commits fail when this says so.
fn failing(
    folder: &Path,
    fails: impl FnMut() -> bool + Send + 'static,
) -> (Subject, Arc<SqliteLog>) {
    failing_within(&Options::new(folder), patient(), fails)
}

/// As [`failing`], with limits of its own, of a log that keeps so much.
fn failing_within(
    options: &Options,
    limits: Limits,
    fails: impl FnMut() -> bool + Send + 'static,
) -> (Subject, Arc<SqliteLog>) {
    let seen = Arc::new(Seen::default());
    let log = SqliteLog::open_with(options, Arc::clone(&seen) as _, limits, |conn| {
        conn.commit_hook(Some(fails)).unwrap();
    });
    with_log(log.unwrap(), seen)
}

/// A log with limits of its own.
fn limited(folder: &Path, limits: Limits) -> (Subject, Arc<SqliteLog>) {
    let seen = Arc::new(Seen::default());
    let options = Options::new(folder);
    let log = SqliteLog::open_with(&options, Arc::clone(&seen) as _, limits, |_| {});
    with_log(log.unwrap(), seen)
}

fn with_log(log: SqliteLog, seen: Arc<Seen>) -> (Subject, Arc<SqliteLog>) {
    let log = Arc::new(log);
    let subject = Subject {
        store: Arc::clone(&log).into(),
        seen,
        _held: Box::new(()),
    };
    (subject, log)
}

fn wal_size(folder: &Path) -> u64 {
    fs::metadata(folder.join("hub.db-wal")).map_or(0, |file| file.len())
}

/// Waits until the writer has taken all there is to be done.
async fn taken(log: &SqliteLog) {
    while !log.queue.is_empty() {
        tokio::task::yield_now().await;
    }
}

/// Has the writer done all that it does unasked at its beginning, so that the next commit is a message's.
async fn settled(subject: &Subject) {
    // With the second one it has looked for what is too old, which is a commit, too.
    for cid in ["c0", "c1"] {
        stored(subject, cid).await;
    }
}

/// Says something until it is stored: where a disk is slow and nobody has patience, more than once.
async fn stored(subject: &Subject, cid: &str) {
    let is_stored = async {
        while subject.append(says("u1", cid, cid)).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let stored = tokio::time::timeout(Duration::from_secs(60), is_stored).await;
    stored.expect("it can be stored again");
}

/// Waits for all of these.
async fn all<T>(these: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all = Vec::new();
    for one in these {
        all.push(one.await);
    }
    all
}

/// Waits for what another thread does in its own time.
async fn until(mut is_so: impl FnMut() -> bool) {
    let so = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), so)
        .await
        .expect("it happens in time");
}

/// A database with some pages.
async fn filled(folder: &Path) -> Vec<Event> {
    let subject = open(folder).unwrap();
    for n in 0..400 {
        let body = format!("{n} ").repeat(200);
        drop(subject.append(says("u1", &n.to_string(), &body)));
    }
    subject.say("last").await;
    subject.seen.all()
}

/// Writes over some pages, from that of a message in the middle on.
fn damage(folder: &Path) {
    let path = folder.join(FILE);
    let bytes = fs::read(&path).unwrap();
    let said = "200 ".repeat(200);
    let at = bytes
        .windows(said.len())
        .position(|part| part == said.as_bytes());
    let page = at.unwrap() as u64 / 4096;
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    for page in page..page + 8 {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&[0x5a; 4096]).unwrap();
    }
}
