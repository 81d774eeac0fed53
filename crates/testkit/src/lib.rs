#![doc = include_str!("../README.md")]
//!
//! # What is here
//!
//! * [`wire`]: frames as literals, right ones and wrong ones, and what arrived shown as frames.
//! * [`Endpoint`]: one [`Connection`](fullduplex_proto::Connection) that is fed bytes, in virtual time.
//! * [`Pair`]: a client and a server that exchange bytes until both are quiet.
//! * [`assert_fails_with`], [`assert_clean_close`]: assertions named after what RFC 6455 §7.1 calls them.
//! * [`ScriptedIo`]: a transport for the tokio crates whose every read, write and fault is scripted.
//! * [`Peer`]: the other end of a [`ScriptedIo`], as a client or a server that speaks in frames.
//! * [`pipe`]: two ends of a transport that holds a bounded number of bytes each way.

mod assertions;
mod endpoint;
mod pair;
mod peer;
mod scripted_io;
pub mod wire;

pub use assertions::{assert_clean_close, assert_fails_with};
pub use endpoint::Endpoint;
pub use pair::{Pair, Side};
pub use peer::{Peer, REQUEST};
pub use scripted_io::{Fault, Script, ScriptedIo};

/// Two ends of a transport in memory: each direction holds at most so many bytes, then writes wait.
///
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (mut client, mut server) = fullduplex_testkit::pipe(64);
/// client.write_all(b"hello").await?;
/// let mut got = [0; 5];
/// server.read_exact(&mut got).await?;
/// assert_eq!(&got, b"hello");
/// # Ok(())
/// # }
/// ```
pub use tokio::io::duplex as pipe;
