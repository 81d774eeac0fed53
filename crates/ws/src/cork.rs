//! Corking: all that is sent during one poll of a handler leaves in one write at its end.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};

use crate::{
    driver::Driver,
    shared::{Handle, Side},
    websocket::WebSocket,
};

/// Runs `handler` on `ws` with its writes corked.
///
/// Inside, [`send`](WebSocket::send) only queues; when the handler waits, or is done, everything queued leaves in one write. So
/// the plainest loop answers sixteen pipelined messages with one write instead of sixteen, and nothing is held back
/// while the handler sleeps. [`flush`](WebSocket::flush) writes at once all the same, and so does a queue over its
/// [soft limit](fullduplex_proto::Limits::soft_queue). A write that fails afterwards is reported by the next call.
///
/// ```no_run
/// # async fn run(ws: fullduplex::WebSocket) -> Result<(), fullduplex::Error> {
/// fullduplex::corked(ws, async |mut ws| {
///     while let Some(message) = ws.recv().await? {
///         ws.send(message).await?;
///     }
///     Ok(())
/// })
/// .await
/// # }
/// ```
///
/// # Cancel safety
///
/// As the handler's: dropping this drops it.
pub async fn corked<F, Fut>(ws: WebSocket, handler: F) -> Fut::Output
where
    F: FnOnce(WebSocket) -> Fut,
    Fut: Future,
{
    let handle = ws.handle.clone();
    run(&handle, handler(ws)).await
}

/// Runs `future`, which owns the rest of the connection, with its writes corked.
pub(crate) async fn run<Fut: Future>(handle: &Handle, future: Fut) -> Fut::Output {
    let mut future = pin!(future);
    let output = poll_fn(|cx| {
        let scope = Scope::enter(handle, cx.waker());
        let output = future.as_mut().poll(cx);
        scope.leave(output.is_ready());
        output
    })
    .await;
    // What the last poll sent has been accepted, so it leaves before the connection may go.
    if let Err(error) = poll_fn(|cx| handle.poll(Side::Whole, cx, Driver::poll_flush)).await {
        tracing::debug!(%error, "not all was written");
    }
    output
}

/// One poll of a handler. Leaving it, also by a panic, writes what was queued.
struct Scope<'a> {
    handle: &'a Handle,
    waker: &'a Waker,
    done: bool,
}

impl<'a> Scope<'a> {
    fn enter(handle: &'a Handle, waker: &'a Waker) -> Self {
        handle.shared.lock().corked = true;
        Self { handle, waker, done: false }
    }

    fn leave(mut self, done: bool) {
        self.done = done;
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        let mut driver = self.handle.shared.lock();
        driver.corked = false;
        let mut cx = Context::from_waker(self.waker);
        if driver.connection().wants_write() {
            // If the transport is full, it wakes the task when it has room, and the next poll ends here again.
            if let Poll::Pending = driver.poll_write(&mut cx) {
                tracing::trace!("transport full");
            }
        }
        // The handler lives on without its connection: only this helper still holds it.
        if driver.owners == 1 && !self.done && !std::thread::panicking() {
            driver.abandon();
        }
    }
}
