//! A disk without space.

use std::{
    io::Write as _,
    sync::atomic::{AtomicUsize, Ordering},
};

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
async fn s33_a_disk_with_room_for_a_message_is_still_full_until_there_is_room_for_many() {
    let Some(disk) = SmallDisk::mount("4m") else {
        return;
    };
    let data = disk.0.path().join("data");
    let tries = Arc::new(AtomicUsize::new(0));
    let failed = Arc::clone(&tries);
    let seen = Arc::new(Seen::default());
    let committed = Arc::clone(&seen) as _;
    let log = SqliteLog::open_with(&Options::new(data), committed, Limits::default(), |conn| {
        let count = move || {
            failed.fetch_add(1, Ordering::Relaxed);
        };
        conn.rollback_hook(Some(count)).unwrap();
    });
    let (subject, log) = with_log(log.unwrap(), seen);
    settled(&subject).await;
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![0; 4 << 20]).unwrap_err();
    let body = "x".repeat(64_000);
    let refused = subject.append(says("u1", "c2", &body)).await;
    assert_eq!(refused, Err(AppendError::Unavailable));
    assert_ne!(log.health(), Health::Well);
    let full = fs::metadata(&ballast).unwrap().len();
    let file = OpenOptions::new().write(true).open(&ballast).unwrap();
    file.set_len(full - (512 << 10)).unwrap();
    subject.append(says("u1", "c3", "hi")).await.unwrap();
    assert_ne!(log.health(), Health::Well);
    // It is tried without a message, too.
    let before = tries.load(Ordering::Relaxed);
    until(|| tries.load(Ordering::Relaxed) > before).await;
    assert_ne!(log.health(), Health::Well);
    file.set_len(0).unwrap();
    until(|| log.health() == Health::Well).await;
    let filler = "SELECT count(*) FROM meta WHERE key = 'filler'";
    let left = other(&disk.0.path().join("data")).query_row(filler, [], |row| row.get(0));
    assert_eq!(left, Ok(0));
}

#[tokio::test]
async fn a_disk_that_is_full_at_start_is_told() {
    let Some(disk) = SmallDisk::mount("64k") else {
        return;
    };
    let error = open(disk.0.path()).err().unwrap();
    assert!(matches!(error, OpenError::Full { .. }), "{error}");
}
