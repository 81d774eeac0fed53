//! What happens to a followed file, as its readers see it.
//! Method: a real file in a folder of its own, by notices and by polling.

use std::{fs, io::Write};

use crate::common::{self, AT_ONCE, Log, NEVER, Viewer, numbered};
use fullduplex_tail::{Backlog, MAX_LINE, Options, Source};

in_both_ways! {
    async fn appended_lines_arrive_in_order(options) {
        let log = Log::with("before\n");
        let source = log.follow(options).await;
        let mut viewer = Viewer::of(&source, Backlog::Last(0));
        log.append("one\n");
        assert_eq!(viewer.see(1).await, ["one"]);
        log.append("two\r\n\nfour\n");
        assert_eq!(viewer.see(4).await, ["one", "two", "", "four"]);
    }

    async fn a_line_written_in_pieces_is_shown_once_it_is_whole(options) {
        let log = Log::with("be");
        let source = log.follow(options).await;
        let mut viewer = Viewer::of(&source, Backlog::Last(0));
        for piece in ["gin", "ning", " and end"] {
            log.append(piece);
            viewer.see_nothing().await;
        }
        log.append("\nnext\n");
        assert_eq!(viewer.see(2).await, ["beginning and end", "next"]);
    }

    async fn s53_rotation_loses_and_repeats_no_line(options) {
        let log = Log::with("");
        let source = log.follow(Options { settle: NEVER, ..options }).await;
        let mut viewer = Viewer::of(&source, Backlog::Last(0));
        let mut expected = Vec::new();
        for round in 0..5 {
            let mut old = log.open_to_append();
            old.write_all(numbered(0..500).as_bytes()).unwrap();
            log.rename_to(&format!("log.{round}"));
            // The writer goes on for a while in the old file, and ends in the middle of a line.
            old.write_all(format!("{}part {round}", numbered(500..600)).as_bytes()).unwrap();
            expected.extend((0..600).map(|n| format!("line {n}")));
            expected.push(format!("part {round}"));
            expected.push("File(Rotated)".to_owned());
            log.append("");
            log.append(format!("first of {}\n", round + 1));
            expected.push(format!("first of {}", round + 1));
            assert_eq!(viewer.see(expected.len()).await, expected);
        }
    }

    async fn s54_truncation_is_announced_and_reading_starts_over(options) {
        let log = Log::with("");
        let source = log.follow(options).await;
        let mut viewer = Viewer::of(&source, Backlog::Last(0));
        log.append("one\npart");
        viewer.see(1).await;
        fs::File::create(log.path()).unwrap();
        assert_eq!(viewer.see(3).await, ["one", "part", "File(Truncated)"]);
        log.append("two\n");
        assert_eq!(viewer.see(4).await[3], "two");
    }

    async fn s55_a_file_written_anew_in_place_starts_over(options) {
        let log = Log::with("first\n");
        let source = log.follow(options).await;
        let mut viewer = Viewer::of(&source, Backlog::Last(1));
        viewer.see(1).await;
        let mut file = fs::OpenOptions::new().write(true).open(log.path()).unwrap();
        file.write_all(b"second and longer\n").unwrap();
        let expected = ["first", "File(Truncated)", "second and longer"];
        assert_eq!(viewer.see(3).await, expected);
    }

    async fn s56_a_deleted_file_is_gone_and_its_successor_is_back(options) {
        let log = Log::with("one\n");
        let source = log.follow(Options { settle: AT_ONCE, ..options }).await;
        let mut viewer = Viewer::of(&source, Backlog::Last(1));
        viewer.see(1).await;
        fs::remove_file(log.path()).unwrap();
        assert_eq!(viewer.see(2).await, ["one", "File(Gone)"]);
        log.append("one\ntwo\n");
        let expected = ["one", "File(Gone)", "File(Back)", "one", "two"];
        assert_eq!(viewer.see(5).await, expected);
    }

    async fn a_missing_file_is_waited_for(options) {
        let log = Log::missing();
        let source = log.follow(options).await;
        let mut early = Viewer::of(&source, Backlog::All);
        assert_eq!(early.see(1).await, ["File(Gone)"]);
        log.append("one\n");
        assert_eq!(early.see(3).await, ["File(Gone)", "File(Back)", "one"]);
        assert_eq!(Viewer::of(&source, Backlog::All).see(1).await, ["one"]);
    }

    async fn a_folder_that_is_made_later_is_waited_for_too(options) {
        let log = Log::missing();
        let folder = log.named("later");
        let source = Source::follow(folder.join("log"), options).await.unwrap();
        let mut viewer = Viewer::of(&source, Backlog::Last(0));
        assert_eq!(viewer.see(1).await, ["File(Gone)"]);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("log"), "one\n").unwrap();
        assert_eq!(viewer.see(3).await, ["File(Gone)", "File(Back)", "one"]);
    }

    async fn a_link_that_is_moved_to_another_file_is_a_rotation(options) {
        let log = Log::missing();
        fs::write(log.named("a"), "one\n").unwrap();
        std::os::unix::fs::symlink("a", log.path()).unwrap();
        let source = log.follow(options).await;
        let mut viewer = Viewer::of(&source, Backlog::Last(1));
        viewer.see(1).await;
        log.append("two\n");
        assert_eq!(viewer.see(2).await, ["one", "two"]);
        fs::write(log.named("b"), "three\n").unwrap();
        std::os::unix::fs::symlink("b", log.named("new")).unwrap();
        fs::rename(log.named("new"), log.path()).unwrap();
        assert_eq!(viewer.see(4).await[2..], ["File(Rotated)", "three"]);
        log.append("four\n");
        assert_eq!(viewer.see(5).await[4], "four");
    }

    async fn s59_garbage_is_shown_safely_and_the_stream_survives(options) {
        let log = Log::with("");
        let source = log.follow(options).await;
        let mut viewer = Viewer::of(&source, Backlog::Last(0));
        log.append(b"a\xff\xfeb\n\0\0\n\xc3");
        log.append(b"\xa9\n");
        assert_eq!(viewer.see(3).await, ["a\u{fffd}\u{fffd}b", "\0\0", "é"]);
    }

    async fn s58_an_endless_line_is_cut(options) {
        let log = Log::with("");
        let source = log.follow(options).await;
        let mut viewer = Viewer::of(&source, Backlog::Last(0));
        let piece = "x".repeat(1024 * 1024);
        for _ in 0..8 {
            log.append(&piece);
        }
        log.append("\nnext\n");
        let seen = viewer.see(2).await;
        let (shown, mark) = seen[0].split_once('…').unwrap();
        assert!(seen[0].len() <= MAX_LINE);
        assert_eq!(mark, format!("[cut {} bytes]", 8 * piece.len() - shown.len()));
        assert_eq!(seen[1], "next");
    }
}

