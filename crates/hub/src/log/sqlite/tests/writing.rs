//! The writer: what shares a transaction, who waits, and for how long.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::*;

#[tokio::test]
async fn what_queues_during_a_commit_shares_the_next_and_its_failure() {
    let folder = TempDir::new().unwrap();
    let commits = Arc::new(Mutex::new(None));
    let counted = Arc::clone(&commits);
    let (subject, log) = failing(folder.path(), move || {
        let mut commits = counted.lock().unwrap();
        *commits = commits.map(|before| before + 1);
        *commits == Some(2)
    });
    settled(&subject).await;
    *commits.lock().unwrap() = Some(0);
    let mut conn = other(folder.path());
    let held = hold(&mut conn);
    // The writer has the first, and waits for the other program.
    let first = subject.append(says("u1", "m0", "x"));
    taken(&log).await;
    let rest = ["m1", "m2", "m1", "m3"].map(|cid| subject.append(says("u1", cid, "x")));
    drop(held);
    assert!(first.await.is_ok());
    for append in rest {
        assert_eq!(append.await, Err(AppendError::Timeout));
    }
    assert_eq!(*commits.lock().unwrap(), Some(2), "one commit for all");
    assert_eq!(
        subject.seen.all().len(),
        3,
        "nobody sees what was not committed"
    );
    // Each is there once when all try again.
    for cid in ["m1", "m2", "m3"] {
        let again = subject.append(says("u1", cid, "x")).await.unwrap();
        assert!(!again.duplicate);
    }
    let all = subject.tail(Start::At(0), ALL).await.events;
    assert_eq!(all, subject.seen.all());
    assert_eq!(all.len(), 6);
}

/// Goal: who sends is told in time, however many do.
/// Method: several transactions' worth of messages, of which each could wait for the lock as long as the first.
#[tokio::test]
async fn s34_while_another_program_has_the_lock_messages_wait_and_then_are_refused() {
    let folder = TempDir::new().unwrap();
    let limits = Limits {
        write: Duration::from_secs(1),
        ..patient()
    };
    let (subject, log) = limited(folder.path(), limits);
    subject.say("c1").await;
    let mut conn = other(folder.path());
    let held = hold(&mut conn);
    let waiting: Vec<_> = (0..2_000)
        .map(|n| subject.append(says("u1", &format!("w{n}"), "x")))
        .collect();
    // Reading goes on.
    assert_eq!(subject.tail(Start::At(0), ALL).await.events.len(), 1);
    for append in waiting {
        let refused = append.await.unwrap_err();
        assert!(
            matches!(refused, AppendError::Unavailable | AppendError::Busy),
            "{refused}"
        );
    }
    assert!(matches!(log.health(), Health::ReadOnly { .. }));
    drop(held);
    // A machine may be so slow that this takes too long as well.
    stored(&subject, "c2").await;
    assert_eq!(log.health(), Health::Well);
    assert_eq!(subject.tail(Start::At(0), ALL).await.events.len(), 2);
    drop((subject, log));
    // One that is let go in time is waited for.
    let subject = open(folder.path()).unwrap();
    let held = hold(&mut conn);
    let waiting = subject.append(says("u1", "c3", "x"));
    drop(held);
    assert!(!waiting.await.unwrap().duplicate);
}

#[tokio::test]
async fn more_than_may_wait_is_refused_at_once_and_is_not_stored() {
    let folder = TempDir::new().unwrap();
    let (subject, log) = failing(folder.path(), || false);
    let mut conn = other(folder.path());
    let held = hold(&mut conn);
    let first = subject.append(says("u1", "c", "x"));
    taken(&log).await;
    let body = "x".repeat(MAX_WAITING_BYTES / 4);
    let waiting = [(); 4].map(|()| subject.append(says("u1", "c", &body)));
    let refused = subject.append(says("u1", "d", "x")).await;
    assert_eq!(refused, Err(AppendError::Busy));
    drop(held);
    assert!(first.await.is_ok());
    for append in waiting {
        assert_eq!(append.await, Err(AppendError::Conflict));
    }
    assert!(!subject.say("d").await.duplicate);
}

/// Panics at the second event.
struct Broken(AtomicUsize);

impl Committed for Broken {
    fn trimmed(&self, _room: &str, _floor: Mark) {}

    fn follows(&self, _room: &str) -> bool {
        true
    }

    fn erased(&self, _user: &str) {}

    fn forked(&self, _room: &str, _bounds: &Bounds) {}

    fn committed(&self, _event: Event) {
        assert_eq!(self.0.fetch_add(1, Ordering::Relaxed), 0, "a bug");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_writer_that_has_panicked() {
    let folder = TempDir::new().unwrap();
    let broken = Arc::new(Broken(AtomicUsize::new(0)));
    let log = SqliteLog::open(&Options::new(folder.path()), broken).unwrap();
    log.append(says("u1", "c1", "x")).await.unwrap();
    let appends = ["c2", "c3"].map(|cid| log.append(says("u1", cid, "x")));
    for append in appends {
        append.await.unwrap_err();
    }
    // Until the thread is gone altogether.
    while log.append(says("u1", "c4", "x")).await != Err(AppendError::Unavailable) {}
    until(|| matches!(log.health(), Health::ReadOnly { .. })).await;
    drop(log);
    let subject = open(folder.path()).unwrap();
    assert!(subject.say("c5").await.seq > 1);
}

#[tokio::test]
async fn a_trouble_is_over_also_where_nobody_sends_anything_meanwhile() {
    let folder = TempDir::new().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let failing_now = Arc::clone(&fails);
    let (subject, log) = failing(folder.path(), move || failing_now.load(Ordering::Relaxed));
    subject.say("stored").await;
    assert_eq!(log.health(), Health::Well);
    fails.store(true, Ordering::Relaxed);
    let refused = subject.append(says("u1", "1", "not stored")).await;
    assert_eq!(refused, Err(AppendError::Timeout));
    assert!(matches!(log.health(), Health::ReadOnly { .. }));
    fails.store(false, Ordering::Relaxed);
    until(|| log.health() == Health::Well).await;
}

#[tokio::test]
async fn what_it_has_to_do_is_known_and_how_long_it_takes() {
    let folder = TempDir::new().unwrap();
    let (subject, log) = limited(folder.path(), patient());
    subject.say("stored").await;
    let mut conn = other(folder.path());
    let held = hold(&mut conn);
    let waits = |n: i32| subject.append(says("u1", &n.to_string(), "waits"));
    let first = waits(0);
    taken(&log).await;
    let waiting = [first, waits(1), waits(2)];
    let load = log.load().unwrap();
    assert_eq!(load.waiting, 2, "{load:?}");
    assert!(load.waiting_bytes >= 2 * "waits".len(), "{load:?}");
    drop(held);
    for append in waiting {
        append.await.unwrap();
    }
    let load = log.load().unwrap();
    assert_eq!((load.waiting, load.waiting_bytes), (0, 0));
    let count = |times: &Timings| times.get().0.map(|(_, count)| count).sum::<u64>();
    let (appends, commits) = (count(&load.appends), count(&load.commits));
    assert_eq!(appends, 4);
    assert!((2..=4).contains(&commits), "{commits}");
}
