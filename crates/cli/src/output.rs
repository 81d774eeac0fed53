//! The only place that prints.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write},
    sync::OnceLock,
};

use clap::ValueEnum;
use tokio::sync::{mpsc, oneshot};
use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::visible::visible;

/// Pieces that may wait for a slow reader of our output; then their sources are read no further.
const QUEUE: usize = 16;

/// One line on standard output, for people and scripts alike. A reader that has gone away is no error.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).ok();
}

/// One line on standard error.
pub(crate) fn note(text: &str) {
    if is_json() {
        tracing::info!("{text}");
    } else {
        writeln!(io::stderr().lock(), "{text}").ok();
    }
}

/// One line on standard error that says what went wrong, whatever it quotes.
pub(crate) fn error(text: &str) {
    if is_json() {
        tracing::error!("{text}");
    } else {
        note(&format!("fdx: {}", visible(text)));
    }
}

/// One line on standard error about what may be a mistake.
pub(crate) fn warning(text: &str) {
    if is_json() {
        tracing::warn!("{text}");
    } else {
        note(&format!("fdx: warning: {}", visible(text)));
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    // For people.
    #[default]
    Text,
    // An object per line, notes and warnings at start among them.
    Json,
}

/// There once the form of log lines was chosen.
static FORM: OnceLock<LogForm> = OnceLock::new();

fn is_json() -> bool {
    FORM.get() == Some(&LogForm::Json)
}

/// Log lines go to standard error; `RUST_LOG` picks them more finely than `-v` does.
pub(crate) fn init_logs(form: LogForm, quiet: LevelFilter, verbose: u8) {
    let level = match verbose {
        0 => quiet,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env_lossy();
    let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal() && !is_plain)
        .with_writer(io::stderr);
    match FORM.get_or_init(|| form) {
        LogForm::Text => lines.init(),
        LogForm::Json => {
            lines.json().flatten_event(true).init();
            // It has several lines, and stands between objects otherwise.
            std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
        }
    }
}

/// A thread that writes, so that nothing else waits when a terminal or a pipe does not take more.
#[derive(Debug)]
pub(crate) struct Printer {
    queue: mpsc::Sender<Vec<u8>>,
    finished: oneshot::Receiver<io::Result<()>>,
}

/// Nobody reads what is printed any more.
#[derive(Debug)]
pub(crate) struct NobodyReads;

impl Printer {
    /// Writes to standard output.
    pub(crate) fn stdout() -> io::Result<Self> {
        Self::new(BufWriter::new(io::stdout()))
    }

    /// Writes to `out`, which is flushed whenever nothing more is waiting.
    pub(crate) fn new(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        let (finish, finished) = oneshot::channel();
        std::thread::Builder::new()
            .name("printer".to_owned())
            .spawn(move || {
                let written = write_all(&mut waiting, &mut out);
                // Whoever asked may be gone.
                finish.send(written).ok();
            })?;
        Ok(Self { queue, finished })
    }

    /// Hands over a piece, line ends included.
    pub(crate) async fn print(&self, piece: impl Into<Vec<u8>>) -> Result<(), NobodyReads> {
        self.queue.send(piece.into()).await.map_err(|_| NobodyReads)
    }

    /// Waits until nothing more can be written.
    ///
    /// Cancel-safe.
    pub(crate) async fn failed(&self) {
        self.queue.closed().await;
    }

    /// Waits until all has been written. A reader that went away is no error.
    pub(crate) async fn finish(self) -> io::Result<()> {
        drop(self.queue);
        match self.finished.await {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

fn write_all(waiting: &mut mpsc::Receiver<Vec<u8>>, out: &mut impl Write) -> io::Result<()> {
    while let Some(piece) = waiting.blocking_recv() {
        out.write_all(&piece)?;
        while let Ok(piece) = waiting.try_recv() {
            out.write_all(&piece)?;
        }
        out.flush()?;
    }
    Ok(())
}
