//! A disk that takes its time.

use std::sync::{Condvar, Mutex, mpsc};

use super::*;
use crate::log::ReadError;

/// A disk whose syncs last until it is let go.
#[derive(Default)]
struct SlowDisk {
    is_slow: Mutex<bool>,
    changed: Condvar,
}

impl SlowDisk {
    fn set(&self, is_slow: bool) {
        *self.is_slow.lock().unwrap() = is_slow;
        self.changed.notify_all();
    }

    fn sync(&self) {
        let is_slow = self.is_slow.lock().unwrap();
        drop(
            self.changed
                .wait_while(is_slow, |is_slow| *is_slow)
                .unwrap(),
        );
    }

    /// A log on it.
    fn log(self: &Arc<Self>, folder: &Path, limits: Limits) -> (Subject, Arc<SqliteLog>) {
        let (seen, disk) = (Arc::new(Seen::default()), Arc::clone(self));
        let options = Options::new(folder);
        let log = SqliteLog::open_with(&options, Arc::clone(&seen) as _, limits, |conn| {
            let hook = move || {
                disk.sync();
                false
            };
            conn.commit_hook(Some(hook)).unwrap();
        });
        with_log(log.unwrap(), seen)
    }

    /// Becomes slow under a first message; a second one waits.
    async fn hang(&self, subject: &Subject, log: &SqliteLog) -> [Append; 2] {
        settled(subject).await;
        self.set(true);
        let first = subject.append(says("u1", "c2", "c2"));
        taken(log).await;
        [first, subject.append(says("u1", "c3", "c3"))]
    }
}

#[tokio::test]
async fn who_waits_for_a_slow_disk_is_answered_in_time() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(SlowDisk::default());
    let limits = Limits {
        write: Duration::from_millis(100),
        ..patient()
    };
    let (subject, log) = disk.log(folder.path(), limits);
    let [first, second] = disk.hang(&subject, &log).await;
    assert_eq!(second.await, Err(AppendError::Busy), "it is not stored");
    assert_eq!(first.await, Err(AppendError::Timeout), "nobody knows");
    disk.set(false);
    drop((subject, log));
    let subject = open(folder.path()).unwrap();
    assert!(!subject.say("c3").await.duplicate);
    assert!(subject.say("c2").await.duplicate, "it was stored, then");
    assert_eq!(subject.tail(Start::At(0), ALL).await.events.len(), 4);
}

#[tokio::test]
async fn a_slow_disk_does_not_hold_up_the_end() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(SlowDisk::default());
    let limits = Limits {
        close: Duration::from_millis(50),
        ..patient()
    };
    let (subject, log) = disk.log(folder.path(), limits);
    let [first, second] = disk.hang(&subject, &log).await;
    drop((subject, log));
    assert_eq!(second.await, Err(AppendError::Timeout));
    let error = open(folder.path()).err().unwrap();
    assert!(
        matches!(error, OpenError::InUse { .. }),
        "what is under way is not disturbed: {error}"
    );
    disk.set(false);
    assert!(!first.await.unwrap().duplicate);
    until(|| open(folder.path()).is_ok()).await;
}

/// Goal: a session that reads goes on, though the disk does not: it takes no other command meanwhile, and no sign of life.
/// Method: readers that hang until they are let go, and more to read than there are of them; a mark that is set meanwhile.
#[tokio::test]
async fn who_waits_for_what_can_not_be_read_is_answered_in_time() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(SlowDisk::default());
    let limits = Limits {
        write: Duration::from_millis(100),
        read: Duration::from_millis(100),
        ..Limits::default()
    };
    let (subject, log) = disk.log(folder.path(), limits);
    settled(&subject).await;
    let budget = log.limits.reading();
    let mut let_go = Vec::new();
    let hanging: Vec<_> = [&log.readers, &log.readers, &log.pagers, &log.searchers]
        .map(|readers| {
            let (end, ended) = mpsc::channel::<()>();
            let_go.push(end);
            readers.read(budget, move |_| Ok(ended.recv().is_ok()))
        })
        .into();
    let room: Arc<str> = "general".into();
    let waiting = log.bounds(&room);
    assert_eq!(waiting.await, Err(ReadError::Busy));
    for hanging in hanging {
        assert_eq!(hanging.await, Err(ReadError::Unavailable));
    }
    drop(let_go);
    disk.set(true);
    let mark = log.set_mark(&room, &"u2".into(), 1);
    taken(&log).await;
    assert_eq!(mark.await, Err(ReadError::Unavailable));
    disk.set(false);
    until_read(&log, &room).await;
}

/// Waits until the readers go on.
async fn until_read(log: &SqliteLog, room: &Arc<str>) {
    while log.bounds(room).await.is_err() {
        tokio::task::yield_now().await;
    }
}
