//! Every exit code, in one place; `fdx --help` prints the table.

use std::process::ExitCode;

use crate::output;

/// What the codes mean, as `--help` says it.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  all went well; for connect: the connection was closed cleanly
  1  something failed while running
  2  the command line is wrong
  3  cannot start: an address is taken, a file cannot be read
  4  connect: no connection to the server
  5  connect: the server refused the handshake
  6  connect: the connection ended without a clean close";

/// Why the program ends, with the code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Something failed while running.
    pub(crate) fn run(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into() }
    }

    /// The command line asks for what cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, message: message.into() }
    }

    /// What is needed from the start is not there.
    pub(crate) fn start(message: impl Into<String>) -> Self {
        Self { code: 3, message: message.into() }
    }

    /// Says it in one line on stderr.
    pub(crate) fn report(self) -> ExitCode {
        output::error(&self.message);
        ExitCode::from(self.code)
    }
}
