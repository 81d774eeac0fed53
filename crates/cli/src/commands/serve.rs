//! `fdx serve`: the hub, with its chat page and perhaps logs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fullduplex_hub::{
    Config, Limits, LogInput, LogSource, PlainMode, Rates, Timeouts, log::sqlite::Options,
};

use tracing_subscriber::filter::LevelFilter;

use super::{
    hub::{self, HubArgs},
    private,
    store::{self, StoreArgs},
    unsafe_settings,
};
use crate::{
    bounds::{self, Bounds},
    exit::Failure,
    listen,
    output::{self, LogForm},
};

/// What it is called on the command line.
pub(crate) const NAME: &str = "serve";

const HELP: &str = "\
/ws speaks fdx.v1.json, or plain JSON or text messages; /echo sends everything back; /healthz and
/readyz say whether it lives and should get clients, /metrics what it does; /logs follows the files of --log. It runs until Ctrl-C or SIGTERM, and then closes its connections with 1001,
and those of fdx.v1.json with 1012, after telling them to come back.
What was said is kept in the data folder: a message is acknowledged once it is on disk.
Every flag is also a key of the --config file and a variable FDX_...; limits and more waits, which
are flags, too, are in `fdx config doc`.

Examples:
  fdx serve
  fdx serve --listen :8000 --auth-secret secret --allow-origin https://example.com
  fdx serve --log app=/var/log/app.log
  fdx serve --config /etc/fullduplex/fdx.toml
  fdx serve --plain text --static ./tutorial";

/// Serves chat rooms and their page (so does fdx without a command)
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct ServeArgs {
    /// Reads settings from this TOML file, too: see fdx config doc
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen: ADDR:PORT, :PORT or PORT; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = listen::parse_listen)]
    listen: String,
    /// Answers /metrics, /healthz and /readyz on this address, too, to whoever reaches it, without TLS
    #[arg(long, value_name = "ADDR", value_parser = listen::parse_listen)]
    metrics: Option<String>,
    /// Follows a file at /logs under a name of at most 64 characters, without slash (repeatable)
    #[arg(long = "log", value_name = "NAME=FILE", value_parser = parse_log)]
    logs: Vec<LogSource>,
    /// What /ws speaks with clients that do not say
    #[arg(long, value_name = "MODE", default_value = "json")]
    plain: Plain,
    /// Compresses with clients that offer it (permessage-deflate), on /ws what has 512 bytes or more
    #[arg(long)]
    deflate: bool,
    /// Escapes HTML in plain JSON messages, for old pages that insert them as HTML
    #[arg(long, help_heading = "Pages")]
    escape_html: bool,
    /// How log lines on standard error look
    #[arg(
        long,
        value_name = "FORM",
        default_value = "text",
        help_heading = "What it says"
    )]
    log_format: LogForm,
    /// Which of them there are, unless -v says otherwise
    #[arg(
        long,
        value_name = "LEVEL",
        default_value = "info",
        help_heading = "What it says"
    )]
    log_level: LogLevel,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    hub: HubArgs,
    #[command(flatten)]
    limits: Bounds<Limits>,
    #[command(flatten)]
    rates: Bounds<Rates>,
    #[command(flatten)]
    timeouts: Bounds<Timeouts>,
}

/// What is to be served, and where.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) listen: String,
    /// Where those who look after it ask.
    metrics: Option<String>,
    pub(crate) config: Config,
    /// Where rooms are kept, if that is on disk.
    store: Option<Options>,
}

/// The least important lines that there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Plain {
    Json,
    Text,
}

impl From<Plain> for PlainMode {
    fn from(plain: Plain) -> Self {
        match plain {
            Plain::Json => Self::Json,
            Plain::Text => Self::Text,
        }
    }
}

fn parse_log(text: &str) -> Result<LogSource, String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok(LogSource {
            name: name.to_owned(),
            input: LogInput::File(PathBuf::from(file)),
        }),
        _ => Err("write NAME=FILE".to_owned()),
    }
}

impl ServeArgs {
    /// How log lines look.
    pub(crate) const fn log_form(&self) -> LogForm {
        self.log_format
    }

    /// The least important ones that there are.
    pub(crate) const fn log_level(&self) -> LevelFilter {
        match self.log_level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Trace => LevelFilter::TRACE,
        }
    }

    /// What they ask for, if that can be together.
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let mut config = Config {
            plain: self.plain.into(),
            deflate: self.deflate,
            escape_html: self.escape_html,
            logs: self.logs,
            limits: self.limits.0,
            rates: self.rates.0,
            timeouts: self.timeouts.0,
            ..Config::default()
        };
        self.hub.apply(&mut config)?;
        bounds::check(&config.limits, &config.timeouts)?;
        let store = self.store.options(config.limits.kept_rooms)?;
        let data = store.as_ref().map(|store| &*store.folder);
        private::check(
            config.static_dir.as_deref(),
            [("--data", data), ("--config", self.config.as_deref())],
        )?;
        Ok(Plan {
            listen: self.listen,
            metrics: self.metrics,
            config,
            store,
        })
    }
}

/// Serves until a signal comes.
pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let Plan {
        listen,
        metrics,
        config,
        store,
    } = args.plan()?;
    let kept = store::kept(store.as_ref());
    let warnings = unsafe_settings::warnings(&config, store.as_ref());
    let mut hub = hub::start(&listen, config, store).await?;
    for warning in warnings {
        output::warning(warning);
    }
    if let Some(metrics) = metrics {
        hub = hub.operators_on(&metrics).await?;
    }
    output::note(&kept);
    hub.announce();
    hub.run().await
}
