//! `/echo`: everything comes back as it went.

use std::{pin::pin, sync::Arc};

use fullduplex::WebSocket;

use crate::{
    metrics::{Kind, Metrics},
    session::Stop,
    visits::Visit,
};

/// Sends every message back, until the client goes or has to.
pub(crate) async fn echo(mut ws: WebSocket, visit: Visit, metrics: Arc<Metrics>) {
    // Also while a message waits for a client that does not read.
    let ended = {
        let sending = pin!(send_back(&mut ws, &metrics));
        visit.until(sending).await
    };
    if let Err(why) = ended {
        ws.close(Stop::from(why).frame()).await;
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
        let task = tokio::spawn(echo(ws, visit, Arc::default()));
        yield_now().await;
        visits.stop_all();
        yield_now().await;
        peer.script.heal();
        peer.push([wire::close_empty()]);
        peer.script.push_end();
        task.await.unwrap();
        let stops = wire::close(1001, "the server stops");
        assert_eq!(peer.frames(), [wire::text("taken"), stops]);
    }
}
