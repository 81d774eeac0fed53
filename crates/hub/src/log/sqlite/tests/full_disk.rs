//! A disk without space.

use std::io::Write as _;

use super::*;

/// A small file system of its own, unmounted when this is dropped. None where that is not allowed.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = TempDir::new().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .output();
        if !mounted.is_ok_and(|output| output.status.success()) {
            let what = "a full disk: mounting a small file system is not allowed here";
            assert!(std::env::var_os("CI").is_none(), "not tested: {what}");
            // Past the harness, which keeps to itself what passing tests print.
            let mut out = io::stderr();
            writeln!(out, "NOT TESTED: {what}").unwrap();
            return None;
        }
        Some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount")
            .arg(self.0.path())
            .status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

#[tokio::test]
async fn s33_with_a_full_disk_messages_are_refused_and_reading_goes_on_until_there_is_space() {
    let Some(disk) = SmallDisk::mount("4m") else {
        return;
    };
    let ballast = disk.0.path().join("ballast");
    let subject = open(&disk.0.path().join("data")).unwrap();
    let first = subject.say("first").await;
    fs::write(&ballast, vec![0; 2 << 20]).unwrap();
    let mut stored = vec![first.seq];
    let body = "x".repeat(16_000);
    let mut n = 0;
    let error = loop {
        n += 1;
        match subject.append(says("u1", &n.to_string(), &body)).await {
            Ok(appended) => stored.push(appended.seq),
            Err(error) => break error,
        }
    };
    assert_eq!(
        error,
        AppendError::Unavailable,
        "it is known not to be stored"
    );
    for _ in 0..3 {
        let refused = subject.append(says("u1", &n.to_string(), &body)).await;
        assert_eq!(refused, Err(AppendError::Unavailable));
    }
    let seqs = |events: Vec<Event>| events.iter().map(|event| event.seq).collect::<Vec<_>>();
    assert_eq!(seqs(subject.tail(Start::At(0), ALL).await.events), stored);
    fs::remove_file(ballast).unwrap();
    let again = subject
        .append(says("u1", &n.to_string(), &body))
        .await
        .unwrap();
    assert!(!again.duplicate);
    stored.push(again.seq);
    assert_eq!(seqs(subject.seen.all()), stored);
    drop(subject);
    let subject = open(&disk.0.path().join("data")).unwrap();
    assert_eq!(seqs(subject.tail(Start::At(0), ALL).await.events), stored);
}

#[tokio::test]
async fn a_disk_that_is_full_at_start_is_told() {
    let Some(disk) = SmallDisk::mount("64k") else {
        return;
    };
    let error = open(disk.0.path()).err().unwrap();
    assert!(matches!(error, OpenError::Full { .. }), "{error}");
}
