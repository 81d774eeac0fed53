//! Which files are taken for a log, and when they are no longer ours.

use super::*;

/// Goal: nothing is acknowledged that the next start does not find.
#[cfg(unix)]
#[tokio::test]
async fn messages_are_refused_while_a_file_is_away_or_another_one() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let away = folder.path().join("away");
    let subject = open(&data).unwrap();
    let mut stored = vec![subject.say("first").await.seq];
    let refused = async |cid: &str| {
        assert_eq!(
            subject.append(says("u1", cid, cid)).await,
            Err(AppendError::Unavailable),
            "{cid}"
        );
        assert_eq!(subject.tail(Start::At(0), ALL).await.events.len(), 1);
    };
    for name in ["", "hub.db", "hub.db-wal", "hub.lock"] {
        let path = data.join(name);
        fs::rename(&path, &away).unwrap();
        refused(&format!("without {name}")).await;
        if !name.is_empty() {
            fs::copy(&away, &path).unwrap();
            refused(&format!("with another {name}")).await;
        }
        fs::rename(&away, &path).unwrap();
    }
    stored.push(subject.say("second").await.seq);
    drop(subject);
    let subject = open(&data).unwrap();
    let events = subject.tail(Start::At(0), ALL).await.events;
    assert!(events.iter().map(|event| event.seq).eq(stored));
}

#[tokio::test]
async fn a_folder_has_one_server() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path()).unwrap();
    let second = open(folder.path()).err().unwrap();
    assert!(matches!(second, OpenError::InUse { .. }), "{second}");
    assert!(
        second
            .to_string()
            .contains("another server uses this data folder")
    );
    drop(first);
    open(folder.path()).unwrap();
}

#[test]
fn a_place_without_a_write_ahead_log_is_refused() {
    let conn = Connection::open_in_memory().unwrap();
    let error = use_wal(&conn, Path::new("here")).unwrap_err();
    assert!(error.to_string().contains("local disk"), "{error}");
}

#[cfg(unix)]
#[tokio::test]
async fn files_that_were_there_before_are_closed_to_others() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()).unwrap());
    // Such as one that was copied back.
    fs::write(folder.path().join("bans.json"), "").unwrap();
    let files = ["hub.db", "hub.lock", "bans.json"].map(|name| folder.path().join(name));
    for file in &files {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let subject = open(folder.path()).unwrap();
    subject.say("c1").await;
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
    }
}

