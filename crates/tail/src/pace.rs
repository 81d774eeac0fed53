//! When to look at a file again.
//!
//! After something new: soon, so that a busy file is read in pieces rather than line by line. After
//! nothing new: later and later, unless the system says that something changed. Where the system
//! says nothing the last interval bounds how late a line is seen; where it does, that last look is
//! only a safety net. What the safety net catches tells that the signs do not come, and then they
//! are not waited for.

use std::{io, path::Path, time::Duration};

use tokio::time;

use crate::{Options, feed::Found, watch::Watch};

/// Decides when a file is looked at.
#[derive(Debug)]
pub(crate) struct Pace {
    watch: Option<Watch>,
    /// Shortest and longest pause without a watch.
    active: Duration,
    quiet: Duration,
    pause: Duration,
    /// Whether a sign came since the last look.
    has_sign: bool,
    /// Looks in a row that found something without any sign of it.
    unannounced: u32,
}

impl Pace {
    pub(crate) fn new(path: &Path, options: &Options) -> Self {
        let active = options.poll_active.max(MIN_PAUSE);
        let mut pace = Self {
            watch: None,
            active,
            quiet: options.poll_quiet.max(active),
            pause: active,
            has_sign: false,
            unannounced: 0,
        };
        if !options.polling {
            match Watch::new(path) {
                Ok(watch) => pace.watch = Some(watch),
                Err(error) => report_polling(path, &error),
            }
        }
        pace
    }

    /// Tells the watch that the name may lead to another file now.
    pub(crate) fn file_changed(&mut self, path: &Path) {
        if let Some(Err(error)) = self.watch.as_mut().map(Watch::watch_file) {
            report_polling(path, &error);
            self.watch = None;
        }
    }

    /// Waits until it is time to look again, given what the last look found.
    ///
    /// A look that found something is always followed by another one soon, which also finds what
    /// was written before a new watch was in place.
    pub(crate) async fn wait(&mut self, path: &Path, found: Found) {
        if let Some(watch) = &mut self.watch {
            self.has_sign |= watch.take_signs();
        }
        if found != Found::Nothing {
            // What is found after a look that stopped early was announced before it.
            if found != Found::Enough {
                self.judge_watch(path);
            }
            self.pause = self.active;
            time::sleep(self.active).await;
            return;
        }
        self.has_sign = false;
        match &mut self.watch {
            None => {
                time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(self.quiet);
            }
            Some(watch) => match time::timeout(self.pause, watch.changed()).await {
                Ok(Ok(())) => {
                    self.has_sign = true;
                    self.pause = self.active;
                }
                Ok(Err(error)) => {
                    report_polling(path, &error);
                    self.watch = None;
                }
                Err(_) => self.pause = (self.pause * 2).min(SAFETY_NET.max(self.active)),
            },
        }
    }

    fn judge_watch(&mut self, path: &Path) {
        self.unannounced = if self.has_sign {
            0
        } else {
            self.unannounced + 1
        };
        self.has_sign = false;
        if self.watch.is_some() && self.unannounced >= MAX_UNANNOUNCED {
            report_polling(path, &io::Error::other("the file changes without notice"));
            self.watch = None;
        }
    }
}

fn report_polling(path: &Path, cause: &io::Error) {
    tracing::info!(path = %path.display(), %cause, "polling the followed file");
}

/// Shortest pause, whatever the options say, so that no option makes a busy loop.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// Longest pause while the system tells of changes. One look a second costs next to nothing.
const SAFETY_NET: Duration = Duration::from_secs(1);

/// Changes found without a sign before signs are given up. One or two can be a race with the watch
/// being set up.
const MAX_UNANNOUNCED: u32 = 3;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;

    use tokio::time::Instant;

    use super::*;

    fn options() -> Options {
        let (active, quiet) = (Duration::from_millis(10), Duration::from_millis(50));
        Options {
            poll_active: active,
            poll_quiet: quiet,
            ..Options::default()
        }
    }

    /// How long the next waits take, by the clock of the paused runtime.
    async fn pauses<const N: usize>(pace: &mut Pace, path: &Path, found: [Found; N]) -> [u128; N] {
        let mut pauses = [0; N];
        for (pause, found) in pauses.iter_mut().zip(found) {
            let before = Instant::now();
            pace.wait(path, found).await;
            *pause = before.elapsed().as_millis();
        }
        pauses
    }

    #[tokio::test(start_paused = true)]
    async fn without_notices_pauses_grow_while_nothing_is_found() {
        let path = Path::new("log");
        let mut pace = Pace::new(
            path,
            &Options {
                polling: true,
                ..options()
            },
        );
        let [none, some] = [Found::Nothing, Found::Something];
        let found = [none, none, none, none, none, some, some, none, none];
        assert_eq!(
            pauses(&mut pace, path, found).await,
            [10, 20, 40, 50, 50, 10, 10, 10, 20]
        );
    }

    #[tokio::test]
    async fn what_comes_without_notice_ends_the_watch() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "").unwrap();
        let mut pace = Pace::new(&path, &options());
        for _ in 0..5 {
            fs::write(&path, "1").unwrap();
            pace.wait(&path, Found::Something).await;
        }
        assert!(pace.watch.is_some(), "every change was announced");
        pauses(
            &mut pace,
            &path,
            [Found::Something; MAX_UNANNOUNCED as usize],
        )
        .await;
        assert!(pace.watch.is_none());
    }

    #[tokio::test]
    async fn a_burst_that_takes_many_looks_was_announced_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "").unwrap();
        let mut pace = Pace::new(&path, &options());
        fs::write(&path, "1").unwrap();
        pauses(
            &mut pace,
            &path,
            [Found::Enough; 4 * MAX_UNANNOUNCED as usize],
        )
        .await;
        pace.wait(&path, Found::Something).await;
        assert!(pace.watch.is_some());
        assert_eq!(pace.unannounced, 0);
    }

    #[tokio::test]
    async fn without_a_folder_to_watch_there_is_polling() {
        let pace = Pace::new(Path::new("/nonexistent/log"), &options());
        assert!(pace.watch.is_none());
    }
}
