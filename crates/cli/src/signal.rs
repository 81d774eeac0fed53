//! When to stop.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Failure;

/// Ready at the first Ctrl-C or SIGTERM from now on: it is to be called before anybody is told that we are here.
pub(crate) fn shutdown() -> Result<impl Future<Output = ()> + Send, Failure> {
    let cannot = |error: io::Error| Failure::run(format!("cannot wait for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
    })
}
