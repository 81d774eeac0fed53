//! The recent past of a source, shared by all who read it.
//!
//! Lines and file events stand in one row, in the order in which they happened. A reader is only a
//! place in that row. Room is bounded by lines and by bytes; what is pushed out at the front is
//! counted, so a reader who comes too late learns exactly how many lines it missed.
//!
//! A *generation* is one file being read from one beginning: rotation, truncation and return start
//! the next one. It ties lines to offsets, by which a reader that reads older lines from the disk
//! knows where the ring begins.

use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    sync::{Arc, OnceLock, Weak},
};

use crate::{
    Backlog, FileEvent, Item,
    backward::BackwardScan,
    bookmark::{Bookmark, FileId},
    follow::Beginning,
    lines::{Batch, Line, MAX_BATCH_BYTES, MAX_BATCH_LINES},
};

/// A place between two entries, counted from the beginning of the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    entries: u64,
    /// The lines among those entries.
    lines: u64,
}

/// A place in the ring, and in the file where that is known.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    position: Position,
    /// Where the next line begins on disk, as long as its file is open.
    pub(crate) place: Option<Place>,
}

/// An offset in one file.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) generation: Arc<Generation>,
    pub(crate) offset: u64,
}

/// One file, read from one beginning.
#[derive(Debug)]
pub(crate) struct Generation {
    id: u64,
    pub(crate) file: Arc<File>,
    pub(crate) file_id: FileId,
    /// Offset at which the source began to read.
    start: u64,
    end: OnceLock<End>,
}

/// How a generation ended.
#[derive(Debug)]
struct End {
    event: FileEvent,
    /// Where the event stands in the ring.
    position: Position,
    /// Offset after the last byte read.
    offset: u64,
    /// The generation that followed; without it in the ring nothing keeps its file open.
    next: Weak<Generation>,
}

/// Where a reader begins.
#[derive(Debug)]
pub(crate) enum Start {
    /// In the ring.
    Ring(Cursor),
    /// On disk, at a known offset.
    Disk(Place),
    /// On disk, at an offset that has to be found.
    Search(Arc<Generation>, BackwardScan),
}

/// Where a bookmark is.
#[derive(Debug)]
pub(crate) enum Found {
    Ring(Cursor),
    /// On disk, if the line that begins here, and ends before the offset, is the one it names.
    Perhaps(Place, u64),
    Nowhere,
    /// On disk, further from the end than was allowed.
    TooFar,
}

/// What comes next for a reader that reads from the disk.
#[derive(Debug)]
pub(crate) enum Meeting {
    /// The ring has it; this is the first of it.
    Ring(Cursor, Option<Item>),
    /// The disk has it, up to this offset.
    ReadTo(u64),
    /// The file ended in this way, too long ago for the ring; reading goes on there.
    Ended(FileEvent, Start),
}

enum Entry {
    Line {
        line: Line,
        generation: u64,
    },
    Event {
        event: FileEvent,
        next: Weak<Generation>,
    },
}

impl Entry {
    /// What the entry counts against the ring's bytes: its text and, roughly, its own memory.
    fn weight(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Line { line, .. } => line.text.len() + ALLOCATION,
                Self::Event { .. } => 0,
            }
    }
}

/// The newest lines and events of one source.
///
/// Invariant: `last - first` counts the entries and their lines, `bytes` their weight.
pub(crate) struct Ring {
    entries: VecDeque<Entry>,
    first: Position,
    last: Position,
    bytes: usize,
    max_lines: usize,
    max_bytes: usize,
    current: Option<Arc<Generation>>,
    generations: u64,
    /// Offset in the current file at which the next line will begin.
    boundary: u64,
    is_closed: bool,
    /// Names the place before all entries: the line that came before them, where that is known.
    origin: Bookmark,
}

