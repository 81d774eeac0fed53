//! Opening what may be followed, and telling one file from another.
//!
//! Only regular files are followed. A pipe or a device would block the reader or be changed by
//! being read, and a kernel pseudo-file makes its bytes up at every read.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

/// Why a path cannot be followed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The path leads to something that is not a regular file.
    #[error("cannot follow {}: it is {found}, not a regular file", path.display())]
    NotRegular {
        /// The path as it was given.
        path: PathBuf,
        /// What is there, with its article.
        found: &'static str,
    },
    /// The file is there but cannot be opened or read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The path as it was given.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },
    /// The path leads to a file in another folder than before: somebody put a symbolic link there.
    #[error("cannot follow {}: it leads out of its folder now", path.display())]
    Outside {
        /// The path as it was given.
        path: PathBuf,
    },
}

impl FollowError {
    /// Whether there is merely nothing at the path yet.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// What tells a file from every other file that exists at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// A regular file, just opened.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: Arc<File>,
    pub(crate) identity: Identity,
    /// Birth time, where the file system keeps it: an inode number may be given to a later file.
    pub(crate) created: Option<SystemTime>,
    /// Bytes, at the time of opening.
    pub(crate) len: u64,
}

/// Opens the regular file that `path` leads to.
pub(crate) fn open(path: &Path) -> Result<Opened, FollowError> {
    let unreadable = |source| FollowError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // Looked at before it is opened, because opening alone can act on a device.
    refuse_irregular(path, &fs::metadata(path).map_err(unreadable)?)?;
    // The name may lead elsewhere by now: O_NONBLOCK keeps a pipe from blocking us and O_NOCTTY a
    // terminal from adopting us, and what was opened is looked at again.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    refuse_irregular(path, &metadata)?;
    if reads_more_than_its_size(&file, &metadata).map_err(unreadable)? {
        return Err(FollowError::NotRegular {
            path: path.to_owned(),
            found: PSEUDO_FILE,
        });
    }
    Ok(Opened {
        file: Arc::new(file),
        identity: Identity::of(&metadata),
        created: metadata.created().ok(),
        len: metadata.len(),
    })
}

/// Reads at `offset` until `buffer` is full or the file ends.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn refuse_irregular(path: &Path, metadata: &Metadata) -> Result<(), FollowError> {
    let kind = metadata.file_type();
    let found = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if !kind.is_file() {
        "a device"
    } else if PSEUDO_ROOTS
        .iter()
        .any(|root| is_on_device_of(Path::new(root), metadata))
    {
        PSEUDO_FILE
    } else {
        return Ok(());
    };
    Err(FollowError::NotRegular {
        path: path.to_owned(),
        found,
    })
}

fn is_on_device_of(root: &Path, metadata: &Metadata) -> bool {
    // The parent tells whether anything is mounted there at all.
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
    device(root) == Some(metadata.dev()) && device(root) != device(Path::new("/"))
}

/// Whether the file says it is empty, before and after, and yet gives bytes.
fn reads_more_than_its_size(file: &File, metadata: &Metadata) -> io::Result<bool> {
    Ok(metadata.len() == 0 && read_at(file, &mut [0], 0)? > 0 && file.metadata()?.len() == 0)
}

/// Where systems mount the file systems whose files are made up by the kernel. Others, mounted
/// elsewhere, are found out by their size.
const PSEUDO_ROOTS: [&str; 2] = ["/proc", "/sys"];

const PSEUDO_FILE: &str = "made up by the kernel as it is read";

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &str) -> String {
        open(Path::new(path))
            .expect_err("must be refused")
            .to_string()
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_by_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(refusal(folder.path().to_str().unwrap()).contains("a directory"));
        assert!(refusal(socket.to_str().unwrap()).contains("a socket"));
        assert!(refusal("/dev/null").contains("a device"));
    }

    #[test]
    fn a_named_pipe_is_refused_without_waiting_for_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let made = std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap();
        assert!(made.success());
        assert!(refusal(pipe.to_str().unwrap()).contains("a named pipe"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn kernel_pseudo_files_are_refused() {
        assert!(refusal("/proc/self/status").contains("made up by the kernel"));
        assert!(refusal("/sys/kernel/fscaps").contains("made up by the kernel"));
    }

    #[test]
    fn a_missing_file_is_told_from_an_unreadable_one() {
        let folder = tempfile::tempdir().unwrap();
        let missing = open(&folder.path().join("none")).expect_err("nothing there");
        assert!(missing.is_missing());
        let plain = folder.path().join("plain");
        fs::write(&plain, "").unwrap();
        let below = open(&plain.join("x")).expect_err("not a folder");
        assert!(!below.is_missing());
    }
}
