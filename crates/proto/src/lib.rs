//! The WebSocket protocol (RFC 6455) with permessage-deflate (RFC 7692), both roles, without I/O, clock or randomness.
//!
//! Bytes and time come in as arguments; events, bytes and deadlines come out. Crate `fullduplex` drives it with tokio;
//! `examples/blocking_echo.rs` here drives it with nothing but the standard library.
//!
//! * [`handshake`]: the opening handshake, as server and as client.
//! * [`Connection`]: everything after it.
//! * [`deflate`]: compression of messages.
//! * [`Config`] and [`Limits`]: every bound and every wait, with default and reason.
//! * [`FrameHeader`], [`Opcode`], [`apply_mask`], [`CloseCode`]: the wire, for tools that want to look at it.

mod close;
mod config;
mod connection;
pub mod deflate;
mod frame;
pub mod handshake;
mod mask;
mod message;
mod opcode;
mod prepared;
mod role;
mod utf8;
mod violation;

pub use close::{CloseClass, CloseCode, CloseFrame, CloseSender, InvalidClose, MAX_REASON};
pub use config::{Accept, Config, ConfigError, Life, Limits};
pub use connection::{
    Batch, Cause, Connection, Deadline, Event, Initiator, Outcome, Outgoing, PingError, Room,
    SendError, SendErrorKind, State, Step,
};
pub use deflate::{Deflate, DeflateParams};
pub use frame::{FrameHeader, HeaderRules, MAX_CONTROL_PAYLOAD, MAX_HEADER_LEN};
pub use mask::{MaskingKey, apply_mask};
pub use message::{Message, MessageKind, Utf8Bytes};
pub use opcode::Opcode;
pub use prepared::Prepared;
pub use role::Role;
pub use violation::Violation;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
