//! Files that are damaged.

use super::*;

#[tokio::test]
async fn s35_a_damaged_page_is_told_at_start() {
    let folder = TempDir::new().unwrap();
    filled(folder.path()).await;
    damage(folder.path());
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(
        error.to_string().contains("`fdx recover`; `fdx check`"),
        "{error}"
    );
}

/// As much of an event as does not depend on the others.
fn alone(event: &Event) -> Event {
    Event {
        prev: 0,
        ..event.clone()
    }
}

#[tokio::test]
async fn s35_what_can_be_read_of_a_damaged_database_is_exported_and_recovered() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let all: Vec<_> = filled(&data).await.iter().map(alone).collect();
    let whole = Archive::open(&data).unwrap();
    assert_eq!(whole.check().unwrap(), <[String; 0]>::default());
    drop(whole);
    let epoch = open(&data).unwrap().bounds().await.epoch;
    damage(&data);
    let archive = Archive::open(&data).unwrap();
    assert!(!archive.check().unwrap().is_empty());

    let mut exported = Vec::new();
    let lost = archive.events("general", |event| {
        exported.push(alone(&event));
        Ok::<_, OpenError>(())
    });
    let lost = usize::try_from(lost.unwrap().unwrap()).unwrap();
    assert!(lost > 0 && exported.len() > all.len() / 2, "{lost}");
    assert_eq!(exported.len() + lost, all.len());
    assert!(exported.iter().all(|event| all.contains(event)));

    let saved = folder.path().join("new");
    fs::create_dir(&saved).unwrap();
    let recovered = archive.recover(&saved.join(FILE)).unwrap();
    let lost = u64::try_from(lost).unwrap();
    assert_eq!((recovered.lost, recovered.nameless), (lost, 0));
    assert!(
        archive.recover(&saved.join(FILE)).is_err(),
        "nothing is replaced"
    );
    let new = Archive::open(&saved).unwrap();
    assert_eq!(new.check().unwrap(), <[String; 0]>::default());
    let subject = open(&saved).unwrap();
    let events = subject.tail(Start::At(0), ALL).await.events;
    assert!(events.iter().map(alone).eq(exported));
    assert!(events.windows(2).all(|two| two[1].prev == two[0].seq));
    assert_ne!(subject.bounds().await.epoch, epoch);
    assert!(subject.say("last").await.duplicate);
}

#[tokio::test]
async fn what_is_recovered_shows_messages_as_they_were() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let (subject, log) = failing(&data, || false);
    let mut targets = Vec::new();
    for body in ["first", "second", "third"] {
        targets.push(subject.say(body).await.seq);
    }
    let elsewhere = Draft {
        room: "other".into(),
        ..says("u1", "c", "first of another room")
    };
    subject.append(elsewhere).await.unwrap();
    let react = What::React {
        target: targets[0],
        emoji: "+1".into(),
        on: true,
    };
    let edit = What::Edit {
        target: targets[1],
        body: Some("second, edited: not the first".into()),
    };
    let delete = What::Delete { target: targets[2] };
    for (cid, what) in [("r", react), ("e", edit), ("d", delete)] {
        subject.append(draft("u1", cid, what)).await.unwrap();
    }
    let room: Arc<str> = "general".into();
    let user: Arc<str> = "u2".into();
    log.set_mark(&room, &user, targets[1]).await.unwrap();
    let query = page_at(Span::Newest, ALL);
    let before = log.page(query.clone()).await.unwrap().messages;
    let mark = log.mark(&room, &user).await.unwrap();
    drop((subject, log));
    other(&data)
        .execute_batch("PRAGMA foreign_keys = off; DELETE FROM rooms WHERE name = 'other'")
        .unwrap();

    let saved = folder.path().join("new");
    fs::create_dir(&saved).unwrap();
    let archive = Archive::open(&data).unwrap();
    let recovered = archive.recover(&saved.join(FILE)).unwrap();
    let expected = Recovered {
        events: 7,
        lost: 0,
        nameless: 1,
    };
    assert_eq!(recovered, expected);
    let (_subject, log) = failing(&saved, || false);
    assert_eq!(log.page(query).await.unwrap().messages, before);
    assert_eq!(log.mark(&room, &user).await.unwrap(), mark);
    let found = log.search(looking_for("first")).await.unwrap().messages;
    let rooms: Vec<_> = found.iter().map(|shown| &*shown.event.room).collect();
    assert_eq!(rooms, ["lost-2", "general", "general"]);
}

#[tokio::test]
async fn an_end_of_a_room_that_is_missing_is_told_at_start() {
    let folder = TempDir::new().unwrap();
    drop(filled(folder.path()).await);
    other(folder.path())
        .execute("DELETE FROM log WHERE seq = (SELECT max(seq) FROM log)", [])
        .unwrap();
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("the end of room \"general\" is missing")
    );
}
