//! Where rooms are kept.

use std::{env, num::NonZero, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use fullduplex_hub::log::sqlite::{Durability, OpenError, Options, Retention, RoomRetention};

use crate::{
    exit::{Failure, with_causes},
    visible::visible,
};

/// What helps whoever can't have rooms where they are to be.
pub(crate) const REMEDY: &str = "--data DIR keeps rooms elsewhere, --memory nowhere";

const HEADING: &str = "What is kept";

const DAY: Duration = Duration::from_hours(24);

/// The folder for data, of those who don't name one.
const DEFAULT_FOLDER: &str = "fullduplex";

/// Which data folder.
#[derive(Args, Debug)]
pub(crate) struct FolderArgs {
    #[arg(
        long = "data",
        value_name = "DIR",
        help_heading = HEADING,
        help = "The data folder [default: $XDG_DATA_HOME/fullduplex or ~/.local/share/fullduplex]"
    )]
    folder: Option<PathBuf>,
}

impl FolderArgs {
    pub(crate) fn folder(self) -> Result<PathBuf, Failure> {
        self.find()
            .ok_or_else(|| Failure::usage("there is no home folder with data in it; pass --data"))
    }

    fn find(self) -> Option<PathBuf> {
        self.folder.or_else(default_folder)
    }
}

/// What is kept of rooms, and how.
#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    folder: FolderArgs,
    /// Keeps the newest messages in memory only, until it ends
    #[arg(long, help_heading = HEADING, conflicts_with_all = ["folder", "durability", "keep", "keep_days", "keep_room"])]
    memory: bool,
    /// What a failing power may take: nothing (full), or what was acknowledged in the last moments (normal)
    #[arg(long, value_name = "MODE", default_value = "full", help_heading = HEADING)]
    durability: DurabilityArg,
    /// Keeps so many events of each room
    #[arg(long, value_name = "COUNT", default_value_t = Retention::default().events, help_heading = HEADING,
        value_parser = at_least_one::<u64>)]
    keep: u64,
    /// Keeps them for so many days [default: for ever]
    #[arg(long, value_name = "DAYS", help_heading = HEADING, value_parser = at_least_one::<u32>)]
    keep_days: Option<u32>,
    /// Keeps so many events of rooms with this name, where * is any text, and for so many days (repeatable; the first that fits a room counts)
    #[arg(long, value_name = "NAME=COUNT[/DAYS]", help_heading = HEADING)]
    keep_room: Vec<KeepRoom>,
}

/// To keep nothing is no choice.
fn at_least_one<T: FromStr + Default + PartialEq>(text: &str) -> Result<T, &'static str> {
    let number = text.parse().ok().filter(|number| *number != T::default());
    number.ok_or("write a number from 1 on")
}

/// What is kept of some rooms.
#[derive(Clone, Debug)]
struct KeepRoom(RoomRetention);

impl FromStr for KeepRoom {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HOW: &str = "write it like general=1000, or team-*=1000/30 for 30 days";
        let (rooms, keep) = text.rsplit_once('=').ok_or(HOW)?;
        let (events, days) = match keep.split_once('/') {
            Some((events, days)) => (events, Some(days)),
            None => (keep, None),
        };
        if rooms.is_empty() {
            return Err(HOW);
        }
        let events: NonZero<u64> = events.parse().map_err(|_| HOW)?;
        let days = days.map(NonZero::<u32>::from_str).transpose();
        let days = days.map_err(|_| HOW)?;
        Ok(Self(RoomRetention {
            rooms: rooms.to_owned(),
            keep: Retention {
                events: events.get(),
                age: days.map(|days| DAY * days.get()),
            },
        }))
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DurabilityArg {
    Full,
    Normal,
}

impl StoreArgs {
    /// None if nothing is to be on disk.
    pub(crate) fn options(self, max_rooms: usize) -> Result<Option<Options>, Failure> {
        if self.memory {
            return Ok(None);
        }
        let folder = self.folder.find().ok_or_else(|| {
            Failure::usage("there is no home folder to keep rooms in; pass --data or --memory")
        })?;
        Ok(Some(Options {
            folder,
            durability: match self.durability {
                DurabilityArg::Full => Durability::Full,
                DurabilityArg::Normal => Durability::Normal,
            },
            max_rooms,
            rooms: self.keep_room.into_iter().map(|keep| keep.0).collect(),
            retention: Retention {
                events: self.keep,
                age: self.keep_days.map(|days| DAY * days),
            },
        }))
    }
}

/// A data folder of which nothing can be read, and what helps.
pub(crate) fn unreadable(error: &OpenError) -> Failure {
    let message = with_causes(error);
    Failure::start(match error {
        OpenError::Missing { .. } => format!("{message}; --data names another folder"),
        _ => message,
    })
}

/// Where what is said goes, for who would have to guess.
pub(crate) fn kept(store: Option<&Options>) -> String {
    match store {
        Some(Options { folder, .. }) => {
            format!("rooms are kept in {}", visible(&folder.to_string_lossy()))
        }
        None => "rooms are in memory only: what was said is lost when this ends".to_owned(),
    }
}

/// Where the platform's users expect it.
fn default_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    Some(data?.join(DEFAULT_FOLDER))
}
