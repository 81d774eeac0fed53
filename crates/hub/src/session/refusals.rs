//! What the operator is told of messages that the log does not take.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::log::AppendError;

/// A spell of refusals is over once there was none for so long. A log with too much to do takes some and refuses some, many times
/// a second; that is one spell.
const QUIET: Duration = Duration::from_secs(10);

/// When a message was last refused because of the log.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<Option<Instant>>);

impl Refusals {
    /// Another message was refused. The operator is told once per spell, not per message.
    pub(crate) fn count(&self, error: AppendError) {
        if self.begins_spell(error) {
            tracing::warn!("messages are refused: {error}");
        }
    }

    fn begins_spell(&self, error: AppendError) -> bool {
        let (AppendError::Busy | AppendError::Unavailable | AppendError::Timeout) = error else {
            // It is the client's fault.
            return false;
        };
        let now = Instant::now();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.replace(now).is_none_or(|last| now - last >= QUIET)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_spell_begins_once_and_another_after_some_quiet() {
        let refusals = Refusals::default();
        assert!(!refusals.begins_spell(AppendError::Conflict));
        assert!(refusals.begins_spell(AppendError::Busy));
        for error in [
            AppendError::Timeout,
            AppendError::Unavailable,
            AppendError::Busy,
        ] {
            advance(QUIET.mul_f32(0.9)).await;
            assert!(!refusals.begins_spell(error), "it goes on");
        }
        advance(QUIET).await;
        assert!(refusals.begins_spell(AppendError::Timeout));
    }
}
