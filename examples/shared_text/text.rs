//! A text that is the sum of its edits. A line has the position of the edit that made it for its name, so that an edit means the same line to
//! all, whatever they see. Of two edits of one line the later one counts; of two lines below the same one, the later one is above.

use std::fmt;

use fullduplex_client::{Placed, What};
use serde::{Deserialize, Serialize};

/// Puts a text below a line or in its place, or deletes the line if there is none.
#[derive(Serialize, Deserialize)]
pub(crate) struct Edit {
    pub(crate) line: u64,
    pub(crate) below: bool,
    pub(crate) text: Option<String>,
}

/// Lines with their names. Deleted ones have no text, and keep their place for whoever puts one below them meanwhile.
pub(crate) struct Text {
    lines: Vec<(u64, Option<String>)>,
    edits: usize,
    seq: u64,
}

impl Text {
    pub(crate) fn new() -> Self {
        Self {
            // What the first line is below.
            lines: vec![(0, None)],
            edits: 0,
            seq: 0,
        }
    }

    /// The position of the newest edit in it.
    pub(crate) const fn seq(&self) -> u64 {
        self.seq
    }

    /// Makes an edit, unless it is in it.
    pub(crate) fn apply(&mut self, event: Placed) {
        if event.seq <= self.seq {
            return;
        }
        self.seq = event.seq;
        // What is no edit is passed over, by everybody.
        if let What::Data { data } = event.what
            && let Ok(edit) = serde_json::from_value(data)
        {
            self.edits += 1;
            self.make(event.seq, edit);
        }
    }

    fn make(&mut self, seq: u64, edit: Edit) {
        let found = self.lines.iter().position(|(line, _)| *line == edit.line);
        match found {
            Some(at) if edit.below => self.lines.insert(at + 1, (seq, edit.text)),
            Some(at) if self.lines[at].1.is_some() => self.lines[at].1 = edit.text,
            _ => {}
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, text) in &self.lines {
            if let Some(text) = text {
                writeln!(f, "{line:4}  {text}")?;
            }
        }
        write!(f, "--- {} edits", self.edits)
    }
}
