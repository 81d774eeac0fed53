//! Reading a data folder beside a server that may be running: backups, and rooms as a whole.

use std::{fs, path::Path, sync::Arc};

use rusqlite::{Connection, backup};

use super::{
    FILE, OpenError, check_all_pages, check_version, missing_end, new_file, reader, restored,
    rows::{self, integer},
    schema,
};
use crate::{
    core::Event,
    log::{PageSize, Start},
};

/// Read in one go: a few MiB at most.
const PAGE: PageSize = PageSize {
    events: 1_024,
    bytes: 1 << 20,
};

/// With what SQLite begins to tell what is wrong, and says nothing.
const HEADING: &str = "*** in database ";

/// A log that is only read.
#[derive(Debug)]
pub struct Archive {
    pub(super) conn: Connection,
}

impl Archive {
    /// Opens the log of a data folder.
    ///
    /// # Errors
    ///
    /// There is none, or it can't be used.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        Self::open_file(&folder.join(FILE))
    }

    /// Opens a log by its file, such as a backup.
    ///
    /// # Errors
    ///
    /// It is not there, or can't be used.
    pub fn open_file(path: &Path) -> Result<Self, OpenError> {
        restored::check(path)?;
        let is_there = fs::metadata(path).is_ok_and(|file| file.len() > 0);
        if !is_there {
            return Err(OpenError::Missing { path: path.into() });
        }
        let conn = reader::open(path).map_err(|error| OpenError::new(path, &error))?;
        check_version(&conn, path)?;
        Ok(Self { conn })
    }

    /// Looks for damage, everywhere. Says what was found, up to a hundred things.
    ///
    /// # Errors
    ///
    /// It can't be looked through.
    pub fn check(&self) -> Result<Vec<String>, OpenError> {
        let mut found = Vec::new();
        let looked = self
            .conn
            .prepare("PRAGMA integrity_check(100)")
            .and_then(|mut check| {
                let mut rows = check.query([])?;
                while let Some(row) = rows.next()? {
                    found.extend(row.get::<_, String>(0)?.lines().map(str::to_owned));
                }
                missing_end(&self.conn)
            });
        match looked.map_err(|error| self.failed(&error)) {
            Ok(missing) => found.extend(missing),
            Err(OpenError::Corrupt { what, .. }) => found.push(what),
            Err(error) => return Err(error),
        }
        found.retain(|line| line != "ok" && !line.starts_with(HEADING));
        Ok(found)
    }

    /// Gives the events of a room to `take`, oldest first, until it says that this is enough. Says how many can't be read; nothing if
    /// there is no such room.
    ///
    /// # Errors
    ///
    /// Not even the room can be read.
    pub fn events<E: From<OpenError>>(
        &self,
        room: &str,
        mut take: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<Option<u64>, E> {
        let room: Arc<str> = room.into();
        let found = rows::find_room(&self.conn, &room).map_err(|error| self.failed(&error))?;
        let Some(found) = found else { return Ok(None) };
        let (mut next, mut unreadable, mut page) = (0, 0, PAGE);
        // Events that come meanwhile are of no interest.
        while next <= found.head.seq {
            let tail = rows::tail(&self.conn, &"".into(), &room, Start::At(next), page);
            match tail.map(|tail| tail.events) {
                Ok(events) => {
                    let Some(last) = events.last() else { break };
                    next = last.seq + 1;
                    page = PAGE;
                    for event in events {
                        take(event)?;
                    }
                }
                // Perhaps those before the bad one are good.
                Err(_) if page.events > 1 => page.events /= 2,
                Err(_) => {
                    unreadable += 1;
                    next = self.position(found.id, next).unwrap_or(next) + 1;
                }
            }
        }
        Ok(Some(unreadable))
    }

    /// The position of the first event from `seq` on, also of one that can't be read.
    fn position(&self, room: i64, seq: u64) -> Option<u64> {
        let sql = "SELECT min(seq) FROM log WHERE room = ? AND seq >= ?";
        let found = self.conn.prepare_cached(sql).and_then(|mut statement| {
            statement.query_row([room, integer(seq)], |row| row.get::<_, Option<i64>>(0))
        });
        u64::try_from(found.ok()??).ok()
    }

    /// Copies all of it into a new file, as it is at one moment. Each time that the copy takes the place of a log, it begins another
    /// history: clients that were ahead of it have to be told so.
    ///
    /// # Errors
    ///
    /// The file is there already, can't be written, or can't be made from what is damaged.
    pub fn back_up(&self, to: &Path) -> Result<(), OpenError> {
        new_file::make(to, |path| {
            let failed = |error: rusqlite::Error| OpenError::new(to, &error);
            let mut copy = Connection::open(path).map_err(failed)?;
            {
                let backup = backup::Backup::new(&self.conn, &mut copy).map_err(failed)?;
                // In one step, which is one view of it; a server goes on writing meanwhile.
                while backup.step(-1).map_err(failed)? != backup::StepResult::Done {}
            }
            // It is as it was copied.
            check_all_pages(&copy, self.path())?;
            schema::mark_copy(&copy).map_err(failed)?;
            // One file, with nothing beside it.
            copy.pragma_update(None, "journal_mode", "delete")
                .map_err(failed)
        })
    }

    pub(super) fn failed(&self, error: &rusqlite::Error) -> OpenError {
        OpenError::new(self.path(), error)
    }

    fn path(&self) -> &Path {
        Path::new(self.conn.path().unwrap_or_default())
    }
}
