//! The opening handshake, both roles, without I/O (RFC 6455 §4).
//!
//! A server feeds what arrives to a [`ServerHandshake`], gets a [`Request`] that passed every check or a
//! [`Rejection`], and writes the bytes of the [`Acceptance`] or of the rejection. Where another library has
//! parsed the request already, [`judge`] is the same set of checks without the reader.
//!
//! A client builds a [`ClientRequest`], writes [`ClientHandshake::request`] and feeds what arrives until it gets a
//! [`Response`] or a [`ClientError`]. Where an HTTP proxy stands in between, [`TunnelRequest`] comes before.
//!
//! Bytes may arrive in any pieces. Each is looked at a fixed number of times, whatever the pieces, so a peer that
//! sends one byte at a time costs no more than one that sends all at once. The deadline for the whole handshake
//! belongs to the caller, who owns the clock.
//!
//! # Examples
//!
//! ```
//! use fullduplex_proto::handshake::{ClientRequest, Progress, ServerHandshake, ServerOptions};
//!
//! let uri = "ws://example.com/chat".parse()?;
//! let mut client = ClientRequest::new(uri).subprotocol("chat")?.start([7; 16]);
//!
//! let options = ServerOptions { subprotocols: vec!["chat".into()], ..ServerOptions::default() };
//! let mut server = ServerHandshake::new(options);
//! let Progress::Done { value: request, .. } = server.receive(client.request())? else {
//!     return Err("the request is whole".into());
//! };
//!
//! let answer = request.accept().to_bytes();
//! let Progress::Done { value: response, .. } = client.receive(&answer)? else {
//!     return Err("the response is whole".into());
//! };
//! assert_eq!(response.subprotocol(), Some("chat"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod authority;
mod body;
mod challenge;
mod client;
mod credentials;
mod extended;
mod grammar;
mod head;
mod headers;
mod origin;
mod redirect;
mod refused;
mod rejection;
mod response;
mod server;
mod tunnel;
mod uri;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

pub use authority::{Authority, AuthorityError};
pub use challenge::Challenge;
pub use client::{ClientError, ClientHandshake, ClientRequest, RequestError, Response};
pub use credentials::Credentials;
pub use extended::{ExtendedConnect, PROTOCOL};
pub use grammar::{MAX_LIST_ELEMENTS, Offer, Param};
pub use head::{HeadError, HeadLimits, RequestHead, ResponseHead, Version};
pub use headers::{HeaderError, Headers};
pub use origin::{Hosts, Origin, OriginCheck, OriginError, Origins};
pub use redirect::{RedirectError, Redirects};
pub use refused::{Refused, RetryAfter};
pub use rejection::{Refusal, Rejection};
pub use response::{DEFAULT_MAX_BODY, MAX_INTERIM_RESPONSES, ResponseError};
pub use server::{
    Acceptance, AcceptanceError, NoCommonSubprotocol, Preference, Request, ServerHandshake,
    ServerOptions, judge,
};
pub use tunnel::{TunnelHandshake, TunnelRequest};
pub use uri::{Uri, UriError, Userinfo};

/// The text that is appended to the key before hashing (RFC 6455 §1.3).
pub const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The only protocol version spoken here (RFC 6455 §4.1 item 9).
pub const WEBSOCKET_VERSION: u8 = 13;

/// What a handshake says after it was given bytes.
#[derive(Debug)]
#[must_use]
pub enum Progress<T> {
    /// All bytes were taken and the handshake needs more.
    NeedMore,
    /// The peer's part of the handshake is complete.
    Done {
        /// What it said.
        value: T,
        /// How many of the bytes just given belong to the handshake. Those after them are the peer's first frames:
        /// a server keeps them until it has written its 101 (they may not be acted on before), a client hands
        /// them to the connection at once.
        used: usize,
    },
}

/// Computes the `Sec-WebSocket-Accept` value for a `Sec-WebSocket-Key` value as it was sent
/// (RFC 6455 §4.2.2 item 5.4).
///
/// # Examples
///
/// ```
/// use fullduplex_proto::handshake::accept_for;
/// assert_eq!(accept_for(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_for(key: &[u8]) -> String {
    AcceptValue::of(key).as_str().to_owned()
}

/// A `Sec-WebSocket-Accept` value, in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AcceptValue([u8; ACCEPT_LEN]);

impl AcceptValue {
    fn of(key: &[u8]) -> Self {
        let mut value = [0; ACCEPT_LEN];
        let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        // It has room for just that.
        let _ = STANDARD.encode_slice(hash, &mut value);
        Self(value)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The 20 bytes of a SHA-1 hash in base64.
const ACCEPT_LEN: usize = 28;
