//! What readers get: backlog, the live end, skips; from files and from streams.
//! Method: a real file in a folder of its own, small rings, and pipes.

use std::{
    fs,
    io::{ErrorKind, Write},
    time::Duration,
};

use crate::common::{self, Log, NEVER, Viewer, numbered};
use fullduplex_tail::{Backlog, Item, MAX_BATCH_BYTES, MAX_BATCH_LINES, MAX_LINE, Options, Source};

/// Options with room for very few lines.
fn small() -> Options {
    Options {
        max_lines: 8,
        ..common::noticed()
    }
}

fn texts(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("line {n}")).collect()
}

in_both_ways! {
    async fn the_whole_file_and_then_each_new_line_come_exactly_once(options) {
        let log = Log::with(numbered(0..20_000));
        let source = log.follow(options).await;
        let mut file = log.open_to_append();
        let writer = tokio::task::spawn_blocking(move || {
            for n in (20_000..26_000).step_by(3) {
                file.write_all(numbered(n..n + 3).as_bytes()).unwrap();
            }
        });
        let mut viewers = Vec::new();
        for _ in 0..4 {
            let mut viewer = Viewer::of(&source, Backlog::All);
            viewers.push(tokio::spawn(async move {
                assert_eq!(viewer.see(26_000).await, texts(0..26_000));
            }));
        }
        for viewer in viewers {
            viewer.await.unwrap();
        }
        writer.await.unwrap();
    }

    async fn rotation_while_the_old_file_is_read_from_its_start_loses_nothing(options) {
        let log = Log::with(numbered(0..5_000));
        let source = log.follow(Options { max_lines: 8, settle: NEVER, ..options }).await;
        let mut viewer = Viewer::from(source.reader(Backlog::All).lossless());
        assert!(viewer.see(1).await.len() < 5_000, "the first batch is not the whole file");
        log.append(numbered(5_000..6_000) + "part");
        log.rename_to("log.1");
        log.append(numbered(0..1_000));
        let mut witness = Viewer::of(&source, Backlog::Last(0));
        witness.see_line("line 999").await;
        let mut expected = texts(0..6_000);
        expected.extend(["part".to_owned(), "File(Rotated)".to_owned()]);
        expected.extend(texts(0..1_000));
        assert_eq!(viewer.see(expected.len()).await, expected);
        log.append("live\n");
        expected.push("live".to_owned());
        assert_eq!(viewer.see(expected.len()).await, expected);
    }
}

#[tokio::test]
async fn the_newest_lines_come_from_the_file_before_the_ring_has_any() {
    let log = Log::with(numbered(0..100_000) + "part");
    let source = log.follow(Options::default()).await;
    for n in [1, 2, 100, 12_345, 99_999, 100_000, 200_000, u64::MAX] {
        let mut viewer = Viewer::of(&source, Backlog::Last(n));
        let wanted = usize::try_from(n).unwrap().min(100_000);
        assert_eq!(
            viewer.see(wanted).await,
            texts(100_000 - wanted..100_000),
            "the last {n}"
        );
        viewer.see_nothing().await;
    }
}

#[tokio::test]
async fn the_newest_lines_come_from_file_and_ring_together() {
    let log = Log::with(numbered(0..50));
    let source = log.follow(small()).await;
    let mut witness = Viewer::of(&source, Backlog::Last(0));
    log.append(numbered(50..53));
    witness.see(3).await;
    for n in [2, 3, 4, 10, 53, 99] {
        let wanted = n.min(53);
        let mut viewer = Viewer::of(&source, Backlog::Last(n as u64));
        assert_eq!(
            viewer.see(wanted).await,
            texts(53 - wanted..53),
            "the last {n}"
        );
    }
    // Now the ring has lost its first lines, and readers still join without a gap.
    log.append(numbered(53..200));
    witness.see_line("line 199").await;
    for n in [2, 8, 9, 100, 300] {
        let wanted = n.min(200);
        let mut viewer = Viewer::of(&source, Backlog::Last(n as u64));
        assert_eq!(
            viewer.see(wanted).await,
            texts(200 - wanted..200),
            "the last {n}"
        );
    }
    let mut viewer = Viewer::of(&source, Backlog::All);
    assert_eq!(viewer.see(200).await, texts(0..200));
}

