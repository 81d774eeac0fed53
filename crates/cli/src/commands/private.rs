//! What is for nobody else must not lie where `--static` serves files from.

use std::path::{self, Path, PathBuf};

use crate::exit::Failure;

/// Refuses if the static folder holds one of these, each with the flag that names it. What has a hidden name on the way to it is not
/// served anyway.
pub(super) fn check<'a>(
    folder: Option<&Path>,
    private: impl IntoIterator<Item = (&'static str, Option<&'a Path>)>,
) -> Result<(), Failure> {
    let Some(folder) = folder else { return Ok(()) };
    let root = real(folder);
    for (flag, path) in private {
        let Some(path) = path else { continue };
        let real = real(path);
        if real.strip_prefix(&root).is_ok_and(is_served) {
            return Err(Failure::usage(format!(
                "--static {} would show {} of {flag} to everybody; keep that elsewhere",
                folder.display(),
                path.display()
            )));
        }
    }
    Ok(())
}

fn is_served(inside: &Path) -> bool {
    !inside
        .iter()
        .any(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Without links, as far as the path exists: a data folder is made later.
fn real(path: &Path) -> PathBuf {
    let path = path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = path.ancestors().find_map(|ancestor| {
        let real = ancestor.canonicalize().ok()?;
        Some(real.join(path.strip_prefix(ancestor).ok()?))
    });
    existing.unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn private_files_are_elsewhere_or_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("pages/sub/.hidden")).unwrap();
        fs::create_dir(root.join("elsewhere")).unwrap();
        fs::write(root.join("pages/secret"), "x").unwrap();
        symlink(root.join("pages"), root.join("link")).unwrap();
        symlink(root.join("pages/secret"), root.join("elsewhere/secret")).unwrap();
        let pages = root.join("pages");
        for (path, is_fine) in [
            ("pages", false),
            ("pages/secret", false),
            ("pages/data/not/made/yet", false),
            ("pages/sub/../secret", false),
            ("link/secret", false),
            ("elsewhere/secret", false),
            ("pages/sub/.hidden/data", true),
            ("elsewhere", true),
            ("pages-too/secret", true),
            ("", true),
        ] {
            let path = root.join(path);
            for folder in [&pages, &root.join("link")] {
                let found = check(Some(folder), [("--data", Some(&*path))]);
                assert_eq!(found.is_ok(), is_fine, "{}", path.display());
            }
        }
        let secret = pages.join("secret");
        assert!(check(Some(&pages), [("--data", None)]).is_ok());
        assert!(check(None, [("--data", Some(&*secret))]).is_ok());
    }
}
