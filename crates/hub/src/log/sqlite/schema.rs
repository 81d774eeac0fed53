//! The tables, and how older ones become the present ones.

use rusqlite::{Connection, Transaction, TransactionBehavior};

/// Marks a file as ours.
pub(super) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"fdx\x01");

/// Each brings a database to the next version; the first makes it. What was released is never changed.
const MIGRATIONS: &[&str] = &[V1, V2, V3];

/// The version that this program knows.
#[expect(
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    reason = "a handful"
)]
pub(super) const VERSION: i32 = MIGRATIONS.len() as i32;

/// `log` is the truth: one row for each event. `edits`, `reactions` and `search` are what it comes to: the last edit of a message, the
/// reactions that are set, the words of present bodies. `cids` outlives the rows of `log` where those are dropped early. `marks` is how far
/// users have read. A kind of event that this version does not know is in `log.kind` by its name.
///
/// What somebody deleted is to be nowhere in the file. So bodies are in `log` alone, where rows are added at the end and a tombstone's
/// body becomes as many zeros: rows that SQLite moves between its pages may leave copies behind. And `search` is told by `said` what
/// it had of a message, so that it forgets the words and does not just mark them as gone.
const V1: &str = "
CREATE TABLE meta (key TEXT NOT NULL PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
CREATE TABLE rooms (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    head INTEGER NOT NULL,
    head_chk TEXT NOT NULL,
    head_ts INTEGER NOT NULL,
    floor INTEGER NOT NULL,
    floor_chk TEXT NOT NULL,
    kept INTEGER NOT NULL
);
CREATE TABLE log (
    seq INTEGER PRIMARY KEY,
    room INTEGER NOT NULL REFERENCES rooms (id),
    prev INTEGER NOT NULL,
    id TEXT NOT NULL,
    ts INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    target INTEGER,
    body,
    author INTEGER NOT NULL,
    user TEXT NOT NULL,
    name TEXT NOT NULL,
    avatar TEXT NOT NULL,
    cid TEXT,
    reply_to INTEGER,
    meta TEXT
);
CREATE UNIQUE INDEX log_room ON log (room, seq);
CREATE INDEX log_shown ON log (room, seq) WHERE target IS NULL;
CREATE INDEX log_target ON log (target) WHERE target IS NOT NULL;
CREATE TABLE cids (
    room INTEGER NOT NULL,
    user TEXT NOT NULL,
    cid TEXT NOT NULL,
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    ts INTEGER NOT NULL,
    expires INTEGER,
    PRIMARY KEY (room, user, cid)
) WITHOUT ROWID;
CREATE INDEX cids_expires ON cids (expires) WHERE expires IS NOT NULL;
CREATE TABLE edits (target INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE reactions (
    target INTEGER NOT NULL,
    emoji TEXT NOT NULL,
    user TEXT NOT NULL,
    PRIMARY KEY (target, emoji, user)
) WITHOUT ROWID;
CREATE VIEW said AS SELECT log.seq AS seq, coalesce(edit.body, log.body) AS body
    FROM log LEFT JOIN edits ON edits.target = log.seq LEFT JOIN log AS edit ON edit.seq = edits.seq
    WHERE log.kind = 0 AND typeof(log.body) = 'text';
CREATE TABLE marks (
    room INTEGER NOT NULL,
    user TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE search USING fts5 (
    body, content = 'said', content_rowid = 'seq', columnsize = 0, tokenize = 'unicode61 remove_diacritics 2'
);
INSERT INTO search (search, rank) VALUES ('secure-delete', 1);
";

/// `erasing` is whose texts are to go, and how far that is done; `reacted` is the reactions without those that are to go. The indexes find
/// what has lost its meaning: rooms where nothing is any more, and marks that say nothing.
const V2: &str = "
CREATE INDEX rooms_empty ON rooms (head_ts) WHERE kept = 0;
CREATE INDEX marks_seq ON marks (room, seq);
CREATE TABLE erasing (
    user TEXT NOT NULL,
    last INTEGER NOT NULL,
    next INTEGER NOT NULL,
    erased INTEGER NOT NULL,
    PRIMARY KEY (user)
) WITHOUT ROWID;
CREATE VIEW reacted AS SELECT target, emoji, user FROM reactions WHERE NOT EXISTS
    (SELECT 1 FROM erasing WHERE erasing.user = reactions.user AND NOT EXISTS
        (SELECT 1 FROM log WHERE log.target = reactions.target AND log.kind = 3 AND log.body = reactions.emoji
            AND log.user = reactions.user AND log.seq > erasing.last));
";

/// The indexes find the edits of a message and what a user chose there, however much is about it, and the marks of a user. Of a long message
/// the beginning is searched ([`MAX_SEARCHED`](crate::log::MAX_SEARCHED)).
const V3: &str = "
DROP INDEX log_target;
CREATE INDEX log_edits ON log (target) WHERE kind = 1;
CREATE INDEX log_reactions ON log (target, user, body) WHERE kind IN (3, 4);
CREATE INDEX marks_user ON marks (user);
DROP VIEW reacted;
CREATE VIEW reacted AS SELECT target, emoji, user FROM reactions WHERE NOT EXISTS
    (SELECT 1 FROM erasing WHERE erasing.user = reactions.user AND NOT EXISTS
        (SELECT 1 FROM log WHERE log.kind IN (3, 4) AND log.target = reactions.target AND log.user = reactions.user
            AND log.body = reactions.emoji AND log.seq > erasing.last));
DROP VIEW said;
CREATE VIEW said AS SELECT log.seq AS seq, substr(coalesce(edit.body, log.body), 1, 2000) AS body
    FROM log LEFT JOIN edits ON edits.target = log.seq LEFT JOIN log AS edit ON edit.seq = edits.seq
    WHERE log.kind = 0 AND typeof(log.body) = 'text';
INSERT INTO search (search) VALUES ('rebuild');
";

/// Says in a copy that it is one: what is used in place of a log has to begin a history of its own.
pub(super) fn mark_copy(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute("REPLACE INTO meta (key, value) VALUES ('copy', 1)", [])?;
    Ok(())
}

/// Whether a database was a copy until now.
pub(super) fn unmark_copy(conn: &Connection) -> rusqlite::Result<bool> {
    Ok(conn.execute("DELETE FROM meta WHERE key = 'copy'", [])? > 0)
}

/// The version a database has. 0 is an empty one.
pub(super) fn version(conn: &Connection) -> rusqlite::Result<i32> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings a database to the present version, all or nothing.
pub(super) fn migrate(conn: &mut Connection) -> rusqlite::Result<()> {
    migrate_by(conn, MIGRATIONS)
}

fn migrate_by(conn: &mut Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = usize::try_from(version(&tx)?).unwrap_or(0);
    for (at, migration) in migrations.iter().enumerate().skip(done) {
        tx.execute_batch(migration)?;
        set_version(&tx, at + 1)?;
    }
    tx.commit()
}

fn set_version(tx: &Transaction<'_>, version: usize) -> rusqlite::Result<()> {
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(
        None,
        "user_version",
        i32::try_from(version).unwrap_or(i32::MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s36_a_database_takes_each_step_once_and_in_one_transaction() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate_by(&mut conn, &["CREATE TABLE a (x)"]).unwrap();
        let steps = ["CREATE TABLE a (x)", "INSERT INTO a VALUES (7)"];
        migrate_by(&mut conn, &steps).unwrap();
        migrate_by(&mut conn, &steps).unwrap();
        let rows = "SELECT count(*) FROM a";
        let count = |conn: &Connection| conn.query_row(rows, [], |row| row.get::<_, i32>(0));
        assert_eq!((count(&conn), version(&conn)), (Ok(1), Ok(2)));
        let broken = [steps[0], steps[1], "DELETE FROM a", "nonsense"];
        migrate_by(&mut conn, &broken).unwrap_err();
        assert_eq!((count(&conn), version(&conn)), (Ok(1), Ok(2)));
    }
}
