//! What a session hands to its connection in one go.

use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    task::{Context, Poll},
};

use fullduplex::{Error, Outgoing, WebSocket};

use super::HIGH_WATER;

/// Frames that leave in one write. Whoever writes for many sessions uses one for all, so that a write costs no memory.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    frames: VecDeque<Outgoing>,
    /// What they and what waits in the connection come to.
    bytes: usize,
}

impl Parcel {
    /// Begins anew, for a connection in which so many bytes wait.
    pub(super) fn begin(&mut self, queued: usize) {
        self.frames.clear();
        self.bytes = queued;
    }

    /// The connection would take no more without a wait.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= HIGH_WATER
    }

    /// What its frames and what waited in the connection before them come to.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn push(&mut self, frame: impl Into<Outgoing>) {
        let frame = frame.into();
        self.bytes += frame.queue_cost();
        self.frames.push_back(frame);
    }

    /// Writes it and all else that waits. What the socket does not take waits in the connection.
    pub(super) fn poll_send(
        &mut self,
        ws: &mut WebSocket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        pin!(ws.send_many(&mut self.frames)).poll(cx)
    }
}
