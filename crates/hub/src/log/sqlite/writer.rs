//! The one thread that writes. What queued while it was busy with a commit goes into the next one, together.

use std::{
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::{
    Limits,
    decide::{Decided, decide},
    empty,
    erase::{self, Erasures, Request},
    error::Trouble,
    files::Files,
    marks::{self, Mark},
    queue::{Queue, Taken},
    reader::Desk,
    retention::{Rules, Sweep, Swept},
    rows::{self, RoomRow},
    wal::Wal,
    watch::Owed,
};
use crate::{
    core::{self, What},
    log::{AppendError, Appended, Committed, Draft, ReadError, ReadMark, Timings, stamp::Stamps},
};

/// Drafts in one transaction. Beyond that the first of them would wait long for little: a commit of so many costs hardly more
/// than one of half as many.
const MAX_BATCH: usize = 256;
/// Bytes of texts in one transaction: a few hundred pages to be synced.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// Rooms whose row is remembered: some MiB. The rest are read again.
const MAX_ROOMS: usize = 16_384;
/// How often is looked for what has become too old. Ages are days.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// A draft that waits for its commit, and whom to tell.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) draft: Draft,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
    pub(super) since: Instant,
}

/// A read mark that waits for its commit, and who is to tell what it comes to.
pub(super) struct Marking {
    pub(super) mark: Mark,
    pub(super) answer: oneshot::Sender<Result<ReadMark, ReadError>>,
    pub(super) readers: Desk,
    pub(super) since: Instant,
}

/// What the writer is asked for.
pub(super) enum Work {
    Append(Pending),
    Mark(Marking),
    Erase(Request),
}

impl Work {
    pub(super) const fn since(&self) -> Instant {
        match self {
            Self::Append(pending) => pending.since,
            Self::Mark(marking) => marking.since,
            Self::Erase(request) => request.since,
        }
    }

    /// Tells who waits that it is not done.
    pub(super) fn refuse(self, error: AppendError) {
        // Who does not wait any more needs no answer.
        match self {
            Self::Append(pending) => drop(pending.answer.send(Err(error))),
            Self::Mark(marking) => drop(marking.answer.send(Err(ReadError::Unavailable))),
            Self::Erase(request) => drop(request.answer.send(Err(error))),
        }
    }
}

pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) committed: Arc<dyn Committed>,
    pub(super) rules: Rules,
    pub(super) sweep: Sweep,
    pub(super) erasures: Erasures,
    pub(super) state: State,
    pub(super) wal: Wal,
    pub(super) files: Files,
    pub(super) trouble: Trouble,
    pub(super) owed: Arc<Owed>,
    pub(super) limits: Limits,
    pub(super) times: Times,
}

/// How long it took.
#[derive(Debug, Clone, Default)]
pub(super) struct Times {
    pub(super) appends: Arc<Timings>,
    pub(super) commits: Arc<Timings>,
}

/// What the writer knows of the database without reading it.
pub(super) struct State {
    /// The newest position of all.
    pub(super) last_seq: u64,
    pub(super) stamps: Stamps,
    pub(super) rooms: HashMap<Arc<str>, RoomRow>,
}

/// What a transaction did.
struct Stored {
    decided: Vec<Decided>,
    /// Rooms that lost their oldest events.
    trimmed: Vec<(Arc<str>, core::Mark)>,
    /// Of each read mark, whether it was further back before.
    raised: Vec<bool>,
}

/// Why a transaction did not happen.
enum Failed {
    /// Nothing of it is in the database.
    Before(rusqlite::Error),
    /// It may be, once the database is opened again.
    AtCommit(rusqlite::Error),
}

impl Failed {
    const fn error(&self) -> &rusqlite::Error {
        let (Self::Before(error) | Self::AtCommit(error)) = self;
        error
    }

    /// What to tell those who were in it.
    fn outcome(&self) -> AppendError {
        match self {
            // A disk that is full did not take the frame that would have ended the transaction.
            Self::AtCommit(error) if !super::error::is_full(error) => AppendError::Timeout,
            _ => AppendError::Unavailable,
        }
    }
}

impl State {
    /// What the database says.
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let head = "SELECT coalesce(max(head), 0) FROM rooms";
        let last_seq = conn.query_row(head, [], |row| rows::number(row, 0))?;
        let (forgotten_seq, forgotten_ts) = empty::forgotten(conn)?;
        // Also of rooms of which nothing is kept.
        let newest = "SELECT coalesce(max(head_ts), 0) FROM rooms";
        let last_ts = conn.query_row(newest, [], |row| rows::number(row, 0))?;
        Ok(Self {
            last_seq: last_seq.max(forgotten_seq),
            stamps: Stamps::after(last_ts.max(forgotten_ts)),
            rooms: HashMap::new(),
        })
    }
}

/// Writes in one transaction. Waits for a lock of another program as long as `patience` says.
fn transact<T>(
    conn: &Connection,
    patience: Duration,
    write: impl FnOnce() -> rusqlite::Result<T>,
) -> Result<T, Failed> {
    let write = || {
        conn.busy_timeout(patience)?;
        conn.execute_batch("BEGIN IMMEDIATE")?;
        write()
    };
    let written = write().map_err(Failed::Before)?;
    conn.execute_batch("COMMIT").map_err(Failed::AtCommit)?;
    Ok(written)
}

