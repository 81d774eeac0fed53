//! What is to be gone.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

use super::*;
use crate::log::{
    conformance::says_plainly,
    projection_conformance::{react, seqs},
};

/// The bytes of a word that is looked for: what an index has of it that leaves out the beginning it shares with the word before.
const LOOKED_FOR: usize = 13;

/// Which of these words, that end in z, are in a file of the folder.
fn words_in(folder: &Path, words: &[String]) -> Vec<String> {
    let files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let parts = files.iter().flat_map(|file| file.windows(LOOKED_FOR));
    let there: HashSet<_> = parts.filter(|part| part.ends_with(b"z")).collect();
    let end = |word: &str| word.as_bytes()[word.len() - LOOKED_FOR..].to_owned();
    let found = words.iter().filter(|word| there.contains(&*end(word)));
    found.cloned().collect()
}

/// Goal: what was deleted is nowhere in the folder, soon and without a restart.
/// Method: words that are looked for in the bytes of all files, of messages that fit a page and such that do not, edited or not, between others
/// that stay.
#[tokio::test]
async fn a_deleted_message_leaves_no_word_in_any_file() {
    let folder = TempDir::new().unwrap();
    let limits = Limits {
        erase: Duration::from_millis(10),
        ..patient()
    };
    let (subject, log) = limited(folder.path(), limits);
    // Some have most in common with the next word, some little.
    let word = |n: usize| match n % 4 {
        0 | 1 => format!("secret{n:06}z"),
        _ => format!("{:08x}{n:06}z", n.wrapping_mul(2_654_435_761) % (1 << 32)),
    };
    let (mut gone, mut kept, mut targets) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..600 {
        let words = [word(2 * n), word(2 * n + 1)];
        let rest = if n % 37 == 0 {
            "long ".repeat(2_000)
        } else {
            String::new()
        };
        let text = |word: &str| format!("some {word} text {rest}");
        let said = subject
            .append(says("u1", &n.to_string(), &text(&words[0])))
            .await
            .unwrap();
        let is_edited = n % 3 == 0;
        if is_edited {
            let what = What::Edit {
                target: said.seq,
                body: Some(text(&words[1]).into()),
            };
            subject
                .append(draft("u1", &format!("e{n}"), what))
                .await
                .unwrap();
        }
        let there = words.into_iter().take(1 + usize::from(is_edited));
        if n % 5 < 2 {
            targets.push(said.seq);
            gone.extend(there);
        } else {
            kept.extend(there);
        }
    }
    assert_eq!(words_in(folder.path(), &gone), gone);
    for target in targets {
        let cid = format!("d{target}");
        subject
            .append(draft("u1", &cid, What::Delete { target }))
            .await
            .unwrap();
    }
    // The address that a plain client gave goes, too.
    for n in 1_200..1_210 {
        let target = subject.append(says_plainly(&word(n))).await.unwrap().seq;
        if n % 2 == 0 {
            kept.push(word(n));
            continue;
        }
        let delete = Draft {
            moderates: true,
            ..draft("u1", &format!("d{n}"), What::Delete { target })
        };
        subject.append(delete).await.unwrap();
        gone.push(word(n));
    }
    until(|| wal_size(folder.path()) == 0).await;
    assert_eq!(words_in(folder.path(), &gone), <[String; 0]>::default());
    // The words of what was edited away are in the log alone.
    assert_eq!(words_in(folder.path(), &kept), kept);
    drop((subject, log));
    assert_eq!(words_in(folder.path(), &gone), <[String; 0]>::default());
    let conn = other(folder.path());
    conn.execute(
        "INSERT INTO search (search, rank) VALUES ('integrity-check', 1)",
        [],
    )
    .unwrap();
}

/// A word that is found in a file.
fn secret(n: usize) -> String {
    format!("secret{n:06}z")
}

/// Lets nobody change what u1 said from a position on, as a damaged page would, until it is dropped.
fn stick(conn: &Connection, from: u64) {
    conn.execute_batch(&format!(
        "CREATE TRIGGER stuck BEFORE UPDATE ON log WHEN old.user = 'u1' AND old.seq >= {from}
            BEGIN SELECT raise(ABORT, 'a damaged page'); END"
    ))
    .unwrap();
}

fn unstick(conn: &Connection) {
    conn.execute_batch("DROP TRIGGER stuck").unwrap();
}

/// What somebody said who is to be forgotten: more than is done in one transaction.
async fn say_secrets(subject: &Subject) -> Vec<String> {
    let words: Vec<_> = (0..600).map(secret).collect();
    let said = words.iter().enumerate();
    let said = said.map(|(n, word)| subject.append(says("u1", &n.to_string(), word)));
    all(said.collect::<Vec<_>>()).await;
    subject.append(says("u2", "kept", "kept")).await.unwrap();
    words
}

