//! What is dropped, and when.

use super::*;

#[tokio::test]
async fn a_room_where_nobody_says_anything_shrinks_too_and_each_by_its_own_rule() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    for room in ["general", "team a", "team b"] {
        for n in 0..600 {
            let draft = Draft {
                room: room.into(),
                now: crate::hub::now(),
                ..says("u1", &n.to_string(), "x")
            };
            drop(subject.append(draft));
        }
    }
    subject.say("last").await;
    drop(subject);
    let keep = |events| Retention { events, age: None };
    let rule = |rooms: &str, events| RoomRetention {
        rooms: rooms.into(),
        keep: keep(events),
    };
    let options = Options {
        retention: keep(20),
        rooms: vec![rule("team b", 590), rule("team*", 0)],
        ..Options::new(folder.path())
    };
    let subject = open_as(&options).unwrap();
    let conn = other(folder.path());
    until(|| count(&conn, "log") <= 610).await;
    let kept = async |room: &str| {
        let tail = subject.store.log.tail(&room.into(), Start::At(0), ALL);
        let Tail { bounds, events } = tail.await.unwrap();
        assert_eq!(subject.seen.floor(room), bounds.floor);
        events.len()
    };
    assert_eq!(
        [
            kept("general").await,
            kept("team a").await,
            kept("team b").await
        ],
        [20, 0, 590]
    );
}

#[tokio::test]
async fn s51_a_clock_that_jumps_ahead_does_not_make_everything_too_old() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let folder = TempDir::new().unwrap();
    let day = rows::integer(u64::try_from(DAY.as_millis()).unwrap());
    let now = rows::integer(crate::hub::now());
    let options = Options {
        retention: Retention {
            events: 1_000,
            age: Some(10 * DAY),
        },
        ..Options::new(folder.path())
    };
    // The last time it ran was 300 days ago, says the clock; which may be so, or not.
    let long_ago = u64::try_from(now - 300 * day).unwrap();
    let subject = open(folder.path()).unwrap();
    for (cid, age) in [("c1", 11), ("c2", 9)] {
        let draft = Draft {
            now: long_ago - age * u64::try_from(day).unwrap(),
            ..says("u1", cid, "x")
        };
        subject.append(draft).await.unwrap();
    }
    drop(subject);
    let conn = other(folder.path());
    let set = "UPDATE meta SET value = ? WHERE key = 'clock'";
    conn.execute(set, [now - 300 * day]).unwrap();
    let subject = open_as(&options).unwrap();
    until(|| count(&conn, "log") == 1).await;
    let kept = subject.tail(Start::At(0), ALL).await.events;
    assert_eq!(kept[0].cid.as_deref(), Some("c2"));
}

#[tokio::test]
async fn what_is_dropped_leaves_nothing_but_the_ids_of_clients_for_a_week() {
    let folder = TempDir::new().unwrap();
    let subject = open_as(&keeps(folder.path(), 8)).unwrap();
    let now = crate::hub::now();
    let mut first = None;
    for n in 0..30 {
        let said = Draft {
            now,
            ..says("u1", &n.to_string(), "word")
        };
        let target = subject.append(said).await.unwrap();
        for (cid, what) in [
            (
                "e",
                What::Edit {
                    target: target.seq,
                    body: Some("other".into()),
                },
            ),
            (
                "r",
                What::React {
                    target: target.seq,
                    emoji: "+1".into(),
                    on: true,
                },
            ),
        ] {
            let about = draft("u1", &format!("{cid}{n}"), what);
            subject.append(about).await.unwrap();
        }
        first.get_or_insert(target);
    }
    // Which is answered once all is dropped that is to be.
    let again = subject.append(says("u1", "29", "word")).await;
    assert!(again.unwrap().duplicate);
    let kept = subject.tail(Start::At(0), ALL).await.events;
    let conn = other(folder.path());
    assert_eq!(count(&conn, "log"), i64::try_from(kept.len()).unwrap());
    let messages = kept
        .iter()
        .filter(|event| event.what.target().is_none())
        .count();
    for table in ["edits", "reactions", "search"] {
        assert!(
            count(&conn, table) <= i64::try_from(messages).unwrap() + 1,
            "{table}"
        );
    }
    assert_eq!(count(&conn, "cids"), 90);
    let again = Draft {
        now,
        ..says("u1", "0", "word")
    };
    let again = subject.append(again).await.unwrap();
    assert_eq!(
        again,
        Appended {
            duplicate: true,
            ..first.unwrap()
        }
    );
    conn.execute("UPDATE cids SET expires = 1 WHERE expires IS NOT NULL", [])
        .unwrap();
    drop(subject);
    let subject = open_as(&keeps(folder.path(), 8)).unwrap();
    while count(&conn, "cids") > i64::try_from(kept.len()).unwrap() {
        tokio::task::yield_now().await;
    }
    let anew = subject.append(says("u1", "0", "word")).await.unwrap();
    assert!(!anew.duplicate);
}

