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
    alone::{alone, decide_alone, may_be_of_one, probe},
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
    trim::{Crowded, trim},
    wal::Wal,
    watch::{Answers, Owed},
};
use crate::{
    core::What,
    log::{AppendError, Appended, Committed, Draft, ReadError, ReadMark, Timings, stamp::Stamps},
    seldom::Seldom,
};

/// Drafts in one transaction. Beyond that the first of them would wait long for little: a commit of so many costs hardly more
/// than one of half as many.
const MAX_BATCH: usize = 256;
/// Bytes of texts in one transaction: a few hundred pages to be synced.
const MAX_BATCH_BYTES: usize = 1 << 20;
/// What a disk that was full has to take before it is said to take messages: as much as one transaction. A page that is free by chance has
/// room for the next message, and not for the one after it.
const SPACE_BYTES: usize = MAX_BATCH_BYTES;
/// Rooms whose row is remembered: some MiB. The rest are read again.
const MAX_ROOMS: usize = 16_384;
/// How often is looked for what has become too old. Ages are days, and of a million rooms all rows are read.
const SWEEP_INTERVAL: Duration = Duration::from_secs(600);

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

    /// What it counts for in the queue.
    pub(super) fn bytes(&self) -> usize {
        let bytes = match self {
            Self::Append(Pending { draft, .. }) => draft.what.bytes() + draft.room.len(),
            Self::Mark(marking) => marking.mark.room.len(),
            Self::Erase(request) => request.user.len(),
        };
        bytes.max(1)
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

/// What the writer is asked for, by kind. Of each draft there is an answer to be given, and when it was handed over.
#[derive(Default)]
struct Batch {
    drafts: Vec<Draft>,
    handed_over: Vec<Instant>,
    marks: Vec<(Mark, Desk)>,
    answers: Answers,
    requests: Vec<Request>,
}

impl Batch {
    fn of(all: Vec<Work>) -> Self {
        let mut batch = Self::default();
        for work in all {
            match work {
                Work::Append(Pending {
                    draft,
                    answer,
                    since,
                }) => {
                    batch.drafts.push(draft);
                    batch.answers.drafts.push(answer);
                    batch.handed_over.push(since);
                }
                Work::Mark(Marking {
                    mark,
                    answer,
                    readers,
                    ..
                }) => {
                    batch.marks.push((mark, readers));
                    batch.answers.marks.push(answer);
                }
                Work::Erase(one) => batch.requests.push(one),
            }
        }
        batch
    }
}

pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) committed: Arc<dyn Committed>,
    pub(super) rules: Rules,
    pub(super) sweep: Sweep,
    pub(super) crowded: Crowded,
    pub(super) erasures: Erasures,
    pub(super) state: State,
    pub(super) unstorable: Seldom,
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
    /// How many rooms there are, if that is known.
    kept: Option<u64>,
    max_rooms: u64,
}

