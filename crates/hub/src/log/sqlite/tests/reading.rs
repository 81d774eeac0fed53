//! Readers: what they cost, and what they find.

use super::*;
use crate::log::{
    projection_conformance::{bodies, seqs, up_to},
    sqlite::projection::{BEFORE, FROM, page_sql},
};

#[tokio::test]
async fn what_takes_too_long_to_read_is_given_up() {
    let folder = TempDir::new().unwrap();
    let (subject, log) = limited(folder.path(), patient());
    let endless = |conn: &Connection| {
        let sql =
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n";
        conn.query_row(sql, [], |row| row.get::<_, i64>(0))
    };
    let mut whole = Duration::from_millis(20);
    // More than there are readers: the last has no time left when it is its turn.
    let late = loop {
        let short = Budget { whole, turn: whole };
        let late = [(); 5].map(|()| log.readers.read(short, endless));
        let late = all(late).await;
        // Nor has the first, where a machine is slow.
        if late[0] != Err(ReadError::Busy) {
            break late;
        }
        whole *= 2;
        assert!(whole < HOUR, "it is never read");
    };
    let [first, .., last] = late[..] else {
        panic!("five are answered");
    };
    assert_eq!(
        [first, last],
        [Err(ReadError::TooLong), Err(ReadError::Busy)]
    );
    assert_eq!(subject.bounds().await.head.seq, 0, "others are read for");
    // Nor for longer than somebody waits for it.
    let unhurried = Budget {
        whole: HOUR,
        turn: HOUR,
    };
    drop([(); 5].map(|()| log.readers.read(unhurried, endless)));
    assert_eq!(subject.bounds().await.head.seq, 0);
    let short_turn = Budget {
        turn: Duration::from_millis(20),
        ..unhurried
    };
    let late = log.readers.read(short_turn, endless).await;
    assert_eq!(late, Err(ReadError::TooLong));
    let under_way = [(); 5].map(|()| log.readers.read(unhurried, endless));
    drop((subject, log));
    for read in under_way {
        read.await.unwrap_err();
    }
    open(folder.path()).unwrap();
}

/// Goal: who joins or pages waits for no search, however many there are and however long they take.
/// Method: searches that wait for one that does not end before it is told to.
#[tokio::test]
async fn searches_hold_up_nobody_but_each_other() {
    let folder = TempDir::new().unwrap();
    let (subject, log) = limited(folder.path(), patient());
    let said = subject.say("found").await.seq;
    let (end, ended) = mpsc::channel();
    let budget = log.limits.searching();
    let slow = log
        .searchers
        .read(budget, move |_| Ok(ended.recv().is_ok()));
    let found = [(); 3].map(|()| subject.store.projection.search(looking_for("found")));
    for _ in 0..3 {
        assert_eq!(subject.bounds().await.head.seq, said);
        assert_eq!(subject.tail(Start::Newest, ALL).await.events.len(), 1);
        assert_eq!(
            seqs(&subject.page(Span::Newest, ALL).await.messages),
            [said]
        );
    }
    end.send(()).unwrap();
    assert_eq!(slow.await, Ok(true), "it went on until now");
    for found in all(found).await {
        assert_eq!(seqs(&found.unwrap().messages), [said]);
    }
}

/// Goal: who comes into a room, or is caught up, waits for nobody's pages of history.
#[tokio::test]
async fn pages_hold_up_nobody_but_each_other() {
    let folder = TempDir::new().unwrap();
    let (subject, log) = limited(folder.path(), patient());
    let said = subject.say("hi").await.seq;
    let (end, ended) = mpsc::channel();
    let budget = log.limits.reading();
    let slow = log.pagers.read(budget, move |_| Ok(ended.recv().is_ok()));
    let page = subject.store.projection.page(page_at(Span::Newest, ALL));
    assert_eq!(subject.bounds().await.head.seq, said);
    assert_eq!(subject.tail(Start::Newest, ALL).await.events.len(), 1);
    end.send(()).unwrap();
    assert_eq!(slow.await, Ok(true), "it went on until now");
    assert_eq!(seqs(&page.await.unwrap().messages), [said]);
}

#[tokio::test]
async fn a_search_that_takes_too_long_is_told_so() {
    let folder = TempDir::new().unwrap();
    let limits = Limits {
        search: Duration::ZERO,
        ..patient()
    };
    let (subject, _log) = limited(folder.path(), limits);
    // Enough that somebody looks at the clock.
    let said: Vec<_> = (0..2_000)
        .map(|n| subject.append(says("u1", &n.to_string(), "needle")))
        .collect();
    all(said).await;
    let elsewhere = SearchQuery {
        rooms: Some(vec!["other".into()]),
        ..looking_for("needle")
    };
    let found = subject.store.projection.search(elsewhere).await;
    assert_eq!(found, Err(ReadError::TooLong));
    assert_eq!(subject.page(Span::Newest, up_to(3)).await.messages.len(), 3);
}

