//! How a client is told that the server goes.

use std::time::Duration;

use fullduplex::CloseCode;

use super::{Dialect, Session, Stop};
use crate::wire::event;

/// The longest wait that clients spread their return over. A server with more of them than come back in this time at
/// [`RETURNS_PER_SECOND`] has them come faster.
const LONGEST_JITTER: Duration = Duration::from_secs(15);
/// The shortest: what a client waits at most before its first attempt without being told.
const SHORTEST_JITTER: Duration = Duration::from_millis(500);
/// How many clients should come back in a second: each costs a handshake, with TLS some milliseconds of work.
const RETURNS_PER_SECOND: u32 = 1_000;

/// Where a session stands with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    No,
    /// What it is owed comes first.
    Asked {
        jitter: Duration,
    },
    /// The client was told, or has it in its queue.
    Told,
}

/// Over how long so many clients, whose connections end within `drain`, should spread their return.
pub(crate) fn jitter(clients: usize, drain: Duration) -> Duration {
    let clients = u32::try_from(clients).unwrap_or(u32::MAX);
    let wanted = Duration::from_secs(1) * clients / RETURNS_PER_SECOND;
    let wanted = wanted.min(LONGEST_JITTER).saturating_sub(drain);
    wanted.max(SHORTEST_JITTER)
}

impl Session {
    /// Takes no more commands, and ends once what it is owed for those it took has left. An error ends it at once.
    pub(super) fn dismiss(&mut self, jitter: Duration) -> Result<(), Stop> {
        if !matches!(self.dialect, Dialect::V1 { .. }) {
            return Err(Stop::close(CloseCode::GOING_AWAY, "the server stops"));
        }
        if self.leaving == Leaving::No {
            self.leaving = Leaving::Asked { jitter };
            self.streams = None;
        }
        Ok(())
    }

    /// Puts the goodbye behind the last reply, if that is known by now.
    pub(super) fn say_bye(&mut self) {
        if let Leaving::Asked { jitter } = self.leaving
            && self.writing.is_empty()
            && self.joining.is_none()
            && self.asking.is_none()
            && !self.standing.is_checking()
        {
            self.outbox.push(event::bye(Duration::ZERO, jitter));
            self.leaving = Leaving::Told;
        }
    }

    /// Ends a session that has handed over its goodbye.
    pub(super) fn check_bye(&self) -> Result<(), Stop> {
        if self.leaving == Leaving::Told && self.outbox.is_empty() {
            let reason = "the server restarts";
            return Err(Stop::close(CloseCode::SERVICE_RESTART, reason));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_return_of_many_is_spread_over_more_time_up_to_a_limit() {
        let ms = |clients, drain| jitter(clients, Duration::from_secs(drain)).as_millis();
        assert_eq!(
            [0, 1, 2_000, 15_000, 50_000, usize::MAX].map(|clients| ms(clients, 0)),
            [500, 500, 2_000, 15_000, 15_000, 15_000]
        );
        assert_eq!(
            [0, 5, 10, 60].map(|drain| ms(10_000, drain)),
            [10_000, 5_000, 500, 500]
        );
    }
}
