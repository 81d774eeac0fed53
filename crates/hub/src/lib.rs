//! Rooms, presence and live logs over WebSocket: the server behind `fdx serve`.

#![expect(
    dead_code,
    unused_imports,
    reason = "the layers above the core are on their way"
)]

mod core;
pub mod log;
mod wire;

pub use crate::core::{Author, Event, User};
