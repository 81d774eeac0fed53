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
