//! Running a handler: corked, and its connection closed as its end asks.

use std::{
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use fullduplex_proto::{CloseCode, CloseFrame, Outcome};
use pin_project_lite::pin_project;

use crate::{
    cork::Corked,
    shared::{Handle, Side},
    websocket::{self, WebSocket},
};

/// What a handler ends with: nothing, or an error that closes the connection with 1011.
pub trait HandlerOutput {
    /// The error, if there is one.
    fn error(self) -> Option<String>;
}

impl HandlerOutput for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl<E: fmt::Display> HandlerOutput for Result<(), E> {
    fn error(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// Runs `handler` on `ws` as a [`Server`](crate::Server) does, and says how the connection ended: the handler is
/// [corked](crate::corked); when it returns, the connection is closed with 1000 if it is still open, and when it returns an error or
/// panics, with 1011.
///
/// For connections that came another way, such as by [`upgrade`](crate::upgrade).
///
/// # Cancel safety
///
/// Dropping it drops the handler and closes the transport.
pub async fn handled<F, Fut>(ws: WebSocket, handler: F) -> Outcome
where
    F: FnOnce(WebSocket) -> Fut,
    Fut: Future<Output: HandlerOutput>,
{
    let handle = ws.handle.clone();
    let end = run(&handle, || handler(ws)).await;
    close(&handle, end).await
}

/// The first half of [`handled`]: runs the handler. Plain functions both, as an async one would hold its arguments twice, and
/// every connection has this future.
pub(crate) fn run<Fut>(handle: &Handle, handler: impl FnOnce() -> Fut) -> impl Future<Output = End>
where
    Fut: Future<Output: HandlerOutput>,
{
    let future = catch_unwind(AssertUnwindSafe(handler)).ok();
    Corked::new(handle, Caught { future })
}

/// The second half: closes as the handler's end asks.
pub(crate) fn close(handle: &Handle, end: End) -> impl Future<Output = Outcome> {
    let frame = match end {
        Ok(None) => CloseFrame::normal(),
        Ok(Some(error)) => {
            tracing::debug!(%error, "handler failed");
            internal_error()
        }
        Err(Panicked) => internal_error(),
    };
    websocket::close(handle, Side::Helper, frame)
}

/// 1011 without a reason: what went wrong in here is nobody's business out there.
fn internal_error() -> CloseFrame {
    CloseFrame::new(CloseCode::INTERNAL_ERROR, "").unwrap_or(CloseFrame::empty())
}

pin_project! {
    /// A handler's future whose panic ends its own connection and nothing else. `None` if already making it panicked.
    struct Caught<Fut> {
        #[pin]
        future: Option<Fut>,
    }
}

/// How a handler ended: with its error, if it had one.
type End = Result<Option<String>, Panicked>;

/// The handler panicked; the panic's hook has reported it.
pub(crate) struct Panicked;

impl<Fut: Future<Output: HandlerOutput>> Future for Caught<Fut> {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.project().future;
        let Some(future) = slot.as_mut().as_pin_mut() else {
            return Poll::Ready(Err(Panicked));
        };
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(polled) => polled.map(|output| Ok(output.error())),
            Err(_panic) => {
                // What it holds must not wait for a peer that is slow to take the end.
                slot.set(None);
                Poll::Ready(Err(Panicked))
            }
        }
    }
}