/// What a transaction did.
struct Stored {
    /// Of the first drafts: those that there was time for.
    decided: Vec<Decided>,
    /// Rooms that have more than is kept of them.
    crowded: Vec<Arc<str>>,
    /// Of each read mark, whether it was further back before; nothing if it could not be set.
    raised: Vec<Option<bool>>,
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
    pub(super) fn read(conn: &Connection, max_rooms: usize) -> rusqlite::Result<Self> {
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
            kept: None,
            max_rooms: max_rooms as u64,
        })
    }

    /// Whether there may be one more room, which is counted then.
    pub(super) fn takes_room(&mut self, conn: &Connection) -> rusqlite::Result<bool> {
        let kept = match self.kept {
            Some(kept) => kept,
            None => conn.query_row("SELECT count(*) FROM rooms", [], |row| rows::number(row, 0))?,
        };
        let takes = kept < self.max_rooms;
        self.kept = Some(kept + u64::from(takes));
        Ok(takes)
    }

    /// Other rooms than were counted are there.
    pub(super) const fn count_anew(&mut self) {
        self.kept = None;
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

/// Writes so many bytes, of which nothing stays but room for others: what is deleted is overwritten, and that is written.
fn fill(conn: &Connection, bytes: usize) -> rusqlite::Result<()> {
    let write = "REPLACE INTO meta (key, value) VALUES ('filler', zeroblob(?))";
    conn.execute(write, [rows::integer(bytes as u64)])?;
    conn.execute("DELETE FROM meta WHERE key = 'filler'", [])?;
    Ok(())
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

/// What goes back into the queue: drafts, and then whom to forget, for those have said what was handed over before.
fn put_together(
    left: impl IntoIterator<Item = Pending>,
    requests: Vec<Request>,
) -> Vec<(Work, usize)> {
    let left = left.into_iter().map(Work::Append);
    let all = left.chain(requests.into_iter().map(Work::Erase));
    all.map(|work| {
        let bytes = work.bytes();
        (work, bytes)
    })
    .collect()
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self, queue: &Queue<Work>) {
        let _working = Working(queue, Arc::clone(&self.owed));
        let mut sweep_at = Instant::now();
        loop {
            let others = [
                self.wal.due(),
                self.trouble.retry_at(),
                self.erasing_due(),
                self.crowded.due(),
            ];
            let until = others.into_iter().flatten().fold(sweep_at, Instant::min);
            match queue.take(MAX_BATCH, MAX_BATCH_BYTES, Some(until)) {
                Taken::Items(batch) => self.work(queue, batch),
                Taken::Nothing => {}
                Taken::Closed => break,
            }
            self.try_again();
            self.trim();
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

    /// Stores a batch with one commit, hands on what is new, and answers. What there was no time for goes back.
    fn work(&mut self, queue: &Queue<Work>, batch: Vec<Work>) {
        if self.is_hindered() {
            for work in batch {
                work.refuse(AppendError::Unavailable);
            }
            return;
        }
        let oldest = batch.first().map_or_else(Instant::now, Work::since);
        let patience = self.limits.write.saturating_sub(oldest.elapsed());
        let Batch {
            drafts,
            mut handed_over,
            marks,
            answers,
            requests,
        } = Batch::of(batch);
        self.owed.begin(answers);
        let begun = Instant::now();
        match self.store(&drafts, &marks, patience) {
            Ok(Stored {
                decided,
                crowded,
                raised,
            }) => {
                self.times.commits.record(begun.elapsed());
                if !self.trouble.is_full() {
                    self.trouble.is_over();
                }
                let stored = &drafts[..decided.len()];
                let deletes = |draft: &Draft| matches!(draft.what, What::Delete { .. });
                self.wal.grew(stored.iter().any(deletes));
                let mut answers = self.owed.end();
                let known = decided.len().min(answers.drafts.len());
                let later = answers.drafts.split_off(known);
                let since = handed_over.split_off(decided.len());
                let left: Vec<_> = drafts
                    .into_iter()
                    .skip(decided.len())
                    .zip(later)
                    .zip(since)
                    .map(|((draft, answer), since)| Pending {
                        draft,
                        answer,
                        since,
                    })
                    .collect();
                let mut results = Vec::with_capacity(decided.len());
                for decided in decided {
                    results.push(self.hand_on(decided));
                }
                for since in handed_over {
                    self.times.appends.record(since.elapsed());
                }
                for (answer, result) in answers.drafts.into_iter().zip(results) {
                    // Who does not wait any more needs no answer.
                    answer.send(result).ok();
                }
                for (((mark, readers), is_raised), answer) in
                    marks.into_iter().zip(raised).zip(answers.marks)
                {
                    self.answer_mark(mark, &readers, is_raised, answer);
                }
                for room in crowded {
                    self.crowded.add(&room);
                }
                if !left.is_empty() {
                    queue.put_back(put_together(left, requests));
                    return;
                }
            }
            Err(failed) => {
                let error = self.recover(&failed);
                self.owed.end().refuse(error);
            }
        }
        for request in requests {
            self.begin_erasing(request);
        }
    }

    /// Tells who set a read mark what it comes to, if it could be set.
    fn answer_mark(
        &mut self,
        mark: Mark,
        readers: &Desk,
        is_raised: Option<bool>,
        answer: oneshot::Sender<Result<ReadMark, ReadError>>,
    ) {
        let Some(is_raised) = is_raised else {
            answer.send(Err(ReadError::Unavailable)).ok();
            return;
        };
        if is_raised {
            self.sweep.mark(&mark.room);
        }
        let get = move |conn: &Connection| {
            let mark = marks::get(conn, &mark.room, &mark.user)?;
            Ok(ReadMark { is_raised, ..mark })
        };
        // Where it can't be asked for the answer is gone, which says that.
        readers.ask(answer, self.limits.reading(), get).ok();
    }

    /// Finds out, when it is time, whether a trouble is over: who was told that nothing is stored waits until that is over.
    fn try_again(&mut self) {
        let due = self.trouble.retry_at();
        if due.is_none_or(|at| at > Instant::now()) || self.is_hindered() {
            return;
        }
        let bytes = if self.trouble.is_full() {
            SPACE_BYTES
        } else {
            1
        };
        // As the sweep: messages are worth a wait for a lock, this is not.
        let Self { conn, state, .. } = self;
        let tried = transact(conn, Duration::ZERO, || {
            fill(conn, bytes)?;
            probe(conn, state)
        });
        match tried {
            Ok(()) => {
                self.trouble.is_over();
                self.wal.grew(false);
            }
            Err(failed) => {
                self.recover(&failed);
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

    /// Stores what there is time for, one draft at least. What can't be stored for reasons of its own keeps the others from it once: then all
    /// are tried again, each so that it can fail alone.
    fn store(
        &mut self,
        drafts: &[Draft],
        marks: &[(Mark, Desk)],
        patience: Duration,
    ) -> Result<Stored, Failed> {
        if self.state.rooms.len() > MAX_ROOMS {
            self.state.rooms.clear();
        }
        match self.store_together(drafts, marks, patience) {
            Err(Failed::Before(error)) if may_be_of_one(&error) => {
                self.undo();
                self.store_alone(drafts, marks, patience)
            }
            stored => stored,
        }
    }

    fn store_together(
        &mut self,
        drafts: &[Draft],
        marks: &[(Mark, Desk)],
        patience: Duration,
    ) -> Result<Stored, Failed> {
        let turn = self.limits.turn;
        let Self {
            conn, state, rules, ..
        } = self;
        transact(conn, patience, || {
            let until = Instant::now() + turn;
            let mut decided = Vec::with_capacity(drafts.len());
            let mut touched = HashMap::new();
            for draft in drafts {
                decided.push(decide(conn, state, &mut touched, draft)?);
                if Instant::now() >= until {
                    break;
                }
            }
            for room in touched.values() {
                rows::update_room(conn, room)?;
            }
            let raised = marks
                .iter()
                .map(|(mark, _)| marks::raise(conn, mark).map(Some));
            Ok(Stored {
                raised: raised.collect::<Result<_, _>>()?,
                decided,
                crowded: rules.take_note(&mut state.rooms, touched),
            })
        })
    }

    fn store_alone(
        &mut self,
        drafts: &[Draft],
        marks: &[(Mark, Desk)],
        patience: Duration,
    ) -> Result<Stored, Failed> {
        let turn = self.limits.turn;
        let Self {
            conn,
            state,
            rules,
            unstorable,
            ..
        } = self;
        let fails = |error: &rusqlite::Error| {
            unstorable.tell(|left_out| {
                tracing::error!(%error, left_out, "a message, or how far somebody has read, can't be stored; others are");
            });
        };
        transact(conn, patience, || {
            probe(conn, state)?;
            let until = Instant::now() + turn;
            let mut decided = Vec::with_capacity(drafts.len());
            let mut touched = HashMap::new();
            for draft in drafts {
                let one = decide_alone(conn, state, &mut touched, draft)?;
                decided.push(one.unwrap_or_else(|error| {
                    fails(&error);
                    Decided::Known(Err(AppendError::Unavailable))
                }));
                if Instant::now() >= until {
                    break;
                }
            }
            let mut raised = Vec::with_capacity(marks.len());
            for (mark, _) in marks {
                let is_raised = alone(conn, || marks::raise(conn, mark))?;
                raised.push(is_raised.inspect_err(fails).ok());
            }
            Ok(Stored {
                raised,
                decided,
                crowded: rules.take_note(&mut state.rooms, touched),
            })
        })
    }

    /// Leaves a transaction that failed behind. Returns what to tell those who were in it.
    fn recover(&mut self, failed: &Failed) -> AppendError {
        self.trouble.report_error(failed.error());
        self.undo();
        failed.outcome()
    }

    /// Leaves a transaction behind, and what was known of rooms by it. Positions and times that it gave out are not given out again.
    fn undo(&mut self) {
        self.roll_back();
        self.state.rooms.clear();
        self.state.count_anew();
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
        let until = Instant::now() + self.limits.turn;
        let step = || erasing.step(&self.conn, until);
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

    /// Drops some of what the next of the rooms has too much. What can't be dropped is left to the sweep.
    fn trim(&mut self) {
        let Some(room) = self.crowded.take() else {
            return;
        };
        if self.is_hindered() {
            // The sweep finds it again.
            return;
        }
        let Self {
            conn,
            rules,
            limits,
            ..
        } = self;
        // Messages are worth a wait for a lock, this is not.
        let trimmed = transact(conn, Duration::ZERO, || {
            trim(conn, rules, &room, Instant::now() + limits.turn)
        });
        match trimmed {
            Ok(None) => {}
            Ok(Some(row)) => {
                self.wal.grew(false);
                self.committed.trimmed(&room, row.floor);
                if self.rules.surplus(&room, &row) > 0 {
                    self.crowded.add(&room);
                }
                self.state.rooms.insert(room, row);
            }
            Err(failed) => self.leave(&failed),
        }
    }

    /// Leaves a transaction behind that nobody waits for. It says nothing about messages: it may need more space than they do, or a page that
    /// they don't.
    fn leave(&mut self, failed: &Failed) {
        self.undo();
        let error = failed.error();
        if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) {
            return;
        }
        self.unstorable.tell(|left_out| {
            tracing::warn!(%error, left_out, "what is not to be kept any more can't be dropped now");
        });
    }

    /// Drops some of what is not to be kept any more. Says whether that was all.
    fn sweep(&mut self) -> bool {
        let Self {
            conn,
            sweep,
            rules,
            committed,
            limits,
            ..
        } = self;
        // Messages are worth a wait for a lock, this is not.
        let swept = transact(conn, Duration::ZERO, || {
            let is_followed = |room: &str| committed.follows(room);
            let until = Instant::now() + limits.turn;
            sweep.go_on(conn, rules, crate::hub::now(), until, is_followed)
        });
        match swept {
            Ok(Swept {
                trimmed,
                forgotten,
                is_done,
            }) => {
                if !forgotten.is_empty() {
                    self.state.count_anew();
                }
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
            Err(failed) => {
                self.leave(&failed);
                true
            }
        }
    }
}