/// Goal: an erasure that was begun is whole for whoever reads, and gets done, whatever fails.
/// Method: a page that can't be written to after its first step, until it can, or until a restart.
#[tokio::test]
async fn s26_an_erasure_that_fails_in_the_middle_is_whole_for_readers_and_goes_on() {
    for is_restarted in [false, true] {
        let folder = TempDir::new().unwrap();
        let (subject, log) = limited(folder.path(), patient());
        let secrets = say_secrets(&subject).await;
        let user = Arc::from("u1");
        let mark = log.set_mark(&"general".into(), &user, 9).await.unwrap();
        assert_eq!(mark.seq, 9);
        let kept = subject.bounds().await.head.seq;

        let conn = other(folder.path());
        stick(&conn, 300);
        let erasing = log.erase(&user);
        until(|| count(&conn, "erasing WHERE next > 0") == 1).await;
        assert_eq!(subject.seen.erased(), ["u1"], "rings have to know at once");
        assert!(!words_in(folder.path(), &secrets).is_empty());
        let texts = |events: &[Event]| {
            let all = events.iter().map(|event| event.what.text().to_owned());
            all.filter(|text| !text.is_empty()).collect::<Vec<_>>()
        };
        assert_eq!(
            texts(&subject.tail(Start::At(0), ALL).await.events),
            ["kept"]
        );
        let page = subject.page(Span::Newest, ALL).await.messages;
        let page: Vec<_> = page.into_iter().map(|shown| shown.event).collect();
        assert_eq!((page.len(), texts(&page)), (601, vec!["kept".into()]));
        assert!(
            subject
                .search(looking_for("secret"))
                .await
                .messages
                .is_empty()
        );
        let found = subject.search(looking_for("kept")).await.messages;
        assert_eq!(seqs(&found), [kept]);
        assert_eq!(log.mark(&"general".into(), &user).await.unwrap().seq, 0);
        let mut exported = Vec::new();
        let archive = Archive::open(folder.path()).unwrap();
        let export = archive.events("general", |event| {
            exported.push(event);
            Ok::<_, OpenError>(())
        });
        assert_eq!(
            (export.unwrap(), texts(&exported)),
            (Some(0), vec!["kept".into()])
        );
        drop(archive);

        let (subject, _log) = if is_restarted {
            drop((subject, log));
            assert_eq!(erasing.await, Err(AppendError::Timeout));
            unstick(&conn);
            limited(folder.path(), patient())
        } else {
            unstick(&conn);
            assert_eq!(erasing.await, Ok(600));
            (subject, log)
        };
        until(|| count(&conn, "erasing") == 0).await;
        until(|| wal_size(folder.path()) == 0).await;
        assert_eq!(words_in(folder.path(), &secrets), <[String; 0]>::default());
        assert_eq!(subject.bounds().await.head.seq, kept);
    }
}

#[tokio::test]
async fn s26_an_erasure_that_can_not_begin_forgets_nothing() {
    let folder = TempDir::new().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let failing_now = Arc::clone(&fails);
    let (subject, log) = failing(folder.path(), move || failing_now.load(Ordering::Relaxed));
    say_secrets(&subject).await;
    fails.store(true, Ordering::Relaxed);
    log.erase(&"u1".into()).await.unwrap_err();
    fails.store(false, Ordering::Relaxed);
    assert_eq!(subject.seen.erased(), <[String; 0]>::default());
    let said = subject.tail(Start::At(0), ALL).await.events;
    assert!(said.iter().all(|event| !event.what.text().is_empty()));
}

#[tokio::test]
async fn s26_what_is_being_erased_can_not_be_changed_any_more() {
    let folder = TempDir::new().unwrap();
    let subject = open(folder.path()).unwrap();
    let said = subject.say("said").await.seq;
    other(folder.path())
        .execute(
            "INSERT INTO erasing VALUES ('u1', ?, 0, 0)",
            [rows::integer(said)],
        )
        .unwrap();
    let edit = |target| What::Edit {
        target,
        body: Some("edited".into()),
    };
    let edited = subject.append(draft("u1", "e1", edit(said))).await;
    assert_eq!(edited, Err(AppendError::NotFound));
    // What comes later is not concerned.
    let later = subject.say("later").await.seq;
    subject
        .append(draft("u1", "e2", edit(later)))
        .await
        .unwrap();
    // Nor is a new server done with it before all is.
    drop(subject);
    let subject = open(folder.path()).unwrap();
    let conn = other(folder.path());
    until(|| count(&conn, "erasing") == 0).await;
    let texts = subject.tail(Start::At(0), ALL).await.events;
    let texts: Vec<_> = texts.iter().map(|event| event.what.text()).collect();
    assert_eq!(texts, ["", "later", "edited"]);
}

