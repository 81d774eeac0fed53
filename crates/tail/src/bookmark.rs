//! Where a reader was, for another one to go on from.
//!
//! A bookmark names the last line that was read: its file, where it begins there, and how it reads. Whoever goes on looks for that
//! line, in memory or in the file, and so finds out whether it is still there. Nothing has to be kept for it, and it holds across
//! restarts.

use std::{
    fmt,
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    str::FromStr,
};

use crate::lines::Line;

/// A place behind a line, as [`Line::bookmark`] and [`Reader::bookmark`](crate::Reader::bookmark) give it and
/// [`Source::resume`](crate::Source::resume) takes it.
///
/// Its text (by `Display`, back by `FromStr`) can be kept or sent elsewhere. It tells nothing of the line but its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bookmark {
    file: FileId,
    start: u64,
    check: u64,
}

impl Bookmark {
    /// Before all that a source reads.
    pub(crate) const fn origin(source: FileId) -> Self {
        Self {
            file: source,
            start: 0,
            check: 0,
        }
    }

    pub(crate) fn behind(line: &Line) -> Self {
        Self {
            file: line.file,
            start: line.start,
            check: hash(&*line.text),
        }
    }

    /// Whether this is the line.
    pub(crate) fn is_behind(&self, line: &Line) -> bool {
        // Most are told apart without reading them.
        (line.file, line.start) == (self.file, self.start) && Self::behind(line) == *self
    }

    pub(crate) const fn file(&self) -> FileId {
        self.file
    }

    /// Offset of the line.
    pub(crate) const fn start(&self) -> u64 {
        self.start
    }
}

impl fmt::Display for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, start, check } = self;
        write!(f, "{:x}.{start}.{check:x}", file.0)
    }
}

impl FromStr for Bookmark {
    type Err = NoBookmark;

    fn from_str(text: &str) -> Result<Self, NoBookmark> {
        let (file, rest) = text.split_once('.').ok_or(NoBookmark)?;
        let (start, check) = rest.split_once('.').ok_or(NoBookmark)?;
        let number = |text, radix| u64::from_str_radix(text, radix).map_err(|_| NoBookmark);
        Ok(Self {
            file: FileId(number(file, 16)?),
            start: number(start, 10)?,
            check: number(check, 16)?,
        })
    }
}

/// A text that is no [`Bookmark`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no bookmark")]
pub struct NoBookmark;

/// Which file a line is from; of what is no file, and of a source itself, a number that no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId(u64);

impl FileId {
    #[cfg(test)]
    pub(crate) const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Known again by what tells the file from others. A compiler whose hashes are others makes another file of it, which is told.
    pub(crate) fn of(what: impl Hash) -> Self {
        Self(hash(what))
    }

    pub(crate) fn random() -> Self {
        Self(RandomState::new().hash_one(()))
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_bookmark_is_read_back_and_no_other_is_one() {
        for bookmark in [
            Bookmark::origin(FileId(0)),
            Bookmark {
                file: FileId(u64::MAX),
                start: u64::MAX,
                check: u64::MAX,
            },
        ] {
            assert_eq!(bookmark.to_string().parse(), Ok(bookmark));
        }
        for text in [
            "",
            "..",
            "1.2",
            "1.2.3.4",
            "1.2.g",
            "1.-2.3",
            "1.2.10000000000000000",
            "1.18446744073709551616.3",
        ] {
            assert_eq!(text.parse::<Bookmark>(), Err(NoBookmark), "{text}");
        }
    }
}
