//! Everything that can be received, for those who want to see control frames.

use std::time::Duration;

use bytes::Bytes;
use fullduplex_proto::Message;

/// What [`recv_event`](crate::WebSocket::recv_event) receives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message.
    Message(Message),
    /// A ping. Its pong is under way.
    Ping(Bytes),
    /// A pong, asked for or not.
    Pong {
        /// What it carries.
        payload: Bytes,
        /// The round trip of the ping that it answers; `None` if it answers none.
        latency: Option<Duration>,
    },
    /// The peer owes a sign of life for half of the [keepalive timeout](fullduplex_proto::Config::keepalive_timeout): a user
    /// could be told. Whatever comes next makes it good.
    Late,
}

impl Event {
    /// What of the protocol's events is one of the application's.
    pub(crate) fn new(event: fullduplex_proto::Event) -> Option<Self> {
        match event {
            fullduplex_proto::Event::Message(message) => Some(Self::Message(message)),
            fullduplex_proto::Event::Ping(payload) => Some(Self::Ping(payload)),
            fullduplex_proto::Event::Pong { payload, latency } => {
                Some(Self::Pong { payload, latency })
            }
            fullduplex_proto::Event::Late => Some(Self::Late),
            // A Close is the end, which `recv_event` reports as such.
            _ => None,
        }
    }
}
