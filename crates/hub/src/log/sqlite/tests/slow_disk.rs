//! A disk that takes its time.

use std::sync::{Condvar, Mutex};

use super::*;

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
        ..Limits::default()
    };
    let (subject, log) = disk.log(folder.path(), limits);
    let [first, second] = disk.hang(&subject, &log).await;
    assert_eq!(second.await, Err(AppendError::Busy), "it is not stored");
    assert_eq!(first.await, Err(AppendError::Timeout), "nobody knows");
    disk.set(false);
    assert!(!subject.say("c3").await.duplicate);
    assert!(subject.say("c2").await.duplicate, "it was stored, then");
    assert_eq!(subject.seen.all().len(), 4);
}

#[tokio::test]
async fn a_slow_disk_does_not_hold_up_the_end() {
    let folder = TempDir::new().unwrap();
    let disk = Arc::new(SlowDisk::default());
    let limits = Limits {
        close: Duration::from_millis(50),
        ..Limits::default()
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
