//! What a service manager is told, if one started us and wants to know (`Type=notify` of systemd).

use sd_notify::NotifyState;

/// Connections are accepted from now on.
pub(crate) fn is_ready() {
    notify(NotifyState::Ready);
}

/// The end has begun.
pub(crate) fn stops() {
    notify(NotifyState::Stopping);
}

fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}
