//! A new database from what can be read of a damaged one.
//!
//! Each event is looked up by itself, so that a page that can't be read costs those on it. What the events come to is made anew; of the rest
//! only the rooms' names and the secret of ids are needed.

use std::{collections::HashMap, path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension as _};

use super::{
    Archive, OpenError, decide,
    erase::Forgotten,
    new_file,
    rows::{self, RoomRow, integer},
    schema,
};
use crate::core::Event;

/// After so many positions that can't be read there is nothing more: more than one damaged page stands for, and some seconds.
const MAX_LOST_IN_A_ROW: u64 = 10_000_000;

/// What was saved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Events.
    pub events: u64,
    /// Positions that can't be read. Perhaps there was nothing at some of them.
    pub lost: u64,
    /// Rooms whose name can't be read. They are named `lost-1` and so on.
    pub nameless: usize,
}

impl Archive {
    /// Saves what can be read into a new file, which takes the place of a log as a backup does.
    ///
    /// # Errors
    ///
    /// The file is there already or can't be written, or nothing can be read.
    pub fn recover(&self, to: &Path) -> Result<Recovered, OpenError> {
        new_file::make(to, |path| {
            let failed = |error: rusqlite::Error| OpenError::new(to, &error);
            let mut conn = Connection::open(path).map_err(failed)?;
            // A file that nobody has yet is made anew if this ends in the middle.
            conn.pragma_update(None, "journal_mode", "memory")
                .map_err(failed)?;
            schema::migrate(&mut conn).map_err(failed)?;
            schema::mark_copy(&conn).map_err(failed)?;
            copy_secret(&self.conn, &conn).map_err(failed)?;
            let (first, last) = self.positions()?;
            let tx = conn.transaction().map_err(failed)?;
            let mut rescue = Rescue {
                from: &self.conn,
                to: &tx,
                // As far as that can be told.
                forgotten: Forgotten::read(&self.conn).ok(),
                rooms: HashMap::new(),
                done: Recovered::default(),
            };
            rescue.all(first, last).map_err(failed)?;
            rescue.marks().map_err(failed)?;
            let done = rescue.done;
            tx.commit().map_err(failed)?;
            Ok(done)
        })
    }

    /// Between which positions there are events, as far as that can be told.
    fn positions(&self) -> Result<(u64, u64), OpenError> {
        let ask = |sql| {
            self.conn
                .query_row(sql, [], |row| row.get::<_, Option<i64>>(0))
        };
        let first = ask("SELECT min(seq) FROM log").ok().flatten();
        let last = [
            "SELECT max(seq) FROM log",
            "SELECT max(seq) FROM log INDEXED BY log_room WHERE room > 0",
            "SELECT max(head) FROM rooms",
        ]
        .map(ask);
        let known = last.iter().flatten().max().copied();
        let at = |seq: Option<i64>| seq.and_then(|seq| u64::try_from(seq).ok());
        match (known, last) {
            (Some(last), _) => Ok((at(first).unwrap_or(1), at(last).unwrap_or(0))),
            (None, [Err(error), ..]) => Err(self.failed(&error)),
            (None, _) => Ok((1, 0)),
        }
    }
}

/// What is under way.
struct Rescue<'a> {
    from: &'a Connection,
    to: &'a Connection,
    forgotten: Option<Forgotten>,
    /// By what they are in the damaged one.
    rooms: HashMap<i64, (Arc<str>, RoomRow)>,
    done: Recovered,
}

