//! The program as its users meet it: every test here runs the real binary.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod access;
mod certificates;
mod config;
mod connect;
mod crash;
mod crowd;
mod data;
mod echo;
mod help;
mod herd;
mod http;
mod mistakes;
mod operating;
mod peer;
mod program;
mod prompt;
mod proxy;
mod refusals;
mod serve;
mod shutdown;
mod stalled;
mod tail;
mod token;
mod trust;
mod v1;
