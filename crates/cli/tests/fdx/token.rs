//! `fdx token`.

use std::{fs, path::Path};

use tempfile::TempDir;

use crate::{certificates::text, program::run};

/// A file of the hub's test keys.
fn key(name: &str) -> String {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hub/tests/keys");
    text(&keys.join(name)).to_owned()
}

const MAKE: &[&str] = &[
    "token",
    "--sub",
    "ana",
    "--name",
    "Ana",
    "--room",
    "general=read,write",
    "--room",
    "team-*=read",
    "--right",
    "log",
];

/// The time that the line about `what` ends with, in seconds since 1970.
fn second(explained: &str, what: &str) -> u64 {
    let line = explained.lines().find(|line| line.starts_with(what));
    let (_, time) = line.unwrap().rsplit_once('(').unwrap();
    time.trim_end_matches(')').parse().unwrap()
}

#[tokio::test]
async fn a_token_is_made_with_each_kind_of_key_and_explained_with_what_belongs_to_it() {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef\n").unwrap();
    let secret = text(&secret);
    for (private, public, algorithm) in [
        (secret.to_owned(), secret.to_owned(), "HS256"),
        (key("rsa.pem"), key("rsa.pub.pem"), "RS256"),
        (key("p256.pem"), key("p256.pub.pem"), "ES256"),
        (key("ed25519.pem"), key("ed25519.pub.pem"), "EdDSA"),
    ] {
        let made = run(&[MAKE, &["--key", &private]].concat(), "").await;
        assert_eq!(made.code, Some(0), "{made:?}");
        let explained = run(&["token", "--check", "-", "--key", &public], &made.stdout).await;
        assert_eq!(explained.code, Some(0), "{explained:?}");
        for line in [
            &format!("algorithm   {algorithm}"),
            "user        ana, called Ana",
            "room        general: read, write",
            "room        team-*: read",
            "rights      log",
            "verdict     good",
        ] {
            assert!(
                explained.stdout.lines().any(|said| said == line),
                "{line}: {explained:?}"
            );
        }
        // How long ago it was made depends on how busy the machine is, so it is the lifetime that is compared.
        let [made, expires] = ["made", "expires"].map(|what| second(&explained.stdout, what));
        assert_eq!(expires - made, 3600, "{explained:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_good_is_explained_and_fails() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    let made = run(
        &[MAKE, &["--key", &key("p256.pem"), "--expires", "never"]].concat(),
        "",
    )
    .await;
    fs::write(&file, made.stdout.trim()).unwrap();
    let check = ["token", "--check", text(&file)];
    let unchecked = run(&check, "").await;
    assert_eq!(unchecked.code, Some(0), "{unchecked:?}");
    assert!(
        unchecked.stdout.contains("the signature was not checked"),
        "{unchecked:?}"
    );
    assert!(
        unchecked.stdout.contains("expires     never"),
        "{unchecked:?}"
    );
    for (more, why) in [
        (
            &["--key", &*key("rsa.pub.pem")][..],
            "fdx: the token is signed with an unknown key\n",
        ),
        (
            &["--issuer", "x"],
            "fdx: the token is from another issuer\n",
        ),
        (
            &["--key", &key("p256.pub.pem"), "--audience", "x"],
            "fdx: the token is for another audience\n",
        ),
    ] {
        let refused = run(&[&check, more].concat(), "").await;
        assert_eq!((refused.code, &*refused.stderr), (Some(1), why));
        assert!(refused.stdout.contains("user        ana"), "{refused:?}");
    }
    let none = run(&["token", "--check", "-"], "hello").await;
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.starts_with("fdx: this is no token"), "{none:?}");
}

#[tokio::test]
async fn mistakes_are_told_before_a_token_is_made() {
    let folder = TempDir::new().unwrap();
    let short = folder.path().join("short");
    fs::write(&short, "hunter2\n").unwrap();
    for (args, code, why) in [
        (&["token"][..], 2, "--key"),
        (
            &["token", "--sub", "", "--key", &key("rsa.pem")],
            2,
            "sub must have 1 to 128 bytes",
        ),
        (
            &["token", "--sub", "a", "--key", text(&short)],
            3,
            "openssl rand -hex 32",
        ),
        (
            &["token", "--sub", "a", "--key", &key("rsa.pub.pem")],
            3,
            "no usable private key",
        ),
        (
            &["token", "--check", "-", "--key", &key("rsa.pem")],
            3,
            "neither a public key",
        ),
        (
            &["token", "--sub", "a", "--key", "/nowhere"],
            3,
            "cannot read /nowhere",
        ),
        (
            &[
                "token",
                "--sub",
                "a",
                "--key",
                &key("rsa.pem"),
                "--room",
                "a=dance",
            ],
            2,
            "dance",
        ),
        (&["token", "--check", "-", "--sub", "a"], 2, "--sub"),
    ] {
        let refused = run(args, "").await;
        assert_eq!(
            (refused.code, &*refused.stdout),
            (Some(code), ""),
            "{args:?} {refused:?}"
        );
        assert!(refused.stderr.contains(why), "{args:?} {refused:?}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_secret_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    for (mode, warns) in [(0o600, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let made = run(&["token", "--sub", "a", "--key", text(&secret)], "").await;
        assert_eq!(made.code, Some(0));
        assert_eq!(
            made.stderr.contains("can be read by others"),
            warns,
            "{made:?}"
        );
        assert!(!made.stderr.contains("0123456789abcdef"), "{made:?}");
    }
}
