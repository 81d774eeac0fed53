//! How many files and connections the system lets us have open.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::output;

/// Descriptors that a server needs for other things than connections: files, its listener, the runtime's own.
const RESERVED: u64 = 64;

/// So few connections are worth a warning even where nobody asked for a number: usual limits allow far more.
pub(crate) const FEW: u32 = 1000;

/// Raises our limit as far as it may be raised, and returns how many connections fit, at most `wanted`. Warns of fewer than `expected`.
///
/// The soft limit is low for programs that use `select`, and we do not; the hard one is what the administrator
/// wants.
pub(crate) fn connections(wanted: u32, expected: u32) -> u32 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let mut raised = limit;
        raised.current = raised.maximum;
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => tracing::debug!(%error, "cannot raise the limit of open files"),
        }
    }
    let descriptors = limit.current.unwrap_or(u64::MAX);
    let fitting = u32::try_from(descriptors.saturating_sub(RESERVED)).unwrap_or(u32::MAX);
    let fitting = fitting.clamp(1, wanted);
    if fitting < expected {
        output::warning(&format!(
            "at most {fitting} connections at a time: the limit of open files is {descriptors}"
        ));
    }
    fitting
}
