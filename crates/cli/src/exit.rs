//! Every exit code, in one place; `fdx --help` prints the table.

use std::{error::Error, process::ExitCode};

use crate::{output, settings::Settings};

/// What the codes mean, as `--help` says it.
pub(crate) const TABLE: &str = "\
Exit codes:
  0  all went well; for connect: the connection was closed cleanly
  1  something failed while running
  2  the command line is wrong, or the configuration
  3  cannot start: an address is taken, a file cannot be read
  4  connect: no connection to the server
  5  connect: the server refused the handshake
  6  connect: the connection was lost, or not closed cleanly
  7  connect: the server closed with a code that tells of a failure";

/// Why the program ends, with the code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
    details: Vec<String>,
}

impl Failure {
    /// Something failed while running.
    pub(crate) fn run(message: impl Into<String>) -> Self {
        Self::new(1, message)
    }

    /// The command line asks for what cannot be.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(2, message)
    }

    /// What is needed from the start is not there.
    pub(crate) fn start(message: impl Into<String>) -> Self {
        Self::new(3, message)
    }

    /// The server cannot be reached.
    pub(crate) fn no_connection(message: impl Into<String>) -> Self {
        Self::new(4, message)
    }

    /// The server was reached and there is no WebSocket to be had.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(5, message)
    }

    /// The connection was lost.
    pub(crate) fn lost(message: impl Into<String>) -> Self {
        Self::new(6, message)
    }

    /// The server ended the connection in good order, but not because all was well.
    pub(crate) fn closed(message: impl Into<String>) -> Self {
        Self::new(7, message)
    }

    fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
        }
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Says first where the setting was made that it is about, if that is not on the command line.
    pub(crate) fn placed(mut self, settings: &Settings) -> Self {
        if let Some(place) = settings.place(&self.message) {
            self.message = format!("{place}: {}", self.message);
        }
        self
    }

    /// Adds lines that are shown below the message.
    pub(crate) fn with_details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }

    /// Says it on standard error: one line, and the details if there are any.
    pub(crate) fn report(self) -> ExitCode {
        output::error(&self.message);
        for detail in &self.details {
            output::note(&format!("  {detail}"));
        }
        ExitCode::from(self.code)
    }
}

/// An error and its causes in one line.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
