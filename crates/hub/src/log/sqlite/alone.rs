//! What can't be stored, apart from all else that is: a page of one room that is damaged, say.

use std::{collections::HashMap, sync::Arc};

use rusqlite::Connection;

use super::{
    decide::{Decided, decide},
    error::is_full,
    rows::{self, RoomRow},
    writer::State,
};
use crate::{
    core::{Author, What},
    log::Draft,
};

/// Whether an error may be about one of those who share a transaction, and not about all.
pub(super) fn may_be_of_one(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked};
    let code = error.sqlite_error_code();
    !is_full(error) && !matches!(code, Some(DatabaseBusy | DatabaseLocked))
}

/// Does some work so that nothing of it is left in the transaction if it fails.
///
/// # Errors
///
/// The transaction is gone.
pub(super) fn alone<T>(
    conn: &Connection,
    work: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<rusqlite::Result<T>> {
    conn.execute_batch("SAVEPOINT alone")?;
    let done = work();
    if done.is_err() {
        conn.execute_batch("ROLLBACK TO alone")?;
    }
    conn.execute_batch("RELEASE alone")?;
    Ok(done)
}

/// As [`decide`], alone, with the row of its room.
pub(super) fn decide_alone(
    conn: &Connection,
    state: &mut State,
    touched: &mut HashMap<Arc<str>, RoomRow>,
    draft: &Draft,
) -> rusqlite::Result<rusqlite::Result<Decided>> {
    let before = touched.get(&draft.room).copied();
    let decided = alone(conn, || {
        let decided = decide(conn, state, touched, draft)?;
        if let Some(room) = touched.get(&draft.room) {
            rows::update_room(conn, room)?;
        }
        Ok(decided)
    })?;
    if decided.is_err() {
        state.count_anew();
        match before {
            Some(room) => drop(touched.insert(Arc::clone(&draft.room), room)),
            None => drop(touched.remove(&draft.room)),
        }
    }
    Ok(decided)
}

/// Finds out whether messages can be stored at all, by one in a room that nobody has, which does not stay.
pub(super) fn probe(conn: &Connection, state: &mut State) -> rusqlite::Result<()> {
    let message = Draft {
        room: "".into(),
        from: Author::PlainText,
        what: What::Message {
            body: Some("probe".into()),
            reply_to: None,
            meta: None,
        },
        cid: None,
        moderates: false,
        now: 0,
    };
    conn.execute_batch("SAVEPOINT probe")?;
    decide(conn, state, &mut HashMap::new(), &message)?;
    state.count_anew();
    conn.execute_batch("ROLLBACK TO probe; RELEASE probe")
}
