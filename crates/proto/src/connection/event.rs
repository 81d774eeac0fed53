//! What a connection tells its driver.

use std::time::Duration;

use bytes::Bytes;

use crate::{
    close::CloseFrame,
    message::{Message, MessageKind},
};

/// Something that arrived and is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message for the application.
    Message(Message),
    /// The next part of a message, where they were [asked for](super::Connection::receive_parts).
    Part {
        /// What the message is made of. A part of a text may end within a character.
        kind: MessageKind,
        /// What arrived of it; empty only if it is the last.
        payload: Bytes,
        /// It is the last one.
        fin: bool,
    },
    /// A ping, whose pong is queued already.
    Ping(Bytes),
    /// A pong, asked for or not.
    Pong {
        /// What it carried.
        payload: Bytes,
        /// The time since the ping that it answers; `None` if it answers none.
        latency: Option<Duration>,
    },
    /// Half of the [keepalive timeout](crate::Config::keepalive_timeout) has passed without a sign of life. A user could be told;
    /// anything that arrives makes it good.
    Late,
    /// The peer's Close, whose answer is queued already if it was the first. Nothing arrives after it.
    Close(CloseFrame),
}

/// What a driver does once [`Connection::poll_transmit`](super::Connection::poll_transmit) has nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read and write as the transport allows.
    Run,
    /// End our direction of the transport, say so with [`Connection::shutdown_done`](super::Connection::shutdown_done),
    /// and go on reading: the peer must be able to read our Close before the transport goes away.
    Shutdown,
    /// Drop the transport; [`Connection::outcome`](super::Connection::outcome) says how it ended.
    Drop,
}
