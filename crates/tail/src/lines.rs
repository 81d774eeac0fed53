//! From bytes to lines.
//!
//! However the bytes are cut into pieces, the lines are the same. Memory is flat: of a line over
//! [`MAX_LINE`] only the beginning is kept, the rest is counted.

use std::{fmt, sync::Arc};

use crate::{Bookmark, bookmark::FileId};

/// Longest line given out, in bytes of its text, the mark of a cut included.
///
/// 64 KiB fits a stack trace or a JSON record, and a page can still show it.
pub const MAX_LINE: usize = 64 * 1024;

/// Most lines in one batch, so that a batch of short lines stays a small piece of work.
pub const MAX_BATCH_LINES: usize = 1024;

/// Bytes of text after which a batch takes no further line: with the last one at most twice this.
pub const MAX_BATCH_BYTES: usize = MAX_LINE;

/// One line without its line end, and where its bytes are. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub(crate) text: Arc<str>,
    pub(crate) file: FileId,
    /// Offset of its first byte.
    pub(crate) start: u64,
    /// Offset after its line end.
    pub(crate) end: u64,
}

impl Line {
    /// What it says: valid UTF-8 of at most [`MAX_LINE`] bytes.
    #[must_use]
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// For a reader that goes on behind this line.
    #[must_use]
    pub fn bookmark(&self) -> Bookmark {
        Bookmark::behind(self)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// Lines collected until they are enough for one step.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    lines: Vec<Line>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn push(&mut self, line: Line) {
        self.bytes += line.text.len();
        self.lines.push(line);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.lines.len() >= MAX_BATCH_LINES || self.bytes >= MAX_BATCH_BYTES
    }

    pub(crate) fn last(&self) -> Option<&Line> {
        self.lines.last()
    }

    /// Takes the lines out and leaves the batch empty.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Line> {
        self.bytes = 0;
        self.lines.drain(..)
    }
}

/// Cuts the bytes of one file into lines.
///
/// Invariant: `kept` is the beginning of the unfinished line, whole up to [`KEPT`] bytes.
#[derive(Debug)]
pub(crate) struct Splitter {
    kept: Vec<u8>,
    /// The unfinished line's last byte, kept or not: a carriage return belongs to the line end.
    last: u8,
    file: FileId,
    /// Offset of the unfinished line's first byte.
    start: u64,
    /// Offset after the last byte taken.
    position: u64,
}

impl Splitter {
    /// A splitter whose first byte will be the one at `offset` of `file`.
    pub(crate) fn at(file: FileId, offset: u64) -> Self {
        Self {
            kept: Vec::new(),
            last: 0,
            file,
            start: offset,
            position: offset,
        }
    }

    /// Offset of the first byte of the line that comes next.
    pub(crate) fn line_start(&self) -> u64 {
        self.start
    }

    /// Offset of the byte wanted next.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Takes bytes until they end or the batch is full, and returns how many it took.
    pub(crate) fn push(&mut self, bytes: &[u8], batch: &mut Batch) -> usize {
        let mut taken = 0;
        while !batch.is_full() {
            let rest = &bytes[taken..];
            let Some(newline) = rest.iter().position(|&byte| byte == b'\n') else {
                self.keep(rest);
                return bytes.len();
            };
            taken += newline + 1;
            batch.push(self.end_line(&rest[..newline]));
        }
        taken
    }

    /// Ends the unfinished line where it is, if there is one.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        (self.position > self.start).then(|| self.give_out(&[], self.position))
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = KEPT - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.last = bytes.last().copied().unwrap_or(self.last);
        self.position += bytes.len() as u64;
    }

    /// Ends the line with its last bytes, which are followed by a line feed.
    fn end_line(&mut self, bytes: &[u8]) -> Line {
        let whole_line_is_here = self.position == self.start;
        if whole_line_is_here {
            self.last = bytes.last().copied().unwrap_or_default();
            self.position += bytes.len() as u64;
            self.give_out(bytes, self.position + 1)
        } else {
            self.keep(bytes);
            self.give_out(&[], self.position + 1)
        }
    }

    /// Makes the line of `bytes`, or of what was kept if they are empty, and starts the next at
    /// `end`.
    fn give_out(&mut self, bytes: &[u8], end: u64) -> Line {
        let mut len = self.position - self.start;
        if len > 0 && self.last == b'\r' {
            len -= 1;
        }
        let known = if bytes.is_empty() { &self.kept } else { bytes };
        let line = Line {
            text: text(known, len),
            file: self.file,
            start: self.start,
            end,
        };
        self.kept.clear();
        // What one long line took is not kept for the short ones that follow.
        self.kept.shrink_to(KEPT_WHEN_IDLE);
        self.start = end;
        self.position = end;
        line
    }
}

