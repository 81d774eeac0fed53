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
    /// What is read can't be written.
    #[error(transparent)]
    Write(#[from] io::Error),
}

/// Writes all events of a room, one to a line, as `fdx.v1.json` shows them. A server may be running meanwhile.
///
/// # Errors
///
/// The folder has no log or no such room, or `out` takes no more.
pub fn export(folder: &Path, room: &str, out: &mut impl io::Write) -> Result<(), ExportError> {
    let archive = Archive::open(folder)?;
    let is_there = archive.events(room, |event| {
        out.write_all(event::durable(&event).as_bytes())?;
        Ok::<_, ExportError>(out.write_all(b"\n")?)
    })?;
    if !is_there {
        return Err(ExportError::NoRoom(room.to_owned()));
    }
    Ok(out.flush()?)
}
