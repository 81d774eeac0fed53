//! One followed file or stream, read once for all its readers.

use std::{
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
    thread,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{self, AbortHandle},
};

use crate::{
    Backlog, Bookmark, FileEvent, FollowError, Reader, Resumed,
    backward::line_before,
    bookmark::FileId,
    feed::{Feed, Found, Pump, SourceDropped},
    follow::{Beginning, Follower},
    name::Name,
    pace::Pace,
    ring::Ring,
};

/// How a source is followed and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Lines and events kept for readers. 10,000: some screens of scrolling for a viewer that
    /// joins, and some seconds of a busy log for one that stalls.
    pub max_lines: usize,
    /// Bytes of memory for them, bookkeeping included. 4 MiB: the limit that matters when lines are
    /// long.
    pub max_bytes: usize,
    /// Whether to look at the file at intervals only, even where the system tells of changes.
    pub polling: bool,
    /// Pause between two looks at a file that is being written. 10 ms: below what an eye sees, and
    /// lines arrive in batches. At least 1 ms.
    pub poll_active: Duration,
    /// Pause that the looks slow down to while nothing is written and the system tells nothing. 250
    /// ms.
    pub poll_quiet: Duration,
    /// How long a file that lost its name has to be quiet before it is given up for an empty file
    /// or for none. 1 s: a writer that is told to reopen its log does so within that time.
    pub settle: Duration,
    /// Whether the name may come to lead to any file. Not by default: a symbolic link that is put
    /// there later is followed only into the folder of the name and that of the file it led to at
    /// first, or below. Else whoever may write there could show what only we may read.
    pub may_lead_anywhere: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_lines: 10_000,
            max_bytes: 4 * 1024 * 1024,
            polling: false,
            poll_active: Duration::from_millis(10),
            poll_quiet: Duration::from_millis(250),
            settle: Duration::from_secs(1),
            may_lead_anywhere: false,
        }
    }
}

/// A file or stream whose newest lines are kept for any number of [`Reader`]s.
///
/// It is read while this value lives, whether there are readers or not. Dropping it ends the
/// reading; readers get what is there and then the end.
#[derive(Debug)]
pub struct Source {
    ring: Arc<watch::Sender<Ring>>,
    task: Option<AbortHandle>,
}

impl Source {
    /// Follows the file of this name, like `tail -F`.
    ///
    /// The file may be missing; it is waited for. Symbolic links are followed, at every look anew, as far as
    /// [`Options::may_lead_anywhere`] lets them.
    /// Call it on a tokio runtime with timer and I/O; work that may wait for a disk is done on its
    /// blocking threads.
    ///
    /// # Errors
    ///
    /// When the path leads to something else than a regular file, or to one that cannot be read. If
    /// that happens later, the file counts as gone.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: nothing is followed if the call is dropped.
    pub async fn follow(path: impl Into<PathBuf>, options: Options) -> Result<Self, FollowError> {
        let path = path.into();
        let start = {
            let (path, settle) = (path.clone(), options.settle);
            move || {
                let name = Name::new(path, options.may_lead_anywhere);
                let (follower, beginning) = Follower::start(name, settle)?;
                // What cannot be read is found out by the first real read.
                let before = beginning
                    .as_ref()
                    .and_then(|beginning| line_before(beginning).ok()?);
                Ok((follower, beginning, before))
            }
        };
        let (follower, beginning, before) =
            task::spawn_blocking(start).await.unwrap_or_else(|error| {
                Err(FollowError::Unreadable {
                    path: path.clone(),
                    source: io::Error::other(error),
                })
            })?;

        let mut ring = Ring::new(options.max_lines, options.max_bytes);
        let (id, start) = match &beginning {
            Some(Beginning { id, start, .. }) => (*id, *start),
            None => (FileId::random(), 0),
        };
        match beginning {
            Some(beginning) => {
                ring.begin(beginning);
                if let Some(line) = before {
                    ring.begin_behind(&line);
                }
            }
            None => ring.end_with(FileEvent::Gone, None),
        }
        let ring = Arc::new(watch::Sender::new(ring));
        let pump = Pump::new(follower, Feed::new(Arc::downgrade(&ring), id, start));
        let task = tokio::spawn(follow(pump, path, options)).abort_handle();
        Ok(Self {
            ring,
            task: Some(task),
        })
    }

    /// Reads standard input to its end.
    ///
    /// # Errors
    ///
    /// When the system has no thread left to give.
    pub fn stdin(options: &Options) -> io::Result<Self> {
        Self::stream(io::stdin(), options)
    }

    /// Reads a stream that is no file to its end, on a thread of its own.
    ///
    /// What readers were too slow for cannot be read again. After the source was dropped the thread
    /// ends with the next bytes that come.
    ///
    /// # Errors
    ///
    /// When the system has no thread left to give.
    pub fn stream(input: impl Read + Send + 'static, options: &Options) -> io::Result<Self> {
        let ring = Arc::new(watch::Sender::new(Ring::new(
            options.max_lines,
            options.max_bytes,
        )));
        let feed = Feed::new(Arc::downgrade(&ring), FileId::random(), 0);
        // Not one of the runtime's blocking threads: a read that never returns would hold up its
        // end.
        thread::Builder::new()
            .name("fdx-tail".to_owned())
            .spawn(move || {
                // Without its source nobody is left to tell.
                read_stream(input, feed).unwrap_or(());
            })?;
        Ok(Self { ring, task: None })
    }

    /// A new reader, which begins with some of the lines that are there.
    pub fn reader(&self, backlog: Backlog) -> Reader {
        Reader::new(self.ring.subscribe(), backlog)
    }

    /// A reader that goes on behind a line that another one has read, also one of a source of the same file in another process:
    /// no line between is left out or comes twice. Events that came after that line come again.
    ///
    /// What is no longer kept in memory is read from the file, if the line is among its last `max_bytes`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: there is no reader if the call is dropped.
    pub async fn resume(&self, bookmark: Bookmark, max_bytes: u64) -> io::Result<Resumed> {
        Reader::resume(self.ring.subscribe(), bookmark, max_bytes).await
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn follow(mut pump: Pump, path: PathBuf, options: Options) {
    let mut pace = Pace::new(&path, &options);
    loop {
        let run = task::spawn_blocking(move || pump.run().map(|found| (pump, found)));
        let found;
        match run.await {
            Ok(Ok((same, what))) => (pump, found) = (same, what),
            // The source was dropped, or the runtime ends.
            Ok(Err(SourceDropped)) | Err(_) => return,
        }
        if found == Found::OtherFile {
            pace.file_changed(&path);
        }
        pace.wait(&path, found).await;
    }
}

fn read_stream(mut input: impl Read, mut feed: Feed) -> Result<(), SourceDropped> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => feed.bytes(&buffer[..n])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                tracing::warn!(%error, "the input stream cannot be read any further");
                break;
            }
        }
    }
    feed.close()
}

/// Bytes read from a stream at once.
const BUFFER: usize = 64 * 1024;
