//! When to stop.

use std::{
    future::pending,
    io::{self, IsTerminal as _},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use crate::{exit::Failure, service};

/// Ctrl-C and SIGTERM, caught from the moment this is made: before anybody is told that we are here.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches them from now on.
    pub(crate) fn catch() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(|error| cannot(&error))?,
            terminate: signal(SignalKind::terminate()).map_err(|error| cannot(&error))?,
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
            service::stops();
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

/// SIGHUP, caught for whoever has no terminal that could hang up.
#[derive(Debug)]
pub(crate) struct Hangups(Option<Signal>);

impl Hangups {
    /// Catches it from now on.
    pub(crate) fn catch() -> Result<Self, Failure> {
        if io::stdin().is_terminal() {
            return Ok(Self(None));
        }
        let hangup = signal(SignalKind::hangup()).map_err(|error| cannot(&error))?;
        Ok(Self(Some(hangup)))
    }

    /// Ready once there was one since the last time.
    ///
    /// Cancel-safe.
    pub(crate) async fn next(&mut self) {
        let next = match &mut self.0 {
            Some(signal) => signal.recv().await,
            None => None,
        };
        if next.is_none() {
            pending::<()>().await;
        }
    }
}

fn cannot(error: &io::Error) -> Failure {
    Failure::run(format!("cannot wait for signals: {error}"))
}