impl Rescue<'_> {
    /// Saves the events between these positions. Fails where the new database does.
    fn all(&mut self, first: u64, last: u64) -> rusqlite::Result<()> {
        let (mut seq, mut in_a_row) = (first, 0);
        while seq <= last && in_a_row < MAX_LOST_IN_A_ROW {
            match self.read(seq) {
                Ok(Some((event, room))) => {
                    self.save(event, room)?;
                    (seq, in_a_row) = (seq + 1, 0);
                }
                Ok(None) => seq = self.after(seq).unwrap_or(last + 1),
                Err(_) => {
                    self.done.lost += 1;
                    (seq, in_a_row) = (seq + 1, in_a_row + 1);
                }
            }
        }
        Ok(())
    }

    /// An event, without its room's name, and the room it is of.
    fn read(&self, seq: u64) -> rusqlite::Result<Option<(Event, i64)>> {
        let columns = rows::columns_of("log");
        let sql = format!("SELECT {columns}, room FROM log WHERE seq = ?");
        self.from
            .prepare_cached(&sql)?
            .query_row([integer(seq)], |row| {
                Ok((rows::event(row, &"".into())?, row.get(rows::WIDTH)?))
            })
            .optional()
    }

    /// The position of the next event; the next position where that can't be told. None at the end.
    fn after(&self, seq: u64) -> Option<u64> {
        let sql = "SELECT min(seq) FROM log WHERE seq > ?";
        let next = self.from.prepare_cached(sql).and_then(|mut statement| {
            statement.query_row([integer(seq)], |row| row.get::<_, Option<i64>>(0))
        });
        match next {
            Ok(next) => u64::try_from(next?).ok(),
            Err(_) => Some(seq + 1),
        }
    }

    fn save(&mut self, mut event: Event, id: i64) -> rusqlite::Result<()> {
        let (name, mut room) = match self.rooms.get(&id) {
            Some((name, room)) => (Arc::clone(name), *room),
            None => self.room(id)?,
        };
        if let Some(forgotten) = &self.forgotten {
            event = forgotten.scrubbed(event);
        }
        event.room = Arc::clone(&name);
        // Those between are lost.
        event.prev = room.head.seq;
        decide::store(self.to, room.id, &event)?;
        let is_told = match event.what.target() {
            Some(target) => rows::find_event(self.to, room.id, &name, target)?.is_some(),
            None => true,
        };
        if is_told {
            decide::apply(self.to, &event)?;
        }
        room.add(&event);
        rows::update_room(self.to, &room)?;
        self.rooms.insert(id, (name, room));
        self.done.events += 1;
        Ok(())
    }

    /// Saves how far users have read, up to the first of these that can't be read.
    fn marks(&self) -> rusqlite::Result<()> {
        let Ok(mut statement) = self.from.prepare("SELECT room, user, seq FROM marks") else {
            return Ok(());
        };
        let Ok(mut marks) = statement.query([]) else {
            return Ok(());
        };
        while let Ok(Some(row)) = marks.next() {
            let Ok((id, user, seq)) = <(i64, Arc<str>, i64)>::try_from(row) else {
                continue;
            };
            let Some((_, room)) = self.rooms.get(&id) else {
                continue;
            };
            let add = "REPLACE INTO marks (room, user, seq) VALUES (?, ?, ?)";
            self.to.prepare_cached(add)?.execute((room.id, user, seq))?;
        }
        Ok(())
    }

    /// Makes the room that was this one.
    fn room(&mut self, id: i64) -> rusqlite::Result<(Arc<str>, RoomRow)> {
        let sql = "SELECT name FROM rooms WHERE id = ?";
        let name = self.from.query_row(sql, [id], |row| row.get(0));
        let name: Arc<str> = name.unwrap_or_else(|_| {
            self.done.nameless += 1;
            format!("lost-{id}").into()
        });
        let room = match rows::find_room(self.to, &name)? {
            Some(room) => room,
            None => rows::add_room(self.to, &name)?,
        };
        Ok((name, room))
    }
}

/// Ids of users stay theirs, if that can be done.
fn copy_secret(from: &Connection, to: &Connection) -> rusqlite::Result<()> {
    let get = "SELECT value FROM meta WHERE key = 'secret'";
    if let Ok(secret) = from.query_row(get, [], |row| row.get::<_, [u8; 32]>(0)) {
        to.execute(
            "INSERT INTO meta (key, value) VALUES ('secret', ?)",
            [secret],
        )?;
    }
    Ok(())
}
