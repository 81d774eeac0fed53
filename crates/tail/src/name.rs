//! The name that is followed, and where it may lead.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::file::{self, FollowError, Identity, Opened};

/// A name, and the folders in which the file it leads to may be.
///
/// Whoever may write to a log's folder may put a symbolic link in the log's place. Followed
/// anywhere it would show any file that we may read to all who may see the log.
#[derive(Debug)]
pub(crate) struct Name {
    path: PathBuf,
    /// Canonical: the name's own and that of the file it led to at first. `None`: any.
    folders: Option<Vec<PathBuf>>,
}

impl Name {
    pub(crate) fn new(path: PathBuf, may_lead_anywhere: bool) -> Self {
        let folders = (!may_lead_anywhere).then(|| {
            let target = path
                .canonicalize()
                .or_else(|_| fs::read_link(&path).map(|to| folder(&path).join(to)));
            let names = [Some(&path), target.as_ref().ok()];
            let folders = names.into_iter().flatten();
            folders.filter_map(|name| canonical(folder(name))).collect()
        });
        Self { path, folders }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the regular file that the name leads to now.
    pub(crate) fn open(&self) -> Result<Opened, FollowError> {
        let opened = file::open(&self.path)?;
        match &self.folders {
            Some(folders) if !self.is_in(folders, opened.identity) => Err(FollowError::Outside {
                path: self.path.clone(),
            }),
            _ => Ok(opened),
        }
    }

    /// Whether the file that was opened is in one of the folders. Asked after it was opened and of
    /// that very file: the name may lead elsewhere at every moment.
    fn is_in(&self, folders: &[PathBuf], opened: Identity) -> bool {
        let Ok(target) = self.path.canonicalize() else {
            return false;
        };
        folders.iter().any(|folder| target.starts_with(folder))
            && fs::symlink_metadata(&target).is_ok_and(|found| Identity::of(&found) == opened)
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The canonical form of a folder, which need not be there yet.
fn canonical(folder: &Path) -> Option<PathBuf> {
    let folder = std::path::absolute(folder).ok()?;
    folder
        .canonicalize()
        .ok()
        .or_else(|| Some(canonical(folder.parent()?)?.join(folder.file_name()?)))
}
