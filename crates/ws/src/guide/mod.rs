//! The guide: what to use when, with examples, pitfalls, limits and their defaults. There is no code here.
//!
//! | page | |
//! | --- | --- |
//! | [`handshake`] | who may connect: origins, authentication, paths, subprotocols, limits of a server |
//! | [`backpressure`] | slow peers: queues, senders and their policies, groups, batching, rate limits |
//! | [`big_messages`] | messages of any size; a connection as a stream of bytes |
//! | [`compression`] | permessage-deflate: what it costs and what it must not see |
//! | [`closing`] | noticing dead peers, and how connections end |
//! | [`authentication`] | a client's credentials, and redirects |
//! | [`tls`] | roots, certificates for servers and for clients |
//! | [`proxies`] | HTTP and SOCKS5 proxies, and the environment |
//! | [`reconnecting`] | coming back without becoming a burden |
//! | [`axum`] | a route in axum or hyper, and HTTP/2 |
//! | [`testing`] | handlers, protocol and failures, without sockets and without waiting |
//! | [`sans_io`] | the protocol by hand, without tokio |
//! | [`from_tungstenite`] | for those who know tungstenite and tokio-tungstenite |
//! | [`from_gorilla`] | for those who know gorilla/websocket and golang.org/x/net/websocket |

#[doc = include_str!("authentication.md")]
pub mod authentication {}

#[cfg_attr(all(feature = "axum", feature = "http2"), doc = include_str!("axum.md"))]
#[cfg_attr(
    not(all(feature = "axum", feature = "http2")),
    doc = "Shown with the features `axum` and `http2`."
)]
pub mod axum {}

#[doc = include_str!("backpressure.md")]
pub mod backpressure {}

#[doc = include_str!("big_messages.md")]
pub mod big_messages {}

#[doc = include_str!("closing.md")]
pub mod closing {}

#[doc = include_str!("compression.md")]
pub mod compression {}

#[doc = include_str!("from_gorilla.md")]
pub mod from_gorilla {}

#[doc = include_str!("from_tungstenite.md")]
pub mod from_tungstenite {}

#[doc = include_str!("handshake.md")]
pub mod handshake {}

#[doc = include_str!("proxies.md")]
pub mod proxies {}

#[doc = include_str!("reconnecting.md")]
pub mod reconnecting {}

#[doc = include_str!("sans_io.md")]
pub mod sans_io {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[cfg_attr(feature = "tls", doc = include_str!("tls.md"))]
#[cfg_attr(not(feature = "tls"), doc = "Shown with the feature `tls`.")]
pub mod tls {}
