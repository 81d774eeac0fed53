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
        return Err(taken());
    }
    let name = to.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let mut partial = OsString::from(".");
    partial.push(name);
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = to.with_file_name(partial);
    private(fs::OpenOptions::new().write(true).create_new(true)).open(&partial)?;
    Ok(partial)
}

/// Gives a file its name, unless somebody else has taken that meanwhile.
fn name(partial: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(partial, to) {
        Ok(()) => fs::remove_file(partial),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken()),
        // There are file systems where a file has one name.
        Err(_) => fs::rename(partial, to),
    }
}

fn taken() -> io::Error {
    let why = "it is there already, and nothing is replaced";
    io::Error::new(io::ErrorKind::AlreadyExists, why)
}

fn finish(partial: &Path, to: &Path) -> io::Result<()> {
    fs::File::open(partial)?.sync_all()?;
    name(partial, to)?;
    // Where folders can't be opened, names are on disk without this.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    match fs::File::open(folder.unwrap_or_else(|| Path::new("."))) {
        Ok(folder) if cfg!(unix) => folder.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn what_somebody_else_makes_meanwhile_under_its_name_stays() {
        let folder = TempDir::new().unwrap();
        let to = folder.path().join("backup.db");
        let made = make(&to, |partial| {
            fs::write(partial, "ours").unwrap();
            fs::write(&to, "theirs").unwrap();
            Ok(())
        });
        assert!(made.unwrap_err().to_string().contains("already"));
        assert_eq!(fs::read(&to).unwrap(), b"theirs");
        let all = fs::read_dir(folder.path()).unwrap();
        assert_eq!(all.count(), 1, "nothing is left of ours");

        fs::remove_file(&to).unwrap();
        let made = make(&to, |partial| {
            fs::write(partial, "ours").unwrap();
            Ok(())
        });
        made.unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"ours");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
