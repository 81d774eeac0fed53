//! Reading one source at one's own pace.

use std::{io, sync::Arc};

use tokio::{sync::watch, task};

use crate::{
    Bookmark, Line,
    backward::{BackwardScan, line_at},
    file::read_at,
    lines::{Batch, Splitter},
    ring::{Cursor, Found, Generation, Meeting, Place, Ring, Start},
};

/// Which lines a new reader gets before those to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// All lines of the file that is there now, from its first one. Of a stream that is no file,
    /// all that are still kept; the others are reported as skipped.
    All,
    /// At most so many of the newest lines, fewer if there are not as many.
    Last(u64),
}

/// What happened to the followed file, between two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// The name leads to another file. The old one was read to its end; lines of the new one
    /// follow.
    Rotated,
    /// The file became shorter or was written anew in place. Reading starts over at its beginning.
    /// Bytes not read before that are lost; how many, nobody can know.
    Truncated,
    /// There is no file of this name now, or none that can be followed.
    Gone,
    /// There is a file of this name again, or for the first time.
    Back,
}

/// What a [`Reader`] gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// Lines in their order, without line ends: at least one, at most
    /// [`MAX_BATCH_LINES`](crate::MAX_BATCH_LINES), none longer than [`MAX_LINE`](crate::MAX_LINE),
    /// all together less than [`MAX_BATCH_BYTES`](crate::MAX_BATCH_BYTES) and one line.
    Lines(Vec<Line>),
    /// The reader was too slow: so many lines, which would come here, are left out.
    Skipped(u64),
    /// Something happened to the file.
    File(FileEvent),
}

/// A place in a source, from which it is read on.
///
/// Costs no queue: lines are shared with all other readers, older ones are read from the disk when
/// they are asked for. A reader does not keep its source alive.
#[derive(Debug)]
pub struct Reader {
    ring: watch::Receiver<Ring>,
    state: State,
    is_lossless: bool,
    bookmark: Option<Bookmark>,
}

/// What came of going on from a [`Bookmark`].
#[derive(Debug)]
pub enum Resumed {
    /// All lines after the one that it names will come.
    Complete(Reader),
    /// That line is not there any more: another file has the name, or the file was written anew; or it was no file, and the line is
    /// no longer kept or of another source.
    Changed,
    /// It is further from the end than was allowed.
    TooFar,
}

#[derive(Debug)]
enum State {
    /// Looking for the first line wanted, on disk.
    Search(Arc<Generation>, BackwardScan),
    /// Reading lines from the disk, until the ring has them.
    Disk(Disk),
    Ring(Cursor),
}

#[derive(Debug)]
struct Disk {
    generation: Arc<Generation>,
    splitter: Splitter,
}

/// What one step led to.
enum Step {
    Give(Item),
    Again,
    /// The file has what comes next.
    ReadFile(Place),
    /// Nothing new until the ring changes.
    Wait,
    End,
}

impl Reader {
    pub(crate) fn new(mut ring: watch::Receiver<Ring>, backlog: Backlog) -> Self {
        let kept = ring.borrow_and_update();
        let start = kept.start(backlog);
        let bookmark = match &start {
            Start::Ring(cursor) => kept.bookmark(cursor),
            Start::Disk(_) | Start::Search(..) => None,
        };
        drop(kept);
        Self {
            ring,
            state: State::from_start(start),
            is_lossless: false,
            bookmark,
        }
    }

    pub(crate) async fn resume(
        mut ring: watch::Receiver<Ring>,
        bookmark: Bookmark,
        max_bytes: u64,
    ) -> io::Result<Resumed> {
        let found = ring.borrow_and_update().find(&bookmark, max_bytes);
        let start = match found {
            Found::Ring(cursor) => Start::Ring(cursor),
            Found::Perhaps(place, end) => match look_for(bookmark, place, end).await? {
                Some(place) => Start::Disk(place),
                None => return Ok(Resumed::Changed),
            },
            Found::Nowhere => return Ok(Resumed::Changed),
            Found::TooFar => return Ok(Resumed::TooFar),
        };
        Ok(Resumed::Complete(Self {
            ring,
            state: State::from_start(start),
            is_lossless: false,
            bookmark: Some(bookmark),
        }))
    }

    /// Names where this reader began, if that is known without reading the file: for one with [`Backlog::Last`] of none, and one
    /// that [resumed](crate::Source::resume).
    pub fn bookmark(&self) -> Option<Bookmark> {
        self.bookmark
    }

    /// Makes the reader go back to the file for what the source no longer keeps, instead of
    /// skipping.
    ///
    /// It then holds the file it is reading open, even one that was deleted. Lines are still
    /// skipped when there is no file to go back to: when it was truncated or rotated more than once
    /// since, or never was one.
    #[must_use]
    pub fn lossless(mut self) -> Self {
        self.is_lossless = true;
        self
    }

