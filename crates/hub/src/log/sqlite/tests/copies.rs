//! Copies beside a running server.

use super::*;

#[tokio::test]
async fn a_backup_is_made_while_messages_come_and_begins_its_own_history() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("copy.db");
    let data = folder.path().join("data");
    let subject = open(&data).unwrap();
    let before = subject.say("before").await;
    let appends: Vec<_> = (0..1_000)
        .map(|n| subject.append(says("u1", &n.to_string(), "meanwhile")))
        .collect();
    Archive::open(&data).unwrap().back_up(&file).unwrap();
    for append in appends {
        append.await.unwrap();
    }
    assert_eq!(subject.seen.all().len(), 1_001);
    let again = Archive::open(&data).unwrap().back_up(&file).unwrap_err();
    assert!(
        matches!(again, OpenError::Folder { .. }),
        "nothing is replaced: {again}"
    );

    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "nothing beside it: {left:?}");

    let mut epochs = vec![subject.bounds().await.epoch];
    for name in ["restored", "restored again"] {
        let restored = folder.path().join(name);
        fs::create_dir(&restored).unwrap();
        fs::copy(&file, restored.join(FILE)).unwrap();
        let copy = open(&restored).unwrap();
        let events = copy.tail(Start::At(0), ALL).await.events;
        assert_eq!(
            events,
            subject.seen.all()[..events.len()],
            "as it was at one moment"
        );
        assert_eq!(events[0].seq, before.seq);
        assert_eq!(copy.store.log.secret(), subject.store.log.secret());
        let epoch = copy.bounds().await.epoch;
        assert!(!epochs.contains(&epoch), "another history each time");
        // Also a cursor at what it has is of another one.
        let cursor = Cursor {
            epoch: Arc::clone(&epochs[epochs.len() - 1]),
            mark: events[0].mark(),
        };
        assert_eq!(copy.judge(&cursor).await, Err(Reset::Epoch));
        drop(copy);
        let copy = open(&restored).unwrap();
        assert_eq!(copy.bounds().await.epoch, epoch, "that goes on");
        epochs.push(epoch);
    }
}

/// Goal: what was restored is what was backed up, also where a crash left more than the database's own file.
/// Method: the write-ahead log as it is while a log is in use, and a backup put beside it.
#[tokio::test]
async fn a_backup_beside_the_write_ahead_log_of_another_database_is_refused_until_that_is_gone() {
    let folder = TempDir::new().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("copy.db"));
    let subject = open(&data).unwrap();
    subject.say("before").await;
    Archive::open(&data).unwrap().back_up(&file).unwrap();
    // Who reads sees to it that the write-ahead log is not emptied.
    let mut conn = other(&data);
    let reading = conn.transaction().unwrap();
    assert_eq!(count(&reading, "log"), 1);
    subject.say("after").await;
    let crashed = folder.path().join("crashed");
    fs::create_dir(&crashed).unwrap();
    let wal = crashed.join("hub.db-wal");
    fs::copy(data.join("hub.db-wal"), &wal).unwrap();
    assert!(fs::metadata(&wal).unwrap().len() > 0);
    fs::copy(&file, crashed.join(FILE)).unwrap();
    for _ in 0..2 {
        let server = open(&crashed).err().unwrap();
        let reader = Archive::open(&crashed).err().unwrap();
        for refused in [server, reader] {
            assert!(matches!(refused, OpenError::Leftover { .. }), "{refused}");
            assert!(
                refused.to_string().contains("delete this file, and"),
                "{refused}"
            );
        }
    }
    assert_eq!(
        fs::read(crashed.join(FILE)).unwrap(),
        fs::read(&file).unwrap()
    );
    fs::remove_file(wal).unwrap();
    let restored = open(&crashed).unwrap();
    assert_eq!(restored.tail(Start::At(0), ALL).await.events.len(), 1);
}

/// Goal: under a backup's name there is never a part of one.
/// Method: one that fails before its end.
#[tokio::test]
async fn a_backup_that_fails_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    drop(filled(&data).await);
    damage(&data);
    let file = folder.path().join("copy.db");
    let error = Archive::open(&data).unwrap().back_up(&file).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = Archive::open(&data).unwrap();
    let error = error
        .back_up(&folder.path().join("no/such/folder"))
        .unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
}

#[test]
fn there_is_nothing_to_read_where_nothing_is() {
    let folder = TempDir::new().unwrap();
    let error = Archive::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
