//! One file for each command.

mod access;
pub(crate) mod backup;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod connect;
pub(crate) mod echo;
pub(crate) mod export;
mod hub;
mod private;
pub(crate) mod recover;
pub(crate) mod serve;
mod store;
pub(crate) mod tail;
pub(crate) mod token;
mod unsafe_settings;
