//! `/echo`: everything comes back as it went.

use std::{pin::pin, sync::Arc};

use fullduplex::WebSocket;
use tokio::time::Instant;

use crate::{
    metrics::{Kind, Metrics},
    session::{Alarm, Stop, token_expired},
    visits::Visit,
};

/// Sends every message back, until the client goes or has to, or its token expires at `end`.
pub(crate) async fn echo(
    mut ws: WebSocket,
    visit: Visit,
    end: Option<Instant>,
    metrics: Arc<Metrics>,
) {
    let mut expiry = Alarm::default();
    expiry.set(end);
    // Also while a message waits for a client that does not read.
    let stop = {
        let sending = pin!(send_back(&mut ws, &metrics));
        tokio::select! {
            biased;
            ended = visit.until(sending) => ended.err().map(Stop::from),
            () = expiry.rings() => Some(token_expired()),
        }
    };
    if let Some(stop) = stop {
        ws.close(stop.frame()).await;
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
    use std::time::Duration;

    use fullduplex::Acceptor;
    use fullduplex_testkit::{Fault, Peer, wire};
    use tokio::task::yield_now;

    use super::*;
    use crate::visits::{Visitor, Visits};

    #[tokio::test]
    async fn it_stops_even_while_the_client_takes_nothing() {
        let (io, peer) = Peer::client();
        let ws = Acceptor::new().accept(io).await.unwrap();
        peer.script
            .fault_writes_at(peer.script.written().len(), Fault::Stall);
        peer.push([wire::text("taken"), wire::text("not taken")]);
        let visits = Arc::<Visits>::default();
        let visitor = Visitor::new("echo", None, [127, 0, 0, 1].into(), None);
        let visit = visits.enter(1, visitor);
        let task = tokio::spawn(echo(ws, visit, None, Arc::default()));
        yield_now().await;
        visits.stop_all(Duration::ZERO).await;
        yield_now().await;
        peer.script.heal();
        peer.push([wire::close_empty()]);
        peer.script.push_end();
        task.await.unwrap();
        let stops = wire::close(1001, "the server stops");
        assert_eq!(peer.frames(), [wire::text("taken"), stops]);
    }
}