#[tokio::test]
async fn the_newest_lines_may_reach_back_before_a_rotation() {
    let log = Log::with("");
    let source = log
        .follow(Options {
            settle: NEVER,
            ..common::noticed()
        })
        .await;
    let mut witness = Viewer::of(&source, Backlog::Last(0));
    log.append("one\ntwo\n");
    witness.see(2).await;
    log.rename_to("log.1");
    log.append("three\n");
    witness.see(4).await;
    let expected = ["two", "File(Rotated)", "three"];
    assert_eq!(Viewer::of(&source, Backlog::Last(2)).see(3).await, expected);
    assert_eq!(
        Viewer::of(&source, Backlog::Last(9)).see(4).await[1..],
        expected
    );
    assert_eq!(Viewer::of(&source, Backlog::All).see(1).await, ["three"]);
}

#[tokio::test]
async fn a_slow_reader_learns_exactly_how_many_lines_it_missed() {
    let log = Log::with("");
    let source = log.follow(small()).await;
    let mut slow = Viewer::of(&source, Backlog::Last(0));
    let mut witness = Viewer::of(&source, Backlog::Last(0));
    log.append(numbered(0..3));
    witness.see(3).await;
    slow.see(3).await;
    let mut end = 3;
    for more in [9, 100, 5_000] {
        log.append(numbered(end..end + more));
        end += more;
        witness.see_line(&format!("line {}", end - 1)).await;
        slow.seen.clear();
        let mut expected = vec![format!("Skipped({})", more - 8)];
        expected.extend(texts(end - 8..end));
        assert_eq!(slow.see(9).await, expected);
    }
}

#[tokio::test]
async fn the_ring_is_bounded_by_bytes_too() {
    let log = Log::with("");
    let source = log
        .follow(Options {
            max_bytes: 10_000,
            ..common::noticed()
        })
        .await;
    let mut slow = source.reader(Backlog::Last(0));
    let mut witness = Viewer::of(&source, Backlog::Last(0));
    log.append(format!("{}\n", "x".repeat(1_000)).repeat(100) + "end\n");
    witness.see_line("end").await;
    let Some(Item::Skipped(skipped)) = slow.next().await.unwrap() else {
        panic!("nothing skipped")
    };
    let Some(Item::Lines(kept)) = slow.next().await.unwrap() else {
        panic!("nothing kept")
    };
    assert_eq!(usize::try_from(skipped).unwrap() + kept.len(), 101);
    let bytes: usize = kept.iter().map(|line| line.text().len()).sum();
    assert!((8_000..=10_000).contains(&bytes), "{bytes} bytes kept");
}

#[tokio::test]
async fn a_lossless_reader_goes_back_to_the_file_for_what_it_missed() {
    let log = Log::with("");
    let source = log.follow(small()).await;
    let mut slow = Viewer::from(source.reader(Backlog::Last(0)).lossless());
    let mut witness = Viewer::of(&source, Backlog::Last(0));
    for (from, to) in [(0, 5_000), (5_000, 5_004), (5_004, 6_000)] {
        log.append(numbered(from..to));
        witness.see_line(&format!("line {}", to - 1)).await;
    }
    assert_eq!(slow.see(6_000).await, texts(0..6_000));
}

#[tokio::test]
async fn truncation_while_the_old_content_is_read_is_announced_where_it_breaks_off() {
    let log = Log::with(numbered(0..50_000));
    let source = log
        .follow(Options {
            max_lines: 8,
            ..common::noticed()
        })
        .await;
    let mut viewer = Viewer::of(&source, Backlog::All);
    let read_before = viewer.see(1).await.len();
    fs::File::create(log.path()).unwrap();
    log.append("after\n");
    viewer.see_line("after").await;
    let cut = viewer.seen.len() - 2;
    assert!(cut >= read_before);
    assert_eq!(viewer.seen[..cut], texts(0..cut));
    assert_eq!(viewer.seen[cut..], ["File(Truncated)", "after"]);
}

#[tokio::test]
async fn a_file_that_came_and_went_while_an_older_one_was_read_is_counted_as_skipped() {
    let log = Log::with(numbered(0..5_000));
    let source = log
        .follow(Options {
            settle: NEVER,
            ..small()
        })
        .await;
    let mut viewer = Viewer::of(&source, Backlog::All);
    let mut witness = Viewer::of(&source, Backlog::Last(0));
    viewer.see(1).await;
    log.rename_to("log.1");
    log.append(numbered(0..30) + "end of the second\n");
    witness.see_line("end of the second").await;
    log.rename_to("log.2");
    log.append(numbered(0..100));
    witness.see_line("line 99").await;
    let mut expected = texts(0..5_000);
    expected.extend(["File(Rotated)".to_owned(), format!("Skipped({})", 31 + 92)]);
    expected.extend(texts(92..100));
    assert_eq!(viewer.see(expected.len()).await, expected);
}

