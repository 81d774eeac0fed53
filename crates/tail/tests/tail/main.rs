//! Following and reading real files, from outside.

#[cfg(test)]
#[macro_use]
mod common;
#[cfg(test)]
mod following;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod resuming;
