//! Going on where another reader was: from memory, from the file, after a restart, and when the line is not there any more.
//! Method: a reader is stopped behind each line in turn, and what another one gets from there is compared with the rest.

use std::fs;

use crate::common::{self, AT_ONCE, Log, NEVER, Viewer, numbered};
use fullduplex_tail::{Backlog, Bookmark, Item, Options, Resumed, Source};

/// More than any file here has.
const FAR: u64 = 1 << 30;

/// Options with room for very few lines.
fn small() -> Options {
    Options {
        max_lines: 8,
        ..common::noticed()
    }
}

/// The bookmarks of so many lines, from the first one on.
async fn bookmarks(source: &Source, count: usize) -> Vec<Bookmark> {
    let mut reader = source.reader(Backlog::All);
    let mut bookmarks = Vec::new();
    while bookmarks.len() < count {
        let next = tokio::time::timeout(common::DEADLINE, reader.next());
        if let Some(Item::Lines(lines)) = next.await.unwrap().unwrap() {
            bookmarks.extend(lines.iter().map(|line| {
                // As it comes back from elsewhere.
                line.bookmark().to_string().parse::<Bookmark>().unwrap()
            }));
        }
    }
    bookmarks
}

async fn resume(source: &Source, bookmark: Bookmark) -> Viewer {
    match source.resume(bookmark, FAR).await.unwrap() {
        Resumed::Complete(reader) => {
            assert_eq!(reader.bookmark(), Some(bookmark));
            reader.into()
        }
        other => panic!("{other:?}"),
    }
}

async fn is_changed(source: &Source, bookmark: Bookmark) -> bool {
    matches!(
        source.resume(bookmark, FAR).await.unwrap(),
        Resumed::Changed
    )
}

/// That behind each of the bookmarks exactly these lines and events follow, less those before it.
async fn all_go_on(source: &Source, bookmarks: &[Bookmark], rest: &[String]) {
    for (n, bookmark) in bookmarks.iter().enumerate() {
        let mut viewer = resume(source, *bookmark).await;
        let rest = &rest[n + 1..];
        assert_eq!(viewer.see(rest.len()).await, rest, "behind line {n}");
        viewer.see_nothing().await;
    }
}

fn texts(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("line {n}")).collect()
}

#[tokio::test]
async fn s65_a_reader_goes_on_behind_any_line_in_memory_or_in_the_file() {
    let log = Log::with(numbered(0..20));
    let source = log.follow(small()).await;
    let mut witness = Viewer::of(&source, Backlog::Last(0));
    log.append(numbered(20..40));
    witness.see_line("line 39").await;
    let marks = bookmarks(&source, 40).await;
    all_go_on(&source, &marks, &texts(0..40)).await;
}

#[tokio::test]
async fn s65_a_reader_goes_on_after_a_restart() {
    let lines = numbered(4..12);
    let content: [&[u8]; 3] = [b"one\r\n\ntwo\nb\xffd\n", lines.as_bytes(), b"part"];
    let log = Log::with(content.concat());
    let source = log.follow(small()).await;
    let marks = bookmarks(&source, 12).await;
    drop(source);
    log.append(" and whole\n".to_owned() + &numbered(13..20));
    let source = log.follow(small()).await;
    let mut expected: Vec<String> = ["one", "", "two", "b\u{fffd}d"].map(Into::into).into();
    expected.extend(texts(4..12));
    expected.push("part and whole".into());
    expected.extend(texts(13..20));
    all_go_on(&source, &marks, &expected).await;
}

#[tokio::test]
async fn s65_the_end_has_a_bookmark_before_anything_comes() {
    for content in ["", "one\n", "one\ntwo\n", "one\ntwo\npart"] {
        let log = Log::with(content);
        let source = log.follow(common::noticed()).await;
        let reader = source.reader(Backlog::Last(0));
        let bookmark = reader.bookmark().unwrap();
        log.append("!\n");
        let expected = content.lines().last().filter(|last| *last == "part");
        let expected = expected.unwrap_or_default().to_owned() + "!";
        Viewer::from(reader).see_line(&expected).await;
        let mut viewer = resume(&source, bookmark).await;
        assert_eq!(viewer.see(1).await, [&*expected]);
        viewer.see_nothing().await;
        drop(source);
        // Where there was no line, nothing is known again.
        let source = log.follow(common::noticed()).await;
        if content.is_empty() {
            assert!(is_changed(&source, bookmark).await);
        } else {
            let mut viewer = resume(&source, bookmark).await;
            assert_eq!(viewer.see(1).await, [&*expected]);
        }
    }
}

