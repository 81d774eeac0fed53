//! What a draft costs the writer, however much there is.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::log::{
    MAX_EDITS, MAX_REACTIONS, MAX_SEARCHED, ReadError,
    projection_conformance::{a_message_is_edited_so_often, react},
};

/// Steps of SQLite's machine that some work takes.
fn steps<T>(conn: &mut Connection, work: impl FnOnce(&Connection) -> T) -> (T, usize) {
    let steps = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&steps);
    let count = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        false
    };
    conn.progress_handler(1, Some(count)).unwrap();
    let done = work(conn);
    conn.progress_handler(0, None::<fn() -> bool>).unwrap();
    (done, steps.load(Ordering::Relaxed))
}

/// Goal: nobody stops the writer by reacting to what many have reacted to.
/// Method: the steps that it takes to answer a reaction that is set already, one that is not, one too many, and the first of an edit; with a few
/// reactions of others, and with 20,000.
#[tokio::test]
async fn a_reaction_is_answered_at_once_however_many_there_are() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    let said = subject.say("said").await;
    let reacts = |emoji: &str, on| draft("u1", emoji, react(said.seq, emoji, on));
    for n in 0..MAX_REACTIONS {
        subject.append(reacts(&n.to_string(), true)).await.unwrap();
    }
    let message = subject.seen.all().swap_remove(0);
    drop(subject);
    let mut conn = other(folder.path());
    let costs = |conn: &mut Connection| {
        let asked = [("7", true), ("7", false), ("no", false), ("more", true)];
        asked.map(|(emoji, on)| {
            let draft = reacts(emoji, on);
            let (answer, steps) = steps(conn, |conn| reacting::answered(conn, &draft, &message));
            (answer.unwrap(), steps)
        })
    };
    let few = costs(&mut conn);
    let [is_set, _, never, more] = &few;
    let place = is_set.0.as_ref().unwrap().as_ref().unwrap();
    assert_eq!((place.seq, place.duplicate), (said.seq + 8, true));
    assert_eq!(never.0, Some(Ok(Appended::again(&message))));
    assert_eq!(more.0, Some(Err(AppendError::TooManyReactions)));
    let many = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
        INSERT INTO log SELECT 1000 + n, room, 999 + n, 'id', ts, 3, ?1, n % 50, author, 'u' || (9 + n), name, avatar, NULL, NULL, NULL
        FROM n, log WHERE seq = ?1";
    conn.execute(many, [rows::integer(said.seq)]).unwrap();
    let set = "INSERT OR IGNORE INTO reactions SELECT target, body, user FROM log WHERE kind = 3";
    assert!(conn.execute(set, []).unwrap() > 19_000);
    for (few, many) in few.into_iter().zip(costs(&mut conn)) {
        assert_eq!(many.0, few.0);
        assert!(many.1 <= few.1 + 9, "{} steps instead of {}", many.1, few.1);
    }
}

/// Goal: what is put into the index is taken out again, whatever was said.
/// Method: texts at the end of what is searched, and with a character that ends a text in C; then the index is compared with what it is of, which
/// is nothing.
#[tokio::test]
async fn what_is_searched_of_a_text_goes_with_it() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    for end in ["one", "é two", "a\0b", "\0"] {
        for length in [0, MAX_SEARCHED - 4, MAX_SEARCHED] {
            let body = format!("{}{end} end", "é".repeat(length));
            let cid = format!("{end}{length}");
            let target = subject.append(says("u1", &cid, &body)).await.unwrap().seq;
            let delete = draft("u1", &format!("{cid} gone"), What::Delete { target });
            subject.append(delete).await.unwrap();
        }
    }
    drop(subject);
    let conn = other(folder.path());
    let check = "INSERT INTO search (search, rank) VALUES ('integrity-check', 1)";
    conn.execute(check, []).unwrap();
}

/// Goal: with a message all its edits are scrubbed, in one transaction; so they are not without an end.
#[tokio::test]
async fn a_message_is_not_edited_without_an_end() {
    let folder = TempDir::new().unwrap();
    let keeps = keeps(folder.path(), 2 * MAX_EDITS as u64);
    a_message_is_edited_so_often(open_as(&keeps).unwrap()).await;
}