/// The text of a line of `len` bytes that begins with `known`.
fn text(known: &[u8], len: u64) -> Arc<str> {
    let known = match usize::try_from(len) {
        Ok(len) if len <= known.len() => &known[..len],
        _ => known,
    };
    if len <= MAX_LINE as u64
        && let Ok(text) = str::from_utf8(known)
    {
        return Arc::from(text);
    }
    let (whole, shown) = lossy(known, MAX_LINE);
    if shown as u64 == len {
        return Arc::from(whole);
    }
    let (beginning, shown) = lossy(known, MAX_LINE - CUT_MARK_ROOM);
    Arc::from(format!("{beginning}…[cut {} bytes]", len - shown as u64))
}

/// As much of `bytes` as fits into `room` bytes of text, and how many of `bytes` that is.
fn lossy(bytes: &[u8], room: usize) -> (String, usize) {
    let mut text = String::with_capacity(bytes.len().min(room));
    let mut shown = 0;
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        let mut fitting = valid.len().min(room - text.len());
        while !valid.is_char_boundary(fitting) {
            fitting -= 1;
        }
        text.push_str(&valid[..fitting]);
        shown += fitting;
        let is_bad = !chunk.invalid().is_empty();
        let replacement = char::REPLACEMENT_CHARACTER;
        if fitting < valid.len() || (is_bad && text.len() + replacement.len_utf8() > room) {
            break;
        }
        if is_bad {
            text.push(replacement);
            shown += chunk.invalid().len();
        }
    }
    (text, shown)
}

/// Bytes kept of an unfinished line: the longest line with the carriage return of its line end.
const KEPT: usize = MAX_LINE + 1;

/// Bytes of memory that stay with a splitter between lines.
const KEPT_WHEN_IDLE: usize = 1024;