/// Goal: an erasure that can't go on is nobody else's trouble, and no more work the more often it is asked for.
/// Method: a user whose events can't be changed, others who say something or are to be forgotten meanwhile, and a restart.
#[tokio::test]
async fn s26_an_erasure_that_can_not_go_on_hinders_neither_messages_nor_others() {
    let folder = TempDir::new().unwrap();
    let (subject, log) = limited(folder.path(), patient());
    let secrets = say_secrets(&subject).await;
    let conn = other(folder.path());
    stick(&conn, 0);
    let stuck = log.erase(&"u1".into());
    for n in 0..20 {
        let cid = format!("more {n}");
        subject.append(says("u3", &cid, "hi")).await.unwrap();
        assert_eq!(log.health(), Health::Well);
    }
    assert_eq!(log.erase(&"u3".into()).await, Ok(20));
    // What was said since is to go as well, at one and the same time.
    subject.append(says("u1", "late", "late")).await.unwrap();
    let again = log.erase(&"u1".into());
    until(|| subject.seen.erased() == ["u1", "u3", "u1"]).await;
    assert_eq!(count(&conn, "erasing"), 1);
    let page = subject.page(Span::Newest, ALL).await.messages;
    let texts: HashSet<_> = page.iter().map(|shown| shown.event.what.text()).collect();
    assert_eq!(texts, HashSet::from(["", "kept"]));
    assert_eq!(log.health(), Health::Well);

    drop((subject, log));
    assert_eq!(
        all([stuck, again]).await,
        [Err(AppendError::Timeout), Err(AppendError::Timeout)]
    );
    let (subject, log) = limited(folder.path(), patient());
    // With the answer to the second one, the erasure was tried.
    settled(&subject).await;
    assert_eq!(log.health(), Health::Well);
    unstick(&conn);
    assert_eq!(log.erase(&"u1".into()).await, Ok(601 + 2));
    until(|| wal_size(folder.path()) == 0).await;
    assert_eq!(words_in(folder.path(), &secrets), <[String; 0]>::default());
}

#[tokio::test]
async fn s26_all_who_ask_for_the_same_user_are_answered_and_few_may_wait() {
    let folder = TempDir::new().unwrap();
    let (subject, log) = limited(folder.path(), patient());
    say_secrets(&subject).await;
    let conn = other(folder.path());
    stick(&conn, 0);
    let user = Arc::from("u1");
    // Who does not wait any more takes no place.
    for _ in 0..20 {
        drop(log.erase(&user));
        taken(&log).await;
    }
    let mut waiting: Vec<_> = (0..16).map(|_| log.erase(&user)).collect();
    assert_eq!(log.erase(&user).await, Err(AppendError::Busy));
    waiting.pop();
    unstick(&conn);
    // Nor is the next step late for who asks once it can be done.
    waiting.push(log.erase(&user));
    assert_eq!(all(waiting).await, [Ok(600); 16]);
}

/// Goal: what a user does after an erasure began is not lost by it, and shown at once.
/// Method: reactions that are set before, and again while it can't go on: one after it was taken back, one as it is.
#[tokio::test]
async fn s26_a_reaction_that_is_set_again_while_the_user_is_forgotten_stays() {
    let folder = TempDir::new().unwrap();
    let (subject, log) = limited(folder.path(), patient());
    let said = subject.append(says("u2", "0", "said")).await.unwrap().seq;
    let reacts = async |cid: &str, emoji: &str, on| {
        let draft = draft("u1", cid, react(said, emoji, on));
        subject.append(draft).await.unwrap()
    };
    for emoji in ["a", "b", "c"] {
        reacts(emoji, emoji, true).await;
    }
    let conn = other(folder.path());
    stick(&conn, 0);
    let erasing = log.erase(&"u1".into());
    until(|| !subject.seen.erased().is_empty()).await;
    let shown = async || {
        let page = subject.page(Span::Newest, ALL).await;
        let reactions = page.messages[0].reactions.iter();
        reactions
            .map(|one| one.emoji.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(shown().await, <[&str; 0]>::default());
    assert!(reacts("a off", "a", false).await.duplicate);
    assert!(!reacts("a on", "a", true).await.duplicate);
    assert!(!reacts("b on", "b", true).await.duplicate);
    assert!(reacts("b again", "b", true).await.duplicate);
    assert_eq!(shown().await, ["a", "b"]);
    unstick(&conn);
    assert_eq!(erasing.await, Ok(3));
    assert_eq!(shown().await, ["a", "b"]);
    assert_eq!(count(&conn, "reactions"), 2);
    assert!(!reacts("a off again", "a", false).await.duplicate);
    assert_eq!(shown().await, ["b"]);
}
