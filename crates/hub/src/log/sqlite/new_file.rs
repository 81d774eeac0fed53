//! Files that are there as a whole or not at all.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use super::{OpenError, private};

/// Has a file made by `fill` under another name beside it, and gives it its own when all of it is on disk. Nothing is replaced.
pub(super) fn make<T>(
    to: &Path,
    fill: impl FnOnce(&Path) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let failed = |error| OpenError::Folder {
        path: to.to_owned(),
        error,
    };
    let partial = begin(to).map_err(failed)?;
    let made = fill(&partial).and_then(|made| {
        finish(&partial, to).map_err(failed)?;
        Ok(made)
    });
    if made.is_err() {
        // What is there of it is of no use to anybody.
        fs::remove_file(&partial).ok();
    }
    made
}

fn begin(to: &Path) -> io::Result<PathBuf> {
    if to.try_exists()? {
        let why = "it is there already, and nothing is replaced";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    let name = to.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = to.with_file_name(partial);
    private(fs::OpenOptions::new().write(true).create_new(true)).open(&partial)?;
    Ok(partial)
}

fn finish(partial: &Path, to: &Path) -> io::Result<()> {
    fs::File::open(partial)?.sync_all()?;
    fs::rename(partial, to)?;
    // Where folders can't be opened, names are on disk without this.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    match fs::File::open(folder.unwrap_or_else(|| Path::new("."))) {
        Ok(folder) if cfg!(unix) => folder.sync_all(),
        _ => Ok(()),
    }
}
