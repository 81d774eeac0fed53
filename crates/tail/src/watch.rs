//! Being told by Linux that a followed file may have changed.
//!
//! The file is watched for writing and its folder for the name: a watch on a file stays with the
//! file when the name moves on. Only a hint: files on network file systems and in some containers
//! change without notice, so whoever waits here looks now and then all the same.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use inotify::{Inotify, WatchDescriptor, WatchMask};
use tokio::io::unix::AsyncFd;

/// Watches one name.
#[derive(Debug)]
pub(crate) struct Watch {
    inotify: AsyncFd<Inotify>,
    path: PathBuf,
    name: OsString,
    file: Option<WatchDescriptor>,
    buffer: Vec<u8>,
}

impl Watch {
    /// Watches the folder of `path`, and the file if it is there.
    ///
    /// # Errors
    ///
    /// When the system has no watch left to give, or there is no such folder.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let names = WatchMask::CREATE | WatchMask::DELETE | WatchMask::MOVE | WatchMask::ONLYDIR;
        inotify.watches().add(folder, names)?;
        let mut watch = Self {
            inotify: register(inotify)?,
            path: path.to_owned(),
            name: path.file_name().map(OsStr::to_owned).unwrap_or_default(),
            file: None,
            buffer: vec![0; BUFFER],
        };
        watch.watch_file()?;
        Ok(watch)
    }

    /// Watches the file that has the name now instead of the one that had it before.
    ///
    /// # Errors
    ///
    /// When the system has no watch left to give.
    pub(crate) fn watch_file(&mut self) -> io::Result<()> {
        let mut watches = self.inotify.get_ref().watches();
        if let Some(before) = self.file.take() {
            // Fails where the system has ended the watch itself, with the file.
            watches.remove(before).ok();
        }
        let writing =
            WatchMask::MODIFY | WatchMask::ATTRIB | WatchMask::DELETE_SELF | WatchMask::MOVE_SELF;
        match watches.add(&self.path, writing) {
            Ok(file) => self.file = Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Waits for a sign that the file or its name changed.
    ///
    /// # Errors
    ///
    /// When there will be no more signs.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: a sign that was not waited for is still there.
    pub(crate) async fn changed(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.inotify.readable_mut().await?;
            let (name, buffer) = (&self.name, &mut self.buffer);
            match ready.try_io(|inotify| read_signs(inotify.get_mut(), name, buffer)) {
                Ok(Ok(true)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(false)) | Err(_) => {}
            }
        }
    }

    /// Takes the signs that are there already, and tells whether there was one.
    pub(crate) fn take_signs(&mut self) -> bool {
        let mut seen = false;
        for _ in 0..MAX_READS {
            let Ok(sign) = read_signs(self.inotify.get_mut(), &self.name, &mut self.buffer) else {
                break;
            };
            seen |= sign;
        }
        seen
    }
}

#[expect(
    deprecated,
    reason = "tokio's new form is unsafe, for types that give away a descriptor they do not own; \
              an Inotify owns its descriptor until it is dropped"
)]
fn register(inotify: Inotify) -> io::Result<AsyncFd<Inotify>> {
    AsyncFd::new(inotify)
}

/// Reads a buffer of events, and tells whether one is about the file or its name.
fn read_signs(inotify: &mut Inotify, name: &OsStr, buffer: &mut [u8]) -> io::Result<bool> {
    // Events of the file itself, of the folder itself and of the queue carry no name.
    Ok(inotify
        .read_events(buffer)?
        .any(|event| event.name.is_none_or(|about| about == name)))
}

/// Bytes of events read at once: some hundred small ones, and more than the largest one.
const BUFFER: usize = 4096;

/// Buffers of events taken at once, so that a folder in uproar cannot hold up the file.
const MAX_READS: usize = 64;

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(60);

    async fn expect_sign(watch: &mut Watch, of: &str) {
        let sign = tokio::time::timeout(DEADLINE, watch.changed()).await;
        assert!(matches!(sign, Ok(Ok(()))), "no sign of {of}");
        watch.take_signs();
    }

    #[tokio::test]
    async fn all_that_happens_to_the_file_and_its_name_gives_a_sign() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut watch = Watch::new(&path).unwrap();
        fs::write(&path, "").unwrap();
        expect_sign(&mut watch, "creation").await;
        watch.watch_file().unwrap();
        fs::write(&path, "1").unwrap();
        expect_sign(&mut watch, "writing").await;
        fs::File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(0)
            .unwrap();
        expect_sign(&mut watch, "truncation").await;
        fs::rename(&path, folder.path().join("away")).unwrap();
        expect_sign(&mut watch, "renaming").await;
        fs::rename(folder.path().join("away"), &path).unwrap();
        expect_sign(&mut watch, "return").await;
        fs::remove_file(&path).unwrap();
        expect_sign(&mut watch, "deletion").await;
    }

    #[tokio::test]
    async fn other_files_in_the_folder_give_no_sign() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(&folder.path().join("log")).unwrap();
        fs::write(folder.path().join("other"), "1").unwrap();
        // The system queues events before the call that caused them returns.
        assert!(!watch.take_signs());
        fs::write(folder.path().join("log"), "1").unwrap();
        assert!(watch.take_signs());
    }

    #[tokio::test]
    async fn after_a_rotation_the_new_file_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let (path, away) = (folder.path().join("log"), folder.path().join("away"));
        fs::write(&path, "").unwrap();
        let mut watch = Watch::new(&path).unwrap();
        fs::rename(&path, &away).unwrap();
        fs::write(&path, "").unwrap();
        watch.watch_file().unwrap();
        watch.take_signs();
        fs::write(&away, "1").unwrap();
        assert!(!watch.take_signs());
        fs::write(&path, "1").unwrap();
        assert!(watch.take_signs());
    }
}