#[tokio::test]
async fn batches_are_bounded_from_file_and_ring() {
    let full = "x".repeat(MAX_LINE);
    let content = "\n".repeat(5_000) + &format!("{full}\n").repeat(10) + "end\n";
    let log = Log::with(&content);
    let source = log.follow(Options::default()).await;
    let mut reader = source.reader(Backlog::All);
    log.append(&content);
    let (mut lines, mut ends) = (0, 0);
    while ends < 2 {
        let Some(Item::Lines(batch)) = reader.next().await.unwrap() else {
            panic!("only lines")
        };
        let bytes: usize = batch.iter().map(|line| line.text().len()).sum();
        assert!((1..=MAX_BATCH_LINES).contains(&batch.len()));
        assert!(bytes < MAX_BATCH_BYTES + MAX_LINE);
        lines += batch.len();
        ends += batch.iter().filter(|line| &**line.text() == "end").count();
    }
    assert_eq!(lines, 2 * 5_011);
}

#[tokio::test]
async fn a_read_that_is_given_up_loses_nothing() {
    let log = Log::with(numbered(0..30_000));
    let source = log.follow(Options::default()).await;
    let mut reader = source.reader(Backlog::Last(29_990));
    let mut seen = Vec::new();
    while seen.len() < 29_990 {
        // Dropped after its first poll, again and again, and then let through.
        for _ in 0..3 {
            let next = tokio::time::timeout(Duration::ZERO, reader.next());
            if let Ok(Ok(Some(Item::Lines(lines)))) = next.await {
                seen.extend(lines);
            }
        }
        if seen.len() < 29_990
            && let Some(Item::Lines(lines)) = reader.next().await.unwrap()
        {
            seen.extend(lines);
        }
    }
    assert!(seen.iter().map(ToString::to_string).eq(texts(10..30_000)));
}

#[tokio::test]
async fn a_stream_is_read_to_its_end_with_its_unfinished_line() {
    let (input, mut output) = std::io::pipe().unwrap();
    let source = Source::stream(input, &Options::default()).unwrap();
    let mut viewer = Viewer::of(&source, Backlog::All);
    output.write_all(b"one\ntwo\npart").unwrap();
    assert_eq!(viewer.see(2).await, ["one", "two"]);
    drop(output);
    assert_eq!(viewer.see_all().await, ["one", "two", "part"]);
    assert_eq!(
        Viewer::of(&source, Backlog::Last(2)).see_all().await,
        ["two", "part"]
    );
    assert_eq!(
        Viewer::of(&source, Backlog::All).see_all().await,
        ["one", "two", "part"]
    );
}

#[tokio::test]
async fn of_a_stream_what_is_no_longer_kept_is_skipped() {
    let (input, mut output) = std::io::pipe().unwrap();
    let source = Source::stream(input, &small()).unwrap();
    output.write_all(numbered(0..100).as_bytes()).unwrap();
    drop(output);
    Viewer::of(&source, Backlog::Last(0)).see_all().await;
    let mut viewer = Viewer::from(source.reader(Backlog::All).lossless());
    assert_eq!(viewer.see_all().await[0], "Skipped(92)");
    assert_eq!(viewer.seen[1..], texts(92..100));
}

#[tokio::test]
async fn a_dropped_stream_source_ends_its_readers_at_once_and_its_thread_with_the_next_bytes() {
    let (input, mut output) = std::io::pipe().unwrap();
    let source = Source::stream(input, &Options::default()).unwrap();
    let mut viewer = Viewer::of(&source, Backlog::All);
    output.write_all(b"one\n").unwrap();
    viewer.see(1).await;
    drop(source);
    assert_eq!(viewer.see_all().await, ["one"]);
    common::until("the end of the thread", || {
        output
            .write_all(b"more\n")
            .is_err_and(|error| error.kind() == ErrorKind::BrokenPipe)
    })
    .await;
}

#[tokio::test]
async fn events_and_lines_stand_in_one_order_for_all_readers() {
    let log = Log::with("");
    let source = log
        .follow(Options {
            settle: NEVER,
            ..common::noticed()
        })
        .await;
    let mut viewers: Vec<_> = (0..3)
        .map(|_| Viewer::of(&source, Backlog::Last(0)))
        .collect();
    log.append("one\n");
    log.rename_to("log.1");
    log.append("two\n");
    for viewer in &mut viewers {
        assert_eq!(viewer.see(3).await, ["one", "File(Rotated)", "two"]);
    }
}