/// Room for the mark of a cut line with the longest number it can hold.
const CUT_MARK_ROOM: usize = "…[cut 18446744073709551615 bytes]".len();

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: FileId = FileId::new(7);

    /// Splits `pieces` as one file, the unfinished last line included.
    fn split<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Line> {
        let (mut splitter, mut lines) = (Splitter::at(FILE, 0), Vec::new());
        for piece in pieces {
            let mut rest = piece;
            while !rest.is_empty() {
                let mut batch = Batch::default();
                let taken = splitter.push(rest, &mut batch);
                assert!(taken > 0, "an empty batch always takes something");
                rest = &rest[taken..];
                lines.extend(batch.drain());
            }
        }
        lines.extend(splitter.finish());
        lines
    }

    fn texts(bytes: &[u8]) -> Vec<String> {
        split([bytes])
            .iter()
            .map(|line| line.text.to_string())
            .collect()
    }

    #[test]
    fn line_ends_are_trimmed_and_nothing_else() {
        let cases: [(&[u8], &[&str]); 9] = [
            (b"", &[]),
            (b"\n", &[""]),
            (b"a\nb\n", &["a", "b"]),
            (b"a\r\nb\r\n", &["a", "b"]),
            (b"\r\n", &[""]),
            (b"a\r\r\n", &["a\r"]),
            (b"a\rb\n", &["a\rb"]),
            (b" a \n\n", &[" a ", ""]),
            (b"a\nrest", &["a", "rest"]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(texts(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn bad_utf8_becomes_replacement_characters_and_nuls_stay() {
        assert_eq!(
            texts(b"a\xffb\0\xe2\x82\n\xc3\xa9\n"),
            ["a\u{fffd}b\0\u{fffd}", "é"]
        );
    }

    #[test]
    fn a_line_of_the_limit_is_whole_and_one_byte_more_is_cut() {
        let longest = "x".repeat(MAX_LINE);
        assert_eq!(texts(format!("{longest}\n").as_bytes()), [longest.as_str()]);
        assert_eq!(
            texts(format!("{longest}\r\n").as_bytes()),
            [longest.as_str()]
        );
        let shown = MAX_LINE - CUT_MARK_ROOM;
        let expected = format!("{}…[cut {} bytes]", &longest[..shown], MAX_LINE + 1 - shown);
        assert_eq!(
            texts(format!("{longest}x\n").as_bytes()),
            [expected.as_str()]
        );
        assert_eq!(
            texts(format!("{longest}x\r\nnext\n").as_bytes()),
            [expected.as_str(), "next"]
        );
    }

    #[test]
    fn text_that_grows_by_replacement_stays_within_the_limit() {
        let line = &texts(&vec![0xff; MAX_LINE])[0];
        assert!(line.len() <= MAX_LINE);
        let shown = line
            .chars()
            .filter(|&c| c == char::REPLACEMENT_CHARACTER)
            .count();
        assert!(line.ends_with(&format!("…[cut {} bytes]", MAX_LINE - shown)));
    }

    #[test]
    fn a_cut_never_divides_a_character() {
        let line = &texts(&"é".repeat(MAX_LINE).into_bytes())[0];
        let (shown, mark) = line.split_once('…').unwrap();
        assert!(shown.chars().all(|c| c == 'é'));
        assert_eq!(mark, format!("[cut {} bytes]", 2 * MAX_LINE - shown.len()));
    }

    #[test]
    fn memory_stays_flat_however_long_a_line_is() {
        let piece = vec![b'x'; 100_000];
        let (mut splitter, mut batch) = (Splitter::at(FILE, 0), Batch::default());
        for _ in 0..2_000 {
            assert_eq!(splitter.push(&piece, &mut batch), piece.len());
            assert!(splitter.kept.capacity() <= 2 * KEPT);
        }
        assert!(batch.is_empty());
        splitter.push(b"\n", &mut batch);
        let line = batch.last().unwrap();
        assert_eq!((line.start, line.end), (0, 200_000_001));
        let cut = 200_000_000 - (MAX_LINE - CUT_MARK_ROOM);
        assert!(line.text.ends_with(&format!("…[cut {cut} bytes]")));
        assert!(splitter.kept.capacity() <= KEPT_WHEN_IDLE);
    }

    #[test]
    fn a_full_batch_takes_no_more_and_the_rest_can_follow() {
        let bytes = b"\n".repeat(MAX_BATCH_LINES + 5);
        let mut batch = Batch::default();
        assert_eq!(
            Splitter::at(FILE, 0).push(&bytes, &mut batch),
            MAX_BATCH_LINES
        );
        assert_eq!(split([&bytes[..]]).len(), MAX_BATCH_LINES + 5);
    }

    /// Bytes in which line ends, bad UTF-8 and lines around the limit are likely.
    fn log_bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            3 => Just(b"\n".to_vec()),
            2 => Just(b"\r\n".to_vec()),
            1 => Just(b"\r".to_vec()),
            3 => "[a-zé€\u{1f600}]{0,9}".prop_map(String::into_bytes),
            2 => prop::collection::vec(any::<u8>(), 0..9),
            1 => (MAX_LINE - 40..MAX_LINE + 40).prop_map(|n| vec![b'x'; n]),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_chunking_gives_the_same_lines(
            bytes in log_bytes(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(split([&bytes[..]]), split(pieces));
        }

        #[test]
        fn lines_cover_the_file_without_gap_and_fit_the_limit(bytes in log_bytes()) {
            let lines = split([&bytes[..]]);
            let mut reached = 0;
            for line in &lines {
                prop_assert_eq!(line.start, reached);
                prop_assert!(line.text.len() <= MAX_LINE);
                reached = line.end;
            }
            prop_assert_eq!(reached, bytes.len() as u64);
        }
    }
}
