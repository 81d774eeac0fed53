//! What moves a session's bytes: one task for all its WebSockets.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Weak, atomic::Ordering},
    task::Poll,
};

use bytes::Bytes;
use h2::{
    Ping,
    client::{Connection, SendRequest},
};

use super::{Inner, error::io_error};
use crate::{
    client::{ConnectError, Http2Error},
    transport::Transport,
};

/// Drives the connection until the server's SETTINGS have come, and says whether they enable extended CONNECT.
///
/// h2 does not tell when they come. But they are the first that a server sends (RFC 9113 §3.4), so they are there when it answers a
/// ping.
pub(super) async fn until_enabled(
    connection: &mut Connection<Transport>,
    requests: &SendRequest<Bytes>,
) -> Result<(), ConnectError> {
    let mut pings = connection.ping_pong();
    if let Some(pings) = &mut pings {
        pings
            .send_ping(Ping::opaque())
            .map_err(|error| ConnectError::Io(io_error(error)))?;
    }
    poll_fn(|cx| {
        let polled = Pin::new(&mut *connection).poll(cx);
        if requests.is_extended_connect_protocol_enabled() {
            return Poll::Ready(Ok(()));
        }
        let answered = match &mut pings {
            Some(pings) => pings.poll_pong(cx).is_ready(),
            None => true,
        };
        match polled {
            Poll::Ready(Err(error)) => Poll::Ready(Err(ConnectError::Io(io_error(error)))),
            Poll::Ready(Ok(())) => {
                let ended = std::io::ErrorKind::UnexpectedEof;
                Poll::Ready(Err(ConnectError::Io(ended.into())))
            }
            Poll::Pending if answered => {
                Poll::Ready(Err(ConnectError::Http2(Http2Error::NotEnabled)))
            }
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Drives the connection to its end: that of the last WebSocket and the last [`Session`](super::Session), or an error.
///
/// h2 lets a server take the permission back, which it must not do (RFC 8441 §3): that ends the connection, too.
pub(super) async fn drive(mut connection: Connection<Transport>, session: Weak<Inner>) {
    poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        let withdrawn = session
            .upgrade()
            .is_some_and(|inner| !inner.requests.is_extended_connect_protocol_enabled());
        match polled {
            Poll::Ready(Err(error)) => tracing::debug!(%error, "HTTP/2 session failed"),
            Poll::Ready(Ok(())) => {}
            Poll::Pending if withdrawn => {
                tracing::debug!("HTTP/2 session ended: the server withdrew extended CONNECT");
            }
            Poll::Pending => return Poll::Pending,
        }
        Poll::Ready(())
    })
    .await;
    if let Some(inner) = session.upgrade() {
        inner.ended.store(true, Ordering::Release);
    }
}
