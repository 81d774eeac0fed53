//! What the operating system says that a process has used.

use std::fs;
use std::io;
use std::ops::Sub;
use std::path::Path;
use std::time::Duration;

/// Clock ticks per second in /proc; Linux has no other value.
const TICKS: u64 = 100;

#[derive(Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// Exact: what the scheduler gave to all threads.
    pub(crate) total: Duration,
    /// In ticks of 10 ms.
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl Cpu {
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let folder = format!("/proc/{pid}");
        let mut total = Duration::ZERO;
        for task in fs::read_dir(format!("{folder}/task"))? {
            total += run_time(&task?.path())?;
        }
        let stat = fs::read_to_string(format!("{folder}/stat"))?;
        // The name, in parentheses, may hold blanks; user and system time are the 12th and 13th field behind it.
        let mut fields = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace()
            .skip(11);
        let mut ticks =
            || number(fields.next()).map(|ticks| Duration::from_millis(ticks * 1000 / TICKS));
        Ok(Self {
            total,
            user: ticks()?,
            system: ticks()?,
        })
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            total: self.total.saturating_sub(before.total),
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
        }
    }
}

fn run_time(task: &Path) -> io::Result<Duration> {
    match fs::read_to_string(task.join("schedstat")) {
        Ok(schedstat) => Ok(Duration::from_nanos(number(
            schedstat.split_ascii_whitespace().next(),
        )?)),
        // The thread ended in this moment.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Duration::ZERO),
        Err(error) => Err(error),
    }
}

fn number(field: Option<&str>) -> io::Result<u64> {
    field
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other("/proc is not as expected"))
}

/// Resident bytes.
pub(crate) fn resident(pid: u32) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    Ok(1024 * number(line.and_then(|line| line.split_ascii_whitespace().next()))?)
}