impl Ring {
    pub(crate) fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first: Position::default(),
            last: Position::default(),
            bytes: 0,
            max_lines,
            max_bytes,
            current: None,
            generations: 0,
            boundary: 0,
            is_closed: false,
            origin: Bookmark::origin(FileId::random()),
        }
    }

    /// Says what the first file is, before there are lines.
    pub(crate) fn begin(&mut self, beginning: Beginning) {
        self.boundary = beginning.start;
        self.current = Some(Arc::new(Generation {
            id: self.generations,
            file: beginning.file,
            file_id: beginning.id,
            start: beginning.start,
            end: OnceLock::new(),
        }));
        self.generations += 1;
    }

    /// Says which line is before all others.
    pub(crate) fn begin_behind(&mut self, line: &Line) {
        self.origin = line.bookmark();
    }

    /// Takes the lines that follow.
    pub(crate) fn append(&mut self, batch: &mut Batch) {
        let generation = self.current.as_ref().map_or(NO_FILE, |current| current.id);
        self.boundary = batch.last().map_or(self.boundary, |line| line.end);
        for line in batch.drain() {
            self.push(Entry::Line { line, generation });
        }
    }

    /// Takes an event: it ends the current generation, and `next` begins.
    pub(crate) fn end_with(&mut self, event: FileEvent, next: Option<Beginning>) {
        let (ended, offset) = (self.current.take(), self.boundary);
        if let Some(next) = next {
            self.begin(next);
        }
        let next = self
            .current
            .as_ref()
            .map(Arc::downgrade)
            .unwrap_or_default();
        if let Some(ended) = ended {
            let end = End {
                event,
                position: self.last,
                offset,
                next: next.clone(),
            };
            // It was current until now, so it has not ended before.
            ended.end.get_or_init(|| end);
        }
        self.push(Entry::Event { event, next });
    }

    /// Says that nothing will follow.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether nothing will follow.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Where a new reader begins.
    pub(crate) fn start(&self, backlog: Backlog) -> Start {
        match (backlog, &self.current) {
            (Backlog::All, Some(current)) => Start::Disk(Place {
                generation: current.clone(),
                offset: 0,
            }),
            // No file can be read again: what is here is all there is.
            (Backlog::All, None) if self.generations == 0 => Start::Ring(Cursor::default()),
            (Backlog::All, None) => Start::Ring(self.newest()),
            (Backlog::Last(n), _) => self.start_of_last(n),
        }
    }

    fn start_of_last(&self, wanted: u64) -> Start {
        let kept = self.last.lines - self.first.lines;
        if wanted == 0 {
            return Start::Ring(self.newest());
        }
        if let Some(before) = kept.checked_sub(wanted) {
            return Start::Ring(self.cursor_at_line(before));
        }
        let first = self.first_line(|_| true);
        let begins_in = |current: &Generation| first.is_none_or(|(_, id)| id == current.id);
        match self.current.as_ref().filter(|current| begins_in(current)) {
            // The ring begins in the file that is still there, which has the lines before.
            Some(current) => {
                let end = first.map_or(self.boundary, |(line, _)| line.start);
                Start::Search(current.clone(), BackwardScan::new(end, wanted - kept))
            }
            None if kept > 0 => Start::Ring(self.cursor_at_line(0)),
            None => Start::Ring(self.newest()),
        }
    }

    /// Where `bookmark` is, or may be, of the last `max_bytes` on disk.
    pub(crate) fn find(&self, bookmark: &Bookmark, max_bytes: u64) -> Found {
        if let Some(position) = self.position_behind(bookmark) {
            return Found::Ring(self.cursor(position));
        }
        let is_in = |current: &&Arc<Generation>| current.file_id == bookmark.file();
        let Some(current) = self.current.as_ref().filter(is_in) else {
            return Found::Nowhere;
        };
        let kept = self.first_line(|id| id == current.id);
        let end = kept.map_or(self.boundary, |(line, _)| line.start);
        if bookmark.start() >= end {
            return Found::Nowhere;
        }
        if self.boundary - bookmark.start() > max_bytes {
            return Found::TooFar;
        }
        let place = Place {
            generation: current.clone(),
            offset: bookmark.start(),
        };
        Found::Perhaps(place, end)
    }

    /// The first, if the same line was read twice: better shown twice than never.
    fn position_behind(&self, bookmark: &Bookmark) -> Option<Position> {
        let mut position = self.first;
        if *bookmark == self.origin && position == Position::default() {
            return Some(position);
        }
        self.entries.iter().find_map(|entry| {
            position.pass(entry);
            matches!(entry, Entry::Line { line, .. } if bookmark.is_behind(line))
                .then_some(position)
        })
    }

    /// Names the last line before `cursor`, unless that is no longer here.
    pub(crate) fn bookmark(&self, cursor: &Cursor) -> Option<Bookmark> {
        let before = self.entries.range(..self.index(cursor.position));
        let last = before.rev().find_map(|entry| match entry {
            Entry::Line { line, .. } => Some(line.bookmark()),
            Entry::Event { .. } => None,
        });
        last.or_else(|| (self.first == Position::default()).then_some(self.origin))
    }

    /// After everything, except that an absent file is said to be absent.
    fn newest(&self) -> Cursor {
        let mut position = self.last;
        if let Some(Entry::Event {
            event: FileEvent::Gone,
            ..
        }) = self.entries.back()
        {
            position.entries -= 1;
        }
        self.cursor(position)
    }

    /// Before the line that has so many kept lines before it.
    fn cursor_at_line(&self, lines: u64) -> Cursor {
        let mut position = self.first;
        for entry in &self.entries {
            if let Entry::Line { .. } = entry {
                if position.lines == self.first.lines + lines {
                    break;
                }
                position.lines += 1;
            }
            position.entries += 1;
        }
        self.cursor(position)
    }

    /// A cursor at `position`, with its place on disk if that is in the current file.
    fn cursor(&self, position: Position) -> Cursor {
        let index = self.index(position);
        let place = self.current.as_ref().and_then(|current| {
            let offset = match self.entries.get(index) {
                None => Some(self.boundary),
                Some(Entry::Line { line, generation }) if *generation == current.id => {
                    Some(line.start)
                }
                Some(_) => None,
            };
            offset.map(|offset| Place {
                generation: current.clone(),
                offset,
            })
        });
        Cursor { position, place }
    }

    /// Whether entries that the reader has not seen are no longer here.
    pub(crate) fn is_behind(&self, cursor: &Cursor) -> bool {
        cursor.position.entries < self.first.entries
    }

    /// Gives what comes next, in bounded pieces, and moves the cursor behind it.
    pub(crate) fn read(&self, cursor: &mut Cursor) -> Option<Item> {
        if self.is_behind(cursor) {
            let skipped = self.first.lines - cursor.position.lines;
            *cursor = self.cursor(self.first);
            if skipped > 0 {
                return Some(Item::Skipped(skipped));
            }
        }
        let index = self.index(cursor.position);
        match self.entries.get(index)? {
            Entry::Event { event, next } => {
                cursor.position.entries += 1;
                cursor.place = next.upgrade().map(Place::at_start);
                Some(Item::File(*event))
            }
            Entry::Line { .. } => Some(Item::Lines(self.read_lines(index, cursor))),
        }
    }

    fn read_lines(&self, index: usize, cursor: &mut Cursor) -> Vec<Line> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        for entry in self.entries.range(index..) {
            let Entry::Line { line, generation } = entry else {
                break;
            };
            if lines.len() >= MAX_BATCH_LINES || bytes >= MAX_BATCH_BYTES {
                break;
            }
            bytes += line.text.len();
            lines.push(line.clone());
            cursor.advance(line, *generation);
        }
        lines
    }

    /// Where a reader goes on that has read all lines of `place.generation` before `place.offset`.
    pub(crate) fn meet(&self, place: &Place) -> Meeting {
        let Place { generation, offset } = place;
        let first = self
            .first_line(|id| id == generation.id)
            .map(|(line, _)| line.start);
        if first.is_some_and(|first| first <= *offset) {
            return self.join(self.cursor_in(place));
        }
        match generation.end.get() {
            // What is left of a truncated file is not what was in it.
            Some(end) if end.event == FileEvent::Truncated => self.after(end),
            Some(end) => match first.unwrap_or(end.offset) {
                limit if *offset < limit => Meeting::ReadTo(limit),
                _ => self.after(end),
            },
            None => match first.unwrap_or(self.boundary) {
                limit if *offset < limit => Meeting::ReadTo(limit),
                _ => self.join(self.cursor(self.last)),
            },
        }
    }

    /// Reads at once: later the ring might have moved on.
    fn join(&self, mut cursor: Cursor) -> Meeting {
        let item = self.read(&mut cursor);
        Meeting::Ring(cursor, item)
    }

    /// Where a reader goes on that has read a generation to its end.
    fn after(&self, end: &End) -> Meeting {
        if self.first.entries <= end.position.entries {
            return self.join(Cursor {
                position: end.position,
                place: None,
            });
        }
        let Position { entries, lines } = end.position;
        let start = end.next.upgrade().map_or_else(
            || {
                Start::Ring(Cursor {
                    position: Position {
                        entries: entries + 1,
                        lines,
                    },
                    place: None,
                })
            },
            |next| Start::Disk(Place::at_start(next)),
        );
        Meeting::Ended(end.event, start)
    }

    /// After the last kept line of the place's file that ends at or before its offset.
    fn cursor_in(&self, place: &Place) -> Cursor {
        let mut position = self.first;
        for entry in &self.entries {
            match entry {
                Entry::Line { line, generation } => {
                    let is_before = (*generation, line.end) <= (place.generation.id, place.offset);
                    if !is_before {
                        break;
                    }
                    position.lines += 1;
                }
                Entry::Event { .. } if place.generation.ends_at(position) => break,
                Entry::Event { .. } => {}
            }
            position.entries += 1;
        }
        Cursor {
            position,
            place: Some(place.clone()),
        }
    }

    /// The first kept line, with its generation, of those wanted.
    fn first_line(&self, is_wanted: impl Fn(u64) -> bool) -> Option<(&Line, u64)> {
        self.entries.iter().find_map(|entry| match entry {
            Entry::Line { line, generation } if is_wanted(*generation) => Some((line, *generation)),
            Entry::Line { .. } | Entry::Event { .. } => None,
        })
    }

    /// Where the entry after `position` is kept; after the last one when it is not here yet.
    fn index(&self, position: Position) -> usize {
        let offset = position.entries.saturating_sub(self.first.entries);
        usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(self.entries.len())
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry.weight();
        self.last.pass(&entry);
        self.entries.push_back(entry);
        while self.entries.len() > self.max_lines || self.bytes > self.max_bytes {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.weight();
            self.first.pass(&oldest);
        }
    }
}

impl Position {
    fn pass(&mut self, entry: &Entry) {
        self.entries += 1;
        self.lines += u64::from(matches!(entry, Entry::Line { .. }));
    }
}

impl Cursor {
    fn advance(&mut self, line: &Line, generation: u64) {
        self.position.entries += 1;
        self.position.lines += 1;
        match &mut self.place {
            Some(place) if place.generation.id == generation => place.offset = line.end,
            place => *place = None,
        }
    }
}

impl Place {
    fn at_start(generation: Arc<Generation>) -> Self {
        let offset = generation.start;
        Self { generation, offset }
    }
}

impl Generation {
    fn ends_at(&self, position: Position) -> bool {
        self.end.get().is_some_and(|end| end.position == position)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("first", &self.first)
            .field("last", &self.last)
            .field("bytes", &self.bytes)
            .field("is_closed", &self.is_closed)
            .finish_non_exhaustive()
    }
}

/// Generation of lines that come from no file.
const NO_FILE: u64 = u64::MAX;

/// Bytes an allocated text takes besides its characters: its counters, and what an allocator adds.
const ALLOCATION: usize = 32;
