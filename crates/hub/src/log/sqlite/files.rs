//! Whether the files that are open are still those of the data folder.

use std::path::{Path, PathBuf};

use super::{FILE, LOCK};

/// The files of a log, as they were when it was opened.
#[derive(Debug)]
pub(super) struct Files(Vec<(PathBuf, Option<Id>)>);

/// What tells one file from another that has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Id {
    device: u64,
    inode: u64,
}

impl Files {
    /// Those in a folder whose database is open. Where files have no numbers that tell them apart there are none, for there nobody can
    /// take an open file away.
    pub(super) fn of(folder: &Path) -> Self {
        let names = [
            FILE.into(),
            format!("{FILE}-wal"),
            format!("{FILE}-shm"),
            LOCK.into(),
        ];
        let paths = names.map(|name: String| folder.join(name));
        Self(if cfg!(unix) {
            paths.map(|path| (path.clone(), id(&path))).into()
        } else {
            Vec::new()
        })
    }

    /// The first that was deleted, moved or replaced: what is written to it now is lost with the next start. Costs about a
    /// microsecond for each.
    pub(super) fn lost(&self) -> Option<&Path> {
        let mut files = self.0.iter();
        let lost = files.find(|(path, before)| id(path) != *before);
        lost.map(|(path, _)| &**path)
    }
}

#[cfg(unix)]
fn id(path: &Path) -> Option<Id> {
    use std::os::unix::fs::MetadataExt as _;
    let file = std::fs::metadata(path).ok()?;
    Some(Id {
        device: file.dev(),
        inode: file.ino(),
    })
}

#[cfg(not(unix))]
fn id(_path: &Path) -> Option<Id> {
    None
}