/// Goal: what is kept for rooms and users that nobody hears of any more has an end, and nothing of it comes back in another's name.
/// Method: a room that is swept empty, aged by hand.
#[tokio::test]
async fn an_empty_room_is_forgotten_after_ninety_days_with_all_that_was_kept_for_it() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    let said = Draft {
        now: crate::hub::now(),
        ..says("u1", "c1", "said")
    };
    let first = subject.append(said).await.unwrap();
    drop(subject);
    let cleared = || open_as(&keeps(folder.path(), 0)).unwrap();
    let subject = cleared();
    until(|| subject.seen.floor("general").seq == first.seq).await;
    drop(subject);
    let conn = other(folder.path());
    let mark = "INSERT INTO marks SELECT id, 'u2', head FROM rooms";
    conn.execute(mark, []).unwrap();
    let age = |days: i64| {
        let sql = "UPDATE rooms SET head_ts = head_ts - ?";
        conn.execute(sql, [days * 24 * 60 * 60 * 1_000]).unwrap();
    };
    let tables = ["rooms", "cids", "marks"];
    age(89);
    let subject = cleared();
    for cid in ["c2", "c3"] {
        let elsewhere = Draft {
            room: "other".into(),
            now: crate::hub::now(),
            ..says("u1", cid, "swept by then")
        };
        subject.append(elsewhere).await.unwrap();
    }
    assert_eq!(subject.bounds().await.head.seq, first.seq);
    drop(subject);
    assert_eq!(tables.map(|table| count(&conn, table)), [2, 3, 1]);

    age(2);
    let left = "INSERT INTO rooms (name, head, head_chk, head_ts, floor, floor_chk, kept)
        VALUES ('left', 1, '000000', 1, 1, '000000', 0)";
    conn.execute(left, []).unwrap();
    let seen = Arc::new(Seen::default());
    seen.followed.lock().unwrap().push("general".into());
    let log = SqliteLog::open(&keeps(folder.path(), 0), Arc::clone(&seen) as _).unwrap();
    until(|| count(&conn, "rooms") == 2).await;
    drop(log);
    let known = "SELECT count(*) FROM rooms WHERE name = 'general'";
    let known = conn.query_row(known, [], |row| row.get::<_, i64>(0));
    assert_eq!(known, Ok(1), "somebody is in it");

    let subject = cleared();
    until(|| tables.map(|table| count(&conn, table)) == [1, 2, 0]).await;
    drop(subject);
    conn.execute_batch("DELETE FROM log; DELETE FROM rooms")
        .unwrap();
    let subject = open(folder.path()).unwrap();
    assert_eq!(subject.bounds().await.head.seq, 0);
    let cursor = Cursor {
        epoch: subject.bounds().await.epoch,
        mark: Mark {
            seq: first.seq,
            chk: crate::log::Chk::of_id(&first.id),
        },
    };
    assert_eq!(subject.judge(&cursor).await, Err(Reset::Ahead));
    let next = subject.say("c1").await;
    assert!(next.seq > first.seq && !next.duplicate);
    assert_eq!(subject.judge(&cursor).await, Err(Reset::Mismatch));
}

