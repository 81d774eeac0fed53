//! A client for the rooms of `fdx serve`: it comes back by itself, goes on exactly where it was, and sends every message once.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use fullduplex_client::{Event, Options, What, connect};
//!
//! let (client, mut events) = connect(Options::new("ws://127.0.0.1:8080/ws")?.name("Ana"));
//! client.join("general", 50).await?;
//! client.send("general", "hello").await?;
//! while let Some(event) = events.next().await {
//!     if let Event::Placed(event) = event
//!         && let What::Message { body: Some(body), .. } = event.what
//!     {
//!         println!("{}: {body}", event.from.name.as_deref().unwrap_or("?"));
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What it speaks is `fdx.v1.json`, in `docs/hub-protocol.md`. What it promises:
//!
//! - **Events** of a room come once each and in order, across connections too. Where some are missing for good, [`Event::Gap`] or a
//!   [`Joined`] with [`Resume::Reset`] says so, at that place.
//!   A room whose log goes back in time is joined again, which says the same.
//! - **Tokens** are asked for when they are needed, where there is a [source](Options::tokens): before each connection, and before one ends.
//! - **Messages** are sent again under the same `cid` after every lost connection and every refusal that passes, so that they are stored
//!   once, and [`Client::send`] returns when the server has them on disk. After five tries, or when the client is out of the room or ends
//!   first, it is an error: [`RequestError::Timeout`] where the message may have been stored, another one where it certainly was not.
//! - **Memory** is bounded: 1,000 messages to be sent, after which [`Client::send`] waits, and 1,024 events to be taken, after which nothing
//!   more is read. While a reply is waited for, reading goes on, and what there is no room for is asked for again later.

mod client;
mod driver;
mod place;
mod session;
#[cfg(test)]
mod session_tests;
mod token;
mod wire;

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

pub use crate::{
    client::{Client, Events, Options, connect},
    wire::{Gap, Joined, Page, Placed, Reaction, Resume, Sent, Shown, Span, User, Welcome, What},
};
use crate::{session::hint, wire::Refusal};

/// The subprotocol.
pub const PROTOCOL: &str = "fdx.v1.json";

/// What happens to a client.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// There is a connection, and the server knows who this is: at first, and after each [`Lost`](Self::Lost).
    Welcome(Box<Welcome>),
    /// A room was joined, or joined again; what was missed follows.
    Joined(Box<Joined>),
    /// The next event of a room.
    Placed(Box<Placed>),
    /// Events of a room that this client will not get: it was too slow, or away for too long, for what the server keeps.
    Gap(Gap),
    /// An event without a place in a room's order: presence, typing, and what else there may be.
    Other(Map<String, Value>),
    /// A room could not be joined again, for a reason that does not [pass](RequestError::passes), or the server took this client out of
    /// it; it is forgotten.
    Refused {
        /// Which.
        room: String,
        /// Why; for who was taken out, `forbidden`, `kicked` or `banned`.
        error: RequestError,
    },
    /// The connection was lost, or could not be opened, also at first. It is tried again.
    Lost {
        /// Why, for people.
        reason: String,
    },
}

/// Why something that was asked for was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server refused.
    #[error("{message} ({code})")]
    Refused {
        /// One of the protocol's error codes.
        code: String,
        /// Why, for people.
        message: String,
        /// When to try again, if the server said so.
        retry_ms: Option<u64>,
    },
    /// It was sent, and it is unknown what became of it. Of a message: there was no answer in several tries, or until the client was out of
    /// its room or ended; or a later try was refused, which says nothing of the one before. Any other error means that it is not stored.
    /// Of anything else: there was no answer in a minute, though the server said other things.
    #[error("it is unknown whether that was done")]
    Timeout,
    /// The connection was lost before there was an answer: it may have been done or not.
    #[error("the connection was lost before there was an answer")]
    Lost,
    /// The server's answer makes no sense.
    #[error("the server's answer makes no sense")]
    Answer,
    /// The room is not joined.
    #[error("join the room first")]
    NotJoined,
    /// The room is joined already.
    #[error("the room is joined already")]
    Joined,
    /// This client has ended.
    #[error("the client has ended: {0}")]
    Ended(Arc<str>),
}

impl RequestError {
    /// Whether trying again may succeed.
    pub fn passes(&self) -> bool {
        const PASSING: [&str; 5] = [
            "timeout",
            "unavailable",
            "not_ready",
            "rate_limited",
            "read_only",
        ];
        match self {
            Self::Refused { code, .. } => PASSING.contains(&&**code),
            Self::Timeout | Self::Lost => true,
            Self::Answer | Self::NotJoined | Self::Joined | Self::Ended(_) => false,
        }
    }

    /// Whether it leaves open what became of what was asked for, at this try.
    fn is_unsure(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code == "timeout",
            Self::Timeout => true,
            _ => false,
        }
    }

    /// When, if the server said so; at most five minutes.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_ms, .. } => retry_ms.map(hint),
            _ => None,
        }
    }
}

impl From<Refusal> for RequestError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused {
            code: refusal.code,
            message: refusal.msg,
            retry_ms: refusal.retry_ms,
        }
    }
}
