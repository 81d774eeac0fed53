//! Corking: all that is sent during one poll of a handler leaves in one write at its end.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use pin_project_lite::pin_project;

use crate::{
    driver::{Driver, Handler, RoomState},
    room::{self, Entered},
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
/// A handler that gives its connection to another thread and then blocks its own until that one has flushed waits for ever: what is written there
/// waits for the end of the handler's poll.
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
pub fn corked<F, Fut>(ws: WebSocket, handler: F) -> impl Future<Output = Fut::Output>
where
    F: FnOnce(WebSocket) -> Fut,
    Fut: Future,
{
    let handle = ws.handle.clone();
    let future = handler(ws);
    async move { Corked::new(&handle, future).await }
}

pin_project! {
    /// A future that owns a connection, or a part of it, with its writes corked.
    ///
    /// Written by hand because an async block would hold the future twice, and every connection has one.
    pub(crate) struct Corked<'a, Fut: Future> {
        handle: &'a Handle,
        #[pin]
        stage: Stage<Fut>,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<Fut: Future> {
        Runs { #[pin] future: Fut },
        /// What it sent at last may still have to be written.
        Done { output: Option<Fut::Output> },
    }
}

impl<'a, Fut: Future> Corked<'a, Fut> {
    pub(crate) fn new(handle: &'a Handle, future: Fut) -> Self {
        Self {
            handle,
            stage: Stage::Runs { future },
        }
    }
}

impl<Fut: Future> Future for Corked<'_, Fut> {
    type Output = Fut::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StageProjection::Runs { future } = this.stage.as_mut().project() {
            let scope = Scope::enter(this.handle, cx.waker());
            let polled = future.poll(cx);
            scope.leave(polled.is_ready());
            let output = Some(ready!(polled));
            this.stage.set(Stage::Done { output });
        }
        // What the last poll sent has been accepted, so it leaves before the connection may go.
        if let Err(error) = ready!(this.handle.poll(Side::Helper, cx, Driver::poll_flush)) {
            tracing::debug!(%error, "not all was written");
        }
        match this.stage.project() {
            StageProjection::Done { output } => output.take().map_or(Poll::Pending, Poll::Ready),
            StageProjection::Runs { .. } => Poll::Pending,
        }
    }
}

/// One poll of a handler. Leaving it, also by a panic, writes what was queued.
struct Scope<'a> {
    handle: &'a Handle,
    waker: &'a Waker,
    done: bool,
    /// The thread's room is this handler's.
    entered: Option<Entered>,
}

impl<'a> Scope<'a> {
    fn enter(handle: &'a Handle, waker: &'a Waker) -> Self {
        // Before the room becomes this handler's: it may be another's of the same connection.
        let has_room = handle.with(Driver::cork);
        let entered = has_room.then(|| room::enter(handle.shared.key()));
        Self {
            handle,
            waker,
            done: false,
            entered,
        }
    }

    fn leave(mut self, done: bool) {
        self.done = done;
    }
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        let mut entered = self.entered.take();
        let room = entered.as_mut().map(Entered::leave);
        let (written, spoilt) = self.handle.with(|driver| {
            let done = self.done || std::thread::panicking();
            let handler = if done { Handler::None } else { Handler::Waits };
            let spoilt = room.is_some() && driver.room == RoomState::Spoilt;
            let written = driver.uncork(handler, room);
            driver.abandon_if_deserted();
            if spoilt {
                self.handle.shared.set_spoilt(false);
            }
            (written, spoilt)
        });
        drop(entered);
        if spoilt {
            // Who used the connection elsewhere may wait to write.
            self.handle.shared.wake_all();
        }
        if !written {
            // The transport is full. When it has room it wakes this task, and the next poll ends here again; it also wakes
            // others, to which the handler may have given the connection, and who may wait for room themselves.
            let mut cx = Context::from_waker(self.waker);
            let polled = self.handle.poll(Side::Helper, &mut cx, Driver::poll_write);
            if polled.is_ready() {
                // It got room between the two tries, and told only who tried first, which is nobody.
                self.handle.shared.wake_all();
            }
        }
    }
}
