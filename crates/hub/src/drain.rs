//! How connections are ended when the hub stops: evenly over a time, so that they do not all come back at once.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often some are ended: a few at a time.
const STEP: Duration = Duration::from_millis(20);

/// Ends these evenly over this time. None if there is no time.
///
/// # Cancel safety
///
/// Dropped, some have been ended and others not.
pub(crate) async fn end_in_turn<T>(all: &[T], over: Duration, mut end: impl FnMut(&T)) {
    let (begin, mut done) = (Instant::now(), 0);
    while begin.elapsed() < over {
        let due = all.len() as u128 * begin.elapsed().as_nanos() / over.as_nanos();
        let due = usize::try_from(due).map_or(all.len(), |due| due.min(all.len()));
        all[done..due].iter().for_each(&mut end);
        done = due;
        sleep(STEP).await;
    }
    all[done..].iter().for_each(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_is_ended_once_in_its_part_of_the_time() {
        let drain = Duration::from_secs(10);
        let begin = Instant::now();
        let mut ended = Vec::new();
        end_in_turn(&[0, 1, 2, 3, 4], drain, |n| {
            ended.push((*n, begin.elapsed()));
        })
        .await;
        assert_eq!(ended.len(), 5);
        for (at, (n, when)) in (1..).zip(ended) {
            let due = drain * at / 5;
            assert_eq!(n + 1, at);
            assert!(due <= when && when <= due + STEP, "{n} {when:?}");
        }
        let late = begin.elapsed();
        let mut ended = 0;
        end_in_turn(&[(); 3], Duration::ZERO, |()| ended += 1).await;
        assert_eq!((ended, begin.elapsed()), (3, late));
    }
}
