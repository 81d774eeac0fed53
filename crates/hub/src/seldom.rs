//! Log lines that peers can cause, kept from filling the log.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The time in which there are so many lines.
const SPELL: Duration = Duration::from_secs(10);

/// Lines about one connection or request in a [`SPELL`]. 100: all of a quiet server, and at most some 200 MB a day.
const LINES: u32 = 100;

/// Lines of one kind: so many at a time, and then one that says how many were left out.
#[derive(Debug)]
pub(crate) struct Seldom {
    most: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    told: u32,
    left_out: u64,
}

impl Default for Seldom {
    fn default() -> Self {
        Self::new(LINES)
    }
}

impl Seldom {
    /// At most so many lines in ten seconds.
    pub(crate) fn new(most: u32) -> Self {
        let state = Mutex::default();
        Self { most, state }
    }

    /// Has a line written, which is given how many were left out before it, if any; or leaves it out.
    pub(crate) fn tell(&self, line: impl FnOnce(Option<u64>)) {
        if let Some(left_out) = self.take() {
            line((left_out > 0).then_some(left_out));
        }
    }

    fn take(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.since.is_none_or(|since| now - since >= SPELL) {
            state.since = Some(now);
            state.told = 0;
        }
        if state.told >= self.most {
            state.left_out += 1;
            return None;
        }
        state.told += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn of_a_flood_some_are_told_and_then_how_many_were_not() {
        let seldom = Seldom::new(2);
        let mut told = Vec::new();
        for _ in 0..=20 {
            for _ in 0..100 {
                seldom.tell(|left_out| told.push(left_out));
            }
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!(
            told,
            [None, None, Some(998), None, Some(998), None],
            "two in ten seconds"
        );
    }
}