/// Goal: to begin to forget a user costs what that user has, not what all have.
/// Method: the steps that it takes with two marks, and with 20,000 of others.
#[tokio::test]
async fn an_erasure_begins_at_once_however_many_marks_there_are() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()).unwrap());
    let mut conn = other(folder.path());
    let begin = |conn: &mut Connection, user: &str| {
        let (begun, steps) = steps(conn, |conn| erase::begin(conn, user, 9));
        begun.unwrap();
        steps
    };
    conn.execute_batch("INSERT INTO marks VALUES (1, 'u1', 3), (1, 'u2', 3)")
        .unwrap();
    let few = begin(&mut conn, "u1");
    conn.execute_batch(
        "WITH RECURSIVE n (n) AS (SELECT 3 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)
            INSERT INTO marks SELECT n % 7, 'u' || n, 3 FROM n",
    )
    .unwrap();
    let many = begin(&mut conn, "u2");
    assert!(many <= few + 9, "{many} steps instead of {few}");
    assert_eq!(count(&conn, "marks WHERE user IN ('u1', 'u2')"), 0);
}

/// Goal: who waits for a message that costs much does not wait for all that come with it.
/// Method: messages that wait together, with time for all of them in one transaction, and with time for one in each; and somebody who is to be
/// forgotten with all that was handed over before.
#[tokio::test]
async fn what_there_is_no_time_for_comes_next_in_its_order() {
    // The writer may also look for what is too old meanwhile, which is a commit, too.
    for (turn, expected) in [(HOUR, 2..=5), (Duration::ZERO, 6..=20)] {
        let folder = TempDir::new().unwrap();
        let limits = Limits {
            turn,
            ..Limits::default()
        };
        let commits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&commits);
        let count = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            false
        };
        let (subject, log) = failing_within(&Options::new(folder.path()), limits, count);
        settled(&subject).await;
        commits.store(0, Ordering::Relaxed);
        let mut conn = other(folder.path());
        let held = hold(&mut conn);
        let first = subject.append(says("u1", "first", "x"));
        taken(&log).await;
        let rest = ["a", "b", "b", "c", "d"].map(|cid| subject.append(says("u2", cid, cid)));
        drop(held);
        assert!(first.await.is_ok());
        let rest = all(rest).await.into_iter().map(Result::unwrap);
        let rest: Vec<_> = rest.map(|one| (one.seq, one.duplicate)).collect();
        assert!(rest.is_sorted() && rest[1].0 == rest[2].0);
        assert_eq!(
            rest.iter().map(|one| one.1).collect::<Vec<_>>(),
            [false, false, true, false, false]
        );
        let commits = commits.load(Ordering::Relaxed);
        assert!(expected.contains(&commits), "{commits} with {turn:?}");

        let held = hold(&mut conn);
        let first = subject.append(says("u1", "second", "x"));
        taken(&log).await;
        let rest = ["e", "f"].map(|cid| subject.append(says("u2", cid, cid)));
        let erased = log.erase(&"u2".into());
        drop(held);
        assert!(first.await.is_ok() && all(rest).await.iter().all(Result::is_ok));
        assert_eq!(erased.await, Ok(6));
    }
}

/// Goal: what is dropped or erased holds up nobody for longer than a turn lasts, whatever it is.
/// Method: turns that are over when they begin, in which one event is done, and such without an end.
#[tokio::test]
async fn what_goes_goes_in_turns() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    for n in 0..9 {
        subject.say(&n.to_string()).await;
    }
    let last = subject.bounds().await.head.seq;
    drop(subject);
    let conn = other(folder.path());
    let rules = |events| Rules {
        others: Retention { events, age: None },
        rooms: Vec::new(),
    };
    let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(3_600));
    let kept = |row: Option<rows::RoomRow>| row.map(|row| row.kept);
    let trim = |events, until| kept(trim::trim(&conn, &rules(events), "general", until).unwrap());
    assert_eq!(trim(6, now), Some(8));
    assert_eq!(trim(6, later), Some(6));
    assert_eq!((trim(6, later), count(&conn, "log")), (None, 6));

    let mut sweep = Sweep::read(&conn).unwrap();
    let mut sweep = |until| {
        let swept = sweep.go_on(&conn, &rules(3), crate::hub::now(), until, |_| true);
        swept.unwrap().is_done
    };
    assert!(!sweep(now));
    assert_eq!(count(&conn, "log"), 5);
    assert!(sweep(later));
    assert_eq!(count(&conn, "log"), 3);

    erase::begin(&conn, "u1", last).unwrap();
    let mut erasures = Erasures::unfinished(&conn).unwrap();
    let left = || count(&conn, "log WHERE typeof(body) = 'text'");
    let mut step = |until| {
        let erasing = erasures.take_due().unwrap();
        let progress = erasing.step(&conn, until).unwrap();
        erasures.advance(erasing, progress);
        erasures.due().is_none()
    };
    assert!(!step(now));
    assert_eq!(left(), 2);
    assert!(step(later));
    assert_eq!(left(), 0);
}

