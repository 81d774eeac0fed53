//! Finding a line by its distance from the end, without reading the file from its beginning.

use std::{fs::File, io, ops::Range};

use crate::{
    bookmark::FileId,
    file::read_at,
    follow::Beginning,
    lines::{Batch, Line, Splitter},
};

/// A search towards the beginning of a file for the start of a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackwardScan {
    /// All bytes from here on have been looked at.
    offset: u64,
    /// Line ends still to be found.
    newlines: u64,
}

impl BackwardScan {
    /// Looks for the start of the line that has `lines` line ends between it and `end`, the one
    /// just before `end` included.
    pub(crate) fn new(end: u64, lines: u64) -> Self {
        // One more: the line end before the line looked for tells where it begins.
        Self {
            offset: end,
            newlines: lines.saturating_add(1),
        }
    }

    /// Offset of the first byte looked at.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Looks at up to `budget` bytes more; gives the offset once it is found.
    ///
    /// A file with fewer lines begins at 0. A file that became shorter meanwhile has nothing to
    /// find; the search ends where it is.
    pub(crate) fn step(&mut self, file: &File, budget: u64) -> io::Result<Option<u64>> {
        let stop = self.offset.saturating_sub(budget);
        let mut chunk = [0; CHUNK];
        while self.offset > stop {
            let from = stop.max(self.offset.saturating_sub(CHUNK as u64));
            let wanted = usize::try_from(self.offset - from)
                .unwrap_or(CHUNK)
                .min(CHUNK);
            if read_at(file, &mut chunk[..wanted], from)? < wanted {
                return Ok(Some(self.offset));
            }
            for (index, _) in chunk[..wanted]
                .iter()
                .enumerate()
                .rev()
                .filter(|(_, b)| **b == b'\n')
            {
                self.newlines -= 1;
                if self.newlines == 0 {
                    return Ok(Some(from + index as u64 + 1));
                }
            }
            self.offset = from;
        }
        Ok((self.offset == 0).then_some(0))
    }
}

/// The line that begins where `range` does and ends within it, if there is one.
pub(crate) fn line_at(file: &File, id: FileId, range: Range<u64>) -> io::Result<Option<Line>> {
    let (mut splitter, mut batch) = (Splitter::at(id, range.start), Batch::default());
    let mut chunk = [0; CHUNK];
    while batch.is_empty() {
        let left = range.end.saturating_sub(splitter.position());
        let wanted = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let n = read_at(file, &mut chunk[..wanted], splitter.position())?;
        if n == 0 {
            return Ok(None);
        }
        splitter.push(&chunk[..n], &mut batch);
    }
    Ok(batch.drain().next())
}

/// The line before a beginning, unless it is as long as nobody reads.
pub(crate) fn line_before(beginning: &Beginning) -> io::Result<Option<Line>> {
    let Beginning { file, id, start } = beginning;
    let mut scan = BackwardScan::new(*start, 1);
    let Some(from) = scan.step(file, MAX_BEFORE)? else {
        return Ok(None);
    };
    let line = line_at(file, *id, from..*start)?;
    // Reading may begin within a line.
    Ok(line.filter(|line| line.end == *start))
}

/// Bytes in which a line is looked for that only has to be known: some times what is shown of one.
const MAX_BEFORE: u64 = 1024 * 1024;

/// Bytes read at once, on the stack.
const CHUNK: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file_with(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn find(bytes: &[u8], lines: u64, budget: u64) -> u64 {
        let file = file_with(bytes);
        let mut scan = BackwardScan::new(bytes.len() as u64, lines);
        for _ in 0..=bytes.len() {
            if let Some(offset) = scan.step(&file, budget).unwrap() {
                return offset;
            }
        }
        panic!("the search does not end");
    }

    #[test]
    fn the_start_of_the_nth_last_line_is_found_with_any_budget() {
        let bytes = b"one\ntwo\n\nfour\n";
        for budget in [1, 2, 3, 5, 100] {
            for (lines, expected) in [(0, 14), (1, 9), (2, 8), (3, 4), (4, 0), (99, 0)] {
                assert_eq!(
                    find(bytes, lines, budget),
                    expected,
                    "{lines} lines, budget {budget}"
                );
            }
            assert_eq!(find(b"one\npart", 0, budget), 4);
            assert_eq!(find(b"part", 0, budget), 0);
            assert_eq!(find(b"", 3, budget), 0);
        }
    }

    #[test]
    fn lines_longer_than_a_chunk_are_found() {
        let mut bytes = vec![b'x'; 3 * CHUNK];
        bytes.extend(b"\nlast\n");
        assert_eq!(find(&bytes, 1, u64::MAX), 3 * CHUNK as u64 + 1);
        assert_eq!(find(&bytes, 2, u64::MAX), 0);
    }

    #[test]
    fn a_file_that_became_shorter_ends_the_search() {
        let mut scan = BackwardScan::new(1_000, 5);
        assert_eq!(
            scan.step(&file_with(b"a\nb\n"), u64::MAX).unwrap(),
            Some(1_000)
        );
    }
}
