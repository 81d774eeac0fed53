//! Handlers that have received something, so that what they send goes through the room (`src/room.rs`).

use std::{
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use fullduplex::{Config, Message, WebSocket, corked};
use fullduplex_testkit::wire;
use tokio::runtime::Handle;

use super::{Wire, server};

/// Runs a corked handler whose connection has received a message; what was written by the end of it.
pub(crate) async fn after_receiving(
    handler: impl AsyncFnOnce(WebSocket, &Wire),
) -> Vec<wire::Frame> {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("question")]);
    corked(ws, async |mut ws| {
        assert_eq!(ws.recv().await.unwrap(), Some(Message::text("question")));
        handler(ws, &wire).await;
    })
    .await;
    wire.frames()
}

pub(crate) fn texts<const N: usize>(texts: [&str; N]) -> Vec<wire::Frame> {
    texts.map(wire::text).into()
}

/// What a future has after one poll on a thread of its own, for which this one waits.
pub(crate) fn once_elsewhere<F: Future<Output: Send> + Send + ?Sized>(
    future: Pin<&mut F>,
) -> Poll<F::Output> {
    let runtime = Handle::current();
    std::thread::scope(|scope| {
        let polled = scope.spawn(|| {
            let _entered = runtime.enter();
            future.poll(&mut Context::from_waker(Waker::noop()))
        });
        polled.join().unwrap()
    })
}

/// The same for a future that is then done.
pub(crate) fn elsewhere<T: Send>(future: impl Future<Output = T> + Send) -> T {
    match once_elsewhere(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
