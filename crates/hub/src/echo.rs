//! `/echo`: everything comes back as it went.

use std::{pin::pin, sync::Arc};

use fullduplex::{CloseCode, WebSocket};

use crate::{
    metrics::{Kind, Metrics},
    session::close_frame,
    signal::Signal,
};

/// Sends every message back, until the client goes or the hub stops.
pub(crate) async fn echo(mut ws: WebSocket, stopping: Signal, metrics: Arc<Metrics>) {
    // Also while a message waits for a client that does not read.
    let ended = {
        let sending = pin!(send_back(&mut ws, &metrics));
        stopping.until(sending).await
    };
    if ended.is_none() {
        let stops = close_frame(CloseCode::GOING_AWAY, "the server stops");
        ws.close(stops).await;
    }
}

/// Sends every message back, until the client goes.
async fn send_back(ws: &mut WebSocket, metrics: &Metrics) {
    while let Ok(Some(message)) = ws.recv().await {
        metrics.received(Kind::Echo);
        if ws.send(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use fullduplex::Acceptor;
    use fullduplex_testkit::{Fault, Peer, wire};
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn it_stops_even_while_the_client_takes_nothing() {
        let (io, peer) = Peer::client();
        let ws = Acceptor::new().accept(io).await.unwrap();
        peer.script
            .fault_writes_at(peer.script.written().len(), Fault::Stall);
        peer.push([wire::text("taken"), wire::text("not taken")]);
        let stopping = Signal::default();
        let task = tokio::spawn(echo(ws, stopping.clone(), Arc::default()));
        yield_now().await;
        stopping.raise();
        yield_now().await;
        peer.script.heal();
        peer.push([wire::close_empty()]);
        peer.script.push_end();
        task.await.unwrap();
        let stops = wire::close(1001, "the server stops");
        assert_eq!(peer.frames(), [wire::text("taken"), stops]);
    }
}
