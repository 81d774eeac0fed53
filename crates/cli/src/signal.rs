//! When to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Ready at the first Ctrl-C or SIGTERM.
pub(crate) async fn shutdown() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM will end the program without closing");
            tokio::signal::ctrl_c().await.ok();
        }
    }
    tracing::info!("stopping");
}
