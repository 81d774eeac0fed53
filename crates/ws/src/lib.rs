//! WebSocket for tokio: strict, bounded, cancel-safe.
//!
//! A server that echoes:
//!
//! ```rust,no_run
//! #[tokio::main]
//! async fn main() -> std::io::Result<()> {
//!     let server = fullduplex::Server::bind("127.0.0.1:9001").await?;
//!     let echo = async |mut ws: fullduplex::WebSocket| {
//!         while let Some(message) = ws.recv().await? {
//!             ws.send(message).await?;
//!         }
//!         Ok::<_, fullduplex::Error>(())
//!     };
//!     server.serve(echo).await;
//!     Ok(())
//! }
//! ```
//!
//! A client that talks to it:
//!
//! ```rust,no_run
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let mut ws = fullduplex::connect("ws://127.0.0.1:9001").await?;
//!     ws.send("hello").await?;
//!     if let Some(message) = ws.recv().await? {
//!         println!("{}", message.as_text().unwrap_or("(binary)"));
//!     }
//!     ws.close(fullduplex::CloseFrame::normal()).await;
//!     Ok(())
//! }
//! ```
//!
//! Both need tokio with its features `macros` and `rt-multi-thread`.
//!
//! # Map
//!
//! | to | there is | guide |
//! | --- | --- | --- |
//! | serve | [`Server`]; [`Acceptor`] on any stream, whose [`Handshake`] can be rejected; [`Observer`], [`RateLimit`] | [handshake](guide::handshake) |
//! | serve within an HTTP server | [`axum`], [`upgrade`] | [axum](guide::axum) |
//! | connect | [`connect`], [`Client`] | [authentication](guide::authentication), [TLS](guide::tls), [proxies](guide::proxies) |
//! | connect again | [`Reconnect`] | [reconnecting](guide::reconnecting) |
//! | send and receive | [`WebSocket`]; [`ReadHalf`] and [`WriteHalf`]; [`Message`]; `Stream` and `Sink` | |
//! | send from many tasks, or to many connections | [`Sender`], [`Broadcast`], [`Prepared`], [`Bundle`] | [backpressure](guide::backpressure) |
//! | move files, or bytes | [`MessageReader`], [`MessageWriter`], [`Io`] | [big messages](guide::big_messages) |
//! | compress | [`Deflate`] | [compression](guide::compression) |
//! | see pings and pongs | [`Event`], [`Pong`] | [closing](guide::closing) |
//! | end, and know how it ended | [`CloseFrame`], [`Outcome`], [`Error`] | [closing](guide::closing) |
//! | bound everything | [`Config`], [`Limits`] | |
//! | write in batches | [`corked`]; a server's handlers are, and by [`handled`] others | [backpressure](guide::backpressure) |
//! | test | [`WebSocket::pair`] | [testing](guide::testing) |
//! | do without tokio | [`fullduplex_proto`] | [sans-IO](guide::sans_io) |
//!
//! Coming from [tungstenite](guide::from_tungstenite), or from [gorilla/websocket and x/net](guide::from_gorilla).
//!
//! # Cancel safety
//!
//! What it means to drop each public future before it is ready, as in a `select!` or under a timeout. Each says it in its own documentation;
//! `tests/cancellation.rs` and its neighbours drop them after every poll.
//!
//! | future | dropped |
//! | --- | --- |
//! | [`recv`](WebSocket::recv), [`recv_event`](WebSocket::recv_event), [`recv_stream`](WebSocket::recv_stream), [`MessageReader::chunk`], `recv_json`; the streams' `next` | nothing is lost: call it again |
//! | [`send`](WebSocket::send), [`feed`](WebSocket::feed), `send_json` | all or nothing: before there was room the message is dropped, later it is queued and leaves with the next operation |
//! | [`flush`](WebSocket::flush), [`close`](WebSocket::close) | goes on when called again; the Close is queued at the first poll |
//! | [`ping`](WebSocket::ping), [`pong`](WebSocket::pong) | is queued at the first poll, and leaves with the next operation |
//! | [`Pong`] | can be awaited by reference; the ping has gone |
//! | [`MessageWriter::write`] | **not cancel-safe**: the part may have been queued or not |
//! | [`MessageWriter::finish`] | abandons the message: 1011 if a part of it has been sent |
//! | [`send_many`](WebSocket::send_many) | what was taken out of the caller's queue is queued and leaves with the next operation; the rest is still there |
//! | [`Sender::send`], [`Sender::feed`] | all or nothing: while it waits for room the message is dropped with it, later it is queued and leaves |
//! | [`Sender::reserve`] | its place among those that wait is lost |
//! | [`Sender::flush`], [`Sender::close`], [`Sender::closed`] | nothing: the writing and the closing go on |
//! | [`connect`], [`Client::connect`], `connect_unix`, [`connect_over`](Client::connect_over), [`dial`] | closes the socket |
//! | [`Reconnect::next`] | nothing: the wait or the attempt goes on with the next call |
//! | [`Acceptor::handshake`], [`Acceptor::accept`] | closes the stream |
//! | [`Handshake::accept`], [`accept_with`](Handshake::accept_with), [`reject`](Handshake::reject) | closes the stream |
//! | [`Server::bind`] | nothing |
//! | [`Server::serve`], `serve_until`, `serve_with`, `serve_with_until` | stops accepting; open connections go on |
//! | [`corked`] | drops the handler |
//! | [`handled`] | drops the handler and closes the transport |
//! | [`upgrade::Upgrade`] | drops the connection that was to come; by reference, nothing is lost |
//! | [`http2::Session::connect`], `connect_over` | closes the socket |
//! | [`http2::Session::open`] | resets the stream; the session goes on |
//!
//! [`Io`] and the writing side of `Sink` follow the rules of their traits: what a `poll_` method has taken is queued.
//!
//! # Features
//!
//! | feature | default | |
//! | --- | --- | --- |
//! | `tls` | yes | `wss:` by rustls, with Mozilla's roots |
//! | `hyper` | yes | upgrades of requests that hyper has parsed |
//! | `axum` | | an extractor |
//! | `http2` | | WebSockets over HTTP/2 (RFC 8441), as client and, with `hyper` or `axum`, as server |
//! | `json` | | messages as values of serde's |
//! | `libdeflate` | | whole messages without context takeover compressed by libdeflate, which is C and faster |
//! | `native-roots` | | trust in what the system trusts, for those who ask for it |
//!
//! They only add. Without any, the crate has neither HTTP library nor TLS.

mod accept;
mod alarm;
#[cfg(feature = "axum")]
pub mod axum;
mod broadcast;
mod bundle;
mod client;
mod combinators;
mod cork;
mod deadline;
mod dial;
mod drain;
mod driver;
mod error;
mod event;
mod facts;
pub mod guide;
mod handler;
#[cfg(feature = "http2")]
pub mod http2;
mod inbox;
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
mod room;
mod round;
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
pub use bundle::{Bundle, Forwarded};
pub use client::{Client, ConnectError, Http2Error, Retry, connect};
pub use cork::corked;
pub use dial::dial;
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
