//! Reading a data folder beside a server that may be running: backups, and rooms as a whole.

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, backup};

use super::{FILE, OpenError, check_pages, check_version, new_file, reader, rows, schema};
use crate::{
    core::Event,
    log::{PageSize, Start},
};

/// Read in one go: a few MiB at most.
const PAGE: PageSize = PageSize {
    events: 1_024,
    bytes: 1 << 20,
};

/// A log that is only read.
#[derive(Debug)]
pub struct Archive {
    conn: Connection,
    epoch: Arc<str>,
}

impl Archive {
    /// Opens the log of a data folder.
    ///
    /// # Errors
    ///
    /// There is none, or it can't be used.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Err(OpenError::Missing { path });
        }
        let failed = |error: rusqlite::Error| OpenError::new(&path, &error);
        let conn = reader::open(&path).map_err(failed)?;
        check_version(&conn, &path)?;
        let epoch = "SELECT value FROM meta WHERE key = 'epoch'";
        let epoch = conn
            .query_row(epoch, [], |row| row.get(0))
            .map_err(failed)?;
        Ok(Self { conn, epoch })
    }

    /// Gives all events of a room to `take`, oldest first, until it says that this is enough. Says whether there is such a room.
    ///
    /// # Errors
    ///
    /// They can't be read.
    pub fn events<E: From<OpenError>>(
        &self,
        room: &str,
        mut take: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<bool, E> {
        let room: Arc<str> = room.into();
        let mut next = 0;
        loop {
            let tail = rows::tail(&self.conn, &self.epoch, &room, Start::At(next), PAGE)
                .map_err(|error| self.failed(&error))?;
            if tail.bounds.head.seq == 0 {
                return Ok(false);
            }
            let Some(last) = tail.events.last() else {
                return Ok(true);
            };
            next = last.seq + 1;
            for event in tail.events {
                take(event)?;
            }
        }
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
            check_pages(&copy, path)?;
            schema::mark_copy(&copy).map_err(failed)?;
            // One file, with nothing beside it.
            copy.pragma_update(None, "journal_mode", "delete")
                .map_err(failed)
        })
    }

    fn failed(&self, error: &rusqlite::Error) -> OpenError {
        OpenError::new(self.conn.path().unwrap_or_default(), error)
    }
}
