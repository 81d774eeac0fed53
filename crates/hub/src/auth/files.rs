//! Files that hold keys.

use std::{io, path::Path};

use crate::read_small;

/// Reads a file that holds a secret, and warns if others may read it too.
///
/// # Errors
///
/// It can't be read, is no file, or is much too long to be one.
pub fn read_secret(path: &Path) -> io::Result<Vec<u8>> {
    let secret = read_small(path)?;
    warn_if_for_others(path);
    Ok(secret)
}

/// Reads a file that anybody may read.
///
/// # Errors
///
/// As [`read_secret`].
pub fn read_public(path: &Path) -> io::Result<Vec<u8>> {
    read_small(path)
}

/// Warns if a file with a secret can be read by others.
pub(super) fn warn_if_for_others(path: &Path) {
    if is_for_others(path) {
        tracing::warn!(
            "{} holds a secret and can be read by others; use chmod 600",
            path.display()
        );
    }
}

#[cfg(unix)]
fn is_for_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_for_others(_path: &Path) -> bool {
    false
}
