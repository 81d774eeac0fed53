//! What `--help` says, word for word. `FDX_UPDATE=1` writes the expected files anew; look at the difference.

use std::{env, fs, path::Path};

use crate::program::run;

/// Compares with a file in `expected/`.
fn expect(name: &str, text: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fdx/expected");
    expect_at(&folder.join(name), text);
}

/// Compares with any file.
pub(crate) fn expect_at(path: &Path, text: &str) {
    if env::var_os("FDX_UPDATE").is_some() {
        fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    let name = path.display();
    assert!(
        expected == text,
        "{name} should be\n{expected}\nand is\n{text}"
    );
}

#[tokio::test]
async fn help_is_what_it_was_when_somebody_last_read_it() {
    for (args, name) in [
        (&["--help"][..], "fdx.txt"),
        (&["serve", "--help"], "serve.txt"),
        (&["tail", "--help"], "tail.txt"),
        (&["connect", "--help"], "connect.txt"),
        (&["echo", "--help"], "echo.txt"),
        (&["config", "--help"], "config.txt"),
        (&["backup", "--help"], "backup.txt"),
        (&["export", "--help"], "export.txt"),
        (&["check", "--help"], "check.txt"),
        (&["recover", "--help"], "recover.txt"),
        (&["token", "--help"], "token.txt"),
    ] {
        let help = run(args, "").await;
        assert_eq!((help.code, &*help.stderr), (Some(0), ""), "{args:?}");
        expect(name, &help.stdout);
    }
}

#[tokio::test]
async fn the_version_is_told() {
    let version = run(&["--version"], "").await;
    assert_eq!(
        version.stdout,
        concat!("fdx ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_eq!(version.code, Some(0));
}
