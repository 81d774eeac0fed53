//! What a restart leaves as it was.

use super::*;

#[tokio::test]
async fn all_is_as_it_was_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    let first = subject.say("c1").await;
    subject.say("c2").await;
    let delete = What::Delete { target: first.seq };
    subject.append(draft("u1", "c3", delete)).await.unwrap();
    let before = subject.tail(Start::At(0), ALL).await;
    let secret = subject.store.log.secret();
    drop(subject);

    let subject = open(folder.path()).unwrap();
    assert_eq!(subject.tail(Start::At(0), ALL).await, before);
    assert_eq!(subject.store.log.secret(), secret);
    assert_eq!(
        subject.say("c1").await,
        Appended {
            duplicate: true,
            ..first
        }
    );
    let next = subject.say("c4").await;
    assert!(next.seq > before.bounds.head.seq);
    let seen = subject.seen.all();
    assert_eq!(seen.len(), 1, "what is old is not committed again");
    assert_eq!(seen[0].prev, before.bounds.head.seq);
}

#[tokio::test]
async fn the_database_alone_is_all_there_is_once_it_is_closed() {
    for is_read_by_others in [false, true] {
        let (folder, copy) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let subject = open(folder.path()).unwrap();
        let others = is_read_by_others.then(|| other(folder.path()));
        subject.say("c1").await;
        let before = subject.tail(Start::At(0), ALL).await;
        if let Some(conn) = &others {
            assert_eq!(count(conn, "log"), 1);
        }
        drop(subject);

        assert_eq!(wal_size(folder.path()), 0);
        fs::copy(folder.path().join(FILE), copy.path().join(FILE)).unwrap();
        let subject = open(copy.path()).unwrap();
        assert_eq!(subject.tail(Start::At(0), ALL).await, before);
    }
}

#[tokio::test]
async fn positions_are_not_given_out_twice_even_if_nothing_is_kept() {
    let folder = TempDir::new().unwrap();
    let options = Options {
        retention: Retention {
            age: Some(Duration::ZERO),
            ..Retention::default()
        },
        ..Options::new(folder.path())
    };
    let subject = open(folder.path()).unwrap();
    let first = subject.say("c1").await;
    let head = subject.bounds().await.head;
    drop(subject);
    // It is swept at once.
    let subject = open_as(&options).unwrap();
    while subject.bounds().await.floor != head {
        tokio::task::yield_now().await;
    }
    assert!(subject.tail(Start::At(0), ALL).await.events.is_empty());
    assert_eq!(
        subject.bounds().await.head,
        head,
        "who was up to date still is"
    );
    drop(subject);
    let subject = open(folder.path()).unwrap();
    // Its id is known for a week from when it was said, which was in 1970.
    assert!(subject.say("c2").await.seq > first.seq);
}

#[tokio::test]
async fn s19_no_position_is_given_out_that_javascript_could_not_tell_from_others() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    subject.say("c1").await;
    drop(subject);
    let conn = Connection::open(folder.path().join(FILE)).unwrap();
    let ages_later =
        "DELETE FROM log; UPDATE rooms SET kept = 0, head = (1 << 53) - 2, floor = (1 << 53) - 2";
    conn.execute_batch(ages_later).unwrap();
    drop(conn);
    let subject = open(folder.path()).unwrap();
    assert_eq!(subject.say("c2").await.seq, (1 << 53) - 1);
    let more = subject.append(says("u1", "c3", "hi")).await;
    assert_eq!(more, Err(AppendError::Unavailable));
}

#[tokio::test]
async fn s51_time_goes_on_from_the_newest_event_also_when_that_is_no_longer_kept() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    let late = Draft {
        now: 9_000,
        ..says("u1", "c1", "x")
    };
    let late = subject.append(late).await.unwrap();
    drop(subject);
    let subject = open_as(&keeps(folder.path(), 0)).unwrap();
    until(|| subject.seen.floor("general").seq == late.seq).await;
    drop(subject);
    let subject = open(folder.path()).unwrap();
    assert_eq!(subject.say("c2").await.ts, 9_000);
}