#[tokio::test]
async fn s65_rotation_meanwhile_loses_nothing_while_the_lines_are_kept() {
    let log = Log::with(numbered(0..3));
    let options = Options {
        settle: NEVER,
        ..common::noticed()
    };
    let source = log.follow(options).await;
    let mut witness = Viewer::of(&source, Backlog::Last(0));
    log.append(numbered(3..5) + "part");
    witness.see_line("line 4").await;
    let marks = bookmarks(&source, 5).await;
    log.rename_to("log.1");
    log.append(numbered(0..2));
    witness.see_line("line 1").await;
    let mut expected = texts(2..5);
    expected.extend(["part".to_owned(), "File(Rotated)".to_owned()]);
    expected.extend(texts(0..2));
    // The first two are not in memory, nor is their file kept.
    all_go_on(&source, &marks[2..], &expected).await;
    for mark in &marks[..2] {
        assert!(is_changed(&source, *mark).await);
    }
    drop(source);
    let source = log.follow(common::noticed()).await;
    for mark in &marks {
        assert!(is_changed(&source, *mark).await);
    }
}

#[tokio::test]
async fn s65_a_file_written_anew_is_not_gone_on_in() {
    let log = Log::with(numbered(10..30));
    let source = log.follow(small()).await;
    let marks = bookmarks(&source, 20).await;
    let end = source.reader(Backlog::Last(0)).bookmark().unwrap();
    assert_eq!(end, marks[19]);
    let mut witness = Viewer::of(&source, Backlog::Last(0));
    // As long, and with line ends at the same places.
    fs::write(log.path(), numbered(50..80)).unwrap();
    witness.see_line("line 79").await;
    drop(witness);
    for source in [&source, &log.follow(small()).await] {
        for mark in &marks {
            assert!(is_changed(source, *mark).await, "{mark}");
        }
    }
    fs::write(log.path(), "short\n").unwrap();
    let source = log.follow(small()).await;
    for mark in &marks {
        assert!(is_changed(&source, *mark).await, "{mark}");
    }
}

#[tokio::test]
async fn s65_a_file_that_was_away_is_gone_on_in() {
    let log = Log::with(numbered(0..3));
    let options = Options {
        settle: AT_ONCE,
        ..common::noticed()
    };
    let source = log.follow(options).await;
    let mut witness = Viewer::of(&source, Backlog::Last(0));
    log.append("line 3\n");
    witness.see_line("line 3").await;
    let marks = bookmarks(&source, 4).await;
    log.rename_to("away");
    witness.see_line("File(Gone)").await;
    fs::rename(log.named("away"), log.path()).unwrap();
    log.append("line 4\n");
    witness.see_line("line 4").await;
    let events = ["File(Gone)".to_owned(), "File(Back)".to_owned()];
    let expected = [&texts(2..4)[..], &events, &texts(4..5)].concat();
    all_go_on(&source, &marks[2..], &expected).await;
    // What is not in memory is in the file, which has come back.
    all_go_on(&source, &marks[..2], &texts(0..5)).await;
}

#[tokio::test]
async fn s65_what_is_too_far_back_in_the_file_is_not_read() {
    let log = Log::with(numbered(0..100));
    let source = log.follow(small()).await;
    let marks = bookmarks(&source, 100).await;
    let behind = (numbered(90..100).len()) as u64;
    let resumed = |mark, most| source.resume(mark, most);
    assert!(matches!(
        resumed(marks[90], behind).await.unwrap(),
        Resumed::Complete(_)
    ));
    assert!(matches!(
        resumed(marks[90], behind - 1).await.unwrap(),
        Resumed::TooFar
    ));
    // Memory is as near as anything.
    assert!(matches!(
        resumed(marks[99], 0).await.unwrap(),
        Resumed::Complete(_)
    ));
}

#[tokio::test]
async fn s65_what_is_no_file_is_gone_on_in_while_it_is_kept() {
    let text = numbered(0..20);
    let all = Options::default();
    let source = Source::stream(std::io::Cursor::new(text.clone()), &all).unwrap();
    let marks = bookmarks(&source, 20).await;
    for (n, mark) in marks.iter().enumerate() {
        let mut viewer = resume(&source, *mark).await;
        assert_eq!(viewer.see_all().await, texts(n + 1..20));
    }
    let other = Source::stream(std::io::Cursor::new(text.clone()), &all).unwrap();
    Viewer::of(&other, Backlog::All).see_all().await;
    assert!(is_changed(&other, marks[19]).await);

    let (input, mut output) = std::io::pipe().unwrap();
    let kept = Source::stream(input, &small()).unwrap();
    let origin = kept.reader(Backlog::Last(0)).bookmark().unwrap();
    let mut first = kept.reader(Backlog::Last(0));
    std::io::Write::write_all(&mut output, b"first\n").unwrap();
    let Some(Item::Lines(lines)) = first.next().await.unwrap() else {
        panic!("no line")
    };
    assert_eq!(resume(&kept, origin).await.see(1).await, ["first"]);
    std::io::Write::write_all(&mut output, text.as_bytes()).unwrap();
    drop(output);
    Viewer::from(first).see_all().await;
    for mark in [origin, lines[0].bookmark()] {
        assert!(is_changed(&kept, mark).await);
    }
}
