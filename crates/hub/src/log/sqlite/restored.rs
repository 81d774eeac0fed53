//! What belongs to a database that is gone, or that a backup has the place of.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::OpenError;

/// Where a database's file says, twice, how it is written: 1 with a journal, as our copies do, and 2 with a write-ahead log, as a log
/// in use does from its first moment on (<https://www.sqlite.org/fileformat.html>, 1.3).
const VERSIONS: std::ops::Range<usize> = 18..20;
const JOURNAL: [u8; 2] = [1, 1];

/// Refuses a copy, or nothing, with another database's write-ahead log beside it: that would be written into it, or deleted.
pub(super) fn check(path: &Path) -> Result<(), OpenError> {
    let wal = beside(path, "-wal");
    // In this order: in use it says how it is written before there is anything.
    let has_wal = fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0);
    let is_empty = || fs::metadata(path).is_ok_and(|file| file.len() == 0);
    let is_copy = || versions(path).is_ok_and(|versions| versions == JOURNAL);
    if has_wal && (is_empty() || is_copy()) {
        return Err(OpenError::Leftover {
            path: wal,
            shm: beside(path, "-shm"),
        });
    }
    Ok(())
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn versions(path: &Path) -> io::Result<[u8; 2]> {
    let mut head = [0; VERSIONS.end];
    File::open(path)?.read_exact(&mut head)?;
    let mut versions = JOURNAL;
    versions.copy_from_slice(&head[VERSIONS]);
    Ok(versions)
}
