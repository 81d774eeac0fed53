//! What can be asked of a connection by whatever part of it: the whole, its halves, its senders.

use std::{net::SocketAddr, time::Duration};

use fullduplex_proto::{DeflateParams, Outcome};

use crate::{
    sender::Sender,
    shared::Shared,
    split::{ReadHalf, WriteHalf},
    websocket::WebSocket,
};

/// Gives each of these types the same questions; it has to say which connection it is of.
macro_rules! facts {
    ($($part:ident: $part_of:expr;)+) => {$(
        impl $part {
            fn shared(&self) -> &Shared {
                let part_of: fn(&Self) -> &Shared = $part_of;
                part_of(self)
            }

            /// Bytes accepted and not yet written, with a fixed cost for each message.
            pub fn queued(&self) -> usize {
                self.shared().lock().queued()
            }

            /// How the connection ended; `None` while it has not.
            pub fn outcome(&self) -> Option<Outcome> {
                self.shared().lock().connection().outcome()
            }

            /// The round trip of the last ping that was answered.
            pub fn latency(&self) -> Option<Duration> {
                self.shared().lock().connection().latency()
            }

            /// The subprotocol that the handshake agreed on.
            pub fn subprotocol(&self) -> Option<&str> {
                self.shared().info.subprotocol()
            }

            /// How messages are compressed; `None` if they are not.
            pub fn deflate(&self) -> Option<DeflateParams> {
                self.shared().info.deflate.as_deref().copied()
            }

            /// The resource that was asked for: path and query.
            pub fn resource(&self) -> &str {
                self.shared().info.resource()
            }

            /// The address at the other end, if the transport has one; behind a proxy it may be the proxy's.
            pub fn peer_addr(&self) -> Option<SocketAddr> {
                self.shared().info.peer
            }
        }
    )+};
}

facts! {
    WebSocket: |whole| &whole.handle.shared;
    ReadHalf: |half| &half.handle.shared;
    WriteHalf: |half| &half.handle.shared;
    Sender: |sender| sender.outbox.shared();
}