/// Goal: what was emptied by mistake is not taken for what is new, and nothing that could be put back together is lost by that.
#[tokio::test]
async fn a_database_that_was_emptied_is_refused_and_one_that_was_deleted_or_never_filled_is_made_anew()
 {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join(FILE);
    // A first start that was cut off.
    for name in [FILE, LOCK] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    open(folder.path()).unwrap().say("c1").await;
    fs::write(&path, "").unwrap();
    for _ in 0..2 {
        let refused = open(folder.path()).err().unwrap();
        assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
        assert!(refused.to_string().contains("it is empty"), "{refused}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    }
    let archive = Archive::open(folder.path()).unwrap_err();
    assert!(matches!(archive, OpenError::Missing { .. }), "{archive}");
    // Deleted it is not missed, also if the start after that is cut off.
    fs::remove_file(&path).unwrap();
    drop(lock_folder(folder.path()).unwrap());
    let subject = open(folder.path()).unwrap();
    assert_eq!(subject.tail(Start::At(0), ALL).await.events, []);
}

#[tokio::test]
async fn a_write_ahead_log_whose_database_is_gone_is_left_alone_until_that_is_back() {
    let folder = TempDir::new().unwrap();
    let crashed = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    let said = subject.say("c1").await.seq;
    // As a crash leaves it.
    for name in ["hub.db", "hub.db-wal"] {
        fs::copy(folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    let path = crashed.path().join(FILE);
    let before = fs::read(&path).unwrap();
    for empty in [false, true] {
        fs::remove_file(&path).unwrap();
        if empty {
            fs::write(&path, "").unwrap();
        }
        let refused = open(crashed.path()).err().unwrap();
        assert!(matches!(refused, OpenError::Leftover { .. }), "{refused}");
        assert!(refused.to_string().contains("put that back"), "{refused}");
        assert!(wal_size(crashed.path()) > 0);
    }
    fs::write(&path, before).unwrap();
    let subject = open(crashed.path()).unwrap();
    let events = subject.tail(Start::At(0), ALL).await.events;
    assert_eq!(events.last().map(|event| event.seq), Some(said));
}

/// The file was written by the first version: five messages of Ana, of which one was edited and one deleted, an answer of Bo, who has read
/// four and likes the first; and something in a room for data.
#[tokio::test]
async fn s36_a_database_of_the_first_version_is_brought_to_the_present_one_and_has_all() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(FILE), include_bytes!("v1.db")).unwrap();
    let [ana, bo] = ["u_093b2a3e2f879df1", "u_0591a31cf26afc4d"].map(Into::into);
    {
        let subject = open(folder.path()).unwrap();
        let messages = subject.page(Span::Newest, ALL).await.messages;
        let texts: Vec<_> = messages
            .iter()
            .map(|shown| shown.event.what.text())
            .collect();
        assert_eq!(
            texts,
            [
                "number 0 of Ana",
                "number one, put right",
                "",
                "number 3 of Ana",
                "number 4 of Ana",
                "an answer of Bo",
            ]
        );
        assert_eq!(messages[0].reactions[0].users, [Arc::clone(&bo)]);
        let mark = subject.store.projection.mark(&"general".into(), &bo).await;
        assert_eq!(mark.map(|mark| (mark.seq, mark.unread)), Ok((4, 1)));
        assert!(subject.say("after it").await.seq > 9);
        assert_eq!(subject.store.log.erase(&ana).await, Ok(6));
    }
    let conn = other(folder.path());
    assert_eq!(schema::version(&conn), Ok(schema::VERSION));
}

/// The file was written by the second version, after the above: Cy said something long, edited it twice, and reacted to it.
#[tokio::test]
async fn s36_a_database_of_the_second_version_has_all_and_what_is_searched_anew() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join(FILE), include_bytes!("v2.db")).unwrap();
    let subject = open(folder.path()).unwrap();
    let messages = subject.page(Span::Newest, ALL).await.messages;
    let last = messages.last().unwrap();
    assert!(last.event.what.text().starts_with("edited: begins long"));
    assert_eq!(
        (last.edited, &*last.reactions[0].emoji),
        (Some(13), ":tada:")
    );
    let found = async |words| subject.search(looking_for(words)).await.messages.len();
    // Which is beyond the beginning that is searched.
    assert_eq!((found("begins").await, found("ends").await), (1, 0));
    let cy: Arc<str> = "u_bac65543c5b71c21".into();
    assert_eq!(subject.store.log.erase(&cy).await, Ok(5));
    assert_eq!(found("begins").await, 0);
    drop(subject);
    let conn = other(folder.path());
    assert_eq!(schema::version(&conn), Ok(schema::VERSION));
    let check = "INSERT INTO search (search, rank) VALUES ('integrity-check', 1)";
    conn.execute(check, []).unwrap();
}

#[tokio::test]
async fn s36_a_newer_schema_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    drop(open(folder.path()).unwrap());
    other(folder.path())
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let before = fs::read(folder.path().join(FILE)).unwrap();
    let error = open(folder.path()).err().unwrap();
    assert!(
        matches!(
            error,
            OpenError::Newer {
                found: 99,
                known: schema::VERSION,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains("newer version of this program"));
    assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), before);
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    other(folder.path())
        .execute_batch("CREATE TABLE theirs (x)")
        .unwrap();
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    fs::write(folder.path().join(FILE), "some text that is no database").unwrap();
    let error = open(folder.path()).err().unwrap();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let error = open(&file).err().unwrap();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
}