/// Sees to it that nobody waits for a writer that is gone, also by a panic.
struct Working<'a>(&'a Queue<Work>, Arc<Owed>);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.abandon();
        drop(self.1.end());
        if thread::panicking() {
            tracing::error!("no messages are stored any more: start anew");
        }
    }
}

/// Tells those who were in a transaction that did not happen.
fn refuse(
    drafts: Vec<oneshot::Sender<Result<Appended, AppendError>>>,
    marking: Vec<Marking>,
    error: AppendError,
) {
    for answer in drafts {
        answer.send(Err(error)).ok();
    }
    for Marking { answer, .. } in marking {
        answer.send(Err(ReadError::Unavailable)).ok();
    }
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Queue<Work>) {
        let _working = Working(queue, Arc::clone(&self.owed));
        let mut sweep_at = Instant::now();
        loop {
            let others = [self.wal.due(), self.trouble.retry_at(), self.erasing_due()];
            let until = others.into_iter().flatten().fold(sweep_at, Instant::min);
            match queue.take(MAX_BATCH, MAX_BATCH_BYTES, Some(until)) {
                Taken::Items(batch) => self.work(batch),
                Taken::Nothing => self.try_again(),
                Taken::Closed => break,
            }
            self.erase();
            self.wal.tend(&self.conn);
            if sweep_at <= Instant::now() {
                let is_done = self.sweep();
                // Else others come in between.
                if is_done {
                    sweep_at = Instant::now() + SWEEP_INTERVAL;
                }
            }
        }
        // For whoever copies the database's file alone. What ends as the last one does that anyway; but another program may be reading.
        if !self.wal.empty(&self.conn) {
            tracing::warn!(
                "another program reads the database: hub.db-wal belongs to it until the next start"
            );
        }
    }

    /// Stores a batch with one commit, hands on what is new, and answers.
    fn work(&mut self, batch: Vec<Work>) {
        if self.is_hindered() {
            for work in batch {
                work.refuse(AppendError::Unavailable);
            }
            return;
        }
        let oldest = batch.first().map_or_else(Instant::now, Work::since);
        let patience = self.limits.write.saturating_sub(oldest.elapsed());
        let (mut drafts, mut answers, mut marking) = (Vec::new(), Vec::new(), Vec::new());
        let mut requests = Vec::new();
        let mut handed_over = Vec::new();
        for work in batch {
            match work {
                Work::Append(Pending {
                    draft,
                    answer,
                    since,
                }) => {
                    drafts.push(draft);
                    answers.push(answer);
                    handed_over.push(since);
                }
                Work::Mark(one) => marking.push(one),
                Work::Erase(one) => requests.push(one),
            }
        }
        self.owed.begin(answers);
        let deletes = |draft: &Draft| matches!(draft.what, What::Delete { .. });
        let has_deleted = drafts.iter().any(deletes);
        let begun = Instant::now();
        let stored = self.store(drafts, &marking, patience);
        match stored {
            Ok(Stored {
                decided,
                trimmed,
                raised,
            }) => {
                self.times.commits.record(begun.elapsed());
                self.trouble.is_over();
                self.wal.grew(has_deleted);
                let mut results = Vec::with_capacity(decided.len());
                for decided in decided {
                    results.push(self.hand_on(decided));
                }
                for (room, floor) in trimmed {
                    self.committed.trimmed(&room, floor);
                }
                for since in handed_over {
                    self.times.appends.record(since.elapsed());
                }
                for (answer, result) in self.owed.end().into_iter().zip(results) {
                    // Who does not wait any more needs no answer.
                    answer.send(result).ok();
                }
                for (marking, is_raised) in marking.into_iter().zip(raised) {
                    let Marking {
                        mark,
                        answer,
                        readers,
                        ..
                    } = marking;
                    let get = move |conn: &Connection| {
                        let mark = marks::get(conn, &mark.room, &mark.user)?;
                        Ok(ReadMark { is_raised, ..mark })
                    };
                    // Where it can't be asked for the answer is gone, which says that.
                    readers.ask(answer, self.limits.reading(), get).ok();
                }
            }
            Err(failed) => {
                let error = self.recover(&failed);
                refuse(self.owed.end(), marking, error);
            }
        }
        for request in requests {
            self.begin_erasing(request);
        }
    }

    /// Finds out whether a trouble is over while nobody sends anything: who was told that nothing is stored waits until that is over.
    fn try_again(&mut self) {
        if !self.trouble.is_there() || self.is_hindered() {
            return;
        }
        let write = "BEGIN IMMEDIATE; UPDATE meta SET value = value WHERE key = 'epoch'; COMMIT";
        match self.conn.execute_batch(write) {
            Ok(()) => {
                self.trouble.is_over();
                self.wal.grew(false);
            }
            Err(error) => {
                self.recover(&Failed::Before(error));
            }
        }
    }

    /// Whether there is no point in trying to store anything. The operator is told why.
    fn is_hindered(&mut self) -> bool {
        if let Some(file) = self.files.lost() {
            let file = file.display();
            self.trouble.report(&format!(
                "{file} was deleted, moved or replaced: put it back, or start anew"
            ));
            true
        } else if self.wal.is_full(&self.conn) {
            self.trouble.report(
                &"another program has been reading for so long that hub.db-wal grew to its limit",
            );
            true
        } else {
            false
        }
    }

    fn hand_on(&self, decided: Decided) -> Result<Appended, AppendError> {
        match decided {
            Decided::New(event, appended) => {
                self.committed.committed(event);
                Ok(appended)
            }
            Decided::Known(result) => result,
        }
    }

    fn store(
        &mut self,
        drafts: Vec<Draft>,
        marking: &[Marking],
        patience: Duration,
    ) -> Result<Stored, Failed> {
        let Self {
            conn, state, rules, ..
        } = self;
        if state.rooms.len() > MAX_ROOMS {
            state.rooms.clear();
        }
        transact(conn, patience, || {
            let mut decided = Vec::with_capacity(drafts.len());
            let mut touched: HashMap<Arc<str>, RoomRow> = HashMap::new();
            for draft in drafts {
                decided.push(decide(conn, state, &mut touched, draft)?);
            }
            let mut trimmed = Vec::new();
            for (name, mut room) in touched {
                let floor = room.floor;
                rules.drop_surplus(conn, &name, &mut room)?;
                rows::update_room(conn, &room)?;
                if room.floor != floor {
                    trimmed.push((Arc::clone(&name), room.floor));
                }
                state.rooms.insert(name, room);
            }
            let raised = marking.iter().map(|one| marks::raise(conn, &one.mark));
            Ok(Stored {
                raised: raised.collect::<Result<_, _>>()?,
                decided,
                trimmed,
            })
        })
    }

    /// Leaves a transaction that failed behind. Returns what to tell those who were in it.
    fn recover(&mut self, failed: &Failed) -> AppendError {
        self.trouble.report_error(failed.error());
        self.roll_back();
        // What it counted on is perhaps not so; what can't be read now is read before the next one.
        match State::read(&self.conn) {
            Ok(state) => self.state = state,
            Err(_) => self.state.rooms.clear(),
        }
        failed.outcome()
    }

    fn roll_back(&mut self) {
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            self.trouble.report_error(&error);
        }
    }

    /// Begins to forget a user: from its commit on, nothing that the user said is read any more.
    fn begin_erasing(&mut self, request: Request) {
        let Request { user, answer, .. } = request;
        if !self.erasures.takes(&user) {
            answer.send(Err(AppendError::Busy)).ok();
            return;
        }
        let last = self.state.last_seq;
        let begin = || erase::begin(&self.conn, &user, last);
        match transact(&self.conn, self.limits.write, begin) {
            Ok(()) => {
                self.committed.erased(&user);
                self.erasures.add(user, last, answer);
            }
            Err(failed) => {
                self.roll_back();
                self.erasures.tell(&user, failed.error());
                answer.send(Err(failed.outcome())).ok();
            }
        }
    }

    /// When there is something to do for a user who is to be forgotten. What can't be stored at all can't be erased either.
    fn erasing_due(&self) -> Option<Instant> {
        let due = self.erasures.due();
        due.filter(|_| !self.trouble.is_there())
    }

    /// Does some of what is to be done for a user who is to be forgotten. A step that fails says nothing about messages: it may need more space than
    /// they do, or a page that they don't.
    fn erase(&mut self) {
        if self.erasing_due().is_none_or(|due| due > Instant::now()) || self.is_hindered() {
            return;
        }
        let Some(erasing) = self.erasures.take_due() else {
            return;
        };
        // As the sweep: messages are worth a wait for a lock, this is not.
        let step = || erasing.step(&self.conn);
        match transact(&self.conn, Duration::ZERO, step) {
            Ok(progress) => {
                self.wal.grew(true);
                self.erasures.advance(erasing, progress);
            }
            Err(failed) => {
                self.roll_back();
                self.erasures.tell(&erasing.user, failed.error());
                self.erasures.put_off(erasing);
            }
        }
    }

    /// Drops some of what is not to be kept any more. Says whether that was all.
    fn sweep(&mut self) -> bool {
        let Self {
            conn,
            sweep,
            rules,
            committed,
            ..
        } = self;
        // Messages are worth a wait for a lock, this is not.
        let swept = transact(conn, Duration::ZERO, || {
            let is_followed = |room: &str| committed.follows(room);
            sweep.go_on(conn, rules, crate::hub::now(), is_followed)
        });
        match swept {
            Ok(Swept {
                trimmed,
                forgotten,
                is_done,
            }) => {
                for room in forgotten {
                    self.state.rooms.remove(&room);
                }
                self.wal.grew(!trimmed.is_empty());
                for (room, floor) in trimmed {
                    self.state.rooms.remove(&room);
                    self.committed.trimmed(&room, floor);
                }
                is_done
            }
            Err(Failed::Before(error))
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) =>
            {
                true
            }
            Err(failed) => {
                self.recover(&failed);
                true
            }
        }
    }
}
