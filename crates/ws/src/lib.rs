//! WebSocket for tokio: strict, bounded, cancel-safe.
//!
//! A server that echoes:
//!
//! ```no_run
//! # async fn run() -> std::io::Result<()> {
//! let server = fullduplex::Server::bind("127.0.0.1:9001").await?;
//! server
//!     .serve(async |mut ws| {
//!         while let Some(message) = ws.recv().await? {
//!             ws.send(message).await?;
//!         }
//!         Ok::<_, fullduplex::Error>(())
//!     })
//!     .await;
//! # Ok(())
//! # }
//! ```
//!
//! A client that talks to it:
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut ws = fullduplex::connect("ws://127.0.0.1:9001").await?;
//! ws.send("hello").await?;
//! println!("{:?}", ws.recv().await?);
//! ws.close(fullduplex::CloseFrame::normal()).await;
//! # Ok(())
//! # }
//! ```
//!
//! * [`Server`] accepts and serves; [`Acceptor`] shakes hands on any stream, and its [`Handshake`] can be rejected;
//!   [`upgrade`] takes requests from hyper and axum.
//! * [`connect`] and [`Client`] open connections; [`Reconnect`] opens one after the other.
//! * [`WebSocket`] receives, sends and closes; [`split`](WebSocket::split) makes two halves of it.
//! * [`Sender`], made of the sending half, sends from any number of tasks; [`Broadcast`] sends one message to many connections.
//! * [`into_io`](WebSocket::into_io) makes a stream of bytes of a connection; it and its halves are `Stream` and `Sink`, too.
//! * [`corked`] lets the plainest loop write in batches.
//! * [`Config`] and [`Limits`] hold every bound and every wait.
//!
//! # Cancel safety
//!
//! Every future says in its documentation what happens when it is dropped. In short: `recv`, `flush` and `close` can
//! be dropped and called again; `send` and `feed` either queue a message whole or not at all; `connect`, `handshake` and
//! `accept` close their stream.
//!
//! # Features
//!
//! `tls` (wss by rustls) and `hyper` (upgrades), both on by default; `axum` (an extractor); `http2` (RFC 8441, both roles);
//! `json` (messages as values of serde's); `native-roots` (trust in what the system trusts, for those who ask for it).

mod accept;
#[cfg(feature = "axum")]
pub mod axum;
mod broadcast;
mod client;
mod combinators;
mod cork;
mod deadline;
mod dial;
mod driver;
mod error;
mod event;
mod handler;
#[cfg(feature = "http2")]
pub mod http2;
mod info;
mod into_io;
#[cfg(feature = "json")]
mod json;
mod observer;
mod outbox;
mod pair;
mod ping;
mod proxy;
mod rate;
mod reader;
mod reconnect;
mod scratch;
mod sender;
mod server;
mod shared;
mod split;
#[cfg(feature = "tls")]
pub mod tls;
mod transport;
#[cfg(feature = "hyper")]
pub mod upgrade;
mod websocket;
mod writer;

pub use accept::{Acceptor, Handshake};
pub use broadcast::{Broadcast, Delivery};
pub use client::{Client, ConnectError, Retry, connect};
pub use cork::corked;
pub use error::{Error, HandshakeError};
pub use event::Event;
pub use fullduplex_proto::{
    Accept, Cause, CloseClass, CloseCode, CloseFrame, CloseSender, Config, ConfigError, Deadline,
    Deflate, DeflateParams, Initiator, InvalidClose, Life, Limits, Message, MessageKind, Outcome,
    Outgoing, PingError, Prepared, Role, Utf8Bytes, Violation, handshake,
};
pub use handler::{HandlerOutput, handled};
pub use into_io::Io;
#[cfg(feature = "json")]
pub use json::{InvalidJson, JsonError};
pub use observer::{Closed, Observer};
pub use ping::Pong;
pub use proxy::{Proxy, ProxyError, SocksError};
pub use rate::{RateAction, RateLimit};
pub use reader::MessageReader;
pub use reconnect::{Reconnect, Retrying};
pub use sender::{Overflow, Permit, Sender, Sent, TrySendError, TrySendErrorKind, WeakSender};
pub use server::Server;
pub use split::{ReadHalf, WriteHalf};
pub use transport::Stream;
pub use websocket::WebSocket;
pub use writer::MessageWriter;
