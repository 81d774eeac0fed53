//! The only place that prints.

use std::io::{self, Write as _};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

/// One line on standard output, for people and scripts alike. A reader that has gone away is no error.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).ok();
}

/// One line on standard error.
pub(crate) fn error(text: &str) {
    writeln!(io::stderr().lock(), "fdx: {text}").ok();
}

/// Log lines go to standard error; `RUST_LOG` picks them more finely than `-v` does.
pub(crate) fn init_logs(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(io::stderr).init();
}
