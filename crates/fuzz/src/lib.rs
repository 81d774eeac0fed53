//! What the fuzz targets do, as plain functions: each takes any bytes, and panics if the library breaks a promise.
//!
//! `fuzz/` runs them with cargo-fuzz; `tests/corpus.rs` here runs them over the inputs kept in `fuzz/corpus`.

#![expect(
    clippy::missing_panics_doc,
    reason = "panics are what the targets are for"
)]

mod agreement;
mod extension_header;
mod frames;
mod handshake;
mod inflate;
mod input;
mod session;

pub use extension_header::extension_header;
pub use frames::frames;
pub use handshake::{client_handshake, server_handshake};
pub use inflate::inflate;
pub use session::session;

/// A target: any bytes go in, and it panics or returns.
pub type Target = fn(&[u8]);

/// All targets, by the names of their binaries and of their folders in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 6] = [
    ("client_handshake", client_handshake),
    ("extension_header", extension_header),
    ("frames", frames),
    ("inflate", inflate),
    ("server_handshake", server_handshake),
    ("session", session),
];
