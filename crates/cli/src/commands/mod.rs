//! One file for each command.

pub(crate) mod connect;
pub(crate) mod echo;
mod hub;
pub(crate) mod serve;
pub(crate) mod tail;
