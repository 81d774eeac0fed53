//! When to stop.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use crate::exit::Failure;

/// Ctrl-C and SIGTERM, caught from the moment this is made: before anybody is told that we are here.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches them from now on.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let cannot = |error: io::Error| Failure::run(format!("cannot wait for signals: {error}"));
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(cannot)?,
            terminate: signal(SignalKind::terminate()).map_err(cannot)?,
        })
    }

    /// Ready once there was one of them, since the last time.
    ///
    /// Cancel-safe.
    pub(crate) async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs a server, made from what tells it to stop: the first of them. It may take its time to say goodbye, but
    /// not if there is a second one.
    pub(crate) async fn serve<Serving>(
        mut self,
        server: impl FnOnce(oneshot::Receiver<()>) -> Serving,
    ) -> Result<(), Failure>
    where
        Serving: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel();
        let twice = async {
            self.any().await;
            tracing::info!("stopping; a second signal cuts off who does not say goodbye");
            // It may have ended by itself.
            stop.send(()).ok();
            self.any().await;
        };
        tokio::select! {
            biased;
            () = server(stopped) => Ok(()),
            () = twice => Err(Failure::run("stopped at once, by a second signal")),
        }
    }
}