#[tokio::test]
async fn nothing_in_the_words_of_a_search_has_a_meaning_of_its_own() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    let first = subject
        .append(says("u1", "1", "Grüße an alle"))
        .await
        .unwrap()
        .seq;
    subject
        .append(says("u1", "2", "the second one"))
        .await
        .unwrap();
    let found = async |words| seqs(&subject.search(looking_for(words)).await.messages);
    assert_eq!(found("gruße").await, [first]);
    for nothing in [
        "",
        " ",
        "\"",
        "* OR the",
        "body:the",
        "NEAR(the one)",
        "-",
        "\0",
    ] {
        assert_eq!(found(nothing).await.len(), 0, "{nothing:?}");
    }
}

/// How SQLite goes about a query with four parameters.
fn plan(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let steps = statement.query_map([1, 1, 1, 1], |row| row.get(3)).unwrap();
    steps.collect::<rusqlite::Result<_>>().unwrap()
}

/// Goal: a page costs what it shows, wherever it is in a long history and whatever lies between its messages.
/// Method: 200,000 messages and as many reactions to one of them; the way that SQLite takes, and what comes of it.
#[tokio::test]
async fn s23_a_page_of_a_long_history_is_found_by_an_index() {
    const MESSAGES: u64 = 200_000;
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    let first = subject.say("first").await.seq;
    drop(subject);
    let conn = other(folder.path());
    let add = |kind: i64, from: u64, to: u64| {
        let target = (kind == 3).then_some(rows::integer(first));
        conn.execute(
            "WITH RECURSIVE n (seq) AS (SELECT ?1 UNION ALL SELECT seq + 1 FROM n WHERE seq < ?2)
                INSERT INTO log SELECT n.seq, room, n.seq - 1, 'id' || printf('%06d', n.seq % 1000000), ts, ?3, ?4, 'x',
                author, user, name, avatar, NULL, NULL, NULL FROM n, log WHERE log.seq = ?5",
            (
                rows::integer(from),
                rows::integer(to),
                kind,
                target,
                rows::integer(first),
            ),
        )
        .unwrap();
    };
    let middle = first + MESSAGES / 2;
    add(0, first + 1, middle);
    add(3, middle + 1, middle + MESSAGES);
    let head = first + 2 * MESSAGES;
    add(0, middle + MESSAGES + 1, head);
    conn.execute(
        "UPDATE rooms SET head = ?1, head_chk = printf('%06d', ?1 % 1000000), kept = ?1",
        [rows::integer(head)],
    )
    .unwrap();
    for span in [BEFORE, FROM] {
        let plan = plan(&conn, &page_sql(span));
        assert!(
            plan[0].contains("USING INDEX log_shown (room=? AND seq>? AND seq<?)"),
            "{plan:?}"
        );
        let rest = &plan[1..];
        let is_found = |step: &String| step.contains("USING INTEGER PRIMARY KEY (rowid=?)");
        assert!(
            rest.iter().all(is_found),
            "no other is read, and nothing sorted: {plan:?}"
        );
    }
    drop(conn);
    let options = keeps(folder.path(), 3 * MESSAGES);
    let subject = open_as(&options).unwrap();
    for (span, expected) in [
        (Span::Newest, head - 199..=head),
        (Span::Before(first + 1_000), first + 800..=first + 999),
        (Span::After(first + 1_000), first + 1_001..=first + 1_200),
    ] {
        let page = subject.page(span, up_to(200)).await;
        assert_eq!(seqs(&page.messages), expected.collect::<Vec<_>>());
        assert!(page.more_before);
    }
    let page = subject.page(Span::Around(middle + 7), up_to(2)).await;
    assert_eq!(seqs(&page.messages), [middle, middle + MESSAGES + 1]);
}

/// Goal: what may be searched tells nothing of what may not.
/// Method: more messages in another room than a search looks at, newer than the one that is to be found.
#[tokio::test]
async fn a_search_of_some_rooms_is_the_same_whatever_others_hold() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    let in_room = |room: &str, cid: &str| Draft {
        room: room.into(),
        ..says("u1", cid, "needle")
    };
    let found = async || {
        let query = SearchQuery {
            rooms: Some(vec!["own".into(), "\"quoted\"".into()]),
            max: up_to(10),
            ..looking_for("needle")
        };
        let found = subject.search(query).await;
        let bodies = bodies(&found.messages).into_iter().map(str::to_owned);
        (bodies.collect::<Vec<_>>(), found.next)
    };
    subject.append(in_room("own", "first")).await.unwrap();
    let before = found().await;
    assert_eq!(before, (vec!["needle".to_owned()], None));
    let mut appended = Vec::new();
    for n in 0..=10_000 {
        appended.push(subject.append(in_room("other", &n.to_string())));
        if appended.len() == 100 || n == 10_000 {
            for one in appended.drain(..) {
                one.await.unwrap();
            }
        }
    }
    assert_eq!(found().await, before);
}
