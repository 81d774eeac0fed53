//! Rooms as files of JSON lines.

use std::{io, path::Path};

use crate::{
    log::sqlite::{Archive, OpenError},
    wire::event,
};

/// Why a room can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] OpenError),
    /// There is no such room.
    #[error("nothing was ever said in room \"{0}\"")]
    NoRoom(String),
    /// Some events are missing in what was written.
    #[error("{0} events can't be read, and are missing; `fdx recover` says more")]
    Incomplete(u64),
    /// What is read can't be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Writes all events of a room, one to a line, as `fdx.v1.json` shows them. A server may be running meanwhile.
///
/// # Errors
///
/// The folder has no log or no such room, some of it can't be read, or `out` takes no more. What can be read is written all the same.
pub fn export(folder: &Path, room: &str, out: &mut impl io::Write) -> Result<(), ExportError> {
    let archive = Archive::open(folder)?;
    let lost = archive.events(room, |event| {
        out.write_all(event::durable(&event).as_bytes())?;
        Ok::<_, ExportError>(out.write_all(b"\n")?)
    })?;
    out.flush()?;
    match lost {
        None => Err(ExportError::NoRoom(room.to_owned())),
        Some(0) => Ok(()),
        Some(lost) => Err(ExportError::Incomplete(lost)),
    }
}
