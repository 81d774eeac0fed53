//! `fdx backup`: a copy of the data folder's log, also while a server runs.

use std::path::PathBuf;

use clap::Args;
use fullduplex_hub::log::sqlite::Archive;

use super::store::{self, FolderArgs};
use crate::exit::Failure;

const HELP: &str = "\
The server may be running. To restore: stop it, put FILE into the data folder as hub.db in place of
all files whose names begin with hub.db, and start it. Clients are told that it is another history.

Examples:
  fdx backup rooms-$(date +%F).db
  fdx backup --data /var/lib/fdx /backup/rooms.db";

/// Copies all rooms into a file
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct BackupArgs {
    /// The file to be made
    file: PathBuf,
    #[command(flatten)]
    folder: FolderArgs,
}

pub(crate) fn run(args: BackupArgs) -> Result<(), Failure> {
    let folder = args.folder.folder()?;
    let copied = Archive::open(&folder).and_then(|archive| archive.back_up(&args.file));
    copied.map_err(|error| store::unreadable(&error))
}
