//! The write-ahead log: how large it grows, and what a part of it is worth.

use super::*;

#[tokio::test]
async fn s34_the_write_ahead_log_grows_up_to_its_limit_while_another_program_reads() {
    let folder = TempDir::new().unwrap();
    let limits = Limits {
        wal_pages: 64,
        ..patient()
    };
    let (subject, _log) = limited(folder.path(), limits);
    subject.say("first").await;
    let mut conn = other(folder.path());
    let reading = conn.transaction().unwrap();
    assert_eq!(count(&reading, "log"), 1);
    let body = "x".repeat(4_000);
    let mut stored = 1;
    let refused = loop {
        let said = says("u1", &stored.to_string(), &body);
        match subject.append(said).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, AppendError::Unavailable);
    assert!(wal_size(folder.path()) < 100 * 4_200);
    assert_eq!(
        subject.tail(Start::At(0), ALL).await.events.len(),
        stored,
        "reading goes on"
    );
    drop(reading);
    assert!(!subject.say("again").await.duplicate);
    assert!(wal_size(folder.path()) < 64 * 4_200, "it began anew");
}

/// Goal: nobody waits for a checkpoint, and the log before the database stays small all the same.
/// Method: its file, while more is written than it may hold.
#[tokio::test]
async fn the_write_ahead_log_begins_anew_under_load_and_is_emptied_at_rest() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    let body = "x".repeat(16_000);
    for n in 0..40 {
        let appends: Vec<_> = (0..64)
            .map(|m| subject.append(says("u1", &format!("{n}.{m}"), &body)))
            .collect();
        for append in appends {
            append.await.unwrap();
        }
    }
    let database = fs::metadata(folder.path().join(FILE)).unwrap().len();
    assert!(database > 20 << 20, "{database}");
    assert!(wal_size(folder.path()) < 24 << 20);
    until(|| wal_size(folder.path()) == 0).await;
    assert!(!subject.say("after").await.duplicate);
}

/// Goal: a power cut takes nothing that was acknowledged. That a message is synced before, `s32_` of the program's tests shows.
/// Method: what was synced is there, of what comes after it any part. So the write-ahead log is cut behind each acknowledgement, at and around
/// the ends of its frames, in their heads, and here and there.
#[tokio::test]
async fn s32_a_write_ahead_log_cut_anywhere_opens_with_all_that_was_acknowledged() {
    const HEAD: u64 = 32;
    const FRAME: u64 = 24 + 4096;
    let folder = TempDir::new().unwrap();
    let mut data = folder.path().to_owned();
    let (_subject, ends) = loop {
        data.push("data");
        let subject = open(&data).unwrap();
        subject.say("c0").await;
        until(|| wal_size(&data) == 0).await;
        let mut ends = vec![wal_size(&data)];
        for n in 1..=3 {
            subject.say(&format!("c{n}")).await;
            ends.push(wal_size(&data));
        }
        // Where a machine stands still for a while, the log is emptied again meanwhile.
        if ends.is_sorted_by(|end, next| end < next) {
            break (subject, ends);
        }
    };
    let read = |name: &str| fs::read(data.join(name)).unwrap();
    let (database, wal) = (read(FILE), read("hub.db-wal"));
    assert_eq!((wal.len() as u64 - HEAD) % FRAME, 0);
    let places = (0..=wal.len()).filter(|&at| {
        let within = (at as u64).saturating_sub(HEAD) % FRAME;
        matches!(within, 0..3 | 24) || within == FRAME - 1 || at % 1_021 == 0
    });
    for at in places {
        let cut = folder.path().join("cut");
        fs::create_dir(&cut).unwrap();
        fs::write(cut.join(FILE), &database).unwrap();
        fs::write(cut.join("hub.db-wal"), &wal[..at]).unwrap();
        let subject = open(&cut).unwrap();
        let there = subject.tail(Start::At(0), ALL).await.events.len();
        let acknowledged = ends.iter().filter(|&&end| end <= at as u64).count();
        assert_eq!(there, acknowledged.max(1), "cut at {at}");
        let again = subject.say("c1").await;
        assert_eq!(again.duplicate, there > 1, "cut at {at}");
        drop(subject);
        fs::remove_dir_all(cut).unwrap();
    }
}
