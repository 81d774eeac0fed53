//! `fdx check`: looks for damage in the data folder's log, also while a server runs, or in a backup.

use std::path::PathBuf;

use clap::Args;
use fullduplex_hub::log::sqlite::Archive;

use super::store::{self, FolderArgs};
use crate::{exit::Failure, output};

const HELP: &str = "\
Every page is read; the server may be running. Exit code 1 is for damage: then restore a backup, or
see `fdx recover --help`.

Examples:
  fdx check --data /var/lib/fdx
  fdx check /backup/rooms.db";

/// Looks for damage in what is kept of rooms
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct CheckArgs {
    /// A backup, to be looked through in place of the data folder
    #[arg(conflicts_with = "folder")]
    file: Option<PathBuf>,
    #[command(flatten)]
    folder: FolderArgs,
}

pub(crate) fn run(args: CheckArgs) -> Result<(), Failure> {
    let archive = match args.file {
        Some(file) => Archive::open_file(&file),
        None => Archive::open(&args.folder.folder()?),
    };
    let checked = archive.and_then(|archive| archive.check());
    let found = checked.map_err(|error| store::unreadable(&error))?;
    if found.is_empty() {
        output::line("no damage was found");
        return Ok(());
    }
    Err(Failure::run("the database is damaged").with_details(found))
}
