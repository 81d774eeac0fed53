//! A followed file in a folder of its own, and what its readers get.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::PathBuf,
    time::Duration,
};

use fullduplex_tail::{Backlog, Item, Options, Reader, Source};
use tempfile::TempDir;

/// Longest wait for what must come; only a failing test waits so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Options that follow quickly, by the system's notices.
pub(crate) fn noticed() -> Options {
    Options {
        poll_quiet: Duration::from_millis(20),
        ..Options::default()
    }
}

/// Options that follow quickly, by polling only.
pub(crate) fn polled() -> Options {
    Options {
        polling: true,
        ..noticed()
    }
}

/// A rotation that is never given up: only content in the new file ends the old one.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);

/// An absence that is believed at once.
pub(crate) const AT_ONCE: Duration = Duration::ZERO;

/// Runs the body of each test in both ways of noticing changes.
macro_rules! in_both_ways {
    ($($(#[$doc:meta])* async fn $name:ident($options:ident) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn run($options: Options) $body

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn by_notice() { run(common::noticed()).await }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn by_polling() { run(common::polled()).await }
        }
    )*};
}

/// A folder with a file `log` that may be followed.
pub(crate) struct Log {
    folder: TempDir,
}

impl Log {
    pub(crate) fn missing() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn with(content: impl AsRef<[u8]>) -> Self {
        let log = Self::missing();
        fs::write(log.path(), content).unwrap();
        log
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.named("log")
    }

    pub(crate) fn named(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn append(&self, content: impl AsRef<[u8]>) {
        self.open_to_append().write_all(content.as_ref()).unwrap();
    }

    pub(crate) fn open_to_append(&self) -> File {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.path())
            .unwrap()
    }

    pub(crate) fn rename_to(&self, name: &str) {
        fs::rename(self.path(), self.named(name)).unwrap();
    }

    pub(crate) async fn follow(&self, options: Options) -> Source {
        Source::follow(self.path(), options).await.unwrap()
    }
}

/// A reader and what it got, one string per line or other item.
pub(crate) struct Viewer {
    reader: Reader,
    pub(crate) seen: Vec<String>,
}

impl Viewer {
    pub(crate) fn of(source: &Source, backlog: Backlog) -> Self {
        Self::from(source.reader(backlog))
    }

    pub(crate) async fn next(&mut self) -> Option<Item> {
        let next = tokio::time::timeout(DEADLINE, self.reader.next());
        let Ok(item) = next.await else {
            panic!("nothing more came after {:?}", self.seen)
        };
        let item = item.unwrap();
        match &item {
            Some(Item::Lines(lines)) => self.seen.extend(lines.iter().map(ToString::to_string)),
            Some(other) => self.seen.push(format!("{other:?}")),
            None => {}
        }
        item
    }

    /// Reads until `count` lines and other items came.
    pub(crate) async fn see(&mut self, count: usize) -> &[String] {
        while self.seen.len() < count && self.next().await.is_some() {}
        &self.seen
    }

    /// Gives something that must not come a fair chance to come.
    pub(crate) async fn see_nothing(&mut self) {
        let next = tokio::time::timeout(Duration::from_millis(50), self.reader.next());
        if let Ok(item) = next.await {
            panic!("something came: {item:?}");
        }
    }

    /// Reads until this line came.
    pub(crate) async fn see_line(&mut self, line: &str) {
        while self.seen.last().is_none_or(|last| last != line) && self.next().await.is_some() {}
    }

    /// Reads to the end of the source.
    pub(crate) async fn see_all(&mut self) -> &[String] {
        while self.next().await.is_some() {}
        &self.seen
    }
}

impl From<Reader> for Viewer {
    fn from(reader: Reader) -> Self {
        Self {
            reader,
            seen: Vec::new(),
        }
    }
}

/// Lines `from..to` as a file holds them.
pub(crate) fn numbered(range: std::ops::Range<usize>) -> String {
    range.fold(String::new(), |content, n| content + &format!("line {n}\n"))
}

/// Waits until `is_true`.
pub(crate) async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !is_true() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what} does not happen"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
