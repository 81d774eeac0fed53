//! Lines on standard output, besides those in the browser.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _},
    sync::Arc,
};

use fullduplex_tail::{Backlog, Item, Line, Reader};

use super::Log;
use crate::{
    exit::Failure,
    output::{self, NobodyReads, Printer},
    visible::visible,
};

/// Begins to copy what comes from each log, for as long as the program runs and somebody reads it.
pub(super) fn start(logs: &[Log], lines: Option<u64>) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::run(format!("cannot print: {error}"));
    let is_shown = io::stdout().is_terminal();
    let printer = Arc::new(Printer::stdout().map_err(cannot)?);
    for log in logs {
        let copy = Copy {
            name: log.name.clone(),
            is_one_of_several: logs.len() > 1,
            is_shown,
            printer: Arc::clone(&printer),
        };
        let backlog = lines.map_or(Backlog::All, Backlog::Last);
        // A pipe may be slow, and is still to get every line.
        let reader = log.source.reader(backlog).lossless();
        // Nobody waits for it: it ends with the program, with the log, or with whoever reads.
        tokio::spawn(copy.run(reader));
    }
    Ok(())
}

/// One log's way to standard output.
#[derive(Debug)]
struct Copy {
    name: String,
    is_one_of_several: bool,
    /// At a terminal, on which lines must not act.
    is_shown: bool,
    printer: Arc<Printer>,
}

impl Copy {
    async fn run(self, mut reader: Reader) {
        if let Err(NobodyReads) = self.lines(&mut reader).await {
            tracing::debug!(log = self.name, "nobody reads standard output any more");
        }
    }

    async fn lines(&self, reader: &mut Reader) -> Result<(), NobodyReads> {
        loop {
            match reader.next().await {
                Ok(Some(Item::Lines(lines))) => self.printer.print(self.text(&lines)).await?,
                Ok(Some(Item::Skipped(lines))) => {
                    output::note(&format!("fdx: {}: {lines} lines skipped", self.name));
                }
                Ok(Some(Item::File(event))) => tracing::info!(log = self.name, ?event),
                Ok(None) => return Ok(()),
                Err(error) => {
                    tracing::warn!(log = self.name, %error, "older lines cannot be read");
                    return Ok(());
                }
            }
        }
    }

    fn text(&self, lines: &[Line]) -> String {
        let label = [&*self.name, ": "];
        let label = if self.is_one_of_several {
            &label[..]
        } else {
            &[]
        };
        let mut text = String::new();
        for line in lines {
            text.extend(label.iter().copied());
            text += &if self.is_shown {
                visible(line.text())
            } else {
                Cow::Borrowed(&**line.text())
            };
            text.push('\n');
        }
        text
    }
}