#[tokio::test]
async fn a_mark_before_what_is_kept_goes_and_of_too_many_those_furthest_back() {
    let folder = TempDir::new().unwrap();
    let subject = open_as(&keeps(folder.path(), 2)).unwrap();
    for n in 0..4 {
        subject.say(&n.to_string()).await;
    }
    drop(subject);
    let conn = other(folder.path());
    let add = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 100003)
        INSERT INTO marks SELECT rooms.id, 'u' || n, min(n, head) FROM n, rooms";
    conn.execute(add, []).unwrap();
    let head = conn.query_row("SELECT head FROM rooms", [], |row| rows::number(row, 0));
    assert_eq!(head, Ok(4));
    // The first at 0, and at each of the others; all of them too many.
    let (subject, log) = limited(folder.path(), patient());
    until(|| count(&conn, "marks") == 100_000).await;
    let mark = |user: &str| log.mark(&"general".into(), &user.into());
    let floor = subject.bounds().await.floor.seq;
    assert_eq!(mark("u3").await.unwrap().seq, floor, "as if there was none");
    assert_eq!(mark("u9").await.unwrap().seq, 4);
}

/// Goal: rooms that nobody needs have an end, and those that are there go on.
#[tokio::test]
async fn one_room_more_than_may_be_kept_is_refused_until_one_is_forgotten() {
    let folder = TempDir::new().unwrap();
    let options = Options {
        max_rooms: 3,
        ..Options::new(folder.path())
    };
    let says_in = |room: &str, cid: &str| Draft {
        room: room.into(),
        now: crate::hub::now(),
        ..says("u1", cid, "x")
    };
    let subject = open_as(&options).unwrap();
    let four = ["a", "b", "c", "d"].map(|room| subject.append(says_in(room, "1")));
    assert_eq!(all(four).await[3], Err(AppendError::TooManyRooms));
    for cid in ["2", "3"] {
        let refused = subject.append(says_in("d", cid)).await;
        assert_eq!(refused, Err(AppendError::TooManyRooms));
        subject.append(says_in("a", cid)).await.unwrap();
    }
    drop(subject);
    let conn = other(folder.path());
    let ages = "UPDATE rooms SET kept = 0, floor = head, floor_chk = head_chk, head_ts = 1 WHERE name = 'b';
        DELETE FROM log WHERE room = (SELECT id FROM rooms WHERE name = 'b')";
    conn.execute_batch(ages).unwrap();
    let subject = open_as(&options).unwrap();
    until(|| count(&conn, "rooms") == 2).await;
    subject.append(says_in("d", "4")).await.unwrap();
    let refused = subject.append(says_in("e", "1")).await;
    assert_eq!(refused, Err(AppendError::TooManyRooms));
}

/// Goal: a room where nothing happens costs a pass next to nothing.
/// Method: marks that say nothing, put there by hand, of which a pass drops those of rooms that it looks at.
#[tokio::test]
async fn a_pass_looks_at_the_marks_of_rooms_where_some_were_set() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    for room in ["a", "b", "c"] {
        let draft = Draft {
            room: room.into(),
            ..says("u1", "1", "x")
        };
        subject.append(draft).await.unwrap();
    }
    drop(subject);
    let conn = other(folder.path());
    let rules = Rules {
        others: Retention::default(),
        rooms: Vec::new(),
    };
    let mut sweep = Sweep::read(&conn).unwrap();
    let mut pass = |marked: &[&str]| {
        conn.execute(
            "INSERT OR IGNORE INTO marks SELECT id, 'u2', 0 FROM rooms",
            [],
        )
        .unwrap();
        for room in marked {
            sweep.mark(&Arc::from(*room));
        }
        let later = Instant::now() + Duration::from_secs(3_600);
        let swept = sweep.go_on(&conn, &rules, 1, later, |_| true).unwrap();
        assert!(swept.is_done);
        count(&conn, "marks")
    };
    assert_eq!(pass(&[]), 0, "the first one looks at all");
    assert_eq!(pass(&[]), 3);
    assert_eq!(pass(&["b", "nowhere"]), 2);
    assert_eq!(pass(&[]), 3);
    let many: Vec<_> = (0..=16_384).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_eq!(pass(&many), 0, "too many to be remembered");
}
