//! Lines on standard output, besides those in the browser.

use std::{io, sync::Arc};

use fullduplex_hub::{LogInput, LogSource};
use fullduplex_tail::{Backlog, Item, Options, Reader, Source};

use crate::{
    exit::{Failure, with_causes},
    output::{self, NobodyReads, Printer},
};

/// Begins to copy what comes from each source, for as long as the program runs and somebody reads it.
pub(super) async fn start(logs: &[LogSource], lines: Option<u64>) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::run(format!("cannot print: {error}"));
    let printer = Arc::new(Printer::stdout().map_err(cannot)?);
    let backlog = lines.map_or(Backlog::All, Backlog::Last);
    for log in logs {
        let source = follow(&log.input).await?;
        let copy = Copy {
            name: log.name.clone(),
            is_one_of_several: logs.len() > 1,
            printer: Arc::clone(&printer),
        };
        // Nobody waits for it: it ends with the program, with the source, or with whoever reads.
        tokio::spawn(copy.run(source, backlog));
    }
    Ok(())
}

async fn follow(input: &LogInput) -> Result<Source, Failure> {
    match input {
        LogInput::File(path) => Source::follow(path, Options::default())
            .await
            .map_err(|error| Failure::start(with_causes(&error))),
        LogInput::Stdin => Err(Failure::usage(
            "--print cannot copy standard input; put `tee /dev/stderr |` in front",
        )),
    }
}

/// One source's way to standard output.
#[derive(Debug)]
struct Copy {
    name: String,
    is_one_of_several: bool,
    printer: Arc<Printer>,
}

impl Copy {
    async fn run(self, source: Source, backlog: Backlog) {
        // A pipe may be slow, and is still to get every line.
        let mut reader = source.reader(backlog).lossless();
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

    fn text(&self, lines: &[Arc<str>]) -> String {
        let label = [&*self.name, ": "];
        let label = if self.is_one_of_several {
            &label[..]
        } else {
            &[]
        };
        let parts = lines
            .iter()
            .flat_map(|line| label.iter().copied().chain([&**line, "\n"]));
        parts.collect()
    }
}
