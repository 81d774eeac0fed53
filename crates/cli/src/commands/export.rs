//! `fdx export`: a room as JSON lines, also while a server runs.

use std::io::{self, BufWriter};

use clap::Args;
use fullduplex_hub::{ExportError, export};

use super::store::{self, FolderArgs};
use crate::exit::{Failure, with_causes};

const HELP: &str = "\
One event to a line, oldest first, as docs/hub-protocol.md describes them. The server may be running.
What can't be read is left out, and told by exit code 1.

Example:
  fdx export --room general > general.jsonl";

/// Writes all that was said in a room as JSON lines
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct ExportArgs {
    /// The room
    #[arg(long, value_name = "NAME")]
    room: String,
    #[command(flatten)]
    folder: FolderArgs,
}

pub(crate) fn run(args: ExportArgs) -> Result<(), Failure> {
    let folder = args.folder.folder()?;
    match export(
        &folder,
        &args.room,
        &mut BufWriter::new(io::stdout().lock()),
    ) {
        // Who reads has had enough.
        Err(ExportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error @ (ExportError::Write(_) | ExportError::Incomplete(_))) => {
            Err(Failure::run(with_causes(&error)))
        }
        Err(ExportError::Log(error)) => Err(store::unreadable(&error)),
        Err(error @ ExportError::NoRoom(_)) => Err(Failure::start(with_causes(&error))),
        Ok(()) => Ok(()),
    }
}