/// Goal: a page of one room that is damaged is the trouble of those who write there, and of nobody else.
/// Method: a room whose events, and a user whose marks, can't be stored; alone, and with others in one transaction. And then nothing can be.
#[tokio::test]
async fn s35_what_can_not_be_stored_fails_alone() {
    let folder = TempDir::new().unwrap();
    let (subject, log) = limited(folder.path(), Limits::default());
    subject.say("first").await;
    let bad = |cid: &str| Draft {
        room: "bad".into(),
        ..says("u1", cid, "x")
    };
    subject.append(bad("there")).await.unwrap();
    let mut conn = other(folder.path());
    conn.execute_batch(
        "CREATE TRIGGER damaged BEFORE INSERT ON log
            WHEN new.room = (SELECT id FROM rooms WHERE name = 'bad')
            BEGIN SELECT raise(ABORT, 'a damaged page'); END;
        CREATE TRIGGER damaged_too BEFORE INSERT ON marks WHEN new.user = 'bad'
            BEGIN SELECT raise(ABORT, 'a damaged page'); END;",
    )
    .unwrap();
    let room: Arc<str> = "general".into();
    for n in 0..3 {
        assert_eq!(
            subject.append(bad("alone")).await,
            Err(AppendError::Unavailable)
        );
        let held = hold(&mut conn);
        let before = subject.append(says("u1", &format!("{n} before"), "x"));
        taken(&log).await;
        let together = [
            says("u1", &format!("{n}"), "x"),
            bad("new"),
            bad("there"),
            says("u1", &format!("{n} after"), "x"),
        ];
        let together = together.map(|draft| subject.append(draft));
        let marks = ["good", "bad"].map(|user| log.set_mark(&room, &user.into(), 1 + n));
        drop(held);
        before.await.unwrap();
        let together = all(together).await;
        assert!(!together[0].as_ref().unwrap().duplicate);
        assert_eq!(together[1], Err(AppendError::Unavailable));
        assert!(together[2].as_ref().unwrap().duplicate);
        assert!(!together[3].as_ref().unwrap().duplicate);
        let [good, bad] = marks;
        assert_eq!(good.await.unwrap().seq, 1 + n);
        assert_eq!(bad.await, Err(ReadError::Unavailable));
        assert_eq!(log.health(), Health::Well);
    }
    let stored = subject.tail(Start::At(0), ALL).await.events;
    let seen = subject.seen.all();
    let seen: Vec<_> = seen.iter().filter(|event| *event.room == *room).collect();
    assert!(stored.iter().eq(seen) && stored.len() == 10);
    assert!(stored.windows(2).all(|two| two[1].prev == two[0].seq));

    conn.execute_batch(
        "CREATE TRIGGER all_damaged BEFORE INSERT ON log BEGIN SELECT raise(ABORT, 'damaged'); END",
    )
    .unwrap();
    let refused = subject.append(says("u1", "last", "x")).await;
    assert_eq!(refused, Err(AppendError::Unavailable));
    assert!(matches!(log.health(), Health::ReadOnly { .. }));
    conn.execute_batch("DROP TRIGGER all_damaged").unwrap();
    until(|| log.health() == Health::Well).await;
    assert!(!subject.say("last").await.duplicate);
}
