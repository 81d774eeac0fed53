//! `fdx tail`: log files, live in the browser.

mod names;
mod print;

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use fullduplex_hub::{Config, LogInput, LogSource, Site};
use fullduplex_tail::{Options, Source};

use super::hub::{self, HubArgs};
use crate::{
    exit::{Failure, with_causes},
    listen,
};

/// The argument that means standard input.
const STDIN: &str = "-";

const HELP: &str = "\
Files are followed by name, through rotation and truncation; one that is missing is waited for. The page is at /, each log at /logs/NAME, where NAME is the file's name, with its folder where two files have the same.

Examples:
  fdx tail /var/log/nginx/access.log /var/log/nginx/error.log
  journalctl -f | fdx tail -
  fdx tail app.log -n all --print
  fdx tail app.log --listen 8080 --at /echo --static ./tutorial
      (a page that connects to localhost has to be opened at http://localhost:8080)";

/// Shows log files live in the browser
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct TailArgs {
    /// The files to follow; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to listen: ADDR:PORT, :PORT or PORT; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", value_parser = listen::parse_listen)]
    listen: String,
    /// How many of the newest lines come first, or `all`
    #[arg(
        short = 'n',
        long = "lines",
        value_name = "N|all",
        default_value = "100"
    )]
    lines: Lines,
    /// Copies the lines to standard output, too; with several files each after its name
    #[arg(long)]
    print: bool,
    /// Looks at the files at intervals only, where the system does not tell of changes (network mounts)
    #[arg(long)]
    polling: bool,
    /// Sends the first file's lines, from its beginning on, as plain text messages at this path, too
    #[arg(long, value_name = "PATH", help_heading = "Pages")]
    at: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
}

/// How many lines come first; all if none is said.
#[derive(Clone, Copy, Debug)]
struct Lines(Option<u64>);

impl std::str::FromStr for Lines {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self(None));
        }
        let lines = text
            .parse()
            .map_err(|_| "write a number of lines, or `all`")?;
        Ok(Self(Some(lines)))
    }
}

/// Serves until a signal comes.
pub(crate) async fn run(args: TailArgs) -> Result<(), Failure> {
    let options = Options {
        polling: args.polling,
        ..Options::default()
    };
    let logs = follow(args.files, &options).await?;
    let mut config = Config {
        site: Site::Logs { at: args.at },
        logs: logs.iter().map(Log::to_source).collect(),
        ..Config::default()
    };
    config.limits.log_backlog = args.lines.0;
    args.hub.apply(&mut config)?;
    let hub = hub::start(&args.listen, config, None).await?;
    hub.announce();
    if args.print {
        print::start(&logs, args.lines.0)?;
    }
    hub.run().await
}

/// Something that is followed, under its name.
#[derive(Debug)]
struct Log {
    name: String,
    source: Arc<Source>,
}

impl Log {
    fn to_source(&self) -> LogSource {
        LogSource {
            name: self.name.clone(),
            input: LogInput::Source(Arc::clone(&self.source)),
        }
    }
}

/// Begins to follow the files, under names that tell them apart. One that is given twice is followed once.
async fn follow(files: Vec<PathBuf>, options: &Options) -> Result<Vec<Log>, Failure> {
    let mut different: Vec<PathBuf> = Vec::new();
    for file in files {
        if !different.contains(&file) {
            different.push(file);
        }
    }
    let mut logs = Vec::with_capacity(different.len());
    for (name, file) in names::distinct(&different).into_iter().zip(different) {
        let source = Arc::new(source(file, options).await?);
        logs.push(Log { name, source });
    }
    Ok(logs)
}

async fn source(file: PathBuf, options: &Options) -> Result<Source, Failure> {
    if file.as_os_str() == STDIN {
        return Source::stdin(options)
            .map_err(|error| Failure::run(format!("cannot read standard input: {error}")));
    }
    Source::follow(file, options.clone())
        .await
        .map_err(|error| Failure::start(with_causes(&error)))
}