    /// Waits for what comes next, or `None` once the source has ended and all was read.
    ///
    /// # Errors
    ///
    /// When older lines cannot be read from the disk. The next call tries again.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe. Nothing is lost or delivered twice.
    pub async fn next(&mut self) -> io::Result<Option<Item>> {
        loop {
            // State changes only between awaits: what a dropped future had read is read again.
            let step = match &mut self.state {
                State::Search(generation, scan) => search(generation, scan).await?,
                State::Disk(disk) => {
                    let meeting = self.ring.borrow_and_update().meet(&disk.place());
                    match meeting {
                        Meeting::ReadTo(limit) => disk.read_to(limit).await?,
                        Meeting::Ring(cursor, item) => {
                            self.state = State::Ring(cursor);
                            item.map_or(Step::Again, Step::Give)
                        }
                        Meeting::Ended(event, start) => {
                            self.state = State::from_start(start);
                            Step::Give(Item::File(event))
                        }
                    }
                }
                State::Ring(cursor) => {
                    read_ring(&self.ring.borrow_and_update(), cursor, self.is_lossless)
                }
            };
            match step {
                Step::Give(item) => return Ok(Some(item)),
                Step::Again => {}
                Step::ReadFile(place) => self.state = State::from_start(Start::Disk(place)),
                Step::Wait => {
                    // An error says that the source is gone and that all it left has been seen.
                    if self.ring.changed().await.is_err() {
                        return Ok(None);
                    }
                }
                Step::End => return Ok(None),
            }
        }
    }
}

impl State {
    fn from_start(start: Start) -> Self {
        match start {
            Start::Ring(cursor) => Self::Ring(cursor),
            Start::Disk(Place { generation, offset }) => Self::Disk(Disk {
                splitter: Splitter::at(generation.file_id, offset),
                generation,
            }),
            Start::Search(generation, scan) => Self::Search(generation, scan),
        }
    }
}

impl Disk {
    fn place(&self) -> Place {
        Place {
            generation: self.generation.clone(),
            offset: self.splitter.line_start(),
        }
    }

    /// Reads some lines, none of which begins at `limit` or later.
    async fn read_to(&mut self, limit: u64) -> io::Result<Step> {
        let position = self.splitter.position();
        let wanted = limit.saturating_sub(position).min(MAX_READ as u64);
        if wanted == 0 {
            // The source ended this line where it is, without a line end, and so do we.
            let last = self.splitter.finish();
            return Ok(last.map_or(Step::Again, |line| Step::Give(Item::Lines(vec![line]))));
        }
        let file = self.generation.file.clone();
        let bytes = blocking(move || {
            let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(MAX_READ)];
            let n = read_at(&file, &mut bytes, position)?;
            bytes.truncate(n);
            Ok(bytes)
        })
        .await?;
        if bytes.is_empty() {
            // The file became shorter. The source will notice, too, and say where to go on.
            return Ok(Step::Wait);
        }
        let mut batch = Batch::default();
        // What a full batch leaves is read again.
        self.splitter.push(&bytes, &mut batch);
        if batch.is_empty() {
            return Ok(Step::Again);
        }
        Ok(Step::Give(Item::Lines(batch.drain().collect())))
    }
}

async fn search(generation: &Arc<Generation>, scan: &mut BackwardScan) -> io::Result<Step> {
    let (file, mut moved) = (generation.file.clone(), *scan);
    let (moved, found) = blocking(move || {
        let found = moved.step(&file, MAX_SEARCH)?;
        Ok((moved, found))
    })
    .await?;
    *scan = moved;
    Ok(found.map_or(Step::Again, |offset| {
        Step::ReadFile(Place {
            generation: generation.clone(),
            offset,
        })
    }))
}

/// The place behind the line that `bookmark` names, if that is the one which begins at `place`.
async fn look_for(bookmark: Bookmark, place: Place, end: u64) -> io::Result<Option<Place>> {
    blocking(move || {
        let Place { generation, offset } = place;
        let line = line_at(&generation.file, generation.file_id, offset..end)?;
        let line = line.filter(|line| bookmark.is_behind(line));
        Ok(line.map(|Line { end: offset, .. }| Place { generation, offset }))
    })
    .await
}

fn read_ring(ring: &Ring, cursor: &mut Cursor, is_lossless: bool) -> Step {
    if is_lossless
        && ring.is_behind(cursor)
        && let Some(place) = cursor.place.take()
    {
        return Step::ReadFile(place);
    }
    let item = ring.read(cursor);
    if !is_lossless {
        // Would keep a deleted file open for a reader that never goes back to it.
        cursor.place = None;
    }
    match item {
        Some(item) => Step::Give(item),
        None if ring.is_closed() => Step::End,
        None => Step::Wait,
    }
}

/// Runs what may wait for a disk where it holds up nobody else.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Bytes read from the disk at once.
const MAX_READ: usize = 64 * 1024;

/// Bytes searched backward at once: a few milliseconds of a blocking thread.
const MAX_SEARCH: u64 = 4 * 1024 * 1024;
