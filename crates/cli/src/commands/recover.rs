//! `fdx recover`: what can be read of a damaged log, as a new one.

use std::path::PathBuf;

use clap::Args;
use fullduplex_hub::log::sqlite::{Archive, Recovered};

use super::store::{self, FolderArgs};
use crate::{exit::Failure, output};

const HELP: &str = "\
For a data folder that `fdx check` finds damage in, when there is no backup. Stop the server, save
what can be read, and use FILE as a backup: see `fdx backup --help`. Exit code 1 says that something
is missing in it.

Example:
  fdx recover --data /var/lib/fdx /backup/saved.db";

/// Saves what can be read of damaged rooms into a file
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct RecoverArgs {
    /// The file to be made
    file: PathBuf,
    #[command(flatten)]
    folder: FolderArgs,
}

pub(crate) fn run(args: RecoverArgs) -> Result<(), Failure> {
    let folder = args.folder.folder()?;
    let recovered = Archive::open(&folder).and_then(|archive| archive.recover(&args.file));
    let Recovered {
        events,
        lost,
        nameless,
    } = recovered.map_err(|error| store::unreadable(&error))?;
    output::line(&format!("{events} events were saved"));
    if lost == 0 && nameless == 0 {
        return Ok(());
    }
    Err(Failure::run(format!(
        "{lost} events can't be read, and the names of {nameless} rooms"
    )))
}