#[tokio::test]
async fn by_notice_a_line_is_seen_without_any_polling() {
    let log = Log::with("");
    let source = log
        .follow(Options {
            poll_active: NEVER,
            ..Options::default()
        })
        .await;
    let mut viewer = Viewer::of(&source, Backlog::Last(0));
    log.append("one\n");
    assert_eq!(viewer.see(1).await, ["one"]);
}

#[tokio::test]
async fn what_cannot_be_followed_is_refused_in_one_line() {
    let log = Log::missing();
    fs::create_dir(log.path()).unwrap();
    let error = Source::follow(log.path(), Options::default())
        .await
        .unwrap_err();
    let expected = format!(
        "cannot follow {}: it is a directory, not a regular file",
        log.path().display()
    );
    assert_eq!(error.to_string(), expected);
    let error = Source::follow("/dev/null", Options::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot follow /dev/null: it is a device, not a regular file"
    );
}

#[tokio::test]
async fn a_dropped_source_ends_its_task_and_closes_its_file() {
    let log = Log::with("one\n");
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    let source = log.follow(Options::default()).await;
    let mut viewer = Viewer::of(&source, Backlog::All);
    assert_eq!(tasks(), before + 1);
    assert_eq!(viewer.see(1).await, ["one"]);
    drop(source);
    assert_eq!(viewer.see_all().await, ["one"]);
    common::until("the end of the task", || tasks() == before).await;
    drop(viewer);
    common::until("the end of the open file", || !is_open(&log.path())).await;
}

#[tokio::test]
async fn a_deleted_file_is_not_held_open_by_the_ring_or_by_readers() {
    let log = Log::with("one\n");
    let options = Options {
        settle: AT_ONCE,
        ..common::noticed()
    };
    let source = log.follow(options).await;
    let mut viewer = Viewer::of(&source, Backlog::All);
    let mut lossless = Viewer::from(source.reader(Backlog::All).lossless());
    log.append("two\n");
    viewer.see(2).await;
    lossless.see(2).await;
    assert!(is_open(&log.path()));
    fs::remove_file(log.path()).unwrap();
    viewer.see(3).await;
    lossless.see(3).await;
    let deleted = format!("{} (deleted)", log.path().display());
    common::until("the end of the open file", || !is_open(deleted.as_ref())).await;
}

/// Whether this process has `path` open.
fn is_open(path: &std::path::Path) -> bool {
    fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .any(|target| target == path)
}
