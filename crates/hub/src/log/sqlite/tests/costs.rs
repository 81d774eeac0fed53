//! What a draft costs the writer, however much there is.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::log::{
    MAX_EDITS, MAX_REACTIONS,
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
